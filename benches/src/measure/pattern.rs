//! What the messages say: numbered content, to be written in full and compared in full, or word by word.
//! Leaves out when this happens: see [`super::content`].
//!
//! Word `i` of message `n` is `n × SPREAD + i`, in the machine's byte order. So a message tells its
//! number, no two messages are alike, and a word that is missing, stale or in a wrong place is found.
//! They are the same for every mechanism and for the plain ring that serves as the limit, and as cheap
//! as can be, so that they hide little of what is measured: whole lines first, which compile to a few
//! vector instructions each without a loop around them for the shortest.

use std::fmt;

/// The shortest message that carries its number, in bytes.
pub const MIN_LEN: usize = size_of::<u64>();

/// Odd, so that it has an inverse, with its bits well mixed.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
const SPREAD_INVERSE: u64 = inverse(SPREAD);

/// Words of a cache line, which are written and read together.
const LINE: usize = 8;

/// Writes every byte of message `number`.
#[inline]
pub fn fill(message: &mut [u8], number: u64) {
    let mut word = number.wrapping_mul(SPREAD);
    let (lines, rest) = message.as_chunks_mut::<{ LINE * 8 }>();
    for line in lines {
        for (index, chunk) in line.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            *chunk = word.wrapping_add(index as u64).to_ne_bytes();
        }
        word = word.wrapping_add(LINE as u64);
    }
    let (words, rest) = rest.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = word.to_ne_bytes();
        word = word.wrapping_add(1);
    }
    if !rest.is_empty() {
        rest.copy_from_slice(&word.to_ne_bytes()[..rest.len()]);
    }
}

/// Reads every byte of a message and compares it with what [`fill`] wrote.
///
/// # Errors
///
/// [`Corrupt`] if one differs, or if the length does.
#[inline]
pub fn check(message: &[u8], number: u64, len: usize) -> Result<(), Corrupt> {
    let mut word = number.wrapping_mul(SPREAD);
    let mut differences = [0; LINE];
    let (lines, rest) = message.as_chunks::<{ LINE * 8 }>();
    for line in lines {
        for (index, chunk) in line.as_chunks::<8>().0.iter().enumerate() {
            differences[index] |= u64::from_ne_bytes(*chunk) ^ word.wrapping_add(index as u64);
        }
        word = word.wrapping_add(LINE as u64);
    }
    let mut difference = differences.iter().fold(0, |all, one| all | one);
    let (words, rest) = rest.as_chunks::<8>();
    for chunk in words {
        difference |= u64::from_ne_bytes(*chunk) ^ word;
        word = word.wrapping_add(1);
    }
    let rest_is_good = rest.is_empty() || rest == &word.to_ne_bytes()[..rest.len()];
    if difference == 0 && rest_is_good && message.len() == len {
        Ok(())
    } else {
        Err(Corrupt::find(message, number, number, len))
    }
}

/// Word `index` of message `number`.
#[inline]
pub fn word(number: u64, index: usize) -> u64 {
    number.wrapping_mul(SPREAD).wrapping_add(index as u64)
}

/// The word at an index of a message.
///
/// # Panics
///
/// If the message is shorter.
#[inline]
pub fn word_at(message: &[u8], index: usize) -> u64 {
    let bytes = message[index * 8..].first_chunk::<8>();
    u64::from_ne_bytes(*bytes.expect("the message has this word"))
}

/// The index of the last whole word of messages of `len` bytes.
///
/// # Panics
///
/// If they have none.
#[inline]
pub fn last_word(len: usize) -> usize {
    len / 8 - 1
}

/// Gives a message this number, and leaves all but its first word as it is.
///
/// # Panics
///
/// If the message is shorter than [`MIN_LEN`].
#[inline]
pub fn write_number(message: &mut [u8], number: u64) {
    let first = message.first_chunk_mut::<8>();
    *first.expect("messages of the benchmark have 8 bytes") = word(number, 0).to_ne_bytes();
}

/// The number that a message of at least [`MIN_LEN`] bytes carries.
///
/// # Panics
///
/// If the message is shorter.
#[inline]
pub fn number_of(message: &[u8]) -> u64 {
    let first = message.first_chunk::<8>().expect("messages of the benchmark have 8 bytes");
    u64::from_ne_bytes(*first).wrapping_mul(SPREAD_INVERSE)
}

/// A message that is not what was sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Corrupt {
    number: u64,
    len: usize,
    sent_len: usize,
    offset: Option<usize>,
}

impl Corrupt {
    /// Where a message differs from number `number`, whose words after the first are those of
    /// `rest_number`.
    #[cold]
    pub(super) fn find(message: &[u8], number: u64, rest_number: u64, sent_len: usize) -> Self {
        let mut sent = vec![0; message.len()];
        fill(&mut sent, rest_number);
        if sent.len() >= MIN_LEN {
            write_number(&mut sent, number);
        }
        let offset = message.iter().zip(&sent).position(|(found, sent)| found != sent);
        Self { number, len: message.len(), sent_len, offset }
    }

    /// Whether there is a difference at all.
    pub(super) fn is_so(&self) -> bool {
        self.len != self.sent_len || self.offset.is_some()
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {} was corrupted: ", self.number)?;
        match self.offset {
            _ if self.len != self.sent_len => {
                write!(f, "{} bytes came of the {} sent", self.len, self.sent_len)
            }
            Some(offset) => write!(f, "byte {offset} of {} differs", self.len),
            None => f.write_str("no byte differs"),
        }
    }
}

impl std::error::Error for Corrupt {}

/// The inverse of an odd number modulo 2⁶⁴, by Newton's iteration: each step doubles the bits.
const fn inverse(odd: u64) -> u64 {
    let mut guess = odd; // right in three bits
    let mut step = 0;
    while step < 5 {
        guess = guess.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(guess)));
        step += 1;
    }
    guess
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_filled_passes_and_tells_its_number() {
        for len in [8, 9, 15, 64, 1000, 4096] {
            let mut message = vec![0; len];
            for number in [0, 1, 77, 1 << 40, u64::MAX] {
                fill(&mut message, number);
                assert_eq!(check(&message, number, len), Ok(()));
                assert_eq!(number_of(&message), number);
            }
        }
    }

    #[test]
    fn every_single_corrupted_byte_is_detected() {
        let mut message = vec![0; 77];
        fill(&mut message, 5);
        for offset in 0..message.len() {
            message[offset] ^= 0x10;
            let corrupt = check(&message, 5, 77).expect_err("one byte differs");
            assert_eq!(corrupt.offset, Some(offset));
            message[offset] ^= 0x10;
        }
    }

    #[test]
    fn swapped_words_stale_messages_and_wrong_lengths_are_detected() {
        let mut message = vec![0; 64];
        fill(&mut message, 5);
        assert!(check(&message, 6, 64).is_err(), "the message before");
        assert!(check(&message[..56], 5, 64).is_err(), "a message cut short");
        let (left, right) = message.split_at_mut(32);
        left.swap_with_slice(right);
        assert!(check(&message, 5, 64).is_err(), "two halves swapped");
    }
}
