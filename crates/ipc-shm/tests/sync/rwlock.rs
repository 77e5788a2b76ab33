//! The read-write lock: who keeps whom out, and that no dead one does.

use std::time::Duration;

use ipc_core::{Deadline, WaitStrategy};
use ipc_shm::{LockError, RwLock, Value};
use ipc_testing::between_processes;

use crate::fork::Child;
use crate::place::{assert_waits_through_signals, shared};

type Pair = RwLock<Value<[u64; 2]>, 3>;

/// A process that reads until it is killed.
fn reader(lock: &Pair) -> Child {
    Child::asleep_in(|| {
        let _guard = lock.read().expect("no writer");
        loop {
            std::thread::park();
        }
    })
}

/// A process that writes until it is killed, half-way through.
fn writer(lock: &Pair) -> Child {
    Child::asleep_in(|| {
        let mut guard = lock.write().expect("nobody has it");
        guard.set(&[1, 0]);
        loop {
            std::thread::park();
        }
    })
}

#[test]
fn readers_see_whole_values_while_writers_change_them() {
    between_processes!(
        |_guest| {
            const TURNS: u64 = 20_000;
            let lock = shared::<Pair>();
            let write = |strategy| {
                move || {
                    for _ in 0..TURNS {
                        let mut guard = lock.write_with(strategy, Deadline::Never).expect("alive");
                        let [first, second] = guard.get();
                        assert_eq!(first, second);
                        guard.set(&[first + 1, second]);
                        guard.set(&[first + 1, second + 1]);
                    }
                }
            };
            let read = |strategy| {
                move || {
                    let mut last = 0;
                    while last < 2 * TURNS {
                        let guard = lock.read_with(strategy, Deadline::Never).expect("alive");
                        let [first, second] = guard.get();
                        assert!(first == second && first >= last);
                        last = first;
                    }
                }
            };
            let children = [
                Child::fork(write(WaitStrategy::Park)),
                Child::fork(write(WaitStrategy::adaptive())),
                Child::fork(read(WaitStrategy::Park)),
                Child::fork(read(WaitStrategy::adaptive())),
            ];
            children.into_iter().for_each(Child::finish);
            assert_eq!(lock.read().expect("free").get(), [2 * TURNS; 2]);
        },
        |_host| {},
    );
}

#[test]
fn readers_that_are_killed_keep_nobody_out() {
    between_processes!(
        |_guest| {
            let lock = shared::<Pair>();
            let readers = [reader(lock), reader(lock)];
            let writer = Child::asleep_in(|| {
                let guard = lock.write().expect("the readers are dead");
                assert!(!guard.owner_died(), "a reader leaves nothing to repair");
            });
            readers.into_iter().for_each(Child::kill);
            writer.finish();
            // All slots are there.
            let _all = [(); 3].map(|()| lock.try_read().expect("a slot"));
        },
        |_host| {},
    );
}

#[test]
fn a_writer_that_is_killed_leaves_the_repair_to_the_next() {
    between_processes!(
        |_guest| {
            let lock = shared::<Pair>();
            let victim = writer(lock);
            let needs_repair = || assert!(matches!(lock.read(), Err(LockError::NeedsRepair)));
            let reader = Child::asleep_in(needs_repair);
            victim.kill();
            reader.finish();
            needs_repair();
            // Killed before it has repaired anything: the same again.
            Child::asleep_in(|| {
                let _guard = lock.write().expect("free");
                loop {
                    std::thread::park();
                }
            })
            .kill();
            needs_repair();
            let mut guard = lock.write().expect("the writers are dead");
            assert!(guard.owner_died());
            assert_eq!(guard.get(), [1, 0], "half-way");
            guard.set(&[1, 1]);
            guard.mark_repaired();
            drop(guard);
            assert_eq!(lock.read().expect("in order").get(), [1, 1]);
            assert!(!lock.write().expect("in order").owner_died());
        },
        |_host| {},
    );
}

#[test]
fn a_writer_that_dies_while_it_waits_has_changed_nothing() {
    between_processes!(
        |_guest| {
            let lock = shared::<Pair>();
            let reading = lock.read().expect("free");
            let waiting = Child::asleep_in(|| drop(lock.write()));
            assert!(matches!(lock.try_read(), Err(LockError::Busy)), "a writer waits");
            waiting.kill();
            assert_eq!(lock.try_read().expect("nothing to repair").get(), [0, 0]);
            drop(reading);
            assert!(!lock.write().expect("free").owner_died());
        },
        |_host| {},
    );
}

#[test]
fn a_writer_that_gives_up_on_readers_keeps_the_need_for_repair() {
    between_processes!(
        |_guest| {
            let lock = shared::<Pair>();
            let reading = reader(lock);
            let soon = Deadline::after(Duration::from_millis(20));
            assert!(matches!(lock.write_deadline(soon), Err(LockError::TimedOut)));
            assert_eq!(lock.try_read().expect("nobody waits any more").get(), [0, 0]);
            reading.kill();
            writer(lock).kill();
            assert!(matches!(lock.try_read(), Err(LockError::NeedsRepair)));
            drop(lock.write().expect("free")); // without a word
            assert!(matches!(lock.read(), Err(LockError::Poisoned)));
            assert!(matches!(lock.write(), Err(LockError::Poisoned)));
            let mut guard = lock.recover(Deadline::Never).expect("no readers").expect("poisoned");
            assert!(guard.owner_died());
            guard.mark_repaired();
            drop(guard);
            assert!(lock.read().is_ok() && !lock.write().expect("free").owner_died());
        },
        |_host| {},
    );
}

#[test]
fn one_reader_more_than_there_is_room_for_waits_until_one_leaves_or_dies() {
    between_processes!(
        |_guest| {
            let lock = shared::<Pair>();
            for slot in 0..3 {
                let mut readers = vec![reader(lock), reader(lock), reader(lock)];
                assert!(matches!(lock.try_read(), Err(LockError::Busy)));
                let next = Child::asleep_in(|| drop(lock.read().expect("room in the end")));
                readers.remove(slot).kill();
                next.finish();
                readers.into_iter().for_each(Child::kill);
            }
        },
        |_host| {},
    );
}

#[test]
fn a_thread_that_reads_is_told_that_it_cannot_write() {
    let lock = RwLock::<(), 2>::new(());
    let reading = lock.read().expect("free");
    assert!(matches!(lock.write(), Err(LockError::AlreadyHeld)));
    drop(reading);
    let writing = lock.write().expect("free");
    assert!(matches!(lock.write(), Err(LockError::AlreadyHeld)));
    assert!(matches!(lock.try_read(), Err(LockError::Busy)));
    drop(writing);
    assert!(lock.try_read().is_ok());
}

#[test]
fn deadlines_end_the_wait_and_signals_do_not() {
    between_processes!(
        |_guest| {
            let lock = shared::<Pair>();
            let reading = reader(lock);
            assert_waits_through_signals(|deadline| {
                assert!(matches!(lock.write_deadline(deadline), Err(LockError::TimedOut)));
            });
            reading.kill();
            let writing = writer(lock);
            assert_waits_through_signals(|deadline| {
                assert!(matches!(lock.read_deadline(deadline), Err(LockError::TimedOut)));
            });
            writing.kill();
        },
        |_host| {},
    );
}

#[test]
fn a_stopped_reader_keeps_a_writer_out_until_it_goes_on() {
    between_processes!(
        |_guest| {
            let lock = shared::<Pair>();
            let reader = Child::fork(|| {
                loop {
                    drop(lock.read().expect("nobody dies"));
                }
            });
            for _ in 0..100 {
                reader.stop();
                match lock.write_deadline(Deadline::after(Duration::from_millis(1))) {
                    Ok(guard) => assert!(!guard.owner_died()),
                    Err(error) => assert!(matches!(error, LockError::TimedOut), "{error}"),
                }
                reader.cont();
                assert!(!lock.write().expect("it goes on").owner_died());
            }
            reader.kill();
        },
        |_host| {},
    );
}
