//! The condition variable: no notification is lost.

use loom::sync::Arc;

use ipc_core::Deadline;

use super::{Watched, model, spawn};
use crate::sync::robust::set_thread_id;
use crate::sync::{Condvar, Mutex};

struct Shared {
    tokens: Mutex<Watched>,
    arrived: Condvar,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self { tokens: Mutex::new(Watched::new(0)), arrived: Condvar::new() })
    }

    fn add(&self, tokens: u32) {
        let guard = self.tokens.lock().expect("no error");
        guard.set(guard.get() + tokens);
    }

    fn take(&self) {
        let guard = self.tokens.lock().expect("no error");
        let is_empty = |data: &Watched| data.get() == 0;
        let guard = self.arrived.wait_while(guard, Deadline::Never, is_empty).expect("no error");
        guard.set(guard.get() - 1);
    }
}

#[test]
fn a_notified_waiter_goes_on() {
    model(3, || {
        let shared = Shared::new();
        let waiter = spawn(1, &shared, Shared::take);
        set_thread_id(2);
        shared.add(1);
        shared.arrived.notify_one();
        waiter.join().expect("no panic");
    });
}

#[test]
fn all_waiters_go_on_when_all_are_notified() {
    model(2, || {
        let shared = Shared::new();
        let waiters = [1, 2].map(|id| spawn(id, &shared, Shared::take));
        set_thread_id(3);
        shared.add(2);
        shared.arrived.notify_all();
        for waiter in waiters {
            waiter.join().expect("no panic");
        }
    });
}

#[test]
fn two_notifications_of_one_let_two_go_on() {
    model(2, || {
        let shared = Shared::new();
        let waiters = [1, 2].map(|id| spawn(id, &shared, Shared::take));
        set_thread_id(3);
        for _ in 0..2 {
            shared.add(1);
            shared.arrived.notify_one();
        }
        for waiter in waiters {
            waiter.join().expect("no panic");
        }
    });
}

/// One notifies all while another notifies one.
#[test]
fn notifications_at_once_wake_who_waits() {
    model(2, || {
        let shared = Shared::new();
        let waiter = spawn(1, &shared, Shared::take);
        let other = spawn(2, &shared, |shared| {
            shared.add(1);
            shared.arrived.notify_all();
        });
        set_thread_id(3);
        shared.arrived.notify_one();
        other.join().expect("no panic");
        waiter.join().expect("no panic");
    });
}
