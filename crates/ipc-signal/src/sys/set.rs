//! Sets of signals, the calling thread's mask, and the signalfd that reads a set.

// `sigset_t` and the calls that take it exist only as C functions that take pointers.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::Signal;

/// A set of signals.
#[derive(Clone, Copy)]
pub(crate) struct SignalSet(libc::sigset_t);

impl SignalSet {
    pub(crate) fn of(signals: impl IntoIterator<Item = Signal>) -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: the pointer is to writable memory of the right type; the call writes all of it.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: written by the call above, which cannot fail for a valid pointer.
        let mut set = unsafe { set.assume_init() };
        for signal in signals {
            // SAFETY: `set` is initialised; the call writes nowhere else. It fails only for numbers
            // that are no signals.
            unsafe { libc::sigaddset(&mut set, signal.number()) };
        }
        Self(set)
    }

    /// Every signal but those that the C library keeps for itself.
    pub(crate) fn full() -> Self {
        let mut set = Self::of([]);
        // SAFETY: `set` is initialised, and written as a whole.
        unsafe { libc::sigfillset(&mut set.0) };
        set
    }

    pub(crate) fn contains(&self, signal: Signal) -> bool {
        // SAFETY: `self.0` is initialised and only read.
        let answer = unsafe { libc::sigismember(&self.0, signal.number()) };
        answer == 1
    }

    pub(super) fn as_ptr(&self) -> *const libc::sigset_t {
        &self.0
    }

    pub(super) fn into_inner(self) -> libc::sigset_t {
        self.0
    }
}

impl std::fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let members = (1..=64).map(Signal::reported).filter(|&signal| self.contains(signal));
        f.debug_set().entries(members).finish()
    }
}

/// Blocks the signals of `set` in the calling thread; returns the mask that it had.
pub(crate) fn block(set: &SignalSet) -> io::Result<SignalSet> {
    change_mask(libc::SIG_BLOCK, set)
}

/// Unblocks the signals of `set` in the calling thread; returns the mask that it had.
pub(crate) fn unblock(set: &SignalSet) -> io::Result<SignalSet> {
    change_mask(libc::SIG_UNBLOCK, set)
}

fn change_mask(how: libc::c_int, set: &SignalSet) -> io::Result<SignalSet> {
    let mut before = SignalSet::of([]);
    // SAFETY: both sets are initialised and live throughout; only `before` is written. Which signals
    // a thread blocks is no matter of memory safety.
    let error = unsafe { libc::pthread_sigmask(how, &set.0, &mut before.0) };
    if error == 0 { Ok(before) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// A non-blocking `signalfd(2)` for the signals of `set`.
pub(crate) fn signalfd(set: &SignalSet) -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised and only read; -1 asks for a new descriptor.
    let fd = unsafe { libc::signalfd(-1, &set.0, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
