//! The events: nobody sleeps through one.

use loom::sync::Arc;

use super::{PARK, Watched, model, spawn};
use crate::sync::{AutoResetEvent, ManualResetEvent};

#[test]
fn setting_wakes_all_and_publishes_what_came_before() {
    model(3, || {
        let shared = Arc::new((ManualResetEvent::new(false), Watched::new(0)));
        let waiters = [1, 2].map(|id| {
            spawn(id, &shared, |(event, data)| {
                assert!(event.wait(PARK.strategy, PARK.deadline).expect("no error"));
                assert_eq!(data.get(), 7);
            })
        });
        shared.1.set(7);
        shared.0.set().expect("no error");
        for waiter in waiters {
            waiter.join().expect("no panic");
        }
    });
}

/// It is reset at once; whoever came before goes on, and whoever comes later would wait for the second
/// setting.
#[test]
fn who_waits_goes_on_though_it_is_reset_before_it_can_look() {
    model(3, || {
        let event = Arc::new(ManualResetEvent::new(false));
        let waiter = spawn(1, &event, |event| {
            assert!(event.wait(PARK.strategy, PARK.deadline).expect("no error"));
        });
        let setter = spawn(2, &event, |event| event.set().expect("no error"));
        event.set().expect("no error");
        event.reset();
        setter.join().expect("no panic");
        event.set().expect("no error");
        waiter.join().expect("no panic");
    });
}

#[test]
fn two_who_set_it_at_once_wake_who_waits() {
    model(3, || {
        let event = Arc::new(ManualResetEvent::new(false));
        let waiter = spawn(1, &event, |event| {
            assert!(event.wait(PARK.strategy, PARK.deadline).expect("no error"));
        });
        let setter = spawn(2, &event, |event| event.set().expect("no error"));
        event.set().expect("no error");
        setter.join().expect("no panic");
        waiter.join().expect("no panic");
        assert!(event.is_set());
    });
}

#[test]
fn an_event_lets_one_pass_for_each_setting() {
    model(3, || {
        let event = Arc::new(AutoResetEvent::new(false));
        let waiter = spawn(1, &event, |event| {
            assert!(event.wait(PARK.strategy, PARK.deadline).expect("no error"));
            // Lets the next one go.
            event.set().expect("no error");
        });
        let other = spawn(2, &event, |event| {
            assert!(event.wait(PARK.strategy, PARK.deadline).expect("no error"));
            event.set().expect("no error");
        });
        event.set().expect("no error");
        waiter.join().expect("no panic");
        other.join().expect("no panic");
        assert!(event.try_wait());
        assert!(!event.try_wait());
    });
}

#[test]
fn settings_of_two_at_once_let_one_pass_or_two() {
    model(3, || {
        let event = Arc::new(AutoResetEvent::new(false));
        let waiter = spawn(1, &event, |event| {
            assert!(event.wait(PARK.strategy, PARK.deadline).expect("no error"));
        });
        let setter = spawn(2, &event, |event| event.set().expect("no error"));
        event.set().expect("no error");
        setter.join().expect("no panic");
        waiter.join().expect("no panic");
        event.try_wait();
        assert!(!event.try_wait());
    });
}
