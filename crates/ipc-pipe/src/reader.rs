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
    Armed, Deadline, Interest, OsError, Received, RecvError, Resource, WaitSource, poll,
};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::buffers::{Gathered, Input};
use crate::frame::{HEADER_LEN, Header};

/// The least that the reader's buffer holds, in bytes: what a pipe of default capacity does.
const MIN_INPUT_LEN: usize = 64 * 1024;

/// The read end of a pipe that carries frames.
#[derive(Debug)]
pub(crate) struct FrameReader {
    /// Non-blocking.
    descriptor: OwnedFd,
    link: Resource,
    rules: Rules,
    /// Bytes that were read and not yet looked at.
    input: Input,
    /// The message under way: what of its frames has been taken out of `input`.
    gathered: Gathered,
    /// Bytes of the frame under way that are still to come; `None` between frames.
    frame: Option<FrameUnderWay>,
    /// What the peer did that no sender does. Nothing is read any more.
    poisoned: Option<&'static str>,
}

/// What a link allows its senders.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The longest message, in bytes.
    pub(crate) max_message_bytes: usize,
    /// Whether other senders' frames may come between two of one message, so that a message must
    /// be of one frame.
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
            descriptor,
            link,
            rules,
            input: Input::new(capacity.max(MIN_INPUT_LEN)),
            gathered: Gathered::default(),
            frame: None,
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
        self.input.bytes().is_empty() && self.frame.is_none() && self.gathered.is_empty()
    }

    pub(crate) fn into_descriptor(self) -> OwnedFd {
        self.descriptor
    }

    pub(crate) fn receive(
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
        loop {
            if let Some(whole) = self.next_whole(buffer)? {
                return self.deliver(whole, buffer);
            }
            match self.fill_into(buffer)? {
                Fill::Bytes => {}
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

    /// Reads once from the kernel. Never blocks.
    pub(crate) fn fill(&mut self) -> Result<Fill, OsError> {
        self.fill_into(&mut [])
    }

    fn fill_into(&mut self, buffer: &mut [u8]) -> Result<Fill, OsError> {
        let (read, into_message) = match &mut self.frame {
            None => {
                let room = self.input.room();
                (rustix::io::retry_on_intr(|| rustix::io::read(&self.descriptor, &mut *room)), 0)
            }
            // The rest of the frame goes where it belongs; what follows it, into the input: of a
            // frame that goes on with the message no more than its header.
            Some(frame) => {
                let message = self.gathered.room(frame.missing, buffer);
                let into_message = message.len();
                let input = self.input.room();
                let after = if frame.more { HEADER_LEN } else { input.len() };
                let mut parts = [IoSliceMut::new(message), IoSliceMut::new(&mut input[..after])];
                let read =
                    rustix::io::retry_on_intr(|| rustix::io::readv(&self.descriptor, &mut parts));
                (read, into_message)
            }
        };
        match read {
            Ok(0) => self.why_nothing(),
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
        loop {
            match rustix::io::retry_on_intr(|| rustix::io::read(&self.descriptor, &mut *buffer)) {
                Err(Errno::AGAIN) => self.wait_for_bytes(Deadline::Never)?,
                other => return other.map_err(|error| OsError::new("read", &self.link, error)),
            };
        }
    }

    /// A read that gave no bytes means that there is no sender: none any more, or none yet? The
    /// kernel reports a hang-up only in the first case (it counts the writers that came since we
    /// opened a FIFO; a pipe had one from the start).
    fn why_nothing(&self) -> Result<Fill, OsError> {
        let mut fds = [PollFd::new(&self.descriptor, PollFlags::IN)];
        poll::poll_until(&mut fds, Deadline::Now)
            .map_err(|error| OsError::new("poll", &self.link, error))?;
        let events = fds[0].revents();
        Ok(if events.contains(PollFlags::IN) {
            Fill::Nothing // a new sender has written meanwhile
        } else if events.contains(PollFlags::HUP) {
            Fill::End
        } else {
            Fill::NoSenderYet
        })
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

    /// Whether a sender may write this header at this place.
    fn check(&self, header: Header) -> Result<(), &'static str> {
        let before = if header.continues { self.gathered.filled } else { 0 };
        if header.len > self.rules.max_message_bytes.saturating_sub(before) {
            return Err("a message longer than the link's maximum");
        }
        if header.continues && !self.gathered.begun {
            return Err("a frame that continues nothing");
        }
        if self.rules.many_senders && !header.is_whole() {
            return Err("a message of several frames where there may be many senders");
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
                self.input.start += HEADER_LEN + len;
            }
            Whole::Gathered => {
                self.gathered.move_into(buffer);
                self.gathered.clear();
                self.frame = None;
            }
        }
        Ok(Received::of_len(needed))
    }

    fn forget_unfinished(&mut self) {
        self.frame = None;
        self.gathered.clear();
        self.input.clear();
    }
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
