//! Messages that betray whatever happens to them: each byte follows from its number and length.

/// Set in the number of the last message of a link.
const LAST: u64 = 1 << 63;

/// The message of a number, of at least 16 bytes: the number, bytes made of it, and a checksum.
pub(crate) fn message(number: u64, len: usize) -> Vec<u8> {
    assert!(len >= 16);
    let mut bytes = number.to_ne_bytes().to_vec();
    bytes.extend(
        (8..len - 8).map(|index| (number as u8).wrapping_mul(31).wrapping_add(index as u8 | 1)),
    );
    let sum = bytes.iter().fold(len as u64 ^ 0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    bytes.extend(sum.to_ne_bytes());
    bytes
}

/// The message of a number that says that no other follows.
pub(crate) fn last_message(number: u64) -> Vec<u8> {
    message(number | LAST, 64)
}

/// Takes messages in order, and sees what is missing, repeated or altered.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Messages taken: the number of the next one.
    pub(crate) taken: u64,
    /// The last one was among them.
    pub(crate) is_complete: bool,
}

impl Inbox {
    #[track_caller]
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let first: [u8; 8] = bytes.get(..8).expect("a message is torn").try_into().expect("eight");
        let number = u64::from_ne_bytes(first);
        assert!(bytes == message(number, bytes.len()), "message {number:#x} is altered");
        assert_eq!(number & !LAST, self.taken, "a message is lost, or comes twice");
        assert!(!self.is_complete, "a message after the last");
        self.taken += 1;
        self.is_complete = number & LAST != 0;
    }
}
