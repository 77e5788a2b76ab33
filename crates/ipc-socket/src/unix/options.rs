//! How Unix sockets are made. Leaves out what is done with them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipc_core::{Deadline, Establishment, OpenError, OpenErrorKind, Resource};
use rustix::io::Errno;
use rustix::net::{SocketFlags, sockopt};

use super::UnixAddress;
use super::connection::{UnixSeqpacketConnection, UnixStreamConnection};
use super::listener::{UnixSeqpacketListener, UnixStreamListener};
use super::path::{self, BoundPath};
use super::socket::{
    check_adopted, longest_whole, max_packet_len, name_of, named, pair, peer_of, socket,
};
use crate::link::{Kind, Link};
use crate::packet::{PacketReceiver, PacketSender};
use crate::{DEFAULT_MAX_MESSAGE_LEN, buffers, connecting};

/// Options for Unix sockets, and the calls that make them with these options.
///
/// ```
/// use ipc_core::{Deadline, Receiver, Sender};
/// use ipc_socket::{UnixAddress, UnixOptions};
///
/// let address = UnixAddress::abstract_name(format!("doc-{}", std::process::id()));
/// let options = UnixOptions::new().max_message_len(4096);
/// let listener = options.listen_stream(&address)?;
/// let mut client = options.connect_stream(&address, Deadline::Never)?;
/// let mut server = listener.accept(Deadline::Never)?;
///
/// client.sender.send(b"hello")?;
/// let mut buffer = [0; 4096];
/// let received = server.receiver.recv(&mut buffer)?;
/// assert_eq!(&buffer[..received.len], b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixOptions {
    mode: u32,
    owner: Option<(u32, u32)>,
    max_message_len: usize,
    buffer_len: Option<usize>,
    credentials: bool,
}

impl UnixOptions {
    /// Paths of mode 0600, framed messages of up to 16 MiB, the system's buffers, no credentials.
    pub const fn new() -> Self {
        Self {
            mode: 0o600,
            owner: None,
            max_message_len: DEFAULT_MAX_MESSAGE_LEN,
            buffer_len: None,
            credentials: false,
        }
    }

    /// Permission bits of a path, whatever the umask says. To connect or send takes the right to write.
    #[must_use]
    pub const fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// The user and group that own a path (`chown(2)`), instead of this process's. Another user takes
    /// `CAP_CHOWN`; a group may be any that this process is in. The path is given away once it is bound: a
    /// connection may come from whoever could connect before.
    #[must_use]
    pub const fn owner(mut self, uid: u32, gid: u32) -> Self {
        self.owner = Some((uid, gid));
        self
    }

    /// The longest message of a stream, in bytes: at most `u32::MAX`, the same at both ends. The receiver
    /// sets no memory aside for it; it is what a peer may announce. The longest packet follows from
    /// [`buffer_len`](Self::buffer_len) instead.
    ///
    /// Up to 16 KiB (with the system's buffers), a stream takes each message whole or not at all, and
    /// declares that what it accepted survives the sender
    /// ([`accepted_survives_sender`](ipc_core::LinkProperties::accepted_survives_sender)). With a longer
    /// maximum it does not: see [`StreamSender`](crate::StreamSender).
    #[must_use]
    pub const fn max_message_len(mut self, len: usize) -> Self {
        self.max_message_len = len;
        self
    }

    /// The socket's send buffer (`SO_SNDBUF`), in bytes as the kernel counts them: data and its own
    /// book-keeping. A seqpacket or datagram message may be 32 bytes shorter than it; the receiver takes
    /// what an end with the same options can send. From 4608 to twice
    /// `/proc/sys/net/core/wmem_max`, and above that for `CAP_NET_ADMIN`.
    #[must_use]
    pub const fn buffer_len(mut self, len: usize) -> Self {
        self.buffer_len = Some(len);
        self
    }

    /// Whether each packet that is received names its sender, by the kernel's word (`SO_PASSCRED`). Costs
    /// some 300 ns a packet. For seqpacket and datagram; a stream's sender is who connected.
    #[must_use]
    pub const fn credentials(mut self, on: bool) -> Self {
        self.credentials = on;
        self
    }

    /// Listens for stream connections.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InUse`] while another socket lives there, and when there is a file that is none;
    /// [`OpenErrorKind::InvalidName`] for addresses of no or more than 107 bytes;
    /// [`OpenErrorKind::PermissionDenied`], [`OpenErrorKind::NotFound`] for its directory; others of
    /// `socket(2)`, `bind(2)`, `listen(2)`.
    pub fn listen_stream(
        &self,
        address: impl Into<UnixAddress>,
    ) -> Result<UnixStreamListener, OpenError> {
        let (socket, bound, resource) = self.bind(Kind::UnixStream, &address.into())?;
        UnixStreamListener::new(bound, socket, resource, self.clone())
    }

    /// Listens for seqpacket connections.
    ///
    /// # Errors
    ///
    /// Those of [`listen_stream`](Self::listen_stream).
    pub fn listen_seqpacket(
        &self,
        address: impl Into<UnixAddress>,
    ) -> Result<UnixSeqpacketListener, OpenError> {
        let (socket, bound, resource) = self.bind(Kind::UnixSeqpacket, &address.into())?;
        UnixSeqpacketListener::new(bound, socket, resource, self.clone())
    }

    /// Connects to a stream listener. Blocks only while the listener's queue is full, at most until
    /// `deadline`; the listener need not have accepted on return.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::NotFound`] without a path, [`OpenErrorKind::Refused`] when nobody listens there,
    /// [`OpenErrorKind::PermissionDenied`], [`OpenErrorKind::TimedOut`],
    /// [`OpenErrorKind::InvalidName`]; others of `socket(2)` and `connect(2)`.
    pub fn connect_stream(
        &self,
        address: impl Into<UnixAddress>,
        deadline: Deadline,
    ) -> Result<UnixStreamConnection, OpenError> {
        let (socket, resource) = self.connect(Kind::UnixStream, &address.into(), deadline)?;
        self.stream(socket, resource, Establishment::Connection)
    }

    /// Connects to a seqpacket listener. See [`connect_stream`](Self::connect_stream).
    ///
    /// # Errors
    ///
    /// Those of [`connect_stream`](Self::connect_stream).
    pub fn connect_seqpacket(
        &self,
        address: impl Into<UnixAddress>,
        deadline: Deadline,
    ) -> Result<UnixSeqpacketConnection, OpenError> {
        let (socket, resource) = self.connect(Kind::UnixSeqpacket, &address.into(), deadline)?;
        self.seqpacket(socket, resource, Establishment::Connection)
    }

    /// Makes the receiver of datagrams at an address.
    ///
    /// # Errors
    ///
    /// Those of [`listen_stream`](Self::listen_stream).
    pub fn bind_datagram(
        &self,
        address: impl Into<UnixAddress>,
    ) -> Result<PacketReceiver, OpenError> {
        let (socket, bound, resource) = self.bind(Kind::UnixDatagram, &address.into())?;
        let link = self.datagram_link(&socket, resource)?;
        Ok(PacketReceiver::alone(socket, link, bound))
    }

    /// Makes a sender of datagrams to an address.
    ///
    /// It belongs to the receiver that is there now: when that one is gone, every send fails with
    /// [`SendError::PeerGone`](ipc_core::SendError::PeerGone), even if another took its place.
    ///
    /// # Errors
    ///
    /// Those of [`connect_stream`](Self::connect_stream).
    pub fn connect_datagram(
        &self,
        address: impl Into<UnixAddress>,
    ) -> Result<PacketSender, OpenError> {
        let address = address.into();
        let (socket, resource) = self.connect(Kind::UnixDatagram, &address, Deadline::Never)?;
        let link = self.datagram_link(&socket, resource)?;
        Ok(PacketSender::alone(socket, link))
    }

    /// Two ends of a stream connection without a name, one for a child, say (`socketpair(2)`).
    ///
    /// # Errors
    ///
    /// Those of `socketpair(2)`.
    pub fn pair_stream(&self) -> Result<(UnixStreamConnection, UnixStreamConnection), OpenError> {
        let (one, other) = pair(Kind::UnixStream)?;
        Ok((self.adopt_stream(one)?, self.adopt_stream(other)?))
    }

    /// Two ends of a seqpacket connection without a name. See [`pair_stream`](Self::pair_stream).
    ///
    /// # Errors
    ///
    /// Those of `socketpair(2)`.
    pub fn pair_seqpacket(
        &self,
    ) -> Result<(UnixSeqpacketConnection, UnixSeqpacketConnection), OpenError> {
        let (one, other) = pair(Kind::UnixSeqpacket)?;
        Ok((self.adopt_seqpacket(one)?, self.adopt_seqpacket(other)?))
    }

    /// Makes endpoints of a connected Unix stream socket that was inherited or received. Nothing is known
    /// of its other end, so messages come without a sender.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InvalidOption`] if it is another kind of descriptor.
    pub fn adopt_stream(&self, socket: OwnedFd) -> Result<UnixStreamConnection, OpenError> {
        let resource = check_adopted(&socket, Kind::UnixStream)?;
        self.stream(socket, resource, Establishment::Inheritance)
    }

    /// Makes endpoints of a connected Unix seqpacket socket. See [`adopt_stream`](Self::adopt_stream).
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InvalidOption`] if it is another kind of descriptor.
    pub fn adopt_seqpacket(&self, socket: OwnedFd) -> Result<UnixSeqpacketConnection, OpenError> {
        let resource = check_adopted(&socket, Kind::UnixSeqpacket)?;
        self.seqpacket(socket, resource, Establishment::Inheritance)
    }

    /// A connection over a connected stream socket.
    pub(super) fn stream(
        &self,
        socket: OwnedFd,
        resource: Resource,
        establishment: Establishment,
    ) -> Result<UnixStreamConnection, OpenError> {
        buffers::check_max_message_len(self.max_message_len, &resource)?;
        self.apply(socket.as_fd(), &resource)?;
        let peer = peer_of(socket.as_fd(), &resource)?;
        let link = Link {
            kind: Kind::UnixStream,
            establishment,
            max_len: self.max_message_len,
            peer: named(peer, establishment),
            has_credentials: false,
            takes_whole: self.max_message_len <= longest_whole(socket.as_fd(), &resource)?,
            resource,
        };
        Ok(UnixStreamConnection::new(socket, link, peer))
    }

    /// A connection over a connected seqpacket socket.
    pub(super) fn seqpacket(
        &self,
        socket: OwnedFd,
        resource: Resource,
        establishment: Establishment,
    ) -> Result<UnixSeqpacketConnection, OpenError> {
        self.apply(socket.as_fd(), &resource)?;
        self.apply_credentials(socket.as_fd(), &resource)?;
        let peer = peer_of(socket.as_fd(), &resource)?;
        let link = Link {
            kind: Kind::UnixSeqpacket,
            establishment,
            max_len: max_packet_len(socket.as_fd(), &resource)?,
            peer: named(peer, establishment),
            has_credentials: self.credentials,
            takes_whole: true,
            resource,
        };
        Ok(UnixSeqpacketConnection::new(socket, link, peer))
    }

    fn datagram_link(&self, socket: &OwnedFd, resource: Resource) -> Result<Link, OpenError> {
        Ok(Link {
            kind: Kind::UnixDatagram,
            establishment: Establishment::Address,
            max_len: max_packet_len(socket.as_fd(), &resource)?,
            peer: None,
            has_credentials: self.credentials,
            takes_whole: true,
            resource,
        })
    }

    fn bind(
        &self,
        kind: Kind,
        address: &UnixAddress,
    ) -> Result<(OwnedFd, Option<BoundPath>, Resource), OpenError> {
        let resource = Resource::named(name_of(kind), address);
        path::check_mode(self.mode, &resource)?;
        let system = address.to_system("bind", &resource)?;
        // Accepting waits by `poll`; the flag is the listener's own and not passed on.
        let flags = match kind {
            Kind::UnixDatagram => SocketFlags::CLOEXEC,
            _ => SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        };
        let socket = socket(kind, flags, &resource)?;
        self.apply(socket.as_fd(), &resource)?;
        self.apply_credentials(socket.as_fd(), &resource)?;
        let bound = match address.as_path() {
            Some(path) => {
                let bound = path::bind(socket.as_fd(), path, &system, self.mode, &resource)?;
                if let Some((uid, gid)) = self.owner {
                    bound.give_to(uid, gid, &resource)?;
                }
                Some(bound)
            }
            None => {
                rustix::net::bind(&socket, &system)
                    .map_err(|errno| OpenError::from_os("bind", &resource, errno))?;
                None
            }
        };
        Ok((socket, bound, resource))
    }

    fn connect(
        &self,
        kind: Kind,
        address: &UnixAddress,
        deadline: Deadline,
    ) -> Result<(OwnedFd, Resource), OpenError> {
        let resource = Resource::named(name_of(kind), address);
        let system = address.to_system("connect", &resource)?;
        let socket = socket(kind, SocketFlags::CLOEXEC, &resource)?;
        self.apply(socket.as_fd(), &resource)?;
        match connecting::connect_unix(socket.as_fd(), &system, deadline) {
            Ok(true) => Ok((socket, resource)),
            Ok(false) => Err(OpenError::new("connect", &resource, OpenErrorKind::TimedOut)),
            Err(Errno::PROTOTYPE) => {
                let what = "another type of Unix socket is there";
                Err(OpenError::new("connect", &resource, OpenErrorKind::Unsupported(what)))
            }
            Err(errno) => Err(OpenError::from_os("connect", &resource, errno)),
        }
    }

    fn apply(&self, socket: BorrowedFd<'_>, resource: &Resource) -> Result<(), OpenError> {
        match self.buffer_len {
            Some(len) => buffers::set_send_buffer(socket, len, resource),
            None => Ok(()),
        }
    }

    fn apply_credentials(
        &self,
        socket: BorrowedFd<'_>,
        resource: &Resource,
    ) -> Result<(), OpenError> {
        if !self.credentials {
            return Ok(());
        }
        sockopt::set_socket_passcred(socket, true)
            .map_err(|errno| OpenError::from_os("setsockopt", resource, errno))
    }
}

impl Default for UnixOptions {
    fn default() -> Self {
        Self::new()
    }
}
