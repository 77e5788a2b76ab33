//! Processes killed at random moments: nothing that was committed is lost, nothing comes twice, and
//! the survivors go on. (At every chosen step: the unit tests; at every interleaving: the models.)

// Forks: quicker than a new program, and an endpoint may be used in a fork.
#![allow(unsafe_code)]

use std::sync::atomic::Ordering;

use ipc_core::{Receiver, Sender, WaitStrategy};
use ipc_shm::{Access, Backing, BoundedBuffer, Mapping, Memfd};
use ipc_testing::between_processes;
use rustix::process::{Pid, Signal, WaitOptions};

const KILLS: u64 = 300;

/// Forks a process that runs `part` until it is killed.
fn fork(part: impl FnOnce()) -> Pid {
    // SAFETY: the other thread of this process only waits for the test to end and holds no lock; the
    // child leaves by a signal or by `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(part));
            // SAFETY: ends the child without running the parent's destructors.
            unsafe { libc::_exit(1) }
        }
        pid => Pid::from_raw(pid).expect("fork works"),
    }
}

/// Kills a process that should be running.
fn kill(pid: Pid) {
    rustix::process::kill_process(pid, Signal::KILL).expect("our child");
    let (_, status) = rustix::process::waitpid(Some(pid), WaitOptions::empty())
        .expect("our child")
        .expect("a change");
    assert_eq!(status.terminating_signal(), Some(9), "it failed before it was killed");
}

/// Lets a process run for a moment that differs from call to call.
fn some_moment(number: u64) {
    // Fibonacci hashing: spreads the moments over 0 to 511 looks at the clock, some 20 µs.
    let looks = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 55;
    for _ in 0..looks {
        std::hint::black_box(std::time::Instant::now());
    }
}

/// So long that processes spend most of their time copying, with the lock held.
const MAX_LEN: usize = 64 << 10;

/// A buffer, and words in which a process notes what it has done.
fn buffer_and_journal() -> (BoundedBuffer, Mapping) {
    let options = BoundedBuffer::options().slots(16).slot_bytes(MAX_LEN);
    let journal = Memfd::create("journal", 4096, Backing::Reserved).expect("a memfd");
    (
        options.create_anonymous("killed").expect("a buffer").0,
        journal.map(Access::ReadWrite).expect("mapped"),
    )
}

/// A message of varied length, which begins with its numbers.
fn message(who: u64, number: u64) -> Vec<u8> {
    let mut message = [who.to_ne_bytes(), number.to_ne_bytes()].concat();
    message.resize(len_of(number), number as u8);
    message
}

/// Half to all of the longest.
fn len_of(number: u64) -> usize {
    MAX_LEN - (number * 37) as usize % (MAX_LEN / 2)
}

fn numbers(message: &[u8]) -> (u64, u64) {
    let (who, rest) = message.split_first_chunk().expect("long enough");
    let (number, _) = rest.split_first_chunk().expect("long enough");
    let (who, number) = (u64::from_ne_bytes(*who), u64::from_ne_bytes(*number));
    assert!(message == self::message(who, number), "a message is whole");
    (who, number)
}

fn senders_are_killed(strategy: WaitStrategy) {
    let (buffer, journal) = buffer_and_journal();
    let mut receiver = buffer.receiver().with_strategy(strategy);
    let mut received = vec![0; MAX_LEN];
    for who in 0..KILLS {
        let accepted = journal.atomic_u64(0);
        accepted.store(0, Ordering::Relaxed);
        let child = fork(|| {
            let mut sender = buffer.sender().with_strategy(strategy);
            for number in 0.. {
                sender.send(&message(who, number)).expect("room in the end");
                journal.atomic_u64(0).store(number + 1, Ordering::Relaxed);
            }
        });
        let mut next = 0;
        let mut take = |receiver: &mut ipc_shm::BufferReceiver, wait: bool| {
            let result =
                if wait { receiver.recv(&mut received) } else { receiver.try_recv(&mut received) };
            let Ok(len) = result.map(|it| it.len) else { return false };
            assert_eq!(numbers(&received[..len]), (who, next), "in order, and none twice");
            next += 1;
            true
        };
        for _ in 0..who % 7 + 1 {
            assert!(take(&mut receiver, true));
        }
        some_moment(who);
        kill(child);
        while take(&mut receiver, false) {}
        let accepted = journal.atomic_u64(0).load(Ordering::Relaxed);
        assert!((accepted..=accepted + 1).contains(&next), "{next} came of {accepted} accepted");
    }
}

fn receivers_are_killed(strategy: WaitStrategy) {
    let (buffer, journal) = buffer_and_journal();
    let mut sender = buffer.sender().with_strategy(strategy);
    let mut sent = 0;
    let mut noted = 0;
    // Kills since something was noted. Each may have hit a receiver that had taken one message and
    // not yet noted it.
    let mut kills = 0;
    for round in 0..KILLS {
        let child = fork(|| {
            let mut receiver = buffer.receiver().with_strategy(strategy);
            let mut received = vec![0; MAX_LEN];
            let mut last = noted;
            loop {
                let len = receiver.recv(&mut received).expect("a message in the end").len;
                let (number, _) = received[8..].split_first_chunk().expect("long enough");
                let number = u64::from_ne_bytes(*number);
                journal.atomic_u64(0).store(number + 1, Ordering::Relaxed);
                numbers(&received[..len]);
                let missing = if last == noted { kills } else { 0 };
                assert!((last..=last + missing).contains(&number), "{number} after {last}");
                last = number + 1;
            }
        });
        for _ in 0..round % 7 + 4 {
            sender.send(&message(0, sent)).expect("room in the end");
            sent += 1;
        }
        some_moment(round);
        kill(child);
        let before = noted;
        noted = journal.atomic_u64(0).load(Ordering::Relaxed);
        kills = if noted == before { kills + 1 } else { 1 };
    }
    // What is left is the rest, in order.
    let mut receiver = buffer.receiver();
    let mut received = vec![0; MAX_LEN];
    let mut rest = Vec::new();
    while let Ok(it) = receiver.try_recv(&mut received) {
        rest.push(numbers(&received[..it.len]).1);
    }
    let first = rest.first().copied().unwrap_or(sent);
    assert!((noted..=noted + kills).contains(&first), "{first} after {noted}");
    assert!(rest.into_iter().eq(first..sent));
}

#[test]
fn senders_are_killed_spinning() {
    between_processes!(|_guest| senders_are_killed(WaitStrategy::adaptive()), |_host| {});
}

#[test]
fn senders_are_killed_parking() {
    between_processes!(|_guest| senders_are_killed(WaitStrategy::Park), |_host| {});
}

#[test]
fn receivers_are_killed_spinning() {
    between_processes!(|_guest| receivers_are_killed(WaitStrategy::adaptive()), |_host| {});
}

#[test]
fn receivers_are_killed_parking() {
    between_processes!(|_guest| receivers_are_killed(WaitStrategy::Park), |_host| {});
}
