//! Bad input and exhausted limits: each is a typed error that names the operation and the resource.

use std::sync::mpsc;

use ipc_core::{Deadline, OpenErrorKind, Receiver, RecvError, SendError, Sender};
use ipc_signal::{MaskGuard, RealtimeSignal, SignalReceiver, SignalSender};
use ipc_testing::between_processes;
use rustix::process::{Resource, Rlimit, getpid, getrlimit, setrlimit};
use rustix::thread::gettid;

fn signal() -> RealtimeSignal {
    RealtimeSignal::from_offset(3).expect("there are more")
}

#[test]
fn a_receiver_refuses_to_start_while_a_thread_leaves_its_signal_unblocked() {
    // Not blocked here, so that the threads of host and guest do not inherit the mask. The guest's
    // main thread often has not come back from starting this one, and seems to block everything.
    between_processes!(|guest| guest.finish(), |_host| {
        let (tell_id, id) = mpsc::channel();
        std::thread::spawn(move || {
            tell_id.send(gettid().as_raw_nonzero()).expect("the test listens");
            std::thread::park();
        });
        let id = id.recv().expect("the thread tells");

        let _mask = MaskGuard::block([signal()]).expect("a mask");
        let error = SignalReceiver::open(signal()).expect_err("two threads do not block it");
        assert!(
            matches!(error.kind(), OpenErrorKind::InvalidOption { option: "signal mask", .. }),
            "{error}"
        );
        let text = error.to_string();
        let main = getpid().as_raw_nonzero();
        let mut names = [main, id].into_iter().map(|id| format!("thread {id} does not block"));
        assert!(names.any(|name| text.contains(&name)), "{text}");
    },);
}

#[test]
fn a_second_receiver_of_a_signal_in_one_process_is_in_use() {
    let _mask = MaskGuard::block([signal()]).expect("a mask");
    between_processes!(|guest| guest.finish(), |_host| {
        let first = SignalReceiver::open(signal()).expect("all threads block it");
        let error = SignalReceiver::open(signal()).expect_err("there is one");
        assert!(matches!(error.kind(), OpenErrorKind::InUse(_)), "{error}");
        drop(first);
        SignalReceiver::open(signal()).expect("there is none now");
    },);
}

#[test]
fn messages_of_another_length_than_8_are_refused_with_the_length_that_fits() {
    let _mask = MaskGuard::block([signal()]).expect("a mask");
    between_processes!(
        |guest| {
            assert_eq!(guest.hear(), "open");
            let mut sender = SignalSender::open(guest.pid(), signal()).expect("it is there");
            let short = sender.try_send(&[0; 7]);
            assert!(
                matches!(&short, Err(SendError::TooShort(e)) if (e.len, e.min) == (7, 8)),
                "{short:?}"
            );
            let empty = sender.send(&[]);
            assert!(
                matches!(&empty, Err(SendError::TooShort(e)) if (e.len, e.min) == (0, 8)),
                "{empty:?}"
            );
            let long = sender.send_deadline(&[0; 9], Deadline::Never);
            assert!(
                matches!(&long, Err(SendError::TooLong(e)) if (e.len, e.max) == (9, 8)),
                "{long:?}"
            );
            let unsupported = sender.send_synchronous(&[0; 8], Deadline::Never);
            assert!(matches!(unsupported, Err(SendError::Unsupported(_))), "{unsupported:?}");
            sender.send(&[1; 8]).expect("it fits");
            guest.tell("sent");
        },
        |host| {
            let mut receiver = SignalReceiver::open(signal()).expect("all threads block it");
            host.tell("open");
            host.hear();
            let small = receiver.try_recv(&mut [0; 7]);
            assert!(
                matches!(&small, Err(RecvError::BufferTooSmall(e)) if (e.needed, e.len) == (8, 7)),
                "{small:?}"
            );
            let mut message = [0; 9];
            assert_eq!(receiver.try_recv(&mut message).expect("it stayed").len, 8);
            assert_eq!(message, [1, 1, 1, 1, 1, 1, 1, 1, 0]);
            let nothing = receiver.try_recv(&mut message);
            assert!(matches!(nothing, Err(RecvError::Empty)), "the refused came: {nothing:?}");
        },
    );
}

#[test]
fn a_process_that_is_not_there_is_not_found() {
    let mut child = std::process::Command::new("true").spawn().expect("starts");
    let pid = child.id();
    child.wait().expect("reaped");
    let error = SignalSender::open(pid, signal()).expect_err("no such process");
    assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
    assert!(error.to_string().contains(&format!("SIGRTMIN+3 to process {pid}")), "{error}");
}

#[test]
fn numbers_and_descriptors_that_are_no_process_are_refused() {
    for pid in [0, u32::MAX] {
        let error = SignalSender::open(pid, signal()).expect_err("no process id");
        let expected = matches!(error.kind(), OpenErrorKind::InvalidOption { option: "pid", .. });
        assert!(expected, "{error}");
    }
    let no_pidfd = std::fs::File::open("/dev/null").expect("is there").into();
    let error = SignalSender::from_pidfd(no_pidfd, signal()).expect_err("no pidfd");
    let expected = matches!(error.kind(), OpenErrorKind::InvalidOption { option: "pidfd", .. });
    assert!(expected, "{error}");
}

#[test]
fn running_out_of_descriptors_names_the_setting() {
    let _mask = MaskGuard::block([signal()]).expect("a mask");
    between_processes!(|guest| guest.finish(), |_host| {
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(0), maximum }).expect("may be less");
        let pid = getpid().as_raw_nonzero().get().unsigned_abs();
        let receiver = SignalReceiver::open(signal()).expect_err("no descriptors");
        let sender = SignalSender::open(pid, signal()).expect_err("no descriptors");
        for error in [receiver, sender] {
            assert!(matches!(error.kind(), OpenErrorKind::Limit { .. }), "{error}");
            assert!(error.to_string().contains("RLIMIT_NOFILE"), "{error}");
        }
    },);
}

#[test]
fn another_users_process_may_not_be_signalled() {
    between_processes!(|guest| assert_eq!(guest.hear(), "done"), |host| {
        let target = if rustix::process::getuid().is_root() {
            // Becomes `nobody` in this thread alone, which is what the kernel asks about.
            let nobody = rustix::process::Uid::from_raw(65534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).expect("root may");
            host.pid()
        } else {
            1 // root's
        };
        let error = SignalSender::open(target, signal()).expect_err("of another user");
        assert!(matches!(error.kind(), OpenErrorKind::PermissionDenied(_)), "{error}");
        assert!(error.to_string().contains("SIGRTMIN+3 to process"), "{error}");
        host.tell("done");
    },);
}

#[test]
fn permission_lost_later_is_not_taken_for_a_full_queue() {
    let _mask = MaskGuard::block([signal()]).expect("a mask");
    between_processes!(
        |guest| {
            let mut sender = {
                assert_eq!(guest.hear(), "open");
                SignalSender::open(guest.pid(), signal()).expect("it is there")
            };
            if rustix::process::getuid().is_root() {
                let nobody = rustix::process::Uid::from_raw(65534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).expect("root may");
                let error = sender.send_value(1).expect_err("no more permission");
                assert!(matches!(error, SendError::Os(_)), "{error}");
                assert!(
                    error.to_string().starts_with("pidfd_send_signal on SIGRTMIN+3"),
                    "{error}"
                );
            } else {
                sender.send_value(1).expect("nobody can lose a permission without root");
            }
            guest.tell("done");
        },
        |host| {
            let _receiver = SignalReceiver::open(signal()).expect("all threads block it");
            host.tell("open");
            host.hear();
        },
    );
}
