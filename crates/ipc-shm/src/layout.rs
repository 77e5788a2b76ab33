//! What lies where in a segment that holds a bounded buffer. Leaves out what is done with it: see
//! [`crate::buffer`].
//!
//! All fields have a fixed width and the byte order of the machine. Offsets in bytes:
//!
//! ```text
//!    0  Header     magic, layout hash, length of the segment    never change after creation
//!   24  Shape      number of slots, bytes per slot              never change after creation
//!  128  Control    mutex, in, out                               under the mutex
//!  256  full       semaphore: messages to take                  its own line: receivers look at it
//!  384  empty      semaphore: free slots                        its own line: senders look at it
//!  512  slot 0     length (4 bytes), unused (4), message
//!  512 + stride    slot 1
//!       …
//! ```
//!
//! The stride is 8 + the bytes per slot, rounded up to a multiple of 64.

use ipc_core::{OpenError, OpenErrorKind, Resource};

use crate::Mapping;
use crate::buffer::Control;

/// The first eight bytes: `"ipc-shm"` and a version, as a machine of this byte order reads them. One
/// of the other byte order, or a file of something else, does not match.
const MAGIC: u64 = u64::from_be_bytes(*b"ipc-shm\x01");

/// Names everything above. Two programs with the same hash agree on the layout, whatever compiler
/// built them: change the text with the layout.
const BUFFER_HASH: u64 = fnv1a(
    b"bounded buffer 1: magic u64, hash u64, len u64, slots u32, slot bytes u32; 128: robust futex, \
      8: in u64, out u64; 256: full, 384: empty (count << 1 | sleepers) u32; 512: slots of \
      (length u32, u32, bytes) at multiples of 64",
);

const MAGIC_AT: usize = 0;
const HASH_AT: usize = 8;
const LEN_AT: usize = 16;
const SLOTS_AT: usize = 24;
const SLOT_BYTES_AT: usize = 28;
/// Where [`Control`] lies.
pub(crate) const CONTROL_AT: usize = 128;
const FIRST_SLOT_AT: usize = 512;

/// Bytes of a slot before its message.
const SLOT_HEADER_LEN: usize = 8;
/// Slots begin at multiples of this: a cache line.
const SLOT_ALIGNMENT: usize = 64;

#[cfg(not(ipc_loom))]
const _: () = {
    assert!(size_of::<Control>() == FIRST_SLOT_AT - CONTROL_AT);
    assert!(CONTROL_AT % align_of::<Control>() == 0);
    assert!(FIRST_SLOT_AT % SLOT_ALIGNMENT == 0);
};

/// How many slots of which size: checked once, and never read from the segment again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// At least 1.
    pub(crate) slots: u32,
    /// Bytes of the longest message.
    pub(crate) slot_bytes: u32,
}

impl Shape {
    /// Length of the segment in bytes; `None` if no segment is that long.
    pub(crate) fn segment_len(self) -> Option<usize> {
        if self.slots == 0 {
            return None;
        }
        let slots = self.stride().checked_mul(self.slots as usize)?;
        slots.checked_add(FIRST_SLOT_AT).filter(|&len| len <= isize::MAX as usize)
    }

    /// Where the length of the message in a slot lies, and where its bytes begin.
    pub(crate) fn slot(self, index: u64) -> (usize, usize) {
        let start = FIRST_SLOT_AT + self.stride() * (index % u64::from(self.slots)) as usize;
        (start, start + SLOT_HEADER_LEN)
    }

    fn stride(self) -> usize {
        (SLOT_HEADER_LEN + self.slot_bytes as usize).next_multiple_of(SLOT_ALIGNMENT)
    }

    /// Makes fresh memory, all zeros, a buffer of this shape. Nobody else may see it yet.
    pub(crate) fn write(self, memory: &Mapping) {
        memory.write_at(SLOTS_AT, &self.slots.to_ne_bytes());
        memory.write_at(SLOT_BYTES_AT, &self.slot_bytes.to_ne_bytes());
        memory.write_at(LEN_AT, &(memory.len() as u64).to_ne_bytes());
        memory.write_at(HASH_AT, &BUFFER_HASH.to_ne_bytes());
        memory.write_at(MAGIC_AT, &MAGIC.to_ne_bytes());
    }

    /// The shape of the buffer in this memory, checked against its length.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::Mismatch`] if it is no buffer of ours.
    pub(crate) fn read(memory: &Mapping, resource: &Resource) -> Result<Self, OpenError> {
        let check = |what, expected: u64, found: u64| {
            let kind = OpenErrorKind::Mismatch { what, expected, found };
            let error = || OpenError::new("attach to", resource, kind);
            if expected == found { Ok(()) } else { Err(error()) }
        };
        if memory.len() < FIRST_SLOT_AT {
            check("length of the segment", FIRST_SLOT_AT as u64, memory.len() as u64)?;
        }
        check("magic number", MAGIC, read_u64(memory, MAGIC_AT))?;
        check("layout hash", BUFFER_HASH, read_u64(memory, HASH_AT))?;
        check("length in the header", memory.len() as u64, read_u64(memory, LEN_AT))?;
        let slots = read_u32(memory, SLOTS_AT);
        let slot_bytes = read_u32(memory, SLOT_BYTES_AT);
        let shape = Self { slots, slot_bytes };
        let len = shape.segment_len().map_or(u64::MAX, |len| len as u64);
        check("length by slots and bytes", memory.len() as u64, len)?;
        Ok(shape)
    }
}

/// Four bytes at an offset, read once.
pub(crate) fn read_u32(memory: &Mapping, offset: usize) -> u32 {
    let mut bytes = [0; 4];
    memory.read_at(offset, &mut bytes);
    u32::from_ne_bytes(bytes)
}

fn read_u64(memory: &Mapping, offset: usize) -> u64 {
    let mut bytes = [0; 8];
    memory.read_at(offset, &mut bytes);
    u64::from_ne_bytes(bytes)
}

/// The hash FNV-1a: the same in every program and on every machine.
const fn fnv1a(text: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut index = 0;
    while index < text.len() {
        hash = (hash ^ text[index] as u64).wrapping_mul(0x0100_0000_01b3);
        index += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_that_no_memory_holds_have_no_length() {
        let len = |slots, slot_bytes| Shape { slots, slot_bytes }.segment_len();
        assert_eq!(len(1, 0), Some(512 + 64));
        assert_eq!(len(3, 56), Some(512 + 3 * 64));
        assert_eq!(len(3, 57), Some(512 + 3 * 128));
        assert_eq!(len(0, 8), None);
        assert_eq!(len(u32::MAX, u32::MAX), None);
    }

    #[test]
    fn the_hash_is_that_of_the_published_algorithm() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
