//! Whether the plain ring is a fair limit: between two threads it must be within 1.1 × of `rtrb`, a
//! ring that many people have tuned. Not a test, since other work on the machine can fail it.
//!
//! `rtrb` carries messages of one size known to the compiler, once as items and once as slices of
//! bytes; the faster counts. Runs alternate, and medians are compared.

use std::process::ExitCode;
use std::thread;

use ipc_core::{Deadline, LinkProperties, Received, Receiver, RecvError, SendError, Sender};
use rtrb::{Consumer, Producer, RingBuffer};

use crate::clock::Clock;
use crate::limits::plain_ring::PlainRing;
use crate::machine;
use crate::measure::oneway::Stream;
use crate::measure::rtt::{self, Messages};
use crate::measure::style::Waiting;
use crate::report::summary::median;
use crate::shared::Board;

/// The most that the plain ring may take, in multiples of `rtrb`.
const ALLOWED: f64 = 1.1;
/// Alternating runs of each ring.
const RUNS: usize = 15;
/// How often to try before giving up.
const ATTEMPTS: usize = 5;
const CAPACITY_BYTES: usize = 256 * 1024;
const ROUNDS: u64 = 30_000;
const STREAM: u64 = 300_000;

/// Compares at three sizes; fails if the plain ring was never near enough.
pub fn run() -> ExitCode {
    let cpus = match machine::two_cpus() {
        Ok(Some(cpus)) => cpus,
        _ => {
            eprintln!("check-plain: it takes two processors");
            return ExitCode::FAILURE;
        }
    };
    println!("plain ring by rtrb, between threads: round trip, one way (at most {ALLOWED})");
    let good = [compare::<8>(cpus), compare::<64>(cpus), compare::<1024>(cpus)];
    if good.iter().all(|&good| good) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn compare<const SIZE: usize>(cpus: [usize; 2]) -> bool {
    let mut best = [f64::INFINITY; 2];
    for _ in 0..ATTEMPTS {
        let mut plain = [Vec::new(), Vec::new()];
        let mut items = [Vec::new(), Vec::new()];
        let mut slices = [Vec::new(), Vec::new()];
        for _ in 0..RUNS {
            let keep = |figures: &mut [Vec<f64>; 2], (rtt, oneway): (f64, f64)| {
                figures[0].push(rtt);
                figures[1].push(oneway);
            };
            keep(&mut plain, measure(cpus, SIZE, plain_pair));
            keep(&mut items, measure(cpus, SIZE, items_pair::<SIZE>));
            keep(&mut slices, measure(cpus, SIZE, slices_pair));
        }
        let medians = |figures: [Vec<f64>; 2]| figures.map(|f| median(f).expect("some runs"));
        let (plain, items, slices) = (medians(plain), medians(items), medians(slices));
        for figure in 0..2 {
            let ratio = plain[figure] / items[figure].min(slices[figure]);
            best[figure] = best[figure].min(ratio);
        }
        println!(
            "{SIZE:>5} B  ns: plain {:.1}, {:.1}; rtrb items {:.1}, {:.1}; slices {:.1}, {:.1}",
            plain[0], plain[1], items[0], items[1], slices[0], slices[1]
        );
        if best.iter().all(|&ratio| ratio <= ALLOWED) {
            break;
        }
    }
    let good = best.iter().all(|&ratio| ratio <= ALLOWED);
    let verdict = if good { "good" } else { "TOO SLOW" };
    println!("{SIZE:>5} B  {:.2}, {:.2}: {verdict}", best[0], best[1]);
    good
}

/// The mean round trip and the one-way time in nanoseconds, between two threads.
fn measure<S, R>(cpus: [usize; 2], size: usize, pair: fn() -> (S, R)) -> (f64, f64)
where
    S: Sender + 'static,
    R: Receiver + 'static,
{
    let (mut ping_sender, mut ping_receiver) = pair();
    let (mut pong_sender, mut pong_receiver) = pair();
    let (board, _descriptor) = Board::create().expect("shared memory");
    let guests = board.other_side();
    let stream = Stream { first: 0, count: STREAM, lossy: false };
    let warm_up = Stream { first: 0, count: STREAM / 4, lossy: false };
    let guest = thread::spawn(move || {
        let _ = machine::pin(cpus[1]);
        let mut messages = Messages::new(size);
        guests.rendezvous();
        rtt::pong(Waiting, &mut pong_sender, &mut ping_receiver, &mut messages, 0, ROUNDS)
            .expect("messages pass");
        let buffer = &mut messages.incoming;
        for stream in [warm_up, stream] {
            let arrived = stream.receive(Waiting, &mut ping_receiver, buffer, &guests);
            if stream.count == STREAM {
                return arrived.expect("messages pass").ended_ns;
            }
        }
        unreachable!("the second stream is the last")
    });
    let host = thread::spawn(move || {
        let _ = machine::pin(cpus[0]);
        let clock = Clock::calibrate();
        let mut messages = Messages::new(size);
        let mut ticks = vec![1; ROUNDS as usize];
        board.rendezvous();
        rtt::ping(
            Waiting,
            &mut ping_sender,
            &mut pong_receiver,
            &mut messages,
            0,
            &clock,
            &mut ticks,
        )
        .expect("messages pass");
        let message = &mut messages.outgoing;
        warm_up.send(Waiting, &mut ping_sender, message, &board).expect("messages pass");
        let sent = stream.send(Waiting, &mut ping_sender, message, &board);
        let rtt_ns = clock.ns(ticks.iter().sum()) / ROUNDS as f64;
        (rtt_ns, sent.expect("messages pass").began_ns)
    });
    let (rtt_ns, began_ns) = host.join().expect("the host ends");
    let ended_ns = guest.join().expect("the guest ends");
    (rtt_ns, (ended_ns - began_ns) as f64 / STREAM as f64)
}

fn plain_pair() -> (impl Sender, impl Receiver) {
    PlainRing { capacity_bytes: CAPACITY_BYTES }.between_threads().expect("shared memory")
}

/// `rtrb` with messages as items of a fixed size.
struct Items<E>(E);

fn items_pair<const SIZE: usize>() -> (Items<Producer<[u8; SIZE]>>, Items<Consumer<[u8; SIZE]>>) {
    let (producer, consumer) = RingBuffer::new(CAPACITY_BYTES / SIZE);
    (Items(producer), Items(consumer))
}

impl<const SIZE: usize> Sender for Items<Producer<[u8; SIZE]>> {
    #[inline]
    fn send_deadline(&mut self, message: &[u8], _: Deadline) -> Result<(), SendError> {
        let item: &[u8; SIZE] = message.try_into().expect("messages of that size");
        while self.0.push(*item).is_err() {}
        Ok(())
    }
    fn properties(&self) -> LinkProperties {
        plain_pair().0.properties()
    }
}

impl<const SIZE: usize> Receiver for Items<Consumer<[u8; SIZE]>> {
    #[inline]
    fn recv_deadline(&mut self, buffer: &mut [u8], _: Deadline) -> Result<Received, RecvError> {
        loop {
            if let Ok(item) = self.0.pop() {
                buffer.copy_from_slice(&item);
                return Ok(Received::of_len(SIZE));
            }
        }
    }
    fn properties(&self) -> LinkProperties {
        plain_pair().1.properties()
    }
}

/// `rtrb` with messages as slices of bytes.
struct Slices<E>(E);

fn slices_pair() -> (Slices<Producer<u8>>, Slices<Consumer<u8>>) {
    let (producer, consumer) = RingBuffer::new(CAPACITY_BYTES);
    (Slices(producer), Slices(consumer))
}

impl Sender for Slices<Producer<u8>> {
    #[inline]
    fn send_deadline(&mut self, message: &[u8], _: Deadline) -> Result<(), SendError> {
        while self.0.push_entire_slice(message).is_err() {}
        Ok(())
    }
    fn properties(&self) -> LinkProperties {
        plain_pair().0.properties()
    }
}

impl Receiver for Slices<Consumer<u8>> {
    #[inline]
    fn recv_deadline(&mut self, buffer: &mut [u8], _: Deadline) -> Result<Received, RecvError> {
        while self.0.pop_entire_slice(buffer).is_err() {}
        Ok(Received::of_len(buffer.len()))
    }
    fn properties(&self) -> LinkProperties {
        plain_pair().1.properties()
    }
}
