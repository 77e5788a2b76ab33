//! Loom's models of the locks, and of the buffer, with a process killed at every step.
//!
//! Run by `cargo xtask loom ipc-shm`. A model with a sleeper that nobody wakes is a deadlock, which
//! loom reports.

// The cells of loom hand out raw pointers. Whether each use of one is sound is what the models ask, and
// loom answers: it fails a model in which two threads may be at one cell together.
#![allow(unsafe_code, clippy::undocumented_unsafe_blocks)]

mod barrier;
mod buffer;
mod condvar;
mod event;
mod heap;
mod mutex;
mod once;
mod outcomes;
mod rwlock;
mod semaphore;
mod snapshot;
mod word;

use ipc_core::sync::thread;
use ipc_core::{Deadline, WaitStrategy};
use loom::sync::Arc;

use crate::spin::Patience;
use crate::sync::robust::set_thread_id;

const PARK: Patience = Patience { deadline: Deadline::Never, strategy: WaitStrategy::Park };

/// Runs a model with at most `preemptions` unforced switches of threads, unless the environment says
/// otherwise.
fn model(preemptions: usize, test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(test);
}

/// A thread of a model, with a thread id and what all share.
fn spawn<S: 'static, T: 'static>(
    id: u32,
    shared: &Arc<S>,
    run: impl FnOnce(&S) -> T + 'static,
) -> thread::JoinHandle<T> {
    let shared = shared.clone();
    thread::spawn(move || {
        set_thread_id(id);
        run(&shared)
    })
}
