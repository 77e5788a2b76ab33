//! Exhausted limits are errors that name what raises them. Each test lowers the limits of a process
//! of its own.

use std::fs;

use ipc_core::{Deadline, OpenError, OpenErrorKind};
use ipc_pipe::Fifo;
use ipc_testing::{Scope, between_processes};
use rustix::process::{Resource, Rlimit};
use rustix::thread::CapabilitySet;

/// Takes from this thread what root may do and others may not.
fn be_nobody_special() {
    let mut sets = rustix::thread::capabilities(None).expect("readable");
    sets.effective = CapabilitySet::empty();
    rustix::thread::set_capabilities(None, sets).expect("fewer are always allowed");
}

#[track_caller]
fn assert_limit<T: std::fmt::Debug>(result: Result<T, OpenError>, expected: &str) {
    let error = result.expect_err("the limit is reached");
    let OpenErrorKind::Limit { setting, .. } = error.kind() else { panic!("{error}") };
    assert!(setting.contains(expected), "{error}");
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn exhausted_descriptors_name_their_limit() {
    between_processes!(
        |_guest| {
            let scope = Scope::new();
            let fifo = Fifo::create_new(scope.path("fifo")).expect("made");
            let receiver = fifo.open_receiver().expect("opened");
            // No descriptor above those that are open now.
            let lowest_free = rustix::io::dup(&receiver).expect("there is one still");
            let maximum = std::os::fd::AsRawFd::as_raw_fd(&lowest_free) as u64;
            drop(lowest_free);
            let limit = Rlimit { current: Some(maximum), maximum: Some(maximum) };
            rustix::process::setrlimit(Resource::Nofile, limit).expect("lowered");

            assert_limit(ipc_pipe::pipe(), "RLIMIT_NOFILE");
            assert_limit(fifo.open_sender(Deadline::Never), "RLIMIT_NOFILE");
            assert_limit(fifo.open_receiver(), "RLIMIT_NOFILE");
            drop(receiver);
            let mut receiver = fifo.open_receiver().expect("one is free again");
            let error = receiver.wait_for_sender(Deadline::Never);
            assert_limit(error, "RLIMIT_NOFILE");
        },
        |_host| {},
    );
}

#[test]
fn capacity_is_set_and_its_limits_are_named() {
    between_processes!(
        |_guest| {
            be_nobody_special();
            let max: usize = fs::read_to_string("/proc/sys/fs/pipe-max-size")
                .expect("readable")
                .trim()
                .parse()
                .expect("a number");
            let (mut sender, receiver) = ipc_pipe::pipe().expect("a pipe");
            assert_eq!(sender.set_capacity_bytes(4097).expect("allowed"), 8192);
            assert_eq!(receiver.capacity_bytes().expect("known"), 8192);
            assert_limit(sender.set_capacity_bytes(2 * max), "/proc/sys/fs/pipe-max-size");
            assert_limit(sender.set_capacity_bytes(usize::MAX), "/proc/sys/fs/pipe-max-size");
            assert_eq!(sender.capacity_bytes().expect("known"), 8192, "nothing has changed");

            ipc_core::Sender::send(&mut sender, &[1; 6000]).expect("it fits");
            let error = sender.set_capacity_bytes(4096).expect_err("more is in it");
            assert!(matches!(error.kind(), OpenErrorKind::InUse(_)), "{error}");
        },
        |_host| {},
    );
}

#[test]
fn absent_permission_is_told_with_the_path() {
    between_processes!(
        |_guest| {
            let scope = Scope::new();
            let path = scope.path("secret");
            let fifo = ipc_pipe::FifoOptions::new().mode(0).create_new(&path).expect("made");
            be_nobody_special();
            let ends =
                [fifo.open_sender(Deadline::Never).map(drop), fifo.open_receiver().map(drop)];
            for result in ends {
                let error = result.expect_err("nobody may");
                assert!(matches!(error.kind(), OpenErrorKind::PermissionDenied(_)), "{error}");
                assert!(error.to_string().contains("/secret"), "{error}");
            }
        },
        |_host| {},
    );
}
