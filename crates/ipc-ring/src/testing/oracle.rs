//! Oracles over the protocol, for fuzzing and for property tests: any bytes are a programme of
//! operations, and a plain queue knows what each must answer.

use std::collections::VecDeque;
use std::io;

use ipc_core::sync::Ordering;
use ipc_core::{Deadline, RecvError, Resource, WaitStrategy};

use crate::Batch;
use crate::bell::{Bell, Heard};
use crate::endpoint::receiving::Receiving;
use crate::layout::{CAPACITY_OFFSET, memory_len};
use crate::link::Hello;
use crate::protocol::consumer::Consumer;
use crate::protocol::heap::Heap;
use crate::protocol::longest_message;
use crate::protocol::memory::Memory;
use crate::protocol::producer::{Claim, Producer, Purpose, REWIND_BYTES, Sleeper};
use crate::protocol::record::record_bytes;

/// Reads numbers from the fuzzer's bytes; zeros when they are used up.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&byte, rest)) => {
                self.0 = rest;
                byte
            }
            None => 0,
        }
    }

    fn number(&mut self, bytes: usize) -> u64 {
        (0..bytes).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// A ring's capacity: 128 to 4096 bytes, or 1 MiB, which has room for the longest kind of message.
    fn capacity(&mut self) -> usize {
        match self.byte() % 16 {
            15 => 1 << 20,
            number => 128 << (number % 6),
        }
    }

    /// Where positions begin: at 0, or shortly before 2³² or 2⁶⁴.
    fn start(&mut self) -> u64 {
        let before = u64::from(self.byte()) * 8;
        match self.byte() % 3 {
            0 => 0,
            1 => (1_u64 << 32) - before,
            _ => before.wrapping_neg(),
        }
    }

    fn sleeper(&mut self) -> Sleeper {
        [Sleeper::Fences, Sleeper::Never, Sleeper::Bars][self.byte() as usize % 3]
    }
}

/// Sends and receives as `script` says, in one thread, and compares with a queue.
///
/// # Panics
///
/// If the ring and the queue disagree: a message lost, altered, out of order or from nowhere; "full"
/// where there is room, "empty" where there is a message.
pub fn operations(script: &[u8]) {
    let mut script = Script(script);
    let capacity = script.capacity();
    let start = script.start();
    let memory = Heap::new(capacity, start);
    let mut producer = Producer::new(memory.clone(), start, script.sleeper());
    let (strategy, link) = (WaitStrategy::Park, Resource::unnamed("ring"));
    let mut receiving = Receiving::new(Consumer::new(memory, start), NoBell, strategy, false, link);
    let longest = longest_message(capacity as u64);
    let mut sent: VecDeque<Vec<u8>> = VecDeque::new();
    let mut staged: Vec<Vec<u8>> = Vec::new();
    let mut counter = 0_u8;

    while !script.is_over() {
        match script.byte() % 8 {
            // Stage a message, perhaps after shortening the loan; publish it, perhaps.
            0..=3 => {
                let len = script.number(3) as usize % (longest + 1);
                let Some(claim) = claim(&mut producer, len, &sent, &staged, capacity) else {
                    continue;
                };
                let kept = len - script.byte() as usize % (len + 1);
                counter = counter.wrapping_add(1);
                let message = message(&mut script, kept, counter);
                producer.memory().write(claim.message_position(), &message);
                producer.stage(claim, kept, script.byte() % 2 == 0);
                staged.push(message);
                if script.byte() % 2 == 0 {
                    producer.publish();
                    sent.extend(staged.drain(..));
                }
            }
            // Claim, write, and think better of it.
            4 => {
                let len = script.number(3) as usize % (longest + 1);
                if let Some(claim) = claim(&mut producer, len, &sent, &staged, capacity) {
                    producer.memory().write(claim.message_position(), &vec![0xff; len]);
                }
            }
            5 => {
                producer.publish();
                sent.extend(staged.drain(..));
            }
            // Take several, as far as they fit.
            6 => {
                let (most, room) = (script.number(1) as usize % 9, script.number(3) as usize);
                let mut batch = Batch::new(most, room % (longest + 1));
                let fit = fit(&sent, &batch);
                match receiving.recv_batch(&mut batch, Deadline::Now) {
                    Ok(count) => assert_eq!(count, fit, "length of the batch"),
                    Err(RecvError::Empty) => assert!(sent.is_empty(), "empty"),
                    Err(RecvError::BufferTooSmall(small)) => {
                        assert_eq!(sent.front().map(Vec::len), Some(small.needed), "needed");
                        assert_eq!(fit, 0, "too small");
                    }
                    Err(error) => panic!("{error}"),
                }
                let taken: Vec<_> = sent.drain(..fit).collect();
                assert!(batch.iter().eq(taken), "content of the batch");
            }
            // Look, and perhaps take.
            _ => {
                let message = receiving.next(Deadline::Now).ok();
                assert_eq!(message.map(|m| m.len()), sent.front().map(Vec::len), "next message");
                let Some(message) = message else { continue };
                let mut bytes = vec![0; message.len()];
                receiving.memory().read(message.position, &mut bytes);
                assert_eq!(Some(&bytes), sent.front(), "content");
                if script.byte() % 4 != 0 {
                    receiving.release(message);
                    sent.pop_front();
                }
            }
        }
    }
}

/// How many of the messages sent fit an empty batch.
fn fit(sent: &VecDeque<Vec<u8>>, batch: &Batch) -> usize {
    let mut bytes = 0;
    let fits = |message: &&Vec<u8>| {
        bytes += message.len();
        bytes <= batch.max_bytes()
    };
    sent.iter().take(batch.max_messages()).take_while(fits).count()
}

/// The doorbells of ends that never wait.
struct NoBell;

impl Bell for NoBell {
    fn ring(&self) {}

    fn wait(&self, _: Deadline) -> io::Result<Heard> {
        unreachable!("the deadline is now")
    }

    fn is_hung_up(&mut self) -> bool {
        false
    }

    fn quiet(&self) {}
}

/// A message of `len` bytes: some from the script, so that they may look like headers, and a counter.
fn message(script: &mut Script<'_>, len: usize, counter: u8) -> Vec<u8> {
    let mut message = vec![counter; len];
    for byte in message.iter_mut().take(8) {
        *byte = script.byte();
    }
    message
}

/// Claims, and checks that "no room" is said only when there is none.
fn claim(
    producer: &mut Producer<Heap>,
    len: usize,
    sent: &VecDeque<Vec<u8>>,
    staged: &[Vec<u8>],
    capacity: usize,
) -> Option<Claim> {
    let claim = producer.claim(len, Purpose::Copy).expect("an honest receiver");
    if claim.is_none() {
        let held: u64 = sent.iter().chain(staged).map(|m| record_bytes(m.len())).sum();
        // A sender that waits is woken by a release, so there must be something to release.
        assert!(held > 0, "full, and nothing held");
        // Beside what is held: what the receiver may owe, one skip of the rest of the ring among the
        // held records, and the skip, the record and the cleared word of this claim.
        let capacity = capacity as u64;
        let owed = capacity / 8 * 3;
        let needed = 2 * record_bytes(len) + 8;
        // For a long message in an empty ring any part of it is skipped.
        let is_long = |m: &Vec<u8>| record_bytes(m.len()) >= REWIND_BYTES;
        let has_long = sent.iter().chain(staged).any(is_long);
        let skipped = if has_long { capacity } else { record_bytes(longest_message(capacity)) };
        assert!(held + owed + skipped + needed > capacity, "full with {held} held");
    }
    claim
}

/// Lets each end meet a peer that writes anything anywhere it may.
///
/// # Panics
///
/// If garbage leads out of the ring or to an endless loop (which the fuzzer sees as a time-out).
pub fn hostile_peer(script: &[u8]) {
    let mut script = Script(script);
    let capacity = script.capacity();
    let start = script.start();
    let memory = Heap::new(capacity, start);
    let mut producer = Producer::new(memory.clone(), start, Sleeper::Fences);
    let mut consumer = Consumer::new(memory.clone(), start);
    let longest = longest_message(capacity as u64);
    // Relaxed throughout: there is one thread.
    while !script.is_over() {
        match script.byte() % 8 {
            0 => {
                // A hostile sender: any word of its ring.
                let offset = script.number(2) * 8 % capacity as u64;
                let value = script.number(8);
                memory.word(offset).store(value, Ordering::Relaxed);
            }
            1 => {
                // A hostile sender with good headers and bad lengths.
                let offset = script.number(2) * 8 % capacity as u64;
                let kind = [0x4d_u64 << 24, 0x4d << 24 | 1, 0x57 << 24][script.byte() as usize % 3];
                let value = kind << 32 | script.number(4);
                memory.word(offset).store(value, Ordering::Relaxed);
            }
            2 => memory.head().store(script.number(8), Ordering::Relaxed),
            3 => {
                // A hostile receiver with a position that is nearly right.
                let head = producer.tail().wrapping_sub(script.number(2) * 8);
                memory.head().store(head, Ordering::Relaxed);
            }
            4 => memory.receiver_sleep().store(script.number(8), Ordering::Relaxed),
            5 => memory.sender_sleep().store(script.number(8), Ordering::Relaxed),
            6 => {
                let len = script.number(2) as usize % (longest + 1);
                if let Ok(Some(claim)) = producer.claim(len, Purpose::Copy) {
                    producer.memory().write(claim.message_position(), &vec![0; len]);
                    producer.stage(claim, len, false);
                    producer.publish();
                }
            }
            _ => {
                if let Ok(Some(message)) = consumer.peek() {
                    assert!(message.len() < capacity);
                    let mut bytes = vec![0; message.len()];
                    consumer.memory().read(message.position, &mut bytes);
                    consumer.release(message);
                }
            }
        }
    }
}

/// Reads any bytes as the other side's hello.
///
/// # Panics
///
/// If a hello passes that no ring could follow from, or that its sender could not have meant.
pub fn hello(bytes: &[u8]) {
    let mut hello = [0; Hello::BYTES];
    let len = bytes.len().min(hello.len());
    hello[..len].copy_from_slice(&bytes[..len]);
    // As they are, hardly any bytes pass the first fields; with those of an honest hello, some do.
    check_hello(&hello);
    let honest = Hello::of(&crate::Options::new().receive_only()).to_bytes();
    hello[..CAPACITY_OFFSET].copy_from_slice(&honest[..CAPACITY_OFFSET]);
    check_hello(&hello);
}

fn check_hello(bytes: &[u8; Hello::BYTES]) {
    let Ok(hello) = Hello::from_bytes(bytes) else { return };
    let capacity = hello.capacity;
    assert!(capacity == 0 || capacity.is_power_of_two());
    // It can be mapped, and positions in it are told apart.
    assert!(capacity <= 1 << 32 && memory_len(capacity) > capacity);
    assert_eq!(hello.to_bytes(), *bytes, "nothing was read over");
}
