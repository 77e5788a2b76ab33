//! Several receivers on one FIFO: each message goes to one of them. Leaves out the FIFO itself.
//!
//! A stream of bytes that several processes read is torn anywhere. So the senders put the pipe into
//! **packet mode** (`O_DIRECT`, pipe(2)): what one write brought, one read takes, whole. A packet is the
//! frame of a short message, so whoever reads the FIFO as a stream understands it, too.

use std::os::fd::{AsFd, BorrowedFd};

use ipc_core::{
    Armed, Count, Deadline, Interest, LinkProperties, MessageLength, OsError, Received, Receiver,
    RecvError, Resource, SendError, Sender, WaitSource, poll,
};
use rustix::io::Errno;

use crate::FifoSender;
use crate::end::End;
use crate::frame::{ATOMIC_PAYLOAD, HEADER_LEN, Header, PIPE_BUF};
use crate::reader::{Fill, why_nothing};

/// A sending end of a FIFO that several processes receive from. Messages have at most
/// [`ATOMIC_PAYLOAD`] bytes.
///
/// Each message takes a page (4 KiB) of the FIFO's capacity, however short.
#[derive(Debug)]
pub struct SharedFifoSender {
    inner: FifoSender,
}

/// One of several receiving ends of a FIFO. A message goes to whoever is first to take it.
#[derive(Debug)]
pub struct SharedFifoReceiver {
    end: End,
    link: Resource,
    /// The packet that was read last, and how much of it is left.
    packet: Box<[u8; PIPE_BUF]>,
    held: std::ops::Range<usize>,
    poisoned: bool,
}

impl SharedFifoSender {
    /// An end that has been put into packet mode.
    pub(crate) fn new(inner: FifoSender) -> Self {
        Self { inner: inner.with_max_message_bytes(ATOMIC_PAYLOAD) }
    }
}

impl SharedFifoReceiver {
    pub(crate) fn new(end: End, link: Resource) -> Self {
        Self { end, link, packet: Box::new([0; PIPE_BUF]), held: 0..0, poisoned: false }
    }

    /// The length of the message at the front of what was read, if any of it is left.
    fn announced(&mut self) -> Result<Option<usize>, RecvError> {
        const TORN: &str = "what is no packet of one message, written without packet mode perhaps";
        let held = &self.packet[self.held.clone()];
        let header = held.first_chunk().copied().map(Header::from_bytes);
        let is_whole =
            header.is_some_and(|h| h.is_whole() && HEADER_LEN + h.len <= self.held.len());
        self.poisoned |= !held.is_empty() && !is_whole;
        if self.poisoned {
            return Err(RecvError::violation(TORN, &self.link));
        }
        Ok(header.map(|header| header.len))
    }
}

impl Receiver for SharedFifoReceiver {
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        self.end.suit(deadline, 0, &self.link)?;
        loop {
            if let Some(len) = self.announced()? {
                let Some(front) = buffer.get_mut(..len) else {
                    let error = RecvError::buffer_too_small(len, buffer.len(), &self.link);
                    return Err(error);
                };
                let message = self.held.start + HEADER_LEN;
                front.copy_from_slice(&self.packet[message..message + len]);
                self.held.start = message + len;
                return Ok(Received::of_len(len));
            }
            let packet = &mut self.packet[..];
            let fill = match rustix::io::retry_on_intr(|| rustix::io::read(&self.end, &mut *packet))
            {
                Ok(0) => why_nothing(self.end.as_fd(), &self.link)?,
                Ok(len) => {
                    self.held = 0..len;
                    Fill::Bytes
                }
                Err(Errno::AGAIN) => Fill::Nothing,
                Err(error) => return Err(OsError::new("read", &self.link, error).into()),
            };
            match fill {
                Fill::Bytes => {}
                Fill::End => return Err(RecvError::peer_gone(&self.link)),
                Fill::Nothing | Fill::NoSenderYet => {
                    let ready = deadline != Deadline::Now
                        && poll::wait_ready(self.end.as_fd(), Interest::Readable, deadline)
                            .map_err(|error| OsError::new("poll", &self.link, error))?;
                    if !ready {
                        return Err(RecvError::no_message(deadline));
                    }
                }
            }
        }
    }

    fn properties(&self) -> LinkProperties {
        shared(crate::fifo::properties(
            crate::capacity::get(self.end.as_fd(), &self.link),
            ATOMIC_PAYLOAD,
        ))
    }

    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        Some(self)
    }
}

impl WaitSource for SharedFifoReceiver {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.end.as_fd(), Interest::Readable)
    }

    fn arm(&mut self) -> std::io::Result<Armed> {
        Ok(if self.held.is_empty() { Armed::Waiting } else { Armed::Ready })
    }
}

impl Sender for SharedFifoSender {
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        self.inner.send_deadline(message, deadline)
    }

    fn properties(&self) -> LinkProperties {
        shared(self.inner.properties())
    }

    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        self.inner.wait_source()
    }
}

fn shared(properties: LinkProperties) -> LinkProperties {
    LinkProperties {
        mechanism: "shared FIFO",
        receivers: Count::Many,
        message_length: MessageLength::up_to(ATOMIC_PAYLOAD),
        ..properties
    }
}

impl AsFd for SharedFifoReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}
