//! Real processes killed at every step of sending, receiving and repairing, while others are asleep
//! on the semaphore or on the lock.
//!
//! The processes are forks without `exec`, so these tests also show that an endpoint may be used in
//! one. `may_die` stops the process at the chosen step; the parent kills it there.

// Forks, and ends the child without running destructors.
#![allow(unsafe_code)]

use ipc_core::{Receiver, Sender, WaitStrategy};
use ipc_testing::between_processes;
use ipc_testing::process::wait_until_parked;
use rustix::process::{Pid, Signal, WaitOptions};

use crate::{BoundedBuffer, death};

/// The points between the steps of sending or receiving; see `Control::pass`.
const POINTS: u32 = 5;
/// Those of them before the commit.
const UNCOMMITTED: u32 = 3;
/// The points between the steps of a repair; see `Control::lock`.
const REPAIR_POINTS: u32 = 3;

const SLOTS: usize = 2;

struct Child(Pid);

impl Child {
    /// Forks a process that runs `part` and ends.
    fn fork(part: impl FnOnce()) -> Self {
        // SAFETY: the other thread of this process only waits for the test to end and holds no lock;
        // the child leaves by `_exit`.
        match unsafe { libc::fork() } {
            0 => {
                let run = std::panic::AssertUnwindSafe(part);
                let status = i32::from(std::panic::catch_unwind(run).is_err());
                // SAFETY: ends the child without running the parent's destructors.
                unsafe { libc::_exit(status) }
            }
            pid => Self(Pid::from_raw(pid).expect("fork works")),
        }
    }

    /// Forks a process that runs `part`, and waits until it stands at point `point` of it.
    fn stopped_at(point: u32, part: impl FnOnce()) -> Self {
        let child = Self::fork(|| {
            death::die_after(point);
            part();
        });
        let (_, status) = rustix::process::waitpid(Some(child.0), WaitOptions::UNTRACED)
            .expect("our child")
            .expect("a change");
        assert!(status.stopped(), "point {point} was not reached: {status:?}");
        child
    }

    /// Forks a process that runs `part`, and waits until it sleeps in it.
    fn asleep_in(part: impl FnOnce()) -> Self {
        let child = Self::fork(part);
        wait_until_parked(child.0.as_raw_nonzero().get().unsigned_abs());
        child
    }

    fn kill(self) {
        rustix::process::kill_process(self.0, Signal::KILL).expect("our child");
        rustix::process::waitpid(Some(self.0), WaitOptions::empty()).expect("our child");
    }

    fn finish(self) {
        let (_, status) = rustix::process::waitpid(Some(self.0), WaitOptions::empty())
            .expect("our child")
            .expect("a change");
        assert_eq!(status.exit_status(), Some(0), "the child failed");
    }
}

fn buffer() -> BoundedBuffer {
    let options = BoundedBuffer::options().slots(SLOTS).slot_bytes(8);
    options.create_anonymous("killed").expect("a buffer").0
}

fn send(buffer: &BoundedBuffer, message: &[u8]) {
    buffer.sender().with_strategy(WaitStrategy::Park).send(message).expect("room in the end");
}

#[track_caller]
fn assert_receives(buffer: &BoundedBuffer, expected: &[u8]) {
    let mut message = [0; 8];
    let mut receiver = buffer.receiver().with_strategy(WaitStrategy::Park);
    let len = receiver.recv(&mut message).expect("a message in the end").len;
    assert_eq!(message[..len], *expected);
}

/// Whoever died, everything in the buffer is `expected`, and all of its slots can be used.
#[track_caller]
fn assert_holds(buffer: &BoundedBuffer, expected: &[&[u8]]) {
    for message in expected {
        assert_receives(buffer, message);
    }
    for _ in 0..SLOTS {
        buffer.sender().try_send(b"room").expect("the whole capacity");
    }
    buffer.sender().try_send(b"more").expect_err("not more than the capacity");
    for _ in 0..SLOTS {
        assert_receives(buffer, b"room");
    }
    buffer.receiver().try_recv(&mut []).expect_err("empty");
    // Else those who wait would not sleep.
    buffer.memory.control().assert_settled(SLOTS as u32, 0);
}

#[test]
fn a_sleeping_receiver_gets_what_a_killed_sender_had_committed() {
    between_processes!(
        |_guest| {
            for point in 0..POINTS {
                let buffer = buffer();
                let receiver = Child::asleep_in(|| assert_receives(&buffer, b"sent"));
                // The receiver is the only one left that could notice anything.
                Child::stopped_at(point, || send(&buffer, b"sent")).kill();
                if point < UNCOMMITTED {
                    send(&buffer, b"sent");
                }
                receiver.finish();
                assert_holds(&buffer, &[]);
            }
        },
        |_host| {},
    );
}

#[test]
fn a_sleeping_sender_gets_the_room_that_a_killed_receiver_had_made() {
    between_processes!(
        |_guest| {
            for point in 0..POINTS {
                let buffer = buffer();
                send(&buffer, b"1");
                send(&buffer, b"2");
                let sender = Child::asleep_in(|| send(&buffer, b"3"));
                Child::stopped_at(point, || assert_receives(&buffer, b"1")).kill();
                if point < UNCOMMITTED {
                    assert_receives(&buffer, b"1");
                }
                sender.finish();
                assert_holds(&buffer, &[b"2", b"3"]);
            }
        },
        |_host| {},
    );
}

#[test]
fn those_asleep_on_the_lock_go_on_when_its_owner_is_killed() {
    between_processes!(
        |_guest| {
            for point in 0..POINTS {
                let buffer = buffer();
                send(&buffer, b"1");
                let owner = Child::stopped_at(point, || send(&buffer, b"2"));
                // A stopped owner keeps the lock, so these two go to sleep on it.
                let first = Child::asleep_in(|| assert_receives(&buffer, b"1"));
                let second = Child::asleep_in(|| send(&buffer, b"3"));
                owner.kill();
                first.finish();
                second.finish();
                let committed: &[&[u8]] = &[b"2", b"3"];
                assert_holds(&buffer, &committed[usize::from(point < UNCOMMITTED)..]);
            }
        },
        |_host| {},
    );
}

#[test]
fn one_woken_for_the_lock_may_be_killed_in_its_turn() {
    between_processes!(
        |_guest| {
            for point in 0..POINTS {
                for repair_point in 0..REPAIR_POINTS {
                    let buffer = buffer();
                    send(&buffer, b"1");
                    Child::stopped_at(point, || assert_receives(&buffer, b"1")).kill();
                    // The next one dies while it repairs, before it sends anything.
                    let repairer = Child::stopped_at(repair_point, || send(&buffer, b"3"));
                    let sleeper = if point < UNCOMMITTED {
                        Child::asleep_in(|| assert_receives(&buffer, b"1"))
                    } else {
                        Child::asleep_in(|| send(&buffer, b"2"))
                    };
                    repairer.kill();
                    sleeper.finish();
                    let left: &[&[u8]] = &[b"2"];
                    assert_holds(&buffer, &left[usize::from(point < UNCOMMITTED)..]);
                }
            }
        },
        |_host| {},
    );
}
