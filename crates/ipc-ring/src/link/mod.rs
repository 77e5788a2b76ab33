//! Making a link: two processes with a Unix socket between them exchange memory and doorbells. Leaves
//! out names, see [`crate::listen`] and [`crate::connect`], and what is done with the link.
//!
//! | file | its part |
//! |---|---|
//! | `options` | what one side brings |
//! | `pair` | a socket for a parent and its child, or for two threads |
//! | `handshake` | who says hello when, and whose word it is |
//! | `hello` | the bytes of it |
//! | `typed` | links of values |
//! | `side` | the descriptors that go with it: made, sent, received, checked |
//! | `peer` | who the other process is, and whether it lives |

mod handshake;
mod hello;
mod options;
mod pair;
pub(crate) mod peer;
mod side;
mod typed;

use std::os::fd::AsFd;

use ipc_core::{Deadline, OpenError, ProcessPeer, Resource};

use crate::{RingReceiver, RingSender};

pub(crate) use handshake::Handshake;
#[cfg(feature = "testing")]
pub(crate) use hello::Hello;
pub use options::Options;
pub use pair::{PairEnd, pair};
pub use peer::PeerUser;
pub use typed::{LinkOptions, TypedLink, TypedOptions};

/// A link between two processes: up to two rings, one each way.
///
/// The two ends are independent: they may move to different threads, and each closes on its own.
#[derive(Debug)]
pub struct Link {
    /// The ring to the peer; `None` if this side only receives.
    pub sender: Option<RingSender>,
    /// The ring from the peer; `None` if the peer only receives.
    pub receiver: Option<RingReceiver>,
    peer: ProcessPeer,
}

impl Link {
    /// Makes a link with the process at the other end of a connected Unix socket, which calls this
    /// too. The socket is not needed afterwards.
    ///
    /// Each side creates the memory that it writes and seals it, so that the kernel lets the other
    /// side read it only and nobody change its size; each checks what it was sent before mapping it.
    /// The link is a [`Link`], or a [`TypedLink`] if the options say so ([`Options::typed`]). Blocks until `deadline` for the other side. If it fails, nothing stays open.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`](ipc_core::OpenErrorKind::InvalidOption) for a capacity that cannot be;
    /// [`Mismatch`](ipc_core::OpenErrorKind::Mismatch) if the other side speaks another version, has
    /// messages of another type, or sent anything that does not fit;
    /// [`PermissionDenied`](ipc_core::OpenErrorKind::PermissionDenied) if it is of another user than
    /// the options want; [`PeerGone`](ipc_core::OpenErrorKind::PeerGone),
    /// [`TimedOut`](ipc_core::OpenErrorKind::TimedOut); those of the system calls.
    pub fn over<O: LinkOptions>(
        socket: impl AsFd,
        options: &O,
        deadline: Deadline,
    ) -> Result<O::Link, OpenError> {
        let (socket, resource) = (socket.as_fd(), &Resource::unnamed("ring"));
        Handshake { socket, usual_user: PeerUser::Any, resource }.offer(options, deadline)
    }

    /// The process that made the link with this one: its process id, effective user and group, which
    /// it attached to its part of the handshake and the kernel checked (`SCM_CREDENTIALS`, unix(7)).
    ///
    /// There is no process id if it is of another PID namespace. A user that has no number in this
    /// user namespace is 65534. A privileged process (`CAP_SYS_ADMIN`, `CAP_SETUID`) could name
    /// another than itself. Process ids are reused: to watch this very process use
    /// [`RingSender::peer_liveness`] or [`RingReceiver::peer_liveness`].
    pub fn peer(&self) -> ProcessPeer {
        self.peer
    }
}
