//! The memory of one ring in two mappings: the sender's, which holds the ring, and the receiver's.

// Makes references to atomic words from the addresses of mappings.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ipc_shm::Mapping;

use crate::copy::{
    copy_in, copy_out, copy_out_in_order, copy_short_in, copy_short_out, fetch_for_reading,
    fetch_for_writing,
};
use crate::layout;
use crate::protocol::memory::Memory;
use crate::protocol::record::{HEADER_BYTES, record_bytes};

/// One ring over mapped memory, as one of its endpoints sees it.
pub(crate) struct Mapped {
    ring: NonNull<u8>,
    /// A power of two.
    capacity: u64,
    /// The bits of a position that select a word of the ring.
    word_mask: u64,
    head: NonNull<AtomicU64>,
    sender_sleep: NonNull<AtomicU64>,
    receiver_sleep: NonNull<AtomicU64>,
    /// Keeps the pointers above valid.
    _mappings: [Arc<Mapping>; 2],
}

// SAFETY: the pointers lead to memory that the mappings keep mapped wherever the value goes, and that
// is accessed as atomic words, or by copies that allow for concurrent writers.
unsafe impl Send for Mapped {}

impl Mapped {
    /// The ring in `sender`'s memory, which is writable here in the sender, with the receiver's words
    /// in `receiver`'s. `capacity` is a power of two.
    ///
    /// # Panics
    ///
    /// If a mapping is too short for the layout.
    pub(crate) fn new(sender: &Arc<Mapping>, receiver: &Arc<Mapping>, capacity: usize) -> Self {
        assert!(capacity.is_power_of_two(), "checked at the handshake");
        assert!(sender.len() >= layout::memory_len(capacity), "checked at the handshake");
        let at = |mapping: &Mapping, offset| {
            // SAFETY: each endpoint stores only to the words of its own side, whose mapping is
            // writable here, and only loads those of the other.
            NonNull::from(unsafe { mapping.atomic_u64_for_loads(offset) })
        };
        let ring = NonNull::new(sender.as_ptr().cast_mut()).expect("a mapping is not at 0");
        Self {
            // SAFETY: the ring begins within the mapping, as asserted above.
            ring: unsafe { ring.add(layout::RING_OFFSET) },
            capacity: capacity as u64,
            word_mask: (capacity as u64 - 1) & !7,
            head: at(receiver, layout::HEAD_OFFSET),
            sender_sleep: at(sender, layout::SENDER_SLEEP_OFFSET),
            receiver_sleep: at(receiver, layout::RECEIVER_SLEEP_OFFSET),
            _mappings: [sender.clone(), receiver.clone()],
        }
    }

    /// The address of a piece of the ring at a position that is a multiple of eight.
    ///
    /// # Panics
    ///
    /// If it is not inside the ring, rounded up to whole words.
    #[inline(always)] // the hot path
    pub(crate) fn piece(&self, position: u64, len: usize) -> NonNull<u8> {
        debug_assert!(position % 8 == 0);
        let offset = position & self.word_mask;
        // The sum does not overflow: no slice is longer than `isize::MAX`.
        assert!((len as u64 + 7) & !7 <= self.capacity - offset);
        // SAFETY: inside the ring, as asserted.
        unsafe { self.ring.add(offset as usize) }
    }

    /// The address right behind the header at a position, where a message of `len` bytes lies.
    ///
    /// # Panics
    ///
    /// If it is not inside the ring, rounded up to whole words.
    #[inline(always)] // the hot path
    fn behind(&self, header: u64, len: usize) -> NonNull<u8> {
        debug_assert!(header % 8 == 0);
        let offset = header & self.word_mask;
        // The sum does not overflow: no slice is longer than `isize::MAX`.
        assert!(offset + record_bytes(len) <= self.capacity);
        // SAFETY: inside the ring, as asserted.
        unsafe { self.ring.add((offset + HEADER_BYTES) as usize) }
    }
}

impl Memory for Mapped {
    #[inline]
    fn capacity(&self) -> u64 {
        self.capacity
    }

    #[inline(always)] // the hot path
    fn word(&self, position: u64) -> &AtomicU64 {
        debug_assert!(position % 8 == 0);
        // Reduced, not checked: whatever the position, this is a word of the ring.
        let offset = position & self.word_mask;
        // SAFETY: inside the ring.
        let word = unsafe { self.ring.add(offset as usize) };
        // SAFETY: aligned, mapped as long as `self` is, and accessed as atomic words only.
        unsafe { word.cast().as_ref() }
    }

    #[inline(always)] // the hot path
    fn fetch_for_writing(&self, position: u64) {
        fetch_for_writing(self.ring.as_ptr().wrapping_add((position & self.word_mask) as usize));
    }

    #[inline(always)] // the hot path
    fn fetch_for_reading(&self, position: u64) {
        fetch_for_reading(self.ring.as_ptr().wrapping_add((position & self.word_mask) as usize));
    }

    #[inline(always)] // the hot path
    fn write(&self, position: u64, bytes: &[u8]) {
        let target = self.piece(position, bytes.len());
        // SAFETY: whole words inside the ring, as `piece` asserts; the sender's mapping is writable.
        unsafe { copy_in(target.as_ptr(), bytes) };
    }

    #[inline(always)] // the hot path
    fn read(&self, position: u64, buffer: &mut [u8]) {
        let source = self.piece(position, buffer.len());
        // SAFETY: whole words inside the ring, as `piece` asserts.
        unsafe { copy_out(buffer, source.as_ptr()) };
    }

    #[inline(always)] // the hot path
    fn write_short(&self, header: u64, bytes: &[u8]) {
        let target = self.behind(header, bytes.len());
        // SAFETY: whole words inside the ring, as `behind` asserts; the sender's mapping is writable.
        unsafe { copy_short_in(target.as_ptr(), bytes) };
    }

    #[inline(always)] // the hot path
    fn read_short(&self, header: u64, buffer: &mut [u8]) {
        let source = self.behind(header, buffer.len());
        // SAFETY: whole words inside the ring, as `behind` asserts.
        unsafe { copy_short_out(buffer, source.as_ptr()) };
    }

    #[inline]
    fn read_in_order(&self, position: u64, buffer: &mut [u8]) {
        let source = self.piece(position, buffer.len());
        // SAFETY: whole words inside the ring, as `piece` asserts.
        unsafe { copy_out_in_order(buffer, source.as_ptr()) };
    }

    #[inline]
    fn head(&self) -> &AtomicU64 {
        // SAFETY: an aligned word of a mapping that `self` keeps.
        unsafe { self.head.as_ref() }
    }

    #[inline]
    fn sender_sleep(&self) -> &AtomicU64 {
        // SAFETY: an aligned word of a mapping that `self` keeps.
        unsafe { self.sender_sleep.as_ref() }
    }

    #[inline]
    fn receiver_sleep(&self) -> &AtomicU64 {
        // SAFETY: an aligned word of a mapping that `self` keeps.
        unsafe { self.receiver_sleep.as_ref() }
    }
}
