//! The barrier: all come, and all go on.

use ipc_core::Deadline;
use loom::sync::Arc;

use super::{Watched, model, spawn};
use crate::death;
use crate::sync::robust::set_thread_id;
use crate::sync::{Barrier, BarrierError};

#[test]
fn all_go_on_when_the_last_has_come_and_see_what_each_did_before() {
    model(2, || {
        let shared = Arc::new((Barrier::<2>::new(), [Watched::new(0), Watched::new(0)]));
        let party = |id: u32| {
            move |(barrier, data): &(Barrier<2>, [Watched; 2])| {
                let mut member = barrier.join().expect("a seat");
                let mut last = 0;
                for round in 1..=2 {
                    data[id as usize].set(round);
                    last += u32::from(member.wait(Deadline::Never).expect("nobody dies"));
                    assert_eq!(data[1 - id as usize].get(), round);
                    last += u32::from(member.wait(Deadline::Never).expect("nobody dies"));
                }
                last
            }
        };
        let other = spawn(1, &shared, party(0));
        set_thread_id(2);
        let last = party(1)(&shared);
        assert_eq!(last + other.join().expect("no panic"), 4, "one is last in each round");
    });
}

#[test]
fn who_gives_up_does_not_count() {
    model(3, || {
        let barrier = Arc::new(Barrier::<2>::new());
        let hasty = spawn(1, &barrier, |barrier| {
            let mut member = barrier.join().expect("a seat");
            match member.wait(Deadline::Now) {
                Ok(_) => true,
                Err(BarrierError::TimedOut) => member.wait(Deadline::Never).is_ok(),
                Err(error) => panic!("{error}"),
            }
        });
        set_thread_id(2);
        let mut member = barrier.join().expect("a seat");
        member.wait(Deadline::Never).expect("nobody dies");
        assert!(hasty.join().expect("no panic"));
    });
}

#[test]
fn a_dead_member_breaks_it_until_it_is_repaired() {
    model(3, || {
        let barrier = Arc::new(Barrier::<2>::new());
        let doomed = spawn(1, &barrier, |barrier| {
            let member = barrier.join().expect("a seat");
            death::die_after(0);
            drop(member);
        });
        set_thread_id(2);
        doomed.join().expect("no panic");
        assert!(matches!(barrier.join(), Err(BarrierError::Broken)));
        barrier.repair().expect("no error");
        let mut member = barrier.join().expect("a seat");
        assert!(matches!(member.wait(Deadline::Now), Err(BarrierError::TimedOut)));
    });
}
