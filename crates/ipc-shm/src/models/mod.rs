//! Loom's models of the locks, and of the buffer, with a process killed at every step.
//!
//! Run by `cargo xtask loom ipc-shm`. A model with a sleeper that nobody wakes is a deadlock, which
//! loom reports.

// The cells of loom hand out raw pointers.
#![allow(unsafe_code)]

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
use loom::cell::UnsafeCell;
use loom::sync::Arc;

use crate::spin::Patience;
use crate::sync::robust::set_thread_id;

const PARK: Patience = Patience { deadline: Deadline::Never, strategy: WaitStrategy::Park };

/// A number that must be guarded: loom fails a model in which one thread may write it while another is at
/// it.
#[derive(Debug)]
struct Watched(UnsafeCell<u32>);

impl Watched {
    fn new(number: u32) -> Self {
        Self(UnsafeCell::new(number))
    }

    fn get(&self) -> u32 {
        // SAFETY: loom ends the model where another thread may write meanwhile.
        self.0.with(|number| unsafe { *number })
    }

    fn set(&self, number: u32) {
        // SAFETY: loom ends the model where another thread may be here meanwhile.
        self.0.with_mut(|place| unsafe { *place = number });
    }
}

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
