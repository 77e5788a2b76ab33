//! Reads messages from the frames that come from the read end of a pipe, with patience. Leaves out
//! where the descriptor came from.
//!
//! The reader takes from the kernel as much as its buffer holds, so many small messages cost one
//! system call, and gathers a message of several frames in memory of its own. So a message that does not
//! fit the caller's buffer stays here, and one whose sender dies half-way is dropped. Nothing is
//! allocated on the word of a header: memory grows with the bytes that have come.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipc_core::{
    Armed, Deadline, Interest, OsError, Received, RecvError, Resource, SpinBudget, WaitSource,
    WaitStrategy, poll,
};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::buffers::{Gathered, Input};
use crate::end::End;
use crate::frame::{ATOMIC_PAYLOAD, HEADER_LEN, Header};
use crate::rendezvous;
use crate::unfinished::{TAG_LEN, Unfinished};

/// A reader that takes many messages with one call is ahead of its writer most of the time. If it slept
/// each time, every write would have to wake it, which costs more than the write (measured: 720 ns
/// instead of 270). So it looks a few times before it sleeps, with pauses in which some more messages
/// come. It learns whether that pays, see [`SpinBudget`].
const LOOKS: u32 = 8;
/// Pauses of the processor between two looks: some 500 ns.
const PAUSES: u32 = 24;

/// Up to this length in bytes, messages are received through the reader's own buffer, many with one
/// call; longer ones into the caller's.
const COPIED_LEN_MAX: usize = 4096;

/// The least that the reader's buffer holds, in bytes: what a pipe of default capacity does.
const MIN_INPUT_LEN: usize = 64 * 1024;

/// The read end of a pipe that carries frames.
#[derive(Debug)]
pub(crate) struct FrameReader {
    descriptor: End,
    link: Resource,
    rules: Rules,
    /// Bytes that were read and not yet looked at.
    input: Input,
    /// The message under way: what of its frames has been taken out of `input`.
    gathered: Gathered,
    /// Bytes of the frame under way that are still to come; `None` between frames.
    frame: Option<FrameUnderWay>,
    /// Long messages of many senders, which come in pieces.
    unfinished: Unfinished,
    /// How many bytes of the stream have been looked at.
    position: u64,
    /// Length of the last message: the best guess for the next.
    last_len: usize,
    /// How often to look again before sleeping.
    budget: SpinBudget,
    /// What the peer did that no sender does. Nothing is read any more.
    poisoned: Option<&'static str>,
}

/// What a link allows its senders.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The longest message, in bytes.
    pub(crate) max_message_bytes: usize,
    /// Whether other senders' frames may come between two of one message, so that these name their
    /// sender.
    pub(crate) many_senders: bool,
}

#[derive(Clone, Copy, Debug)]
struct FrameUnderWay {
    missing: usize,
    more: bool,
}

/// A message that is here as a whole.
enum Whole {
    /// At the front of the input, behind its header.
    InInput { len: usize },
    /// In the memory for messages of several frames or reads.
    Gathered,
}

/// What became of a frame of a long message of one of many senders.
enum Piece {
    /// It is not all here.
    Incomplete,
    /// It was taken.
    Taken,
    /// The message is whole, in the memory for messages of several frames.
    Last,
}

/// What looking for bytes in the kernel has found.
pub(crate) enum Fill {
    /// Some bytes.
    Bytes,
    /// None; more may come.
    Nothing,
    /// None, since there is no sender, and before there was none either.
    NoSenderYet,
    /// None, since there is no sender any more.
    End,
}

impl FrameReader {
    /// Takes over a descriptor that has been made non-blocking.
    pub(crate) fn new(descriptor: OwnedFd, link: Resource, rules: Rules) -> Self {
        // A buffer as large as the pipe never cuts a frame that was written atomically, so that
        // after this reader the next one begins at a header.
        let capacity = rustix::pipe::fcntl_getpipe_size(&descriptor).unwrap_or(0);
        Self {
            descriptor: End::new(descriptor),
            link,
            rules,
            input: Input::new(capacity.max(MIN_INPUT_LEN)),
            gathered: Gathered::default(),
            frame: None,
            unfinished: Unfinished::default(),
            position: 0,
            last_len: 0,
            budget: SpinBudget::new(WaitStrategy::Adaptive { spins: LOOKS }),
            poisoned: None,
        }
    }

    pub(crate) fn link(&self) -> &Resource {
        &self.link
    }

    pub(crate) fn max_message_bytes(&self) -> usize {
        self.rules.max_message_bytes
    }

    pub(crate) fn set_max_message_bytes(&mut self, bytes: usize) {
        self.rules.max_message_bytes = bytes;
    }

    /// Whether nothing has been read from the kernel that was not delivered.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.input.bytes().is_empty()
            && self.frame.is_none()
            && self.gathered.is_empty()
            && self.unfinished.is_empty()
    }

    pub(crate) fn into_end(self) -> End {
        self.descriptor
    }

    pub(crate) fn receive(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        self.descriptor.suit(Deadline::Now, 0, &self.link)?;
        self.gathered.move_into(buffer);
        let result = self.receive_into(buffer, deadline);
        self.gathered.move_out_of(buffer); // what is left of a message that is not whole
        result
    }

    fn receive_into(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        let mut looks = None;
        loop {
            if let Some(whole) = self.next_whole(buffer)? {
                return self.deliver(whole, buffer);
            }
            match self.fill_into(buffer)? {
                Fill::Bytes => {
                    if looks.take().is_some() {
                        self.budget.found();
                    }
                }
                Fill::Nothing if deadline != Deadline::Now => {
                    let left = looks.get_or_insert_with(|| self.budget.begin().unwrap_or(0));
                    if *left > 0 {
                        *left -= 1;
                        (0..PAUSES).for_each(|_| std::hint::spin_loop());
                        continue;
                    }
                    looks = None;
                    self.budget.slept();
                    if !self.wait_for_bytes(deadline)? {
                        return Err(RecvError::no_message(deadline));
                    }
                }
                Fill::Nothing | Fill::NoSenderYet => {
                    if !self.wait_for_bytes(deadline)? {
                        return Err(RecvError::no_message(deadline));
                    }
                }
                Fill::End => {
                    // A message that was begun and never finished was never sent.
                    self.forget_unfinished();
                    return Err(RecvError::PeerGone { link: self.link.clone() });
                }
            }
        }
    }

    /// Reads once from the kernel, without blocking.
    pub(crate) fn fill(&mut self) -> Result<Fill, OsError> {
        self.descriptor.suit(Deadline::Now, 0, &self.link)?;
        self.fill_into(&mut [])
    }

    fn fill_into(&mut self, buffer: &mut [u8]) -> Result<Fill, OsError> {
        let is_between_messages = self.frame.is_none() && self.gathered.is_empty();
        if is_between_messages && self.input.bytes().is_empty() && self.last_len > COPIED_LEN_MAX {
            return self.fill_in_place(buffer);
        }
        let (read, into_message) = match &mut self.frame {
            None => {
                let room = self.input.room();
                (rustix::io::retry_on_intr(|| rustix::io::read(&self.descriptor, &mut *room)), 0)
            }
            // The rest of the frame goes where it belongs; what follows it, into the input: where
            // another long one is to be expected no more than its header.
            Some(frame) => {
                let message = self.gathered.room(frame.missing, buffer);
                let into_message = message.len();
                let input = self.input.room();
                let is_long = frame.more || frame.missing > COPIED_LEN_MAX;
                let after = if is_long { HEADER_LEN } else { input.len() };
                let mut parts = [IoSliceMut::new(message), IoSliceMut::new(&mut input[..after])];
                let read =
                    rustix::io::retry_on_intr(|| rustix::io::readv(&self.descriptor, &mut parts));
                (read, into_message)
            }
        };
        match read {
            Ok(0) => why_nothing(self.descriptor.as_fd(), &self.link),
            Ok(len) => {
                let into_message = len.min(into_message);
                self.input.end += len - into_message;
                if let Some(frame) = &mut self.frame {
                    frame.missing -= into_message;
                    self.gathered.filled += into_message;
                }
                Ok(Fill::Bytes)
            }
            Err(Errno::AGAIN) => Ok(Fill::Nothing),
            Err(error) => Err(OsError::new("read", &self.link, error)),
        }
    }

    /// Reads between two messages with one call that puts the next straight into the caller's buffer,
    /// on the guess that it is as long as the last one, and the header behind it into the input.
    fn fill_in_place(&mut self, buffer: &mut [u8]) -> Result<Fill, OsError> {
        let guess = self.last_len.min(buffer.len());
        let (mut header, mut next) = ([0; HEADER_LEN], [0; HEADER_LEN]);
        let read = rustix::io::retry_on_intr(|| {
            let message = &mut buffer[..guess];
            let (header, next) = (IoSliceMut::new(&mut header), IoSliceMut::new(&mut next));
            let mut parts = [header, IoSliceMut::new(message), next];
            rustix::io::readv(&self.descriptor, &mut parts)
        });
        let read = match read {
            Ok(0) => return why_nothing(self.descriptor.as_fd(), &self.link),
            Ok(len) => len,
            Err(Errno::AGAIN) => return Ok(Fill::Nothing),
            Err(error) => return Err(OsError::new("readv", &self.link, error)),
        };
        let of_header = read.min(HEADER_LEN);
        let of_message = (read - of_header).min(guess);
        let of_next = read - of_header - of_message;
        let found = Header::from_bytes(header);
        let is_as_guessed = of_header == HEADER_LEN
            && found.is_whole()
            && self.check(found).is_ok()
            && (found.len == guess || found.len > guess && of_next == 0);
        if is_as_guessed && found.len <= buffer.len() {
            self.gathered.begin_in_buffer(of_message);
            self.frame = Some(FrameUnderWay { missing: found.len - of_message, more: false });
            self.input.hold(&[&next[..of_next]]);
        } else {
            let (header, message) = (&header[..of_header], &buffer[..of_message]);
            self.input.hold(&[header, message, &next[..of_next]]);
        }
        Ok(Fill::Bytes)
    }

    /// Waits until there is something to read, or the last sender has gone.
    pub(crate) fn wait_for_bytes(&self, deadline: Deadline) -> Result<bool, OsError> {
        if deadline == Deadline::Now {
            return Ok(false);
        }
        poll::wait_ready(self.descriptor.as_fd(), Interest::Readable, deadline)
            .map_err(|error| OsError::new("poll", &self.link, error))
    }

    /// Reads bytes as they are, waiting for some; 0 at the end.
    pub(crate) fn read_raw(&mut self, buffer: &mut [u8]) -> Result<usize, OsError> {
        self.descriptor.suit(Deadline::Never, buffer.len(), &self.link)?;
        loop {
            match rustix::io::retry_on_intr(|| rustix::io::read(&self.descriptor, &mut *buffer)) {
                Err(Errno::AGAIN) => self.wait_for_bytes(Deadline::Never)?,
                other => return other.map_err(|error| OsError::new("read", &self.link, error)),
            };
        }
    }

    /// Goes through what has been read until a message is whole.
    fn next_whole(&mut self, buffer: &mut [u8]) -> Result<Option<Whole>, RecvError> {
        loop {
            if let Some(what) = self.poisoned {
                return Err(RecvError::Violation { what, link: self.link.clone() });
            }
            if let Some(frame) = &mut self.frame {
                let taken = frame.missing.min(self.input.bytes().len());
                self.gathered.push(&self.input.bytes()[..taken], buffer);
                self.input.start += taken;
                frame.missing -= taken;
                if frame.missing > 0 {
                    return Ok(None);
                }
                if !frame.more {
                    return Ok(Some(Whole::Gathered)); // the frame stays until it is delivered
                }
                self.frame = None;
            }
            let Some(header) = self.input.header() else { return Ok(None) };
            if self.rules.many_senders && !header.is_whole() {
                match self.take_piece(header) {
                    Ok(Piece::Incomplete) => return Ok(None),
                    Ok(Piece::Taken) => {}
                    Ok(Piece::Last) => return Ok(Some(Whole::Gathered)),
                    Err(what) => self.poisoned = Some(what),
                }
                continue;
            }
            if let Err(what) = self.check(header) {
                self.poisoned = Some(what);
                continue;
            }
            if !header.continues {
                self.gathered.clear(); // given up by its sender, whose time ran out
            }
            if header.is_whole() && self.input.bytes().len() - HEADER_LEN >= header.len {
                return Ok(Some(Whole::InInput { len: header.len }));
            }
            self.input.start += HEADER_LEN;
            self.gathered.begun = true;
            self.frame = Some(FrameUnderWay { missing: header.len, more: header.more });
        }
    }

    /// Takes a frame of a long message of one of many senders out of the input.
    fn take_piece(&mut self, header: Header) -> Result<Piece, &'static str> {
        if header.len > ATOMIC_PAYLOAD || header.len < TAG_LEN {
            return Err("a piece that is not as long as pieces are");
        }
        let Some(payload) = self.input.bytes().get(HEADER_LEN..HEADER_LEN + header.len) else {
            return Ok(Piece::Incomplete);
        };
        let (tag, piece) = payload.split_at(TAG_LEN);
        let tag = tag.try_into().map(u32::from_le_bytes).unwrap_or_default();
        let message = if header.continues {
            let max = self.rules.max_message_bytes;
            self.unfinished.go_on(tag, piece, !header.more, max)?
        } else {
            if !self.unfinished.is_empty() {
                let unread = rustix::io::ioctl_fionread(&self.descriptor).unwrap_or(u64::MAX);
                let held = self.input.bytes().len() as u64;
                let end = &self.descriptor;
                let has_sender = |tag| rendezvous::has_sender(end.as_fd(), tag);
                let written = (self.position + held).saturating_add(unread);
                self.unfinished.forget_dead(self.position, written, has_sender);
            }
            self.unfinished.begin(tag, piece);
            None
        };
        self.consume(HEADER_LEN + header.len);
        Ok(match message {
            None => Piece::Taken,
            Some(message) => {
                self.gathered.replace(message);
                self.frame = Some(FrameUnderWay { missing: 0, more: false });
                Piece::Last
            }
        })
    }

    fn consume(&mut self, len: usize) {
        self.input.start += len;
        self.position += len as u64;
    }

    /// Whether a sender may write this header at this place.
    fn check(&self, header: Header) -> Result<(), &'static str> {
        let before = if header.continues { self.gathered.filled } else { 0 };
        if header.len > self.rules.max_message_bytes.saturating_sub(before) {
            return Err("a message longer than the link's maximum");
        }
        if header.continues && !self.gathered.begun {
            return Err("a frame that continues nothing");
        }
        if self.rules.many_senders && header.len > ATOMIC_PAYLOAD {
            return Err("a frame that could mix with another sender's");
        }
        Ok(())
    }

    fn deliver(&mut self, whole: Whole, buffer: &mut [u8]) -> Result<Received, RecvError> {
        let needed = match whole {
            Whole::InInput { len } => len,
            Whole::Gathered => self.gathered.filled,
        };
        if needed > buffer.len() {
            let link = self.link.clone();
            return Err(RecvError::BufferTooSmall { needed, len: buffer.len(), link });
        }
        match whole {
            Whole::InInput { len } => {
                let message = &self.input.bytes()[HEADER_LEN..][..len];
                buffer[..len].copy_from_slice(message);
                self.consume(HEADER_LEN + len);
            }
            Whole::Gathered => {
                self.gathered.move_into(buffer);
                self.gathered.clear();
                self.frame = None;
            }
        }
        self.last_len = needed;
        Ok(Received::of_len(needed))
    }

    fn forget_unfinished(&mut self) {
        self.frame = None;
        self.unfinished.clear();
        self.gathered.clear();
        self.input.clear();
    }
}

/// A read that gave no bytes means that there is no sender: none any more, or none yet? The kernel
/// reports a hang-up only in the first case (it counts the writers that came since we opened a FIFO; a
/// pipe had one from the start).
pub(crate) fn why_nothing(end: BorrowedFd<'_>, link: &Resource) -> Result<Fill, OsError> {
    let mut fds = [PollFd::from_borrowed_fd(end, PollFlags::IN)];
    poll::poll_until(&mut fds, Deadline::Now).map_err(|error| OsError::new("poll", link, error))?;
    let events = fds[0].revents();
    Ok(if events.contains(PollFlags::IN) {
        Fill::Nothing // a new sender has written meanwhile
    } else if events.contains(PollFlags::HUP) {
        Fill::End
    } else {
        Fill::NoSenderYet
    })
}

impl AsFd for FrameReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl WaitSource for FrameReader {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.descriptor.as_fd(), Interest::Readable)
    }

    fn arm(&mut self) -> std::io::Result<Armed> {
        Ok(match self.next_whole(&mut []) {
            Ok(None) => Armed::Waiting,
            // A violation is an answer too.
            Ok(Some(_)) | Err(_) => Armed::Ready,
        })
    }
}
