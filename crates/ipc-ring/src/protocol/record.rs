//! One record of the ring: a header word, then the message, padded to whole words.
//!
//! ```text
//!  63      56 55    33   32   31              0
//! ┌──────────┬────────┬──────┬─────────────────┐
//! │   kind   │   0    │urgent│ length in bytes │   then ⌈length / 8⌉ words of message
//! └──────────┴────────┴──────┴─────────────────┘
//! ```
//!
//! Urgent means that the sender waits until the message is taken: the receiver says so at once.
//!
//! A header of zero means that nothing is committed there yet. Every record begins at a multiple of
//! eight and lies in one piece; where the rest of the ring is too short for the next one, a
//! [`Header::WRAP`] sends the reader to the beginning.

use std::num::NonZeroU64;

/// Bytes of a header.
pub(crate) const HEADER_BYTES: u64 = 8;

/// Nothing is committed here yet.
pub(crate) const EMPTY: u64 = 0;
/// The next record is at the beginning of the ring.
pub(crate) const WRAP: u64 = 0x57 << 56;

const MESSAGE: u64 = 0x4d << 56;
const URGENT: u64 = 1 << 32;
const LEN_MASK: u64 = 0xffff_ffff;

/// What a header says, after it was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// Nothing committed yet.
    Empty,
    /// Go on at the beginning of the ring.
    Wrap,
    /// A message.
    Message(MessageHeader),
    /// Nothing that a correct sender writes.
    Invalid,
}

/// The header of a message. Kept as the word that it is: it stays in one register on the hot path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageHeader(NonZeroU64);

impl MessageHeader {
    #[inline]
    pub(crate) const fn new(len: usize, urgent: bool) -> Self {
        let word = MESSAGE | len as u64 | if urgent { URGENT } else { 0 };
        Self(NonZeroU64::new(word).expect("the kind is not zero"))
    }

    /// The word, if it is the header of a message; any 64 bits are input.
    #[inline]
    pub(crate) const fn from_word(word: u64) -> Option<Self> {
        match NonZeroU64::new(word) {
            Some(word) if word.get() & !(URGENT | LEN_MASK) == MESSAGE => Some(Self(word)),
            _ => None,
        }
    }

    #[inline]
    pub(crate) const fn word(self) -> u64 {
        self.0.get()
    }

    /// Length of the message in bytes.
    #[inline]
    pub(crate) const fn len(self) -> usize {
        (self.0.get() & LEN_MASK) as usize
    }

    /// Whether the sender waits until the message is taken.
    #[inline]
    pub(crate) const fn is_urgent(self) -> bool {
        self.0.get() & URGENT != 0
    }
}

/// Reads a header; any 64 bits are input.
pub(crate) const fn decode(word: u64) -> Header {
    match (word, MessageHeader::from_word(word)) {
        (EMPTY, _) => Header::Empty,
        (WRAP, _) => Header::Wrap,
        (_, Some(message)) => Header::Message(message),
        (_, None) => Header::Invalid,
    }
}

/// The bytes that a message of `len` takes in the ring, with its header.
#[inline]
pub(crate) const fn record_bytes(len: usize) -> u64 {
    HEADER_BYTES + ((len as u64 + 7) & !7)
}

#[cfg(all(test, not(ipc_loom)))]
mod tests {
    use super::*;

    #[test]
    fn headers_say_what_was_written() {
        for len in [0, 1, 8, u32::MAX as usize] {
            for urgent in [false, true] {
                let header = MessageHeader::new(len, urgent);
                assert_eq!(decode(header.word()), Header::Message(header));
                assert_eq!((header.len(), header.is_urgent()), (len, urgent));
            }
        }
        assert_eq!(decode(EMPTY), Header::Empty);
        assert_eq!(decode(WRAP), Header::Wrap);
    }

    #[test]
    fn anything_else_is_invalid() {
        for word in
            [1, WRAP | 1, 0x4d << 48, u64::MAX, MessageHeader::new(5, false).word() | 1 << 33]
        {
            assert_eq!(decode(word), Header::Invalid, "{word:#x}");
        }
    }

    #[test]
    fn records_are_whole_words() {
        assert_eq!([0, 1, 8, 9].map(record_bytes), [8, 16, 16, 24]);
    }
}
