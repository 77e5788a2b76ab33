//! Every limit of the system gives an error that names the setting, and its value.
//!
//! Limits are those of a process, or do not hold for root: so each test has a process to itself.
#![allow(unsafe_code)] // unshare(2), for limits of one's own

mod common;

use std::fs;

use common::TestQueue;
use ipc_core::{OpenError, OpenErrorKind, Receiver, RecvError};
use ipc_mq::posix::QueueReceiver;
use ipc_testing::between_processes;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn setting(name: &str) -> usize {
    let text = fs::read_to_string(format!("/proc/sys/fs/mqueue/{name}"));
    text.expect("the kernel has queues").trim().parse().expect("a number")
}

/// Lowers a limit of this process.
fn set_limit(resource: Resource, current: u64) {
    let maximum = getrlimit(resource).maximum;
    setrlimit(resource, Rlimit { current: Some(current), maximum }).expect("lowering is allowed");
}

#[track_caller]
fn assert_limit(result: Result<QueueReceiver, OpenError>, expected_setting: &str, value: usize) {
    let error = result.expect_err("the limit holds");
    let OpenErrorKind::Limit { setting, .. } = error.kind() else { panic!("{error:?}") };
    assert_eq!(*setting, expected_setting);
    let text = error.to_string();
    assert!(text.starts_with("mq_open POSIX queue \"/ipc-test."), "{text}");
    assert!(text.ends_with(&format!("{expected_setting} raises it")), "{text}");
    assert!(text.contains(&format!(" is {value}")), "{text}");
    // The system's own error can be reached.
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = source {
        if inner.downcast_ref::<std::io::Error>().is_some_and(|e| e.raw_os_error().is_some()) {
            return;
        }
        source = inner.source();
    }
    panic!("no system error in {error:?}");
}

#[test]
fn too_many_messages_name_msg_max() {
    between_processes!(|_guest| {}, |_host| {
        enter_own_ipc_namespace();
        common::drop_privileges();
        let queue = TestQueue::new();
        let most = setting("msg_max");
        let mut options = queue.options();
        options.max_message_bytes(1).capacity_messages(most + 1);
        let result = options.open_receiver(&queue.name);
        assert_limit(result, "/proc/sys/fs/mqueue/msg_max", most);
    },);
}

#[test]
fn too_long_messages_name_msgsize_max() {
    between_processes!(|_guest| {}, |_host| {
        enter_own_ipc_namespace();
        common::drop_privileges();
        let queue = TestQueue::new();
        let most = setting("msgsize_max");
        let mut options = queue.options();
        options.capacity_messages(1).max_message_bytes(most + 1);
        let result = options.open_receiver(&queue.name);
        assert_limit(result, "/proc/sys/fs/mqueue/msgsize_max", most);
    },);
}

#[test]
fn too_many_bytes_name_their_limit_and_not_the_one_on_descriptors() {
    between_processes!(|_guest| {}, |_host| {
        set_limit(Resource::Msgqueue, 99);
        let queue = TestQueue::new();
        let result = queue.options().open_receiver(&queue.name);
        assert_limit(result, "RLIMIT_MSGQUEUE (ulimit -q)", 99);
    },);
}

#[test]
fn too_many_descriptors_name_their_limit() {
    between_processes!(|_guest| {}, |_host| {
        let queue = TestQueue::new();
        let create = queue.options();
        let before = getrlimit(Resource::Nofile).current.expect("a limit");
        set_limit(Resource::Nofile, 0);
        let results = [create.open_receiver(&queue.name), QueueReceiver::open(&queue.name)];
        set_limit(Resource::Nofile, before);
        for result in results {
            let error = result.expect_err("no descriptor is left");
            let OpenErrorKind::Limit { setting, .. } = error.kind() else { panic!("{error:?}") };
            assert!(setting.starts_with("RLIMIT_NOFILE"), "{error}");
        }
    },);
}

#[test]
fn too_many_queues_name_queues_max() {
    between_processes!(|_guest| {}, |_host| {
        // Other users than root briefly take the queues that the machine has left.
        enter_own_ipc_namespace();
        common::drop_privileges();
        let most = setting("queues_max");
        let mut queues = Vec::new();
        let refused = loop {
            let queue = TestQueue::new();
            let mut options = queue.options();
            options.capacity_messages(1).max_message_bytes(1);
            match options.open_receiver(&queue.name) {
                Ok(end) => queues.push((queue, end)),
                refused => break refused,
            }
            assert!(queues.len() <= most, "{} queues, of {most}", queues.len());
        };
        assert_limit(refused, "/proc/sys/fs/mqueue/queues_max", most);

        // Who has one of them open is not concerned.
        let (_, end) = queues.first_mut().expect("a few could be made");
        assert!(matches!(end.try_recv(&mut [0; 1]), Err(RecvError::Empty)));
    },);
}

/// Root gets the kernel's default limits on queues, and disturbs nobody. Others have those of the
/// machine.
fn enter_own_ipc_namespace() {
    if rustix::process::geteuid().is_root() {
        let flags = rustix::thread::UnshareFlags::NEWIPC;
        // SAFETY: it unshares no descriptors, which is what could break promises of other code.
        unsafe { rustix::thread::unshare_unsafe(flags) }.expect("root may");
    }
}
