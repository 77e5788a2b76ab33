//! The particulars of one signal (`siginfo_t`), and the calls that give them to the kernel or take
//! them from it.

// `siginfo_t` is a union in C; the calls take pointers to it, and some have no C function at all.
#![allow(unsafe_code)]

use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

use super::SignalSet;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a signal's value has the size of a pointer, and the messages here are of 8 bytes");

/// A `siginfo_t`, with the names that its fields have for a signal that was queued with a value
/// (`SI_QUEUE`). The kernel fills all of it, with zeros where a signal has nothing to say.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct SignalInfo {
    /// The signal's number.
    pub(crate) signo: i32,
    errno: i32,
    /// How it came about.
    pub(crate) code: i32,
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
const _: () = assert!(offset_of!(SignalInfo, errno) == offset_of!(libc::siginfo_t, si_errno));
const _: () = assert!(offset_of!(SignalInfo, code) == offset_of!(libc::siginfo_t, si_code));
const _: () = assert!(offset_of!(SignalInfo, pid) == 16);
const _: () = assert!(offset_of!(SignalInfo, value) == 24);
const _: () = assert!(size_of::<SignalInfo>() == size_of::<libc::siginfo_t>());
const _: () = assert!(align_of::<SignalInfo>() == align_of::<libc::siginfo_t>());

impl SignalInfo {
    /// Nothing, to be filled in by the kernel.
    pub(crate) const EMPTY: Self =
        Self { signo: 0, errno: 0, code: 0, gap: 0, pid: 0, uid: 0, value: [0; 8], rest: [0; 12] };

    /// The signal of this number with a value of zeros, from a process and user.
    pub(crate) fn queued(signo: i32, pid: u32, uid: u32) -> Self {
        Self { signo, code: libc::SI_QUEUE, pid, uid, ..Self::EMPTY }
    }

    /// Of a timer's signal: how many more expiries it stands for (`si_overrun`).
    pub(crate) fn overruns(&self) -> u32 {
        self.uid // the same place in the union
    }

    /// Of a fault: the address (`si_addr`).
    pub(crate) fn address(&self) -> u64 {
        let mut bytes = [0; 8]; // the same place as the process and user id
        bytes[..4].copy_from_slice(&self.pid.to_ne_bytes());
        bytes[4..].copy_from_slice(&self.uid.to_ne_bytes());
        u64::from_ne_bytes(bytes)
    }
}

/// Queues a signal with its particulars to the process behind a pidfd (`pidfd_send_signal(2)`,
/// Linux 5.1); with number 0, only checks that this would be allowed. Without particulars, sends it as
/// `kill(2)` does.
pub(crate) fn queue(
    pidfd: BorrowedFd<'_>,
    signo: i32,
    info: Option<&SignalInfo>,
) -> io::Result<()> {
    const NO_FLAGS: libc::c_uint = 0;
    let fd = pidfd.as_raw_fd();
    let info = info.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the descriptor is open throughout; `info` is null, or has the size and layout of a
    // `siginfo_t` (asserted above) without uninitialised bytes, and is only read.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signo, info, NO_FLAGS) };
    check(result)
}

/// Queues a signal to one thread of a process (`rt_tgsigqueueinfo(2)`), or sends it without particulars
/// (`tgkill(2)`); number 0 only checks that this would be allowed.
pub(crate) fn queue_to_thread(
    process: u32,
    thread: u32,
    signo: i32,
    info: Option<&SignalInfo>,
) -> io::Result<()> {
    let result = match info {
        Some(info) => {
            let info = ptr::from_ref(info);
            // SAFETY: as in `queue`; the rest are numbers.
            unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, signo, info) }
        }
        // SAFETY: nothing but numbers.
        None => unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signo) },
    };
    check(result)
}

/// Sends a signal to all processes of a group (`killpg(3)`).
pub(crate) fn send_to_group(group: i32, signo: i32) -> io::Result<()> {
    // SAFETY: nothing but numbers.
    let result = unsafe { libc::kill(-group, signo) };
    check(result.into())
}

/// Whether a group has any process, a zombie included, that this one may signal or not.
pub(crate) fn group_exists(group: i32) -> io::Result<bool> {
    match send_to_group(group, 0) {
        Ok(()) => Ok(true),
        Err(error) => match error.raw_os_error() {
            Some(libc::EPERM) => Ok(true),
            Some(libc::ESRCH) => Ok(false),
            _ => Err(error),
        },
    }
}

/// Takes one pending signal of `set` from the calling thread or its process, waiting for one as long
/// as `timeout` (`None`: without limit) (`sigtimedwait(2)`).
///
/// # Errors
///
/// `EAGAIN` if none came; `EINTR` if a handler ran.
pub(crate) fn take(set: &SignalSet, timeout: Option<Duration>) -> io::Result<SignalInfo> {
    let mut info = SignalInfo::EMPTY;
    let info_pointer = ptr::from_mut(&mut info).cast::<libc::siginfo_t>();
    // A wait longer than a timespec can say is one without limit.
    let limit = timeout.and_then(|timeout| {
        let tv_sec = libc::time_t::try_from(timeout.as_secs()).ok()?;
        Some(libc::timespec { tv_sec, tv_nsec: timeout.subsec_nanos().into() })
    });
    let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `info` has the size, alignment and layout of a `siginfo_t` (asserted above), any bytes are
    // valid in it, and it is written by nobody else; the set and the time are live and only read.
    let result = unsafe { libc::sigtimedwait(set.as_ptr(), info_pointer, limit) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(info) }
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queued_info_has_the_layout_that_c_programs_read() {
        let mut info = SignalInfo::queued(40, 17, 1000);
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
        // SAFETY: the same bytes as the address of a fault.
        let address = unsafe { theirs.si_addr() };
        assert_eq!(address.addr() as u64, info.address());
    }
}
