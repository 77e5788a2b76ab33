//! The conformance suite, on real-time signals.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ipc_signal::testing::{Signal, Sigwait, prepare_process};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

ipc_testing::conformance!(signal_rt, prepared(&turn(), Signal));
ipc_testing::conformance!(signal_rt_sigwait, prepared(&turn(), Sigwait));

/// What is pending for all processes of a user counts towards one limit. Some cases fill the queue,
/// and others would find it full: so they take turns. (Host and guest take their own turns, alone.)
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The transport, in a process that hands down to host and guest a mask, and a queue that is quick to
/// fill.
fn prepared<T>(_turn: &MutexGuard<'_, ()>, transport: T) -> T {
    prepare_process().expect("a mask");
    let Rlimit { current, maximum } = getrlimit(Resource::Sigpending);
    let current = Some(current.unwrap_or(u64::MAX).min(2000));
    setrlimit(Resource::Sigpending, Rlimit { current, maximum }).expect("not above the limit");
    transport
}
