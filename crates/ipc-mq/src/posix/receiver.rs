//! The receiving end of a queue.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use ipc_core::{
    Armed, Deadline, Interest, LinkProperties, Name, OpenError, OsError, Received, Receiver,
    RecvError, WaitSource,
};

use super::queue::Queue;
use super::{Attributes, OpenOptions, sys};

/// The receiving end of a POSIX queue. The kernel has it open for reading only.
///
/// The message of the highest priority comes first, and the oldest of those. Several receivers may
/// share a queue, in one process or in many: each message goes to one of them. Those that wait with
/// [`Deadline::Never`] come first: the kernel hands the message over to them. The others are told of
/// it, and compete.
///
/// A queue knows no death: an empty one never ends, since somebody may open it and send.
///
/// # A message that does not fit
///
/// The kernel takes a message out of the queue to tell its length, and wants room for the queue's
/// longest message before it does. So with a buffer of [`Attributes::max_message_bytes`] or more, a
/// message goes straight into it. With a shorter one, it goes into a buffer of the endpoint first (a
/// copy more); and if it turns out to be longer than the caller's, then the call fails with
/// [`RecvError::BufferTooSmall`] and this endpoint holds the message for its next call. While it does:
///
/// - it is no longer in the queue: another receiver does not get it, and a sender finds its room free;
/// - it comes next here, even if a message of a higher priority has come since;
/// - it is lost if the endpoint is dropped.
///
/// Where that matters, receive into a buffer of the queue's longest message: nothing is ever held
/// then.
#[derive(Debug)]
pub struct QueueReceiver {
    queue: Queue,
    /// For messages that may not fit the caller's buffer. Empty until it is first needed, then as
    /// long as the queue's longest message.
    landing: Vec<u8>,
    /// The message at the front of `landing` that nobody has been given yet.
    held: Option<Received>,
}

impl QueueReceiver {
    /// Opens the queue of this name, which must exist. Never blocks. To create one, see
    /// [`OpenOptions`].
    ///
    /// # Errors
    ///
    /// Those of [`OpenOptions::open_receiver`].
    pub fn open(name: &Name) -> Result<Self, OpenError> {
        OpenOptions::new().open_receiver(name)
    }

    pub(super) fn new(queue: Queue) -> Self {
        Self { queue, landing: Vec::new(), held: None }
    }

    /// The queue's attributes as they are now. Never blocks.
    ///
    /// # Errors
    ///
    /// Those of `mq_getattr(3)`, none of which an open queue gives.
    pub fn attributes(&self) -> Result<Attributes, OsError> {
        self.queue.attributes()
    }
}

impl Receiver for QueueReceiver {
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        let held = match self.held {
            Some(held) => held,
            None if buffer.len() >= self.queue.max_message_bytes => {
                return take(&self.queue, buffer, deadline);
            }
            None => {
                self.landing.resize(self.queue.max_message_bytes, 0);
                *self.held.insert(take(&self.queue, &mut self.landing, deadline)?)
            }
        };
        let Some(front) = buffer.get_mut(..held.len) else {
            let (needed, len) = (held.len, buffer.len());
            return Err(RecvError::buffer_too_small(needed, len, &self.queue.link));
        };
        front.copy_from_slice(&self.landing[..held.len]);
        self.held = None;
        Ok(held)
    }

    fn properties(&self) -> LinkProperties {
        self.queue.properties()
    }

    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        Some(self)
    }
}

/// Takes a message out of the queue, into a buffer that any message of the queue fits.
fn take(queue: &Queue, buffer: &mut [u8], deadline: Deadline) -> Result<Received, RecvError> {
    let (len, priority) = queue
        .call_until("mq_timedreceive", Interest::Readable, deadline, |descriptor, patience| {
            sys::mq_receive(descriptor, buffer, patience)
        })?
        .ok_or_else(|| RecvError::no_message(deadline))?;
    Ok(Received { len, sender: None, priority })
}

impl WaitSource for QueueReceiver {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.queue.as_fd(), Interest::Readable)
    }

    fn arm(&mut self) -> io::Result<Armed> {
        Ok(if self.held.is_some() { Armed::Ready } else { Armed::Waiting })
    }
}

/// The queue's descriptor: `poll(2)` reports `POLLIN` while there is a message in the queue. It does
/// not know of a message that the endpoint
/// [holds](QueueReceiver#a-message-that-does-not-fit); the [`WaitSource`] does.
impl AsFd for QueueReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}
