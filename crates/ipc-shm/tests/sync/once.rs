//! What is initialised once, by whoever lives.

use ipc_core::Deadline;
use ipc_shm::{LockError, OnceCell, Value};
use ipc_testing::between_processes;

use crate::fork::Child;
use crate::place::{assert_waits_through_signals, shared};

type Cell = OnceCell<Value<u64>>;

/// A process that begins to initialise it, and never ends.
fn beginner(cell: &Cell) -> Child {
    Child::asleep_in(|| {
        let _ = cell.get_or_init(|value| {
            value.store(&13);
            loop {
                std::thread::park();
            }
        });
    })
}

#[test]
fn of_several_processes_one_initialises() {
    between_processes!(
        |_guest| {
            let cell = shared::<Cell>();
            let add = || {
                let value = cell.get_or_init(|value| value.store(&(value.load() + 1)));
                assert_eq!(value.expect("no error").load(), 1);
            };
            let children = [(); 4].map(|()| Child::fork(add));
            add();
            children.into_iter().for_each(Child::finish);
        },
        |_host| {},
    );
}

#[test]
fn the_next_one_initialises_it_when_the_first_is_killed() {
    between_processes!(
        |_guest| {
            let cell = shared::<Cell>();
            let first = beginner(cell);
            assert!(cell.get().is_none());
            let refused = cell.get_or_init_deadline(Deadline::Now, |_| ());
            assert!(matches!(refused, Err(LockError::Busy)));
            let next = Child::asleep_in(|| {
                let value = cell.get_or_init(|value| {
                    assert_eq!(value.load(), 13, "what the first has left");
                    value.store(&7);
                });
                assert_eq!(value.expect("no error").load(), 7);
            });
            first.kill();
            next.finish();
            assert_eq!(cell.get().expect("initialised").load(), 7);
        },
        |_host| {},
    );
}

#[test]
fn the_next_one_initialises_it_when_the_first_panics() {
    between_processes!(
        |_guest| {
            let cell = shared::<Cell>();
            let panicked = std::thread::spawn(|| {
                let _ = cell.get_or_init(|_| panic!("half-way"));
            });
            panicked.join().expect_err("a panic");
            assert_eq!(cell.get_or_init(|value| value.store(&7)).expect("no error").load(), 7);
        },
        |_host| {},
    );
}

#[test]
fn a_deadline_ends_the_wait_and_signals_do_not() {
    between_processes!(
        |_guest| {
            let cell = shared::<Cell>();
            let first = beginner(cell);
            assert_waits_through_signals(|deadline| {
                let error =
                    cell.get_or_init_deadline(deadline, |_| ()).expect_err("another is at it");
                assert!(matches!(error, LockError::TimedOut), "{error}");
            });
            first.kill();
        },
        |_host| {},
    );
}
