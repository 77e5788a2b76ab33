//! Loom's models of the semaphore, of the lock, and of the buffer with a process killed at every step.
//!
//! Run by `cargo xtask loom ipc-shm`. A model with a sleeper that nobody wakes is a deadlock, which
//! loom reports.

// The cells of loom hand out raw pointers. Whether each use of one is sound is what the models ask, and
// loom answers: it fails a model in which two threads may be at one cell together.
#![allow(unsafe_code, clippy::undocumented_unsafe_blocks)]

mod heap;
mod outcomes;
mod snapshot;

use ipc_core::sync::thread;
use ipc_core::{Deadline, WaitStrategy};
use loom::cell::UnsafeCell;
use loom::sync::Arc;

use crate::buffer::{Control, Refusal};
use crate::death;
use crate::robust_list::set_thread_id;
use crate::robust_lock::{Found, RobustLock};
use crate::semaphore::Semaphore;
use crate::spin::Patience;

const PARK: Patience = Patience { deadline: Deadline::Never, strategy: WaitStrategy::Park };

/// Runs a model with at most `preemptions` unforced switches of threads, unless the environment says
/// otherwise.
fn model(preemptions: usize, test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(test);
}

#[test]
fn a_release_wakes_the_sleeper_and_publishes_what_came_before() {
    model(5, || {
        let shared = Arc::new((Semaphore::new(0), UnsafeCell::new(0)));
        let releaser = thread::spawn({
            let shared = shared.clone();
            move || {
                shared.1.with_mut(|data| unsafe { *data = 7 });
                shared.0.release().expect("far from the highest count");
            }
        });
        assert!(shared.0.acquire(PARK.strategy, PARK.deadline).expect("no error"));
        shared.1.with(|data| assert_eq!(unsafe { *data }, 7));
        releaser.join().expect("no panic");
        assert_eq!(shared.0.count(), 0);
    });
}

#[test]
fn two_releases_wake_two_sleepers() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(0));
        let acquire = |semaphore: Arc<Semaphore>| {
            move || assert!(semaphore.acquire(PARK.strategy, PARK.deadline).expect("no error"))
        };
        let first = thread::spawn(acquire(semaphore.clone()));
        let second = thread::spawn(acquire(semaphore.clone()));
        semaphore.release().expect("far from the highest count");
        semaphore.release().expect("far from the highest count");
        first.join().expect("no panic");
        second.join().expect("no panic");
        assert_eq!(semaphore.count(), 0);
    });
}

#[test]
fn releases_of_two_threads_at_once_both_count() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(0));
        let release = |semaphore: Arc<Semaphore>| {
            move || semaphore.release().expect("far from the highest count")
        };
        let first = thread::spawn(release(semaphore.clone()));
        let second = thread::spawn(release(semaphore.clone()));
        for _ in 0..2 {
            assert!(semaphore.acquire(PARK.strategy, PARK.deadline).expect("no error"));
        }
        first.join().expect("no panic");
        second.join().expect("no panic");
        assert_eq!(semaphore.count(), 0);
    });
}

#[test]
fn the_lock_lets_in_one_at_a_time() {
    model(3, || {
        let shared = Arc::new((RobustLock::new(), UnsafeCell::new(0)));
        let enter = |shared: Arc<(RobustLock, UnsafeCell<u32>)>, id| {
            move || {
                let found = shared.0.acquire(id, PARK).expect("no error");
                assert_eq!(found, Some(Found::InOrder));
                shared.1.with_mut(|data| unsafe { *data += 1 });
                shared.0.release(id);
            }
        };
        let others = [1, 2].map(|id| thread::spawn(enter(shared.clone(), id)));
        enter(shared.clone(), 3)();
        for other in others {
            other.join().expect("no panic");
        }
        shared.1.with(|data| assert_eq!(unsafe { *data }, 3));
    });
}

#[test]
fn one_of_those_who_wait_learns_of_the_owners_death() {
    model(3, || {
        let lock = Arc::new(RobustLock::new());
        assert!(lock.acquire(9, PARK).expect("no error").is_some());
        let waiters = [1, 2].map(|id| {
            let lock = lock.clone();
            thread::spawn(move || {
                let found = lock.acquire(id, PARK).expect("no error");
                lock.release(id);
                found
            })
        });
        lock.owner_dies(9);
        let found = waiters.map(|waiter| waiter.join().expect("no panic").expect("no time-out"));
        assert_eq!(found.iter().filter(|&&found| found == Found::OwnerDied).count(), 1);
    });
}

const SLOTS: u32 = 1;
/// The points between the steps of one operation; see `Control::pass`.
const POINTS: u32 = 5;
/// Those of them before the commit.
const UNCOMMITTED: u32 = 3;

/// A buffer of one slot, which holds a number.
struct Buffer {
    control: Control,
    slot: UnsafeCell<u32>,
}

impl Buffer {
    fn new() -> Arc<Self> {
        Arc::new(Self { control: Control::new(SLOTS), slot: UnsafeCell::new(0) })
    }

    fn put(&self, patience: Patience, number: u32) -> Result<(), Refusal<()>> {
        self.control.put(SLOTS, patience, |_| {
            self.slot.with_mut(|slot| unsafe { *slot = number });
            Ok(())
        })
    }

    fn take(&self, patience: Patience) -> Result<u32, Refusal<()>> {
        self.control.take(SLOTS, patience, |_| Ok(self.slot.with(|slot| unsafe { *slot })))
    }

    /// What is left in it; none of the waits may be in vain.
    fn drain(&self) -> Vec<u32> {
        let now = Patience { deadline: Deadline::Now, ..PARK };
        let left = std::iter::from_fn(|| self.take(now).ok()).collect();
        self.control.assert_settled(SLOTS, 0);
        left
    }
}

/// A thread of a model, with a thread id.
fn spawn<T: 'static>(
    id: u32,
    buffer: &Arc<Buffer>,
    run: impl FnOnce(&Buffer) -> T + 'static,
) -> thread::JoinHandle<T> {
    let buffer = buffer.clone();
    thread::spawn(move || {
        set_thread_id(id);
        run(&buffer)
    })
}

#[test]
fn messages_pass_through_one_slot_in_order() {
    model(3, || {
        let buffer = Buffer::new();
        let sender = spawn(1, &buffer, |buffer| {
            for number in [11, 12] {
                buffer.put(PARK, number).expect("room in the end");
            }
        });
        set_thread_id(2);
        let received = [(); 2].map(|()| buffer.take(PARK).expect("a message in the end"));
        assert_eq!(received, [11, 12]);
        sender.join().expect("no panic");
        assert_eq!(buffer.drain(), []);
    });
}

/// One sender dies, another one lives. The receiver gets what was committed, once.
#[test]
fn a_sender_dies_at_every_step() {
    for point in 0..POINTS {
        model(2, move || {
            let buffer = Buffer::new();
            let doomed = spawn(1, &buffer, move |buffer| {
                death::die_after(point);
                buffer.put(PARK, 11).expect_err("dies");
            });
            let receiver = spawn(2, &buffer, move |buffer| {
                // Sleeps for ever, which loom notices, if nobody tells of the commit.
                (point >= UNCOMMITTED).then(|| buffer.take(PARK).expect("what was committed"))
            });
            doomed.join().expect("no panic");
            let received = receiver.join().expect("no panic");
            assert_eq!(received, (point >= UNCOMMITTED).then_some(11), "point {point}");
            set_thread_id(3);
            // The whole capacity is there.
            let now = Patience { deadline: Deadline::Now, ..PARK };
            buffer.put(now, 12).expect("room");
            assert_eq!(buffer.drain(), [12]);
        });
    }
}

/// One receiver dies, another one lives. A message that the dead one had not committed to have taken
/// goes to the living one, who may have been asleep since before.
#[test]
fn a_receiver_dies_at_every_step() {
    for point in 0..POINTS {
        model(2, move || {
            let buffer = Buffer::new();
            set_thread_id(3);
            buffer.put(PARK, 11).expect("room");
            let doomed = spawn(1, &buffer, move |buffer| {
                death::die_after(point);
                buffer.take(PARK).expect_err("dies, or is too late");
            });
            let other = spawn(2, &buffer, move |buffer| {
                if point < UNCOMMITTED {
                    assert_eq!(buffer.take(PARK).expect("still there"), 11, "point {point}");
                } else {
                    // Waits for the room that the dead one has made.
                    buffer.put(PARK, 12).expect("room");
                }
            });
            other.join().expect("no panic");
            if point < UNCOMMITTED {
                // The doomed one may have come second: give it something to die of.
                buffer.put(PARK, 12).expect("room");
            }
            doomed.join().expect("no panic");
            assert_eq!(buffer.drain(), [12], "point {point}");
        });
    }
}
