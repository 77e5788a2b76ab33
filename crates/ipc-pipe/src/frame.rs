//! How messages lie in the stream of bytes that a pipe is. Leaves out the system calls that move
//! them.
//!
//! A message is one **frame** or several. A frame is a header of four bytes and its payload:
//!
//! ```text
//!   byte 0        1        2        3        4 …
//!  ┌────────────────────────────────────┬──────────────────────┐
//!  │ u32, little-endian                 │ payload,             │
//!  │ bits 0–29: payload's length, bytes │ as long as that      │
//!  │ bit 30: CONTINUES                  │                      │
//!  │ bit 31: MORE                       │                      │
//!  └────────────────────────────────────┴──────────────────────┘
//! ```
//!
//! - A message of up to [`ATOMIC_PAYLOAD`] bytes is one frame without flags: in Python,
//!   `struct.pack("<I", len(message)) + message`. It is written by one `write(2)` of at most
//!   `PIPE_BUF` bytes, which the kernel takes whole or not at all, and never mixes with another's.
//! - A longer message is several frames. All but the last carry MORE; all but the first carry
//!   CONTINUES. Its **last frame is at most `PIPE_BUF` long and so written whole or not at all: with
//!   it the message comes into being.** A message whose last frame never came was never sent: when
//!   a frame without CONTINUES follows, or the stream ends, the receiver drops what it had gathered.
//!   So a sender whose time ran out amid a message leaves nothing that will be received.
//! - On a link with many senders (a FIFO) every frame is written by one atomic write, so none mixes with
//!   another, and the frames of a long message name their sender: the payload of a frame with CONTINUES
//!   or MORE begins with a **tag** of four bytes, little-endian, and the receiver gathers by tag. A tag
//!   from 1 on belongs to one sender at a time, which holds a lock of its open file description
//!   (`F_OFD_SETLK`, exclusive) on the byte of that number of the FIFO. The kernel drops the lock when
//!   the sender dies: so the receiver knows whose unfinished messages to forget. No sender waits for
//!   another, and one that is stopped amid a message holds up nobody.
//!
//! On a pipe, which has one sender, messages of one length may follow one another without headers: a **run**.
//! The **mark**, the word `0xf1a69de3` (little-endian, [`crate::run::MARK`]), stands before the header of a
//! message that is one frame, of at least 4 bytes, and says that those behind it are as long and have no
//! headers. It stands again where the run ends: a header follows. A message that begins with the mark's
//! four bytes is never sent without a header, so a receiver that finds them knows what they are. The mark alone
//! is no message: a sender may write it before it knows whether there is room for the next frame.
//!
//! ```text
//!   len=4 "abcd"  MARK len=4 "efgh"  "ijkl"  "mnop"  MARK len=1 "q"
//! ```
//!
//! Our senders begin a run with the second message of a length, if it is at most 16 KiB long. Within a run, up to
//! [`PIPE_BUF`] bytes are one atomic write.
//!
//! Our senders put at most [`PIECE_PAYLOAD`] bytes into a frame. Receivers take a frame of any length
//! that keeps the message within the link's maximum.

use crate::unfinished::TAG_LEN;

/// What [`ATOMIC_PAYLOAD`] leaves for the message where the frame bears a tag, in bytes.
pub(crate) const TAGGED_PAYLOAD: usize = ATOMIC_PAYLOAD - TAG_LEN;

/// POSIX's `PIPE_BUF` on Linux, in bytes: a write of up to this length is atomic. See pipe(7).
pub(crate) const PIPE_BUF: usize = 4096;

/// Length of a header in bytes.
pub(crate) const HEADER_LEN: usize = 4;

/// The longest payload whose frame is written atomically, in bytes: 4,092.
pub const ATOMIC_PAYLOAD: usize = PIPE_BUF - HEADER_LEN;

/// The longest payload of one frame that we send, in bytes. With its header it fills the 16 pages of
/// a pipe of default capacity, and it bounds what a sender whose time ran out still has to write.
pub(crate) const PIECE_PAYLOAD: usize = 64 * 1024 - HEADER_LEN;

const CONTINUES: u32 = 1 << 30;
const MORE: u32 = 1 << 31;

/// The longest message that the header could tell, in bytes.
pub(crate) const MAX_FRAME_PAYLOAD: usize = (CONTINUES - 1) as usize;

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Length of the payload in bytes, at most [`MAX_FRAME_PAYLOAD`].
    pub(crate) len: usize,
    /// The payload goes on with the message of the frame before.
    pub(crate) continues: bool,
    /// The message goes on in the next frame.
    pub(crate) more: bool,
}

impl Header {
    /// The header of a frame that is a whole message.
    pub(crate) const fn whole(len: usize) -> Self {
        Self { len, continues: false, more: false }
    }

    pub(crate) const fn is_whole(self) -> bool {
        !self.continues && !self.more
    }

    pub(crate) fn to_bytes(self) -> [u8; HEADER_LEN] {
        debug_assert!(self.len <= MAX_FRAME_PAYLOAD, "the sender checks its messages first");
        let flags = if self.continues { CONTINUES } else { 0 } | if self.more { MORE } else { 0 };
        (self.len as u32 | flags).to_le_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; HEADER_LEN]) -> Self {
        let word = u32::from_le_bytes(bytes);
        Self {
            len: (word & (CONTINUES - 1)) as usize,
            continues: word & CONTINUES != 0,
            more: word & MORE != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_as_documented_byte_for_byte() {
        assert_eq!(Header::whole(0).to_bytes(), [0, 0, 0, 0]);
        assert_eq!(Header::whole(0x0ffc).to_bytes(), [0xfc, 0x0f, 0, 0]);
        let first = Header { len: 0xfffc, continues: false, more: true };
        assert_eq!(first.to_bytes(), [0xfc, 0xff, 0, 0x80]);
        let last = Header { len: 1, continues: true, more: false };
        assert_eq!(last.to_bytes(), [1, 0, 0, 0x40]);
    }

    #[test]
    fn every_word_is_a_header_and_comes_back() {
        for word in [0, 1, CONTINUES - 1, CONTINUES, MORE, MORE | CONTINUES | 17, u32::MAX] {
            let bytes = word.to_le_bytes();
            assert_eq!(Header::from_bytes(bytes).to_bytes(), bytes);
        }
    }
}
