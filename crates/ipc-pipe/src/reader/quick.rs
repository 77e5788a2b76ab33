//! Receives that need one plain `read(2)` and little else, inline in the caller's loop. Leaves out all other
//! receives.
//!
//! Inline, since the first return after a system call, from a function that was entered before it, costs 80 ns
//! on some processors, a quarter of the whole (`benches/record/2026-11-29-pipe-framing.md`).

use ipc_core::{Deadline, Received, RecvError, WaitStrategy};
use rustix::io::Errno;

use super::{FrameReader, FrameUnderWay, copied_len_max, in_place_len_max};
use crate::frame::HEADER_LEN;
use crate::run::{MARK, MARK_LEN, Next};

/// Where the next bytes are read to.
#[derive(Clone, Copy)]
enum Plan {
    /// To the front of the caller's buffer: a message of a run.
    InPlace { len: usize },
    /// Into the input, behind what is there.
    ToInput { len: usize },
}

impl FrameReader {
    /// Receives a message.
    #[inline(always)] // see above
    pub(crate) fn receive(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        if let Some(plan) = self.plan(buffer, deadline) {
            let room = match plan {
                Plan::InPlace { len } => &mut buffer[..len],
                Plan::ToInput { len } => &mut self.input.room()[..len],
            };
            let read = rustix::io::read(&self.descriptor, &mut *room);
            match plan {
                Plan::InPlace { len } if read == Ok(len) && !buffer.starts_with(&MARK) => {
                    self.received += len as u64;
                    return Ok(Received::of_len(len));
                }
                _ => self.take_read(plan, read, buffer, deadline)?,
            }
        }
        self.receive_with_care(buffer, deadline)
    }

    /// Takes what a plain `read(2)` has brought; waits if that was nothing.
    fn take_read(
        &mut self,
        plan: Plan,
        read: rustix::io::Result<usize>,
        buffer: &[u8],
        deadline: Deadline,
    ) -> Result<(), RecvError> {
        match read {
            Ok(read @ 1..) => {
                self.received += read as u64;
                match plan {
                    Plan::InPlace { len } => self.take_of_run(&buffer[..len], read),
                    Plan::ToInput { .. } => self.input.end += read,
                }
            }
            // Who looks before it sleeps goes on to look.
            Err(Errno::AGAIN)
                if (deadline == Deadline::Now || self.strategy == WaitStrategy::Park)
                    && !self.wait_for_bytes(deadline)? =>
            {
                return Err(RecvError::no_message(deadline));
            }
            _ => {} // bytes, an end or an error: a look with care finds it
        }
        Ok(())
    }

    /// Where to a plain `read(2)` that may block reads what comes next, if nothing of it is here.
    fn plan(&mut self, buffer: &[u8], deadline: Deadline) -> Option<Plan> {
        let is_between_messages = self.frame.is_none()
            && self.gathered.is_empty()
            && self.input.bytes().is_empty()
            && self.poisoned.is_none();
        if !is_between_messages {
            return None;
        }
        self.suit(deadline).ok()?;
        if let Next::Message { len } = self.next {
            return (len <= buffer.len().min(in_place_len_max(buffer)))
                .then_some(Plan::InPlace { len });
        }
        let whole = self.input.room().len();
        match self.guess.filter(|_| !self.rules.many_senders) {
            None => Some(Plan::ToInput { len: whole }),
            Some(len) if len <= copied_len_max(buffer).min(whole - HEADER_LEN) => {
                Some(Plan::ToInput { len: HEADER_LEN + len })
            }
            Some(_) => None,
        }
    }

    /// Takes the `read` bytes at the front of where a message of a run should be.
    pub(super) fn take_of_run(&mut self, message: &[u8], read: usize) {
        if read < MARK_LEN || message.starts_with(&MARK) {
            self.input.hold(&[&message[..read]]);
        } else {
            self.gathered.begin_in_buffer(read);
            self.frame = Some(FrameUnderWay { missing: message.len() - read, more: false });
            self.input.clear();
        }
    }
}
