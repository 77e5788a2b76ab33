//! A whole transport in one file, and the suite run on it: numbers of 8 bytes over a pair of sockets.
//!
//! It is the model for testing a transport of your own. The sockets are of type seqpacket, which keeps
//! the boundaries of messages.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipc_core::{
    Boundaries, Buffering, Capacity, Carrier, Count, Deadline, DeathNotice, Direction,
    Establishment, Interest, Lifetime, LinkProperties, MessageLength, Naming, OpenError, Order,
    OsError, Received, Receiver, RecvError, Resource, SendError, Sender, SenderIdentity,
    WaitSource, WhenFull, poll,
};
use ipc_testing::{Invitation, Pending, Scope, Transport};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

ipc_testing::conformance!(numbers_over_sockets, NumberLink);

/// The length of every message.
const LEN: usize = 8;

struct NumberSender(OwnedFd);
struct NumberReceiver(OwnedFd);

impl Sender for NumberSender {
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        match message.len() {
            LEN => {}
            len if len > LEN => return Err(SendError::too_long(len, LEN, &link())),
            len => return Err(SendError::too_short(len, LEN, &link())),
        }
        loop {
            match rustix::net::send(&self.0, message, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::AGAIN) => {}
                // A reset is how a receiver is gone that had not read everything.
                Err(Errno::PIPE | Errno::CONNRESET) => {
                    return Err(SendError::peer_gone(&link()));
                }
                Err(errno) => return Err(OsError::new("send", &link(), errno).into()),
            }
            if !wait(&self.0, Interest::Writable, deadline)? {
                return Err(SendError::no_room(deadline));
            }
        }
    }

    fn properties(&self) -> LinkProperties {
        PROPERTIES
    }

    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        Some(self)
    }
}

impl Receiver for NumberReceiver {
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        loop {
            // Looks first: a message that does not fit must stay.
            let fits = buffer.len() >= LEN;
            let flags = if fits { RecvFlags::empty() } else { RecvFlags::PEEK };
            let mut message = [0; LEN];
            match rustix::net::recv(&self.0, &mut message, flags) {
                Ok((_, 0)) => return Err(RecvError::peer_gone(&link())),
                Ok(_) if fits => {
                    buffer[..LEN].copy_from_slice(&message);
                    return Ok(Received::of_len(LEN));
                }
                Ok(_) => {
                    let (needed, len) = (LEN, buffer.len());
                    return Err(RecvError::buffer_too_small(needed, len, &link()));
                }
                Err(Errno::AGAIN) => {}
                Err(errno) => return Err(OsError::new("recv", &link(), errno).into()),
            }
            if !wait(&self.0, Interest::Readable, deadline)? {
                return Err(RecvError::no_message(deadline));
            }
        }
    }

    fn properties(&self) -> LinkProperties {
        PROPERTIES
    }

    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        Some(self)
    }
}

impl WaitSource for NumberSender {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.0.as_fd(), Interest::Writable)
    }
}

impl WaitSource for NumberReceiver {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.0.as_fd(), Interest::Readable)
    }
}

fn wait(socket: &OwnedFd, interest: Interest, deadline: Deadline) -> Result<bool, OsError> {
    poll::wait_ready(socket.as_fd(), interest, deadline)
        .map_err(|error: io::Error| OsError::new("poll", &link(), error))
}

fn link() -> Resource {
    Resource::unnamed("number link")
}

const PROPERTIES: LinkProperties = LinkProperties {
    mechanism: "number link",
    establishment: Establishment::Inheritance,
    naming: Naming::Indirect,
    senders: Count::One,
    receivers: Count::One,
    links_per_pair: Count::Many,
    capacity: Capacity::Bytes(200 << 10),
    message_length: MessageLength::fixed(LEN),
    direction: Direction::OneWay,
    carrier: Carrier::Kernel,
    buffering: Buffering::Automatic,
    boundaries: Boundaries::Kept,
    lifetime: Lifetime::Endpoints,
    when_full: WhenFull::Waits,
    lossy: false,
    order: Order::Fifo,
    priorities: None,
    death_notice: DeathNotice::Both,
    accepted_survives_sender: true,
    sender_identity: SenderIdentity::Unknown,
    synchronous_send: false,
    waitable: true,
};

/// What tells the kit how a link is made.
struct NumberLink;

impl NumberLink {
    fn pair() -> Result<(OwnedFd, OwnedFd), OpenError> {
        // Calls that do not block are not interrupted either: no EINTR.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(|errno| OpenError::from_os("socketpair", &link(), errno))
    }
}

impl Transport for NumberLink {
    type Sender = NumberSender;
    type Receiver = NumberReceiver;

    fn name(&self) -> &'static str {
        "number-link"
    }

    fn invite_receiver(
        &self,
        _scope: &Scope,
    ) -> Result<(Invitation, Pending<NumberSender>), OpenError> {
        let (ours, theirs) = Self::pair()?;
        Ok((Invitation::of_descriptors(vec![theirs]), Pending::ready(NumberSender(ours))))
    }

    fn invite_sender(
        &self,
        _scope: &Scope,
    ) -> Result<(Invitation, Pending<NumberReceiver>), OpenError> {
        let (ours, theirs) = Self::pair()?;
        Ok((Invitation::of_descriptors(vec![theirs]), Pending::ready(NumberReceiver(ours))))
    }

    fn join_as_receiver(&self, mut invitation: Invitation) -> Result<NumberReceiver, OpenError> {
        Ok(NumberReceiver(invitation.descriptors.remove(0)))
    }

    fn join_as_sender(&self, mut invitation: Invitation) -> Result<NumberSender, OpenError> {
        Ok(NumberSender(invitation.descriptors.remove(0)))
    }
}
