//! A whole transport in one file, and the suite run on it: messages of 8 bytes over a pipe.
//!
//! It is the model for testing a transport of your own. A write of 8 bytes to a pipe is atomic
//! (`PIPE_BUF`), so the boundaries keep themselves.

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
use rustix::pipe::PipeFlags;

ipc_testing::conformance!(numbers_over_a_pipe, NumberPipe);

/// The length of every message.
const LEN: usize = 8;

struct NumberSender(OwnedFd);
struct NumberReceiver(OwnedFd);

impl Sender for NumberSender {
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        match message.len() {
            LEN => {}
            len if len > LEN => return Err(SendError::TooLong { len, max: LEN, link: link() }),
            len => return Err(SendError::TooShort { len, min: LEN, link: link() }),
        }
        loop {
            match rustix::io::write(&self.0, message) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {}
                // A Rust program ignores SIGPIPE, unless it asks for it.
                Err(Errno::PIPE) => return Err(SendError::PeerGone { link: link() }),
                Err(errno) => return Err(OsError::new("write", &link(), errno).into()),
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
            if let Some(buffer) = buffer.get_mut(..LEN) {
                match rustix::io::read(&self.0, buffer) {
                    Ok(0) => return Err(RecvError::PeerGone { link: link() }),
                    Ok(len) => return Ok(Received::of_len(len)),
                    Err(Errno::INTR) => continue,
                    Err(Errno::AGAIN) => {}
                    Err(errno) => return Err(OsError::new("read", &link(), errno).into()),
                }
            } else if rustix::io::ioctl_fionread(&self.0).is_ok_and(|waiting| waiting > 0) {
                let (needed, len) = (LEN, buffer.len());
                return Err(RecvError::BufferTooSmall { needed, len, link: link() });
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

fn wait(pipe: &OwnedFd, interest: Interest, deadline: Deadline) -> Result<bool, OsError> {
    poll::wait_ready(pipe.as_fd(), interest, deadline)
        .map_err(|error: io::Error| OsError::new("poll", &link(), error))
}

fn link() -> Resource {
    Resource::unnamed("pipe of numbers")
}

const PROPERTIES: LinkProperties = LinkProperties {
    mechanism: "pipe of numbers",
    establishment: Establishment::Inheritance,
    naming: Naming::Indirect,
    senders: Count::Many,
    receivers: Count::One,
    links_per_pair: Count::Many,
    capacity: Capacity::Bytes(64 << 10),
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
struct NumberPipe;

impl NumberPipe {
    fn pipe() -> Result<(NumberReceiver, NumberSender), OpenError> {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
            .map_err(|errno| OpenError::from_os("pipe2", &link(), errno))?;
        Ok((NumberReceiver(reader), NumberSender(writer)))
    }
}

impl Transport for NumberPipe {
    type Sender = NumberSender;
    type Receiver = NumberReceiver;

    fn name(&self) -> &'static str {
        "number-pipe"
    }

    fn invite_receiver(
        &self,
        _scope: &Scope,
    ) -> Result<(Invitation, Pending<NumberSender>), OpenError> {
        let (reader, writer) = Self::pipe()?;
        Ok((Invitation::of_descriptors(vec![reader.0]), Pending::ready(writer)))
    }

    fn invite_sender(
        &self,
        _scope: &Scope,
    ) -> Result<(Invitation, Pending<NumberReceiver>), OpenError> {
        let (reader, writer) = Self::pipe()?;
        Ok((Invitation::of_descriptors(vec![writer.0]), Pending::ready(reader)))
    }

    fn join_as_receiver(&self, mut invitation: Invitation) -> Result<NumberReceiver, OpenError> {
        Ok(NumberReceiver(invitation.descriptors.remove(0)))
    }

    fn join_as_sender(&self, mut invitation: Invitation) -> Result<NumberSender, OpenError> {
        Ok(NumberSender(invitation.descriptors.remove(0)))
    }
}
