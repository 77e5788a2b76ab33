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
//! The price: the frames of a message that was given up have used the link, and a message longer than
//! what the pipe holds cannot be sent without waiting, since it needs the receiver's help. The
//! alternative was to accept a message once it is begun and keep its rest here. But then the rest
//! would stay here when the program has nothing more to send, and die with it, accepted.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipc_core::{Deadline, Interest, OsError, Resource, SendError, WaitSource, placing, poll};
use rustix::io::Errno;

use crate::end::End;
use crate::frame::{ATOMIC_PAYLOAD, HEADER_LEN, Header, PIECE_PAYLOAD, TAGGED_PAYLOAD};
use crate::quiet::QuietWrites;
use crate::unfinished::TAG_LEN;

/// Up to this length in bytes, a message is copied behind its header; the header of a longer one is
/// written by a call that gathers. At least [`ATOMIC_PAYLOAD`].
const COPIED_LEN_MAX: usize = 16 * 1024;

/// The write end of a pipe that carries frames.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    descriptor: End,
    link: Resource,
    /// At most [`MAX_FRAME_PAYLOAD`](crate::frame::MAX_FRAME_PAYLOAD).
    max_message_bytes: usize,
    /// Which of many senders this is, where long messages must say so.
    tag: Option<u32>,
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
        let (scratch, owed) = (Vec::new(), Vec::new());
        Self { descriptor, link, max_message_bytes, tag: None, writes, scratch, owed }
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

    pub(crate) fn send(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let max = self.max_message_bytes;
        if message.len() > max {
            return Err(SendError::TooLong { len: message.len(), max, link: self.link.clone() });
        }
        self.descriptor.suit(deadline, message.len(), &self.link)?;
        self.finish_frame(deadline)?;
        // Without a limit of time there is nothing to take back: one frame, one call.
        let is_one_frame = message.len() <= ATOMIC_PAYLOAD || deadline == Deadline::Never;
        if message.len() <= ATOMIC_PAYLOAD || is_one_frame && self.tag.is_none() {
            return self.write_frame(Header::whole(message.len()), &[], message, deadline);
        }
        let piece_len = if self.tag.is_some() { TAGGED_PAYLOAD } else { PIECE_PAYLOAD };
        if deadline == Deadline::Now && !self.seems_to_hold(message.len(), piece_len)? {
            return Err(SendError::Full); // without having used up the room that there is
        }
        if let Some(tag) = self.tag {
            return self.write_pieces(tag, message, deadline);
        }
        let (body, last) = message.split_at(message.len() - ATOMIC_PAYLOAD);
        let mut continues = false;
        for piece in body.chunks(PIECE_PAYLOAD) {
            let header = Header { len: piece.len(), continues, more: true };
            self.write_frame(header, &[], piece, deadline)?;
            continues = true;
        }
        self.write_frame(Header { len: last.len(), continues, more: false }, &[], last, deadline)
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
        let header = header.to_bytes();
        let mut written = 0;
        let result = if tag.len() + payload.len() <= COPIED_LEN_MAX {
            let mut scratch = std::mem::take(&mut self.scratch);
            let frame = in_one_piece(&mut scratch, &[&header, tag, payload]);
            let result = self.write_all(&[frame], &mut written, deadline);
            self.scratch = scratch;
            result
        } else {
            self.write_all(&[&header, payload], &mut written, deadline) // those with a tag are short
        };
        if result.is_err() && written > 0 {
            // Only of a frame without a tag: those with one are atomic.
            self.owed.extend_from_slice(header.get(written..).unwrap_or_default());
            self.owed.extend_from_slice(&payload[written.saturating_sub(HEADER_LEN)..]);
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
            Err(Errno::PIPE) => return Err(SendError::PeerGone { link: self.link.clone() }),
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

/// The parts of a frame, of which the last is the message, in one piece.
fn in_one_piece<'a>(scratch: &'a mut Vec<u8>, parts: &[&[u8]; 3]) -> &'a [u8] {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    if scratch.len() < len + placing::SLACK_BYTES {
        scratch.resize(len + placing::SLACK_BYTES, 0);
    }
    let from = placing::apart_from(parts[2], scratch);
    let frame = &mut scratch[from..from + len];
    let mut rest = &mut *frame;
    for part in parts {
        let (now, later) = rest.split_at_mut(part.len());
        now.copy_from_slice(part);
        rest = later;
    }
    frame
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
