//! The semaphore: no unit and no wake-up is lost.

use ipc_core::sync::thread;
use loom::sync::Arc;

use super::{PARK, Watched, model};
use crate::sync::Semaphore;

#[test]
fn a_release_wakes_the_sleeper_and_publishes_what_came_before() {
    model(5, || {
        let shared = Arc::new((Semaphore::new(0), Watched::new(0)));
        let releaser = thread::spawn({
            let shared = shared.clone();
            move || {
                shared.1.set(7);
                shared.0.release().expect("far from the highest count");
            }
        });
        assert!(shared.0.acquire(PARK.strategy, PARK.deadline).expect("no error"));
        assert_eq!(shared.1.get(), 7);
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
