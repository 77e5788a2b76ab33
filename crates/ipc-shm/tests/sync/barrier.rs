//! The barrier: rounds, and members that die.

use std::sync::atomic::{AtomicU64, Ordering};

use ipc_core::{Deadline, WaitStrategy};
use ipc_shm::{Barrier, BarrierError};
use ipc_testing::between_processes;

use crate::fork::Child;
use crate::place::{assert_waits_through_signals, shared};

/// A member that waits for the others.
fn waiter<const PARTIES: usize>(
    barrier: &Barrier<PARTIES>,
    expect: impl FnOnce(Result<bool, BarrierError>),
) -> Child {
    Child::asleep_in(|| expect(barrier.join().expect("a seat").wait(Deadline::Never)))
}

fn expect_broken(waited: Result<bool, BarrierError>) {
    assert!(matches!(waited, Err(BarrierError::Broken)), "{waited:?}");
}

#[test]
fn nobody_begins_a_round_before_all_have_ended_the_last() {
    between_processes!(
        |_guest| {
            const ROUNDS: u64 = 3_000;
            let barrier = shared::<Barrier<3>>();
            let counts = shared::<[AtomicU64; 4]>();
            let party = |index: usize, strategy| {
                move || {
                    let mut member = barrier.join().expect("a seat");
                    for round in 1..=ROUNDS {
                        // Relaxed: the barrier orders them.
                        counts[index].store(round, Ordering::Relaxed);
                        let is_last = member.wait_with(strategy, Deadline::Never).expect("alive");
                        counts[3].fetch_add(is_last.into(), Ordering::Relaxed);
                        for count in &counts[..3] {
                            let count = count.load(Ordering::Relaxed);
                            assert!(count == round || count == round + 1, "{count} in {round}");
                        }
                    }
                }
            };
            let others = [
                Child::fork(party(0, WaitStrategy::Park)),
                Child::fork(party(1, WaitStrategy::Park)),
            ];
            party(2, WaitStrategy::adaptive())();
            others.into_iter().for_each(Child::finish);
            assert_eq!(counts[3].load(Ordering::Relaxed), ROUNDS, "one is last in each round");
        },
        |_host| {},
    );
}

#[test]
fn a_member_that_is_killed_before_it_comes_breaks_the_barrier_until_it_is_repaired() {
    between_processes!(
        |_guest| {
            let barrier = shared::<Barrier<3>>();
            let victim = Child::asleep_in(|| {
                let _member = barrier.join().expect("a seat");
                loop {
                    std::thread::park();
                }
            });
            let waiters = [waiter(barrier, expect_broken), waiter(barrier, expect_broken)];
            assert!(matches!(barrier.join(), Err(BarrierError::Full { parties: 3 })));
            victim.kill();
            waiters.into_iter().for_each(Child::finish);
            assert!(barrier.is_broken());
            assert!(matches!(barrier.join(), Err(BarrierError::Broken)));
            barrier.repair().expect("no error");
            let good = |waited: Result<bool, _>| assert!(!waited.expect("all come"));
            let waiters = [waiter(barrier, good), waiter(barrier, good)];
            let mut member = barrier.join().expect("a seat");
            assert!(member.wait(Deadline::Never).expect("all have come"));
            waiters.into_iter().for_each(Child::finish);
        },
        |_host| {},
    );
}

#[test]
fn a_member_that_is_killed_while_it_waits_breaks_the_barrier() {
    between_processes!(
        |_guest| {
            let barrier = shared::<Barrier<3>>();
            let victim = waiter(barrier, |_| ());
            let other = waiter(barrier, expect_broken);
            victim.kill();
            other.finish();
        },
        |_host| {},
    );
}

#[test]
fn a_round_that_all_had_come_to_is_over_though_one_has_died_since() {
    between_processes!(
        |_guest| {
            let barrier = shared::<Barrier<2>>();
            let other = waiter(barrier, |waited| assert!(!waited.expect("all had come")));
            other.stop();
            // Dies with its seat.
            Child::fork(|| {
                let mut member = barrier.join().expect("a seat");
                assert!(member.wait(Deadline::Never).expect("all have come"));
                std::mem::forget(member);
            })
            .finish();
            other.cont();
            other.finish();
            assert!(barrier.is_broken());
        },
        |_host| {},
    );
}

#[test]
fn a_member_that_leaves_makes_room_for_another() {
    between_processes!(
        |_guest| {
            let barrier = shared::<Barrier<2>>();
            Child::fork(|| drop(barrier.join().expect("a seat"))).finish();
            let first = waiter(barrier, |waited| assert!(!waited.expect("all come")));
            assert!(barrier.join().expect("a seat").wait(Deadline::Never).expect("all have come"));
            first.finish();
        },
        |_host| {},
    );
}

#[test]
fn who_gives_up_does_not_count_and_signals_do_not_make_it_give_up() {
    between_processes!(
        |_guest| {
            let barrier = shared::<Barrier<2>>();
            let mut member = barrier.join().expect("a seat");
            assert_waits_through_signals(|deadline| {
                assert!(matches!(member.wait(deadline), Err(BarrierError::TimedOut)));
            });
            assert!(matches!(member.wait(Deadline::Now), Err(BarrierError::TimedOut)));
            let other = waiter(barrier, |waited| assert!(!waited.expect("all come")));
            assert!(member.wait(Deadline::Never).expect("all have come"));
            other.finish();
        },
        |_host| {},
    );
}
