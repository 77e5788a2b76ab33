//! The bounded buffer between processes: what the conformance suite does not ask.

use ipc_core::{OpenErrorKind, Receiver, RecvError, SendError, Sender, WaitStrategy};
use ipc_shm::{Access, Backing, BoundedBuffer, BufferReceiver, Memfd, Seals, Segment};
use ipc_testing::{Invitation, Scope, between_processes};

fn invite(guest: &mut ipc_testing::Guest, memfd: &Memfd) {
    let descriptor = std::os::fd::AsFd::as_fd(memfd).try_clone_to_owned().expect("a descriptor");
    guest.invite(Invitation::of_descriptors(vec![descriptor]));
}

fn join(host: &mut ipc_testing::Host) -> BoundedBuffer {
    BoundedBuffer::receive(host.invitation().descriptors.remove(0)).expect("a buffer")
}

#[track_caller]
fn received(receiver: &mut BufferReceiver) -> Result<Vec<u8>, RecvError> {
    let mut message = vec![0; 64];
    let received = receiver.try_recv(&mut message)?;
    message.truncate(received.len);
    Ok(message)
}

#[test]
fn every_slot_holds_a_message_and_the_next_one_is_refused() {
    let (buffer, _memfd) =
        BoundedBuffer::options().slots(10).slot_bytes(8).create_anonymous("t").expect("a buffer");
    let (mut sender, mut receiver) = (buffer.sender(), buffer.receiver());
    for round in 0..30_u64 {
        for number in 0..10 {
            sender.try_send(&(round + number).to_ne_bytes()).expect("room for ten");
        }
        assert!(matches!(sender.try_send(b""), Err(SendError::Full)));
        for number in 0..10 {
            let message = received(&mut receiver).expect("ten of them");
            assert_eq!(message, (round + number).to_ne_bytes());
        }
        assert!(matches!(received(&mut receiver), Err(RecvError::Empty)));
    }
}

/// Two producers never write one slot, and two consumers never take one message.
#[test]
fn many_senders_and_many_receivers_lose_nothing_and_repeat_nothing() {
    const MESSAGES: u64 = 20_000;
    between_processes!(
        |guest| {
            let (buffer, memfd) = BoundedBuffer::options()
                .slots(3)
                .slot_bytes(16)
                .create_anonymous("t")
                .expect("a buffer");
            invite(guest, &memfd);
            let receivers = [WaitStrategy::Park, WaitStrategy::adaptive()].map(|strategy| {
                let mut receiver = buffer.receiver().with_strategy(strategy);
                std::thread::spawn(move || {
                    let mut got: Vec<(u64, u64)> = Vec::new();
                    let mut message = [0; 16];
                    loop {
                        let len = receiver.recv(&mut message).expect("a message").len;
                        if len == 0 {
                            return got;
                        }
                        let (who, number) = message.split_at(8);
                        let value = |half: &[u8]| u64::from_ne_bytes(half.try_into().unwrap());
                        got.push((value(who), value(number)));
                    }
                })
            });
            assert_eq!(guest.hear(), "sent");
            for _ in 0..2 {
                buffer.sender().send(b"").expect("room in the end");
            }
            let got = receivers.map(|receiver| receiver.join().expect("no panic"));
            for who in 0..2 {
                for got in &got {
                    let one = got.iter().filter(|it| it.0 == who).map(|it| it.1);
                    assert!(one.is_sorted_by(|a, b| a < b), "in order, and none twice");
                }
                let mut all: Vec<_> =
                    got.iter().flatten().filter(|it| it.0 == who).map(|it| it.1).collect();
                all.sort_unstable();
                assert!(all.into_iter().eq(0..MESSAGES), "all, and each once");
            }
        },
        |host| {
            let buffer = join(host);
            let senders = [WaitStrategy::Park, WaitStrategy::adaptive()]
                .map(|strategy| buffer.sender().with_strategy(strategy));
            let mut who = 0_u64..;
            let senders = senders.map(|mut sender| {
                let who = who.next().expect("endless");
                std::thread::spawn(move || {
                    for number in 0..MESSAGES {
                        let message = [who.to_ne_bytes(), number.to_ne_bytes()].concat();
                        sender.send(&message).expect("room in the end");
                    }
                })
            });
            for sender in senders {
                sender.join().expect("no panic");
            }
            host.tell("sent");
        },
    );
}

#[test]
fn a_stopped_process_keeps_the_lock_and_try_answers_without_it() {
    // A process is stopped somewhere in its sending, many times. Wherever it is, a try comes back and
    // says "empty" or gives a message; and once it goes on, nothing is lost or repeated.
    between_processes!(
        |guest| {
            let (buffer, memfd) = BoundedBuffer::options()
                .slots(2)
                .slot_bytes(64 << 10)
                .create_anonymous("t")
                .expect("a buffer");
            invite(guest, &memfd);
            let mut receiver = buffer.receiver();
            let mut message = vec![0; 64 << 10];
            let mut next = 0_u64;
            for _ in 0..200 {
                guest.stop();
                // At most what was in the buffer, and then nothing.
                for _ in 0..3 {
                    match receiver.try_recv(&mut message) {
                        Ok(_) => {
                            assert_eq!(message[..8], next.to_ne_bytes());
                            assert_eq!(message[65_528..], next.to_ne_bytes());
                            next += 1;
                        }
                        Err(error) => assert!(error.is_temporary(), "{error}"),
                    }
                }
                guest.cont();
                receiver.recv(&mut message).expect("it goes on");
                assert_eq!(message[..8], next.to_ne_bytes());
                next += 1;
            }
            guest.kill();
        },
        |host| {
            let mut sender = join(host).sender();
            for number in 0_u64.. {
                sender.send(&number.to_ne_bytes().repeat(8 << 10)).expect("room in the end");
            }
        },
    );
}

#[test]
fn a_buffer_in_a_named_segment_outlives_its_processes() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let name = scope.name();
            scope.defer({
                let name = name.clone();
                move || drop(Segment::unlink_name(&name))
            });
            guest.tell(name.as_str());
            guest.wait();
            let buffer = BoundedBuffer::open(&name).expect("still there");
            assert_eq!((buffer.slots(), buffer.slot_bytes()), (4, 40));
            assert_eq!(received(&mut buffer.receiver()).expect("kept"), b"a will");
        },
        |host| {
            let name = ipc_core::Name::new(&host.hear()).expect("a name");
            let options = BoundedBuffer::options().slots(4).slot_bytes(40);
            let buffer = options.create_new(&name).expect("created");
            buffer.sender().send(b"a will").expect("room");
            let error = options.create_new(&name).expect_err("there is one");
            assert!(matches!(error.kind(), OpenErrorKind::AlreadyExists(_)), "{error}");
        },
    );
}

#[test]
fn what_is_no_buffer_of_ours_is_refused() {
    let scope = Scope::new();
    let name = scope.name();
    scope.defer({
        let name = name.clone();
        move || drop(Segment::unlink_name(&name))
    });
    let refused = || match BoundedBuffer::open(&name).expect_err("refused").kind() {
        OpenErrorKind::Mismatch { what, .. } => *what,
        other => panic!("{other:?}"),
    };
    let segment = Segment::create_new(&name, 511).expect("created");
    assert_eq!(refused(), "length of the segment");
    segment.unlink().expect("named so");
    let segment = Segment::create_new(&name, 4096).expect("created");
    assert_eq!(refused(), "magic number");
    segment.unlink().expect("named so");

    BoundedBuffer::options().slots(3).slot_bytes(9).create_new(&name).expect("created");
    let segment = Segment::open(&name).expect("opened");
    let memory = segment.mapping();
    let original = |at| {
        let mut bytes = [0; 8];
        memory.read_at(at, &mut bytes);
        bytes
    };
    for (at, expected) in [
        (0, "magic number"),
        (8, "layout hash"),
        (16, "length in the header"),
        (24, "length by slots and bytes"),
    ] {
        let bytes = original(at);
        // As a machine of the other byte order would have written it.
        let mut swapped = bytes;
        swapped.reverse();
        memory.write_at(at, &swapped);
        assert_eq!(refused(), expected);
        memory.write_at(at, &bytes);
    }
    // More slots than the segment has room for.
    memory.write_at(24, &4_u32.to_ne_bytes());
    assert_eq!(refused(), "length by slots and bytes");
    memory.write_at(24, &0_u32.to_ne_bytes());
    assert_eq!(refused(), "length by slots and bytes");
    memory.write_at(24, &3_u32.to_ne_bytes());
    BoundedBuffer::open(&name).expect("whole again");
}

#[test]
fn shapes_that_cannot_be_are_refused() {
    for (slots, slot_bytes) in
        [(0, 1), (1 << 33, 1), (1, 1 << 33), (u32::MAX as usize, u32::MAX as usize)]
    {
        let options = BoundedBuffer::options().slots(slots).slot_bytes(slot_bytes);
        let error = options.create_anonymous("t").expect_err("impossible");
        assert!(
            matches!(error.kind(), OpenErrorKind::InvalidOption { option: "slots", .. }),
            "{error}"
        );
    }
}

#[test]
fn an_unsealed_memfd_is_refused() {
    let memfd = Memfd::create("t", 4096, Backing::Lazy).expect("a memfd");
    let error = BoundedBuffer::receive(memfd.into_fd()).expect_err("refused");
    assert!(
        matches!(error.kind(), OpenErrorKind::Mismatch { what: "set of seals", .. }),
        "{error}"
    );
}

/// Whatever stands in the shared words, an operation ends with a result or an error: never outside
/// the mapping, never in a loop without end.
#[test]
fn garbage_in_the_memory_is_a_violation_and_stays_one() {
    let fresh = || {
        let (buffer, memfd) = BoundedBuffer::options()
            .slots(2)
            .slot_bytes(16)
            .create_anonymous("t")
            .expect("a buffer");
        buffer.sender().send(b"message").expect("room");
        let memory = Memfd::receive(memfd.into_fd(), Seals::SIZE, 1..=usize::MAX)
            .and_then(|memfd| memfd.map(Access::ReadWrite))
            .expect("mapped once more");
        (buffer, memory)
    };
    // in, out, and the length of the message.
    for (at, garbage) in [(136, u64::MAX), (136, 4), (144, 2), (144, u64::MAX), (512, 17)] {
        let (buffer, memory) = fresh();
        memory.write_at(at, &garbage.to_ne_bytes());
        let mut receiver = buffer.receiver();
        for _ in 0..2 {
            let error = received(&mut receiver).expect_err("garbage");
            assert!(matches!(error, RecvError::Violation(_)), "{at}: {error}");
        }
        if at != 512 {
            let mut sender = buffer.sender();
            for _ in 0..2 {
                let error = sender.try_send(b"").expect_err("garbage");
                assert!(matches!(error, SendError::Violation(_)), "{at}: {error}");
            }
        }
    }
    // The words that only make others wait: the lock, full, empty.
    for at in [128, 256, 384] {
        for garbage in [1, 2, 0x4000_0000, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX] {
            let (buffer, memory) = fresh();
            memory.write_at(at, &garbage.to_ne_bytes());
            for _ in 0..4 {
                let _ = buffer.sender().try_send(b"x");
                let _ = received(&mut buffer.receiver());
            }
        }
    }
}
