//! The mutex, and what becomes of it when its owner dies.

use std::time::Duration;

use ipc_core::{Deadline, WaitStrategy};
use ipc_shm::{LockError, Mutex, MutexGuard, Value};
use ipc_testing::{Invitation, between_processes};

use crate::fork::Child;
use crate::place::{assert_waits_through_signals, at, become_cat, has_become, memory, shared};

type Counter = Mutex<Value<u64>>;

/// A guard that holds for as long as the thread lives.
fn hold<T>(mutex: &Mutex<T>) {
    std::mem::forget(mutex.lock().expect("free"));
}

/// A process that holds the mutex until it is killed.
fn holder<T: Sync>(mutex: &Mutex<T>) -> Child {
    Child::asleep_in(|| {
        let _guard = mutex.lock().expect("free");
        loop {
            std::thread::park();
        }
    })
}

#[track_caller]
fn assert_in_order<T>(mutex: &Mutex<T>) {
    assert!(!mutex.lock().expect("free").owner_died());
}

#[track_caller]
fn repair<T>(mut guard: MutexGuard<'_, T>) {
    assert!(guard.owner_died());
    guard.mark_repaired();
}

#[test]
fn two_processes_never_hold_it_at_once() {
    const TURNS: u64 = 30_000;
    between_processes!(
        |guest| {
            let (memory, descriptor) = memory::<Counter>();
            guest.invite(Invitation::of_descriptors(vec![descriptor]));
            count(at(&memory), WaitStrategy::adaptive());
            assert_eq!(guest.hear(), "done");
            assert_eq!(at::<Counter>(&memory).lock().expect("free").get(), 3 * TURNS);
        },
        |host| {
            let memfd = host.invitation().descriptors.remove(0);
            let memfd = ipc_shm::Memfd::receive(memfd, ipc_shm::Seals::NONE, 1..=4096);
            let memory = memfd.expect("ours").map(ipc_shm::Access::ReadWrite).expect("mapped");
            std::thread::scope(|scope| {
                scope.spawn(|| count(at(&memory), WaitStrategy::Park));
                count(at(&memory), WaitStrategy::Spin);
            });
            host.tell("done");
        },
    );

    fn count(counter: &Counter, strategy: WaitStrategy) {
        for turn in 0..TURNS {
            let mut guard = match turn % 2 {
                0 => counter.lock(),
                _ => counter.lock_with(strategy, Deadline::Never),
            };
            guard.as_mut().expect("nobody dies").update(|count| *count += 1);
        }
    }
}

#[test]
fn a_waiter_is_told_that_the_owner_was_killed() {
    between_processes!(
        |_guest| {
            let mutex = shared::<Mutex<()>>();
            let owner = holder(mutex);
            let first = Child::asleep_in(|| repair(mutex.lock().expect("the owner is dead")));
            owner.kill();
            first.finish();
            assert_in_order(mutex);
        },
        |_host| {},
    );
}

#[test]
fn all_who_wait_get_it_though_one_after_the_other_is_killed() {
    between_processes!(
        |_guest| {
            let mutex = shared::<Mutex<()>>();
            let owner = holder(mutex);
            let waiters: Vec<_> = (0..4)
                .map(|_| {
                    Child::asleep_in(|| {
                        let guard = mutex.lock().expect("the owner is dead");
                        assert!(guard.owner_died());
                        std::mem::forget(guard);
                        // Ends with the mutex.
                    })
                })
                .collect();
            owner.kill();
            waiters.into_iter().for_each(Child::finish);
            repair(mutex.lock().expect("all are dead"));
        },
        |_host| {},
    );
}

#[test]
fn a_mutex_that_is_not_repaired_is_poisoned_for_all_until_it_is_recovered() {
    between_processes!(
        |_guest| {
            let mutex = shared::<Counter>();
            assert!(mutex.recover().expect("no error").is_none(), "nothing to recover");
            holder(mutex).kill();
            let guard = mutex.lock().expect("the owner is dead");
            let refused = || assert!(matches!(mutex.lock(), Err(LockError::Poisoned)));
            let sleeper = Child::asleep_in(refused);
            drop(guard); // without a word
            sleeper.finish();
            refused();
            assert!(matches!(mutex.try_lock(), Err(LockError::Poisoned)));
            // Killed in the midst of the recovery, it is as if the owner had died once more.
            let recoverer = Child::asleep_in(|| {
                let _guard = mutex.recover().expect("no error").expect("poisoned");
                loop {
                    std::thread::park();
                }
            });
            recoverer.kill();
            let mut guard = mutex.lock().expect("the recoverer is dead");
            assert!(guard.owner_died());
            guard.set(&7);
            guard.mark_repaired();
            drop(guard);
            assert_in_order(mutex);
        },
        |_host| {},
    );
}

#[test]
fn a_thread_that_ends_with_it_is_as_dead_as_a_process() {
    between_processes!(
        |_guest| {
            let mutex = shared::<Mutex<()>>();
            std::thread::scope(|scope| {
                scope.spawn(|| hold(mutex));
            });
            repair(mutex.lock().expect("the owner has ended"));
            // The same by a panic, which runs destructors.
            let panicked = std::thread::spawn(|| {
                let _guard = mutex.lock().expect("free");
                panic!("with the mutex");
            });
            panicked.join().expect_err("a panic");
            repair(mutex.lock().expect("the owner has panicked"));
        },
        |_host| {},
    );
}

#[test]
fn a_lock_taken_and_released_during_a_panic_is_in_order() {
    between_processes!(
        |_guest| {
            struct Lock(&'static Mutex<()>);
            impl Drop for Lock {
                fn drop(&mut self) {
                    drop(self.0.lock().expect("free"));
                }
            }
            let mutex = shared::<Mutex<()>>();
            let panicked = std::thread::spawn(|| {
                let _lock = Lock(mutex);
                panic!("without the mutex");
            });
            panicked.join().expect_err("a panic");
            assert_in_order(mutex);
        },
        |_host| {},
    );
}

#[test]
fn a_process_that_becomes_another_program_has_lost_it() {
    between_processes!(
        |_guest| {
            let mutex = shared::<Mutex<()>>();
            let (input, end) = std::io::pipe().expect("a pipe");
            let owner = Child::fork(|| {
                hold(mutex);
                become_cat(
                    std::os::fd::OwnedFd::from(input.try_clone().expect("a descriptor")).into(),
                );
            });
            while !has_become(owner.id(), "cat") {
                std::thread::yield_now();
            }
            // It lives.
            repair(mutex.lock().expect("free"));
            owner.kill();
            drop(end); // not before: it would end by itself
        },
        |_host| {},
    );
}

#[test]
fn a_forked_child_holds_nothing_and_releases_nothing() {
    between_processes!(
        |_guest| {
            let [held, other] = [shared::<Mutex<()>>(), shared::<Mutex<()>>()];
            let mut guard = Some(held.lock().expect("free"));
            let child = Child::fork(|| {
                drop(guard.take());
                assert!(matches!(held.try_lock(), Err(LockError::Busy)), "the parent has it");
                // A lock of its own, in a place of the thread's where the parent's was.
                hold(other);
                assert!(matches!(held.try_lock(), Err(LockError::Busy)), "the parent has it");
            });
            child.finish();
            repair(other.lock().expect("the child is dead"));
            drop(guard);
            assert_in_order(held);
        },
        |_host| {},
    );
}

#[test]
fn a_child_of_a_child_that_never_locked_is_told_from_both() {
    between_processes!(
        |_guest| {
            let mutex = shared::<Mutex<()>>();
            let mut guard = Some(mutex.lock().expect("free"));
            let child = Child::fork(|| {
                let grandchild = Child::fork(|| {
                    drop(guard.take());
                    assert!(matches!(mutex.try_lock(), Err(LockError::Busy)));
                });
                grandchild.finish();
            });
            child.finish();
            drop(guard);
            assert_in_order(mutex);
        },
        |_host| {},
    );
}

#[test]
fn a_stopped_owner_is_not_taken_for_dead() {
    between_processes!(
        |_guest| {
            let mutex = shared::<Counter>();
            let owner = Child::fork(|| {
                for _ in 0_u64.. {
                    mutex.lock().expect("nobody dies").update(|count| *count += 1);
                }
            });
            for _ in 0..200 {
                owner.stop();
                match mutex.lock_deadline(Deadline::after(Duration::from_millis(1))) {
                    Ok(guard) => assert!(!guard.owner_died()),
                    Err(error) => assert!(matches!(error, LockError::TimedOut), "{error}"),
                }
                owner.cont();
                let before = loop {
                    match mutex.try_lock() {
                        Ok(guard) => break guard.get(),
                        Err(error) => assert!(error.is_temporary(), "{error}"),
                    }
                };
                while mutex.lock().expect("nobody dies").get() == before {}
            }
            owner.kill();
        },
        |_host| {},
    );
}

#[test]
fn a_deadline_ends_the_wait_and_signals_do_not() {
    between_processes!(
        |_guest| {
            let mutex = shared::<Mutex<()>>();
            let owner = holder(mutex);
            assert!(matches!(mutex.try_lock(), Err(LockError::Busy)));
            for strategy in [WaitStrategy::Park, WaitStrategy::Spin, WaitStrategy::adaptive()] {
                assert_waits_through_signals(|deadline| {
                    let error = mutex.lock_with(strategy, deadline).expect_err("taken");
                    assert!(matches!(error, LockError::TimedOut), "{error}");
                });
            }
            owner.kill();
        },
        |_host| {},
    );
}

#[test]
fn its_owner_is_told_instead_of_waiting_for_itself() {
    let mutex = Mutex::new(());
    let guard = mutex.lock().expect("free");
    assert!(matches!(mutex.lock(), Err(LockError::AlreadyHeld)));
    assert!(matches!(mutex.try_lock(), Err(LockError::AlreadyHeld)));
    drop(guard);
    assert_in_order(&mutex);
}

#[test]
fn a_struct_of_shared_fields_is_reached_through_the_guard() {
    ipc_shm::shared! {
        struct Account("test.Account/1") {
            balance: Value<i64>,
            owner: Value<[u8; 13]>,
        }
    }
    let account = shared::<Mutex<Account>>();
    let guard = account.lock().expect("free");
    guard.owner.store(b"Ada Lovelace.");
    guard.balance.store(&-5);
    assert_eq!((guard.balance.load(), &guard.owner.load()), (-5, b"Ada Lovelace."));
}
