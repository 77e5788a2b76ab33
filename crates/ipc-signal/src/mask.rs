//! Which signals the calling thread blocks: a guard that blocks some and restores. Leaves out the
//! masks of other threads, which only the kernel's `/proc` tells (`proc.rs`).

use std::io;
use std::marker::PhantomData;

use crate::Signal;
use crate::sys::{self, SignalSet};

/// Blocks signals in the calling thread, and restores its mask when dropped.
///
/// A blocked signal waits, pending, until somebody takes it: a
/// [`SignalReceiver`](crate::SignalReceiver). The mask belongs
/// to the thread, and is inherited by the threads and processes that it starts. So block at the
/// beginning of `main`, before any other thread runs: then every thread blocks the signal, as
/// receiving needs.
///
/// Dropping unblocks exactly those signals that this guard found unblocked. Whatever of them is
/// pending by then is **delivered**, which by default kills the process: drop receivers first (they
/// discard what is pending), which the language does by itself if the guard is declared before them.
/// Guards of one thread are dropped in the reverse order of their making, as variables are; a guard
/// stays in its thread:
///
/// ```compile_fail,E0277
/// fn moves_between_threads<T: Send>() {}
/// moves_between_threads::<ipc_signal::MaskGuard>();
/// ```
///
/// See `pthread_sigmask(3)`.
///
/// ```
/// use ipc_signal::{MaskGuard, RealtimeSignal};
///
/// let signal = RealtimeSignal::from_offset(1)?;
/// assert!(!MaskGuard::is_blocked(signal)?);
/// {
///     let _mask = MaskGuard::block([signal])?;
///     assert!(MaskGuard::is_blocked(signal)?);
/// }
/// assert!(!MaskGuard::is_blocked(signal)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the signals are unblocked again when the guard is dropped"]
pub struct MaskGuard {
    /// What was not blocked before.
    newly_blocked: Vec<Signal>,
    /// The mask is the thread's own: neither `Send` nor `Sync`.
    this_thread: PhantomData<*const ()>,
}

impl MaskGuard {
    /// Blocks `signals` in the calling thread. `SIGKILL` and `SIGSTOP` cannot be blocked, and the kernel
    /// says nothing; a [fault](Signal::is_fault) ends the process, blocked or not.
    ///
    /// # Errors
    ///
    /// Those of `pthread_sigmask(3)`: none in practice.
    pub fn block<S: Into<Signal>>(signals: impl IntoIterator<Item = S>) -> io::Result<Self> {
        let mut signals: Vec<_> = signals.into_iter().map(Into::into).collect();
        let before = sys::block(&SignalSet::of(signals.iter().copied()))?;
        signals.retain(|&signal| !before.contains(signal));
        Ok(Self { newly_blocked: signals, this_thread: PhantomData })
    }

    /// Whether the calling thread blocks `signal`.
    ///
    /// # Errors
    ///
    /// Those of `pthread_sigmask(3)`: none in practice.
    pub fn is_blocked(signal: impl Into<Signal>) -> io::Result<bool> {
        sys::block(&SignalSet::of([])).map(|mask| mask.contains(signal.into()))
    }
}

impl Drop for MaskGuard {
    fn drop(&mut self) {
        // Blocking worked, and unblocking fails for no other reasons.
        let _ = sys::unblock(&SignalSet::of(self.newly_blocked.iter().copied()));
    }
}

impl std::fmt::Debug for MaskGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MaskGuard").field("newly_blocked", &self.newly_blocked).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RealtimeSignal;

    #[test]
    fn an_inner_guard_restores_only_what_it_has_blocked_itself() {
        let signal = |offset| RealtimeSignal::from_offset(offset).expect("there are more");
        let blocked =
            || [1, 2].map(|offset| MaskGuard::is_blocked(signal(offset)).expect("a mask"));

        let outer = MaskGuard::block([signal(1)]).expect("a mask");
        let inner = MaskGuard::block([signal(1), signal(2)]).expect("a mask");
        assert_eq!(blocked(), [true, true]);
        drop(inner);
        assert_eq!(blocked(), [true, false]);
        drop(outer);
        assert_eq!(blocked(), [false, false]);
    }

    #[test]
    fn a_thread_inherits_the_mask() {
        let signal = RealtimeSignal::from_offset(3).expect("there are more");
        let _mask = MaskGuard::block([signal]).expect("a mask");
        let in_thread = std::thread::spawn(move || MaskGuard::is_blocked(signal));
        assert!(in_thread.join().expect("no panic").expect("a mask"));
    }
}
