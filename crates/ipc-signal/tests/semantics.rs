//! Which signals queue and which coalesce: each statement of `SIGNALS.md`, between two processes. The
//! tests are in the order of the page.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use ipc_core::{Deadline, RecvError, SendError};
use ipc_signal::{
    MaskGuard, RealtimeSignal, Schedule, Signal, SignalListener, SignalTarget, SignalTimer,
    SigwaitReceiver, TimerClock, TimerDescriptor,
};
use ipc_testing::{Guest, Host, between_processes};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const MANY: u64 = 1000;

fn low() -> RealtimeSignal {
    RealtimeSignal::from_offset(5).expect("there are more")
}

fn high() -> RealtimeSignal {
    RealtimeSignal::from_offset(6).expect("there are more")
}

/// Blocks what these tests send, in the process from which host and guest inherit the mask.
fn blocked() -> MaskGuard {
    MaskGuard::block([Signal::USR1, Signal::USR2, low().into(), high().into()]).expect("a mask")
}

/// The guest listens, tells so, and waits until the host has sent.
fn listen_until_sent(host: &mut Host) -> SignalListener {
    let all = [Signal::USR1, Signal::USR2, low().into(), high().into()];
    let listener = SignalListener::open(all).expect("all threads block them");
    host.tell("listening");
    assert_eq!(host.hear(), "sent");
    listener
}

fn to_listening(guest: &mut Guest) -> SignalTarget {
    assert_eq!(guest.hear(), "listening");
    SignalTarget::process(guest.pid()).expect("the guest is there")
}

/// What is pending, by number and value.
fn all_pending(listener: &mut SignalListener) -> Vec<(Signal, Option<u64>)> {
    let mut all = Vec::new();
    while let Ok(message) = listener.recv_signal(Deadline::Now) {
        all.push((message.signal, message.value));
    }
    all
}

fn limit_pending_signals(max: u64) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Sigpending);
    setrlimit(Resource::Sigpending, Rlimit { current: Some(max), maximum })
        .expect("below the hard");
}

#[test]
fn a_thousand_standard_signals_while_one_is_pending_are_one() {
    let _mask = blocked();
    between_processes!(
        |guest| {
            let target = to_listening(guest);
            for _ in 0..MANY {
                target.send(Signal::USR1).expect("coalescing is no error");
            }
            guest.tell("sent");
        },
        |host| {
            let mut listener = listen_until_sent(host);
            assert_eq!(all_pending(&mut listener), [(Signal::USR1, None)]);
        },
    );
}

#[test]
fn of_a_thousand_standard_signals_to_one_who_takes_them_at_least_one_and_the_last_arrive() {
    let _mask = blocked();
    between_processes!(
        |guest| {
            assert_eq!(guest.hear(), "listening");
            let target = SignalTarget::process(guest.pid()).expect("the guest is there");
            for _ in 0..MANY {
                target.send(Signal::USR1).expect("coalescing is no error");
            }
            target.send(Signal::USR2).expect("sent");
        },
        |host| {
            let mut listener =
                SignalListener::open([Signal::USR1, Signal::USR2]).expect("all block them");
            host.tell("listening");
            let mut count = 0_u64;
            // USR1 is the lower number: when USR2 is seen, no USR1 is pending.
            while listener.recv_signal(Deadline::Never).expect("a signal").signal == Signal::USR1 {
                count += 1;
            }
            assert!((1..=MANY).contains(&count), "{count} of {MANY}");
            assert_eq!(all_pending(&mut listener), []);
        },
    );
}

#[test]
fn what_is_sent_after_a_standard_signal_was_taken_arrives_anew() {
    let _mask = blocked();
    between_processes!(
        |guest| {
            let target = to_listening(guest);
            target.send(Signal::USR1).expect("sent");
            guest.tell("sent");
            assert_eq!(guest.hear(), "taken");
            target.send(Signal::USR1).expect("sent");
            guest.tell("sent");
        },
        |host| {
            let mut listener = listen_until_sent(host);
            assert_eq!(all_pending(&mut listener).len(), 1);
            host.tell("taken");
            assert_eq!(host.hear(), "sent");
            assert_eq!(all_pending(&mut listener).len(), 1);
        },
    );
}

#[test]
fn the_particulars_of_coalesced_signals_are_those_of_the_first() {
    let _mask = blocked();
    between_processes!(
        |guest| {
            let target = to_listening(guest);
            target.send(Signal::USR1).expect("sent");
            // Another process sends the second.
            let pid = guest.pid().to_string();
            let kill =
                std::process::Command::new("sh").args(["-c", "kill -USR1 $0", &pid]).status();
            assert!(kill.expect("a shell").success());
            guest.tell("sent");
        },
        |host| {
            let mut listener = listen_until_sent(host);
            let message = listener.recv_signal(Deadline::Now).expect("one is pending");
            let sender = message.sender.and_then(|sender| sender.pid).expect("the kernel says");
            assert_eq!(sender.get(), host.pid());
            assert!(matches!(listener.recv_signal(Deadline::Now), Err(RecvError::Empty)));
        },
    );
}

#[test]
fn a_thousand_realtime_signals_are_a_thousand_in_order_each_with_its_value() {
    let _mask = blocked();
    between_processes!(
        |guest| {
            let target = to_listening(guest);
            for value in 0..MANY {
                while let Err(error) = target.send_value(low(), value) {
                    // Other tests fill the user's queue too.
                    assert!(matches!(error, SendError::Limit(_)), "{error}");
                    std::thread::yield_now();
                }
            }
            guest.tell("sent");
        },
        |host| {
            let mut listener = listen_until_sent(host);
            let expected: Vec<_> =
                (0..MANY).map(|value| (Signal::from(low()), Some(value))).collect();
            assert_eq!(all_pending(&mut listener), expected);
        },
    );
}

#[test]
fn of_several_pending_realtime_signals_the_lowest_number_comes_first() {
    let _mask = blocked();
    between_processes!(
        |guest| {
            let target = to_listening(guest);
            for (signal, value) in [(high(), 1), (low(), 2), (high(), 3), (low(), 4)] {
                target.send_value(signal, value).expect("room for few");
            }
            guest.tell("sent");
        },
        |host| {
            let mut listener = listen_until_sent(host);
            let values: Vec<_> =
                all_pending(&mut listener).into_iter().filter_map(|(_, value)| value).collect();
            assert_eq!(values, [2, 4, 1, 3]);
        },
    );
}

#[test]
fn a_standard_and_a_realtime_signal_of_one_sender_may_overtake_each_other() {
    let _mask = blocked();
    between_processes!(
        |guest| {
            let target = to_listening(guest);
            target.send_value(low(), 1).expect("room for few");
            target.send(Signal::USR1).expect("sent");
            guest.tell("sent");
        },
        |host| {
            let mut listener = listen_until_sent(host);
            let expected = [(Signal::USR1, None), (low().into(), Some(1))];
            assert_eq!(all_pending(&mut listener), expected);
        },
    );
}

#[test]
fn a_full_queue_refuses_realtime_signals_with_a_value_and_still_takes_standard_ones() {
    let _mask = blocked();
    between_processes!(
        |guest| {
            let target = to_listening(guest);
            let error = target.send_value(low(), 1).expect_err("room for none");
            assert!(matches!(error, SendError::Limit(_)), "{error}");
            assert!(error.to_string().contains("RLIMIT_SIGPENDING"), "{error}");
            assert!(error.to_string().contains("pidfd_send_signal on process"), "{error}");
            target.send(Signal::USR1).expect("needs no room");
            guest.tell("sent");
        },
        |host| {
            limit_pending_signals(0);
            let mut listener = listen_until_sent(host);
            assert_eq!(all_pending(&mut listener), [(Signal::USR1, None)]);
        },
    );
}

#[test]
fn a_full_queue_takes_a_realtime_signal_from_kill_without_its_particulars() {
    let _mask = blocked();
    between_processes!(
        |guest| {
            let target = to_listening(guest);
            for _ in 0..3 {
                target.send(low()).expect("needs no room");
            }
            guest.tell("sent");
        },
        |host| {
            limit_pending_signals(0);
            let mut listener = listen_until_sent(host);
            let message = listener.recv_signal(Deadline::Now).expect("one is pending");
            assert_eq!((message.signal, message.value), (low().into(), None));
            assert_eq!(message.sender, None);
            assert_eq!(all_pending(&mut listener), [], "three have become one");
        },
    );
}

#[test]
fn a_timer_has_one_signal_in_the_queue_and_counts_what_expires_meanwhile() {
    let _mask = blocked();
    // A timer signals its own process; the guest is there to have one that nothing else disturbs.
    between_processes!(|guest| guest.finish(), |_host| {
        const INTERVAL: Duration = Duration::from_millis(1);
        // It takes one signal at a time, which is what the timer's own count is of.
        let mut receiver = SigwaitReceiver::open(low()).expect("all threads block it");
        let mut timer = SignalTimer::open(TimerClock::Monotonic, low(), 7).expect("a timer");
        let mut clock = TimerDescriptor::open(TimerClock::Monotonic).expect("a timer");
        timer.set(Schedule::after(INTERVAL).every(INTERVAL)).expect("set");
        clock.set(Schedule::after(20 * INTERVAL)).expect("set");
        clock.wait(Deadline::Never).expect("expires");

        let first = receiver.recv_signal(Deadline::Now).expect("one is pending");
        assert_eq!((first.value, first.code), (Some(7), SI_TIMER));
        // At least so many: the 20 ms began after the timer was set.
        let overruns = first.overruns.expect("of a timer");
        assert!(overruns >= 19, "{overruns} overruns in 20 intervals");
        assert_eq!(timer.overruns().expect("asked"), overruns);
        timer.stop().expect("stopped");
    },);
}

/// The same on every Linux.
const SI_TIMER: i32 = -2;

#[test]
fn a_signal_for_a_thread_and_one_for_its_process_are_pending_apart() {
    let _mask = blocked();
    between_processes!(
        |guest| {
            let thread = guest.hear().parse().expect("a number");
            let one = SignalTarget::thread(guest.pid(), thread).expect("it is there");
            let all = SignalTarget::process(guest.pid()).expect("it is there");
            for target in [&all, &one] {
                target.send(Signal::USR1).expect("sent");
            }
            guest.tell("sent");
        },
        |host| {
            // The thread that listens.
            host.tell(&rustix::thread::gettid().as_raw_nonzero().to_string());
            let mut listener = SignalListener::open([Signal::USR1]).expect("all block it");
            assert_eq!(host.hear(), "sent");
            assert_eq!(all_pending(&mut listener).len(), 2);
        },
    );
}

#[test]
fn a_pending_signal_is_delivered_when_it_is_unblocked() {
    // Not blocked in the supervisor, so that dropping the guard unblocks.
    between_processes!(
        |guest| {
            let thread = guest.hear().parse().expect("a number");
            let target = SignalTarget::thread(guest.pid(), thread).expect("it is there");
            target.send_value(low(), 1).expect("room for few");
            guest.tell("sent");
            assert_eq!(guest.wait().signal(), Some(low().number()));
        },
        |host| {
            let mask = MaskGuard::block([low()]).expect("a mask");
            host.tell(&rustix::thread::gettid().as_raw_nonzero().to_string());
            assert_eq!(host.hear(), "sent");
            drop(mask);
            unreachable!("the default action has ended this process");
        },
    );
}
