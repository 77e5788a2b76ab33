//! Connections over Unix sockets: a sender, a receiver, and who is at the other end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use ipc_core::{Deadline, Liveness, OpenError, ProcessPeer};

use super::{UnixAddress, UnixOptions};
use crate::descriptors;
use crate::link::Link;
use crate::packet::{self, PacketReceiver, PacketSender};
use crate::stream::{self, StreamReceiver, StreamSender};

/// A connection over a Unix stream socket: both ends send and receive at once.
///
/// Take the halves out to use them apart, in two threads, say; dropping one closes its direction.
#[derive(Debug)]
pub struct UnixStreamConnection {
    /// Sends to the peer.
    pub sender: StreamSender,
    /// Receives from the peer.
    pub receiver: StreamReceiver,
    peer: ProcessPeer,
}

/// A connection over a Unix seqpacket socket: the kernel keeps message boundaries.
///
/// Take the halves out to use them apart, in two threads, say; dropping one closes its direction.
#[derive(Debug)]
pub struct UnixSeqpacketConnection {
    /// Sends to the peer.
    pub sender: PacketSender,
    /// Receives from the peer.
    pub receiver: PacketReceiver,
    peer: ProcessPeer,
}

impl UnixStreamConnection {
    pub(super) fn new(socket: OwnedFd, link: Link, peer: ProcessPeer) -> Self {
        let (sender, receiver) = stream::endpoints(socket, link);
        Self { sender, receiver, peer }
    }

    /// Connects with the default [`UnixOptions`].
    ///
    /// # Errors
    ///
    /// Those of [`UnixOptions::connect_stream`].
    pub fn connect(address: impl Into<UnixAddress>, deadline: Deadline) -> Result<Self, OpenError> {
        UnixOptions::new().connect_stream(address, deadline)
    }

    /// The process that connected, or that listens. See
    /// [`peer_credentials`](crate::peer_credentials).
    pub fn peer(&self) -> ProcessPeer {
        self.peer
    }

    /// A watch on that process. See [`peer_liveness`](crate::peer_liveness).
    ///
    /// # Errors
    ///
    /// Those of [`peer_liveness`](crate::peer_liveness).
    pub fn peer_liveness(&self) -> io::Result<Option<Liveness>> {
        descriptors::peer_liveness(self.receiver.as_fd())
    }
}

impl UnixSeqpacketConnection {
    pub(super) fn new(socket: OwnedFd, link: Link, peer: ProcessPeer) -> Self {
        let (sender, receiver) = packet::endpoints(socket, link);
        Self { sender, receiver, peer }
    }

    /// Connects with the default [`UnixOptions`].
    ///
    /// # Errors
    ///
    /// Those of [`UnixOptions::connect_seqpacket`].
    pub fn connect(address: impl Into<UnixAddress>, deadline: Deadline) -> Result<Self, OpenError> {
        UnixOptions::new().connect_seqpacket(address, deadline)
    }

    /// The process that connected, or that listens. See
    /// [`peer_credentials`](crate::peer_credentials).
    pub fn peer(&self) -> ProcessPeer {
        self.peer
    }

    /// A watch on that process. See [`peer_liveness`](crate::peer_liveness).
    ///
    /// # Errors
    ///
    /// Those of [`peer_liveness`](crate::peer_liveness).
    pub fn peer_liveness(&self) -> io::Result<Option<Liveness>> {
        descriptors::peer_liveness(self.receiver.as_fd())
    }
}
