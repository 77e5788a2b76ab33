//! One socket call, tried until a deadline. Leaves out what the bytes mean.

use std::os::fd::{AsFd, BorrowedFd};

use ipc_core::{Deadline, Interest, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// Calls `call` until it does something else than find the socket not ready; `None` when `deadline`
/// has passed. `call` gets whether it may block.
///
/// Only under [`Deadline::Never`] does the call itself block, which saves the `poll(2)`. It must
/// otherwise use `MSG_DONTWAIT`, which concerns that call alone: `O_NONBLOCK` would belong to
/// every process that shares the socket. Where a user has set that flag, the call fails with `EAGAIN`
/// and `poll(2)` waits instead.
pub(crate) fn until<T>(
    socket: BorrowedFd<'_>,
    interest: Interest,
    deadline: Deadline,
    mut call: impl FnMut(bool) -> Result<T, Errno>,
) -> Result<Option<T>, Errno> {
    let may_block = deadline == Deadline::Never;
    let mut is_last = deadline == Deadline::Now;
    loop {
        match call(may_block) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if is_last => return Ok(None),
            // `poll` reports room only when much of it is free (a quarter full, for a Unix socket);
            // there may be enough before that, so a wait that ends without it tries once more.
            Err(Errno::AGAIN) => is_last = !ready(socket, interest, deadline)?,
            other => return other.map(Some),
        }
    }
}

/// Waits until the socket is ready; tells whether it is.
pub(crate) fn ready(
    socket: BorrowedFd<'_>,
    interest: Interest,
    deadline: Deadline,
) -> Result<bool, Errno> {
    poll::wait_ready(socket, interest, deadline)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// `send(2)` of one buffer; `None` when the deadline passed without room.
pub(crate) fn send(
    socket: impl AsFd,
    bytes: &[u8],
    deadline: Deadline,
) -> Result<Option<usize>, Errno> {
    until(socket.as_fd(), Interest::Writable, deadline, |may_block| {
        rustix::net::send(&socket, bytes, send_flags(may_block))
    })
}

/// `recv(2)` into one buffer; `None` when the deadline passed and nothing came.
pub(crate) fn recv(
    socket: impl AsFd,
    buffer: &mut [u8],
    deadline: Deadline,
) -> Result<Option<usize>, Errno> {
    until(socket.as_fd(), Interest::Readable, deadline, |may_block| {
        rustix::net::recv(&socket, &mut *buffer, recv_flags(may_block)).map(|(len, _)| len)
    })
}

/// The flags of every send: never `SIGPIPE`.
pub(crate) fn send_flags(may_block: bool) -> SendFlags {
    if may_block { SendFlags::NOSIGNAL } else { SendFlags::NOSIGNAL | SendFlags::DONTWAIT }
}

/// The flags of every receive.
pub(crate) fn recv_flags(may_block: bool) -> RecvFlags {
    if may_block { RecvFlags::empty() } else { RecvFlags::DONTWAIT }
}

/// Whether an error of a stream says that the peer is gone, or that the system has given it up: after many
/// packets without an answer, a connection ends with the last that was heard of the way to the peer.
pub(crate) fn is_stream_gone(errno: Errno) -> bool {
    is_gone(errno) || matches!(errno, Errno::TIMEDOUT | Errno::HOSTUNREACH | Errno::NETUNREACH)
}

/// Whether an error of a connected socket says that the peer is gone.
///
/// `ECONNREFUSED` comes from a Unix datagram socket whose receiver has closed, and `ENOTCONN` from
/// every send after that.
pub(crate) fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::PIPE | Errno::CONNRESET | Errno::CONNREFUSED | Errno::NOTCONN)
}
