//! Where bytes lie between the kernel and the caller. Leaves out what they mean to the reader.

use ipc_core::placing;

/// How far memory for a message grows ahead of its bytes.
const GROWTH_STEP: usize = 64 * 1024;

/// Bytes from the kernel: `start..end` of the storage from `origin` on.
#[derive(Debug)]
pub(crate) struct Input {
    storage: Vec<u8>,
    origin: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Input {
    pub(crate) fn new(len: usize) -> Self {
        let storage = vec![0; len + placing::SLACK_BYTES];
        let origin = placing::amid_a_page(&storage);
        Self { storage, origin, start: 0, end: 0 }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.storage[self.origin..][self.start..self.end]
    }

    pub(crate) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Takes bytes that have been read elsewhere. Nothing else must be here. Grows if it must.
    pub(crate) fn hold(&mut self, parts: &[&[u8]]) {
        self.clear();
        for part in parts {
            let end = self.end + part.len();
            if self.storage.len() < self.origin + end {
                self.storage.resize(self.origin + end, 0);
            }
            self.storage[self.origin..][self.end..end].copy_from_slice(part);
            self.end = end;
        }
    }

    /// Where to read to. What is left is less than a header whenever there is need to read.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        let storage = &mut self.storage[self.origin..];
        storage.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        &mut storage[self.end..]
    }
}

/// What has come of a message of several frames or reads: its first `filled` bytes. They lie in the
/// caller's buffer during a receive, as long as they fit, and else in memory of our own.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// Its length is the most that was ever needed here. It stays, for the next message.
    own: Vec<u8>,
    pub(crate) filled: usize,
    /// Whether a message is under way; it may have no bytes yet.
    pub(crate) begun: bool,
    /// Whether the bytes lie in the caller's buffer. Only during a receive.
    in_buffer: bool,
}

impl Gathered {
    pub(crate) fn is_empty(&self) -> bool {
        !self.begun
    }

    pub(crate) fn clear(&mut self) {
        self.filled = 0;
        self.begun = false;
    }

    /// Lets the bytes lie in the caller's buffer from now on, if they fit.
    pub(crate) fn move_into(&mut self, buffer: &mut [u8]) {
        if !self.in_buffer && self.filled <= buffer.len() {
            buffer[..self.filled].copy_from_slice(&self.own[..self.filled]);
            self.in_buffer = true;
        }
    }

    /// A message begins, and its first bytes are in the caller's buffer already.
    pub(crate) fn begin_in_buffer(&mut self, filled: usize) {
        (self.filled, self.begun, self.in_buffer) = (filled, true, true);
    }

    /// Takes a whole message.
    pub(crate) fn replace(&mut self, message: Vec<u8>) {
        (self.filled, self.begun, self.in_buffer) = (message.len(), true, false);
        self.own = message;
    }

    /// Takes the bytes out of the caller's buffer.
    pub(crate) fn move_out_of(&mut self, buffer: &[u8]) {
        if self.in_buffer {
            self.grow_to(self.filled);
            self.own[..self.filled].copy_from_slice(&buffer[..self.filled]);
            self.in_buffer = false;
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8], buffer: &mut [u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = self.room(rest.len(), buffer);
            let (now, later) = rest.split_at(room.len());
            room.copy_from_slice(now);
            self.filled += now.len();
            rest = later;
        }
    }

    /// Where the next bytes belong: as many as are missing, or a first part of them.
    pub(crate) fn room<'a>(&'a mut self, missing: usize, buffer: &'a mut [u8]) -> &'a mut [u8] {
        let from = self.filled;
        if self.in_buffer {
            if missing <= buffer.len() - from {
                return &mut buffer[from..][..missing];
            }
            self.move_out_of(buffer); // the message will not fit
        }
        let len = missing.min(GROWTH_STEP);
        self.grow_to(from + len);
        &mut self.own[from..][..len]
    }

    fn grow_to(&mut self, len: usize) {
        if self.own.len() < len {
            self.own.resize(len, 0);
        }
    }
}
