//! The system calls of this crate that rustix does not have, made safe. Leaves out what they mean.

// `sigset_t` and the calls that take it, and `pidfd_send_signal(2)` with a `siginfo_t`, exist only as
// C functions that take pointers.
#![allow(unsafe_code)]

use std::io;
use std::mem::{MaybeUninit, offset_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use crate::RealtimeSignal;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a signal's value has the size of a pointer, and the messages here are of 8 bytes");

/// A set of signals.
#[derive(Clone, Copy)]
pub(crate) struct SignalSet(libc::sigset_t);

impl SignalSet {
    pub(crate) fn of(signals: impl IntoIterator<Item = RealtimeSignal>) -> Self {
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

    pub(crate) fn contains(&self, signal: RealtimeSignal) -> bool {
        // SAFETY: `self.0` is initialised and only read.
        let answer = unsafe { libc::sigismember(&self.0, signal.number()) };
        answer == 1
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

/// What `siginfo_t` holds for a signal that was queued with a value (`SI_QUEUE`).
#[derive(Debug)]
#[repr(C)]
pub(crate) struct QueuedInfo {
    /// The signal's number.
    pub(crate) signo: i32,
    errno: i32,
    code: i32,
    gap: u32,
    /// Who claims to have sent it.
    pub(crate) pid: u32,
    /// The sender's real user id, as it claims.
    pub(crate) uid: u32,
    /// The bytes of the `union sigval`.
    pub(crate) value: [u8; 8],
    rest: [u64; 12],
}

// Fails on MIPS, whose `siginfo_t` has the code before the error number.
const _: () = assert!(offset_of!(QueuedInfo, errno) == offset_of!(libc::siginfo_t, si_errno));
const _: () = assert!(offset_of!(QueuedInfo, code) == offset_of!(libc::siginfo_t, si_code));
const _: () = assert!(offset_of!(QueuedInfo, pid) == 16);
const _: () = assert!(offset_of!(QueuedInfo, value) == 24);
const _: () = assert!(size_of::<QueuedInfo>() == size_of::<libc::siginfo_t>());

impl QueuedInfo {
    /// The signal of this number with a value of zeros, from a process and user.
    pub(crate) fn new(signo: i32, pid: u32, uid: u32) -> Self {
        let code = libc::SI_QUEUE;
        Self { signo, errno: 0, code, gap: 0, pid, uid, value: [0; 8], rest: [0; 12] }
    }
}

/// Queues a signal with a value to the process behind a pidfd; with number 0, only checks that this
/// would be allowed (`pidfd_send_signal(2)`, Linux 5.1).
pub(crate) fn queue(pidfd: BorrowedFd<'_>, info: &QueuedInfo) -> io::Result<()> {
    const NO_FLAGS: libc::c_uint = 0;
    let fd = pidfd.as_raw_fd();
    let info_pointer = ptr::from_ref(info);
    // SAFETY: the descriptor is open throughout; `info` has the size and layout of a `siginfo_t`
    // (asserted above) without uninitialised bytes, and is only read.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, fd, info.signo, info_pointer, NO_FLAGS)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queued_info_has_the_layout_that_c_programs_read() {
        let mut info = QueuedInfo::new(40, 17, 1000);
        info.value = 0x0102_0304_0506_0708_u64.to_ne_bytes();
        // SAFETY: same size and no invalid values; see the assertions on the layout.
        let theirs: libc::siginfo_t = unsafe { std::mem::transmute(info) };
        assert_eq!((theirs.si_signo, theirs.si_errno, theirs.si_code), (40, 0, libc::SI_QUEUE));
        // SAFETY: these are the fields of a queued signal.
        assert_eq!(unsafe { theirs.si_pid() }, 17);
        // SAFETY: as above.
        assert_eq!(unsafe { theirs.si_uid() }, 1000);
        // SAFETY: as above.
        let value = unsafe { theirs.si_value() };
        assert_eq!(value.sival_ptr.addr(), 0x0102_0304_0506_0708);
    }
}
