//! The sending end of a queue.

use std::os::fd::{AsFd, BorrowedFd};

use ipc_core::{
    Deadline, Interest, LinkProperties, Name, OpenError, OsError, SendError, Sender, WaitSource,
};

use super::queue::Queue;
use super::{Attributes, HIGHEST_PRIORITY, OpenOptions, sys};

/// The sending end of a POSIX queue. The kernel has it open for writing only.
///
/// A send returns when the message is in the queue, where it stays until it is received, whatever
/// becomes of the sender. It waits while the queue is full ([`Deadline::Now`]:
/// [`SendError::Full`]). A queue knows no death: a sender whose receivers are all gone fills it, then
/// waits for the next one.
///
/// Of several senders that wait for room, those with [`Deadline::Never`] come first: the kernel
/// hands the room over to them. The others are told of it, and compete.
///
/// `send` and its relatives send with priority 0, the lowest;
/// [`send_priority`](Sender::send_priority) with any up to [`HIGHEST_PRIORITY`].
#[derive(Debug)]
pub struct QueueSender {
    queue: Queue,
}

impl QueueSender {
    /// Opens the queue of this name, which must exist. Never blocks. To create one, see
    /// [`OpenOptions`].
    ///
    /// # Errors
    ///
    /// Those of [`OpenOptions::open_sender`].
    pub fn open(name: &Name) -> Result<Self, OpenError> {
        OpenOptions::new().open_sender(name)
    }

    pub(super) fn new(queue: Queue) -> Self {
        Self { queue }
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

impl Sender for QueueSender {
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        self.send_priority(message, 0, deadline)
    }

    fn send_priority(
        &mut self,
        message: &[u8],
        priority: u32,
        deadline: Deadline,
    ) -> Result<(), SendError> {
        let queue = &self.queue;
        if message.len() > queue.max_message_bytes {
            let (len, max) = (message.len(), queue.max_message_bytes);
            return Err(SendError::too_long(len, max, &queue.link));
        }
        if priority > HIGHEST_PRIORITY {
            return Err(SendError::priority_too_high(priority, HIGHEST_PRIORITY, &queue.link));
        }
        queue
            .call_until("mq_timedsend", Interest::Writable, deadline, |descriptor, patience| {
                sys::mq_send(descriptor, message, priority, patience)
            })?
            .ok_or_else(|| SendError::no_room(deadline))
    }

    fn properties(&self) -> LinkProperties {
        self.queue.properties()
    }

    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        Some(self)
    }
}

impl WaitSource for QueueSender {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.queue.as_fd(), Interest::Writable)
    }
}

/// The queue's descriptor: `poll(2)` reports `POLLOUT` while there is room.
impl AsFd for QueueSender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}
