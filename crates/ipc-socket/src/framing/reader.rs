//! Reads frames: many short messages with one system call, long ones straight into the user's buffer, or
//! through the endpoint's own where the kernel is slow to reach that ([`placing`]). Leaves out errors as
//! the user sees them.

use std::io::IoSliceMut;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use bytes::Bytes;
use ipc_core::{Deadline, Interest, placing};
use rustix::io::Errno;
use rustix::net::RecvAncillaryBuffer;

use super::{COPIED_LEN_MAX, HEADER_LEN};
use crate::attempt;

/// The endpoint's own buffer, in bytes: for 64 KiB of messages of whole pages with their headers.
const CHUNK_LEN: usize = 65 * 1024 + placing::SLACK_BYTES;

/// Up to this length a message is copied rather than share the chunk: copying costs less than a new chunk.
const SHARED_LEN_MIN: usize = 16 * 1024;

const _: () = assert!(
    HEADER_LEN + COPIED_LEN_MAX + placing::SLACK_BYTES <= CHUNK_LEN,
    "a copied frame must fit"
);

/// What a receive found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A message of this length, at the front of the user's buffer.
    Message(usize),
    /// None yet, and no more time.
    None,
    /// The next message needs a buffer of this length; it stays.
    TooSmall(usize),
    /// The stream has ended; a torn message at its end was dropped.
    End,
    /// The peer announced a message longer than the maximum.
    Violation,
}

/// The receiving side's state.
#[derive(Debug)]
pub(crate) struct FrameReader {
    /// The longest message, in bytes.
    max_len: usize,
    /// Bytes that were read and not yet given out: `chunk[held]`, with a header at the front unless
    /// fewer bytes are held than that.
    chunk: Vec<u8>,
    held: Range<usize>,
    /// A long message, begun in an earlier call whose deadline passed.
    begun: Option<Begun>,
    /// Length of the last message: the best guess for the next.
    last_len: usize,
    ended: bool,
    poisoned: bool,
}

#[derive(Debug)]
struct Begun {
    /// Length of the whole message, already checked against the maximum.
    len: usize,
    /// The part of it that has come. Grows with what comes, not with what was announced.
    bytes: Vec<u8>,
}

impl FrameReader {
    /// A reader at the start of a stream of messages of at most `max_len` bytes.
    pub(crate) fn new(max_len: usize) -> Self {
        Self {
            max_len,
            chunk: vec![0; CHUNK_LEN],
            held: 0..0,
            begun: None,
            last_len: 0,
            ended: false,
            poisoned: false,
        }
    }

    /// Receives one message into the front of `buffer`. Whatever does not become a message before the
    /// deadline is kept for the next call. The rest of `buffer` may be overwritten.
    pub(crate) fn recv(
        &mut self,
        socket: BorrowedFd<'_>,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Frame, Errno> {
        if self.poisoned {
            return Ok(Frame::Violation);
        }
        if self.ended {
            return Ok(Frame::End);
        }
        if let Some(begun) = self.begun.take() {
            return self.resume(socket, begun, buffer, deadline);
        }
        let is_slow = placing::is_slow_to_read_to(buffer);
        if self.held.is_empty() && self.last_len > COPIED_LEN_MAX && !is_slow {
            if let Some(frame) = self.read_in_place(socket, buffer, deadline)? {
                return Ok(frame);
            }
        }
        loop {
            let Some(len) = self.announced() else {
                match self.fill(socket, buffer, deadline)? {
                    Some(frame) => return Ok(frame),
                    None => continue,
                }
            };
            if len > self.max_len {
                self.poisoned = true;
                return Ok(Frame::Violation);
            }
            let body = self.held.start + HEADER_LEN..self.held.end;
            if len > buffer.len() {
                if body.len() >= len {
                    return Ok(Frame::TooSmall(len));
                }
                // Whether it will ever be whole is not known yet, so it is not announced.
                let bytes = self.chunk[body].to_vec();
                self.held = 0..0;
                return self.resume(socket, Begun { len, bytes }, buffer, deadline);
            }
            if body.len() >= len {
                buffer[..len].copy_from_slice(&self.chunk[body.start..body.start + len]);
                self.held.start += HEADER_LEN + len;
                self.last_len = len;
                return Ok(Frame::Message(len));
            }
            if len > COPIED_LEN_MAX {
                let have = body.len();
                buffer[..have].copy_from_slice(&self.chunk[body]);
                self.held = 0..0;
                return self.read_rest(socket, &mut buffer[..len], have, deadline);
            }
            if let Some(frame) = self.fill(socket, buffer, deadline)? {
                return Ok(frame);
            }
        }
    }

    /// Receives one message as a slice of the memory that it was read into: what lies in the chunk is not
    /// copied, and what does not fit there is read into memory of its own.
    pub(crate) fn recv_bytes(
        &mut self,
        socket: BorrowedFd<'_>,
        deadline: Deadline,
    ) -> Result<(Frame, Bytes), Errno> {
        let frame = self.recv(socket, &mut [], deadline)?;
        let Frame::TooSmall(len) = frame else { return Ok((frame, Bytes::new())) };
        self.last_len = len; // where it was long, the next read takes the next header alone
        if let Some(begun) = self.begun.take() {
            return Ok((Frame::Message(len), begun.bytes.into()));
        }
        let start = self.held.start + HEADER_LEN;
        self.held.start = start + len;
        if len <= SHARED_LEN_MIN {
            return Ok((Frame::Message(len), Bytes::copy_from_slice(&self.chunk[start..][..len])));
        }
        // The message takes the chunk with it; what else is held moves to a new one.
        let mut next = vec![0; CHUNK_LEN.max(self.held.len())];
        next[..self.held.len()].copy_from_slice(&self.chunk[self.held.clone()]);
        self.held = 0..self.held.len();
        let chunk = Bytes::from(std::mem::replace(&mut self.chunk, next));
        Ok((Frame::Message(len), chunk.slice(start..start + len)))
    }

    /// Whether a receive would have an answer without reading from the socket.
    pub(crate) fn is_ready(&self) -> bool {
        if self.poisoned || self.ended {
            return true;
        }
        if let Some(begun) = &self.begun {
            return begun.bytes.len() == begun.len;
        }
        self.announced()
            .is_some_and(|len| len > self.max_len || self.held.len() - HEADER_LEN >= len)
    }

    /// The length that the held header announces; `None` if the header is not complete.
    fn announced(&self) -> Option<usize> {
        let header = self.chunk[self.held.clone()].first_chunk::<HEADER_LEN>()?;
        Some(u32::from_le_bytes(*header) as usize)
    }

    /// Where a plain `recv(2)` reads more, if a receive to `buffer` is to begin with that.
    pub(crate) fn wanted(&mut self, buffer: &[u8]) -> Option<&mut [u8]> {
        if self.poisoned || self.ended || self.begun.is_some() {
            return None;
        }
        let is_wanted = match self.announced() {
            Some(len) => {
                let is_copied = len <= COPIED_LEN_MAX.min(self.max_len).min(buffer.len());
                is_copied && self.held.len() - HEADER_LEN < len
            }
            None => self.last_len <= COPIED_LEN_MAX,
        };
        is_wanted.then(|| self.room(buffer))
    }

    /// Takes the bytes that came to the front of what was [`wanted`](Self::wanted); none are the end.
    pub(crate) fn take(&mut self, len: usize) {
        if len == 0 {
            self.end();
        }
        self.held.end += len;
    }

    /// The room for what comes next in the chunk, on its way to `buffer`.
    fn room(&mut self, buffer: &[u8]) -> &mut [u8] {
        let from = placing::on_the_way_to(buffer, &self.chunk);
        if self.held.is_empty() {
            self.held = from..from;
        } else if self.chunk.len() - self.held.start < HEADER_LEN + COPIED_LEN_MAX {
            // A frame that is copied must fit behind `held.start`.
            self.chunk.copy_within(self.held.clone(), from);
            self.held = from..from + self.held.len();
        }
        &mut self.chunk[self.held.end..]
    }

    /// Reads more into the chunk; `None` when something came, else what to report.
    fn fill(
        &mut self,
        socket: BorrowedFd<'_>,
        buffer: &[u8],
        deadline: Deadline,
    ) -> Result<Option<Frame>, Errno> {
        Ok(match recv_some(socket, self.room(buffer), deadline)? {
            Some(0) => Some(self.end()),
            Some(len) => {
                self.held.end += len;
                None
            }
            None => Some(Frame::None),
        })
    }

    /// Reads header and message with one call, the message straight into `buffer`, on the guess that
    /// it is as long as the last one. `None` when the bytes went to the chunk instead.
    fn read_in_place(
        &mut self,
        socket: BorrowedFd<'_>,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Option<Frame>, Errno> {
        let guess = self.last_len.min(buffer.len());
        let mut header = [0; HEADER_LEN];
        let read = attempt::until(socket, Interest::Readable, deadline, |may_block| {
            let parts = &mut [IoSliceMut::new(&mut header), IoSliceMut::new(&mut buffer[..guess])];
            let mut control = RecvAncillaryBuffer::default();
            rustix::net::recvmsg(socket, parts, &mut control, attempt::recv_flags(may_block))
        });
        let read = match read {
            Err(errno) if attempt::is_stream_gone(errno) => return Ok(Some(self.end())),
            Err(errno) => return Err(errno),
            Ok(None) => return Ok(Some(Frame::None)),
            Ok(Some(received)) => received.bytes,
        };
        if read == 0 {
            return Ok(Some(self.end()));
        }
        let have = read.saturating_sub(HEADER_LEN);
        let len = u32::from_le_bytes(header) as usize;
        if read < HEADER_LEN || len > self.max_len || len > buffer.len() {
            let header_read = read.min(HEADER_LEN);
            self.hold(&header[..header_read], &buffer[..have]);
            return Ok(None);
        }
        if have < len {
            return self.read_rest(socket, &mut buffer[..len], have, deadline).map(Some);
        }
        self.hold(&[], &buffer[len..have]);
        self.last_len = len;
        Ok(Some(Frame::Message(len)))
    }

    /// Puts bytes into the empty chunk, which grows if it must: these bytes have come already.
    fn hold(&mut self, first: &[u8], second: &[u8]) {
        let len = first.len() + second.len();
        self.chunk.resize(len.max(self.chunk.len()), 0);
        self.chunk[..first.len()].copy_from_slice(first);
        self.chunk[first.len()..len].copy_from_slice(second);
        self.held = 0..len;
    }

    /// Reads the rest of a message of which `have` bytes are in `message`, which is as long as it.
    fn read_rest(
        &mut self,
        socket: BorrowedFd<'_>,
        message: &mut [u8],
        mut have: usize,
        deadline: Deadline,
    ) -> Result<Frame, Errno> {
        let len = message.len();
        let is_slow = placing::is_slow_to_read_to(message);
        while have < len {
            let rest = &mut message[have..];
            let received = if is_slow {
                let room = self.room(rest); // of which nothing is held
                let room_len = rest.len().min(room.len());
                let received = recv_some(socket, &mut room[..room_len], deadline);
                if let Ok(Some(more)) = received {
                    rest[..more].copy_from_slice(&room[..more]);
                }
                received
            } else {
                recv_some(socket, rest, deadline)
            };
            match received {
                Ok(Some(0)) => return Ok(self.end()),
                Ok(Some(more)) => have += more,
                Ok(None) => {
                    self.begun = Some(Begun { len, bytes: message[..have].to_vec() });
                    return Ok(Frame::None);
                }
                Err(errno) => {
                    self.begun = Some(Begun { len, bytes: message[..have].to_vec() });
                    return Err(errno);
                }
            }
        }
        self.last_len = len;
        Ok(Frame::Message(len))
    }

    /// Goes on with the message that was begun. It is completed in the endpoint's memory, so that a
    /// receiver that tries again and again does not copy the first part each time.
    fn resume(
        &mut self,
        socket: BorrowedFd<'_>,
        mut begun: Begun,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Frame, Errno> {
        loop {
            let have = begun.bytes.len();
            if have == begun.len {
                let Some(front) = buffer.get_mut(..have) else {
                    self.begun = Some(begun);
                    return Ok(Frame::TooSmall(have));
                };
                front.copy_from_slice(&begun.bytes);
                self.last_len = have;
                return Ok(Frame::Message(have));
            }
            let room = (begun.len - have).min(have.max(CHUNK_LEN));
            begun.bytes.resize(have + room, 0);
            match recv_some(socket, &mut begun.bytes[have..], deadline) {
                Ok(Some(0)) => return Ok(self.end()),
                Ok(Some(more)) => begun.bytes.truncate(have + more),
                other => {
                    begun.bytes.truncate(have);
                    self.begun = Some(begun);
                    return other.map(|_| Frame::None);
                }
            }
        }
    }

    fn end(&mut self) -> Frame {
        self.ended = true;
        self.begun = None;
        self.held = 0..0;
        Frame::End
    }
}

/// Reads from the stream: `Some(0)` is its end, in order or by a reset.
///
/// Both kinds of stream give out what arrived before they report a reset.
fn recv_some(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    deadline: Deadline,
) -> Result<Option<usize>, Errno> {
    match attempt::recv(socket, buffer, deadline) {
        Err(errno) if attempt::is_stream_gone(errno) => Ok(Some(0)),
        other => other,
    }
}
