//! Writes frames: one system call for each message that the socket takes whole. Leaves out errors as
//! the user sees them.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use ipc_core::{Deadline, Interest};
use rustix::io::Errno;
use rustix::net::SendAncillaryBuffer;

use super::{COPIED_LEN_MAX, HEADER_LEN};
use crate::attempt;

/// The sending side's state: what the socket has not taken yet of a frame that was begun.
#[derive(Debug, Default)]
pub(crate) struct FrameWriter {
    /// Header and message in one piece, for short messages.
    scratch: Vec<u8>,
    /// The rest of a begun frame, owed to the stream before anything else.
    owed: Vec<u8>,
    /// How much of `owed` has been written since.
    paid: usize,
}

impl FrameWriter {
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
            self.scratch.clear();
            self.scratch.extend_from_slice(&header);
            self.scratch.extend_from_slice(message);
            attempt::send(socket, &self.scratch, deadline)?
        } else {
            gather(socket, &header, message, deadline)?
        };
        let Some(mut sent) = begun else { return Ok(false) };
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
        Ok(true)
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
