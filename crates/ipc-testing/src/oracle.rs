//! What oracles of message streams share: the bytes that say what happens, and a receiver's answer in a
//! form that a model can give, too. Leaves out the models.

use ipc_core::{Deadline, Receiver, RecvError};

/// The bytes of a script, one after the other. At its end there are only zeros.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    /// A script of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether it is at its end.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte, or zero.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    /// The next `most` bytes, or as many as there are.
    pub fn take(&mut self, most: usize) -> &'a [u8] {
        let (now, later) = self.0.split_at(most.min(self.0.len()));
        self.0 = later;
        now
    }

    /// A length of a buffer, up to 32 KiB.
    pub fn buffer_len(&mut self) -> usize {
        usize::from(self.byte()) << (self.byte() % 8)
    }
}

/// What a receiver answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A message.
    Message(Vec<u8>),
    /// A message that needs a buffer of so many bytes; it stays.
    TooSmall(usize),
    /// No message, but one may come.
    Empty,
    /// No message, and none will come.
    Gone,
    /// What no sender writes.
    Violation,
}

impl Answer {
    /// Receives once, with a buffer of this length.
    ///
    /// # Panics
    ///
    /// Where the receiver answers something else.
    pub fn of(receiver: &mut impl Receiver, buffer_len: usize, deadline: Deadline) -> Self {
        let mut buffer = vec![0; buffer_len];
        match receiver.recv_deadline(&mut buffer, deadline) {
            Ok(received) => Self::Message(buffer[..received.len].to_vec()),
            Err(RecvError::BufferTooSmall(small)) => Self::TooSmall(small.needed),
            Err(RecvError::Empty) => Self::Empty,
            Err(RecvError::PeerGone { .. }) => Self::Gone,
            Err(RecvError::Violation(_)) => Self::Violation,
            Err(other) => panic!("an answer that cannot be: {other}"),
        }
    }

    /// What a model answers: the message that waits for a buffer, if it fits.
    pub fn of_waiting(message: &mut Option<Vec<u8>>, buffer_len: usize) -> Self {
        match message.take_if(|message| message.len() <= buffer_len) {
            Some(message) => Self::Message(message),
            None => Self::TooSmall(message.as_ref().map_or(0, Vec::len)),
        }
    }
}
