//! Messages whose length and content follow from their number, so that the receiver can check every
//! byte without being told.

use ipc_core::LinkProperties;

/// Numbered messages are at most this long; [`longest_tried`] goes further.
const ORDINARY_MAX: usize = 4096;

/// Where a link carries longer messages than this, [`ENOUGH`] is tried instead of the longest.
const AFFORDABLE: usize = 16 << 20;
const ENOUGH: usize = 4 << 20;

/// The bytes of message `number` of length `len`: the number itself, then noise that follows from it.
pub(super) fn content(number: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut state = number;
    for (index, chunk) in bytes.chunks_mut(8).enumerate() {
        let word = if index == 0 { number } else { split_mix(&mut state) };
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
    bytes
}

/// A length for message `number` that the link carries, different from message to message where it
/// carries more than one. On lossy links never so short that the number would not fit.
pub(super) fn length(number: u64, link: &LinkProperties) -> usize {
    let lengths = link.message_length;
    let min = if link.lossy { lengths.min.max(8) } else { lengths.min };
    assert!(min <= lengths.max, "a lossy link must carry messages of 8 bytes to be tested");
    let span = lengths.max.min(ORDINARY_MAX.max(min)) - min;
    let mut state = number ^ 0x5eed;
    // As many short ones as long ones: the powers of two are equally likely.
    let bits = 64 - (span as u64).leading_zeros();
    let span_here = span >> (split_mix(&mut state) % u64::from(bits.max(1)));
    min + (split_mix(&mut state) % (span_here as u64 + 1)) as usize
}

/// Message `number` of a length that the link carries.
pub(super) fn numbered(number: u64, link: &LinkProperties) -> Vec<u8> {
    content(number, length(number, link))
}

/// Message `number` of about `len` bytes, as near as the link carries.
pub(super) fn of_about(number: u64, len: usize, link: &LinkProperties) -> Vec<u8> {
    content(number, len.clamp(link.message_length.min, link.message_length.max))
}

/// The number that a message of at least 8 bytes begins with.
pub(super) fn number_of(message: &[u8]) -> u64 {
    let number = message.first_chunk().expect("a message of at least 8 bytes");
    u64::from_le_bytes(*number)
}

/// The longest length to try: that of the link, or 4 MiB where it carries more than 16 MiB.
pub(super) fn longest_tried(link: &LinkProperties) -> usize {
    let max = link.message_length.max;
    if max <= AFFORDABLE { max } else { ENOUGH.max(link.message_length.min) }
}

/// A buffer that takes any numbered message.
pub(super) fn buffer(link: &LinkProperties) -> Vec<u8> {
    vec![0; ORDINARY_MAX.max(link.message_length.min)]
}

/// Fails, naming the first byte that differs.
#[track_caller]
pub(super) fn assert_same(found: &[u8], expected: &[u8], which: impl std::fmt::Display) {
    if found == expected {
        return;
    }
    let (found_len, expected_len) = (found.len(), expected.len());
    let differs = found.iter().zip(expected).position(|(a, b)| a != b);
    panic!(
        "{which}: {found_len} bytes received, {expected_len} sent; first difference at {differs:?}; \
         received {:02x?}…, expected {:02x?}…",
        &found[..found_len.min(16)],
        &expected[..expected_len.min(16)],
    );
}

/// SplitMix64 (Steele, Lea, Flood 2014): a step of a small generator of noise.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_tell_their_number_and_differ() {
        for number in [0, 1, u64::MAX] {
            assert_eq!(number_of(&content(number, 9)), number);
        }
        assert_ne!(content(1, 100)[8..], content(2, 100)[8..]);
        assert_eq!(content(7, 100), content(7, 100));
        assert!(content(7, 0).is_empty());
    }

    #[test]
    #[should_panic = "first difference at Some(3)"]
    fn a_difference_is_named() {
        assert_same(&[1, 2, 3, 4], &[1, 2, 3, 5], "message 1");
    }
}
