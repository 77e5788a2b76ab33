//! An open queue: what its two ends have in common. Leaves out how it is opened (`options`).

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipc_core::{
    Boundaries, Buffering, Capacity, Carrier, Count, Deadline, DeathNotice, Direction,
    Establishment, Interest, Lifetime, LinkProperties, MessageLength, Name, Naming, Order, OsError,
    Resource, SenderIdentity, WhenFull, poll,
};
use rustix::io::Errno;

use super::sys::{self, Patience};

/// What the kernel tells of a queue (`mq_getattr(3)`). The first two never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// How many messages the queue holds before a sender waits (`mq_maxmsg`).
    pub capacity_messages: usize,
    /// The longest message, in bytes (`mq_msgsize`).
    pub max_message_bytes: usize,
    /// How many messages are in it (`mq_curmsgs`); may be stale on return. A message that a receiver
    /// [holds](super::QueueReceiver#a-message-that-does-not-fit) is no longer in the queue.
    pub queued_messages: usize,
}

/// The highest priority of a message: `sysconf(_SC_MQ_PRIO_MAX)`, which is 32,768 on Linux, less one.
pub const HIGHEST_PRIORITY: u32 = 32_767;

pub(super) const MECHANISM: &str = "POSIX queue";

/// The queue's name as the system wants it, and as errors show it.
pub(super) fn system_name(name: &Name) -> (CString, Resource) {
    let slashed = format!("/{name}");
    let resource = Resource::named(MECHANISM, &slashed);
    (CString::new(slashed).expect("no name has a NUL"), resource)
}

/// A descriptor of an open queue, and what never changes about it.
#[derive(Debug)]
pub(super) struct Queue {
    descriptor: OwnedFd,
    pub(super) link: Resource,
    pub(super) capacity_messages: usize,
    pub(super) max_message_bytes: usize,
}

impl Queue {
    pub(super) fn new(descriptor: OwnedFd, link: Resource) -> Result<Self, OsError> {
        let found = read_attributes(descriptor.as_fd(), &link)?;
        Ok(Self {
            descriptor,
            link,
            capacity_messages: found.capacity_messages,
            max_message_bytes: found.max_message_bytes,
        })
    }

    pub(super) fn attributes(&self) -> Result<Attributes, OsError> {
        read_attributes(self.descriptor.as_fd(), &self.link)
    }

    /// Repeats `call` until it succeeds, or until `deadline`, which is `Ok(None)`.
    ///
    /// [`Deadline::Now`] and [`Deadline::Never`] each take one system call, as the kernel knows both
    /// kinds of patience. A deadline between them waits in `poll(2)`, on the monotonic clock. That the
    /// queue was ready is then no more than a hint, since whoever shares it may have been faster:
    /// hence the loop.
    pub(super) fn call_until<T>(
        &self,
        operation: &'static str,
        interest: Interest,
        deadline: Deadline,
        mut call: impl FnMut(BorrowedFd<'_>, Patience) -> Result<T, Errno>,
    ) -> Result<Option<T>, OsError> {
        let descriptor = self.descriptor.as_fd();
        let patience = match deadline {
            Deadline::Never => Patience::Unlimited,
            Deadline::Now | Deadline::At(_) => Patience::None,
        };
        loop {
            match call(descriptor, patience) {
                Ok(value) => return Ok(Some(value)),
                // The queue is full, or empty. A signal interrupts (`EINTR`) no call but one that
                // would sleep, so it tells the same; `EAGAIN` comes if a process that inherited the
                // open description made it non-blocking.
                Err(Errno::TIMEDOUT | Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => return Err(OsError::new(operation, &self.link, errno)),
            }
            if deadline == Deadline::Now {
                return Ok(None);
            }
            match poll::wait_ready(descriptor, interest, deadline) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => return Err(OsError::new("poll", &self.link, error)),
            }
        }
    }

    pub(super) fn properties(&self) -> LinkProperties {
        LinkProperties {
            mechanism: MECHANISM,
            establishment: Establishment::Name,
            naming: Naming::Indirect,
            senders: Count::Many,
            receivers: Count::Many,
            links_per_pair: Count::Many,
            capacity: Capacity::Messages(self.capacity_messages),
            message_length: MessageLength::up_to(self.max_message_bytes),
            direction: Direction::OneWay,
            carrier: Carrier::Kernel,
            buffering: Buffering::Automatic,
            boundaries: Boundaries::Kept,
            lifetime: Lifetime::System,
            when_full: WhenFull::Waits,
            lossy: false,
            order: Order::Priority,
            priorities: Some(HIGHEST_PRIORITY),
            death_notice: DeathNotice::None,
            accepted_survives_sender: true,
            sender_identity: SenderIdentity::Unknown,
            synchronous_send: false,
            waitable: true,
        }
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

fn read_attributes(descriptor: BorrowedFd<'_>, link: &Resource) -> Result<Attributes, OsError> {
    let found =
        sys::mq_getattr(descriptor).map_err(|errno| OsError::new("mq_getattr", link, errno))?;
    // The kernel's counts are never negative.
    let count = |value: libc::c_long| usize::try_from(value).unwrap_or(0);
    Ok(Attributes {
        capacity_messages: count(found.mq_maxmsg),
        max_message_bytes: count(found.mq_msgsize),
        queued_messages: count(found.mq_curmsgs),
    })
}
