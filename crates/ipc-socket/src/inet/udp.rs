//! UDP: packets to an address, that may be lost.

use std::net::SocketAddr;
use std::os::fd::AsFd;

#[cfg(doc)]
use ipc_core::OpenErrorKind;
use ipc_core::{Establishment, OpenError, Resource};
use rustix::net::{SocketFlags, SocketType};

use super::InetAddress;
use crate::buffers;
use crate::link::{Kind, Link};
use crate::packet::{PacketReceiver, PacketSender};

/// Bytes of an IP packet that are not the message: IPv4 counts its own header among the 65,535, IPv6
/// does not.
const IPV4_OVERHEAD_LEN: usize = 20 + 8;
const IPV6_OVERHEAD_LEN: usize = 8;

/// Options for UDP, and the calls that make endpoints with these options.
///
/// ```
/// use ipc_core::{Receiver, Sender};
/// use ipc_socket::UdpOptions;
///
/// let mut receiver = UdpOptions::new().bind(&"127.0.0.1:0".parse()?)?;
/// let address = receiver.local_addr().expect("it is bound");
/// let mut sender = UdpOptions::new().connect(&address.into())?;
///
/// sender.send(b"hello")?;
/// let mut buffer = [0; 64];
/// let received = receiver.recv(&mut buffer)?;
/// assert_eq!(&buffer[..received.len], b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    buffer_len: Option<usize>,
}

impl UdpOptions {
    /// The system's buffers.
    pub const fn new() -> Self {
        Self { buffer_len: None }
    }

    /// The receiver's receive buffer (`SO_RCVBUF`) or the sender's send buffer (`SO_SNDBUF`), in bytes as
    /// the kernel counts them: packets and its own book-keeping. What does not fit the receiver's is
    /// lost. At most twice `/proc/sys/net/core/rmem_max` or `wmem_max`, and above that for
    /// `CAP_NET_ADMIN`.
    #[must_use]
    pub const fn buffer_len(mut self, len: usize) -> Self {
        self.buffer_len = Some(len);
        self
    }

    /// Makes the receiver of packets to an address. Port 0 lets the system choose, see
    /// [`PacketReceiver::local_addr`].
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InUse`] while another has the port; [`OpenErrorKind::Limit`] for a port that
    /// takes a privilege, naming the setting; others of `socket(2)` and `bind(2)`, and of
    /// [`InetAddress::resolve`].
    pub fn bind(&self, address: &InetAddress) -> Result<PacketReceiver, OpenError> {
        let resource = Resource::named("UDP socket", address);
        let try_one = |address: &SocketAddr| {
            let flags = SocketFlags::empty();
            let socket = super::socket(address, SocketType::DGRAM, flags, &resource)?;
            if let Some(len) = self.buffer_len {
                buffers::set_receive_buffer(socket.as_fd(), len, &resource)?;
            }
            super::bind(&socket, address, &resource)?;
            Ok(PacketReceiver::alone(socket, link(address, resource.clone()), None))
        };
        super::first_that_works(&address.resolve()?, try_one, "bind", &resource)
    }

    /// Makes a sender of packets to an address. Nothing is sent, so nobody need be there.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::Os`] with the error `NetworkUnreachable`; others of `socket(2)` and
    /// `connect(2)`, and of [`InetAddress::resolve`].
    pub fn connect(&self, address: &InetAddress) -> Result<PacketSender, OpenError> {
        let resource = Resource::named("UDP socket to", address);
        let try_one = |address: &SocketAddr| {
            let flags = SocketFlags::empty();
            let socket = super::socket(address, SocketType::DGRAM, flags, &resource)?;
            if let Some(len) = self.buffer_len {
                buffers::set_send_buffer(socket.as_fd(), len, &resource)?;
            }
            rustix::net::connect(&socket, address)
                .map_err(|errno| OpenError::from_os("connect", &resource, errno))?;
            Ok(PacketSender::alone(socket, link(address, resource.clone())))
        };
        super::first_that_works(&address.resolve()?, try_one, "connect", &resource)
    }
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self::new()
    }
}

fn link(address: &SocketAddr, resource: Resource) -> Link {
    let overhead_len = if address.is_ipv4() { IPV4_OVERHEAD_LEN } else { IPV6_OVERHEAD_LEN };
    Link {
        kind: Kind::Udp,
        resource,
        establishment: Establishment::Address,
        max_len: usize::from(u16::MAX) - overhead_len,
        peer: None,
        has_credentials: false,
        takes_whole: true,
    }
}
