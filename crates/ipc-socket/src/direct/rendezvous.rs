//! How two processes that name each other come by exactly one link. Leaves out messages.
//!
//! Each process listens. To make a link it:
//!
//! 1. looks whether the other's connection already waits to be accepted: then that is the link;
//! 2. takes the **pair's name**, which the kernel gives to one socket at a time;
//! 3. looks once more, since the other may have connected before it gave the name back;
//! 4. connects, checks by the kernel's word that it has reached the process it meant, and gives the
//!    name back.
//!
//! Whoever finds the name taken waits for one of three things: the other's connection, the end of the
//! other's attempt, or the other's death. The name's holder listens at it, so the end of the attempt,
//! by whatever cause, is a hang-up for whoever has connected there; nobody sleeps on a time-out.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use ipc_core::{Deadline, Liveness, OpenError, OpenErrorKind, ProcessPeer, Resource, poll};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::Peer;
use crate::{connecting, control};

/// Where the processes of this user, PID and network namespace meet.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// What all names begin with.
    prefix: String,
}

impl Places {
    pub(super) fn new() -> Result<Self, OpenError> {
        let namespace = rustix::fs::stat("/proc/self/ns/pid").map_err(|errno| {
            OpenError::from_os("stat", &Resource::named("file", "/proc/self/ns/pid"), errno)
        })?;
        Ok(Self { prefix: format!("ipc-direct.{}", namespace.st_ino) })
    }

    fn of_process(&self, pid: u32) -> Result<SocketAddrUnix, Errno> {
        SocketAddrUnix::new_abstract_name(format!("{}.{pid}", self.prefix).as_bytes())
    }

    fn of_pair(&self, one: u32, other: u32) -> Result<SocketAddrUnix, Errno> {
        let (low, high) = (one.min(other), one.max(other));
        SocketAddrUnix::new_abstract_name(format!("{}.{low}-{high}", self.prefix).as_bytes())
    }

    /// Makes this process one that can be reached.
    pub(super) fn listen(&self, resource: &Resource) -> Result<OwnedFd, OpenError> {
        let fail = |operation| move |errno| OpenError::from_os(operation, resource, errno);
        let socket = seqpacket(SocketFlags::NONBLOCK).map_err(fail("socket"))?;
        // Before anybody can connect, so that each packet that ever comes names its sender.
        rustix::net::sockopt::set_socket_passcred(&socket, true).map_err(fail("setsockopt"))?;
        let name = self.of_process(std::process::id()).map_err(fail("bind"))?;
        rustix::net::bind(&socket, &name).map_err(fail("bind"))?;
        connecting::listen(socket.as_fd(), resource)?;
        Ok(socket)
    }

    /// Tries to take the name of the pair of this process and `peer`.
    ///
    /// The name is one that any process of this network namespace could take. A stranger that listens at
    /// it is told apart by the kernel's word. One that does not listen cannot be told from the other
    /// process, which is about to listen.
    pub(super) fn claim(&self, peer: &Peer) -> Result<Claim, OpenError> {
        let resource = peer.resource();
        let fail = |operation| move |errno| OpenError::from_os(operation, &peer.resource(), errno);
        let name = self.of_pair(std::process::id(), peer.pid()).map_err(fail("bind"))?;
        let socket = seqpacket(SocketFlags::NONBLOCK).map_err(fail("socket"))?;
        match rustix::net::bind(&socket, &name) {
            Ok(()) => {
                connecting::listen(socket.as_fd(), &resource)?;
                return Ok(Claim::Ours(socket));
            }
            Err(Errno::ADDRINUSE) => {}
            Err(errno) => return Err(fail("bind")(errno)),
        }
        match rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &name)) {
            Ok(()) => {
                let holder = control::socket_peercred(socket.as_fd())
                    .map_err(fail("getsockopt(SO_PEERCRED)"))?;
                if holder.pid.map(u32::from) != Some(peer.pid()) {
                    return Err(stranger("the name of this pair", &resource));
                }
                Ok(Claim::Theirs(socket))
            }
            Err(Errno::AGAIN) => Ok(Claim::Theirs(socket)),
            Err(Errno::CONNREFUSED) => Ok(Claim::Unclear),
            Err(errno) => Err(fail("connect")(errno)),
        }
    }

    /// Connects to `peer`, and makes sure that it is the one.
    pub(super) fn connect(
        &self,
        peer: &Peer,
        any_user: bool,
        deadline: Deadline,
    ) -> Result<OwnedFd, OpenError> {
        let resource = peer.resource();
        let fail = |operation| move |errno| OpenError::from_os(operation, &peer.resource(), errno);
        let name = self.of_process(peer.pid()).map_err(fail("connect"))?;
        let socket = seqpacket(SocketFlags::empty()).map_err(fail("socket"))?;
        rustix::net::sockopt::set_socket_passcred(&socket, true).map_err(fail("setsockopt"))?;
        match connecting::connect_unix(socket.as_fd(), &name, deadline) {
            Ok(true) => {}
            Ok(false) => return Err(OpenError::new("connect", &resource, OpenErrorKind::TimedOut)),
            Err(errno) => {
                let is_alive = peer.is_alive().unwrap_or(true);
                let kind = if is_alive {
                    OpenErrorKind::from(std::io::Error::from(errno))
                } else {
                    OpenErrorKind::PeerGone
                };
                return Err(OpenError::new("connect", &resource, kind));
            }
        }
        let found =
            control::socket_peercred(socket.as_fd()).map_err(fail("getsockopt(SO_PEERCRED)"))?;
        check_user(found, any_user, &resource)?;
        if found.pid.map(u32::from) != Some(peer.pid()) {
            return Err(stranger("the name of this one", &resource));
        }
        // Alive after the kernel has named it, so it was this process that listened.
        match peer.is_alive() {
            Ok(true) => Ok(socket),
            Ok(false) => Err(OpenError::new("connect", &resource, OpenErrorKind::PeerGone)),
            Err(error) => Err(OpenError::from_os("poll", &resource, error)),
        }
    }
}

fn stranger(has_taken: &str, resource: &Resource) -> OpenError {
    let source = std::io::Error::other(format!("another process has taken {has_taken}"));
    OpenError::new("connect", resource, OpenErrorKind::InUse(source))
}

/// The wait between two tries at a name whose state was unclear, which nothing reports the end of: at first
/// none, for what lasts a few system calls of another process, then twice as long each time.
#[derive(Debug, Default)]
pub(super) struct Pause {
    tries: u32,
}

impl Pause {
    /// Tries without a pause.
    const FREE: u32 = 50;
    /// The longest pause.
    const LONGEST: Duration = Duration::from_millis(5);

    /// When to try again; `None` means at once.
    pub(super) fn next(&mut self) -> Option<Deadline> {
        self.tries += 1;
        let doublings = self.tries.checked_sub(Self::FREE)?;
        let pause = Duration::from_micros(10 << doublings.min(10)).min(Self::LONGEST);
        Some(Deadline::after(pause))
    }
}

/// The outcome of trying to take the name of a pair.
pub(super) enum Claim {
    /// Ours as long as this is open.
    Ours(OwnedFd),
    /// The other has it; this hangs up when it no longer does.
    Theirs(OwnedFd),
    /// Just given back, or just taken and not yet listened at, which both last a moment; or a stranger's.
    Unclear,
}

/// Waits until somebody has connected to `listener`, `peer` has died, or its attempt to connect has ended,
/// which is all the same to the caller: he looks again. False if the deadline comes first.
pub(super) fn wait_for_other(
    listener: BorrowedFd<'_>,
    attempt: Option<&OwnedFd>,
    peer: &Peer,
    deadline: Deadline,
) -> std::io::Result<bool> {
    let Some(pidfd) = peer.pidfd() else { return Ok(true) };
    let mut fds = vec![
        PollFd::from_borrowed_fd(listener, PollFlags::IN),
        PollFd::from_borrowed_fd(pidfd, PollFlags::IN),
    ];
    fds.extend(attempt.map(|attempt| PollFd::new(attempt, PollFlags::IN | PollFlags::RDHUP)));
    Ok(poll::poll_until(&mut fds, deadline)? > 0)
}

/// Who has connected, by the kernel's word; `None` if it is nobody who may.
pub(super) fn identify(socket: BorrowedFd<'_>, any_user: bool) -> Option<Peer> {
    let found = control::socket_peercred(socket).ok()?;
    check_user(found, any_user, &Resource::unnamed("process")).ok()?;
    let pid = u32::from(found.pid?);
    let liveness = match control::socket_peerpidfd(socket) {
        Ok(pidfd) => Some(Liveness::of_pidfd(pidfd)),
        // Before Linux 6.5: the number still means whoever connected, as long as that has not hung up.
        Err(Errno::NOPROTOOPT) => Liveness::of_process(pid).ok().filter(|_| !has_hung_up(socket)),
        // It is dead and reaped; what it sent is here.
        Err(_) => None,
    };
    Some(Peer::verified(pid, liveness))
}

/// Whether nothing will come over a connection any more: its other end is closed, or shut down at
/// either side.
pub(super) fn has_hung_up(socket: BorrowedFd<'_>) -> bool {
    has(socket, PollFlags::RDHUP)
}

/// Whether a connection has ended in both directions.
pub(super) fn is_closed(socket: BorrowedFd<'_>) -> bool {
    has(socket, PollFlags::empty()) // a hang-up is always reported
}

fn has(socket: BorrowedFd<'_>, event: PollFlags) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(socket, event)];
    poll::poll_until(&mut fds, Deadline::Now).is_ok_and(|ready| ready > 0)
}

fn check_user(found: ProcessPeer, any_user: bool, resource: &Resource) -> Result<(), OpenError> {
    let ours = rustix::process::geteuid().as_raw();
    if any_user || found.uid == ours {
        return Ok(());
    }
    let what = format!("it belongs to user {}, and this process to {ours}", found.uid);
    let source = std::io::Error::new(std::io::ErrorKind::PermissionDenied, what);
    Err(OpenError::new("connect", resource, OpenErrorKind::PermissionDenied(source)))
}

fn seqpacket(flags: SocketFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | SocketFlags::CLOEXEC;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}
