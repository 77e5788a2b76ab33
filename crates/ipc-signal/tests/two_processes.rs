//! What the conformance suite does not ask of every mechanism: what is special about signals, between
//! two processes.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use ipc_core::{
    Armed, Capacity, Deadline, Evidence, PeerId, Receiver, RecvError, SendError, Sender,
};
use ipc_signal::{MaskGuard, RealtimeSignal, SignalReceiver, SignalSender};
use ipc_testing::{Guest, Host, between_processes};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};

fn signal() -> RealtimeSignal {
    RealtimeSignal::from_offset(3).expect("there are more")
}

fn other_signal() -> RealtimeSignal {
    RealtimeSignal::from_offset(4).expect("there are more")
}

/// Blocks the signals of these tests in the process that supervises the test, from which host and
/// guest inherit the mask.
fn blocked() -> MaskGuard {
    MaskGuard::block([signal(), other_signal()]).expect("a mask")
}

/// The receiver in the guest; tells the host that it is there.
fn guests_receiver(host: &mut Host) -> SignalReceiver {
    let receiver = SignalReceiver::open(signal()).expect("all threads block it");
    host.tell("open");
    receiver
}

fn hosts_sender(guest: &mut Guest) -> SignalSender {
    assert_eq!(guest.hear(), "open");
    SignalSender::open(guest.pid(), signal()).expect("the guest is there")
}

fn next_value(receiver: &mut SignalReceiver) -> u64 {
    let mut value = [0; 8];
    assert_eq!(receiver.recv(&mut value).expect("a message").len, 8);
    u64::from_ne_bytes(value)
}

/// The error of a full queue names what raises its limit.
fn is_queue_full(error: &SendError) -> bool {
    matches!(error, SendError::Limit(e) if e.setting.contains("RLIMIT_SIGPENDING"))
}

/// Lets at most this many signals be pending for this process's user when one is sent to it.
fn limit_pending_signals(max: u64) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Sigpending);
    let current = (max != u64::MAX).then_some(max);
    setrlimit(Resource::Sigpending, Rlimit { current, maximum }).expect("below the hard limit");
}

/// `kill -NUMBER PID`, by another program.
fn kill(number: i32, pid: u32) {
    let status = Command::new("/bin/sh")
        .args(["-c", &format!("kill -{number} {pid}")])
        .stdin(Stdio::null())
        .status()
        .expect("a shell");
    assert!(status.success());
}

#[test]
fn a_million_values_arrive_in_order_and_every_refusal_is_told() {
    const COUNT: u64 = 1_000_000;
    let _mask = blocked();
    between_processes!(
        |guest| {
            let mut sender = hosts_sender(guest);
            let mut refusals = 0_u64;
            for value in 0..COUNT {
                while let Err(error) = sender.send_value(value) {
                    assert!(is_queue_full(&error), "{error}");
                    if refusals == 0 {
                        guest.tell("read"); // not before the queue was full
                    }
                    refusals += 1;
                    std::thread::yield_now();
                }
            }
            assert!(refusals > 0, "the guest's queue is far shorter than the number of messages");
        },
        |host| {
            limit_pending_signals(1000);
            let mut receiver = guests_receiver(host);
            assert_eq!(host.hear(), "read");
            for value in 0..COUNT {
                assert_eq!(next_value(&mut receiver), value);
            }
            assert!(matches!(receiver.try_recv(&mut [0; 8]), Err(RecvError::Empty)));
        },
    );
}

#[test]
fn a_full_queue_refuses_whatever_the_deadline_and_nothing_of_the_refused_arrives() {
    let _mask = blocked();
    between_processes!(
        |guest| {
            let mut sender = hosts_sender(guest);
            // The queue is that of the user: what other tests have pending counts too. Room for none
            // is full whatever they do.
            assert_eq!(
                sender.properties().capacity,
                Capacity::Messages(0),
                "the receiver's limit counts, not ours"
            );
            for deadline in [Deadline::Now, Deadline::Never, Deadline::after(Duration::MAX / 2)] {
                let refused = sender.send_deadline(&[0xff; 8], deadline);
                assert!(matches!(refused, Err(SendError::Full)), "{refused:?}");
            }
            guest.tell("refused");
            assert_eq!(guest.hear(), "there is room");
            sender.send_value(7).expect("there is");
            guest.tell("sent");
        },
        |host| {
            let usual = getrlimit(Resource::Sigpending).current.unwrap_or(u64::MAX);
            limit_pending_signals(0);
            let mut receiver = guests_receiver(host);
            assert_eq!(host.hear(), "refused");
            assert!(matches!(receiver.try_recv(&mut [0; 8]), Err(RecvError::Empty)));
            limit_pending_signals(usual);
            host.tell("there is room");
            assert_eq!(host.hear(), "sent");
            assert_eq!(next_value(&mut receiver), 7);
            assert!(matches!(receiver.try_recv(&mut [0; 8]), Err(RecvError::Empty)));
        },
    );
}

#[test]
fn a_signal_without_a_value_is_no_message_but_can_be_seen() {
    let _mask = blocked();
    between_processes!(
        |guest| {
            let mut sender = hosts_sender(guest);
            // The kernel queues them in this order.
            kill(signal().number(), guest.pid());
            sender.send_value(7).expect("sent");
            kill(signal().number(), guest.pid());
            sender.send_value(8).expect("sent");
            guest.tell("sent");
        },
        |host| {
            let mut receiver = guests_receiver(host);
            host.hear();
            assert_eq!(next_value(&mut receiver), 7);
            assert_eq!(receiver.without_value(), 1);

            let plain = receiver.recv_signal(Deadline::Now).expect("the second kill");
            assert_eq!((plain.value, plain.code), (None, 0));
            let killer = plain.sender.expect("the kernel names it");
            assert_eq!(killer.evidence, Evidence::Kernel);
            assert_ne!(killer.pid.map(|pid| pid.get()), Some(host.pid()), "it was the shell");

            let queued = receiver.recv_signal(Deadline::Now).expect("the second value");
            assert_eq!((queued.value, queued.code), (Some(8), -1));
            assert_eq!(receiver.without_value(), 1, "those that are reported are not counted");
        },
    );
}

#[test]
fn the_receiver_learns_who_claims_to_have_sent() {
    let _mask = blocked();
    between_processes!(|guest| hosts_sender(guest).send_value(1).expect("sent"), |host| {
        let mut receiver = guests_receiver(host);
        let received = receiver.recv(&mut [0; 8]).expect("a message");
        let Some(PeerId::Process(sender)) = received.sender else {
            panic!("no process: {received:?}")
        };
        assert_eq!(sender.pid.map(|pid| pid.get()), Some(host.pid()));
        assert_eq!(sender.uid, rustix::process::getuid().as_raw());
        assert_eq!(sender.evidence, Evidence::Claimed);
    },);
}

#[test]
fn a_killed_receiver_is_gone_even_before_it_is_reaped_and_with_its_queue_full() {
    let _mask = blocked();
    between_processes!(
        |guest| {
            let mut sender = hosts_sender(guest);
            guest.stop();
            let error = sender.send_value(0).expect_err("room for none");
            assert!(is_queue_full(&error), "stopped, not gone: {error}");

            let pid = Pid::from_raw(guest.pid() as i32).expect("not 0");
            let watch = ipc_core::Liveness::of_process(guest.pid()).expect("there");
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
            assert!(watch.wait_gone(Deadline::Never).expect("poll"));
            // A zombie: the kernel takes the signal and drops it, until the next tick of the clock tells.
            loop {
                match sender.send_value(0) {
                    Ok(()) => {}
                    Err(SendError::PeerGone { .. }) => break,
                    Err(error) => assert!(is_queue_full(&error), "{error}"),
                }
            }

            assert_eq!(guest.wait().signal(), Some(9));
            let error = sender.send_value(0).expect_err("reaped");
            assert!(matches!(error, SendError::PeerGone { .. }), "{error}");
            assert!(error.to_string().contains("SIGRTMIN+3 to process"), "{error}");
        },
        |host| {
            limit_pending_signals(0);
            let mut receiver = guests_receiver(host);
            loop {
                let _ = receiver.recv(&mut [0; 8]);
            }
        },
    );
}

#[test]
fn messages_queued_before_the_receiver_opens_wait_for_it() {
    let _mask = blocked();
    between_processes!(
        |guest| {
            assert_eq!(guest.hear(), "blocked");
            let mut sender = SignalSender::open(guest.pid(), signal()).expect("the guest is there");
            sender.send_value(5).expect("sent");
            guest.tell("sent");
        },
        |host| {
            assert!(MaskGuard::is_blocked(signal()).expect("a mask"), "inherited through exec");
            host.tell("blocked");
            host.hear();
            let mut receiver = SignalReceiver::open(signal()).expect("all threads block it");
            assert_eq!(next_value(&mut receiver), 5);
        },
    );
}

#[test]
fn nothing_is_pending_after_the_receiver_is_dropped() {
    let _mask = blocked();
    between_processes!(
        |guest| {
            let mut sender = hosts_sender(guest);
            for value in 0..100 {
                sender.send_value(value).expect("room for few");
            }
            guest.tell("sent");
        },
        |host| {
            let mut receiver = guests_receiver(host);
            host.hear();
            assert_eq!(next_value(&mut receiver), 0);
            assert!(is_pending(signal()));
            drop(receiver);
            assert!(!is_pending(signal()));
            let mut next = SignalReceiver::open(signal()).expect("the number is free again");
            assert!(matches!(next.try_recv(&mut [0; 8]), Err(RecvError::Empty)));
        },
    );
}

/// Whether this process has a pending signal, by the kernel's own account.
fn is_pending(signal: RealtimeSignal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).expect("a line");
    let mask = u64::from_str_radix(line.trim(), 16).expect("a mask");
    mask >> (signal.number() - 1) & 1 == 1
}

#[test]
fn what_the_endpoint_has_taken_from_the_kernel_keeps_it_ready() {
    let _mask = blocked();
    between_processes!(
        |guest| {
            let mut sender = hosts_sender(guest);
            sender.send_value(1).expect("sent");
            sender.send_value(2).expect("sent");
            guest.tell("sent");
        },
        |host| {
            let mut receiver = guests_receiver(host);
            host.hear();
            assert_eq!(next_value(&mut receiver), 1);
            assert!(!is_pending(signal()), "both came at once");
            let source = receiver.wait_source().expect("waitable");
            assert_eq!(source.arm().expect("never fails"), Armed::Ready);
            source.disarm();
            assert_eq!(next_value(&mut receiver), 2);
            let source = receiver.wait_source().expect("waitable");
            assert_eq!(source.arm().expect("never fails"), Armed::Waiting);
        },
    );
}

#[test]
fn two_signals_between_two_processes_are_two_links() {
    let _mask = blocked();
    between_processes!(
        |guest| {
            let mut first = hosts_sender(guest);
            let mut second =
                SignalSender::open(guest.pid(), other_signal()).expect("the guest is there");
            for value in 0..100 {
                first.send_value(value).expect("room for few");
                second.send_value(1000 + value).expect("room for few");
            }
        },
        |host| {
            let mut second = SignalReceiver::open(other_signal()).expect("all threads block it");
            let mut first = guests_receiver(host);
            for value in 0..100 {
                assert_eq!(next_value(&mut second), 1000 + value);
            }
            for value in 0..100 {
                assert_eq!(next_value(&mut first), value);
            }
        },
    );
}
