//! One record of the ring: a header word, then the message, padded to whole words.
//!
//! ```text
//!  63      56 55      32 31              0
//! ┌──────────┬──────────┬─────────────────┐
//! │   kind   │    0     │ length in bytes │   then ⌈length / 8⌉ words of message
//! └──────────┴──────────┴─────────────────┘
//! ```
//!
//! A header of zero means that nothing is committed there yet. Every record begins at a multiple of
//! eight and lies in one piece; where the rest of the ring is too short for the next one, a
//! [`Header::WRAP`] sends the reader to the beginning.

/// Bytes of a header.
pub(crate) const HEADER_BYTES: u64 = 8;

/// Nothing is committed here yet.
pub(crate) const EMPTY: u64 = 0;
/// The next record is at the beginning of the ring.
pub(crate) const WRAP: u64 = 0x57 << 56;

const MESSAGE: u64 = 0x4d << 56;
const URGENT_MESSAGE: u64 = 0x55 << 56;
const LEN_MASK: u64 = 0xffff_ffff;

/// What a header says, after it was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// Nothing committed yet.
    Empty,
    /// Go on at the beginning of the ring.
    Wrap,
    /// A message.
    Message {
        /// Its length in bytes.
        len: usize,
        /// The sender waits until it is taken: the receiver says so at once.
        urgent: bool,
    },
    /// Nothing that a correct sender writes.
    Invalid,
}

/// The header of a message.
pub(crate) const fn message(len: usize, urgent: bool) -> u64 {
    (if urgent { URGENT_MESSAGE } else { MESSAGE }) | len as u64
}

/// Reads a header; any 64 bits are input.
#[inline]
pub(crate) const fn decode(word: u64) -> Header {
    let len = (word & LEN_MASK) as usize;
    match word & !LEN_MASK {
        MESSAGE => Header::Message { len, urgent: false },
        URGENT_MESSAGE => Header::Message { len, urgent: true },
        WRAP if len == 0 => Header::Wrap,
        0 if len == 0 => Header::Empty,
        _ => Header::Invalid,
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
                assert_eq!(decode(message(len, urgent)), Header::Message { len, urgent });
            }
        }
        assert_eq!(decode(EMPTY), Header::Empty);
        assert_eq!(decode(WRAP), Header::Wrap);
    }

    #[test]
    fn anything_else_is_invalid() {
        for word in [1, WRAP | 1, 0x4d << 48, u64::MAX, message(5, false) | 1 << 40] {
            assert_eq!(decode(word), Header::Invalid, "{word:#x}");
        }
    }

    #[test]
    fn records_are_whole_words() {
        assert_eq!([0, 1, 8, 9].map(record_bytes), [8, 16, 16, 24]);
    }
}
