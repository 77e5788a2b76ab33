//! Writes frames: one system call for each message that the socket takes whole. Leaves out errors as
//! the user sees them.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use ipc_core::{Deadline, Interest, placing};
use rustix::io::Errno;
use rustix::net::SendAncillaryBuffer;

use super::{COPIED_LEN_MAX, HEADER_LEN};
use crate::attempt;

/// The sending side's state: what the socket has not taken yet of a frame that was begun.
#[derive(Debug, Default)]
pub(crate) struct FrameWriter {
    /// Header and message in one piece, for short messages, somewhere in it.
    scratch: Vec<u8>,
    /// The rest of a begun frame, owed to the stream before anything else.
    owed: Vec<u8>,
    /// How much of `owed` has been written since.
    paid: usize,
}

impl FrameWriter {
    /// Where the frame of `message` lies in one piece, if one plain send is to write it; none of another
    /// is owed.
    pub(crate) fn frame(&mut self, message: &[u8]) -> Option<&[u8]> {
        (message.len() <= COPIED_LEN_MAX && !self.owes() && self.paid == 0)
            .then(|| copy_behind_header(&mut self.scratch, message))
    }

    /// Writes one message; false when the deadline passed before its first byte was taken, with no
    /// effect. Once the first byte is taken the message is accepted: what does not fit until the
    /// deadline is kept, and goes before the next.
    ///
    /// `message` is at most `u32::MAX` bytes. An error leaves the stream unusable only if it says that
    /// the peer is gone.
    pub(crate) fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        message: &[u8],
        deadline: Deadline,
    ) -> Result<bool, Errno> {
        if !self.flush(socket, deadline)? {
            return Ok(false);
        }
        let header = (message.len() as u32).to_le_bytes();
        let begun = if message.len() <= COPIED_LEN_MAX {
            attempt::send(socket, copy_behind_header(&mut self.scratch, message), deadline)?
        } else {
            gather(socket, &header, message, deadline)?
        };
        let Some(sent) = begun else { return Ok(false) };
        self.go_on(socket, message, sent, deadline)?;
        Ok(true)
    }

    /// Writes the rest of a frame of which `sent` bytes are written; keeps what does not fit until the
    /// deadline.
    pub(crate) fn go_on(
        &mut self,
        socket: BorrowedFd<'_>,
        message: &[u8],
        mut sent: usize,
        deadline: Deadline,
    ) -> Result<(), Errno> {
        let header = (message.len() as u32).to_le_bytes();
        let total = HEADER_LEN + message.len();
        while sent < total {
            let next = match sent.checked_sub(HEADER_LEN) {
                None => gather(socket, &header[sent..], message, deadline),
                Some(start) => attempt::send(socket, &message[start..], deadline),
            };
            match next {
                Ok(Some(len)) => sent += len,
                Err(errno) if attempt::is_stream_gone(errno) => return Err(errno),
                // Out of time; or out of kernel memory, say, which the next call will meet again.
                Ok(None) | Err(_) => {
                    self.keep(&header, message, sent);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Writes what is owed; false when the deadline passed before the end of it.
    pub(crate) fn flush(
        &mut self,
        socket: BorrowedFd<'_>,
        deadline: Deadline,
    ) -> Result<bool, Errno> {
        while self.owes() {
            match attempt::send(socket, &self.owed[self.paid..], deadline)? {
                Some(len) => self.paid += len,
                None => return Ok(false),
            }
        }
        if self.paid > 0 {
            self.owed = Vec::new(); // it was a long message: do not hold on to that much memory
            self.paid = 0;
        }
        Ok(true)
    }

    /// Whether a begun frame waits to be finished.
    pub(crate) fn owes(&self) -> bool {
        self.paid < self.owed.len()
    }

    /// Waits for so much room that a short message is taken whole.
    ///
    /// TCP takes as many bytes as there is room for, and so may tear even a short message; but once
    /// `poll(2)` calls it writable, a third of its buffer is free.
    pub(crate) fn wait_for_room(socket: BorrowedFd<'_>, deadline: Deadline) -> Result<bool, Errno> {
        if deadline == Deadline::Never {
            return Ok(true); // the send itself waits, to the end
        }
        attempt::ready(socket, Interest::Writable, deadline)
    }

    fn keep(&mut self, header: &[u8; HEADER_LEN], message: &[u8], sent: usize) {
        self.owed.clear();
        self.paid = 0;
        match sent.checked_sub(HEADER_LEN) {
            None => {
                self.owed.extend_from_slice(&header[sent..]);
                self.owed.extend_from_slice(message);
            }
            Some(start) => self.owed.extend_from_slice(&message[start..]),
        }
    }
}

/// Puts the frame of `message` in one piece, where it is quick to copy and to write.
fn copy_behind_header<'a>(scratch: &'a mut Vec<u8>, message: &[u8]) -> &'a [u8] {
    let len = HEADER_LEN + message.len();
    if scratch.len() < len + placing::SLACK_BYTES {
        scratch.resize(len + placing::SLACK_BYTES, 0);
    }
    let from = placing::apart_from_behind(HEADER_LEN, message, scratch);
    let frame = &mut scratch[from..from + len];
    frame[..HEADER_LEN].copy_from_slice(&(message.len() as u32).to_le_bytes());
    frame[HEADER_LEN..].copy_from_slice(message);
    frame
}

/// `sendmsg(2)` of two pieces.
fn gather(
    socket: BorrowedFd<'_>,
    header: &[u8],
    message: &[u8],
    deadline: Deadline,
) -> Result<Option<usize>, Errno> {
    let parts = [IoSlice::new(header), IoSlice::new(message)];
    attempt::until(socket, Interest::Writable, deadline, |may_block| {
        let mut control = SendAncillaryBuffer::default();
        rustix::net::sendmsg(socket, &parts, &mut control, attempt::send_flags(may_block))
    })
}
