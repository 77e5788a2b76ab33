//! The word of a robust lock, without announcements.

use ipc_core::sync::thread;
use loom::sync::Arc;

use super::{PARK, Watched, model};
use crate::sync::robust::{Found, Look, RobustWord};

#[test]
fn the_lock_lets_in_one_at_a_time() {
    model(3, || {
        let shared = Arc::new((RobustWord::new(), Watched::new(0)));
        let enter = |shared: Arc<(RobustWord, Watched)>, id| {
            move || {
                let found = shared.0.acquire(id, PARK).expect("no error");
                assert_eq!(found, Look::Taken(Found::InOrder));
                shared.1.set(shared.1.get() + 1);
                shared.0.release(id);
            }
        };
        let others = [1, 2].map(|id| thread::spawn(enter(shared.clone(), id)));
        enter(shared.clone(), 3)();
        for other in others {
            other.join().expect("no panic");
        }
        assert_eq!(shared.1.get(), 3);
    });
}

#[test]
fn one_of_those_who_wait_learns_of_the_owners_death() {
    model(3, || {
        let lock = Arc::new(RobustWord::new());
        assert_eq!(lock.acquire(9, PARK).expect("no error"), Look::Taken(Found::InOrder));
        let waiters = [1, 2].map(|id| {
            let lock = lock.clone();
            thread::spawn(move || {
                let found = lock.acquire(id, PARK).expect("no error");
                lock.release(id);
                found
            })
        });
        lock.owner_dies(9);
        let found = waiters.map(|waiter| waiter.join().expect("no panic"));
        let told = found.iter().filter(|&&found| found == Look::Taken(Found::OwnerDied));
        assert_eq!(told.count(), 1);
    });
}
