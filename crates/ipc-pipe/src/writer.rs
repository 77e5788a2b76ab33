//! Writes messages as frames to the write end of a pipe, with patience. Leaves out where the
//! descriptor came from.
//!
//! What "timed out means no effect" takes here: a message of one frame is written whole or not at
//! all. A longer one comes into being with its last frame (see [`crate::frame`]), so a time-out before
//! that leaves a message that never was, and the receiver drops what it has of it. Only the frame
//! under way must still be finished, or the next would be taken for its rest: the endpoint keeps the
//! rest of that frame (at most 64 KiB), and writes it before anything else. A send without a limit of
//! time has nothing to take back, and writes one frame of any length with one call that blocks.
//!
//! Within a run (see [`crate::frame`]), what is atomic or without a limit of time goes without a header; for anything
//! else the run is ended first, by a mark alone, which is no part of a message.
//!
//! The price: the frames of a message that was given up have used the link, and a message longer than
//! what the pipe holds cannot be sent without waiting, since it needs the receiver's help. The
//! alternative was to accept a message once it is begun and keep its rest here. But then the rest
//! would stay here when the program has nothing more to send, and die with it, accepted.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipc_core::{Deadline, Interest, OsError, Resource, SendError, WaitSource, placing, poll};
use rustix::io::Errno;

use crate::end::{End, SHORT_LEN_MAX};
use crate::frame::{ATOMIC_PAYLOAD, HEADER_LEN, Header, PIECE_PAYLOAD, PIPE_BUF, TAGGED_PAYLOAD};
use crate::quiet::QuietWrites;
use crate::run::{MARK, MARK_LEN, Sent};
use crate::unfinished::TAG_LEN;

/// The write end of a pipe that carries frames.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    descriptor: End,
    link: Resource,
    /// At most [`MAX_FRAME_PAYLOAD`](crate::frame::MAX_FRAME_PAYLOAD).
    max_message_bytes: usize,
    /// Which of many senders this is, where long messages must say so.
    tag: Option<u32>,
    /// Whether messages of one length may go without headers.
    has_runs: bool,
    /// What was written last.
    sent: Sent,
    writes: QuietWrites,
    /// Room for a short frame in one piece: copying costs less than a call that gathers.
    scratch: Vec<u8>,
    /// The rest of a frame that was begun when the time ran out.
    owed: Vec<u8>,
}

impl FrameWriter {
    /// Takes over a descriptor that has been made non-blocking.
    pub(crate) fn new(descriptor: OwnedFd, link: Resource, max_message_bytes: usize) -> Self {
        let writes = QuietWrites::new();
        let descriptor = End::new(descriptor);
        Self {
            descriptor,
            link,
            max_message_bytes,
            tag: None,
            has_runs: false,
            sent: Sent::Other,
            writes,
            scratch: Vec::new(),
            owed: Vec::new(),
        }
    }

    pub(crate) fn link(&self) -> &Resource {
        &self.link
    }

    pub(crate) fn max_message_bytes(&self) -> usize {
        self.max_message_bytes
    }

    pub(crate) fn set_max_message_bytes(&mut self, bytes: usize) {
        self.max_message_bytes = bytes;
    }

    /// Allows runs, or not from now on: only where this sender is alone.
    pub(crate) fn set_has_runs(&mut self, has_runs: bool) {
        self.has_runs = has_runs;
    }

    /// From now on others write, too; long messages go in atomic pieces of this tag.
    pub(crate) fn set_tag(&mut self, tag: u32) {
        self.tag = Some(tag);
    }

    pub(crate) fn has_tag(&self) -> bool {
        self.tag.is_some()
    }

    /// Whether nothing of a frame remains to be written.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.owed.is_empty()
    }

    pub(crate) fn into_end(self) -> End {
        self.descriptor
    }

    /// Sends a message. Inline, and the system call in it: the first return after a system call, from a
    /// function that was entered before it, costs 80 ns (`benches/record/2026-11-29-pipe-framing.md`).
    #[inline(always)]
    pub(crate) fn send(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let Some(ready) = self.make_ready(message, deadline) else {
            return self.send_with_care(message, deadline);
        };
        let bytes = ready.copied.map_or(message, |(from, end)| &self.scratch[from..end]);
        match rustix::io::write(&self.descriptor, bytes) {
            Ok(len) if len == bytes.len() => {
                self.sent = ready.sent;
                Ok(())
            }
            Ok(len) => self.go_on(ready, message, len, deadline),
            Err(Errno::AGAIN) if deadline == Deadline::Now => Err(SendError::Full),
            Err(_) => self.send_with_care(message, deadline), // nothing was written
        }
    }

    /// Sees to it that a plain `write(2)` sends the message, if that may be.
    fn make_ready(&mut self, message: &[u8], deadline: Deadline) -> Option<Ready> {
        let len = message.len();
        if len > self.max_message_bytes.min(SHORT_LEN_MAX) || !self.owed.is_empty() {
            return None;
        }
        self.descriptor.suit(deadline, len, &self.link).ok()?;
        let (head, sent) = if self.goes_without_header(message) {
            (Head::NONE, self.sent)
        } else {
            self.head_of_frame(message)
        };
        let head = head.bytes();
        let may_take_parts = deadline == Deadline::Never && self.tag.is_none();
        let is_one_write = head.len() + len <= PIPE_BUF || len > ATOMIC_PAYLOAD && may_take_parts;
        if !is_one_write || !self.writes.is_ignored() {
            return None;
        }
        let is_in_place = head.is_empty() && !placing::is_slow_to_write_behind(0, message);
        let copied = (!is_in_place).then(|| copy_behind(&mut self.scratch, head, message));
        Some(Ready { copied, sent })
    }

    /// Writes the rest of a message of which `written` bytes are written.
    #[cold]
    fn go_on(
        &mut self,
        ready: Ready,
        message: &[u8],
        mut written: usize,
        deadline: Deadline,
    ) -> Result<(), SendError> {
        let scratch = std::mem::take(&mut self.scratch);
        let bytes = ready.copied.map_or(message, |(from, end)| &scratch[from..end]);
        let result = self.write_all(&[bytes], &mut written, deadline);
        if result.is_err() {
            self.owed.extend_from_slice(&bytes[written..]);
        }
        self.sent = ready.sent;
        self.scratch = scratch;
        result
    }

    fn goes_without_header(&self, message: &[u8]) -> bool {
        self.has_runs && self.sent.is_run_of(message)
    }

    /// What precedes a message that is one frame, and what was sent last when it is.
    fn head_of_frame(&self, message: &[u8]) -> (Head, Sent) {
        let len = message.len();
        let begins_run = self.has_runs && self.sent.begins_run(message);
        let is_marked = begins_run || matches!(self.sent, Sent::Run { .. });
        let sent = if begins_run { Sent::Run { len } } else { Sent::Frame { len } };
        (Head::of_frame(len, is_marked), sent)
    }

    fn send_with_care(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let max = self.max_message_bytes;
        if message.len() > max {
            return Err(SendError::too_long(message.len(), max, &self.link));
        }
        self.descriptor.suit(deadline, message.len(), &self.link)?;
        self.finish_frame(deadline)?;
        // Without a limit of time there is nothing to take back: one frame, one call.
        let has_time = deadline == Deadline::Never;
        if self.goes_without_header(message) && (message.len() <= PIPE_BUF || has_time) {
            return self.write_whole(&[], message, deadline);
        }
        if message.len() <= ATOMIC_PAYLOAD || has_time && self.tag.is_none() {
            return self.send_frame(message, deadline);
        }
        let piece_len = if self.tag.is_some() { TAGGED_PAYLOAD } else { PIECE_PAYLOAD };
        if deadline == Deadline::Now && !self.seems_to_hold(message.len(), piece_len)? {
            return Err(SendError::Full); // without having used up the room that there is
        }
        if let Some(tag) = self.tag {
            return self.write_pieces(tag, message, deadline);
        }
        self.write_mark(deadline)?;
        self.sent = Sent::Other;
        let (body, last) = message.split_at(message.len() - ATOMIC_PAYLOAD);
        let mut continues = false;
        for piece in body.chunks(PIECE_PAYLOAD) {
            let header = Header { len: piece.len(), continues, more: true };
            self.write_frame(header, &[], piece, deadline)?;
            continues = true;
        }
        self.write_frame(Header { len: last.len(), continues, more: false }, &[], last, deadline)
    }

    /// Writes a message as one frame. Ends the run under way; begins one where that may save headers.
    fn send_frame(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let (head, sent) = self.head_of_frame(message);
        let begins_run = matches!(sent, Sent::Run { .. });
        if !begins_run && head.bytes().len() + message.len() > PIPE_BUF {
            self.write_mark(deadline)?; // with it, the frame would not be atomic
        }
        let (head, sent) = self.head_of_frame(message);
        self.write_whole(head.bytes(), message, deadline)?;
        self.sent = sent;
        Ok(())
    }

    /// Ends the run under way, if there is one: headers follow.
    fn write_mark(&mut self, deadline: Deadline) -> Result<(), SendError> {
        if matches!(self.sent, Sent::Run { .. }) {
            self.write_whole(&[], &MARK, deadline)?; // atomic
            self.sent = Sent::Other;
        }
        Ok(())
    }

    /// Ends the run under way, if there is one, without waiting: other bytes than ours follow.
    pub(crate) fn end_run(&mut self) -> Result<(), SendError> {
        self.descriptor.suit(Deadline::Now, MARK_LEN, &self.link)?;
        self.write_mark(Deadline::Now)
    }

    /// Writes a long message as frames that are each atomic, and say whose they are.
    fn write_pieces(
        &mut self,
        tag: u32,
        message: &[u8],
        deadline: Deadline,
    ) -> Result<(), SendError> {
        let tag = tag.to_le_bytes();
        let last = message.len().div_ceil(TAGGED_PAYLOAD) - 1;
        for (index, piece) in message.chunks(TAGGED_PAYLOAD).enumerate() {
            let len = TAG_LEN + piece.len();
            let header = Header { len, continues: index > 0, more: index < last };
            self.write_frame(header, &tag, piece, deadline)?;
        }
        Ok(())
    }

    /// Writes bytes as they are, at least one, unless there are none.
    pub(crate) fn write_raw(&mut self, bytes: &[u8]) -> Result<usize, SendError> {
        self.descriptor.suit(Deadline::Never, bytes.len(), &self.link)?;
        let mut written = 0;
        while written == 0 && !bytes.is_empty() {
            self.write_some(&[bytes], &mut written, Deadline::Never)?;
        }
        Ok(written)
    }

    /// Writes what is left of the frame that was begun when the time ran out.
    fn finish_frame(&mut self, deadline: Deadline) -> Result<(), SendError> {
        if self.owed.is_empty() {
            return Ok(());
        }
        let owed = std::mem::take(&mut self.owed);
        let mut written = 0;
        let result = self.write_all(&[&owed], &mut written, deadline);
        if result.is_err() {
            self.owed = owed[written..].to_vec();
        }
        result
    }

    fn write_frame(
        &mut self,
        header: Header,
        tag: &[u8],
        payload: &[u8],
        deadline: Deadline,
    ) -> Result<(), SendError> {
        if tag.is_empty() {
            return self.write_whole(&header.to_bytes(), payload, deadline);
        }
        let mut head = [0; HEADER_LEN + TAG_LEN];
        head[..HEADER_LEN].copy_from_slice(&header.to_bytes());
        head[HEADER_LEN..].copy_from_slice(tag);
        self.write_whole(&head, payload, deadline) // atomic
    }

    /// Writes what precedes a payload, and the payload; keeps the rest of what was begun.
    fn write_whole(
        &mut self,
        head: &[u8],
        payload: &[u8],
        deadline: Deadline,
    ) -> Result<(), SendError> {
        let mut written = 0;
        let is_in_place = head.is_empty() && !placing::is_slow_to_write_behind(0, payload);
        let result = if is_in_place {
            self.write_all(&[payload], &mut written, deadline)
        } else if payload.len() <= SHORT_LEN_MAX {
            let mut scratch = std::mem::take(&mut self.scratch);
            let (from, end) = copy_behind(&mut scratch, head, payload);
            let result = self.write_all(&[&scratch[from..end]], &mut written, deadline);
            self.scratch = scratch;
            result
        } else {
            self.write_all(&[head, payload], &mut written, deadline)
        };
        if result.is_err() && written > 0 {
            self.owed.extend_from_slice(head.get(written..).unwrap_or_default());
            self.owed.extend_from_slice(&payload[written.saturating_sub(head.len())..]);
        }
        result
    }

    /// Writes all of `parts`; counts in `written`, also when it fails.
    fn write_all(
        &mut self,
        parts: &[&[u8]],
        written: &mut usize,
        deadline: Deadline,
    ) -> Result<(), SendError> {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        while *written < total {
            self.write_some(parts, written, deadline)?;
        }
        Ok(())
    }

    /// Writes what there is room for of `parts` from `written` on, waiting for some room.
    fn write_some(
        &mut self,
        parts: &[&[u8]],
        written: &mut usize,
        deadline: Deadline,
    ) -> Result<(), SendError> {
        let descriptor = self.descriptor.as_fd();
        let result = if let [whole] = parts {
            self.writes.write_short(descriptor, &whole[*written..])
        } else if *written == 0 && placing::is_slow_to_write_behind(parts[0].len(), parts[1]) {
            // Alone, so that the message begins a page of the pipe.
            self.writes.write_short(descriptor, parts[0])
        } else {
            let mut rest = [IoSlice::new(&[]); 2];
            let mut skip = *written;
            for (slice, part) in rest.iter_mut().zip(parts) {
                let from = skip.min(part.len());
                *slice = IoSlice::new(&part[from..]);
                skip -= from;
            }
            self.writes.write(descriptor, &rest)
        };
        match result {
            Ok(len) => *written += len,
            Err(Errno::AGAIN) => {
                let ready = deadline != Deadline::Now
                    && poll::wait_ready(self.descriptor.as_fd(), Interest::Writable, deadline)
                        .map_err(|error| OsError::new("poll", &self.link, error))?;
                if !ready {
                    return Err(SendError::no_room(deadline));
                }
            }
            Err(Errno::PIPE) => return Err(SendError::peer_gone(&self.link)),
            Err(error) => return Err(OsError::new("write", &self.link, error).into()),
        }
        Ok(())
    }

    /// Whether a message of several frames has a chance to be taken at once: a guess that is wrong
    /// where pages are partly filled, and only saves writing what would have to be given up.
    fn seems_to_hold(&self, message_len: usize, piece_len: usize) -> Result<bool, SendError> {
        let frames = message_len.div_ceil(piece_len) + 1;
        let os = |operation, error| OsError::new(operation, &self.link, error);
        let capacity = rustix::pipe::fcntl_getpipe_size(&self.descriptor)
            .map_err(|error| os("fcntl(F_GETPIPE_SZ)", error))?;
        let unread = rustix::io::ioctl_fionread(&self.descriptor)
            .map_err(|error| os("ioctl(FIONREAD)", error))?;
        let unread = usize::try_from(unread).unwrap_or(capacity);
        Ok(message_len + frames * (HEADER_LEN + TAG_LEN) <= capacity.saturating_sub(unread))
    }
}

/// A message that a plain write sends.
struct Ready {
    /// Where in the scratch space it lies behind its header, if not in place.
    copied: Option<(usize, usize)>,
    /// What was sent last when it is.
    sent: Sent,
}

/// What precedes a message.
struct Head {
    bytes: [u8; MARK_LEN + HEADER_LEN],
    from: usize,
}

impl Head {
    const NONE: Self = Self { bytes: [0; MARK_LEN + HEADER_LEN], from: MARK_LEN + HEADER_LEN };

    fn of_frame(len: usize, is_marked: bool) -> Self {
        let mut bytes = [0; MARK_LEN + HEADER_LEN];
        bytes[..MARK_LEN].copy_from_slice(&MARK);
        bytes[MARK_LEN..].copy_from_slice(&Header::whole(len).to_bytes());
        Self { bytes, from: if is_marked { 0 } else { MARK_LEN } }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

/// Puts a payload behind what precedes it, in one piece; tells where it begins and ends.
fn copy_behind(scratch: &mut Vec<u8>, head: &[u8], payload: &[u8]) -> (usize, usize) {
    let len = head.len() + payload.len();
    if scratch.len() < len + placing::SLACK_BYTES {
        scratch.resize(len + placing::SLACK_BYTES, 0);
    }
    let from = placing::apart_from(payload, scratch);
    let frame = &mut scratch[from..from + len];
    frame[..head.len()].copy_from_slice(head);
    frame[head.len()..].copy_from_slice(payload);
    (from, from + len)
}

impl AsFd for FrameWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl WaitSource for FrameWriter {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.descriptor.as_fd(), Interest::Writable)
    }
}
