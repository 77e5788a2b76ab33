//! A real peer that keeps to the handshake, and then writes garbage into everything that it may write,
//! rings, and rings not, while the other side uses the link: typed errors, and no more. Each case is also
//! a fuzz target (`ring_interference`), in one thread and so repeatable; here the kernel and the processor
//! decide when the garbage comes.

mod common;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ipc_core::{Deadline, Receiver, RecvError, SendError, Sender, WaitSource, WaitStrategy};
use ipc_ring::{Batch, Link, Options, pair};
use ipc_shm::{Access, Backing, Mapping, Memfd};
use ipc_socket::{recv_with_descriptors, send_with_credentials};
use ipc_testing::{Invitation, between_processes};
use rustix::pipe::PipeFlags;

const CAPACITY: usize = 4096;
/// Where the words are that are not the ring's: see `src/layout.rs`.
const WORDS: [usize; 3] = [128, 256, 384];
const RING: usize = 4096;

/// Links, each until it is seen to be broken.
const LINKS: u64 = 40;
/// Operations on a link that is never seen to be broken.
const OPERATIONS: u64 = 1_000;

/// Marsaglia's generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn options(number: u64) -> Options {
    let strategy = match number % 3 {
        0 => WaitStrategy::Park,
        1 => WaitStrategy::adaptive(),
        _ => WaitStrategy::Spin,
    };
    Options::new().capacity_bytes(CAPACITY).wait_strategy(strategy)
}

#[test]
fn garbage_in_every_shared_word_is_an_error_at_most() {
    between_processes!(
        |guest| {
            let mut ends = [0_u32; 3];
            for number in 0..LINKS {
                let (ours, theirs) = pair().expect("a pair");
                guest.invite(Invitation::of_descriptors(vec![theirs.into()]));
                let link = ours.join(&options(number), Deadline::Never).expect("it says hello");
                ends[use_up(link, number)] += 1;
                guest.tell("next");
            }
            guest.tell("done");
            println!(
                "links: {} in use to the end, {} gone, {} violated",
                ends[0], ends[1], ends[2]
            );
            assert!(ends[2] >= LINKS as u32 / 4, "the garbage is met: {ends:?}");
        },
        |host| {
            for number in 0..LINKS {
                let socket = host.invitation().descriptors.remove(0);
                let peer = Hostile::over(&socket);
                let is_over = AtomicBool::new(false);
                thread::scope(|scope| {
                    scope.spawn(|| {
                        let mut random = Random(number * 2 + 1);
                        while !is_over.load(Ordering::Relaxed) {
                            peer.harass(&mut random, number);
                        }
                    });
                    assert_eq!(host.hear(), "next");
                    is_over.store(true, Ordering::Relaxed);
                });
            }
            assert_eq!(host.hear(), "done");
        },
    );
}

/// Uses a link in every way until it is broken: how it ended.
fn use_up(link: Link, number: u64) -> usize {
    let (mut sender, mut receiver) = (link.sender.expect("ours"), link.receiver.expect("theirs"));
    let mut random = Random(0x9e37_79b9 + number);
    let (mut buffer, mut batch) = ([0; CAPACITY], Batch::new(8, CAPACITY));
    let (mut sends, mut receives) = (true, true);
    let mut end = 0;
    for _ in 0..OPERATIONS {
        let soon = Duration::from_micros(random.below(300));
        let len = random.below(500) as usize;
        if sends && random.below(2) == 0 {
            let message = &buffer[..len];
            let sent = match random.below(5) {
                0 => sender.send_timeout(message, soon),
                1 => sender.send_batch(&[message; 3], Deadline::Now).map(|sent| assert!(sent <= 3)),
                2 => sender.send_synchronous(message, Deadline::after(soon)),
                3 => {
                    let armed = sender.wait_source().map(WaitSource::arm);
                    assert!(armed.is_none_or(|armed| armed.is_ok()));
                    sender.wait_source().into_iter().for_each(WaitSource::disarm);
                    Ok(())
                }
                _ => sender.try_send(message),
            };
            match sent {
                Ok(()) | Err(SendError::Full | SendError::TimedOut | SendError::NotTaken) => {}
                Err(SendError::PeerGone { .. }) => (sends, end) = (false, end.max(1)),
                Err(SendError::Violation(_)) => (sends, end) = (false, 2),
                Err(error) => panic!("{error}"),
            }
        } else if receives {
            let received = match random.below(4) {
                0 => receiver.recv_timeout(&mut buffer, soon).map(|it| assert!(it.len <= CAPACITY)),
                1 => receiver.recv_batch(&mut batch, Deadline::Now).map(|n| assert!(n <= 8)),
                2 => receiver.try_recv(&mut buffer[..len]).map(|it| assert!(it.len <= len)),
                _ => receiver.try_recv(&mut buffer).map(|it| assert!(it.len <= CAPACITY)),
            };
            match received {
                Ok(()) | Err(RecvError::Empty | RecvError::TimedOut) => {}
                Err(RecvError::BufferTooSmall(small)) => assert!(small.needed <= CAPACITY),
                Err(RecvError::PeerGone { .. }) => (receives, end) = (false, end.max(1)),
                Err(RecvError::Violation(_)) => (receives, end) = (false, 2),
                Err(error) => panic!("{error}"),
            }
        }
        if !sends && !receives {
            break;
        }
    }
    end
}

/// The memory of a peer that does with it what it wants, and its bells.
struct Hostile {
    memory: Mapping,
    bells: [OwnedFd; 2],
}

impl Hostile {
    /// Says the hello that our own code says, of memory that stays writable here.
    fn over(socket: &OwnedFd) -> Self {
        let (here, there) = pair().expect("a pair");
        let honest = Options::new().capacity_bytes(CAPACITY);
        here.join(&honest, Deadline::Now).expect_err("nobody answers");
        let there = OwnedFd::from(there);
        let mut hello = [0; 128];
        let said = recv_with_descriptors(there.as_fd(), &mut hello, 3, Deadline::Now);
        let hello = &hello[..said.expect("it said it").len];

        let memory = Memfd::create("hostile", RING + CAPACITY, Backing::Lazy).expect("memory");
        let mapping = memory.map(Access::ReadWrite).expect("mapped");
        memory.seal_for_peer().expect("sealed");
        let pipes = [(); 2].map(|()| rustix::pipe::pipe_with(PipeFlags::CLOEXEC).expect("a pipe"));
        let [(one, ring_one), (other, ring_other)] = pipes;
        let descriptors = [memory.as_fd(), one.as_fd(), other.as_fd()];
        send_with_credentials(socket.as_fd(), hello, &descriptors, Deadline::Never).expect("said");
        let heard = recv_with_descriptors(socket.as_fd(), &mut [0; 128], 3, Deadline::Never);
        heard.expect("it says hello too");
        let bells = [ring_one, ring_other];
        bells.iter().for_each(|bell| {
            let flags = rustix::fs::OFlags::NONBLOCK;
            rustix::fs::fcntl_setfl(bell, flags).expect("set");
        });
        Self { memory: mapping, bells }
    }

    /// Of links, by their number: some get any bits, some what looks as if it were meant.
    fn harass(&self, random: &mut Random, number: u64) {
        let header = [0x4d << 56, 0x4d << 56 | 1 << 32, 0x57 << 56, 0][random.below(4) as usize];
        let anywhere = RING + 8 * random.below(CAPACITY as u64 / 8) as usize;
        let (offset, value) = match random.below(8) {
            0 => (WORDS[random.below(3) as usize], random.next()),
            1 => (WORDS[random.below(3) as usize], random.below(16)),
            2 => (256, 8 * random.below(1 << 13)), // a position
            3 if number % 4 == 0 => (anywhere, random.next()),
            4 => (RING, header | random.below(1 << 11)),
            5 if number % 2 == 0 => (anywhere, 0),
            6 => {
                let bell = &self.bells[random.below(2) as usize];
                let _ = rustix::io::write(bell, &[1; 100]);
                return;
            }
            _ => (anywhere, header | random.below(600)),
        };
        self.memory.write_at(offset, &value.to_ne_bytes());
    }
}
