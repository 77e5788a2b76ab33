//! The functions of `<mqueue.h>`, with descriptors that close themselves, slices, and errors as
//! results. Nothing else: no policy, no retries. See `mq_overview(7)`.
#![allow(unsafe_code)] // calls into the C library

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use libc::{c_int, c_long, c_uint, mq_attr, ssize_t, timespec};
use rustix::io::Errno;

/// For which of the two ends a queue is opened. The kernel refuses the calls of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Send,
    Receive,
}

/// What a queue is made with if there is none of its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Creation {
    /// Fail if there is one.
    pub(super) exclusive: bool,
    /// Permission bits, of which the umask is taken off.
    pub(super) mode: u32,
    /// 1–65,536: what is more, no kernel allows.
    pub(super) capacity_messages: usize,
    /// 1–16,777,216: what is more, no kernel allows.
    pub(super) max_message_bytes: usize,
}

/// Whether a call may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// It must not: `ETIMEDOUT` where it would.
    None,
    /// It may, until there is room or a message, or a signal comes (`EINTR`).
    Unlimited,
}

/// `mq_open(3)`, always close-on-exec.
pub(super) fn mq_open(
    name: &CStr,
    access: Access,
    creation: Option<Creation>,
) -> Result<OwnedFd, Errno> {
    let flags = libc::O_CLOEXEC
        | match access {
            Access::Send => libc::O_WRONLY,
            Access::Receive => libc::O_RDONLY,
        };
    let descriptor = match creation {
        None => {
            // SAFETY: the name ends with a NUL; without O_CREAT there are two arguments.
            unsafe { libc::mq_open(name.as_ptr(), flags) }
        }
        Some(creation) => {
            let exclusive = if creation.exclusive { libc::O_EXCL } else { 0 };
            let flags = flags | libc::O_CREAT | exclusive;
            let mode: c_uint = creation.mode;
            let mut attributes = zeroed_attributes();
            attributes.mq_maxmsg = creation.capacity_messages as c_long;
            attributes.mq_msgsize = creation.max_message_bytes as c_long;
            // SAFETY: the name ends with a NUL; with O_CREAT there follow a mode, of the type that
            // C promotes mode_t to, and a pointer to attributes that outlive the call.
            unsafe { libc::mq_open(name.as_ptr(), flags, mode, &raw const attributes) }
        }
    };
    check(descriptor)?;
    // SAFETY: on Linux a queue descriptor is a file descriptor, and this one is new: nobody else
    // owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// `mq_unlink(3)`.
pub(super) fn mq_unlink(name: &CStr) -> Result<(), Errno> {
    // SAFETY: the name ends with a NUL.
    check(unsafe { libc::mq_unlink(name.as_ptr()) })
}

/// `mq_getattr(3)`.
pub(super) fn mq_getattr(queue: BorrowedFd<'_>) -> Result<mq_attr, Errno> {
    let mut attributes = zeroed_attributes();
    // SAFETY: the pointer is to attributes that may be written.
    check(unsafe { libc::mq_getattr(queue.as_raw_fd(), &raw mut attributes) })?;
    Ok(attributes)
}

/// `mq_timedsend(3)`.
pub(super) fn mq_send(
    queue: BorrowedFd<'_>,
    message: &[u8],
    priority: u32,
    patience: Patience,
) -> Result<(), Errno> {
    // SAFETY: the pointer and the length are those of a slice; the time is null or a static.
    check(unsafe {
        libc::mq_timedsend(
            queue.as_raw_fd(),
            message.as_ptr().cast(),
            message.len(),
            priority,
            patience.time_limit(),
        )
    })
}

/// `mq_timedreceive(3)`; the message's length and its priority. The kernel wants a buffer of at
/// least the queue's longest message, or it answers `EMSGSIZE`.
pub(super) fn mq_receive(
    queue: BorrowedFd<'_>,
    buffer: &mut [u8],
    patience: Patience,
) -> Result<(usize, u32), Errno> {
    let mut priority = 0;
    // SAFETY: the pointer and the length are those of a slice that may be written, and so may the
    // priority; the time is null or a static.
    let len: ssize_t = unsafe {
        libc::mq_timedreceive(
            queue.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            &raw mut priority,
            patience.time_limit(),
        )
    };
    let len = usize::try_from(len).map_err(|_| last_errno())?;
    Ok((len, priority))
}

impl Patience {
    /// The `abs_timeout` that says this. It is on the wall clock, which jumps: so we say only "never"
    /// (null) and "in 1970", and wait for deadlines with `poll(2)`.
    fn time_limit(self) -> *const timespec {
        static PAST: timespec = timespec { tv_sec: 0, tv_nsec: 0 };
        match self {
            Self::None => &raw const PAST,
            Self::Unlimited => ptr::null(),
        }
    }
}

fn zeroed_attributes() -> mq_attr {
    // SAFETY: it holds integers only, of which zero is a value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

fn check(result: c_int) -> Result<(), Errno> {
    if result == -1 { Err(last_errno()) } else { Ok(()) }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).expect("it is the system's error")
}
