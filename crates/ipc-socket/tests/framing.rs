//! Frames on a stream: torn, short, hostile, unfinished.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ipc_core::{Armed, Deadline, Receiver, RecvError, SendError, Sender};
use ipc_socket::{UnixOptions, UnixStreamConnection, UnixStreamListener};
use ipc_testing::{Scope, between_processes};

/// A generator of numbers that repeats itself from the same seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// Lengths around every threshold of reader and writer.
const LENGTHS: [usize; 19] = [
    0, 1, 3, 4, 5, 100, 4096, 8_191, 8_192, 8_193, 16_383, 16_384, 16_385, 65_531, 65_532, 65_536,
    65_541, 200_000, 1_000_000,
];

fn message(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(31) + number) as u8).collect()
}

/// The lengths of one run: random ones, in runs of equal length.
fn lengths(seed: u64) -> Vec<usize> {
    let mut random = Random(seed);
    let mut all = Vec::new();
    while all.len() < 60 {
        let len = LENGTHS[random.below(LENGTHS.len())];
        all.resize(all.len() + 1 + random.below(4), len);
    }
    all
}

#[test]
fn messages_survive_any_cut_of_the_stream_and_any_patience_of_the_receiver() {
    const SEEDS: u64 = 12;
    between_processes!(
        |guest| {
            for seed in 1..=SEEDS {
                let scope = Scope::new();
                let path = scope.path("socket");
                let listener = UnixStreamListener::bind(path.as_path()).expect("listens");
                guest.tell(path.to_str().expect("UTF-8"));
                let mut receiver = listener.accept(Deadline::Never).expect("accepts").receiver;
                let mut random = Random(seed * 77);
                for (number, len) in lengths(seed).into_iter().enumerate() {
                    let mut storage = vec![0; len + random.below(3) * 1000 + 4096];
                    // By turns where the kernel is slow to reach it (`ipc_core::placing`) and not.
                    let place: usize = [16, 1024][random.below(2)];
                    let from = place.wrapping_sub(storage.as_ptr() as usize) % 4096;
                    let end = storage.len() - 4096 + from;
                    let buffer = &mut storage[from..end];
                    let received = loop {
                        let deadline = match random.below(4) {
                            0 => Deadline::Never,
                            1 => Deadline::after(Duration::from_micros(50)),
                            _ => Deadline::Now,
                        };
                        if random.below(8) == 0 && len > 0 {
                            // A buffer that is too small, in the midst of it.
                            match receiver.recv_deadline(&mut buffer[..len - 1], deadline) {
                                Err(RecvError::BufferTooSmall(small)) => {
                                    assert_eq!(small.needed, len);
                                }
                                Err(error) if error.is_temporary() => {}
                                other => panic!("seed {seed}, message {number}: {other:?}"),
                            }
                        }
                        match receiver.recv_deadline(buffer, deadline) {
                            Ok(received) => break received,
                            Err(error) if error.is_temporary() => {
                                assert_ne!(deadline, Deadline::Never);
                            }
                            Err(error) => panic!("seed {seed}, message {number}: {error}"),
                        }
                    };
                    assert_eq!(received.len, len, "seed {seed}, message {number}");
                    assert!(buffer[..len] == message(number, len), "seed {seed}, {number}");
                }
                let error = receiver.recv(&mut []).expect_err("the end");
                assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
            }
        },
        |host| {
            // Writes what the documentation of the frame says, byte for byte, cut anywhere.
            for seed in 1..=SEEDS {
                let mut stream = UnixStream::connect(host.hear()).expect("connects");
                let mut random = Random(seed * 1001);
                let mut bytes = Vec::new();
                for (number, len) in lengths(seed).into_iter().enumerate() {
                    bytes.extend_from_slice(&(len as u32).to_le_bytes());
                    bytes.extend(message(number, len));
                }
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    let most = [3, 10, 1000, 70_000, 500_000][random.below(5)];
                    let cut = (1 + random.below(most)).min(rest.len());
                    stream.write_all(&rest[..cut]).expect("writes");
                    rest = &rest[cut..];
                }
            }
        },
    );
}

#[test]
fn messages_pass_through_the_smallest_of_buffers() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let path = scope.path("socket");
            let listener = UnixStreamListener::bind(path.as_path()).expect("listens");
            guest.tell(path.to_str().expect("UTF-8"));
            let mut receiver = listener.accept(Deadline::Never).expect("accepts").receiver;
            let mut buffer = Vec::new();
            for (number, len) in lengths(5).into_iter().enumerate() {
                receiver.recv_to_vec(&mut buffer, Deadline::Never).expect("receives");
                assert!(buffer == message(number, len), "message {number}");
            }
        },
        |host| {
            let options = UnixOptions::new().buffer_len(4608);
            let mut sender = options
                .connect_stream(host.hear().as_str(), Deadline::Never)
                .expect("connects")
                .sender;
            let mut random = Random(9);
            for (number, len) in lengths(5).into_iter().enumerate() {
                let message = message(number, len);
                loop {
                    let deadline = match random.below(3) {
                        0 => Deadline::Now,
                        1 => Deadline::after(Duration::from_micros(200)),
                        _ => Deadline::Never,
                    };
                    match sender.send_deadline(&message, deadline) {
                        Ok(()) => break,
                        Err(error) => assert!(error.is_temporary(), "{error}"),
                    }
                }
            }
            sender.flush(Deadline::Never).expect("flushes");
            assert!(!sender.has_unfinished());
        },
    );
}

#[test]
fn a_sender_killed_within_a_frame_loses_that_message_only() {
    for (announced, written) in [(100u32, 0), (100, 50), (60_000, 30_000), (1_000_000, 150_000)] {
        for header_len in [1, 4] {
            let (ours, mut theirs) = UnixStream::pair().expect("a pair");
            let mut receiver =
                UnixOptions::new().adopt_stream(ours.into()).expect("a stream").receiver;
            theirs.write_all(b"\x05\0\0\0whole").expect("writes");
            theirs.write_all(&announced.to_le_bytes()[..header_len]).expect("writes");
            if header_len == 4 {
                theirs.write_all(&vec![7; written]).expect("writes");
            }
            let mut buffer = vec![0; 1_000_000];
            assert_eq!(receiver.recv(&mut buffer).expect("the whole one").len, 5);
            assert!(matches!(receiver.try_recv(&mut buffer), Err(RecvError::Empty)));
            drop(theirs);
            for _ in 0..2 {
                let error = receiver.recv(&mut buffer).expect_err("torn");
                assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
            }
        }
    }
}

#[test]
fn a_sender_killed_by_the_kernel_within_a_frame_is_gone() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let path = scope.path("socket");
            let listener = UnixStreamListener::bind(path.as_path()).expect("listens");
            guest.tell(path.to_str().expect("UTF-8"));
            let mut receiver = listener.accept(Deadline::Never).expect("accepts").receiver;
            assert_eq!(guest.hear(), "unfinished");
            guest.kill();
            let mut buffer = vec![0; 5_000_000];
            assert_eq!(receiver.recv(&mut buffer).expect("the whole one").len, 5);
            let error = receiver.recv(&mut buffer).expect_err("torn");
            assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
        },
        |host| {
            let connection = UnixStreamConnection::connect(host.hear().as_str(), Deadline::Never);
            let mut sender = connection.expect("connects").sender;
            sender.send(b"whole").expect("sends");
            sender.try_send(&vec![7; 5_000_000]).expect("begun");
            assert!(sender.has_unfinished());
            assert!(!sender.properties().accepted_survives_sender, "as the link says of itself");
            host.tell("unfinished");
            host.hear(); // killed here
        },
    );
}

#[test]
fn a_frame_that_was_begun_is_finished_before_the_next() {
    let (mut one, mut other) = UnixOptions::new().pair_stream().expect("a pair");
    let long = message(1, 1_000_000);
    one.sender.send_timeout(&long, Duration::from_millis(20)).expect("begun, so accepted");
    assert!(one.sender.has_unfinished());
    assert!(matches!(one.sender.try_send(b"next"), Err(SendError::Full)));
    let brief = Duration::from_millis(20);
    assert!(matches!(one.sender.send_timeout(b"next", brief), Err(SendError::TimedOut)));
    assert!(matches!(one.sender.flush(Deadline::Now), Err(SendError::Full)));

    let mut buffer = vec![0; 1_000_000];
    while one.sender.has_unfinished() {
        assert!(matches!(other.receiver.try_recv(&mut buffer), Err(RecvError::Empty)));
        let _ = one.sender.flush(Deadline::Now); // as far as it goes
    }
    assert_eq!(other.receiver.recv(&mut buffer).expect("receives").len, long.len());
    assert!(buffer == long);
    assert!(matches!(other.receiver.try_recv(&mut buffer), Err(RecvError::Empty)));
    one.sender.send(b"next").expect("sends");
    assert_eq!(other.receiver.recv(&mut buffer).expect("receives").len, 4);
}

#[test]
fn dropping_a_sender_finishes_what_it_has_begun() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let path = scope.path("socket");
            let listener = UnixStreamListener::bind(path.as_path()).expect("listens");
            guest.tell(path.to_str().expect("UTF-8"));
            let mut receiver = listener.accept(Deadline::Never).expect("accepts").receiver;
            let mut buffer = vec![0; 1_000_000];
            assert_eq!(receiver.recv(&mut buffer).expect("whole").len, 1_000_000);
            assert!(buffer == message(3, 1_000_000));
            let error = receiver.recv(&mut buffer).expect_err("the end");
            assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
        },
        |host| {
            let connection = UnixStreamConnection::connect(host.hear().as_str(), Deadline::Never);
            let mut sender = connection.expect("connects").sender;
            sender.try_send(&message(3, 1_000_000)).expect("begun");
        },
    );
}

#[test]
fn a_hostile_length_poisons_the_receiver_before_memory_is_set_aside() {
    for hostile in [u32::MAX, 1 << 31, 1001] {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let options = UnixOptions::new().max_message_len(1000);
        let mut receiver = options.adopt_stream(ours.into()).expect("a stream").receiver;
        theirs.write_all(b"\x02\0\0\0ok").expect("writes");
        theirs.write_all(&hostile.to_le_bytes()).expect("writes");
        theirs.write_all(b"\x02\0\0\0no").expect("writes");
        let mut buffer = Vec::new();
        receiver.recv_to_vec(&mut buffer, Deadline::Never).expect("the honest one");
        assert_eq!(buffer, b"ok");
        for _ in 0..3 {
            let error = receiver.recv_to_vec(&mut buffer, Deadline::Never).expect_err("hostile");
            assert!(matches!(error, RecvError::Violation(_)), "{error}");
        }
        let source = receiver.wait_source().expect("waitable");
        assert_eq!(source.arm().expect("looks"), Armed::Ready);
    }
}

#[test]
fn an_announced_length_costs_no_memory_until_its_bytes_come() {
    const ANNOUNCED: usize = 1 << 30;
    fn resident_bytes() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("procfs");
        let pages = statm.split(' ').nth(1).expect("a second field");
        pages.parse::<usize>().expect("a number") * rustix::param::page_size()
    }
    between_processes!(
        |guest| {
            let (ours, mut theirs) = UnixStream::pair().expect("a pair");
            let options = UnixOptions::new().max_message_len(ANNOUNCED);
            let mut receiver = options.adopt_stream(ours.into()).expect("a stream").receiver;
            let mut buffer = vec![0; ANNOUNCED]; // not resident until it is written
            let before = resident_bytes();
            theirs.write_all(&(ANNOUNCED as u32).to_le_bytes()).expect("writes");
            for _ in 0..3 {
                theirs.write_all(&[1; 50_000]).expect("writes");
                assert!(matches!(receiver.try_recv(&mut buffer), Err(RecvError::Empty)));
            }
            let grown = resident_bytes().saturating_sub(before);
            assert!(grown < 10 << 20, "{grown} bytes for 150,000 that came");
            guest.finish();
        },
        |_host| {},
    );
}

#[test]
fn any_bytes_give_messages_or_an_error_and_never_a_panic() {
    let mut random = Random(42);
    for _ in 0..500 {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let options = UnixOptions::new().max_message_len(50_000);
        let mut receiver = options.adopt_stream(ours.into()).expect("a stream").receiver;
        let mut bytes = Vec::new();
        for _ in 0..random.below(6) {
            let announced = match random.below(4) {
                0 => random.below(usize::MAX),
                1 => random.below(60_000),
                _ => random.below(300),
            };
            bytes.extend_from_slice(&(announced as u32).to_le_bytes());
            bytes.extend((0..random.below(400)).map(|i| i as u8));
        }
        theirs.write_all(&bytes).expect("writes");
        drop(theirs);
        let mut buffer = vec![0; 50_000];
        let mut taken = 0;
        let error = loop {
            match receiver.recv(&mut buffer) {
                Ok(received) => taken += 4 + received.len,
                Err(error) => break error,
            }
        };
        assert!(taken <= bytes.len());
        let is_end = matches!(error, RecvError::PeerGone { .. } | RecvError::Violation(_));
        assert!(is_end, "{error}");
    }
}

#[test]
fn a_maximum_that_four_bytes_cannot_say_is_refused() {
    let options = UnixOptions::new().max_message_len(1 << 32);
    let error = options.pair_stream().expect_err("too long");
    assert!(error.to_string().contains("max_message_len"), "{error}");
    let (mut one, _other) = UnixOptions::new().max_message_len(10).pair_stream().expect("a pair");
    let error = one.sender.send(&[0; 11]).expect_err("too long");
    assert!(matches!(&error, SendError::TooLong(e) if (e.len, e.max) == (11, 10)), "{error}");
}

#[test]
fn a_stream_that_takes_messages_whole_says_so_and_begins_none() {
    const WITH_SMALL_BUFFER: usize = 4608;
    let options = UnixOptions::new();
    let small = UnixOptions::new().buffer_len(WITH_SMALL_BUFFER);
    // Half of the buffer, less what the kernel and the frame take: see `longest_whole`.
    for (options, longest) in [(options, 16 * 1024), (small, WITH_SMALL_BUFFER / 2 - 68)] {
        let longer = options.clone().max_message_len(longest + 1);
        let (one, other) = longer.pair_stream().expect("a pair");
        assert!(!one.sender.properties().accepted_survives_sender);
        assert!(!other.receiver.properties().accepted_survives_sender);

        let (mut one, mut other) = options.max_message_len(longest).pair_stream().expect("a pair");
        assert!(one.sender.properties().accepted_survives_sender);
        assert!(other.receiver.properties().accepted_survives_sender);
        let mut random = Random(longest as u64);
        let mut waiting = std::collections::VecDeque::new();
        let mut buffer = vec![0; longest];
        for number in 0..5_000 {
            let shorter = random.below(longest) + 1;
            let message = message(number, longest - random.below(shorter));
            while let Err(error) = one.sender.try_send(&message) {
                assert!(matches!(error, SendError::Full), "{error}");
                let len = other.receiver.try_recv(&mut buffer).expect("the socket is full").len;
                assert!(waiting.pop_front().as_deref() == Some(&buffer[..len]));
            }
            assert!(!one.sender.has_unfinished(), "taken in part: message {number}");
            waiting.push_back(message);
        }
    }
}
