//! Handlers: they count, wake, chain, restore, and refuse what cannot be handled so.

// A handler that was there before ours.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU32, Ordering};

use ipc_core::{Deadline, OpenErrorKind, RecvError};
use ipc_signal::{Signal, SignalCounter, SignalEvent, SignalFlag, SignalTarget};
use ipc_testing::{Guest, Host, between_processes};

/// The host sends this signal as often as the guest asks for it.
fn send_on_request(guest: &mut Guest, signal: Signal) {
    while guest.hear() == "send" {
        SignalTarget::process(guest.pid()).expect("it is there").send(signal).expect("sent");
        guest.tell("sent");
    }
}

/// Has the host send; the handler may run a moment later, in another thread.
fn ask(host: &mut Host) {
    host.tell("send");
    assert_eq!(host.hear(), "sent");
}

fn wait_until(holds: impl Fn() -> bool) {
    while !holds() {
        std::thread::yield_now();
    }
}

/// What `/proc` says of the signals that this process handles.
fn is_handled(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a line");
    let mask = u64::from_str_radix(line.trim(), 16).expect("a mask");
    mask >> (signal.number() - 1) & 1 == 1
}

#[test]
fn a_flag_is_raised_by_the_signal_and_lowered_by_taking() {
    between_processes!(|guest| send_on_request(guest, Signal::USR1), |host| {
        let flag = SignalFlag::install(Signal::USR1).expect("it can be handled");
        assert!(!flag.is_raised());
        for _ in 0..3 {
            ask(host);
            wait_until(|| flag.is_raised());
            assert!(flag.take());
            assert!(!flag.is_raised() && !flag.take());
        }
        host.tell("over");
    },);
}

#[test]
fn a_counter_counts_each_signal_that_was_taken_before_the_next() {
    between_processes!(|guest| send_on_request(guest, Signal::USR2), |host| {
        let counter = SignalCounter::install(Signal::USR2).expect("it can be handled");
        for count in 1..=100 {
            ask(host);
            wait_until(|| counter.total() == count);
        }
        assert_eq!((counter.take(), counter.take()), (100, 0));
        host.tell("over");
    },);
}

#[test]
fn an_event_wakes_who_waits() {
    between_processes!(|guest| send_on_request(guest, Signal::HUP), |host| {
        let mut event = SignalEvent::install(Signal::HUP).expect("it can be handled");
        assert!(matches!(event.wait(Deadline::Now), Err(RecvError::Empty)));
        for _ in 0..10 {
            ask(host);
            assert_eq!(event.wait(Deadline::Never).expect("it has come"), 1);
        }
        host.tell("over");
    },);
}

static FORMER: AtomicU32 = AtomicU32::new(0);

extern "C" fn former(signo: libc::c_int) {
    FORMER.fetch_add(signo as u32, Ordering::Relaxed);
}

/// Installs the handler above; returns the address of what was there.
fn install_former(signal: Signal) -> usize {
    let handler: extern "C" fn(libc::c_int) = former;
    // SAFETY: the handler only adds to an atomic.
    unsafe { libc::signal(signal.number(), handler as libc::sighandler_t) }
}

#[test]
fn the_former_handler_is_called_too_and_alone_after_the_drop() {
    between_processes!(|guest| send_on_request(guest, Signal::USR1), |host| {
        install_former(Signal::USR1);
        let number = Signal::USR1.number() as u32;
        let counter = SignalCounter::install(Signal::USR1).expect("it can be handled");
        ask(host);
        wait_until(|| FORMER.load(Ordering::Relaxed) == number);
        assert_eq!(counter.total(), 1);
        drop(counter);
        ask(host);
        wait_until(|| FORMER.load(Ordering::Relaxed) == 2 * number);
        let again = SignalCounter::install(Signal::USR1).expect("it is free again");
        assert_eq!(again.total(), 0);
        host.tell("over");
    },);
}

#[test]
fn a_handler_above_ours_stays_when_ours_is_dropped() {
    between_processes!(|guest| send_on_request(guest, Signal::USR1), |host| {
        let flag = SignalFlag::install(Signal::USR1).expect("it can be handled");
        let ours = install_former(Signal::USR1);
        assert!(ours > 1, "neither the default nor ignored");
        drop(flag);
        ask(host);
        wait_until(|| FORMER.load(Ordering::Relaxed) == Signal::USR1.number() as u32);
        host.tell("over");
    },);
}

#[test]
fn dropping_restores_the_default_action() {
    between_processes!(|guest| guest.finish(), |_host| {
        assert!(!is_handled(Signal::TERM));
        let flag = SignalFlag::install(Signal::TERM).expect("it can be handled");
        assert!(is_handled(Signal::TERM));
        drop(flag);
        assert!(!is_handled(Signal::TERM));
    },);
}

#[test]
fn errno_survives_the_handler() {
    between_processes!(|guest| guest.finish(), |_host| {
        let mut event = SignalEvent::install(Signal::USR1).expect("it can be handled");
        // Fills the eventfd, so that the handler's own write fails.
        let full = (u64::MAX - 1).to_ne_bytes();
        rustix::io::write(&event, &full).expect("it is empty");
        // SAFETY: this thread's own.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: as above.
        unsafe { *errno = 1234 };
        // Runs the handler in this thread before it returns. SAFETY: only a number.
        unsafe { libc::raise(Signal::USR1.number()) };
        // SAFETY: as above.
        assert_eq!(unsafe { *errno }, 1234);
        assert_eq!(event.wait(Deadline::Now).expect("full"), u64::MAX - 1);
    },);
}

#[test]
fn a_forked_child_does_not_wake_its_parent() {
    between_processes!(|guest| guest.finish(), |_host| {
        let mut event = SignalEvent::install(Signal::USR1).expect("it can be handled");
        // SAFETY: the child only raises a signal, whose handler is ours, and exits.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: only a number.
            unsafe { libc::raise(Signal::USR1.number()) };
            // SAFETY: as above.
            unsafe { libc::_exit(0) };
        }
        let mut status = 0;
        // SAFETY: our own child.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0, "the child handled its signal");
        assert!(matches!(event.wait(Deadline::Now), Err(RecvError::Empty)));
    },);
}

#[test]
fn handlers_come_and_go_under_a_storm_of_signals() {
    const ROUNDS: usize = 2000;
    between_processes!(
        |guest| {
            let target = SignalTarget::process(guest.pid()).expect("it is there");
            assert_eq!(guest.hear(), "begin");
            // Until the guest has ended.
            while target.send(Signal::WINCH).is_ok() {}
            assert!(guest.wait().success());
        },
        |host| {
            host.tell("begin");
            let mut seen = 0;
            let mut round = 0;
            while round < ROUNDS || seen == 0 {
                let mut event = SignalEvent::install(Signal::WINCH).expect("free again");
                let descriptor = event.as_fd().as_raw_fd();
                seen += event.wait(Deadline::Now).unwrap_or(0);
                drop(event);
                // Whoever gets the number now must not be written to.
                let pipe = rustix::event::eventfd(0, rustix::event::EventfdFlags::NONBLOCK)
                    .expect("an eventfd");
                if pipe.as_raw_fd() == descriptor {
                    assert!(rustix::io::read(&pipe, &mut [0; 8]).is_err(), "a late write");
                }
                round += 1;
            }
        },
    );
}

#[test]
fn what_cannot_be_handled_is_refused_by_name() {
    for signal in [
        Signal::KILL,
        Signal::STOP,
        Signal::SEGV,
        Signal::BUS,
        Signal::FPE,
        Signal::ILL,
        Signal::TRAP,
        Signal::SYS,
        Signal::ABRT,
    ] {
        let flag = SignalFlag::install(signal).expect_err("cannot be handled").to_string();
        let counter = SignalCounter::install(signal).expect_err("cannot be handled").to_string();
        let event = SignalEvent::install(signal).expect_err("cannot be handled");
        let is_named =
            matches!(event.kind(), OpenErrorKind::InvalidOption { option: "signal", .. });
        assert!(is_named, "{event}");
        for text in [flag, counter, event.to_string()] {
            let handler = format!("sigaction handler of {signal}");
            assert!(text.starts_with(&handler), "{text}");
        }
    }
}

#[test]
fn a_second_handler_of_a_signal_is_in_use() {
    between_processes!(|guest| guest.finish(), |_host| {
        let first = SignalFlag::install(Signal::USR1).expect("it can be handled");
        let error = SignalEvent::install(Signal::USR1).expect_err("there is one");
        assert!(matches!(error.kind(), OpenErrorKind::InUse(_)), "{error}");
        drop(first);
        SignalEvent::install(Signal::USR1).expect("there is none now");
    },);
}
