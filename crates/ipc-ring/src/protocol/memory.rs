//! The words in which the two endpoints of one ring meet, wherever they lie.

use ipc_core::sync::AtomicU64;

use super::record::HEADER_BYTES;

/// Up to this length, in bytes, a message is short: it is copied without a call, by pairs of words, which
/// is fastest; see benches/record.
pub(crate) const SHORT_MAX: usize = 128;

/// Bytes of a cache line.
pub(crate) const LINE_BYTES: u64 = 64;

/// The memory of one ring, as both its endpoints see it.
///
/// The algorithm is apart from where memory comes from: shipped over mapped memory, checked by loom
/// over words on the heap. Positions are in bytes, multiples of eight, and taken modulo the capacity.
pub(crate) trait Memory {
    /// Bytes of the ring: a power of two.
    fn capacity(&self) -> u64;
    /// The word at a position.
    fn word(&self, position: u64) -> &AtomicU64;
    /// Begins to bring the cache line at a position here, to be written to. Changes nothing.
    fn fetch_for_writing(&self, _position: u64) {}
    /// Begins to bring the cache line at a position here, to be read. Changes nothing.
    fn fetch_for_reading(&self, _position: u64) {}
    /// Copies a message in. Only the sender may, and only between claiming and committing.
    fn write(&self, position: u64, bytes: &[u8]);
    /// Copies a message out. The bytes may change under way if the peer is hostile.
    fn read(&self, position: u64, buffer: &mut [u8]);
    /// As [`read`](Self::read), for a message that was waited for: a word at a time.
    fn read_in_order(&self, position: u64, buffer: &mut [u8]) {
        self.read(position, buffer);
    }
    /// As [`write`](Self::write), for a message of at most [`SHORT_MAX`] bytes whose
    /// header is at this position.
    #[inline]
    fn write_short(&self, header: u64, bytes: &[u8]) {
        self.write(header.wrapping_add(HEADER_BYTES), bytes);
    }
    /// As [`read`](Self::read), for a message of at most [`SHORT_MAX`] bytes whose
    /// header is at this position.
    #[inline]
    fn read_short(&self, header: u64, buffer: &mut [u8]) {
        self.read(header.wrapping_add(HEADER_BYTES), buffer);
    }
    /// The position up to which the receiver has read; written by the receiver.
    fn head(&self) -> &AtomicU64;
    /// Written by the sender, see [`super::sleep`].
    fn sender_sleep(&self) -> &AtomicU64;
    /// Written by the receiver, see [`super::sleep`].
    fn receiver_sleep(&self) -> &AtomicU64;
}
