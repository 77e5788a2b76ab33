//! Models of the heap's blocks, with every outcome listed.

use ipc_core::sync::{AtomicU64, Ordering, thread};
use loom::sync::Arc;

use super::outcomes::Outcomes;
use super::{Watched, model};
use crate::heap::{Entry, Holder, Pool, State};

/// A heap of a few blocks, each of which holds a number, and a link.
struct Heap {
    entries: Vec<Entry>,
    bits: Vec<AtomicU64>,
    blocks: Vec<Watched>,
    link: AtomicU64,
}

/// Offset of the link.
const HOME: u64 = 4096;

impl Heap {
    fn new(blocks: usize) -> Arc<Self> {
        Arc::new(Self {
            entries: (0..blocks).map(|_| Entry::new()).collect(),
            bits: vec![AtomicU64::new(0)],
            blocks: (0..blocks).map(|_| Watched::new(0)).collect(),
            link: AtomicU64::new(0),
        })
    }

    fn pool(&self) -> Pool<'_> {
        Pool { entries: &self.entries, bits: &self.bits }
    }

    fn link(&self, offset: u64) -> Option<&AtomicU64> {
        (offset == HOME).then_some(&self.link)
    }

    /// Claims a block, which nobody else may touch then, and writes to it.
    fn claim(&self, place: u32, number: u32) -> Option<(usize, State)> {
        let (index, state) = self.pool().claim(place, 0)?;
        self.blocks[index].set(number);
        Some((index, state))
    }

    /// Hangs a new block in the link.
    fn keep(&self, place: u32, number: u32) -> bool {
        let (index, state) = self.claim(place, number).expect("a block");
        let bits = handle_bits(index, state.period());
        let kept = self.entries[index].keep(state, HOME, &self.link, bits).is_ok();
        if !kept {
            assert!(self.pool().free(index, state));
        }
        kept
    }

    /// Takes what hangs in the link, and frees it; the number in it.
    fn take(&self, place: u32) -> Option<u32> {
        let bits = self.link.load(Ordering::Acquire);
        let index = (bits as u32).checked_sub(1)? as usize;
        let period = (bits >> 32) as u32;
        let state = self.entries[index].take(period, place, bits, |offset| self.link(offset))?;
        let number = self.blocks[index].get();
        assert!(self.pool().free(index, state));
        Some(number)
    }

    /// What is left to the living of what those at the places of `dead` had.
    fn recover(&self, dead: &[u32]) -> usize {
        let recover = |&index: &usize| {
            let is_dead = |place| dead.contains(&place);
            let handle_bits = |period| handle_bits(index, period);
            self.pool().recover(index, is_dead, handle_bits, |offset| self.link(offset))
        };
        (0..self.entries.len()).filter(recover).count()
    }

    /// Nobody has any block, nothing hangs in the link, and all blocks can be claimed.
    fn assert_empty(&self) {
        assert_eq!(self.link.load(Ordering::Relaxed), 0);
        let claimed = std::iter::from_fn(|| self.claim(9, 9));
        assert_eq!(claimed.count(), self.entries.len());
    }
}

fn handle_bits(index: usize, period: u32) -> u64 {
    u64::from(period) << 32 | (index as u64 + 1)
}

fn spawn<T: 'static>(
    heap: &Arc<Heap>,
    run: impl FnOnce(&Heap) -> T + 'static,
) -> thread::JoinHandle<T> {
    let heap = heap.clone();
    thread::spawn(move || run(&heap))
}

/// Two processes allocate and free the only block: loom would see both in its bytes.
#[test]
fn a_block_is_one_processs_at_a_time() {
    let outcomes = Outcomes::default();
    let seen = outcomes.clone();
    model(4, move || {
        let heap = Heap::new(1);
        let use_one = |place| {
            move |heap: &Heap| {
                let claimed = heap.claim(place, place);
                if let Some((index, state)) = claimed {
                    assert!(heap.pool().free(index, state));
                    assert!(!heap.pool().free(index, state), "freed twice");
                }
                claimed.is_some()
            }
        };
        let other = spawn(&heap, use_one(1));
        let mine = use_one(2)(&heap);
        outcomes.add((mine, other.join().expect("no panic")));
        heap.assert_empty();
    });
    // One at least.
    assert_eq!(seen.all(), [(false, true), (true, false), (true, true)].into());
}

/// One hangs an object in the link, two try to take it: one of them gets it, or none yet.
#[test]
fn what_is_kept_is_taken_once_and_whole() {
    let outcomes = Outcomes::default();
    let seen = outcomes.clone();
    model(3, move || {
        let heap = Heap::new(1);
        let keeper = spawn(&heap, |heap| assert!(heap.keep(1, 77)));
        let taker = spawn(&heap, |heap| heap.take(2));
        let taken = (heap.take(3), taker.join().expect("no panic"));
        keeper.join().expect("no panic");
        let rest = heap.take(3);
        assert_eq!([taken.0, taken.1, rest].into_iter().flatten().collect::<Vec<_>>(), [77]);
        outcomes.add(taken);
        heap.assert_empty();
    });
    assert_eq!(seen.all(), [(None, None), (None, Some(77)), (Some(77), None)].into());
}

/// Two hang an object each in one link: one of them does.
#[test]
fn a_link_holds_one_object() {
    let outcomes = Outcomes::default();
    let seen = outcomes.clone();
    model(3, move || {
        let heap = Heap::new(2);
        let other = spawn(&heap, |heap| heap.keep(1, 11));
        let mine = heap.keep(2, 22);
        let kept = (mine, other.join().expect("no panic"));
        assert_eq!(heap.take(3), Some(if mine { 22 } else { 11 }));
        outcomes.add(kept);
        heap.assert_empty();
    });
    assert_eq!(seen.all(), [(true, false), (false, true)].into());
}

/// A recovery finds a living process at any point of keeping and taking, and harms nothing; what hangs in a
/// link is never an orphan in between.
#[test]
fn a_recovery_takes_nothing_from_the_living() {
    model(3, || {
        let heap = Heap::new(1);
        let living = spawn(&heap, |heap| {
            assert!(heap.keep(1, 77));
            assert_eq!(heap.take(1), Some(77));
        });
        assert_eq!(heap.recover(&[0]), 0, "nobody is dead");
        living.join().expect("no panic");
        heap.assert_empty();
    });
}

/// A process dies with what it was about to keep, before each of its stores, while another recovers it and a
/// third looks for what hangs there.
#[test]
fn what_a_dead_process_was_about_to_keep_is_whole_or_free() {
    for stores in 0..=3 {
        let outcomes = Outcomes::default();
        let seen = outcomes.clone();
        model(3, move || {
            let heap = Heap::new(1);
            let (index, state) = heap.claim(1, 77).expect("a block");
            let bits = handle_bits(index, state.period());
            heap.entries[index].keep_partly(state, HOME, &heap.link, bits, stores);
            let taker = spawn(&heap, |heap| heap.take(2));
            let freed = heap.recover(&[1]);
            let taken = taker.join().expect("no panic");
            outcomes.add((taken, freed));
            heap.assert_empty();
        });
        let expected = if stores == 3 { (Some(77), 0) } else { (None, 1) };
        assert_eq!(seen.all(), [expected].into(), "{stores} stores");
    }
}

/// A process dies having taken an object, and not yet emptied the link.
#[test]
fn what_a_dead_process_has_taken_is_freed_and_the_link_empty() {
    model(3, || {
        let heap = Heap::new(1);
        assert!(heap.keep(1, 77));
        let bits = heap.link.load(Ordering::Relaxed);
        let state = heap.entries[0].take((bits >> 32) as u32, 1, bits, |_| None);
        assert_eq!(state.map(State::holder), Some(Holder::Process(1)));
        let taker = spawn(&heap, |heap| heap.take(2));
        assert_eq!(heap.recover(&[1]), 1);
        assert_eq!(taker.join().expect("no panic"), None);
        heap.assert_empty();
    });
}

/// Killed between setting the bit and claiming: the block is hidden until a recovery.
#[test]
fn a_hidden_block_is_shown_again() {
    model(3, || {
        let heap = Heap::new(1);
        heap.bits[0].store(1, Ordering::Relaxed);
        let other = spawn(&heap, |heap| {
            if let Some((index, state)) = heap.claim(2, 1) {
                assert!(heap.pool().free(index, state));
            }
        });
        assert_eq!(heap.recover(&[1]), 0);
        other.join().expect("no panic");
        heap.assert_empty();
    });
}
