//! Whom a signal reaches: the process, thread or group that was meant, and nobody else.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

use ipc_core::{OpenErrorKind, SendError};
use ipc_signal::{MaskGuard, RealtimeSignal, Signal, SignalTarget};
use ipc_testing::between_processes;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

fn signal() -> RealtimeSignal {
    RealtimeSignal::from_offset(9).expect("there are more")
}

/// A child in a process group of this number; 0 is one of its own.
fn cat(group: i32) -> Child {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).process_group(group);
    command.spawn().expect("cat starts")
}

#[test]
fn a_process_is_there_until_it_ends_and_gone_even_before_it_is_reaped() {
    let mut child = cat(0);
    let by_pid = SignalTarget::process(child.id()).expect("it is there");
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).expect("a pidfd");
    let by_pidfd = SignalTarget::pidfd(pidfd).expect("it is there");
    for target in [&by_pid, &by_pidfd] {
        assert!(target.exists().expect("asked"));
    }
    let watch = ipc_core::Liveness::of_process(child.id()).expect("it is there");
    by_pidfd.send(Signal::TERM).expect("sent");
    assert!(watch.wait_gone(ipc_core::Deadline::Never).expect("poll works"));
    for target in [&by_pid, &by_pidfd] {
        assert!(!target.exists().expect("asked"), "a zombie");
        assert!(matches!(target.send(Signal::TERM), Err(SendError::PeerGone { .. })));
    }
    assert_eq!(child.wait().expect("reaped").signal(), Some(Signal::TERM.number()));
    let error = by_pid.send(Signal::TERM).expect_err("reaped");
    assert!(matches!(error, SendError::PeerGone { .. }), "{error}");
    assert!(error.to_string().contains(&format!("process {}", child.id())), "{error}");
}

#[test]
fn a_signal_to_a_group_reaches_all_of_it_and_nobody_else() {
    let mut outsider = cat(0);
    let mut leader = cat(0);
    let mut follower = cat(Pid::from_child(&leader).as_raw_nonzero().get());
    let group = SignalTarget::group(leader.id()).expect("it is there");
    assert!(group.exists().expect("asked"));
    let refused = group.send_value(signal(), 1).expect_err("groups get no values");
    assert!(matches!(refused, SendError::Unsupported(_)), "{refused}");
    group.send(Signal::TERM).expect("sent");
    for child in [&mut leader, &mut follower] {
        assert_eq!(child.wait().expect("reaped").signal(), Some(Signal::TERM.number()));
    }
    assert!(!group.exists().expect("asked"));
    assert!(matches!(group.send(Signal::TERM), Err(SendError::PeerGone { .. })));
    assert!(outsider.try_wait().expect("asked").is_none(), "it lives");
    outsider.kill().expect("ours");
    outsider.wait().expect("reaped");
}

#[test]
fn a_signal_to_a_thread_is_pending_for_that_thread_alone() {
    let _mask = MaskGuard::block([signal()]).expect("a mask");
    between_processes!(
        |guest| {
            let thread = guest.hear().parse().expect("a number");
            let target = SignalTarget::thread(guest.pid(), thread).expect("it is there");
            target.send_value(signal(), 5).expect("room for few");
            guest.tell("sent");
            assert_eq!(guest.hear(), "the thread has ended");
            while target.exists().expect("asked") {
                std::thread::yield_now(); // it was joined, and leaves the kernel in a moment
            }
            assert!(matches!(target.send(signal()), Err(SendError::PeerGone { .. })));
            guest.tell("over");
        },
        |host| {
            let (tell_id, id) = std::sync::mpsc::channel();
            let thread = std::thread::spawn(move || {
                let id = rustix::thread::gettid().as_raw_nonzero();
                tell_id.send(id).expect("the test listens");
                std::thread::park();
            });
            let id = id.recv().expect("the thread tells");
            host.tell(&id.to_string());
            assert_eq!(host.hear(), "sent");
            assert_eq!(pending("/proc/thread-self/status"), (false, false));
            let status = format!("/proc/self/task/{id}/status");
            assert_eq!(pending(&status), (true, false));
            thread.thread().unpark();
            thread.join().expect("no panic");
            host.tell("the thread has ended");
            host.hear();
        },
    );
}

/// Whether the signal is pending for a thread itself, and for its process.
fn pending(status: &str) -> (bool, bool) {
    let status = std::fs::read_to_string(status).expect("/proc is mounted");
    let has = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a line");
        let mask = u64::from_str_radix(line.trim(), 16).expect("a mask");
        mask >> (signal().number() - 1) & 1 == 1
    };
    (has("SigPnd:"), has("ShdPnd:"))
}

#[test]
fn targets_that_cannot_be_are_refused_by_name() {
    let is_invalid = |error: &ipc_core::OpenError, bad: &str| matches!(error.kind(), OpenErrorKind::InvalidOption { option, .. } if *option == bad);
    for pid in [0, u32::MAX] {
        let error = SignalTarget::process(pid).expect_err("no process id");
        assert!(is_invalid(&error, "pid"), "{error}");
        let error = SignalTarget::group(pid).expect_err("no group");
        assert!(is_invalid(&error, "group"), "{error}");
        let error = SignalTarget::thread(std::process::id(), pid).expect_err("no thread");
        assert!(is_invalid(&error, "thread"), "{error}");
    }
    let everybody = SignalTarget::group(1).expect_err("every process");
    assert!(is_invalid(&everybody, "group"), "{everybody}");
    let no_pidfd = std::fs::File::open("/dev/null").expect("is there").into();
    let error = SignalTarget::pidfd(no_pidfd).expect_err("no pidfd");
    assert!(is_invalid(&error, "pidfd"), "{error}");
}

#[test]
fn a_thread_of_another_process_and_a_process_that_is_gone_are_not_found() {
    let mut child = cat(0);
    // Its main thread is there, but is none of ours.
    let error = SignalTarget::thread(std::process::id(), child.id()).expect_err("not ours");
    assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
    child.kill().expect("ours");
    child.wait().expect("reaped");
    for error in [SignalTarget::process(child.id()), SignalTarget::group(child.id())] {
        let error = error.expect_err("gone");
        assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
    }
}
