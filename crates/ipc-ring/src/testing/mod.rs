//! How the conformance kit and the benchmark make rings.

pub mod interference;
pub mod oracle;

use std::os::fd::OwnedFd;

use ipc_core::{Deadline, OpenError, OpenErrorKind, Resource, WaitStrategy};
use ipc_testing::{Invitation, Pending, Scope, Transport};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::{Link, Options, RingReceiver, RingSender};

/// A ring over a socket pair.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    /// How both ends wait.
    pub strategy: WaitStrategy,
    /// Bytes of the ring.
    pub capacity_bytes: usize,
    /// Whether the sender leaves its fences to the receiver.
    pub asymmetric_fences: bool,
}

impl Default for Ring {
    fn default() -> Self {
        Self {
            strategy: WaitStrategy::adaptive(),
            capacity_bytes: Options::DEFAULT_CAPACITY_BYTES,
            asymmetric_fences: false,
        }
    }
}

impl Ring {
    fn sending(&self) -> Options {
        let options =
            Options::new().capacity_bytes(self.capacity_bytes).wait_strategy(self.strategy);
        if self.asymmetric_fences { options.asymmetric_fences() } else { options }
    }

    fn receiving(&self) -> Options {
        Options::new().receive_only().wait_strategy(self.strategy)
    }

    fn invite(&self) -> Result<(Invitation, OwnedFd), OpenError> {
        let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
        let (here, there) = rustix::net::socketpair(AddressFamily::UNIX, kind, flags, None)
            .map_err(|error| OpenError::from_os("socketpair", &Resource::unnamed("ring"), error))?;
        Ok((Invitation::of_descriptors(vec![there]), here))
    }
}

/// The socket of an invitation.
fn socket(invitation: Invitation) -> Result<OwnedFd, OpenError> {
    invitation
        .descriptors
        .into_iter()
        .next()
        .ok_or_else(|| OpenError::new("join", &Resource::unnamed("ring"), OpenErrorKind::PeerGone))
}

fn sender(link: Link) -> RingSender {
    link.sender.expect("made with a capacity")
}

fn receiver(link: Link) -> Result<RingReceiver, OpenError> {
    link.receiver
        .ok_or_else(|| OpenError::new("join", &Resource::unnamed("ring"), OpenErrorKind::PeerGone))
}

impl Transport for Ring {
    type Sender = RingSender;
    type Receiver = RingReceiver;

    fn name(&self) -> &'static str {
        "ring"
    }

    fn invite_receiver(&self, _: &Scope) -> Result<(Invitation, Pending<RingSender>), OpenError> {
        let (invitation, socket) = self.invite()?;
        let options = self.sending();
        let complete = move |_| Link::over(socket, &options, Deadline::Never).map(sender);
        Ok((invitation, Pending::new(complete)))
    }

    fn invite_sender(&self, _: &Scope) -> Result<(Invitation, Pending<RingReceiver>), OpenError> {
        let (invitation, socket) = self.invite()?;
        let options = self.receiving();
        let complete = move |_| Link::over(socket, &options, Deadline::Never).and_then(receiver);
        Ok((invitation, Pending::new(complete)))
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<RingReceiver, OpenError> {
        receiver(Link::over(socket(invitation)?, &self.receiving(), Deadline::Never)?)
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<RingSender, OpenError> {
        Ok(sender(Link::over(socket(invitation)?, &self.sending(), Deadline::Never)?))
    }
}
