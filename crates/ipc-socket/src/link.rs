//! What the endpoints know about their links: the properties of each kind of socket, and how errors of
//! the system become errors of the link.

use std::os::fd::BorrowedFd;

use ipc_core::{
    Boundaries, Buffering, Capacity, Carrier, Count, DeathNotice, Direction, Establishment,
    Lifetime, LinkProperties, MessageLength, Naming, Order, OsError, PeerId, RecvError, Resource,
    SendError, SenderIdentity, WhenFull,
};
use rustix::io::Errno;

use crate::attempt;

/// The kinds of socket that have message endpoints here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    UnixStream,
    UnixSeqpacket,
    UnixDatagram,
    /// A seqpacket connection between two processes that name each other.
    Direct,
    /// One that carries messages one way only.
    DirectOneWay,
    Tcp,
    Udp,
}

impl Kind {
    /// Whether it is a connection of packets.
    pub(crate) fn is_seqpacket(self) -> bool {
        self == Self::UnixSeqpacket || self.is_direct()
    }

    fn is_direct(self) -> bool {
        matches!(self, Self::Direct | Self::DirectOneWay)
    }
}

/// What an endpoint knows about its link.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) kind: Kind,
    pub(crate) resource: Resource,
    pub(crate) establishment: Establishment,
    /// The longest message, in bytes.
    pub(crate) max_len: usize,
    /// Who is at the other end of a connection, if the kernel said so when it was made.
    pub(crate) peer: Option<PeerId>,
    /// Whether each message comes with its sender's credentials.
    pub(crate) has_credentials: bool,
    /// Whether the kernel takes each message whole or not at all, so that none is begun by a sender that
    /// dies with the rest of it.
    pub(crate) takes_whole: bool,
}

impl Link {
    /// The properties, `capacity` being that of the moment.
    pub(crate) fn properties(&self, capacity: Capacity) -> LinkProperties {
        let is_direct = self.kind.is_direct();
        let is_unix = !matches!(self.kind, Kind::Tcp | Kind::Udp);
        let is_framed = matches!(self.kind, Kind::UnixStream | Kind::Tcp);
        let is_connection = self.kind.is_seqpacket() || is_framed;
        LinkProperties {
            mechanism: match self.kind {
                Kind::UnixStream => "Unix stream socket",
                Kind::UnixSeqpacket => "Unix seqpacket socket",
                Kind::UnixDatagram => "Unix datagram socket",
                Kind::Direct | Kind::DirectOneWay => "direct link",
                Kind::Tcp => "TCP connection",
                Kind::Udp => "UDP socket",
            },
            establishment: self.establishment,
            naming: if is_direct { Naming::DirectSymmetric } else { Naming::Indirect },
            senders: if is_connection { Count::One } else { Count::Many },
            receivers: Count::One,
            links_per_pair: if is_direct { Count::One } else { Count::Many },
            capacity,
            message_length: MessageLength {
                // An empty packet on a connection looks like its end.
                min: usize::from(self.kind.is_seqpacket()),
                max: self.max_len,
            },
            direction: if is_connection && self.kind != Kind::DirectOneWay {
                Direction::FullDuplex
            } else {
                Direction::OneWay
            },
            carrier: if is_unix { Carrier::Kernel } else { Carrier::Network },
            buffering: Buffering::Automatic,
            boundaries: if is_framed { Boundaries::Framed } else { Boundaries::Kept },
            lifetime: if is_connection { Lifetime::Endpoints } else { Lifetime::Owner },
            when_full: match self.kind {
                Kind::Udp => WhenFull::Drops,
                _ => WhenFull::Waits,
            },
            lossy: self.kind == Kind::Udp,
            order: if self.kind == Kind::Udp { Order::Unordered } else { Order::Fifo },
            priorities: None,
            death_notice: match self.kind {
                _ if is_connection => DeathNotice::Both,
                Kind::UnixDatagram => DeathNotice::Sender,
                _ => DeathNotice::None,
            },
            // TCP delivers after an orderly end, but a reset discards what is still under way, and the
            // kernel gives up on a dead sender's data when the receiver is slow or unreachable. On any
            // stream the rest of a long message dies with a sender whose time ran out amid it.
            accepted_survives_sender: is_unix && self.takes_whole,
            sender_identity: match (self.kind, self.has_credentials, self.peer) {
                (_, true, _) | (_, _, Some(PeerId::Process(_))) => SenderIdentity::Verified,
                (Kind::Tcp | Kind::Udp, ..) => SenderIdentity::Claimed,
                _ => SenderIdentity::Unknown,
            },
            synchronous_send: false,
            waitable: true,
        }
    }

    /// The send buffer as a capacity.
    pub(crate) fn send_capacity(socket: BorrowedFd<'_>) -> Capacity {
        Capacity::Bytes(rustix::net::sockopt::socket_send_buffer_size(socket).unwrap_or(0))
    }

    /// The receive buffer as a capacity.
    pub(crate) fn receive_capacity(socket: BorrowedFd<'_>) -> Capacity {
        Capacity::Bytes(rustix::net::sockopt::socket_recv_buffer_size(socket).unwrap_or(0))
    }

    /// Refuses messages that this link does not carry.
    pub(crate) fn check_len(&self, len: usize) -> Result<(), SendError> {
        if len > self.max_len {
            return Err(self.too_long(len));
        }
        let min = usize::from(self.kind.is_seqpacket());
        if len < min {
            return Err(SendError::too_short(len, min, &self.resource));
        }
        Ok(())
    }

    pub(crate) fn too_long(&self, len: usize) -> SendError {
        SendError::too_long(len, self.max_len, &self.resource)
    }

    /// What an error of a send means.
    pub(crate) fn send_error(&self, operation: &'static str, errno: Errno) -> SendError {
        let is_stream = matches!(self.kind, Kind::UnixStream | Kind::Tcp);
        if attempt::is_gone(errno) || is_stream && attempt::is_stream_gone(errno) {
            SendError::peer_gone(&self.resource)
        } else {
            OsError::new(operation, &self.resource, errno).into()
        }
    }

    /// What an error of a receive means.
    pub(crate) fn recv_error(&self, operation: &'static str, errno: Errno) -> RecvError {
        OsError::new(operation, &self.resource, errno).into()
    }
}
