//! TCP: listening, connecting, and connections known by both their ends.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipc_core::{Deadline, Establishment, OpenError, OpenErrorKind, PeerId, Resource};
use rustix::io::Errno;
use rustix::net::{SocketFlags, SocketType, sockopt};

use super::InetAddress;
use crate::link::{Kind, Link};
use crate::stream::{self, StreamReceiver, StreamSender};
use crate::{DEFAULT_MAX_MESSAGE_LEN, buffers, connecting};

/// Options for TCP, and the calls that make listeners and connections with these options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    max_message_len: usize,
    buffer_len: Option<usize>,
    delay: bool,
}

/// Accepts TCP connections.
///
/// ```
/// use ipc_core::{Deadline, Receiver, Sender};
/// use ipc_socket::{InetAddress, TcpConnection, TcpListener};
///
/// let listener = TcpListener::bind(&"127.0.0.1:0".parse()?)?;
/// let mut client = TcpConnection::connect(&listener.local_addr().into(), Deadline::Never)?;
/// let mut server = listener.accept(Deadline::Never)?;
/// assert_eq!(client.peer_addr(), listener.local_addr());
///
/// client.sender.send(b"hello")?;
/// let mut buffer = [0; 64];
/// let received = server.receiver.recv(&mut buffer)?;
/// assert_eq!(&buffer[..received.len], b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TcpListener {
    socket: OwnedFd,
    local_addr: SocketAddr,
    resource: Resource,
    options: TcpOptions,
}

/// A TCP connection: both ends send and receive at once.
///
/// Take the halves out to use them apart. Dropping the sender closes its direction (half-close), and the
/// peer can still send. Dropping only the receiver does not reach the peer: TCP has no word for it.
#[derive(Debug)]
pub struct TcpConnection {
    /// Sends to the peer.
    pub sender: StreamSender,
    /// Receives from the peer.
    pub receiver: StreamReceiver,
    local_addr: SocketAddr,
    peer_addr: SocketAddr,
}

impl TcpOptions {
    /// Messages of up to 16 MiB, buffers that the system tunes, and no delay for small messages.
    pub const fn new() -> Self {
        Self { max_message_len: DEFAULT_MAX_MESSAGE_LEN, buffer_len: None, delay: false }
    }

    /// The longest message, in bytes: at most `u32::MAX`, the same at both ends. The receiver sets no
    /// memory aside for it; it is what a peer may announce.
    #[must_use]
    pub const fn max_message_len(mut self, len: usize) -> Self {
        self.max_message_len = len;
        self
    }

    /// Fixes the send and the receive buffer (`SO_SNDBUF`, `SO_RCVBUF`), in bytes as the kernel counts
    /// them, instead of letting it tune them. At most twice `/proc/sys/net/core/wmem_max` and
    /// `rmem_max`, and above that for `CAP_NET_ADMIN`.
    #[must_use]
    pub const fn buffer_len(mut self, len: usize) -> Self {
        self.buffer_len = Some(len);
        self
    }

    /// Whether small messages wait for the answer to earlier ones, to share a packet with others
    /// (Nagle's algorithm): fewer packets, longer latency. Off by default (`TCP_NODELAY`).
    #[must_use]
    pub const fn delay(mut self, on: bool) -> Self {
        self.delay = on;
        self
    }

    /// Listens at an address; for a name, at the first of its addresses that works. Port 0 lets the
    /// system choose, see [`TcpListener::local_addr`]. Connections of an earlier listener that linger in
    /// `TIME_WAIT` do not keep the port (`SO_REUSEADDR`).
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InUse`] while another listens there; [`OpenErrorKind::Limit`] for a port that
    /// takes a privilege, naming the setting; others of `socket(2)`, `bind(2)`, `listen(2)`, and of
    /// [`InetAddress::resolve`].
    pub fn listen(&self, address: &InetAddress) -> Result<TcpListener, OpenError> {
        let resource = Resource::named("TCP listener", address);
        let try_one = |address: &SocketAddr| {
            buffers::check_max_message_len(self.max_message_len, &resource)?;
            // Accepting waits by `poll`; the flag is the listener's own and not passed on.
            let socket =
                super::socket(address, SocketType::STREAM, SocketFlags::NONBLOCK, &resource)?;
            sockopt::set_socket_reuseaddr(&socket, true)
                .map_err(|errno| OpenError::from_os("setsockopt", &resource, errno))?;
            self.apply_buffers(socket.as_fd(), &resource)?;
            super::bind(&socket, address, &resource)?;
            connecting::listen(socket.as_fd(), &resource)?;
            let local_addr = address_of(rustix::net::getsockname(&socket), &resource)?;
            let resource = Resource::named("TCP listener", local_addr);
            Ok(TcpListener { socket, local_addr, resource, options: self.clone() })
        };
        super::first_that_works(&address.resolve()?, try_one, "bind", &resource)
    }

    /// Connects to a listener, waiting for its answer until `deadline`; for a name, to the first of its
    /// addresses that answers.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::Refused`] when nobody listens there; [`OpenErrorKind::TimedOut`];
    /// [`OpenErrorKind::Os`] with the error `HostUnreachable` or `NetworkUnreachable`; others of
    /// `socket(2)` and `connect(2)`, and of [`InetAddress::resolve`].
    pub fn connect(
        &self,
        address: &InetAddress,
        deadline: Deadline,
    ) -> Result<TcpConnection, OpenError> {
        let resource = Resource::named("TCP listener", address);
        let try_one = |address: &SocketAddr| {
            buffers::check_max_message_len(self.max_message_len, &resource)?;
            let flags = SocketFlags::empty();
            let socket = super::socket(address, SocketType::STREAM, flags, &resource)?;
            self.apply_buffers(socket.as_fd(), &resource)?;
            match connecting::connect_tcp(socket.as_fd(), address, deadline) {
                Ok(true) => self.connection(socket, &resource),
                Ok(false) => Err(OpenError::new("connect", &resource, OpenErrorKind::TimedOut)),
                Err(errno) => Err(OpenError::from_os("connect", &resource, errno)),
            }
        };
        super::first_that_works(&address.resolve()?, try_one, "connect", &resource)
    }

    fn connection(&self, socket: OwnedFd, via: &Resource) -> Result<TcpConnection, OpenError> {
        sockopt::set_tcp_nodelay(&socket, !self.delay)
            .map_err(|errno| OpenError::from_os("setsockopt", via, errno))?;
        let local_addr = address_of(rustix::net::getsockname(&socket), via)?;
        let peer = rustix::net::getpeername(&socket);
        let peer_addr = address_of(peer.and_then(|a| a.ok_or(Errno::NOTCONN)), via)?;
        let link = Link {
            kind: Kind::Tcp,
            resource: Resource::unnamed(format!("TCP connection {local_addr} to {peer_addr}")),
            establishment: Establishment::Connection,
            max_len: self.max_message_len,
            peer: Some(PeerId::Address(peer_addr)),
            has_credentials: false,
            takes_whole: false,
        };
        let (sender, receiver) = stream::endpoints(socket, link);
        Ok(TcpConnection { sender, receiver, local_addr, peer_addr })
    }

    fn apply_buffers(&self, socket: BorrowedFd<'_>, resource: &Resource) -> Result<(), OpenError> {
        let Some(len) = self.buffer_len else { return Ok(()) };
        buffers::set_send_buffer(socket, len, resource)?;
        buffers::set_receive_buffer(socket, len, resource)
    }
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl TcpListener {
    /// Listens with the default [`TcpOptions`].
    ///
    /// # Errors
    ///
    /// Those of [`TcpOptions::listen`].
    pub fn bind(address: &InetAddress) -> Result<Self, OpenError> {
        TcpOptions::new().listen(address)
    }

    /// Where it listens, with the port that the system chose if none was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Accepts a connection, waiting for one until `deadline`. See `accept(2)`.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::TimedOut`], also under [`Deadline::Now`]; [`OpenErrorKind::Limit`] without free
    /// descriptors, with the connection still waiting; [`OpenErrorKind::PeerGone`] if the peer has reset
    /// the connection meanwhile; others of `accept(2)`.
    pub fn accept(&self, deadline: Deadline) -> Result<TcpConnection, OpenError> {
        let socket = connecting::accept(self.as_fd(), &self.resource, deadline)?;
        self.options.connection(socket, &self.resource)
    }
}

impl TcpConnection {
    /// Connects with the default [`TcpOptions`].
    ///
    /// # Errors
    ///
    /// Those of [`TcpOptions::connect`].
    pub fn connect(address: &InetAddress, deadline: Deadline) -> Result<Self, OpenError> {
        TcpOptions::new().connect(address, deadline)
    }

    /// This end's address and port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The other end's address and port.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer_addr
    }
}

/// To poll: readable when a connection waits to be accepted.
impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn address_of<A: TryInto<SocketAddr>>(
    found: Result<A, Errno>,
    resource: &Resource,
) -> Result<SocketAddr, OpenError> {
    let invalid = |_| Errno::AFNOSUPPORT;
    match found {
        // The peer has gone between its connection and this question.
        Err(Errno::NOTCONN) => {
            Err(OpenError::new("getpeername", resource, OpenErrorKind::PeerGone))
        }
        found => found
            .and_then(|address| address.try_into().map_err(invalid))
            .map_err(|errno| OpenError::from_os("getsockname", resource, errno)),
    }
}
