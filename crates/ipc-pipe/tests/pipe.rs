//! Pipes between two processes: messages, patience, and the end of either side.

// Signals and timers come from libc.
#![allow(unsafe_code)]

use std::io::Write;
use std::time::{Duration, Instant};

use ipc_core::{
    Armed, Deadline, OpenErrorKind, Receiver, RecvError, SendError, Sender, WaitStrategy, poll,
};
use ipc_pipe::{ATOMIC_PAYLOAD, PipeReceiver};
use ipc_testing::between_processes;
use ipc_testing::process::wait_until_parked;

use ends::{join_receiver, join_sender, receiver_from, sender_to};

mod ends;

fn next(receiver: &mut PipeReceiver) -> Vec<u8> {
    let mut message = Vec::new();
    receiver.recv_to_vec(&mut message, Deadline::Never).expect("a message");
    message
}

/// A message whose every byte depends on its length and place.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 7 + index / 251 + len) as u8).collect()
}

fn is_gone<T>(result: Result<T, RecvError>) -> bool {
    matches!(result, Err(RecvError::PeerGone { .. }))
}

#[test]
fn messages_of_every_length_arrive_whole_and_in_order() {
    const LENGTHS: [usize; 16] = [
        0,
        1,
        4,
        ATOMIC_PAYLOAD - 1,
        ATOMIC_PAYLOAD,
        ATOMIC_PAYLOAD + 1,
        2 * ATOMIC_PAYLOAD,
        65_531,
        65_532,
        65_533,
        65_532 + ATOMIC_PAYLOAD,
        65_533 + ATOMIC_PAYLOAD,
        1 << 20,
        0,
        16 << 20,
        3,
    ];
    between_processes!(
        |guest| {
            let mut sender = sender_to(guest);
            for len in LENGTHS {
                sender.send(&pattern(len)).expect("sent");
            }
        },
        |host| {
            let mut receiver = join_receiver(host);
            for len in LENGTHS {
                assert!(next(&mut receiver) == pattern(len), "message of {len} bytes");
            }
            assert!(is_gone(receiver.recv(&mut [0; 8])));
        },
    );
}

#[test]
fn a_message_longer_than_the_maximum_is_refused_on_both_sides() {
    between_processes!(
        |guest| {
            let mut sender = sender_to(guest).with_max_message_bytes(10_000);
            let error = sender.send(&pattern(10_001)).expect_err("too long");
            assert!(matches!(&error, SendError::TooLong(e) if (e.len, e.max) == (10_001, 10_000)));
            assert!(error.to_string().contains("pipe"), "{error}");
            sender.send(&pattern(10_000)).expect("the receiver takes it, too");
            sender.with_max_message_bytes(usize::MAX).send(&pattern(10_001)).expect("sent");
        },
        |host| {
            let mut receiver = join_receiver(host).with_max_message_bytes(10_000);
            assert_eq!(receiver.properties().message_length.max, 10_000);
            assert!(next(&mut receiver) == pattern(10_000));
            for _ in 0..2 {
                let error = receiver.recv(&mut [0; 20_000]).expect_err("beyond our maximum");
                assert!(matches!(error, RecvError::Violation(_)), "{error}");
            }
        },
    );
}

#[test]
fn a_killed_sender_leaves_what_it_sent_and_nothing_of_what_it_had_begun() {
    between_processes!(
        |guest| {
            let mut receiver = receiver_from(guest);
            guest.hear();
            wait_until_parked(guest.pid()); // the pipe is full of the message that is under way
            guest.kill();
            assert_eq!(next(&mut receiver), b"first");
            assert!(next(&mut receiver) == pattern(10_000));
            for _ in 0..2 {
                assert!(is_gone(receiver.recv(&mut vec![0; 2 << 20])));
            }
            assert!(is_gone(receiver.try_recv(&mut [])));
        },
        |host| {
            let mut sender = join_sender(host);
            sender.send(b"first").expect("sent");
            sender.send(&pattern(10_000)).expect("sent");
            host.tell("now");
            sender.send(&pattern(1 << 20)).expect("never returns");
        },
    );
}

#[test]
fn a_parked_sender_learns_of_the_receivers_death() {
    between_processes!(
        |guest| {
            let mut sender = sender_to(guest);
            guest.hear();
            for _ in 0..2 {
                let error = sender.send(&pattern(1 << 20)).expect_err("nobody reads");
                assert!(matches!(error, SendError::PeerGone { .. }), "{error}");
            }
        },
        |host| {
            let receiver = join_receiver(host);
            host.tell("here");
            wait_until_parked(host.pid());
            drop(receiver);
        },
    );
}

#[test]
fn a_parked_receiver_learns_of_the_senders_death() {
    between_processes!(
        |guest| {
            let mut receiver = receiver_from(guest);
            guest.tell("go");
            assert!(is_gone(receiver.recv(&mut [0; 8])));
            guest.wait();
        },
        |host| {
            let _sender = join_sender(host);
            host.hear();
            wait_until_parked(host.pid());
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                .expect("we may");
        },
    );
}

#[test]
fn a_long_message_that_timed_out_leaves_nothing() {
    between_processes!(
        |guest| {
            let mut sender = sender_to(guest);
            sender.send(b"before").expect("sent");
            let start = Instant::now();
            let result = sender.send_timeout(&pattern(1 << 20), Duration::from_millis(50));
            assert!(matches!(result, Err(SendError::TimedOut)), "{result:?}");
            assert!(start.elapsed() >= Duration::from_millis(50));
            // The frame that was begun is still to be finished, and there is no room for that.
            assert!(matches!(sender.try_send(b"now"), Err(SendError::Full)));
            guest.tell("read");
            sender.send(b"after").expect("sent");
            sender.send(&pattern(100_000)).expect("sent");
        },
        |host| {
            let mut receiver = join_receiver(host);
            host.hear();
            assert_eq!(next(&mut receiver), b"before");
            assert_eq!(next(&mut receiver), b"after");
            assert!(next(&mut receiver) == pattern(100_000));
            assert!(is_gone(receiver.recv(&mut [0; 8])));
        },
    );
}

#[test]
fn try_send_of_more_than_the_pipe_holds_is_full_and_uses_up_nothing() {
    between_processes!(
        |guest| {
            let mut sender = sender_to(guest);
            let capacity = sender.capacity_bytes().expect("known");
            let result = sender.try_send(&pattern(capacity));
            assert!(matches!(result, Err(SendError::Full)), "{result:?}");
            sender.try_send(&pattern(capacity - 16)).expect("the frames fill the pipe");
            assert!(matches!(sender.try_send(b""), Err(SendError::Full)));
            guest.tell(&capacity.to_string());
        },
        |host| {
            let mut receiver = join_receiver(host);
            let capacity: usize = host.hear().parse().expect("a number");
            assert!(next(&mut receiver) == pattern(capacity - 16));
            assert!(is_gone(receiver.recv(&mut [])));
        },
    );
}

#[test]
fn an_empty_link_an_empty_message_and_a_time_out_are_told_apart() {
    between_processes!(
        |guest| {
            let mut receiver = receiver_from(guest);
            let mut buffer = [0; 8];
            assert!(matches!(receiver.try_recv(&mut buffer), Err(RecvError::Empty)));
            let start = Instant::now();
            let result = receiver.recv_timeout(&mut buffer, Duration::from_millis(30));
            assert!(matches!(result, Err(RecvError::TimedOut)), "{result:?}");
            assert!(start.elapsed() >= Duration::from_millis(30));
            guest.tell("send");
            assert_eq!(receiver.recv(&mut []).expect("an empty message").len, 0);
            guest.tell("close");
            assert!(is_gone(receiver.recv(&mut buffer)));
        },
        |host| {
            let mut sender = join_sender(host);
            host.hear();
            sender.send(b"").expect("sent");
            host.hear();
        },
    );
}

#[test]
fn a_message_that_does_not_fit_stays() {
    between_processes!(
        |guest| {
            let mut receiver = receiver_from(guest);
            for len in [5, ATOMIC_PAYLOAD, 70_000] {
                for too_small in [0, 1, len - 1] {
                    let error = receiver.recv(&mut vec![0; too_small]).expect_err("too small");
                    let RecvError::BufferTooSmall(error) = error else {
                        panic!("{error}");
                    };
                    assert_eq!((error.needed, error.len), (len, too_small));
                }
                let mut buffer = vec![0; len];
                assert_eq!(receiver.recv(&mut buffer).expect("it fits").len, len);
                assert!(buffer == pattern(len));
            }
        },
        |host| {
            let mut sender = join_sender(host);
            for len in [5, ATOMIC_PAYLOAD, 70_000] {
                sender.send(&pattern(len)).expect("sent");
            }
        },
    );
}

#[test]
fn what_no_sender_writes_is_a_violation_for_good() {
    const HOSTILE: [u32; 5] = [
        u32::MAX,       // continues nothing, and is longer than anything
        0x3fff_ffff,    // one byte below 1 GiB
        (16 << 20) + 1, // one byte above the maximum
        0x4000_0001,    // continues nothing
        0x8000_0000 | (17 << 20),
    ];
    between_processes!(
        |guest| {
            for header in HOSTILE {
                let mut receiver = receiver_from(guest);
                assert_eq!(next(&mut receiver), b"ok");
                for _ in 0..2 {
                    let error = receiver.recv(&mut [0; 64]).expect_err("no sender writes that");
                    assert!(matches!(error, RecvError::Violation(_)), "{header:#x}: {error}");
                }
            }
        },
        |host| {
            for header in HOSTILE {
                let mut stream = join_sender(host).into_stream().expect("nothing was sent");
                // At once, since the receiver may leave at the violation.
                let ok = &b"\x02\0\0\0ok"[..];
                stream.write_all(&[ok, &header.to_le_bytes(), ok].concat()).expect("written");
            }
        },
    );
}

#[test]
fn many_frames_may_make_a_message_but_not_beyond_the_maximum() {
    between_processes!(
        |guest| {
            let mut receiver = receiver_from(guest).with_max_message_bytes(100);
            assert!(next(&mut receiver) == [7; 100]);
            let error = receiver.recv(&mut [0; 200]).expect_err("101 bytes");
            assert!(matches!(error, RecvError::Violation(_)), "{error}");
        },
        |host| {
            let mut stream = join_sender(host).into_stream().expect("nothing was sent");
            for last_len in [1, 2] {
                stream
                    .write_all(b"\x63\0\0\x80")
                    .and_then(|()| stream.write_all(&[7; 99]))
                    .expect("begun");
                stream.write_all(b"\0\0\0\xc0").expect("goes on");
                stream
                    .write_all(&[last_len, 0, 0, 0x40, 7, 7][..4 + usize::from(last_len)])
                    .expect("ends");
            }
        },
    );
}

/// In one process, so that every split is sure to be seen.
#[test]
fn a_stream_may_be_cut_at_any_byte() {
    // "one", a message in three frames, one that was given up, and an empty one.
    let stream = b"\x03\0\0\0one\x02\0\0\x80ab\x01\0\0\xc0c\x02\0\0\x40de\x01\0\0\x80x\0\0\0\0";
    let expected: [(usize, &[u8]); 3] = [(7, b"one"), (24, b"abcde"), (33, b"")];
    let (sender, mut receiver) = ipc_pipe::pipe().expect("a pipe");
    let mut writer = sender.into_stream().expect("nothing was sent");
    let mut expected = expected.iter();
    let mut awaited = expected.next();
    for (index, byte) in stream.iter().enumerate() {
        writer.write_all(&[*byte]).expect("written");
        let mut buffer = [0; 8];
        match awaited {
            Some((end, message)) if *end == index + 1 => {
                let received = receiver.try_recv(&mut buffer).expect("a whole message");
                assert_eq!(&buffer[..received.len], *message);
                awaited = expected.next();
            }
            _ => assert!(matches!(receiver.try_recv(&mut buffer), Err(RecvError::Empty))),
        }
    }
    assert!(awaited.is_none());
}

/// Interrupts this thread's system calls every 50 µs, without restarting them.
fn storm_of_signals() {
    extern "C" fn ignore(_: libc::c_int) {}
    // SAFETY: all fields of the struct are integers or pointers, of which 0 is a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = ignore as *const () as usize;
    // SAFETY: the handler does nothing, so it is async-signal-safe.
    assert_eq!(unsafe { libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()) }, 0);
    let period = libc::timeval { tv_sec: 0, tv_usec: 50 };
    let timer = libc::itimerval { it_interval: period, it_value: period };
    // SAFETY: the timer is a valid value.
    let result = unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
    assert_eq!(result, 0);
}

#[test]
fn signals_are_not_seen_and_lengthen_no_wait() {
    between_processes!(
        |guest| {
            let mut receiver = receiver_from(guest);
            storm_of_signals();
            for index in 0..500 {
                assert!(next(&mut receiver) == pattern(index * 97), "message {index}");
            }
            let start = Instant::now();
            let result = receiver.recv_timeout(&mut [0; 8], Duration::from_millis(100));
            assert!(matches!(result, Err(RecvError::TimedOut)), "{result:?}");
            assert!(start.elapsed() >= Duration::from_millis(100));
            guest.tell("end");
        },
        |host| {
            let mut sender = join_sender(host);
            storm_of_signals();
            for index in 0..500 {
                sender.send(&pattern(index * 97)).expect("sent");
            }
            host.hear();
        },
    );
}

#[test]
fn a_broken_pipe_kills_nobody_where_sigpipe_has_its_default_action() {
    between_processes!(
        |guest| {
            // SAFETY: restores the default action, as a program that is not Rust's has it.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
            let mut sender = sender_to(guest);
            let mut stream = sender_to(guest).into_stream().expect("nothing was sent");
            guest.finish();
            let error = sender.send(b"x").expect_err("nobody reads");
            assert!(matches!(error, SendError::PeerGone { .. }), "{error}");
            let error = stream.write(b"x").expect_err("nobody reads");
            assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        },
        |host| drop((join_receiver(host), join_receiver(host))),
    );
}

#[test]
fn a_wait_source_is_ready_when_a_message_waits_in_the_endpoint() {
    between_processes!(
        |guest| {
            let mut receiver = receiver_from(guest);
            let source = receiver.wait_source().expect("a descriptor");
            assert_eq!(source.arm().expect("armed"), Armed::Waiting);
            guest.tell("send");
            let (descriptor, interest) = source.descriptor();
            assert!(poll::wait_ready(descriptor, interest, Deadline::Never).expect("poll works"));
            source.disarm();
            guest.hear(); // both are in the pipe, and so both are read at once
            assert_eq!(next(&mut receiver), b"one");
            let source = receiver.wait_source().expect("a descriptor");
            assert_eq!(source.arm().expect("armed"), Armed::Ready);
            source.disarm();
            assert_eq!(next(&mut receiver), b"two");
            let source = receiver.wait_source().expect("a descriptor");
            assert_eq!(source.arm().expect("armed"), Armed::Waiting);
        },
        |host| {
            let mut sender = join_sender(host);
            host.hear();
            sender.send(b"one").expect("sent");
            sender.send(b"two").expect("sent");
            host.tell("sent");
        },
    );
}

#[test]
fn what_a_pipe_cannot_do_is_unsupported() {
    let (mut sender, _receiver) = ipc_pipe::pipe().expect("a pipe");
    for result in
        [sender.send_synchronous(b"x", Deadline::Now), sender.send_priority(b"x", 1, Deadline::Now)]
    {
        assert!(matches!(result, Err(SendError::Unsupported(e)) if e.mechanism == "pipe"));
    }
}

#[test]
fn a_descriptor_that_is_no_end_of_a_pipe_is_refused() {
    let null = || std::os::fd::OwnedFd::from(std::fs::File::open("/dev/null").expect("there"));
    let error = PipeReceiver::try_from(null()).expect_err("no pipe");
    assert!(matches!(error.kind(), OpenErrorKind::InvalidOption { .. }), "{error}");
    let (sender, _receiver) = ipc_pipe::pipe().expect("a pipe");
    let writer = std::os::fd::OwnedFd::from(sender.into_stream().expect("nothing was sent"));
    let error = PipeReceiver::try_from(writer).expect_err("the other end");
    assert!(error.to_string().contains("read end"), "{error}");
}

#[test]
fn a_receiver_that_never_sleeps_still_sees_its_deadline_and_the_end() {
    between_processes!(
        |guest| {
            let mut receiver = receiver_from(guest).with_strategy(WaitStrategy::Spin);
            let deadline = Deadline::after(Duration::from_millis(20));
            let result = receiver.recv_deadline(&mut [0; 8], deadline);
            assert!(matches!(result, Err(RecvError::TimedOut)), "{result:?}");
            assert!(deadline.has_passed());
            guest.tell("send");
            assert_eq!(next(&mut receiver), b"found by looking");
            guest.tell("end");
            assert!(is_gone(receiver.recv(&mut [0; 8])));
        },
        |host| {
            let mut sender = join_sender(host);
            host.hear();
            sender.send(b"found by looking").expect("sent");
            host.hear();
        },
    );
}
