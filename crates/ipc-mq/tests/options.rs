//! Opening and creating: what the options say, and what they refuse.

mod common;

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;

use common::{TestQueue, told_name};
use ipc_core::{Capacity, MessageLength, OpenErrorKind, Receiver, Sender};
use ipc_mq::posix::{self, OpenOptions, QueueReceiver, QueueSender};
use ipc_testing::between_processes;
use rustix::fs::Mode;

#[test]
fn what_is_not_there_is_not_found() {
    let queue = TestQueue::new();
    let errors = [
        ("mq_open", QueueSender::open(&queue.name).map(drop)),
        ("mq_open", QueueReceiver::open(&queue.name).map(drop)),
        ("mq_unlink", posix::unlink(&queue.name)),
    ];
    for (operation, result) in errors {
        let error = result.expect_err("there is no such queue");
        assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error:?}");
        let expected = format!("{operation} POSIX queue \"/{}\": does not exist", queue.name);
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}

#[test]
fn a_new_queue_is_made_once_and_an_old_one_is_taken_as_it_is() {
    let queue = TestQueue::new();
    let receiver = queue.options().open_receiver(&queue.name).expect("created");
    let error = queue.options().open_sender(&queue.name).expect_err("it exists");
    assert!(matches!(error.kind(), OpenErrorKind::AlreadyExists(_)), "{error:?}");

    let sender = OpenOptions::new().create(true).open_sender(&queue.name).expect("opened");
    for properties in [sender.properties(), receiver.properties()] {
        assert_eq!(properties.capacity, Capacity::Messages(4));
        assert_eq!(properties.message_length, MessageLength::up_to(64));
    }
}

#[test]
fn an_old_queue_that_is_not_as_stated_is_a_mismatch() {
    let queue = TestQueue::new();
    let _receiver = queue.options().open_receiver(&queue.name).expect("created");
    for create in [false, true] {
        let mut options = OpenOptions::new();
        options.create(create).capacity_messages(5);
        let error = options.open_sender(&queue.name).expect_err("it has 4");
        let kind = error.kind();
        assert!(matches!(kind, OpenErrorKind::Mismatch { expected: 5, found: 4, .. }), "{kind:?}");

        let mut options = OpenOptions::new();
        options.create(create).capacity_messages(4).max_message_bytes(63);
        let error = options.open_sender(&queue.name).expect_err("it has 64");
        let kind = error.kind();
        assert!(
            matches!(kind, OpenErrorKind::Mismatch { expected: 63, found: 64, .. }),
            "{kind:?}"
        );

        options.max_message_bytes(64).open_sender(&queue.name).expect("it is as stated");
    }
}

#[test]
fn what_is_left_out_is_the_systems_choice() {
    let read = |setting: &str| -> usize {
        let text = fs::read_to_string(format!("/proc/sys/fs/mqueue/{setting}"));
        text.expect("the kernel has queues").trim().parse().expect("a number")
    };
    let queue = TestQueue::new();
    let receiver = OpenOptions::new().create(true).open_receiver(&queue.name).expect("created");
    let found = receiver.attributes().expect("open");
    assert_eq!(found.capacity_messages, read("msg_default").min(read("msg_max")));
    assert_eq!(found.max_message_bytes, read("msgsize_default").min(read("msgsize_max")));
    assert_eq!(found.queued_messages, 0);
}

#[test]
fn values_that_no_kernel_takes_are_invalid_options() {
    let queue = TestQueue::new();
    let refused = |change: fn(&mut OpenOptions) -> &mut OpenOptions| {
        let mut options = queue.options();
        match change(&mut options).open_receiver(&queue.name).expect_err("refused").kind() {
            OpenErrorKind::InvalidOption { option, .. } => *option,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(|options| options.capacity_messages(0)), "capacity_messages");
    assert_eq!(refused(|options| options.capacity_messages(65_537)), "capacity_messages");
    assert_eq!(refused(|options| options.capacity_messages(usize::MAX)), "capacity_messages");
    assert_eq!(refused(|options| options.max_message_bytes(0)), "max_message_bytes");
    assert_eq!(refused(|options| options.max_message_bytes((16 << 20) + 1)), "max_message_bytes");
    assert_eq!(refused(|options| options.mode(0o1000)), "mode");
}

#[test]
fn a_queue_has_the_mode_that_was_asked_less_the_umask() {
    between_processes!(|_guest| {}, |_host| {
        // Here, since the umask belongs to the whole process.
        let mode_of = |end: &dyn AsFd| {
            let file = File::from(end.as_fd().try_clone_to_owned().expect("duplicated"));
            file.metadata().expect("open").permissions().mode() & 0o7777
        };
        rustix::process::umask(Mode::empty());
        let queue = TestQueue::new();
        let end = queue.options().open_receiver(&queue.name).expect("created");
        assert_eq!(mode_of(&end), 0o600, "the same user only, by default");

        let queue = TestQueue::new();
        let end = queue.options().mode(0o622).open_receiver(&queue.name).expect("created");
        assert_eq!(mode_of(&end), 0o622);

        rustix::process::umask(Mode::from_raw_mode(0o027));
        let queue = TestQueue::new();
        let end = queue.options().mode(0o666).open_receiver(&queue.name).expect("created");
        assert_eq!(mode_of(&end), 0o640);
    },);
}

#[test]
fn mode_bits_let_in_who_may_send_and_nobody_else() {
    between_processes!(
        |guest| {
            rustix::process::umask(Mode::empty());
            let queue = TestQueue::new();
            // For the owner and for others, so that it is the same for root's guest and an ordinary
            // user's; and the end that made the queue is open whatever its mode.
            let mut options = queue.options();
            let _end = options.mode(0o202).open_receiver(&queue.name).expect("created");
            let closed = TestQueue::new();
            let _end = closed.options().mode(0).open_receiver(&closed.name).expect("created");
            guest.tell(queue.name.as_str());
            guest.tell(closed.name.as_str());
            guest.finish();
        },
        |host| {
            common::drop_privileges();
            let name = told_name(host);
            let closed = told_name(host);
            QueueSender::open(&name).expect("everyone may send");
            let mut refused = vec![
                QueueReceiver::open(&name).map(drop),
                QueueReceiver::open(&closed).map(drop),
                QueueSender::open(&closed).map(drop),
            ];
            if host_is_another_user(&name) {
                refused.push(posix::unlink(&name));
            }
            for result in refused {
                let error = result.expect_err("the mode forbids it");
                assert!(matches!(error.kind(), OpenErrorKind::PermissionDenied(_)), "{error:?}");
                assert!(error.to_string().contains("POSIX queue \"/"), "{error}");
            }
        },
    );
}

/// Whether the queue belongs to somebody else: so it does where root's test dropped its privileges.
fn host_is_another_user(name: &ipc_core::Name) -> bool {
    use std::os::unix::fs::MetadataExt;
    let sender = QueueSender::open(name).expect("everyone may send");
    let file = File::from(sender.as_fd().try_clone_to_owned().expect("duplicated"));
    file.metadata().expect("open").uid() != rustix::process::geteuid().as_raw()
}
