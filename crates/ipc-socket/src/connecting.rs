//! Connecting, listening and accepting until a deadline. Leaves out addresses and options.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use ipc_core::{Deadline, Interest, OpenError, OpenErrorKind, Resource};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{SocketAddrUnix, SocketFlags};

use crate::attempt;

/// How many connections may wait to be accepted; `/proc/sys/net/core/somaxconn` may allow fewer.
const BACKLOG: i32 = 4096;

/// Connects a Unix socket of our own; false when the deadline passed with the listener's queue full.
///
/// `poll(2)` cannot wait for room in that queue, but the send time-out bounds a blocking `connect(2)`.
pub(crate) fn connect_unix(
    socket: BorrowedFd<'_>,
    address: &SocketAddrUnix,
    deadline: Deadline,
) -> Result<bool, Errno> {
    if deadline == Deadline::Now {
        rustix::fs::fcntl_setfl(socket, OFlags::NONBLOCK)?;
    }
    let connected = loop {
        if matches!(deadline, Deadline::At(_)) {
            // Zero would mean no limit.
            let left = deadline.remaining().unwrap_or_default().max(Duration::from_micros(1));
            sockopt::set_socket_timeout(socket, Timeout::Send, Some(left))?;
        }
        match rustix::net::connect(socket, address) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if deadline.has_passed() => break false,
            Err(Errno::AGAIN) => {}
            other => {
                other?;
                break true;
            }
        }
    };
    match deadline {
        Deadline::Now => rustix::fs::fcntl_setfl(socket, OFlags::empty())?,
        Deadline::At(_) => sockopt::set_socket_timeout(socket, Timeout::Send, None)?,
        Deadline::Never => {}
    }
    Ok(connected)
}

/// Connects a TCP socket of our own; false when the deadline passed before the peer answered.
pub(crate) fn connect_tcp(
    socket: BorrowedFd<'_>,
    address: &SocketAddr,
    deadline: Deadline,
) -> Result<bool, Errno> {
    rustix::fs::fcntl_setfl(socket, OFlags::NONBLOCK)?;
    match rustix::net::connect(socket, address) {
        Ok(()) => {}
        // An interrupted connect goes on, as one that does not block does.
        Err(Errno::INPROGRESS | Errno::INTR) => {
            if !attempt::ready(socket, Interest::Writable, deadline)? {
                return Ok(false);
            }
            sockopt::socket_error(socket)??;
        }
        Err(errno) => return Err(errno),
    }
    rustix::fs::fcntl_setfl(socket, OFlags::empty())?;
    Ok(true)
}

/// Makes a bound socket listen.
pub(crate) fn listen(socket: BorrowedFd<'_>, resource: &Resource) -> Result<(), OpenError> {
    rustix::net::listen(socket, BACKLOG)
        .map_err(|errno| OpenError::from_os("listen", resource, errno))
}

/// Accepts a connection from a listening socket that does not block.
pub(crate) fn accept(
    listener: BorrowedFd<'_>,
    resource: &Resource,
    deadline: Deadline,
) -> Result<OwnedFd, OpenError> {
    let mut is_last = deadline == Deadline::Now;
    let failed = |errno| OpenError::from_os("accept", resource, errno);
    loop {
        match rustix::net::accept_with(listener.as_fd(), SocketFlags::CLOEXEC) {
            Ok(socket) => return Ok(socket),
            Err(Errno::AGAIN) if is_last => {
                return Err(OpenError::new("accept", resource, OpenErrorKind::TimedOut));
            }
            Err(Errno::AGAIN) => {
                is_last =
                    !attempt::ready(listener, Interest::Readable, deadline).map_err(failed)?;
            }
            Err(errno) if belongs_to_connection(errno) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
}

/// Whether an error of `accept(2)` tells of a connection that failed while it waited, and not of the
/// listener: then the next one is to be tried. The list is that of the man page.
fn belongs_to_connection(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::INTR
            | Errno::CONNABORTED
            | Errno::NETDOWN
            | Errno::PROTO
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::OPNOTSUPP
            | Errno::NETUNREACH
    )
}
