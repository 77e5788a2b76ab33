//! What a poller pays for learning of its peer's death: a system call now and then.

#![cfg(target_arch = "x86_64")] // it reads the registers of a process

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;

use common::{child_of, is_child};
use ipc_core::{Deadline, Receiver, RecvError, SendError, Sender, WaitStrategy};
use ipc_ring::{Link, Options, pair};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::pipe::PipeFlags;
use rustix::time::{ClockId, clock_gettime};

const VARIABLE: &str = "IPC_RING_POLLER_LINK";

fn options() -> Options {
    Options::new().capacity_bytes(1 << 16).wait_strategy(WaitStrategy::adaptive())
}

/// Counted by ptrace(2).
#[test]
fn a_poller_makes_a_system_call_at_most_once_a_millisecond() {
    let test = "a_poller_makes_a_system_call_at_most_once_a_millisecond";
    if is_child() {
        return poll_and_count();
    }
    for role in ["receiver", "sender"] {
        let (ours, theirs) = pair().expect("a pair");
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let mut command = child_of(test);
        command.env("IPC_RING_POLLER", role);
        command.stdin(Stdio::piped()).stderr(write);
        let given = theirs.give_to(&mut command, VARIABLE).expect("given");
        let mut child = command.spawn().expect("started");
        drop((given, command));
        let link = ours.join(&options(), Deadline::Never).expect("a link");
        let mut said = File::from(read);
        let mut word = [0; 8];
        said.read_exact(&mut word[..4]).expect("its thread");
        let thread = Pid::from_raw(i32::from_ne_bytes(word[..4].try_into().expect("four")));
        let options = ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL;
        if let Err(error) = ptrace::seize(thread, options) {
            child.kill().and_then(|()| child.wait()).expect("ends");
            println!("{error}");
            return ipc_testing::skip(test, "the right to trace a child");
        }
        let calls = count_calls(thread, child.stdin.take().expect("a pipe"));
        said.read_exact(&mut word).expect("a time");
        let milliseconds = u64::from_ne_bytes(word);
        said.read_exact(&mut word).expect("a number");
        let polls = u64::from_ne_bytes(word);
        println!("{role}: {polls} empty polls in {milliseconds} ms made {calls} system calls");
        assert!(polls > 2 * calls, "{polls} polls made {calls} system calls");
        assert!(calls <= milliseconds + 2, "{calls} system calls in {milliseconds} ms");
        assert!(child.wait().expect("reaped").success());
        drop(link);
    }
}

/// The child's part. Two calls of getppid(2) are the bounds of what is counted.
fn poll_and_count() {
    let mut link = Link::inherited(VARIABLE, &options(), Deadline::Never).expect("a link");
    let (sender, receiver) = (link.sender.as_mut().expect("a ring"), link.receiver.as_mut());
    let receiver = receiver.expect("a ring");
    let sends = std::env::var("IPC_RING_POLLER").as_deref() == Ok("sender");
    while sends && sender.try_send(&[0; 1000]).is_ok() {}
    let mut says = std::io::stderr();
    says.write_all(&rustix::thread::gettid().as_raw_nonzero().get().to_ne_bytes()).expect("heard");
    let _ = std::io::stdin().read(&mut [0]);
    // The coarse clock is never a system call.
    let now = || {
        let now = clock_gettime(ClockId::MonotonicCoarse);
        now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
    };
    let start = now();
    let mut polls = 0_u64;
    let _ = rustix::process::getppid();
    while now() < start + 100 {
        if sends {
            assert!(matches!(sender.try_send(&[0; 1000]), Err(SendError::Full)));
        } else {
            assert!(matches!(receiver.try_recv(&mut []), Err(RecvError::Empty)));
        }
        polls += 1;
    }
    let _ = rustix::process::getppid();
    let took = now() - start;
    says.write_all(&took.to_ne_bytes()).expect("heard");
    says.write_all(&polls.to_ne_bytes()).expect("heard");
}

/// Its number among system calls.
const GETPPID: u64 = 110;

/// System calls of a traced thread between two of getppid(2).
fn count_calls(thread: Pid, mut input: impl Write) -> u64 {
    let wait = || waitpid(thread, Some(WaitPidFlag::__WALL)).expect("traced");
    ptrace::interrupt(thread).expect("traced");
    wait();
    input.write_all(b"!").expect("it reads");
    let (mut calls, mut bounds, mut is_entry) = (0, 0, true);
    ptrace::syscall(thread, None).expect("goes on");
    while bounds < 2 {
        match wait() {
            WaitStatus::PtraceSyscall(_) => {
                let number = ptrace::getregs(thread).expect("stopped").orig_rax;
                if number == GETPPID {
                    bounds += u32::from(is_entry);
                } else if bounds == 1 {
                    calls += u64::from(is_entry);
                }
                is_entry = !is_entry;
            }
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => panic!("it ended"),
            _ => {}
        }
        ptrace::syscall(thread, None).expect("goes on");
    }
    wait();
    ptrace::detach(thread, None).expect("traced");
    calls
}
