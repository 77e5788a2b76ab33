//! Senders that leave their fences to a receiver who goes to sleep: no wake-up is lost, not in a forked
//! child either, and where the kernel does not help, both sides fence.

// Forbids itself a system call, and sends from a forked child.
#![allow(unsafe_code)]

use std::hint::spin_loop;
use std::os::fd::OwnedFd;

use ipc_core::{Armed, Deadline, Receiver, RecvError, Sender, WaitSource, WaitStrategy};
use ipc_ring::{Link, Options, RingReceiver, RingSender, pair};
use ipc_testing::process::Forked;
use ipc_testing::{Guest, Host, Invitation, between_processes};
use nix::libc;
use rustix::event::{PollFd, PollFlags};

/// Sleeps of the receiver in a test.
const ROUNDS: u64 = 50_000;

/// Bytes of a message: several lines, which come from the other side's core before the header is seen. So
/// the look at the sleep word is well ahead of it.
const LEN: usize = 512;

/// Looks for answers all the time, so that it sends while the other side is about to sleep. Its ring comes
/// round after a few messages.
fn restless() -> Options {
    Options::new().capacity_bytes(4096).wait_strategy(WaitStrategy::Spin).asymmetric_fences()
}

/// Announces its sleep at once.
fn sleepy() -> Options {
    Options::new().wait_strategy(WaitStrategy::Park)
}

fn join_guest(guest: &mut Guest, options: &Options) -> Link {
    let (ours, theirs) = pair().expect("a pair");
    guest.invite(Invitation::of_descriptors(vec![theirs.into()]));
    ours.join(options, Deadline::Never).expect("a link")
}

fn join_host(host: &mut Host, options: &Options) -> Link {
    let socket: OwnedFd = host.invitation().descriptors.remove(0);
    Link::over(socket, options, Deadline::Never).expect("a link")
}

fn ends(link: Link) -> (RingSender, RingReceiver) {
    (link.sender.expect("a duplex link"), link.receiver.expect("a duplex link"))
}

/// Both sides hesitate after each answer, so that a message is sent and a sleep announced in any order.
struct Hesitation(u64);

impl Hesitation {
    /// For a random moment, mostly of less than 0.5 µs, of some 3 µs at most.
    fn pause(&mut self) {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (0..self.0 % (1 << ((self.0 >> 32) % 8))).for_each(|_| spin_loop());
    }
}

/// Sends each number a random moment after the answer to the last one has come. A wake-up that is lost
/// ends this by the watchdog: both sides wait.
fn ask(sender: &mut RingSender, receiver: &mut RingReceiver) {
    let mut hesitation = Hesitation(0x9e37_79b9_7f4a_7c15);
    for number in 0..ROUNDS {
        hesitation.pause();
        let message = [number as u8; LEN];
        sender.send(&message).expect("sent");
        let mut answer = [0; 1];
        receiver.recv(&mut answer).expect("answered");
        assert_eq!(answer, [number as u8]);
    }
}

/// Answers each number, which it waits for in a manner of its own.
fn answer(host: &mut Host, mut wait: impl FnMut(&mut RingReceiver)) {
    let (mut sender, mut receiver) = ends(join_host(host, &sleepy()));
    assert!(receiver.has_asymmetric_fences());
    let mut hesitation = Hesitation(0xd1b5_4a32_d192_ed03);
    for number in 0..ROUNDS {
        hesitation.pause();
        wait(&mut receiver);
        let mut message = [0; LEN];
        receiver.recv(&mut message).expect("received");
        assert_eq!(message, [number as u8; LEN]);
        sender.send(&message[..1]).expect("sent");
    }
}

#[test]
fn a_receiver_that_falls_asleep_is_woken() {
    between_processes!(
        |guest| {
            let (mut sender, mut receiver) = ends(join_guest(guest, &restless()));
            assert!(sender.has_asymmetric_fences());
            ask(&mut sender, &mut receiver);
        },
        |host| answer(host, |_| {}),
    );
}

#[test]
fn a_receiver_that_is_armed_is_woken() {
    between_processes!(
        |guest| {
            let (mut sender, mut receiver) = ends(join_guest(guest, &restless()));
            ask(&mut sender, &mut receiver);
        },
        |host| answer(host, |receiver| {
            let source = receiver.wait_source().expect("it may sleep");
            if source.arm().expect("armed") == Armed::Waiting {
                let (descriptor, _) = source.descriptor();
                let mut descriptors = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
                rustix::event::poll(&mut descriptors, None).expect("polled");
                source.disarm();
            }
        }),
    );
}

#[test]
fn a_forked_child_of_the_sender_wakes_the_receiver_too() {
    between_processes!(
        |guest| {
            let (mut sender, mut receiver) = ends(join_guest(guest, &restless()));
            assert!(sender.has_asymmetric_fences());
            // It is registered because its parent is.
            let mut child = Forked::start(|| ask(&mut sender, &mut receiver));
            assert_eq!(child.wait().exit_status(), Some(0));
        },
        |host| answer(host, |_| {}),
    );
}

#[test]
fn it_takes_effect_where_the_sender_asks_and_the_receiver_may_sleep() {
    let sleeps = Options::new();
    let spins = sleeps.wait_strategy(WaitStrategy::Spin);
    let cases = [
        (sleeps.asymmetric_fences(), sleeps, [true, false]),
        (sleeps, sleeps.asymmetric_fences(), [false, true]),
        (sleeps.asymmetric_fences(), sleeps.asymmetric_fences(), [true, true]),
        (sleeps, sleeps, [false, false]),
        // Nobody has to wake who never sleeps.
        (sleeps.asymmetric_fences(), spins.asymmetric_fences(), [false, true]),
    ];
    for (one, other, expected) in cases {
        let (here, there) = Link::between_threads(&one, &other).expect("a link");
        let (sender, receiver) = ends(here);
        let (back, there) = ends(there);
        let found = [&sender, &back].map(RingSender::has_asymmetric_fences);
        assert_eq!(found, expected, "{one:?}, {other:?}");
        let found = [&there, &receiver].map(RingReceiver::has_asymmetric_fences);
        assert_eq!(found, expected, "{one:?}, {other:?}");
        let shown = format!("{sender:?}");
        assert!(shown.contains(&format!("has_asymmetric_fences: {}", expected[0])), "{shown}");
    }
    let receives = sleeps.receive_only();
    let (here, there) =
        Link::between_threads(&receives.asymmetric_fences(), &sleeps).expect("a link");
    assert!(!there.sender.expect("a ring").has_asymmetric_fences(), "it was not the one to ask");
    assert!(!here.receiver.expect("a ring").has_asymmetric_fences());
}

/// From now on `membarrier` is a call that the kernel does not have, in this thread and those to come.
/// Tells whether the kernel filters calls at all.
fn forbid_membarrier() -> bool {
    // libc's macros of the same names are not in the crate.
    let statement = |code: u32, k| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let nr_offset = std::mem::offset_of!(libc::seccomp_data, nr) as u32;
    let mut program = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, nr_offset),
        libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: libc::SYS_membarrier as u32,
        },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: takes numbers only.
    let promised = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(promised, 0);
    // SAFETY: the kernel copies the program, which lives until the end of the call.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter) };
    set == 0
}

/// Where it is not possible to filter calls, says so and has the guest do nothing.
fn is_filtered(test: &str) -> bool {
    let is_filtered = forbid_membarrier();
    if !is_filtered {
        ipc_testing::skip(test, "the kernel's filters of system calls");
    }
    is_filtered
}

#[test]
fn a_sender_that_cannot_be_registered_fences() {
    between_processes!(
        |guest| {
            if !is_filtered("a_sender_that_cannot_be_registered_fences") {
                return guest.tell("skip");
            }
            guest.tell("go");
            let (mut sender, mut receiver) = ends(join_guest(guest, &restless()));
            assert!(!sender.has_asymmetric_fences());
            ask(&mut sender, &mut receiver);
        },
        |host| if host.hear() == "go" {
            let (mut sender, mut receiver) = ends(join_host(host, &sleepy()));
            assert!(!receiver.has_asymmetric_fences());
            echo(&mut sender, &mut receiver);
        },
    );
}

#[test]
fn a_sender_fences_for_a_receiver_that_cannot_bar() {
    between_processes!(
        |guest| {
            let (mut sender, mut receiver) = ends(join_guest(guest, &restless()));
            if guest.hear() == "filtered" {
                assert!(!sender.has_asymmetric_fences());
                ask(&mut sender, &mut receiver);
            }
        },
        |host| {
            let filtered = is_filtered("a_sender_fences_for_a_receiver_that_cannot_bar");
            let (mut sender, mut receiver) = ends(join_host(host, &sleepy()));
            host.tell(if filtered { "filtered" } else { "not" });
            if filtered {
                assert!(!receiver.has_asymmetric_fences());
                echo(&mut sender, &mut receiver);
            }
        },
    );
}

fn echo(sender: &mut RingSender, receiver: &mut RingReceiver) {
    for _ in 0..ROUNDS {
        let mut message = [0; LEN];
        receiver.recv(&mut message).expect("received");
        sender.send(&message[..1]).expect("sent");
    }
}

#[test]
fn a_receiver_that_may_not_bar_any_more_fails_rather_than_miss_a_message() {
    let test = "a_receiver_that_may_not_bar_any_more_fails_rather_than_miss_a_message";
    between_processes!(
        |guest| {
            let (mut sender, mut receiver) = ends(join_guest(guest, &restless()));
            assert!(sender.has_asymmetric_fences());
            receiver.recv(&mut []).expect("tried");
            sender.send(b"there").expect("sent");
            receiver.recv(&mut []).expect("received");
        },
        |host| {
            let (mut sender, mut receiver) = ends(join_host(host, &sleepy()));
            if is_filtered(test) {
                let error = receiver.recv(&mut []).expect_err("it would have to sleep");
                let RecvError::Os(error) = error else { panic!("{error}") };
                assert_eq!(error.source.raw_os_error(), Some(libc::ENOSYS));
                assert!(error.to_string().contains("membarrier on ring"), "{error}");
                let error = receiver.arm().expect_err("it would have to sleep");
                assert_eq!(error.raw_os_error(), Some(libc::ENOSYS));
                assert!(matches!(receiver.try_recv(&mut []), Err(RecvError::Empty)));
            }
            sender.send(&[]).expect("sent");
            // What is there is received, without sleep.
            let mut message = [0; 8];
            let received = loop {
                match receiver.try_recv(&mut message) {
                    Err(RecvError::Empty) => spin_loop(),
                    other => break other.expect("received"),
                }
            };
            assert_eq!(&message[..received.len], b"there");
            sender.send(&[]).expect("sent");
        },
    );
}
