//! What lies where in a segment that holds a heap. Leaves out what is done with it: [`super::blocks`].
//!
//! All fields have a fixed width and the byte order of the machine. Offsets in bytes:
//!
//! ```text
//!    0  Header     magic, layout hash, length of the segment      never change after creation
//!   24  Shape      processes, names, pools, first period          never change after creation
//!   64  pools      16 × (bytes of a block, number of blocks)      never change after creation
//!  256  lock       robust futex: names, attaching, recovery       its own line
//!  384  processes  a word for each that may be attached: who it is
//!       names      link, size and hash of the type, length, name  96 bytes each
//!       entries    state, home of each block                      16 bytes each
//!       bits       one for each block, in words, pool by pool     0 if it may be free
//!       blocks     pool by pool, each pool on a page
//! ```
//!
//! Zeroed memory is a heap with nothing in it, so that pages which nobody has used need not be there.

use ipc_core::{OpenError, OpenErrorKind, Resource};

use super::blocks::{Entry, Pool};
use crate::Mapping;

/// As [`crate::layout`]'s: `"ipc-shm"` and a version.
const MAGIC: u64 = u64::from_be_bytes(*b"ipc-heap");

/// Names everything above: change the text with the layout.
const LAYOUT: ipc_core::TypeIdentity = ipc_core::TypeIdentity::of_struct(
    "heap 1: magic, hash, len u64; processes, names, pools, first period u32; 64: 16 x (block bytes, \
     blocks) u32; 256: robust futex; 384: processes u64 (start << 22 | id); names (link, size, hash u64, \
     len u32, u32, 64 bytes); entries (state = period << 32 | holder, home) u64; bits u64; blocks",
    0,
    0,
    &[],
);

const HASH_AT: usize = 8;
const LEN_AT: usize = 16;
const SHAPE_AT: usize = 24;
const POOLS_AT: usize = 64;
/// Where the lock lies.
pub(super) const LOCK_AT: usize = 256;
const PROCESSES_AT: usize = 384;

/// Sizes of blocks that a heap can have.
pub(super) const MAX_POOLS: usize = 16;
/// Blocks begin at multiples of this: a cache line. The size of each is a multiple of it.
pub(super) const BLOCK_ALIGNMENT: usize = 64;
/// Pools begin at multiples of this, so that blocks of whole pages are aligned to them.
const POOL_ALIGNMENT: usize = 4096;
/// Bytes of a name's entry.
pub(super) const NAME_LEN: usize = 96;

/// The blocks of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PoolShape {
    /// A multiple of [`BLOCK_ALIGNMENT`], at least that.
    pub(super) block_bytes: u32,
    /// At least 1.
    pub(super) blocks: u32,
}

/// How much there is of everything: checked once, and never read from the segment again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) processes: u32,
    pub(super) names: u32,
    /// In which period every block is at first.
    pub(super) first_period: u32,
    /// By size, the smallest first; at least one, at most [`MAX_POOLS`].
    pub(super) pools: Vec<PoolShape>,
}

/// Where the parts of a shape lie, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) processes_at: usize,
    pub(super) names_at: usize,
    pub(super) pools: Vec<PoolPlaces>,
    /// Of the segment.
    pub(super) len: usize,
}

/// Where the parts of a pool lie, in bytes, and which blocks of the heap are its.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PoolPlaces {
    pub(super) block_bytes: usize,
    pub(super) blocks: usize,
    pub(super) first_block: u32,
    pub(super) entries_at: usize,
    pub(super) bits_at: usize,
    pub(super) bit_words: usize,
    pub(super) blocks_at: usize,
}

impl Shape {
    /// Where everything lies; `None` if no segment has that shape.
    pub(super) fn places(&self) -> Option<Places> {
        let sizes = self.pools.iter().map(|pool| pool.block_bytes as usize);
        let possible = self.processes > 0
            && (1..=MAX_POOLS).contains(&self.pools.len())
            && sizes.clone().is_sorted_by(|a, b| a < b)
            && sizes.clone().all(|bytes| bytes > 0 && bytes % BLOCK_ALIGNMENT == 0)
            && self.pools.iter().all(|pool| pool.blocks > 0);
        if !possible {
            return None;
        }
        let mut end = PROCESSES_AT;
        let mut part = |len: Option<usize>, alignment: usize| {
            let start = end.checked_next_multiple_of(alignment)?;
            end = start.checked_add(len?).filter(|&end| end <= isize::MAX as usize)?;
            Some(start)
        };
        let times = |count: usize, bytes: usize| count.checked_mul(bytes);
        let processes_at = part(times(self.processes as usize, size_of::<u64>()), 8)?;
        let names_at = part(times(self.names as usize, NAME_LEN), 64)?;
        let mut first_block = 0_u32;
        let mut pools = Vec::with_capacity(self.pools.len());
        for pool in &self.pools {
            let blocks = pool.blocks as usize;
            let (bytes, words) = (pool.block_bytes as usize, Pool::words(blocks));
            pools.push(PoolPlaces {
                block_bytes: bytes,
                blocks,
                first_block,
                entries_at: part(times(blocks, size_of::<Entry>()), 64)?,
                bits_at: part(times(words, size_of::<u64>()), 64)?,
                bit_words: words,
                blocks_at: 0,
            });
            // The last number is not a block's, so that one more than each is a word that is not 0.
            first_block = first_block.checked_add(pool.blocks)?;
        }
        for pool in &mut pools {
            pool.blocks_at = part(times(pool.blocks, pool.block_bytes), POOL_ALIGNMENT)?;
        }
        Some(Places { processes_at, names_at, pools, len: end })
    }

    /// Makes fresh memory, all zeros, a heap of this shape. Nobody else may see it yet.
    pub(super) fn write(&self, memory: &Mapping) {
        let numbers = [self.processes, self.names, self.pools.len() as u32, self.first_period];
        let pools = self.pools.iter().flat_map(|pool| [pool.block_bytes, pool.blocks]);
        let write = |at, numbers: &mut dyn Iterator<Item = u32>| {
            let bytes: Vec<u8> = numbers.flat_map(u32::to_ne_bytes).collect();
            memory.write_at(at, &bytes);
        };
        write(SHAPE_AT, &mut numbers.into_iter());
        write(POOLS_AT, &mut pools.into_iter());
        memory.write_at(LEN_AT, &(memory.len() as u64).to_ne_bytes());
        memory.write_at(HASH_AT, &LAYOUT.hash.to_ne_bytes());
        memory.write_at(0, &MAGIC.to_ne_bytes());
    }

    /// The shape of the heap in this memory, and where everything lies, checked against its length.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::Mismatch`] if it is no heap of ours.
    pub(super) fn read(memory: &Mapping, resource: &Resource) -> Result<(Self, Places), OpenError> {
        let check = |what, expected: u64, found: u64| {
            let kind = OpenErrorKind::Mismatch { what, expected, found };
            let error = || OpenError::new("attach to", resource, kind);
            if expected == found { Ok(()) } else { Err(error()) }
        };
        if memory.len() < PROCESSES_AT {
            check("length of the segment", PROCESSES_AT as u64, memory.len() as u64)?;
        }
        let word = |at| {
            let mut bytes = [0; 8];
            memory.read_at(at, &mut bytes);
            u64::from_ne_bytes(bytes)
        };
        let number = |at| {
            let mut bytes = [0; 4];
            memory.read_at(at, &mut bytes);
            u32::from_ne_bytes(bytes)
        };
        check("magic number", MAGIC, word(0))?;
        check("layout hash", LAYOUT.hash, word(HASH_AT))?;
        check("length in the header", memory.len() as u64, word(LEN_AT))?;
        let [processes, names, pools, first_period] =
            [0, 1, 2, 3].map(|index| number(SHAPE_AT + 4 * index));
        let pools = (0..(pools as usize).min(MAX_POOLS)).map(|index| {
            let at = POOLS_AT + 8 * index;
            PoolShape { block_bytes: number(at), blocks: number(at + 4) }
        });
        let shape = Self { processes, names, first_period, pools: pools.collect() };
        let places = shape.places();
        let len = places.as_ref().map_or(u64::MAX, |places| places.len as u64);
        check("length by the numbers of blocks", memory.len() as u64, len)?;
        Ok((shape, places.expect("it has a length")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(pools: &[(u32, u32)]) -> Shape {
        let pools = pools.iter().map(|&(block_bytes, blocks)| PoolShape { block_bytes, blocks });
        Shape { processes: 3, names: 2, first_period: 7, pools: pools.collect() }
    }

    #[test]
    fn the_parts_follow_each_other_and_do_not_overlap() {
        let places = shape(&[(64, 65), (8192, 2)]).places().expect("possible");
        assert_eq!((places.processes_at, places.names_at), (384, 448));
        let [small, large] = places.pools[..] else { panic!("two pools") };
        assert_eq!((small.entries_at, small.bits_at, small.bit_words), (640, 640 + 1088, 2));
        assert_eq!((large.entries_at, large.first_block), (1792, 65));
        assert_eq!((small.blocks_at, large.blocks_at), (4096, 4096 + 8192));
        assert_eq!(places.len, 4096 + 8192 + 2 * 8192);
    }

    #[test]
    fn shapes_that_no_memory_has_have_no_places() {
        let impossible: [&[(u32, u32)]; 6] = [
            &[],
            &[(0, 1)],
            &[(65, 1)],
            &[(64, 0)],
            &[(128, 1), (64, 1)],
            &[(64, u32::MAX), (128, u32::MAX)],
        ];
        for pools in impossible {
            assert_eq!(shape(pools).places(), None, "{pools:?}");
        }
        assert_eq!(shape(&[(1 << 31, 1 << 31)]).places().map(|it| it.len > 1 << 62), Some(true));
        assert_eq!(Shape { processes: 0, ..shape(&[(64, 1)]) }.places(), None);
    }
}
