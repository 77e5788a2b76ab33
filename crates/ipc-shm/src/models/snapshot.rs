//! Models of the snapshot cell and of its bell, with every outcome listed.

use std::collections::BTreeSet;

use ipc_core::sync::{AtomicU64, Ordering, thread};
use loom::sync::Arc;

use super::outcomes::Outcomes;
use super::{PARK, model};
use crate::snapshot::{Bell, SLOTS, Sequence};

/// A cell whose values are two words. Value `v` is `(v, 10 v)`.
struct Cell {
    sequence: Sequence,
    slots: [[AtomicU64; 2]; SLOTS],
}

impl Cell {
    fn new() -> Self {
        let word = || AtomicU64::new(0);
        let slots = std::array::from_fn(|_| [word(), word()]);
        Self { sequence: Sequence::new(), slots }
    }

    fn publish(&self, version: u64) {
        self.sequence.publish(version, |slot| self.fill(slot, version, 2));
    }

    /// The first `words` words of value `version`, as copies are: relaxed.
    fn fill(&self, slot: usize, version: u64, words: usize) {
        for (word, value) in self.slots[slot].iter().zip([version, 10 * version]).take(words) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// One attempt to read.
    fn try_read(&self) -> Option<u64> {
        let read = self.sequence.try_read(|slot| {
            let [first, second] = &self.slots[slot];
            (first.load(Ordering::Relaxed), second.load(Ordering::Relaxed))
        });
        read.map(|(version, value)| {
            assert_eq!(value, (version, 10 * version), "torn, or another version's");
            version
        })
    }
}

/// What a reader gets, in one attempt, of a cell that has its first value, while others are published up to
/// version `last`.
fn attempts_while_published_up_to(last: u64) -> BTreeSet<Option<u64>> {
    let outcomes = Outcomes::default();
    let seen = outcomes.clone();
    model(4, move || {
        let cell = Arc::new(Cell::new());
        cell.publish(1);
        let writer = thread::spawn({
            let cell = cell.clone();
            move || (2..=last).for_each(|version| cell.publish(version))
        });
        outcomes.add(cell.try_read());
        writer.join().expect("no panic");
        assert_eq!(cell.try_read(), Some(last), "the last one, once all is quiet");
    });
    seen.all()
}

/// The writer goes once around the slots and on to the one that was read first.
#[test]
fn a_reader_never_sees_a_torn_value() {
    let last = SLOTS as u64 + 1;
    // Every version, and the overtaken reader.
    let expected: BTreeSet<_> = (1..=last).map(Some).chain([None]).collect();
    assert_eq!(attempts_while_published_up_to(last), expected);
}

/// A reader that is overtaken by fewer values than there are slots keeps its copy.
#[test]
fn a_reader_need_not_begin_anew_for_two_values() {
    assert_eq!(attempts_while_published_up_to(3), BTreeSet::from([Some(1), Some(2), Some(3)]));
}

/// The first writer dies with one word of the next value written, another takes over.
#[test]
fn a_reader_sees_whole_values_while_a_dead_writer_is_replaced() {
    let outcomes = Outcomes::default();
    let seen = outcomes.clone();
    model(3, move || {
        let cell = Arc::new(Cell::new());
        cell.publish(1);
        let dies = thread::spawn({
            let cell = cell.clone();
            move || {
                ipc_core::sync::fence(Ordering::Release);
                cell.fill(2 % SLOTS, 77, 1);
            }
        });
        let reader = thread::spawn({
            let cell = cell.clone();
            move || cell.try_read()
        });
        dies.join().expect("no panic"); // as the kernel tells
        let version = cell.sequence.version();
        (version + 1..=version + SLOTS as u64).for_each(|version| cell.publish(version));
        outcomes.add(reader.join().expect("no panic"));
        assert_eq!(cell.try_read(), Some(SLOTS as u64 + 1));
    });
    let expected: BTreeSet<_> = (1..=SLOTS as u64 + 1).map(Some).chain([None]).collect();
    assert_eq!(seen.all(), expected);
}

#[test]
fn who_waits_for_a_change_is_woken() {
    model(4, || {
        let shared = Arc::new((AtomicU64::new(0), Bell::new()));
        let waiters = [(); 2].map(|()| {
            let shared = shared.clone();
            thread::spawn(move || {
                let has_changed = || shared.0.load(Ordering::Acquire) == 1;
                assert!(
                    shared.1.wait(PARK.strategy, PARK.deadline, has_changed).expect("no error")
                );
            })
        });
        shared.0.store(1, Ordering::Release);
        shared.1.ring().expect("no error");
        for waiter in waiters {
            waiter.join().expect("no panic");
        }
    });
}

/// One who waits again after each of two changes misses none.
#[test]
fn each_of_two_changes_wakes() {
    model(4, || {
        let shared = Arc::new((AtomicU64::new(0), Bell::new()));
        let waiter = thread::spawn({
            let shared = shared.clone();
            move || {
                for change in 1..=2 {
                    let has_changed = || shared.0.load(Ordering::Acquire) >= change;
                    assert!(
                        shared.1.wait(PARK.strategy, PARK.deadline, has_changed).expect("no error")
                    );
                }
            }
        });
        for change in 1..=2 {
            shared.0.store(change, Ordering::Release);
            shared.1.ring().expect("no error");
        }
        waiter.join().expect("no panic");
    });
}
