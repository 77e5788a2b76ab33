//! FIFOs: pipes with a name in the file system, for processes that are not related. Leaves out how a
//! sender waits for a receiver ([`crate::rendezvous`]).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use ipc_core::{
    Boundaries, Buffering, Capacity, Carrier, Count, Deadline, DeathNotice, Direction,
    Establishment, Lifetime, LinkProperties, MessageLength, Naming, OpenError, OpenErrorKind,
    Order, Received, Receiver, RecvError, Resource, SendError, Sender, SenderIdentity, WaitSource,
    WaitStrategy, WhenFull,
};
use rustix::fs::{CWD, FileType, FlockOperation, Mode, OFlags};

use crate::capacity;
use crate::end::End;
use crate::frame::{ATOMIC_PAYLOAD, MAX_FRAME_PAYLOAD};
use crate::pipe::DEFAULT_MAX_MESSAGE_BYTES;
use crate::reader::{Fill, FrameReader, Rules};
use crate::rendezvous::{self, Openings};
use crate::shared::{SharedFifoReceiver, SharedFifoSender};
use crate::writer::FrameWriter;

/// A FIFO: the name of a pipe in the file system (fifo(7)).
///
/// This is the name alone, without a descriptor; dropping it does nothing. The name stays until
/// [`unlink`](Fifo::unlink), whoever made it; what is in the pipe is gone with the last end.
///
/// ```
/// use ipc_core::{Deadline, Receiver, RecvError, Sender};
/// use ipc_pipe::Fifo;
///
/// let path = std::env::temp_dir().join(format!("ipc-pipe-doc-{}", std::process::id()));
/// let fifo = Fifo::create_new(&path)?;
/// let mut receiver = fifo.open_receiver()?;
/// let mut buffer = [0; 64];
/// // Nobody has sent yet, which is not the same as the sender being gone.
/// assert!(matches!(receiver.try_recv(&mut buffer), Err(RecvError::Empty)));
///
/// let mut sender = fifo.open_sender(Deadline::Never)?; // in another process, as a rule
/// sender.send(b"order 17")?;
/// assert_eq!(receiver.recv(&mut buffer)?.len, 8);
/// drop(sender);
/// assert!(matches!(receiver.recv(&mut buffer), Err(RecvError::PeerGone { .. })));
/// fifo.unlink()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Fifo {
    path: PathBuf,
}

/// How a FIFO is made.
#[derive(Clone, Copy, Debug)]
pub struct FifoOptions {
    mode: u32,
}

/// A sending end of a FIFO. There may be many, in any processes; their messages never mix. Those of up
/// to [`ATOMIC_PAYLOAD`](crate::ATOMIC_PAYLOAD) bytes are one atomic write. Longer ones go in pieces that
/// are each one atomic write and say whose they are; the receiver puts together what belongs together,
/// and the message comes into being with its last piece. No sender waits for another.
///
/// [`SendError::PeerGone`] means that there is no receiver any more. When a new one opens the FIFO,
/// sends succeed again.
#[derive(Debug)]
pub struct FifoSender {
    writer: FrameWriter,
}

/// The receiving end of a FIFO. There is one at a time.
///
/// A receiver may outlive its senders and meet new ones:
///
/// - Before the first sender has come, the link is just empty: [`RecvError::Empty`] or
///   [`RecvError::TimedOut`], and a receive without limit waits.
/// - When the last sender has closed its end or died and everything was received,
///   [`RecvError::PeerGone`], again and again as long as there is no sender.
/// - When a new sender comes after that, receives go on as before.
///
/// So a server either ends at the first `PeerGone`, or calls [`wait_for_sender`] and goes on. One
/// that should never see it can open a sender of its own and keep it.
///
/// [`wait_for_sender`]: FifoReceiver::wait_for_sender
#[derive(Debug)]
pub struct FifoReceiver {
    reader: FrameReader,
    path: PathBuf,
}

impl FifoOptions {
    /// A FIFO that only its owner may use.
    pub const fn new() -> Self {
        Self { mode: 0o600 }
    }

    /// The permission bits, from which the process's umask(2) still takes some. The default is 0600.
    /// A sender that waits for a receiver needs the right to read, too.
    #[must_use]
    pub const fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Makes a FIFO, or uses the one that is there, as it is.
    ///
    /// # Errors
    ///
    /// As of [`Fifo::open`], and those of mkfifo(3).
    pub fn create(self, path: impl AsRef<Path>) -> Result<Fifo, OpenError> {
        match self.create_new(path.as_ref()) {
            Err(error) if matches!(error.kind(), OpenErrorKind::AlreadyExists(_)) => {
                Fifo::open(path)
            }
            other => other,
        }
    }

    /// Makes a FIFO.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::AlreadyExists`] if there is a file of that name, FIFO or not; those of
    /// mkfifo(3).
    pub fn create_new(self, path: impl AsRef<Path>) -> Result<Fifo, OpenError> {
        let fifo = Fifo { path: path.as_ref().into() };
        rustix::fs::mkfifoat(CWD, &fifo.path, Mode::from_raw_mode(self.mode))
            .map_err(|error| OpenError::from_os("mkfifo", &fifo.link(), error))?;
        Ok(fifo)
    }
}

impl Default for FifoOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Fifo {
    /// Makes a FIFO that only its owner may use, or uses the one that is there. See
    /// [`FifoOptions::create`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        FifoOptions::new().create(path)
    }

    /// Makes a FIFO that only its owner may use. See [`FifoOptions::create_new`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn create_new(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        FifoOptions::new().create_new(path)
    }

    /// Uses a FIFO that is there.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::NotFound`]; [`OpenErrorKind::InvalidOption`] if the file is not a FIFO;
    /// those of stat(2).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let fifo = Self { path: path.as_ref().into() };
        let link = fifo.link();
        let found = rustix::fs::stat(&fifo.path)
            .map_err(|error| OpenError::from_os("stat", &link, error))?;
        rendezvous::check_is_fifo(&found, &link)?;
        Ok(fifo)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a sending end, waiting for a receiver until `deadline`.
    ///
    /// Any program that has opened the FIFO for reading counts as a receiver. Another program's read
    /// end costs up to 10 ms more, to tell it from the short-lived one of another sender that
    /// begins to wait.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::Refused`] if there is no receiver and the deadline is [`Deadline::Now`];
    /// [`OpenErrorKind::TimedOut`] if none has come until then; [`OpenErrorKind::NotFound`], also if
    /// the FIFO is unlinked meanwhile; [`OpenErrorKind::PermissionDenied`] without the right to write,
    /// or, to wait, to read; [`OpenErrorKind::Limit`]; [`OpenErrorKind::InvalidOption`] if the file is
    /// not a FIFO.
    pub fn open_sender(&self, deadline: Deadline) -> Result<FifoSender, OpenError> {
        let link = self.link();
        let descriptor = rendezvous::open_for_receiver(&self.path, &link, deadline)?;
        let writer = FrameWriter::new(descriptor, link, DEFAULT_MAX_MESSAGE_BYTES);
        Ok(FifoSender { writer })
    }

    /// Opens the receiving end, at once: it is the receives that wait for a sender.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InUse`] if there is a receiver of this crate already;
    /// [`OpenErrorKind::NotFound`]; [`OpenErrorKind::PermissionDenied`]; [`OpenErrorKind::Limit`];
    /// [`OpenErrorKind::InvalidOption`] if the file is not a FIFO.
    pub fn open_receiver(&self) -> Result<FifoReceiver, OpenError> {
        // Two receivers would tear each other's frames.
        let (descriptor, link) = self.open_to_read(FlockOperation::NonBlockingLockExclusive)?;
        let max_message_bytes = DEFAULT_MAX_MESSAGE_BYTES;
        let rules = Rules { max_message_bytes, many_senders: true };
        let reader = FrameReader::new(descriptor, link, rules);
        Ok(FifoReceiver { reader, path: self.path.clone() })
    }

    /// Opens one of several receiving ends, at once. All senders must be of
    /// [`open_shared_sender`](Self::open_shared_sender).
    ///
    /// # Errors
    ///
    /// As of [`open_receiver`](Self::open_receiver); [`OpenErrorKind::InUse`] only if there is one of
    /// that kind.
    pub fn open_shared_receiver(&self) -> Result<SharedFifoReceiver, OpenError> {
        let (descriptor, link) = self.open_to_read(FlockOperation::NonBlockingLockShared)?;
        Ok(SharedFifoReceiver::new(End::new(descriptor), link))
    }

    /// Opens a sending end for several receivers, waiting for one of them until `deadline`: it writes in
    /// packet mode.
    ///
    /// # Errors
    ///
    /// As of [`open_sender`](Self::open_sender).
    pub fn open_shared_sender(&self, deadline: Deadline) -> Result<SharedFifoSender, OpenError> {
        let sender = self.open_sender(deadline)?;
        let os = |operation| move |error| OpenError::from_os(operation, &self.link(), error);
        let flags = rustix::fs::fcntl_getfl(&sender).map_err(os("fcntl(F_GETFL)"))?;
        rustix::fs::fcntl_setfl(&sender, flags | OFlags::DIRECT).map_err(os("fcntl(F_SETFL)"))?;
        Ok(SharedFifoSender::new(sender))
    }

    /// A read end under this lock, which is gone with the descriptor.
    fn open_to_read(&self, lock: FlockOperation) -> Result<(OwnedFd, Resource), OpenError> {
        let link = self.link();
        let descriptor = rendezvous::open_end(&self.path, OFlags::RDONLY, &link)?;
        rustix::fs::flock(&descriptor, lock).map_err(|error| {
            let kind = match error {
                rustix::io::Errno::WOULDBLOCK => OpenErrorKind::InUse(error.into()),
                error => OpenErrorKind::Os(error.into()),
            };
            OpenError::new("flock", &link, kind)
        })?;
        rendezvous::mark_as_receiver(descriptor.as_fd(), &self.path, &link)?;
        Ok((descriptor, link))
    }

    /// Removes the name. Ends that are open go on.
    ///
    /// # Errors
    ///
    /// Those of unlink(2).
    pub fn unlink(&self) -> Result<(), OpenError> {
        rustix::fs::unlink(&self.path)
            .map_err(|error| OpenError::from_os("unlink", &self.link(), error))
    }

    fn link(&self) -> Resource {
        Resource::named("FIFO", self.path.display())
    }
}

impl FifoSender {
    /// Changes the longest message that is sent, in bytes. See
    /// [`PipeSender::with_max_message_bytes`](crate::PipeSender::with_max_message_bytes).
    #[must_use]
    pub fn with_max_message_bytes(mut self, bytes: usize) -> Self {
        self.writer.set_max_message_bytes(bytes.min(MAX_FRAME_PAYLOAD));
        self
    }

    /// How many bytes the FIFO holds. See
    /// [`PipeSender::capacity_bytes`](crate::PipeSender::capacity_bytes).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn capacity_bytes(&self) -> Result<usize, OpenError> {
        capacity::get(self.as_fd(), self.writer.link())
    }

    /// Asks for room for this many bytes. See
    /// [`PipeSender::set_capacity_bytes`](crate::PipeSender::set_capacity_bytes).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_capacity_bytes(&mut self, bytes: usize) -> Result<usize, OpenError> {
        capacity::set(self.as_fd(), self.writer.link(), bytes)
    }
}

impl FifoReceiver {
    /// Changes the longest message that is taken, in bytes. A longer one is
    /// [`RecvError::Violation`]; and so are unfinished ones of four times that together. The default is
    /// [`DEFAULT_MAX_MESSAGE_BYTES`].
    #[must_use]
    pub fn with_max_message_bytes(mut self, bytes: usize) -> Self {
        self.reader.set_max_message_bytes(bytes);
        self
    }

    /// Changes how receives wait. See [`PipeReceiver::with_strategy`](crate::PipeReceiver::with_strategy).
    #[must_use]
    pub fn with_strategy(mut self, strategy: WaitStrategy) -> Self {
        self.reader.set_strategy(strategy);
        self
    }

    /// Waits until there is a sender, at most until `deadline`. Returns at once if there is one, or
    /// if messages wait.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::TimedOut`]; those of inotify(7).
    pub fn wait_for_sender(&mut self, deadline: Deadline) -> Result<(), OpenError> {
        if !self.reader.is_between_frames() {
            return Ok(());
        }
        let link = self.reader.link().clone();
        let mut openings = None;
        loop {
            let fill = self
                .reader
                .fill()
                .map_err(|error| OpenError::from_os(error.operation, &link, error.source))?;
            match fill {
                Fill::Bytes | Fill::Nothing => return Ok(()),
                Fill::NoSenderYet | Fill::End => {}
            }
            match &openings {
                // Watch first, then look once more, so that no opening is missed.
                None => openings = Some(Openings::watch(&self.path, &link)?),
                Some(openings) => openings.wait(deadline)?,
            }
        }
    }

    /// How many bytes the FIFO holds. See
    /// [`PipeSender::capacity_bytes`](crate::PipeSender::capacity_bytes).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn capacity_bytes(&self) -> Result<usize, OpenError> {
        capacity::get(self.as_fd(), self.reader.link())
    }
}

impl Sender for FifoSender {
    #[inline(always)] // see `FrameWriter::send`
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        if message.len() > ATOMIC_PAYLOAD && !self.writer.has_tag() {
            let tag = rendezvous::claim_tag(self.as_fd(), self.writer.link())?;
            self.writer.set_tag(tag);
        }
        self.writer.send(message, deadline)
    }

    fn properties(&self) -> LinkProperties {
        properties(self.capacity_bytes(), self.writer.max_message_bytes())
    }

    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        Some(&mut self.writer)
    }
}

impl Receiver for FifoReceiver {
    #[inline(always)] // see `FrameWriter::send`
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        self.reader.receive(buffer, deadline)
    }

    fn properties(&self) -> LinkProperties {
        properties(self.capacity_bytes(), self.reader.max_message_bytes())
    }

    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        Some(&mut self.reader)
    }
}

pub(crate) fn properties(
    capacity: Result<usize, OpenError>,
    max_message_bytes: usize,
) -> LinkProperties {
    LinkProperties {
        mechanism: "FIFO",
        establishment: Establishment::Name,
        naming: Naming::Indirect,
        senders: Count::Many,
        receivers: Count::One,
        links_per_pair: Count::Many,
        capacity: Capacity::Bytes(capacity.unwrap_or(capacity::DEFAULT_BYTES)),
        message_length: MessageLength::up_to(max_message_bytes),
        direction: Direction::OneWay,
        carrier: Carrier::Kernel,
        buffering: Buffering::Automatic,
        boundaries: Boundaries::Framed,
        lifetime: Lifetime::System,
        when_full: WhenFull::Waits,
        lossy: false,
        order: Order::Fifo,
        priorities: None,
        death_notice: DeathNotice::Both,
        accepted_survives_sender: true,
        sender_identity: SenderIdentity::Unknown,
        synchronous_send: false,
        waitable: true,
    }
}

impl AsFd for FifoSender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }
}

impl AsFd for FifoReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

/// The text for a type of file.
pub(crate) fn describe(file_type: FileType) -> &'static str {
    match file_type {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something else",
    }
}
