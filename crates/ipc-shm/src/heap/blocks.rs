//! The algorithm of the heap: whose each block is, and how it passes from one to the other so that a kill
//! at any instruction leaves it with somebody. Leaves out the bytes and where they lie, so that loom
//! checks the very code that ships.
//!
//! # Whose a block is
//!
//! One word per block says it: free, a process's, or **kept**, which means that it hangs in a link; and a
//! count, the **period**, which begins anew whenever the block becomes another's to use. Every change is one
//! exchange of this word, from exactly what it was, so that two can never have one block, nor
//! can one be freed twice; and whoever is killed has made the change or has not.
//!
//! ```text
//!            claim                 keep
//!   free ──────────▶ process's ──────────▶ kept
//!     ◀──────────────   ◀──────────────────
//!      free (period+1)       take (period+1)
//! ```
//!
//! Beside it stands the block's **home**: the offset of the link in which it hangs. Keeping it is
//! three stores: home; the link, if it is empty; the block's word, the **commit**. Taking it is two: the
//! block's word, the commit; the link. So a link that names a block which is not kept (or is in another
//! period) says nothing, and there is never a kept block whose link does not name it, but for one case: its
//! link lay in an object that is gone.
//!
//! # What the dead leave
//!
//! - A block that is a dead process's: its link is emptied, should it have come that far, and it is freed.
//! - A kept block whose link does not name it: an orphan. It is freed.
//! - A bit that says "taken" of a free block.
//!
//! The **bits**, one per block, only say where to look for a free one: set, before a block is claimed;
//! cleared, after it was freed. Nothing depends on them but speed, and finding the last free block.

use ipc_core::sync::{AtomicU64, Ordering};

/// Whose a block is, and since when: the word of its [`Entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State(u64);

/// Who has a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Nobody,
    /// An attached process, by its place in the table of those.
    Process(u32),
    /// A link.
    Link,
}

impl State {
    const LINK: u32 = u32::MAX;

    pub(crate) fn new(period: u32, holder: Holder) -> Self {
        let holder = match holder {
            Holder::Nobody => 0,
            Holder::Process(place) => place + 1,
            Holder::Link => Self::LINK,
        };
        Self(u64::from(period) << 32 | u64::from(holder))
    }

    pub(crate) fn period(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) fn holder(self) -> Holder {
        match self.0 as u32 {
            0 => Holder::Nobody,
            Self::LINK => Holder::Link,
            place => Holder::Process(place - 1),
        }
    }
}

/// What is known of a block.
#[repr(C)]
pub(crate) struct Entry {
    state: AtomicU64,
    /// Offset in bytes of the link in which it hangs; of no meaning while it is free.
    home: AtomicU64,
}

impl Entry {
    #[cfg(ipc_loom)]
    pub(crate) fn new() -> Self {
        Self { state: AtomicU64::new(0), home: AtomicU64::new(0) }
    }

    pub(crate) fn state(&self) -> State {
        // Acquire pairs with the Release in `change`: who sees that a block is kept sees its bytes.
        State(self.state.load(Ordering::Acquire))
    }

    pub(crate) fn home(&self) -> u64 {
        // Relaxed: `state` was looked at before, or is exchanged after, and orders it.
        self.home.load(Ordering::Relaxed)
    }

    /// Passes the block on if it is exactly `from`; whether it was.
    fn change(&self, from: State, to: State) -> bool {
        // Acquire and Release pair with those of the exchange before and after: what one holder does to
        // the bytes is over when the next one begins. They also keep the stores of this file in their
        // order, for the sake of those who look after a kill.
        self.state.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Hangs a block of a process's in the link `word` at offset `home`.
    pub(crate) fn keep(
        &self,
        held: State,
        home: u64,
        word: &AtomicU64,
        handle_bits: u64,
    ) -> Result<(), Refused> {
        self.home.store(home, Ordering::Relaxed); // the exchange publishes it
        // Release pairs with the Acquire in `Link::load`.
        let linked = word.compare_exchange(0, handle_bits, Ordering::AcqRel, Ordering::Relaxed);
        if linked.is_err() {
            return Err(Refused::Occupied);
        }
        if self.change(held, State::new(held.period(), Holder::Link)) {
            return Ok(());
        }
        Err(Refused::NotHeld)
    }

    /// The first `stores` stores of [`keep`](Self::keep), after which the process dies.
    #[cfg(ipc_loom)]
    pub(crate) fn keep_partly(
        &self,
        held: State,
        home: u64,
        word: &AtomicU64,
        handle_bits: u64,
        stores: u32,
    ) {
        match stores {
            0 => {}
            1 => self.home.store(home, Ordering::Relaxed),
            2 => {
                self.home.store(home, Ordering::Relaxed);
                word.store(handle_bits, Ordering::Release);
            }
            _ => self.keep(held, home, word, handle_bits).expect("nothing hangs there"),
        }
    }

    /// Takes a kept block for a process, and empties its link, which `link` finds by its offset.
    pub(crate) fn take<'a>(
        &self,
        period: u32,
        place: u32,
        handle_bits: u64,
        link: impl FnOnce(u64) -> Option<&'a AtomicU64>,
    ) -> Option<State> {
        let kept = State::new(period, Holder::Link);
        let mine = State::new(period.wrapping_add(1), Holder::Process(place));
        // Loaded before the exchange, which confirms it: from then on it is ours alone to change.
        if self.state() != kept || !self.change(kept, mine) {
            return None;
        }
        if let Some(word) = link(self.home()) {
            empty(word, handle_bits);
        }
        Some(mine)
    }
}

/// Empties a link that names this handle.
fn empty(word: &AtomicU64, handle_bits: u64) {
    // Release keeps it after the exchange of the block's word; Relaxed otherwise: another handle, or
    // garbage, is left alone.
    let _ = word.compare_exchange(handle_bits, 0, Ordering::AcqRel, Ordering::Relaxed);
}

/// Why a block was not hung in a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Something hangs there.
    Occupied,
    /// The block was not the process's: somebody wrote garbage.
    NotHeld,
}

/// The blocks of one size.
#[derive(Clone, Copy)]
pub(crate) struct Pool<'a> {
    pub(crate) entries: &'a [Entry],
    /// One bit per entry.
    pub(crate) bits: &'a [AtomicU64],
}

const WORD_BITS: usize = 64;

impl Pool<'_> {
    /// Words of bits for so many blocks.
    pub(crate) const fn words(blocks: usize) -> usize {
        blocks.div_ceil(WORD_BITS)
    }

    /// Finds a free block and makes it the process's at `place`; its index and state. Looks at the word
    /// `start` of the bits first.
    pub(crate) fn claim(&self, place: u32, start: usize) -> Option<(usize, State)> {
        let words = self.bits.len();
        let start = if start < words { start } else { 0 };
        (start..words).chain(0..start).find_map(|word| self.claim_in(word, place))
    }

    fn claim_in(&self, word: usize, place: u32) -> Option<(usize, State)> {
        let blocks = (self.entries.len() - word * WORD_BITS).min(WORD_BITS);
        let all = u64::MAX >> (WORD_BITS - blocks);
        // Each attempt sets one bit, or finds that another process has just done so: a peer that clears
        // bits again and again cannot keep us here.
        for _ in 0..WORD_BITS {
            let free = !self.bits[word].load(Ordering::Relaxed) & all; // the next instruction looks again
            if free == 0 {
                return None;
            }
            let bit = free.trailing_zeros() as usize;
            // Acquire pairs with the Release in `show`: who finds the bit cleared finds the block free. (Else
            // it would stay hidden: the model `a_block_is_one_processs_at_a_time` fails.)
            let before = self.bits[word].fetch_or(1 << bit, Ordering::Acquire);
            let index = word * WORD_BITS + bit;
            let state = self.entries[index].state();
            let mine = State::new(state.period(), Holder::Process(place));
            let is_free = before & (1 << bit) == 0 && state.holder() == Holder::Nobody;
            if is_free && self.entries[index].change(state, mine) {
                return Some((index, mine));
            }
        }
        None
    }

    /// Frees a block that is exactly `held`; whether it was.
    pub(crate) fn free(&self, index: usize, held: State) -> bool {
        let free = State::new(held.period().wrapping_add(1), Holder::Nobody);
        let freed = self.entries[index].change(held, free);
        if freed {
            self.show(index);
        }
        freed
    }

    /// Says in the bits that a block may be free.
    fn show(&self, index: usize) {
        let bit = 1 << (index % WORD_BITS);
        // Release pairs with the Acquire in `claim_in`.
        self.bits[index / WORD_BITS].fetch_and(!bit, Ordering::Release);
    }

    /// Frees the block if it is a dead process's or an orphan, and shows it if it is free and hidden; whether
    /// it freed it. `link` finds the link at an offset, unless it lies in a free block or none.
    ///
    /// One process at a time does this, for those whom the kernel has told to be dead.
    pub(crate) fn recover<'a>(
        &self,
        index: usize,
        is_dead: impl Fn(u32) -> bool,
        handle_bits: impl Fn(u32) -> u64,
        link: impl FnOnce(u64) -> Option<&'a AtomicU64>,
    ) -> bool {
        let entry = &self.entries[index];
        let state = entry.state();
        let bits = handle_bits(state.period());
        match state.holder() {
            Holder::Nobody => {
                let bit = 1 << (index % WORD_BITS);
                if self.bits[index / WORD_BITS].load(Ordering::Relaxed) & bit != 0 {
                    self.show(index);
                }
                false
            }
            Holder::Process(place) if is_dead(place) => {
                // It may have been about to keep it, or to take it. (The first has this period in the link,
                // the second the one before.)
                if let Some(word) = link(entry.home()) {
                    empty(word, bits);
                    empty(word, handle_bits(state.period().wrapping_sub(1)));
                }
                self.free(index, state)
            }
            Holder::Process(_) => false,
            Holder::Link => {
                // Acquire pairs with the Release of whoever put it there.
                let names_us = |word: &AtomicU64| word.load(Ordering::Acquire) == bits;
                !link(entry.home()).is_some_and(names_us) && self.free(index, state)
            }
        }
    }
}
