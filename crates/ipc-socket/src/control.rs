//! The calls around control messages and credentials that need raw C structures: one `recvmsg(2)`
//! and two socket options. Leaves out waiting and policy: see `descriptors.rs`.
//!
//! `rustix` has `recvmsg` and `SO_PEERCRED` too, but reads the process id into a non-zero type,
//! while the kernel writes 0 for a process of another PID namespace; and it has no `SO_PEERPIDFD`.

// Control messages have no safe parser; each block reads only what the kernel reports to be there.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io::IoSliceMut;
use std::mem::{MaybeUninit, size_of};
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use ipc_core::{Evidence, ProcessPeer};
use rustix::io::Errno;
use rustix::net::RecvFlags;

/// The most descriptors that one message carries (`SCM_MAX_FD`).
pub(crate) const SCM_MAX_FD: usize = 253;

/// The type of a control message that carries a pidfd (`SO_PASSPIDFD`, Linux 6.5).
const SCM_PIDFD: c_int = 4;

/// Room for one control message with `payload` bytes.
const fn space(payload: usize) -> usize {
    // SAFETY: CMSG_SPACE only computes.
    unsafe { libc::CMSG_SPACE(payload as u32) as usize }
}

/// Room for credentials, always left, so that an option on the socket cannot truncate descriptors.
const CREDENTIALS_SPACE: usize = space(size_of::<libc::ucred>());
const PIDFD_SPACE: usize = space(size_of::<c_int>());
const CONTROL_LEN_MAX: usize =
    space(SCM_MAX_FD * size_of::<c_int>()) + CREDENTIALS_SPACE + PIDFD_SPACE;
/// Room for what comes without descriptors, kept apart so that plain receives clear little memory.
const CONTROL_LEN_PLAIN: usize = CREDENTIALS_SPACE + PIDFD_SPACE;

/// What one `recvmsg(2)` brought.
#[derive(Debug)]
pub(crate) struct Message {
    /// Bytes received; with `MSG_TRUNC` among the call's flags, the length of the whole packet.
    pub(crate) len: usize,
    /// The packet did not fit (`MSG_TRUNC`).
    pub(crate) truncated: bool,
    /// Control messages were lost (`MSG_CTRUNC`).
    pub(crate) control_truncated: bool,
    pub(crate) descriptors: Vec<OwnedFd>,
    pub(crate) sender: Option<ProcessPeer>,
}

/// One `recvmsg(2)` with room for `max_descriptors`, all close-on-exec. Errors, `EINTR` among them,
/// are the caller's to handle.
pub(crate) fn recvmsg(
    socket: BorrowedFd<'_>,
    parts: &mut [IoSliceMut<'_>],
    max_descriptors: usize,
    flags: RecvFlags,
) -> Result<Message, Errno> {
    if max_descriptors == 0 {
        let mut control = [0u64; CONTROL_LEN_PLAIN / 8];
        return recvmsg_into(socket, parts, &mut control, flags);
    }
    let mut control = [0u64; CONTROL_LEN_MAX / 8];
    let len = space(max_descriptors.min(SCM_MAX_FD) * size_of::<c_int>()) + CONTROL_LEN_PLAIN;
    recvmsg_into(socket, parts, &mut control[..len / 8], flags)
}

fn recvmsg_into(
    socket: BorrowedFd<'_>,
    parts: &mut [IoSliceMut<'_>],
    control: &mut [u64],
    flags: RecvFlags,
) -> Result<Message, Errno> {
    let header = MaybeUninit::<libc::msghdr>::zeroed();
    // SAFETY: null pointers and zero lengths are a valid, empty header.
    let mut header = unsafe { header.assume_init() };
    header.msg_iov = parts.as_mut_ptr().cast(); // IoSliceMut has the layout of an iovec
    header.msg_iovlen = parts.len() as _;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(control) as _;
    let flags = (flags | RecvFlags::CMSG_CLOEXEC).bits() as c_int;
    // SAFETY: the header points at buffers that are borrowed mutably until the call returns, with
    // their true lengths; the control buffer is aligned for cmsghdr (8 bytes).
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header, flags) };
    let len = usize::try_from(received).map_err(|_| last_errno())?;
    let mut message = Message {
        len,
        truncated: header.msg_flags & libc::MSG_TRUNC != 0,
        control_truncated: header.msg_flags & libc::MSG_CTRUNC != 0,
        descriptors: Vec::new(),
        sender: None,
    };
    take_control(&header, &mut message);
    Ok(message)
}

/// Moves what the control buffer holds into `message`. `header` comes fresh from the kernel.
fn take_control(header: &libc::msghdr, message: &mut Message) {
    // SAFETY: the kernel set msg_controllen to what it wrote to the buffer at msg_control.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !next.is_null() {
        // SAFETY: the two macros return null or an aligned header wholly within the buffer.
        let cmsg = unsafe { next.read() };
        // SAFETY: as above; the data follow the header.
        let data = unsafe { libc::CMSG_DATA(next) };
        // SAFETY: CMSG_LEN only computes.
        let header_len = unsafe { libc::CMSG_LEN(0) } as usize;
        let data_len = (cmsg.cmsg_len as usize).saturating_sub(header_len);
        match (cmsg.cmsg_level, cmsg.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                for index in 0..data_len / size_of::<c_int>() {
                    let descriptor = take_descriptor(data, index);
                    message.descriptors.push(descriptor);
                }
            }
            // Only a socket whose user set SO_PASSPIDFD gets one; nobody here asks for it.
            (libc::SOL_SOCKET, SCM_PIDFD) if data_len >= size_of::<c_int>() => {
                drop(take_descriptor(data, 0));
            }
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if data_len >= size_of::<libc::ucred>() => {
                // SAFETY: the kernel wrote a ucred there; any bytes are one.
                let credentials = unsafe { data.cast::<libc::ucred>().read_unaligned() };
                message.sender = Some(process_peer(credentials));
            }
            _ => {}
        }
        // SAFETY: `next` is a header of this buffer; Linux keeps cmsg_len within it.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
    }
}

/// Takes the descriptor number `index` out of a control message's data; each is taken once.
fn take_descriptor(data: *const u8, index: usize) -> OwnedFd {
    let numbers = data.cast::<c_int>();
    // SAFETY: the caller checked that the data hold more than `index` numbers.
    let number = unsafe { numbers.add(index) };
    // SAFETY: as above; the data are aligned for cmsghdr only.
    let number = unsafe { number.read_unaligned() };
    // SAFETY: the kernel made this descriptor for us just now, and nothing else owns it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// `SO_PEERCRED`.
pub(crate) fn socket_peercred(socket: BorrowedFd<'_>) -> Result<ProcessPeer, Errno> {
    let empty = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    socket_option(socket, libc::SO_PEERCRED, empty).map(process_peer)
}

/// `SO_PEERPIDFD` (Linux 6.5). The kernel makes it close-on-exec.
pub(crate) fn socket_peerpidfd(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let number: c_int = socket_option(socket, libc::SO_PEERPIDFD, -1)?;
    // SAFETY: the call succeeded, so the kernel made this descriptor for us and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Reads an option of `SOL_SOCKET`. `T` is a C type any bytes of which are a value.
fn socket_option<T: Copy>(socket: BorrowedFd<'_>, option: c_int, mut value: T) -> Result<T, Errno> {
    let mut len = size_of::<T>() as libc::socklen_t;
    let pointer = (&raw mut value).cast();
    // SAFETY: the kernel writes at most `len` bytes to `value`.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, pointer, &mut len)
    };
    if result == 0 { Ok(value) } else { Err(last_errno()) }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

fn process_peer(credentials: libc::ucred) -> ProcessPeer {
    ProcessPeer {
        // 0 stands for a process of another PID namespace.
        pid: u32::try_from(credentials.pid).ok().and_then(NonZeroU32::new),
        uid: credentials.uid,
        gid: Some(credentials.gid),
        evidence: Evidence::Kernel,
    }
}
