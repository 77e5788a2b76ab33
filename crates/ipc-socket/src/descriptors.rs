//! Descriptors and credentials over any Unix socket. Leaves out the endpoints, which carry bytes
//! alone.
//!
//! A descriptor that travels over a socket is a new descriptor of the receiver for the same open
//! file, as `dup(2)` would make it, close-on-exec from birth here. What a receiver did not ask for is
//! never left open in it: whatever goes wrong, the descriptors that arrived are closed.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use ipc_core::{Deadline, Interest, Liveness, PeerId, ProcessPeer};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, UCred};

use crate::{attempt, control};

/// The most descriptors that one message carries: the kernel's `SCM_MAX_FD`.
pub const MAX_DESCRIPTORS: usize = control::SCM_MAX_FD;

/// Sends bytes together with descriptors, waiting for room until `deadline`; returns how many bytes
/// were sent.
///
/// On a packet socket that is all of them. On a stream it may be fewer: the descriptors went with the
/// first byte, so send the rest without them. They need at least one byte to travel with. The sender
/// keeps its descriptors. See `sendmsg(2)`, `unix(7)`.
///
/// # Errors
///
/// [`WouldBlock`](io::ErrorKind::WouldBlock) under [`Deadline::Now`] and
/// [`TimedOut`](io::ErrorKind::TimedOut) under others when there was no room, with nothing sent;
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for more than [`MAX_DESCRIPTORS`], or for
/// descriptors without bytes; `ETOOMANYREFS` when more descriptors are under way than
/// `RLIMIT_NOFILE` allows; `EPIPE` (never the signal) when the peer is gone; others of `sendmsg(2)`.
pub fn send_with_descriptors(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    deadline: Deadline,
) -> io::Result<usize> {
    send(socket, bytes, descriptors, None, deadline)
}

/// As [`send_with_descriptors`], and names this process as the sender: its process id and its effective
/// user and group (`SCM_CREDENTIALS`), which the kernel checks.
///
/// Ordinarily the kernel adds credentials only if the receiver asked for them before the message was
/// sent. Those attached here are there whenever it asks, as long as it does so before it receives
/// ([`pass_credentials`]); one that does not ask gets the message without them. Only a privileged process
/// (`CAP_SYS_ADMIN`, `CAP_SETUID`) could name another than itself.
///
/// # Errors
///
/// Those of [`send_with_descriptors`]; `EINVAL` if the user or group has no mapping in this process's
/// user namespace.
pub fn send_with_credentials(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    deadline: Deadline,
) -> io::Result<usize> {
    let ours = UCred {
        pid: rustix::process::getpid(),
        uid: rustix::process::geteuid(),
        gid: rustix::process::getegid(),
    };
    send(socket, bytes, descriptors, Some(ours), deadline)
}

fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    credentials: Option<UCred>,
    deadline: Deadline,
) -> io::Result<usize> {
    if descriptors.len() > MAX_DESCRIPTORS {
        let what = format!("{} descriptors in one message, at most 253 go", descriptors.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    if bytes.is_empty() && !descriptors.is_empty() {
        let what = "descriptors need at least one byte to travel with";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let mut space =
        [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS), ScmCredentials(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let mut push = |message| {
        let pushed = ancillary.push(message);
        debug_assert!(pushed, "there is room for the most that may come");
    };
    if !descriptors.is_empty() {
        push(SendAncillaryMessage::ScmRights(descriptors));
    }
    if let Some(credentials) = credentials {
        push(SendAncillaryMessage::ScmCredentials(credentials));
    }
    let parts = [IoSlice::new(bytes)];
    let sent = attempt::until(socket, Interest::Writable, deadline, |may_block| {
        rustix::net::sendmsg(socket, &parts, &mut ancillary, attempt::send_flags(may_block))
    });
    in_time(sent, deadline)
}

/// What one receive with descriptors brought.
#[derive(Debug)]
pub struct Arrival {
    /// Bytes received. 0 is the end of a stream, or of a packet connection.
    pub len: usize,
    /// The descriptors that came with them, close-on-exec.
    pub descriptors: Vec<OwnedFd>,
    /// Who sent, if [`pass_credentials`] is on for this socket: what the kernel filled in or checked
    /// for this very message, at the time of sending.
    pub sender: Option<PeerId>,
}

/// Receives bytes and at most `max_descriptors` descriptors, waiting until `deadline`.
///
/// On a stream one call never reads past the bytes of one send that carried descriptors. See
/// `recvmsg(2)`, `unix(7)`.
///
/// # Errors
///
/// [`WouldBlock`](io::ErrorKind::WouldBlock) under [`Deadline::Now`] and
/// [`TimedOut`](io::ErrorKind::TimedOut) under others when nothing came;
/// [`InvalidData`](io::ErrorKind::InvalidData) when more descriptors came than were asked for or than
/// this process may open (`RLIMIT_NOFILE`), or when a packet is longer than `buffer`. Such a message
/// is lost, and every descriptor of it is closed.
pub fn recv_with_descriptors(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    max_descriptors: usize,
    deadline: Deadline,
) -> io::Result<Arrival> {
    let message = attempt::until(socket, Interest::Readable, deadline, |may_block| {
        let mut parts = [IoSliceMut::new(buffer)];
        control::recvmsg(socket, &mut parts, max_descriptors, attempt::recv_flags(may_block))
    });
    let message = in_time(message, deadline)?;
    let invalid = |what: String| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    if message.control_truncated || message.descriptors.len() > max_descriptors {
        return invalid(format!(
            "descriptors were cut off: more came than the {max_descriptors} asked for, \
             or than RLIMIT_NOFILE (ulimit -n) allows"
        ));
    }
    if message.truncated {
        return invalid(format!("the packet is longer than the buffer of {}", buffer.len()));
    }
    let sender = message.sender.map(PeerId::Process);
    Ok(Arrival { len: message.len, descriptors: message.descriptors, sender })
}

/// Turns on or off that the kernel adds the sender's credentials to each message that this socket
/// receives (`SO_PASSCRED`). Messages that were sent before lack them (process id `None` and the overflow
/// user 65534), unless their sender attached them itself, as [`send_with_credentials`] does.
///
/// # Errors
///
/// Those of `setsockopt(2)`.
pub fn pass_credentials(socket: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_passcred(socket, on)?)
}

/// The credentials of the process that called `connect`, `listen` or `socketpair` at the other end,
/// as they were then (`SO_PEERCRED`).
///
/// That process is not always the one that sends: a listener may have forked its workers, and a
/// descriptor may have been passed on. Use it for decisions by user id; to know who sent a message use
/// [`pass_credentials`].
///
/// # Errors
///
/// Those of `getsockopt(2)`. A socket without a peer gives no error, but no process id and user
/// `u32::MAX`.
pub fn peer_credentials(socket: BorrowedFd<'_>) -> io::Result<ProcessPeer> {
    Ok(control::socket_peercred(socket)?)
}

/// A watch on the process that [`peer_credentials`] names, free of any race with reused process ids
/// (`SO_PEERPIDFD`, Linux 6.5). `None` where the kernel does not have it.
///
/// # Errors
///
/// `ESRCH` or `EINVAL`, by kernel version, when that process is gone and reaped already; `ENODATA` on
/// a socket without a peer.
pub fn peer_liveness(socket: BorrowedFd<'_>) -> io::Result<Option<Liveness>> {
    liveness_of(control::socket_peerpidfd(socket))
}

/// What the kernel's answer means.
fn liveness_of(answer: Result<OwnedFd, Errno>) -> io::Result<Option<Liveness>> {
    match answer {
        Ok(pidfd) => Ok(Some(Liveness::of_pidfd(pidfd))),
        Err(Errno::NOPROTOOPT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// The operations above as errors of the standard library.
fn in_time<T>(outcome: Result<Option<T>, Errno>, deadline: Deadline) -> io::Result<T> {
    match outcome? {
        Some(value) => Ok(value),
        None if deadline == Deadline::Now => Err(Errno::AGAIN.into()),
        None => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_the_option_is_no_error() {
        assert!(liveness_of(Err(Errno::NOPROTOOPT)).expect("older than Linux 6.5").is_none());
        let error = liveness_of(Err(Errno::SRCH)).expect_err("the peer is gone");
        assert_eq!(error.raw_os_error(), Some(Errno::SRCH.raw_os_error()));
    }
}
