//! The algorithm of the snapshot cell: which slot is written and which is read, and how a reader knows
//! that its copy is whole. Leaves out the bytes and where they lie, so that loom checks the very code
//! that ships.
//!
//! # The algorithm
//!
//! Version `v` of the value lies in slot `v % SLOTS`. One word holds the latest version. The writer
//! fills the slot of the next one, in which nothing is valid any more, and then stores its number, the
//! **commit**. A reader loads the number, copies the slot, and loads the number again. Its slot is next
//! filled for version `v + SLOTS`, and that begins only after `v + SLOTS - 1` was committed: so the
//! copy is whole if the number is at most `v + SLOTS - 2` by then.
//!
//! The writer stores two things, in a fixed order, and waits for nobody. Killed anywhere, it has committed
//! or has not; the half-filled slot is not one that anybody reads, and the next writer fills it anew.
//! Readers store nothing: read-only memory is enough, any number of them cost the writer nothing
//! but the cache lines, and their deaths concern nobody.
//!
//! # What it was compared with
//!
//! | instead | why not |
//! |---|---|
//! | one slot (the plain sequence lock) | a writer that is killed inside leaves no whole value; one that is stopped keeps all readers waiting |
//! | two slots | a reader must begin anew whenever one value is committed while it copies: four attempts of five, at 64 bytes, if the writer does nothing but write |
//! | three slots | one attempt of six there, with four slots one of nine; and the numbering breaks where the version wraps around |
//! | two slots and a count of readers in each (left-right, as `mmap-sync` has it) | readers must be able to write, so a hostile or a killed one holds the writer up: the count of a dead reader never falls |
//! | a slot for each reader (Peterson 1983, Larsson 2009: also readers never begin anew) | as above: readers announce themselves, and their number has a bound |
//!
//! The measurements are in `benches/record/2026-11-28-snapshot-cell.md`.

use ipc_core::sync::{AtomicU64, Ordering, fence};

/// How many values lie beside each other. A power of two, so that versions may wrap around.
pub(crate) const SLOTS: usize = 4;
const _: () = assert!(SLOTS.is_power_of_two() && SLOTS >= 2);

/// The word that says which value is the latest.
#[repr(transparent)]
pub(crate) struct Sequence {
    /// Version of the latest value; 0 if there never was one.
    published: AtomicU64,
}

impl Sequence {
    pub(crate) fn new() -> Self {
        Self { published: AtomicU64::new(0) }
    }

    /// The latest version. It may be stale on return.
    pub(crate) fn version(&self) -> u64 {
        // Acquire pairs with the Release in `publish`: a new writer goes on after its predecessor.
        self.published.load(Ordering::Acquire)
    }

    /// Lets `fill` write to the slot whose index it gets, and commits it as `version`: one more than
    /// the last one. One writer at a time.
    #[inline]
    pub(crate) fn publish(&self, version: u64, fill: impl FnOnce(usize)) {
        // Who sees a byte that `fill` stores must also see that the version before this one was
        // committed, and so that its copy of an old value is torn. Pairs with the fence in `try_read`;
        // without it the model `a_reader_never_sees_a_torn_value` fails.
        fence(Ordering::Release);
        fill(slot_of(version));
        // Release pairs with the Acquire in `try_read`: who sees the number sees the bytes.
        self.published.store(version, Ordering::Release);
    }

    /// Lets `copy` read the slot whose index it gets; its version and what `copy` made of it, unless
    /// the writer may have been there meanwhile. Version 0 is zeros that nobody has published.
    #[inline]
    pub(crate) fn try_read<R>(&self, copy: impl FnOnce(usize) -> R) -> Option<(u64, R)> {
        // Acquire pairs with the Release in `publish`.
        let version = self.published.load(Ordering::Acquire);
        let result = copy(slot_of(version));
        // Pairs with the fence in `publish`.
        fence(Ordering::Acquire);
        // Relaxed: the fence has ordered it after the copy.
        let now = self.published.load(Ordering::Relaxed);
        (now.wrapping_sub(version) <= SLOTS as u64 - 2).then_some((version, result))
    }
}

/// Always within the slots, whatever a peer has written.
fn slot_of(version: u64) -> usize {
    (version % SLOTS as u64) as usize
}
