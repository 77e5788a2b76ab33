//! Events between processes.

use ipc_core::{Deadline, WaitStrategy};
use ipc_shm::{AutoResetEvent, ManualResetEvent};
use ipc_testing::between_processes;

use crate::fork::Child;
use crate::place::{assert_waits_through_signals, shared};

fn waits_for(event: &ManualResetEvent) -> Child {
    Child::asleep_in(|| {
        assert!(event.wait(WaitStrategy::Park, Deadline::Never).expect("no error"));
    })
}

#[test]
fn setting_an_event_wakes_all_though_it_is_reset_at_once() {
    between_processes!(
        |_guest| {
            let event = shared::<ManualResetEvent>();
            for _ in 0..20 {
                let sleepers = [(); 3].map(|()| waits_for(event));
                event.set().expect("no error");
                assert!(event.reset());
                sleepers.into_iter().for_each(Child::finish);
                assert!(!event.is_set() && !event.reset());
            }
        },
        |_host| {},
    );
}

#[test]
fn an_event_stays_set_for_those_who_come_later() {
    between_processes!(
        |_guest| {
            let event = shared::<ManualResetEvent>();
            event.set().expect("no error");
            event.set().expect("no error");
            for _ in 0..2 {
                Child::fork(|| {
                    assert!(event.wait(WaitStrategy::Spin, Deadline::Now).expect("no error"));
                })
                .finish();
            }
            event.reset();
            assert!(!event.wait(WaitStrategy::adaptive(), Deadline::Now).expect("no error"));
        },
        |_host| {},
    );
}

#[test]
fn each_setting_lets_one_of_the_sleepers_pass() {
    between_processes!(
        |_guest| {
            let event = shared::<AutoResetEvent>();
            let passed = shared::<AutoResetEvent>();
            let sleepers = [(); 3].map(|()| {
                Child::asleep_in(|| {
                    assert!(event.wait(WaitStrategy::Park, Deadline::Never).expect("no error"));
                    passed.set().expect("no error");
                })
            });
            for _ in 0..3 {
                event.set().expect("no error");
                assert!(passed.wait(WaitStrategy::Park, Deadline::Never).expect("no error"));
                // The two others, if any, sleep on.
                assert!(!passed.try_wait());
            }
            sleepers.into_iter().for_each(Child::finish);
            assert!(!event.is_set());
        },
        |_host| {},
    );
}

#[test]
fn a_sleeper_that_is_killed_takes_no_setting_with_it() {
    between_processes!(
        |_guest| {
            let event = shared::<AutoResetEvent>();
            let wait =
                || assert!(event.wait(WaitStrategy::Park, Deadline::Never).expect("no error"));
            let (victim, other) = (Child::asleep_in(wait), Child::asleep_in(wait));
            victim.kill();
            event.set().expect("no error");
            other.finish();
        },
        |_host| {},
    );
}

#[test]
fn two_processes_take_turns() {
    between_processes!(
        |_guest| {
            let turns = shared::<[AutoResetEvent; 2]>();
            let wait = |index: usize, strategy| {
                assert!(turns[index].wait(strategy, Deadline::Never).expect("no error"));
            };
            let other = Child::fork(|| {
                for _ in 0..5_000 {
                    wait(1, WaitStrategy::Park);
                    turns[0].set().expect("no error");
                }
            });
            for _ in 0..5_000 {
                turns[1].set().expect("no error");
                wait(0, WaitStrategy::adaptive());
            }
            other.finish();
        },
        |_host| {},
    );
}

#[test]
fn deadlines_end_the_wait_and_signals_do_not() {
    between_processes!(
        |_guest| {
            let manual = shared::<ManualResetEvent>();
            let auto = shared::<AutoResetEvent>();
            assert_waits_through_signals(|deadline| {
                assert!(!manual.wait(WaitStrategy::Park, deadline).expect("no error"));
            });
            assert_waits_through_signals(|deadline| {
                assert!(!auto.wait(WaitStrategy::Park, deadline).expect("no error"));
            });
        },
        |_host| {},
    );
}
