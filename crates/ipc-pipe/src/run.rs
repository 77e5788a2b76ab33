//! Runs: messages of one length, one after the other, without headers. Says where in one each side is;
//! leaves out reading and writing. What a run looks like in the stream: see [`crate::frame`].
//!
//! Why there are runs: a pipe holds pages, and the four bytes of a header cost a message of whole pages one
//! page more, which is a third of the time (`benches/record/2026-11-29-pipe-framing.md`); they also cost
//! each message a copy, or a call that gathers.

use crate::end::SHORT_LEN_MAX;
use crate::frame::{ATOMIC_PAYLOAD, HEADER_LEN, Header, PIPE_BUF};

/// The word that begins and ends a run, as its bytes. As a header it would be that of a frame amid a
/// message and of 833,002,979 bytes, which no sender writes.
pub(crate) const MARK: [u8; MARK_LEN] = 0xf1a6_9de3_u32.to_le_bytes();

/// As long as a header, so that a receiver that has one word can tell.
pub(crate) const MARK_LEN: usize = HEADER_LEN;

/// What a receiver finds next in the stream, between two messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A frame, or the mark before one.
    Frame,
    /// The frame with which a run begins; the mark before it has been read.
    FirstOfRun,
    /// A message of this many bytes without a header, or the mark.
    Message { len: usize },
}

impl Next {
    /// After a mark.
    pub(crate) fn after_mark(self) -> Result<Self, &'static str> {
        match self {
            Self::Frame => Ok(Self::FirstOfRun),
            Self::FirstOfRun => Err("a run that begins twice"),
            Self::Message { .. } => Ok(Self::Frame),
        }
    }

    /// After a message of this length.
    pub(crate) fn after_message(self, len: usize) -> Self {
        if self == Self::FirstOfRun { Self::Message { len } } else { self }
    }

    /// How much precedes the payload of a message that follows, in bytes.
    pub(crate) fn header_len(self) -> usize {
        if matches!(self, Self::Message { .. }) { 0 } else { HEADER_LEN }
    }

    /// The header that this word is, or stands for. It must not be the mark.
    pub(crate) fn header(self, word: [u8; HEADER_LEN]) -> Result<Header, &'static str> {
        let header = Header::from_bytes(word);
        match self {
            Self::Message { len } => Ok(Header::whole(len)),
            // Of shorter ones, one word could be more than a message.
            Self::FirstOfRun if !header.is_whole() || header.len < MARK_LEN => {
                Err("a run that begins with no whole message, or a short one")
            }
            _ => Ok(header),
        }
    }
}

/// What a sender has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// A frame that is a whole message of this length.
    Frame { len: usize },
    /// Messages of a run of this length.
    Run { len: usize },
    /// Something else, or nothing.
    Other,
}

impl Sent {
    /// Whether this message may go without a header: within a run, if a receiver would not take it for
    /// the mark.
    pub(crate) fn is_run_of(self, message: &[u8]) -> bool {
        self == Self::Run { len: message.len() } && !message.starts_with(&MARK)
    }

    /// Whether a run is to begin with this message, which is one frame: when it is as long as the one
    /// before. One that would be written whole or not at all stays so, behind the mark.
    ///
    /// Long ones gain nothing: their header is next to nothing, and with it the two sides of the pipe take turns to
    /// sleep less often.
    pub(crate) fn begins_run(self, message: &[u8]) -> bool {
        let len = message.len();
        let stays_atomic = MARK_LEN + HEADER_LEN + len <= PIPE_BUF;
        self == Self::Frame { len }
            && (MARK_LEN..=SHORT_LEN_MAX).contains(&len)
            && (stays_atomic || len > ATOMIC_PAYLOAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_as_documented_byte_for_byte() {
        assert_eq!(MARK, [0xe3, 0x9d, 0xa6, 0xf1]);
        let header = Header::from_bytes(MARK);
        assert_eq!(header, Header { len: 833_002_979, continues: true, more: true });
    }

    #[test]
    fn a_mark_begins_a_run_and_ends_it() {
        let next = Next::Frame.after_mark().expect("begins");
        assert_eq!(next, Next::FirstOfRun);
        assert!(next.after_mark().is_err());
        let header = |len| Header::whole(len).to_bytes();
        assert!(next.header(header(3)).is_err());
        assert!(next.header(Header { len: 4, continues: false, more: true }.to_bytes()).is_err());
        assert_eq!(next.header(header(4)), Ok(Header::whole(4)));
        let next = next.after_message(4);
        assert_eq!(next, Next::Message { len: 4 });
        assert_eq!(next.header(*b"\x01\0\0\0"), Ok(Header::whole(4)), "bytes of a message");
        assert_eq!(next.after_message(4), next);
        assert_eq!(next.after_mark(), Ok(Next::Frame));
    }

    #[test]
    fn what_begins_like_the_mark_is_not_sent_without_a_header() {
        let sent = Sent::Run { len: 5 };
        assert!(sent.is_run_of(b"hello"));
        assert!(!sent.is_run_of(b"hi"));
        assert!(!sent.is_run_of(&[&MARK[..], b"!"].concat()));
        assert!(!Sent::Frame { len: 5 }.is_run_of(b"hello"));
    }

    #[test]
    fn a_run_begins_with_the_second_message_of_a_length() {
        let begins = |before, len| Sent::Frame { len: before }.begins_run(&vec![0; len]);
        assert!(begins(4, 4));
        assert!(!begins(5, 4));
        assert!(!begins(3, 3), "shorter than the mark");
        assert!(begins(ATOMIC_PAYLOAD - MARK_LEN, ATOMIC_PAYLOAD - MARK_LEN));
        assert!(!begins(ATOMIC_PAYLOAD, ATOMIC_PAYLOAD), "would not be atomic any more");
        assert!(begins(PIPE_BUF, PIPE_BUF));
        assert!(!begins(SHORT_LEN_MAX + 1, SHORT_LEN_MAX + 1));
        assert!(!Sent::Other.begins_run(b"hello"));
    }
}
