//! The semaphore in shared memory between processes.

use ipc_core::{Deadline, WaitStrategy};
use ipc_shm::Semaphore;
use ipc_testing::between_processes;

use crate::fork::Child;
use crate::place::{assert_waits_through_signals, shared};

#[test]
fn units_given_by_one_process_are_taken_by_others() {
    between_processes!(
        |_guest| {
            const UNITS: u32 = 20_000;
            let semaphore = shared::<Semaphore>();
            let take = |strategy| {
                move || {
                    for _ in 0..UNITS {
                        assert!(semaphore.acquire(strategy, Deadline::Never).expect("no error"));
                    }
                }
            };
            let takers =
                [Child::fork(take(WaitStrategy::Park)), Child::fork(take(WaitStrategy::Spin))];
            for _ in 0..2 * UNITS {
                semaphore.release().expect("far from the highest count");
            }
            takers.into_iter().for_each(Child::finish);
            assert_eq!(semaphore.count(), 0);
        },
        |_host| {},
    );
}

#[test]
fn a_sleeper_that_is_killed_takes_no_unit_with_it() {
    between_processes!(
        |_guest| {
            let semaphore = shared::<Semaphore>();
            let take = || {
                assert!(semaphore.acquire(WaitStrategy::Park, Deadline::Never).expect("no error"));
            };
            let (victim, other) = (Child::asleep_in(take), Child::asleep_in(take));
            victim.kill();
            semaphore.release().expect("far from the highest count");
            other.finish();
        },
        |_host| {},
    );
}

#[test]
fn a_deadline_ends_the_wait_and_signals_do_not() {
    between_processes!(
        |_guest| {
            let semaphore = shared::<Semaphore>();
            assert_waits_through_signals(|deadline| {
                assert!(!semaphore.acquire(WaitStrategy::Park, deadline).expect("no error"));
            });
        },
        |_host| {},
    );
}

#[test]
fn the_highest_count_is_not_exceeded() {
    let semaphore = Semaphore::new(Semaphore::MAX);
    let error = semaphore.release().expect_err("one too many");
    assert_eq!(error.raw_os_error(), Some(libc::EOVERFLOW));
    assert_eq!(semaphore.count(), Semaphore::MAX);
    assert!(semaphore.try_acquire());
    semaphore.release().expect("room for one");
}
