//! Ordinary pipes: a one-way link between a process and its child, or whoever gets an end. Leaves out
//! how an end gets into the child ([`crate::handover`]).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipc_core::{
    Boundaries, Buffering, Capacity, Carrier, Count, Deadline, DeathNotice, Direction,
    Establishment, Lifetime, LinkProperties, MessageLength, Naming, OpenError, OpenErrorKind,
    Order, Received, Receiver, RecvError, Resource, SendError, Sender, SenderIdentity, WaitSource,
    WaitStrategy, WhenFull,
};
use rustix::fs::{FileType, OFlags};
use rustix::io::FdFlags;
use rustix::pipe::PipeFlags;

use crate::capacity;
use crate::frame::MAX_FRAME_PAYLOAD;
use crate::reader::{FrameReader, Rules};
use crate::stream::{PipeReader, PipeWriter};
use crate::writer::FrameWriter;

/// The longest message of a pipe unless its ends say otherwise, in bytes: 16 MiB.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// Makes a pipe (pipe2(2)). Neither end is inherited by any child unless it is given to it.
///
/// ```
/// use ipc_core::{Receiver, RecvError, Sender};
///
/// let (mut sender, mut receiver) = ipc_pipe::pipe()?;
/// sender.send(b"hello")?;
/// let mut buffer = [0; 16];
/// let received = receiver.recv(&mut buffer)?;
/// assert_eq!(&buffer[..received.len], b"hello");
///
/// drop(sender);
/// assert!(matches!(receiver.recv(&mut buffer), Err(RecvError::PeerGone { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`OpenErrorKind::Limit`] when descriptors are exhausted.
pub fn pipe() -> Result<(PipeSender, PipeReceiver), OpenError> {
    let link = Resource::unnamed("pipe");
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
        .map_err(|error| OpenError::from_os("pipe2", &link, error))?;
    Ok((writer.try_into()?, reader.try_into()?))
}

/// The sending end of a pipe.
///
/// # How a time-out leaves nothing behind
///
/// A message of up to [`ATOMIC_PAYLOAD`](crate::ATOMIC_PAYLOAD) bytes is written whole or not at all.
/// A longer one is written in frames and exists from the last of them on; if the time runs out before
/// that, the receiver drops what came of it, and the endpoint finishes the frame it was in before it
/// writes the next message. The price is that a message longer than what the pipe has room for needs
/// a receiver that reads meanwhile: [`try_send`](Sender::try_send) of it answers
/// [`Full`](SendError::Full). [`set_capacity_bytes`](Self::set_capacity_bytes) makes more room.
///
/// # Runs
///
/// Messages of one length that follow one another go without headers, as a **run**: how it begins and ends
/// says [the crate's documentation](crate#the-frame-for-other-languages). So a stream of such messages costs what
/// a bare loop of `write` and `read` does. It takes a receiver that has read the stream from its beginning, and no
/// second sender on a duplicate of this end (that is what a [`Fifo`](crate::Fifo) is for). A receiver of another
/// language may know no runs: then [`without_runs`](Self::without_runs).
///
/// # Descriptors
///
/// The descriptor is non-blocking. That flag belongs to the open file description, which everyone
/// has in common who holds a duplicate of this end; the other end is another description and keeps its
/// own flag. An end that is given to a child is made blocking again, as programs expect it.
#[derive(Debug)]
pub struct PipeSender {
    writer: FrameWriter,
}

/// The receiving end of a pipe. See [`PipeSender`] on its descriptor.
///
/// It reads ahead: up to 64 KiB (more if the pipe holds more) wait in its own buffer.
///
/// After the last message of a sender that closed its end or died comes
/// [`RecvError::PeerGone`], again and again. A message that the sender had only begun is dropped. A
/// stream of bytes that no sender writes, say a length beyond the maximum, is
/// [`RecvError::Violation`] from then on.
#[derive(Debug)]
pub struct PipeReceiver {
    reader: FrameReader,
}

impl PipeSender {
    /// Changes the longest message that is sent, in bytes; up to 1 GiB − 1. The receiver has a maximum
    /// of its own. The default is [`DEFAULT_MAX_MESSAGE_BYTES`].
    #[must_use]
    pub fn with_max_message_bytes(mut self, bytes: usize) -> Self {
        self.writer.set_max_message_bytes(bytes.min(MAX_FRAME_PAYLOAD));
        self
    }

    /// Sends every message behind a header, for receivers that know no runs.
    #[must_use]
    pub fn without_runs(mut self) -> Self {
        self.writer.set_has_runs(false);
        self
    }

    /// How many bytes the pipe holds, frames included (`F_GETPIPE_SZ`).
    ///
    /// # Errors
    ///
    /// Those of fcntl(2); none are known.
    pub fn capacity_bytes(&self) -> Result<usize, OpenError> {
        capacity::get(self.as_fd(), self.writer.link())
    }

    /// Asks for room for this many bytes (`F_SETPIPE_SZ`), and returns how many the kernel gave: it
    /// rounds up to a power of two pages.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::Limit`], with the setting that raises it, above the system's limit;
    /// [`OpenErrorKind::InUse`] where more is in the pipe than would be left room for.
    pub fn set_capacity_bytes(&mut self, bytes: usize) -> Result<usize, OpenError> {
        capacity::set(self.as_fd(), self.writer.link(), bytes)
    }

    /// This end as a plain stream of bytes, without frames.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InvalidOption`] if a send that timed out has left part of a frame to be
    /// written, or the pipe is too full to take the end of a run of messages (four bytes); the end is closed.
    pub fn into_stream(mut self) -> Result<PipeWriter, OpenError> {
        match self.writer.end_run() {
            // Without a receiver nobody misses it.
            Ok(()) | Err(SendError::PeerGone { .. }) if self.writer.is_between_frames() => {
                Ok(PipeWriter::new(self.writer))
            }
            _ => Err(amid_a_frame("into_stream", self.writer.link())),
        }
    }

    /// The descriptor, blocking, for [`crate::handover`].
    pub(crate) fn into_blocking_descriptor(self) -> Result<OwnedFd, OpenError> {
        self.into_stream()?.into_blocking_descriptor()
    }
}

impl PipeReceiver {
    /// Changes the longest message that is taken, in bytes. A longer one is
    /// [`RecvError::Violation`]. The default is [`DEFAULT_MAX_MESSAGE_BYTES`].
    #[must_use]
    pub fn with_max_message_bytes(mut self, bytes: usize) -> Self {
        self.reader.set_max_message_bytes(bytes);
        self
    }

    /// Changes how receives wait. The default is [`WaitStrategy::Park`]: asleep in the kernel, which costs
    /// nothing but the wake-up, some 5 µs or more. With another the receiver looks before it sleeps, with a
    /// system call every half microsecond or so.
    ///
    /// Looking shortens the wait for a rare message. It does not make a stream of messages faster: each look
    /// is in the sender's way.
    #[must_use]
    pub fn with_strategy(mut self, strategy: WaitStrategy) -> Self {
        self.reader.set_strategy(strategy);
        self
    }

    /// How many bytes the pipe holds. See [`PipeSender::capacity_bytes`].
    ///
    /// # Errors
    ///
    /// Those of fcntl(2); none are known.
    pub fn capacity_bytes(&self) -> Result<usize, OpenError> {
        capacity::get(self.as_fd(), self.reader.link())
    }

    /// Asks for room for this many bytes. See [`PipeSender::set_capacity_bytes`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_capacity_bytes(&mut self, bytes: usize) -> Result<usize, OpenError> {
        capacity::set(self.as_fd(), self.reader.link(), bytes)
    }

    /// This end as a plain stream of bytes, without frames. Only before the first receive, which may
    /// read ahead.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InvalidOption`] if it holds bytes that it has read, or is amid a run of messages;
    /// the end is closed.
    pub fn into_stream(self) -> Result<PipeReader, OpenError> {
        if self.reader.is_between_frames() {
            Ok(PipeReader::new(self.reader))
        } else {
            Err(amid_a_frame("into_stream", self.reader.link()))
        }
    }

    /// The descriptor, blocking, for [`crate::handover`].
    pub(crate) fn into_blocking_descriptor(self) -> Result<OwnedFd, OpenError> {
        self.into_stream()?.into_blocking_descriptor()
    }
}

fn amid_a_frame(operation: &'static str, link: &Resource) -> OpenError {
    let requirement = "it must not hold part of the messages already".into();
    OpenError::new(operation, link, OpenErrorKind::InvalidOption { option: "end", requirement })
}

impl TryFrom<OwnedFd> for PipeSender {
    type Error = OpenError;

    /// Takes the write end of a pipe from elsewhere, and makes it non-blocking and close-on-exec.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InvalidOption`] if it is something else.
    fn try_from(descriptor: OwnedFd) -> Result<Self, OpenError> {
        let link = Resource::unnamed("pipe");
        adopt(&descriptor, OFlags::WRONLY, &link)?;
        let mut writer = FrameWriter::new(descriptor, link, DEFAULT_MAX_MESSAGE_BYTES);
        writer.set_has_runs(true);
        Ok(Self { writer })
    }
}

impl TryFrom<OwnedFd> for PipeReceiver {
    type Error = OpenError;

    /// Takes the read end of a pipe from elsewhere, and makes it non-blocking and close-on-exec.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InvalidOption`] if it is something else.
    fn try_from(descriptor: OwnedFd) -> Result<Self, OpenError> {
        let link = Resource::unnamed("pipe");
        adopt(&descriptor, OFlags::RDONLY, &link)?;
        let rules = Rules { max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES, many_senders: false };
        Ok(Self { reader: FrameReader::new(descriptor, link, rules) })
    }
}

/// Checks that a descriptor is the end of a pipe that it should be, and sets its flags.
fn adopt(descriptor: &OwnedFd, access: OFlags, link: &Resource) -> Result<(), OpenError> {
    let os = |operation| move |error| OpenError::from_os(operation, link, error);
    check_end(descriptor.as_fd(), access, "adopt", link)?;
    rustix::io::fcntl_setfd(descriptor, FdFlags::CLOEXEC).map_err(os("fcntl(F_SETFD)"))?;
    let flags = rustix::fs::fcntl_getfl(descriptor).map_err(os("fcntl(F_GETFL)"))?;
    rustix::fs::fcntl_setfl(descriptor, flags | OFlags::NONBLOCK).map_err(os("fcntl(F_SETFL)"))
}

/// Fails unless the descriptor is that of a pipe, opened for this access alone.
pub(crate) fn check_end(
    descriptor: BorrowedFd<'_>,
    access: OFlags,
    operation: &'static str,
    link: &Resource,
) -> Result<(), OpenError> {
    let os = |call| move |error| OpenError::from_os(call, link, error);
    let found = rustix::fs::fstat(descriptor).map_err(os("fstat"))?;
    let flags = rustix::fs::fcntl_getfl(descriptor).map_err(os("fcntl(F_GETFL)"))?;
    if FileType::from_raw_mode(found.st_mode) == FileType::Fifo && flags & OFlags::RWMODE == access
    {
        return Ok(());
    }
    let end = if access == OFlags::WRONLY { "write" } else { "read" };
    let requirement = format!("it must be the {end} end of a pipe");
    let kind = OpenErrorKind::InvalidOption { option: "descriptor", requirement };
    Err(OpenError::new(operation, link, kind))
}

impl Sender for PipeSender {
    #[inline(always)] // see `FrameWriter::send`
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        self.writer.send(message, deadline)
    }

    fn properties(&self) -> LinkProperties {
        properties(self.capacity_bytes(), self.writer.max_message_bytes())
    }

    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        Some(&mut self.writer)
    }
}

impl Receiver for PipeReceiver {
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

fn properties(capacity: Result<usize, OpenError>, max_message_bytes: usize) -> LinkProperties {
    LinkProperties {
        mechanism: "pipe",
        establishment: Establishment::Inheritance,
        naming: Naming::Indirect,
        senders: Count::One,
        receivers: Count::One,
        links_per_pair: Count::Many,
        capacity: Capacity::Bytes(capacity.unwrap_or(capacity::DEFAULT_BYTES)),
        message_length: MessageLength::up_to(max_message_bytes),
        direction: Direction::OneWay,
        carrier: Carrier::Kernel,
        buffering: Buffering::Automatic,
        boundaries: Boundaries::Framed,
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
    }
}

impl AsFd for PipeSender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }
}

impl AsFd for PipeReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}
