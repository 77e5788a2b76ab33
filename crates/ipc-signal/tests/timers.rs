//! Timers: never early, periodic ones keep to their multiples, and bad schedules are typed errors.

use std::time::Duration;

use ipc_core::{Deadline, Interest, OpenErrorKind, RecvError, WaitSource, poll};
use ipc_signal::{
    MaskGuard, RealtimeSignal, Schedule, SignalReceiver, SignalTimer, TimerClock, TimerDescriptor,
};
use ipc_testing::between_processes;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const INTERVAL: Duration = Duration::from_millis(2);
const CLOCKS: [TimerClock; 3] = [TimerClock::Monotonic, TimerClock::Boottime, TimerClock::Realtime];

fn signal() -> RealtimeSignal {
    RealtimeSignal::from_offset(7).expect("there are more")
}

#[test]
fn a_one_shot_descriptor_expires_once_and_not_early() {
    for clock in CLOCKS {
        let mut timer = TimerDescriptor::open(clock).expect("a timer");
        let began = clock.now();
        timer.set(Schedule::after(INTERVAL)).expect("set");
        assert_eq!(timer.wait(Deadline::Never).expect("expires").get(), 1);
        assert!(clock.now() - began >= INTERVAL, "{clock:?} was early");
        assert!(matches!(timer.wait(Deadline::Now), Err(RecvError::Empty)));
        let timed_out = timer.wait(Deadline::after(INTERVAL));
        assert!(matches!(timed_out, Err(RecvError::TimedOut)), "{timed_out:?}");
    }
}

#[test]
fn an_absolute_time_is_waited_for_and_one_that_has_passed_expires_at_once() {
    for clock in CLOCKS {
        let mut timer = TimerDescriptor::open(clock).expect("a timer");
        let time = clock.now() + INTERVAL;
        timer.set(Schedule::at(time)).expect("set");
        timer.wait(Deadline::Never).expect("expires");
        assert!(clock.now() >= time, "{clock:?} was early");
        for passed in
            [Schedule::at(Duration::ZERO), Schedule::at(time), Schedule::after(Duration::ZERO)]
        {
            timer.set(passed).expect("set");
            timer.wait(Deadline::Never).expect("expires at once");
        }
    }
}

#[test]
fn a_periodic_descriptor_counts_the_expiries_that_nobody_read() {
    let mut timer = TimerDescriptor::open(TimerClock::Monotonic).expect("a timer");
    let mut other = TimerDescriptor::open(TimerClock::Monotonic).expect("a timer");
    let began = TimerClock::Monotonic.now();
    timer.set(Schedule::at(began + INTERVAL).every(INTERVAL)).expect("set");
    other.set(Schedule::at(began + 10 * INTERVAL)).expect("set");
    other.wait(Deadline::Never).expect("expires");
    let mut expiries = timer.wait(Deadline::Never).expect("expired").get();
    assert!(expiries >= 10, "{expiries} expiries in ten intervals");
    // By the multiples: however late we look, none is left out and none is added.
    for _ in 0..5 {
        expiries += timer.wait(Deadline::Never).expect("expires").get();
        let elapsed = TimerClock::Monotonic.now() - began;
        assert!(expiries as u128 <= elapsed.as_nanos() / INTERVAL.as_nanos(), "{expiries}");
    }
    timer.stop().expect("stopped");
    assert!(matches!(timer.wait(Deadline::Now), Err(RecvError::Empty)));
}

#[test]
fn a_descriptor_wakes_who_polls_it() {
    let mut timer = TimerDescriptor::open(TimerClock::Monotonic).expect("a timer");
    timer.set(Schedule::after(INTERVAL)).expect("set");
    let (descriptor, interest) = timer.descriptor();
    assert_eq!(interest, Interest::Readable);
    assert!(poll::wait_ready(descriptor, interest, Deadline::Never).expect("poll works"));
    timer.wait(Deadline::Now).expect("it has expired");
}

#[test]
fn a_signal_timer_sends_its_value_at_each_expiry() {
    let _mask = MaskGuard::block([signal()]).expect("a mask");
    between_processes!(|guest| guest.finish(), |_host| {
        let mut receiver = SignalReceiver::open(signal()).expect("all threads block it");
        for clock in CLOCKS {
            let mut timer = SignalTimer::open(clock, signal(), u64::MAX).expect("a timer");
            let time = clock.now() + INTERVAL;
            timer.set(Schedule::at(time).every(INTERVAL)).expect("set");
            let mut expiries = 0;
            while expiries < 5 {
                let message = receiver.recv_signal(Deadline::Never).expect("expires");
                assert!(clock.now() >= time, "{clock:?} was early");
                assert_eq!((message.value, message.sender), (Some(u64::MAX), None));
                expiries += 1 + message.overruns.expect("of a timer");
            }
            timer.stop().expect("stopped");
            while receiver.recv_signal(Deadline::Now).is_ok() {}
        }
    },);
}

#[test]
fn schedules_that_cannot_be_are_refused() {
    let mut descriptor = TimerDescriptor::open(TimerClock::Monotonic).expect("a timer");
    let mut timer = SignalTimer::open(TimerClock::Monotonic, signal(), 0).expect("a timer");
    for (schedule, bad) in [
        (Schedule::after(INTERVAL).every(Duration::ZERO), "interval"),
        (Schedule::after(INTERVAL).every(Duration::MAX), "interval"),
        (Schedule::after(Duration::MAX), "first expiry"),
    ] {
        for error in [descriptor.set(schedule), timer.set(schedule)] {
            let error = error.expect_err("no such time");
            let is_named = matches!(error.kind(), OpenErrorKind::InvalidOption { option, .. } if *option == bad);
            assert!(is_named, "{error}");
            assert!(error.to_string().contains("timer"), "{error}");
        }
    }
}

#[test]
fn a_timer_without_a_place_in_the_queue_names_the_setting() {
    between_processes!(|guest| guest.finish(), |_host| {
        let Rlimit { maximum, .. } = getrlimit(Resource::Sigpending);
        setrlimit(Resource::Sigpending, Rlimit { current: Some(0), maximum }).expect("less");
        let error = SignalTimer::open(TimerClock::Monotonic, signal(), 0).expect_err("no place");
        assert!(matches!(error.kind(), OpenErrorKind::Limit { .. }), "{error}");
        assert!(error.to_string().contains("RLIMIT_SIGPENDING"), "{error}");
    },);
}
