//! Endpoints over sockets that keep message boundaries: Unix seqpacket and datagram, and UDP. Leaves out
//! how the sockets are made ([`UnixOptions`](crate::UnixOptions), [`UdpOptions`](crate::UdpOptions)).

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Weak;

use ipc_core::{
    Armed, Capacity, Deadline, Interest, LinkProperties, PeerId, Received, Receiver, RecvError,
    SendError, Sender, WaitSource,
};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, Shutdown, SocketAddrAny};

use crate::half::Half;
use crate::link::{Kind, Link};
use crate::unix::BoundPath;
use crate::{attempt, control, unix};

/// Sends messages over a Unix seqpacket or datagram socket, or UDP, each as one packet.
#[derive(Debug)]
pub struct PacketSender {
    link: Link,
    socket: Half,
}

/// Receives the packets of a Unix seqpacket or datagram socket, or UDP.
///
/// A packet longer than the longest message of this end's [`properties`](Receiver::properties) was
/// sent by a program that was given other options. On a connection it is a [`RecvError::Violation`]; on
/// a datagram socket, which hears anyone, it is dropped.
#[derive(Debug)]
pub struct PacketReceiver {
    link: Link,
    /// Room for one message of the longest kind, once it is needed.
    own: Vec<u8>,
    /// A message that did not fit the user's buffer: this much of `own`, and its sender.
    kept: Option<Arrival>,
    state: State,
    // Before the socket, so that the path goes while the socket is still there to prove whose it is.
    _bound: Option<BoundPath>,
    socket: Half,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The peer's death has been reported by `ECONNRESET`, and what it sent may still be queued.
    Reset,
    Ended,
    Poisoned,
}

/// One packet, as it arrived.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    len: usize,
    sender: Option<PeerId>,
}

/// Up to this length of the user's buffer, a packet is received into a buffer of the endpoint's own and
/// copied, since a `recvmsg(2)` into two buffers costs 200 ns more than `recv(2)` into one.
const COPIED_LEN_MAX: usize = 16 * 1024;

/// Makes the two endpoints of a connected socket.
pub(crate) fn endpoints(socket: OwnedFd, link: Link) -> (PacketSender, PacketReceiver) {
    let (sending, receiving) = Half::both(socket);
    let sender = PacketSender { link: link.clone(), socket: sending };
    (sender, PacketReceiver::new(receiving, link, None))
}

impl PacketSender {
    /// Refuses messages of a length that this link does not carry.
    pub(crate) fn check_len(&self, len: usize) -> Result<(), SendError> {
        self.link.check_len(len)
    }

    /// The sender of a datagram socket that is connected to a receiver.
    pub(crate) fn alone(socket: OwnedFd, link: Link) -> Self {
        Self { link, socket: Half::alone(socket, Shutdown::Write) }
    }

    /// Tells whether either half of the socket is still there.
    pub(crate) fn watch(&self) -> Weak<OwnedFd> {
        self.socket.watch()
    }

    /// The sender of a direct link that nothing comes back over.
    pub(crate) fn one_way(mut self) -> Self {
        self.link.kind = Kind::DirectOneWay;
        self
    }
}

impl PacketReceiver {
    /// The receiver of a datagram socket that is bound to an address.
    pub(crate) fn alone(socket: OwnedFd, link: Link, bound: Option<BoundPath>) -> Self {
        Self::new(Half::alone(socket, Shutdown::Read), link, bound)
    }

    fn new(socket: Half, link: Link, bound: Option<BoundPath>) -> Self {
        Self { link, own: Vec::new(), kept: None, state: State::Open, _bound: bound, socket }
    }

    /// Tells whether either half of the socket is still there.
    pub(crate) fn watch(&self) -> Weak<OwnedFd> {
        self.socket.watch()
    }

    /// The receiver of a direct link that nothing goes back over.
    pub(crate) fn one_way(mut self) -> Self {
        self.link.kind = Kind::DirectOneWay;
        self
    }

    /// The address that a UDP receiver is bound to, with the port that the system chose if none was
    /// asked for. `None` for Unix sockets. See `getsockname(2)`.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        rustix::net::getsockname(&self.socket).ok()?.try_into().ok()
    }

    /// Receives one packet into `buffer`, or into `own` if it does not fit (then it is kept there).
    fn receive(&mut self, buffer: &mut [u8], deadline: Deadline) -> Result<Packet, Errno> {
        let max_len = self.link.max_len;
        let is_direct = buffer.len() >= max_len;
        let is_copied = !is_direct && buffer.len() <= COPIED_LEN_MAX;
        if !is_direct && self.own.is_empty() {
            self.own = vec![0; max_len];
        }
        let (socket, link) = (self.socket.as_fd(), &self.link);
        let (room, own) = (buffer.len(), &mut self.own);
        let arrival = attempt::until(socket, Interest::Readable, deadline, |may_block| {
            let flags = attempt::recv_flags(may_block);
            if is_direct {
                receive_one(socket, link, buffer, flags)
            } else if is_copied {
                receive_one(socket, link, own, flags)
            } else {
                receive_two(socket, link, buffer, &mut own[room..], flags)
            }
        })?;
        let Some(arrival) = arrival else { return Ok(Packet::None) };
        if arrival.len > max_len.max(room) {
            return Ok(Packet::TooLong);
        }
        if is_copied || arrival.len > room {
            if !is_copied {
                self.own[..room].copy_from_slice(buffer);
            }
            return Ok(Packet::InOwn(arrival));
        }
        Ok(Packet::InBuffer(arrival))
    }

    /// Gives out the message in `own`, or keeps it there if it does not fit.
    fn give(&mut self, arrival: Arrival, buffer: &mut [u8]) -> Result<Received, RecvError> {
        let Arrival { len, sender } = arrival;
        if let Some(front) = buffer.get_mut(..len) {
            front.copy_from_slice(&self.own[..len]);
            self.kept = None;
            return Ok(Received { len, sender, priority: 0 });
        }
        self.kept = Some(arrival);
        Err(RecvError::buffer_too_small(len, buffer.len(), &self.link.resource))
    }

    fn violation(&self) -> RecvError {
        let what = "it sent a packet longer than the longest message of this end";
        RecvError::violation(what, &self.link.resource)
    }

    fn gone(&mut self) -> RecvError {
        self.state = State::Ended;
        RecvError::peer_gone(&self.link.resource)
    }
}

/// Where a packet went.
enum Packet {
    InBuffer(Arrival),
    InOwn(Arrival),
    /// It was longer than the longest message, and is lost.
    TooLong,
    /// There was none until the deadline.
    None,
}

/// Receives into one buffer. The length is that of the packet, even if it did not fit.
fn receive_one(
    socket: BorrowedFd<'_>,
    link: &Link,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> Result<Arrival, Errno> {
    let flags = flags | RecvFlags::TRUNC;
    if link.has_credentials {
        return receive_credentials(socket, &mut [IoSliceMut::new(buffer)], flags);
    }
    if link.kind == Kind::Udp {
        let (_, len, address) = rustix::net::recvfrom(socket, buffer, flags)?;
        return Ok(Arrival { len, sender: address.and_then(peer_of) });
    }
    let (_, len) = rustix::net::recv(socket, buffer, flags)?;
    Ok(Arrival { len, sender: link.peer })
}

/// Receives into two buffers, the second for what does not fit the first.
fn receive_two(
    socket: BorrowedFd<'_>,
    link: &Link,
    first: &mut [u8],
    second: &mut [u8],
    flags: RecvFlags,
) -> Result<Arrival, Errno> {
    let flags = flags | RecvFlags::TRUNC;
    let parts = &mut [IoSliceMut::new(first), IoSliceMut::new(second)];
    if link.has_credentials {
        return receive_credentials(socket, parts, flags);
    }
    let mut control = RecvAncillaryBuffer::default();
    let received = rustix::net::recvmsg(socket, parts, &mut control, flags)?;
    let sender = received.address.and_then(peer_of).or(link.peer);
    Ok(Arrival { len: received.bytes, sender })
}

fn receive_credentials(
    socket: BorrowedFd<'_>,
    parts: &mut [IoSliceMut<'_>],
    flags: RecvFlags,
) -> Result<Arrival, Errno> {
    let message = control::recvmsg(socket, parts, 0, flags)?;
    Ok(Arrival { len: message.len, sender: message.sender.map(PeerId::Process) })
}

/// The sender of a UDP packet; Unix addresses are paths, and no identity.
fn peer_of(address: SocketAddrAny) -> Option<PeerId> {
    SocketAddr::try_from(address).ok().map(PeerId::Address)
}

impl Sender for PacketSender {
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        self.link.check_len(message.len())?;
        let mut sent = attempt::send(&self.socket, message, deadline);
        if self.link.kind == Kind::Udp {
            // A refusal belongs to an earlier packet, and is no sign of death to rely on: a network
            // need not report it. This packet has not been sent, so send it; if that is refused as
            // well, it is lost as any packet may be.
            if sent == Err(Errno::CONNREFUSED) {
                sent = attempt::send(&self.socket, message, deadline);
            }
            if sent == Err(Errno::CONNREFUSED) {
                return Ok(());
            }
        }
        match sent {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(SendError::no_room(deadline)),
            Err(Errno::MSGSIZE) => Err(self.link.too_long(message.len())),
            Err(errno) => Err(self.link.send_error("send", errno)),
        }
    }

    fn properties(&self) -> LinkProperties {
        let capacity = match self.link.kind {
            Kind::UnixDatagram => Capacity::Messages(unix::datagram_queue_len()),
            _ => Link::send_capacity(self.as_fd()),
        };
        self.link.properties(capacity)
    }

    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        Some(self)
    }
}

impl Receiver for PacketReceiver {
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        if let Some(arrival) = self.kept {
            return self.give(arrival, buffer);
        }
        let is_connection = self.link.kind.is_seqpacket();
        loop {
            match self.state {
                State::Ended => return Err(self.gone()),
                State::Poisoned => return Err(self.violation()),
                State::Open | State::Reset => {}
            }
            match self.receive(buffer, deadline) {
                Ok(
                    Packet::InBuffer(Arrival { len: 0, .. })
                    | Packet::InOwn(Arrival { len: 0, .. }),
                ) if is_connection => {
                    return Err(self.gone());
                }
                Ok(Packet::InBuffer(Arrival { len, sender })) => {
                    return Ok(Received { len, sender, priority: 0 });
                }
                Ok(Packet::InOwn(arrival)) => return self.give(arrival, buffer),
                Ok(Packet::TooLong) if is_connection => self.state = State::Poisoned,
                // Senders that flood with such packets must not keep this call busy for ever.
                Ok(Packet::TooLong) if deadline.has_passed() => {
                    return Err(RecvError::no_message(deadline));
                }
                Ok(Packet::TooLong) => {}
                Ok(Packet::None) => return Err(RecvError::no_message(deadline)),
                // A peer that dies with unread packets gives a reset, once, before what it sent.
                Err(Errno::CONNRESET) if is_connection && self.state == State::Open => {
                    self.state = State::Reset;
                }
                Err(errno) if is_connection && attempt::is_gone(errno) => return Err(self.gone()),
                Err(errno) => return Err(self.link.recv_error("recv", errno)),
            }
        }
    }

    fn properties(&self) -> LinkProperties {
        let capacity = match self.link.kind {
            Kind::UnixDatagram => Capacity::Messages(unix::datagram_queue_len()),
            kind if kind.is_seqpacket() => Link::send_capacity(self.as_fd()),
            _ => Link::receive_capacity(self.as_fd()),
        };
        self.link.properties(capacity)
    }

    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        Some(self)
    }
}

impl WaitSource for PacketSender {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.socket.as_fd(), Interest::Writable)
    }
}

impl WaitSource for PacketReceiver {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.socket.as_fd(), Interest::Readable)
    }

    fn arm(&mut self) -> io::Result<Armed> {
        let has_answer =
            self.kept.is_some() || matches!(self.state, State::Ended | State::Poisoned);
        Ok(if has_answer { Armed::Ready } else { Armed::Waiting })
    }
}

/// The socket, for its options, and to send descriptors beside messages
/// ([`send_with_descriptors`](crate::send_with_descriptors)).
impl AsFd for PacketSender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The socket, for its options, and to receive descriptors beside messages
/// ([`recv_with_descriptors`](crate::recv_with_descriptors)).
impl AsFd for PacketReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
