//! Reads messages from the frames that come from the read end of a pipe, with patience. Leaves out
//! where the descriptor came from.
//!
//! Of a pipe, the reader takes one message with each call where it can guess its length. It could take all
//! that are there, but then it would be ahead of its writer most of the time and sleep, and each write
//! would have to wake it: that costs more than the calls that it saves (measured: 490 ns a message
//! instead of 430 by a reader that sleeps at once, and 570 by one that looks first). Of a FIFO it takes
//! all that its buffer holds, so that whoever reads after it begins at a header. Messages of a run, whose
//! length it knows, it reads to where they belong.
//!
//! It gathers a message of several frames in memory of its own. So a message that does not fit the caller's
//! buffer stays here, and one whose sender dies half-way is dropped. Nothing is allocated on the word of a
//! header: memory grows with the bytes that have come.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipc_core::{
    Armed, Deadline, Interest, OsError, Received, RecvError, Resource, SpinBudget, WaitSource,
    WaitStrategy, placing, poll,
};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::buffers::{Gathered, Input};
use crate::end::End;
use crate::frame::{ATOMIC_PAYLOAD, HEADER_LEN, Header};
use crate::rendezvous;
use crate::run::{MARK, MARK_LEN, Next};
use crate::unfinished::{TAG_LEN, Unfinished};

mod quick;

/// Pauses of the processor between two looks, some 500 ns: a look is a system call, and takes the pipe's
/// lock from the writer.
const PAUSES_PER_LOOK: u32 = 24;

/// Up to this length in bytes, messages are received through the reader's own buffer: a call that
/// scatters costs more than copying. Longer ones are read into the caller's, unless the kernel is slow
/// to reach that.
const COPIED_LEN_MAX: usize = 2048;

/// Up to this length in bytes, a copy is quick from anywhere to anywhere.
const SHORT_ANYWHERE: usize = 64;

/// The least that the reader's buffer holds, in bytes: what a pipe of default capacity does.
const MIN_INPUT_LEN: usize = 64 * 1024;

/// The longest message that is received through the reader's own buffer, if `buffer` is the caller's.
fn copied_len_max(buffer: &[u8]) -> usize {
    if placing::is_slow_to_read_to(buffer) { usize::MAX } else { COPIED_LEN_MAX }
}

/// The longest message without a header that is read straight into the caller's buffer, as `buffer` lies.
fn in_place_len_max(buffer: &[u8]) -> usize {
    if placing::is_slow_to_read_to(buffer) { SHORT_ANYWHERE } else { usize::MAX }
}

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
    /// What comes next in the stream, behind what is under way.
    next: Next,
    /// Bytes of the frame under way that are still to come; `None` between frames.
    frame: Option<FrameUnderWay>,
    /// Long messages of many senders, which come in pieces.
    unfinished: Unfinished,
    /// How many bytes have come from the kernel, those that still lie in `input` among them.
    received: u64,
    /// Length of the last message, and the best guess for the next, once there was one: the greater length of
    /// the last two. What is read beyond a message costs less than a second call for its rest.
    last_len: usize,
    guess: Option<usize>,
    strategy: WaitStrategy,
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
    /// At the front of the input, behind its header if there is one.
    InInput { header_len: usize, len: usize },
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
            next: Next::Frame,
            frame: None,
            unfinished: Unfinished::default(),
            received: 0,
            last_len: 0,
            guess: None,
            strategy: WaitStrategy::Park,
            budget: SpinBudget::new(WaitStrategy::Park),
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

    pub(crate) fn set_strategy(&mut self, strategy: WaitStrategy) {
        self.strategy = strategy;
        self.budget = SpinBudget::new(match strategy {
            // Its pauses are ours; each look has many.
            WaitStrategy::Adaptive { spins } => {
                WaitStrategy::Adaptive { spins: spins.div_ceil(PAUSES_PER_LOOK) }
            }
            other => other,
        });
    }

    /// Whether nothing has been read from the kernel that was not delivered.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.input.bytes().is_empty()
            && self.next == Next::Frame
            && self.frame.is_none()
            && self.gathered.is_empty()
            && self.unfinished.is_empty()
    }

    pub(crate) fn into_end(self) -> End {
        self.descriptor
    }

    fn receive_with_care(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
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
            self.suit(deadline)?;
            match self.fill_into(buffer)? {
                Fill::Bytes => {
                    if looks.take().is_some() {
                        self.budget.found();
                    }
                }
                Fill::Nothing if deadline != Deadline::Now => {
                    let left = looks.get_or_insert_with(|| self.budget.begin());
                    match left {
                        Some(0) => {
                            looks = None;
                            self.budget.slept();
                            if !self.wait_for_bytes(deadline)? {
                                return Err(RecvError::no_message(deadline));
                            }
                            continue;
                        }
                        Some(left) => *left -= 1,
                        None => {} // looks for ever
                    }
                    if deadline.has_passed() {
                        return Err(RecvError::no_message(deadline));
                    }
                    (0..PAUSES_PER_LOOK).for_each(|_| std::hint::spin_loop());
                }
                Fill::Nothing | Fill::NoSenderYet => {
                    if !self.wait_for_bytes(deadline)? {
                        return Err(RecvError::no_message(deadline));
                    }
                }
                Fill::End => {
                    // A message that was begun and never finished was never sent.
                    self.forget_unfinished();
                    return Err(RecvError::peer_gone(&self.link));
                }
            }
        }
    }

    /// Makes reads block where that is the whole wait: one system call, where asking, being refused and
    /// polling takes three, and polling makes every later write of the peer dearer
    /// (`benches/record/2026-11-28-pipe-experiments.md`).
    #[inline]
    fn suit(&mut self, deadline: Deadline) -> Result<(), OsError> {
        let patience = if self.strategy == WaitStrategy::Park { deadline } else { Deadline::Now };
        let missing = self.frame.as_ref().map_or(0, |frame| frame.missing);
        let expected = self.guess.unwrap_or(0).max(missing);
        self.descriptor.suit(patience, expected, &self.link)
    }

    /// Reads once from the kernel, without blocking.
    pub(crate) fn fill(&mut self) -> Result<Fill, OsError> {
        self.descriptor.suit(Deadline::Now, 0, &self.link)?;
        self.fill_into(&mut [])
    }

    fn fill_into(&mut self, buffer: &mut [u8]) -> Result<Fill, OsError> {
        let is_between_messages = self.frame.is_none() && self.gathered.is_empty();
        // Where it may be read alone, and there was one to guess from.
        let guess = self.guess.filter(|_| !self.rules.many_senders);
        let copied_len_max = copied_len_max(buffer);
        if is_between_messages && self.input.bytes().is_empty() {
            match self.next {
                Next::Message { len } if len <= buffer.len() && len <= in_place_len_max(buffer) => {
                    return self.fill_in_run(&mut buffer[..len]);
                }
                Next::Message { .. } | Next::FirstOfRun => {}
                Next::Frame => {
                    if let Some(guess) = guess.filter(|&len| len > copied_len_max) {
                        return self.fill_in_place(guess, buffer);
                    }
                }
            }
        }
        let next_len = guess.map(|len| self.next.header_len() + len.min(copied_len_max));
        let (read, into_message) = match &mut self.frame {
            None => {
                let held = self.input.bytes().len(); // less than a header
                let room = self.input.room();
                let len = next_len.map_or(room.len(), |len| room.len().min(len - held));
                let room = &mut room[..len];
                (rustix::io::retry_on_intr(|| rustix::io::read(&self.descriptor, &mut *room)), 0)
            }
            // The rest of the frame goes where it belongs, if that is quick; what follows it, into the
            // input, but not of another long one.
            Some(frame) if copied_len_max == usize::MAX => {
                let room = self.input.room();
                let len = room.len().min(frame.missing);
                let room = &mut room[..len];
                (rustix::io::retry_on_intr(|| rustix::io::read(&self.descriptor, &mut *room)), 0)
            }
            Some(frame) => {
                let message = self.gathered.room(frame.missing, buffer);
                let into_message = message.len();
                let input = self.input.room();
                let is_long = frame.more || frame.missing > copied_len_max;
                let after = if is_long { 0 } else { next_len.unwrap_or(input.len()) };
                let mut parts = [IoSliceMut::new(message), IoSliceMut::new(&mut input[..after])];
                let read =
                    rustix::io::retry_on_intr(|| rustix::io::readv(&self.descriptor, &mut parts));
                (read, into_message)
            }
        };
        match read {
            Ok(0) => why_nothing(self.descriptor.as_fd(), &self.link),
            Ok(len) => {
                self.received += len as u64;
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
    /// on a guess of its length.
    fn fill_in_place(&mut self, guess: usize, buffer: &mut [u8]) -> Result<Fill, OsError> {
        let guess = guess.min(buffer.len());
        let mut header = [0; HEADER_LEN];
        let read = rustix::io::retry_on_intr(|| {
            let message = IoSliceMut::new(&mut buffer[..guess]);
            let mut parts = [IoSliceMut::new(&mut header), message];
            rustix::io::readv(&self.descriptor, &mut parts)
        });
        let read = match read {
            Ok(0) => return why_nothing(self.descriptor.as_fd(), &self.link),
            Ok(len) => len,
            Err(Errno::AGAIN) => return Ok(Fill::Nothing),
            Err(error) => return Err(OsError::new("readv", &self.link, error)),
        };
        self.received += read as u64;
        let of_header = read.min(HEADER_LEN);
        let of_message = read - of_header;
        let found = Header::from_bytes(header);
        let is_whole_message =
            of_header == HEADER_LEN && found.is_whole() && self.check(found).is_ok();
        if is_whole_message && found.len <= buffer.len() {
            let of_this = of_message.min(found.len);
            self.gathered.begin_in_buffer(of_this);
            self.frame = Some(FrameUnderWay { missing: found.len - of_this, more: false });
            self.input.hold(&[&buffer[of_this..of_message]]); // of the next
        } else {
            self.input.hold(&[&header[..of_header], &buffer[..of_message]]);
        }
        Ok(Fill::Bytes)
    }

    /// Reads within a run between two messages, straight to where the next one belongs if it is none
    /// that the mark precedes.
    fn fill_in_run(&mut self, message: &mut [u8]) -> Result<Fill, OsError> {
        let read =
            match rustix::io::retry_on_intr(|| rustix::io::read(&self.descriptor, &mut *message)) {
                Ok(0) => return why_nothing(self.descriptor.as_fd(), &self.link),
                Ok(len) => len,
                Err(Errno::AGAIN) => return Ok(Fill::Nothing),
                Err(error) => return Err(OsError::new("read", &self.link, error)),
            };
        self.received += read as u64;
        self.take_of_run(message, read);
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
                return Err(RecvError::violation(what, &self.link));
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
            let Some(&word) = self.input.bytes().first_chunk() else { return Ok(None) };
            if word == MARK && !self.rules.many_senders {
                match self.next.after_mark() {
                    Ok(next) => {
                        self.next = next;
                        self.input.start += MARK_LEN;
                    }
                    Err(what) => self.poisoned = Some(what),
                }
                continue;
            }
            let header = match self.next.header(word) {
                Ok(header) => header,
                Err(what) => {
                    self.poisoned = Some(what);
                    continue;
                }
            };
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
            let header_len = self.next.header_len();
            if header.is_whole() && self.input.bytes().len() - header_len >= header.len {
                return Ok(Some(Whole::InInput { header_len, len: header.len }));
            }
            self.input.start += header_len;
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
                let written = self.received.saturating_add(unread);
                self.unfinished.forget_dead(self.received - held, written, has_sender);
            }
            self.unfinished.begin(tag, piece, self.rules.max_message_bytes)?;
            None
        };
        self.input.start += HEADER_LEN + header.len;
        Ok(match message {
            None => Piece::Taken,
            Some(message) => {
                self.gathered.replace(message);
                self.frame = Some(FrameUnderWay { missing: 0, more: false });
                Piece::Last
            }
        })
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
            Whole::InInput { len, .. } => len,
            Whole::Gathered => self.gathered.filled,
        };
        if needed > buffer.len() {
            return Err(RecvError::buffer_too_small(needed, buffer.len(), &self.link));
        }
        match whole {
            Whole::InInput { header_len, len } => {
                let message = &self.input.bytes()[header_len..][..len];
                buffer[..len].copy_from_slice(message);
                self.input.start += header_len + len;
            }
            Whole::Gathered => {
                self.gathered.move_into(buffer);
                self.gathered.clear();
                self.frame = None;
            }
        }
        self.guess = Some(needed.max(self.last_len));
        self.last_len = needed;
        self.next = self.next.after_message(needed);
        Ok(Received::of_len(needed))
    }

    fn forget_unfinished(&mut self) {
        self.frame = None;
        self.next = Next::Frame;
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
