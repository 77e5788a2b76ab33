//! Messages of one length, which go over a pipe without headers, between two processes: whatever they
//! contain, and whatever comes between them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use ipc_core::{Deadline, OpenErrorKind, Receiver, RecvError, SendError, Sender, WaitStrategy};
use ipc_pipe::{ATOMIC_PAYLOAD, PipeReceiver, PipeSender};
use ipc_testing::process::wait_until_parked;
use ipc_testing::{between_processes, start_program};
use rustix::pipe::{PipeFlags, pipe_with};

use ends::{join_receiver, join_sender, receiver_from, sender_to};

mod ends;

/// The word before and after a run, as documented.
const MARK: [u8; 4] = [0xe3, 0x9d, 0xa6, 0xf1];

/// A sender, and the bytes that it writes.
fn sender_and_its_bytes() -> (PipeSender, File) {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    (PipeSender::try_from(writer).expect("a write end"), reader.into())
}

fn receiver_of(bytes: &[u8]) -> PipeReceiver {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    File::from(writer).write_all(bytes).expect("there is room");
    PipeReceiver::try_from(reader).expect("a read end")
}

/// What the messages of a stream are, by their number: runs of lengths that matter, single ones between
/// them, and some that begin as the mark does.
fn message(number: usize) -> Vec<u8> {
    const LENGTHS: [usize; 12] = [
        0,
        3,
        4,
        64,
        ATOMIC_PAYLOAD - 4,
        ATOMIC_PAYLOAD - 3,
        ATOMIC_PAYLOAD,
        ATOMIC_PAYLOAD + 1,
        4096,
        8192,
        16_384,
        16_385,
    ];
    let (round, step) = (number / 120, number % 120);
    let len = match step % 10 {
        // Of the run's length, but for one in its midst.
        6 => LENGTHS[(step / 10 + round) % LENGTHS.len()],
        _ => LENGTHS[step / 10],
    };
    let mut message: Vec<u8> = (0..len).map(|index| (index + number) as u8).collect();
    if number % 7 == 0 && len >= MARK.len() {
        message[..MARK.len()].copy_from_slice(&MARK);
    }
    message
}

const MESSAGES: usize = 120 * 12;

fn receive_all(mut receiver: PipeReceiver, deadline: impl Fn() -> Deadline) {
    // To where the kernel is quick to copy, and to where it is not.
    let mut storage = vec![0; 3 * 16_385];
    let page = storage.as_ptr().align_offset(4096);
    for number in 0..MESSAGES {
        let expected = message(number);
        let from = page + [0, 16, 2048][number % 3];
        let room = expected.len() + number % 2 * 5;
        let buffer = &mut storage[from..from + room];
        if number % 11 == 0 && !expected.is_empty() {
            let short = &mut buffer[..expected.len() - 1];
            let error = receiver.recv_deadline(short, deadline()).expect_err("too long for it");
            let needed_matches =
                matches!(&error, RecvError::BufferTooSmall(e) if e.needed == expected.len());
            assert!(needed_matches, "message {number}: {error}");
        }
        let received = receiver.recv_deadline(buffer, deadline()).expect("received");
        assert!(buffer[..received.len] == expected, "message {number} of {}", expected.len());
    }
    let error = receiver.recv_deadline(&mut storage, deadline()).expect_err("no more");
    assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

#[test]
fn runs_of_every_length_arrive_whatever_is_in_them() {
    between_processes!(
        |guest| {
            let mut sender = sender_to(guest);
            (0..MESSAGES).for_each(|number| sender.send(&message(number)).expect("sent"));
        },
        |host| receive_all(join_receiver(host), || Deadline::Never),
    );
}

#[test]
fn runs_arrive_where_both_sides_have_deadlines() {
    between_processes!(
        |guest| {
            let mut sender = sender_to(guest);
            for number in 0..MESSAGES {
                let deadline = if number % 2 == 0 { soon() } else { Deadline::Never };
                sender.send_deadline(&message(number), deadline).expect("sent");
            }
        },
        |host| receive_all(join_receiver(host), soon),
    );
}

#[test]
fn a_receiver_that_does_not_sleep_understands_runs() {
    between_processes!(
        |guest| {
            let mut sender = sender_to(guest);
            (0..MESSAGES).for_each(|number| sender.send(&message(number)).expect("sent"));
        },
        |host| {
            let receiver = join_receiver(host).with_strategy(WaitStrategy::Spin);
            receive_all(receiver, || Deadline::Never);
        },
    );
}

#[test]
fn a_run_is_on_the_wire_as_documented() {
    let (mut sender, mut bytes) = sender_and_its_bytes();
    for message in [&b"one1"[..], b"two2", b"thr3", &MARK, b"five", b"six6", b"7"] {
        sender.send(message).expect("sent");
    }
    drop(sender);
    let mut wire = Vec::new();
    bytes.read_to_end(&mut wire).expect("read");
    let four = 4_u32.to_le_bytes();
    let expected = [
        &four[..],
        b"one1", // a message alone
        &MARK,
        &four,
        b"two2",
        b"thr3", // a run of two
        &MARK,
        &four,
        &MARK, // ends with a message that begins as the mark does
        &MARK,
        &four,
        b"five",
        b"six6", // another one
        &MARK,
        &1_u32.to_le_bytes(),
        b"7",
    ];
    assert_eq!(wire, expected.concat());
}

#[test]
fn a_sender_without_runs_writes_a_header_for_each_message() {
    let (sender, mut bytes) = sender_and_its_bytes();
    let mut sender = sender.without_runs();
    (0..3).for_each(|_| sender.send(b"same").expect("sent"));
    drop(sender);
    let mut wire = Vec::new();
    bytes.read_to_end(&mut wire).expect("read");
    assert_eq!(wire, b"\x04\0\0\0same".repeat(3));

    // And from then on, if it has had some.
    let (mut sender, mut bytes) = sender_and_its_bytes();
    (0..2).for_each(|_| sender.send(b"same").expect("sent"));
    let mut sender = sender.without_runs();
    (0..2).for_each(|_| sender.send(b"same").expect("sent"));
    drop(sender);
    let mut wire = Vec::new();
    bytes.read_to_end(&mut wire).expect("read");
    let (framed, mark) = (b"\x04\0\0\0same", MARK);
    assert_eq!(wire, [&framed[..], &mark, framed, &mark, framed, framed].concat());
}

#[test]
fn a_full_pipe_amid_a_run_takes_nothing_of_a_message() {
    for len in [4, 1000, ATOMIC_PAYLOAD - 4, 4096] {
        between_processes!(
            |guest| {
                let mut sender = sender_to(guest);
                let pattern = |number: usize| vec![number as u8; len];
                // Two without limit begin a run also where a frame would not be atomic.
                (0..2).for_each(|number| sender.send(&pattern(number)).expect("there is room"));
                let mut sent = 2;
                let error = loop {
                    match sender.try_send(&pattern(sent)) {
                        Ok(()) => sent += 1,
                        Err(error) => break error,
                    }
                };
                assert!(matches!(error, SendError::Full), "{error}");
                let late = Deadline::after(Duration::from_millis(1));
                let error = sender.send_deadline(&pattern(255), late).expect_err("still full");
                assert!(matches!(error, SendError::TimedOut), "{error}");
                let error = sender.send_deadline(&vec![1; len + 1], late).expect_err("still full");
                assert!(matches!(error, SendError::TimedOut), "{error}");
                guest.tell(&sent.to_string());
                sender.send(b"the end").expect("sent");
            },
            |host| {
                let mut receiver = join_receiver(host);
                let sent: usize = host.hear().parse().expect("a number");
                assert!(sent > 10, "{sent} of {len} bytes");
                let mut message = Vec::new();
                for number in 0..sent {
                    receiver.recv_to_vec(&mut message, Deadline::Never).expect("received");
                    assert!(message == vec![number as u8; len], "message {number} of {len} bytes");
                }
                receiver.recv_to_vec(&mut message, Deadline::Never).expect("received");
                assert_eq!(message, b"the end");
            },
        );
    }
}

#[test]
fn a_sender_killed_amid_a_message_of_a_run_leaves_the_whole_ones() {
    const LEN: usize = 16_384;
    between_processes!(
        |guest| {
            let mut receiver = receiver_from(guest);
            guest.hear();
            wait_until_parked(guest.pid()); // the pipe is full, amid the fourth message
            guest.kill();
            let mut buffer = vec![0; LEN];
            let mut received = 0;
            let error = loop {
                match receiver.recv(&mut buffer) {
                    Ok(message) => {
                        assert!(message.len == LEN && buffer == vec![received; LEN]);
                        received += 1;
                    }
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
            assert_eq!(received, 3, "16 pages, of which two headers take some");
        },
        |host| {
            let mut sender = join_sender(host);
            host.tell("about to send");
            for number in 0.. {
                sender.send(&[number; LEN]).expect("until the kill");
            }
        },
    );
}

#[test]
fn what_no_sender_writes_about_runs_is_a_violation() {
    let header = |len: u32| len.to_le_bytes();
    let twice = [MARK, MARK, header(4), *b"four"].concat();
    let short = [&MARK[..], &header(3), b"thr"].concat();
    let of_a_part = [&MARK[..], &header(4 | 1 << 31), b"four"].concat();
    let too_long = [&MARK[..], &header(101)].concat();
    for bytes in [twice, short, of_a_part, too_long] {
        let mut receiver = receiver_of(&bytes).with_max_message_bytes(100);
        let error = receiver.recv(&mut [0; 100]).expect_err("no message");
        assert!(matches!(error, RecvError::Violation(_)), "{bytes:?}: {error}");
    }
}

#[test]
fn a_sender_that_is_given_away_amid_a_run_ends_it() {
    let (mut sender, mut receiver) = ipc_pipe::pipe().expect("a pipe");
    let mut message = Vec::new();
    for _ in 0..5 {
        sender.send(b"same").expect("sent");
        receiver.recv_to_vec(&mut message, Deadline::Never).expect("received");
    }
    let mut command = std::process::Command::new("sh");
    command.args(["-c", r"printf '\004\000\000\000mine'"]);
    command.stdout(sender.into_stdio().expect("the run is ended"));
    assert!(command.spawn().expect("sh").wait().expect("it ends").success());
    drop(command);
    receiver.recv_to_vec(&mut message, Deadline::Never).expect("received");
    assert_eq!(message, b"mine");
    let error = receiver.recv_to_vec(&mut message, Deadline::Never).expect_err("it is gone");
    assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
}

#[test]
fn ends_that_cannot_leave_a_run_say_so() {
    let (mut sender, mut receiver) = ipc_pipe::pipe().expect("a pipe");
    (0..3).for_each(|_| sender.send(&[1; 4096]).expect("sent"));
    let mut buffer = [0; 4096];
    (0..3).for_each(|_| assert_eq!(receiver.recv(&mut buffer).expect("received").len, 4096));
    while sender.try_send(&[2; 4096]).is_ok() {}
    let error = sender.into_stream().expect_err("no room for its end");
    assert!(matches!(error.kind(), OpenErrorKind::InvalidOption { .. }), "{error}");
    let error = receiver.into_stream().expect_err("it is amid the run");
    assert!(matches!(error.kind(), OpenErrorKind::InvalidOption { .. }), "{error}");
}

/// Reads runs and frames as the crate's documentation says.
const READER: &str = r#"
import struct, sys
MARK = struct.pack("<I", 0xf1a69de3)
stream, run, begins, message = sys.stdin.buffer, None, False, b""
total = count = 0
while word := stream.read(4):
    if word == MARK:
        run, begins = None, run is None
        continue
    if run is not None:
        message = word + stream.read(run - 4)
    else:
        (word,) = struct.unpack("<I", word)
        if not word & 1 << 30:
            message = b""
        message += stream.read(word & (1 << 30) - 1)
        if word & 1 << 31:
            continue
        if begins:
            run, begins = len(message), False
    count += 1
    total += sum(message)
print(count, total)
"#;

#[test]
fn python_reads_runs() {
    let arguments = ["-c", READER];
    let Some(mut python) = start_program("python_reads_runs", "python3", "python3", &arguments)
    else {
        return;
    };
    let stdin = OwnedFd::from(python.stdin.take().expect("piped"));
    let mut sender = PipeSender::try_from(stdin).expect("a pipe");
    let mut total: u64 = 0;
    for number in 0..MESSAGES {
        let message = message(number);
        total += message.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        sender
            .send_deadline(&message, if number % 3 == 0 { soon() } else { Deadline::Never })
            .expect("sent");
    }
    drop(sender);
    let output = python.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("{MESSAGES} {total}"));
}

/// At the edges of what is atomic, with and without runs under way, and with a pipe that is nearly full.
#[test]
fn what_was_accepted_is_received_and_nothing_else() {
    const LENGTHS: [usize; 9] =
        [4, 4088, 4091, ATOMIC_PAYLOAD, ATOMIC_PAYLOAD + 1, 4096, 4097, 8192, 16_384];
    let (mut sender, mut receiver) = ipc_pipe::pipe().expect("a pipe");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as usize % below
    };
    let mut waiting = VecDeque::new();
    let (mut message, mut len, mut refused) = (Vec::new(), 4, 0);
    for number in 0..30_000 {
        if random(3) == 0 {
            len = LENGTHS[random(LENGTHS.len())];
        }
        let sent = vec![number as u8; len];
        let result = match random(20) {
            0 => sender.send_deadline(&sent, Deadline::after(Duration::from_micros(20))),
            _ if waiting.is_empty() => sender.send(&sent), // there is room
            _ => sender.try_send(&sent),
        };
        match result {
            Ok(()) => waiting.push_back(sent),
            Err(SendError::Full | SendError::TimedOut) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        let received = match random(12) {
            0 => waiting.len(),
            1 => random(3).min(waiting.len()),
            _ => 0,
        };
        for _ in 0..received {
            receiver.recv_to_vec(&mut message, Deadline::Now).expect("it was accepted");
            assert!(Some(&message) == waiting.front(), "before message {number}");
            waiting.pop_front();
        }
        if waiting.is_empty() {
            let error = receiver.recv_to_vec(&mut message, Deadline::Now).expect_err("no more");
            assert!(matches!(error, RecvError::Empty), "{error}");
        }
    }
    assert!(refused > 1_000, "{refused}");
}
