//! How a queue is opened, and created where there is none.

use ipc_core::{Name, OpenError, OpenErrorKind, OsError};

use super::queue::{Queue, system_name};
use super::sys::{self, Access, Creation};
use super::{QueueReceiver, QueueSender, limits};

/// How a queue is opened, and what it is created with: like [`std::fs::OpenOptions`].
///
/// ```
/// use ipc_core::{Name, Receiver, Sender};
/// use ipc_mq::posix::{self, OpenOptions};
///
/// let name = Name::new(&format!("doc.options.{}", std::process::id()))?;
/// let mut jobs = OpenOptions::new()
///     .create_new(true)
///     .mode(0o600)
///     .capacity_messages(4)
///     .max_message_bytes(256)
///     .open_receiver(&name)?;
/// let mut urgent = posix::QueueSender::open(&name)?;
/// posix::unlink(&name)?; // the queue stays until its last end is closed
///
/// urgent.try_send(b"tidy up")?;
/// assert_eq!(jobs.attributes()?.queued_messages, 1);
/// # let mut buffer = [0; 256];
/// # assert_eq!(jobs.try_recv(&mut buffer)?.len, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    create: bool,
    create_new: bool,
    mode: u32,
    capacity_messages: Option<usize>,
    max_message_bytes: Option<usize>,
}

impl OpenOptions {
    /// Opens what is there, and creates nothing, until told otherwise.
    pub fn new() -> Self {
        Self {
            create: false,
            create_new: false,
            mode: 0o600,
            capacity_messages: None,
            max_message_bytes: None,
        }
    }

    /// Whether to create the queue if there is none of its name.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.create = create;
        self
    }

    /// Whether to create the queue, and fail if there is one of its name. This wins over
    /// [`create`](Self::create).
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.create_new = create_new;
        self
    }

    /// The permission bits of a queue that is created, at most `0o777`; the umask is taken off. To
    /// receive takes the right to read, to send the right to write. By default `0o600`: the same user
    /// only.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }

    /// How many messages the queue holds, 1–65,536. By default the system's choice, often 10.
    ///
    /// A queue that is there already must have this capacity, or the open fails with
    /// [`OpenErrorKind::Mismatch`]; left out, any will do. Without privilege
    /// (`CAP_SYS_RESOURCE`), `/proc/sys/fs/mqueue/msg_max` is the most.
    pub fn capacity_messages(&mut self, capacity_messages: usize) -> &mut Self {
        self.capacity_messages = Some(capacity_messages);
        self
    }

    /// The queue's longest message in bytes, 1–16,777,216. By default the system's choice, often 8192.
    ///
    /// A queue that is there already must have this limit, or the open fails with
    /// [`OpenErrorKind::Mismatch`]; left out, any will do. Without privilege
    /// (`CAP_SYS_RESOURCE`), `/proc/sys/fs/mqueue/msgsize_max` is the most.
    pub fn max_message_bytes(&mut self, max_message_bytes: usize) -> &mut Self {
        self.max_message_bytes = Some(max_message_bytes);
        self
    }

    /// Opens the queue to send. Never blocks. See `mq_open(3)`.
    ///
    /// # Errors
    ///
    /// - [`OpenErrorKind::NotFound`]: there is no such queue, and none was to be created;
    /// - [`OpenErrorKind::AlreadyExists`]: there is one, and a new one was wanted;
    /// - [`OpenErrorKind::PermissionDenied`]: its mode bits do not let this user in;
    /// - [`OpenErrorKind::Mismatch`]: it has other attributes than these options state;
    /// - [`OpenErrorKind::InvalidOption`]: an option is out of its range;
    /// - [`OpenErrorKind::Limit`]: the queue would break a limit of the system, which the text names
    ///   with its value: the most messages, the longest message, the bytes that one user's queues may
    ///   hold, the number of queues; or the process has too many descriptors;
    /// - [`OpenErrorKind::Unsupported`]: the kernel was built without queues.
    pub fn open_sender(&self, name: &Name) -> Result<QueueSender, OpenError> {
        self.open(name, Access::Send).map(QueueSender::new)
    }

    /// Opens the queue to receive. Never blocks. See `mq_open(3)`.
    ///
    /// # Errors
    ///
    /// Those of [`open_sender`](Self::open_sender).
    pub fn open_receiver(&self, name: &Name) -> Result<QueueReceiver, OpenError> {
        self.open(name, Access::Receive).map(QueueReceiver::new)
    }

    fn open(&self, name: &Name, access: Access) -> Result<Queue, OpenError> {
        let (system_name, link) = system_name(name);
        let creation = self.creation().map_err(|kind| OpenError::new("mq_open", &link, kind))?;
        let descriptor = sys::mq_open(&system_name, access, creation)
            .map_err(|errno| OpenError::new("mq_open", &link, limits::explain(errno, creation)))?;
        let queue =
            Queue::new(descriptor, link).map_err(|OsError { operation, resource, source }| {
                OpenError::from_os(operation, &resource, source)
            })?;
        self.check(&queue).map_err(|kind| OpenError::new("mq_open", &queue.link, kind))?;
        Ok(queue)
    }

    /// What to create a queue with, `None` if not at all.
    fn creation(&self) -> Result<Option<Creation>, OpenErrorKind> {
        check_range("capacity_messages", self.capacity_messages, limits::CEILING_MESSAGES)?;
        check_range("max_message_bytes", self.max_message_bytes, limits::CEILING_MESSAGE_BYTES)?;
        if self.mode > 0o777 {
            let requirement = "permission bits, at most 0o777".into();
            return Err(OpenErrorKind::InvalidOption { option: "mode", requirement });
        }
        if !self.create && !self.create_new {
            return Ok(None);
        }
        Ok(Some(Creation {
            exclusive: self.create_new,
            mode: self.mode,
            capacity_messages: self
                .capacity_messages
                .unwrap_or_else(limits::default_capacity_messages),
            max_message_bytes: self
                .max_message_bytes
                .unwrap_or_else(limits::default_max_message_bytes),
        }))
    }

    /// Whether the queue, which may have been there before, is as these options state.
    fn check(&self, queue: &Queue) -> Result<(), OpenErrorKind> {
        let stated = [
            ("capacity in messages", self.capacity_messages, queue.capacity_messages),
            ("longest message in bytes", self.max_message_bytes, queue.max_message_bytes),
        ];
        for (what, expected, found) in stated {
            if let Some(expected) = expected.filter(|&expected| expected != found) {
                let (expected, found) = (expected as u64, found as u64);
                return Err(OpenErrorKind::Mismatch { what, expected, found });
            }
        }
        Ok(())
    }
}

impl Default for OpenOptions {
    /// [`OpenOptions::new`].
    fn default() -> Self {
        Self::new()
    }
}

fn check_range(
    option: &'static str,
    value: Option<usize>,
    ceiling: usize,
) -> Result<(), OpenErrorKind> {
    match value {
        Some(value) if !(1..=ceiling).contains(&value) => {
            let requirement = format!("1 to {ceiling} is what any kernel takes, not {value}");
            Err(OpenErrorKind::InvalidOption { option, requirement })
        }
        _ => Ok(()),
    }
}
