//! Who the process at the other end is, and whether it lives. Leaves out how it says hello.

use std::io;
use std::os::fd::AsFd;

use ipc_core::{
    Deadline, Liveness, OpenError, OpenErrorKind, OsError, ProcessPeer, Resource, poll,
};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::bell::PipeBell;

/// Of which user the process at the other end must be.
///
/// Who is meant is the process that takes part in the handshake, as
/// [`Link::peer`](crate::Link::peer) names it: not the one that made the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerUser {
    /// Of any user: whoever came by the socket.
    Any,
    /// Of the effective user of this process.
    Same,
    /// Of this user id.
    Id(u32),
}

impl PeerUser {
    /// Fails if the peer is of another user.
    pub(super) fn check(self, peer: ProcessPeer, resource: &Resource) -> Result<(), OpenError> {
        /// The user that stands for those who have no number here, and for a hello without
        /// credentials: nobody in particular, even if that is our own number.
        const OVERFLOW_USER: u32 = 65534;

        let wanted = match self {
            Self::Any => return Ok(()),
            Self::Same => rustix::process::geteuid().as_raw(),
            Self::Id(user) => user,
        };
        let is_named = peer.pid.is_some() || peer.uid != OVERFLOW_USER;
        if is_named && peer.uid == wanted {
            return Ok(());
        }
        let what = format!("the other end is {peer}, and must be of user {wanted}");
        let error = io::Error::new(io::ErrorKind::PermissionDenied, what);
        Err(OpenError::new("handshake", resource, OpenErrorKind::PermissionDenied(error)))
    }
}

/// A watch on the process `peer`, which rings our `bell`.
pub(crate) fn liveness(peer: ProcessPeer, bell: &PipeBell) -> Result<Liveness, OsError> {
    let resource = || Resource::unnamed(peer.to_string());
    let error = |call, error: io::Error| OsError::new(call, &resource(), error);
    let Some(pid) = peer.pid else {
        let hearing = bell.as_fd().try_clone_to_owned();
        return hearing.map(Liveness::of_hang_up).map_err(|e| error("fcntl(F_DUPFD_CLOEXEC)", e));
    };
    let liveness = Liveness::of_process(pid.get()).map_err(|e| error("pidfd_open", e))?;
    // If the peer's end of the link is open now, the number meant the peer when it was looked up.
    let mut fds = [PollFd::from_borrowed_fd(bell.as_fd(), PollFlags::empty())];
    match poll::poll_until(&mut fds, Deadline::Now) {
        Ok(0) => Ok(liveness),
        Ok(_) => Err(error("pidfd_open", Errno::SRCH.into())),
        Err(e) => Err(error("poll", e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc_core::Evidence;

    #[test]
    fn a_peer_that_the_kernel_cannot_name_is_of_no_user() {
        let peer = |pid, uid| ProcessPeer {
            pid: std::num::NonZeroU32::new(pid),
            uid,
            gid: None,
            evidence: Evidence::Kernel,
        };
        let is_let_in = |user: PeerUser, peer| user.check(peer, &Resource::unnamed("ring")).is_ok();
        assert!(is_let_in(PeerUser::Any, peer(0, 65534)));
        assert!(!is_let_in(PeerUser::Id(65534), peer(0, 65534)));
        assert!(is_let_in(PeerUser::Id(65534), peer(7, 65534)));
        assert!(is_let_in(PeerUser::Id(1000), peer(0, 1000)), "of another PID namespace");
        assert!(!is_let_in(PeerUser::Id(1000), peer(7, 1001)));
        assert!(is_let_in(PeerUser::Same, peer(7, rustix::process::geteuid().as_raw())));
    }
}
