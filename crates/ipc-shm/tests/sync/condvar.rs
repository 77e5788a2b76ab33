//! The condition variable between processes.

use std::time::Duration;

use ipc_core::Deadline;
use ipc_shm::{Condvar, LockError, Mutex, Value, shared};
use ipc_testing::between_processes;

use crate::fork::Child;
use crate::place::{assert_waits_through_signals, shared};

shared! {
    /// Tokens that some bring and others take.
    struct Tokens("test.Tokens/1") {
        tokens: Mutex<Value<u64>>,
        arrived: Condvar,
    }
}

impl Tokens {
    fn bring(&self, tokens: u64) {
        self.tokens.lock().expect("nobody dies").update(|there| *there += tokens);
    }

    fn take(&self, deadline: Deadline) -> Result<(), LockError> {
        let guard = self.tokens.lock()?;
        let mut guard = self.arrived.wait_while(guard, deadline, |there| there.load() == 0)?;
        guard.update(|there| *there -= 1);
        Ok(())
    }

    fn taker(&self) -> Child {
        Child::asleep_in(|| self.take(Deadline::Never).expect("a token in the end"))
    }
}

#[test]
fn every_token_wakes_somebody_who_takes_it() {
    between_processes!(
        |_guest| {
            const TOKENS: u64 = 10_000;
            let shared = shared::<Tokens>();
            let takers = [(); 2].map(|()| {
                Child::fork(|| {
                    for _ in 0..TOKENS {
                        shared.take(Deadline::Never).expect("a token in the end");
                    }
                })
            });
            for token in 0..2 * TOKENS {
                shared.bring(1);
                if token % 2 == 0 {
                    shared.arrived.notify_one()
                } else {
                    shared.arrived.notify_all()
                }
            }
            takers.into_iter().for_each(Child::finish);
            assert_eq!(shared.tokens.lock().expect("free").get(), 0);
        },
        |_host| {},
    );
}

#[test]
fn all_who_sleep_are_woken_together_and_one_alone() {
    between_processes!(
        |_guest| {
            let shared = shared::<Tokens>();
            let takers = [(); 3].map(|()| shared.taker());
            shared.bring(3);
            shared.arrived.notify_all();
            takers.into_iter().for_each(Child::finish);
            let [first, second] = [(); 2].map(|()| shared.taker());
            for _ in 0..2 {
                shared.bring(1);
                shared.arrived.notify_one();
            }
            first.finish();
            second.finish();
        },
        |_host| {},
    );
}

#[test]
fn a_waiter_that_is_killed_leaves_the_mutex_in_order_and_others_are_woken() {
    between_processes!(
        |_guest| {
            let shared = shared::<Tokens>();
            let (victim, other) = (shared.taker(), shared.taker());
            victim.kill();
            assert!(!shared.tokens.lock().expect("free").owner_died());
            shared.bring(1);
            // The one that was asleep first is dead, and not counted among the sleepers.
            shared.arrived.notify_one();
            other.finish();
        },
        |_host| {},
    );
}

#[test]
fn a_deadline_ends_the_wait_and_signals_do_not() {
    between_processes!(
        |_guest| {
            let shared = shared::<Tokens>();
            assert_waits_through_signals(|deadline| {
                assert!(matches!(shared.take(deadline), Err(LockError::TimedOut)));
            });
            drop(shared.tokens.try_lock().expect("released"));
        },
        |_host| {},
    );
}

#[test]
fn a_deadline_counts_for_taking_the_mutex_again() {
    between_processes!(
        |_guest| {
            let shared = shared::<Tokens>();
            let guard = shared.tokens.lock().expect("free");
            let holder = Child::fork(|| {
                let _guard = shared.tokens.lock().expect("released by the wait");
                loop {
                    std::thread::park();
                }
            });
            holder.wait_until_parked();
            let error = shared
                .arrived
                .wait_deadline(guard, Deadline::after(Duration::from_millis(50)))
                .expect_err("another one has the mutex");
            assert!(matches!(error, LockError::TimedOut), "{error}");
            holder.kill();
        },
        |_host| {},
    );
}

#[test]
fn an_owner_that_dies_is_told_to_who_has_waited() {
    between_processes!(
        |_guest| {
            let shared = shared::<Tokens>();
            let waiter = Child::asleep_in(|| {
                let guard = shared.tokens.lock().expect("free");
                let mut guard = shared.arrived.wait(guard).expect("the owner is dead");
                assert!(guard.owner_died());
                guard.mark_repaired();
            });
            let owner = Child::fork(|| {
                std::mem::forget(shared.tokens.lock().expect("free"));
                shared.arrived.notify_all();
            });
            owner.finish();
            waiter.finish();
        },
        |_host| {},
    );
}
