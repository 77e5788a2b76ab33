//! The mutex, with an owner that dies at every step of taking, holding and releasing it.

use loom::sync::Arc;

use super::{Watched, model, spawn};
use crate::death;
use crate::sync::robust::set_thread_id;
use crate::sync::{LockError, Mutex};

/// Data that loom watches for two threads at once.
type Guarded = Mutex<Watched>;

/// The points at which a thread dies, of taking it and releasing it again; see `RobustFutex`.
const POINTS: u32 = 4;

fn add_one(mutex: &Guarded) -> Result<(), LockError> {
    let mut guard = mutex.lock()?;
    if guard.owner_died() {
        guard.mark_repaired();
    }
    guard.set(guard.get() + 1);
    Ok(())
}

#[test]
fn it_lets_in_one_at_a_time_and_publishes_what_it_did() {
    model(3, || {
        let mutex = Arc::new(Guarded::new(Watched::new(0)));
        let others = [1, 2].map(|id| spawn(id, &mutex, |mutex| add_one(mutex).expect("no error")));
        for other in others {
            other.join().expect("no panic");
        }
        set_thread_id(3);
        assert_eq!(mutex.lock().expect("free").get(), 2);
    });
}

/// Whoever dies, and whenever: the others get it, one after the other.
#[test]
fn two_get_it_though_a_third_dies_at_every_step() {
    for point in 0..=POINTS {
        model(2, move || {
            let mutex = Arc::new(Guarded::new(Watched::new(0)));
            let doomed = spawn(1, &mutex, move |mutex| {
                death::die_after(point);
                // It dies inside, or when it releases.
                let _ = add_one(mutex);
            });
            let others =
                [2, 3].map(|id| spawn(id, &mutex, |mutex| add_one(mutex).expect("no error")));
            for thread in [doomed].into_iter().chain(others) {
                thread.join().expect("no panic");
            }
            set_thread_id(4);
            let guard = mutex.try_lock().expect("nobody has it");
            assert!((2..=3).contains(&guard.get()));
        });
    }
}

#[test]
fn one_of_those_who_wait_learns_of_the_owners_death() {
    model(2, || {
        let mutex = Arc::new(Mutex::new(()));
        set_thread_id(9);
        let owner = mutex.lock().expect("free");
        let waiters = [1, 2].map(|id| {
            spawn(id, &mutex, |mutex| {
                let mut guard = mutex.lock().expect("no error");
                let owner_died = guard.owner_died();
                guard.mark_repaired();
                owner_died
            })
        });
        death::die_after(0);
        drop(owner);
        let told = waiters.map(|waiter| waiter.join().expect("no panic"));
        assert_eq!(told.iter().filter(|&&told| told).count(), 1);
    });
}

#[test]
fn all_who_wait_learn_that_it_is_poisoned() {
    model(2, || {
        let mutex = Arc::new(Mutex::new(()));
        set_thread_id(8);
        let owner = mutex.lock().expect("free");
        let heir = spawn(9, &mutex, |mutex| {
            let guard = mutex.lock().expect("the owner is dead");
            assert!(guard.owner_died());
            // Without a word.
        });
        death::die_after(0);
        drop(owner);
        heir.join().expect("no panic");
        let waiters = [1, 2].map(|id| {
            spawn(id, &mutex, |mutex| match mutex.lock() {
                Err(LockError::Poisoned) => false,
                Ok(guard) => {
                    assert!(!guard.owner_died());
                    true
                }
                Err(error) => panic!("{error}"),
            })
        });
        // Recovered while they come: each finds it poisoned or in order.
        death::die_after(u32::MAX);
        let mut guard = mutex.recover().expect("no error").expect("poisoned");
        assert!(guard.owner_died());
        guard.mark_repaired();
        drop(guard);
        for waiter in waiters {
            waiter.join().expect("no panic");
        }
        assert!(!mutex.lock().expect("recovered").owner_died());
    });
}

#[test]
fn who_recovers_it_sees_what_was_done_before_it_was_given_up() {
    model(3, || {
        let mutex = Arc::new(Guarded::new(Watched::new(0)));
        set_thread_id(8);
        let owner = mutex.lock().expect("free");
        death::die_after(0);
        drop(owner);
        death::die_after(u32::MAX);
        let heir = spawn(9, &mutex, |mutex| {
            let guard = mutex.lock().expect("the owner is dead");
            guard.set(1);
            // Without a word.
        });
        if let Some(guard) = mutex.recover().expect("no error") {
            assert_eq!(guard.get(), 1);
        }
        heir.join().expect("no panic");
    });
}
