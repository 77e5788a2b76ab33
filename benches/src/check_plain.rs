//! Whether the plain ring is a fair limit: between two threads it must be within 1.1 × of `rtrb`, a
//! ring that many people have tuned. Not a test, since other work on the machine can fail it.
//!
//! Both move the same bytes: `rtrb` gets slices as long as the plain ring's records, a length word and
//! the message. Runs alternate. Of round trips the medians are compared. Of streams the best: in both
//! rings they have two regimes, and which one a run falls into (the consumer on the heels of the
//! producer, taking away the line that it writes, or well behind it) says nothing about the code.
//! Shown beside, and not compared: `rtrb` with items of a size that the compiler knows, which no ring
//! of variable-size messages can match.

use std::process::ExitCode;
use std::thread;

use ipc_core::{Deadline, LinkProperties, Received, Receiver, RecvError, SendError, Sender};
use rtrb::{Consumer, Producer, RingBuffer};

use crate::clock::{Clock, CpuClock};
use crate::limits::plain_ring::{PlainRing, record_len};
use crate::machine;
use crate::measure::content::{Messages, Scrutiny};
use crate::measure::oneway::Stream;
use crate::measure::rtt::Rounds;
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
/// Round trips of a run, and how many make a block: preemption by other work spoils few blocks.
const ROUNDS: usize = 30_000;
const BLOCK: usize = 100;
const ROUND_TRIPS: Rounds = Rounds { first: 0, count: ROUNDS as u64, scrutiny: Scrutiny::Spots };
/// Streams of a run, and their messages.
const STREAMS: u64 = 15;
const STREAM: u64 = 20_000;

/// Compares at three sizes; fails if the plain ring was never near enough.
pub fn run() -> ExitCode {
    let cpus = match machine::two_cpus() {
        Ok(Some(cpus)) => cpus,
        _ => {
            eprintln!("check-plain: it takes two processors");
            return ExitCode::FAILURE;
        }
    };
    println!(
        "plain ring by rtrb, between threads: median round trip, best stream (at most {ALLOWED})"
    );
    let good = [compare::<8>(cpus), compare::<64>(cpus), compare::<1024>(cpus)];
    if good.iter().all(|&good| good) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn compare<const SIZE: usize>(cpus: [usize; 2]) -> bool {
    let mut best = [f64::INFINITY; 2];
    let is_good = |ratios: &[f64; 2]| ratios.iter().all(|&ratio| ratio <= ALLOWED);
    for _ in 0..ATTEMPTS {
        let (mut plain, mut slices, mut items) =
            (Runs::default(), Runs::default(), Runs::default());
        for _ in 0..RUNS {
            plain.add(measure(cpus, SIZE, plain_pair));
            slices.add(measure(cpus, record_len(SIZE) as usize, slices_pair));
            items.add(measure(cpus, SIZE, items_pair::<SIZE>));
        }
        let (plain, slices, items) = (plain.figures(), slices.figures(), items.figures());
        for (best, (plain, slices)) in best.iter_mut().zip(plain.into_iter().zip(slices)) {
            *best = best.min(plain / slices);
        }
        println!(
            "{SIZE:>5} B  plain {:.1}, {:.1} ns; rtrb {:.1}, {:.1} ns; (fixed size {:.1}, {:.1} ns)",
            plain[0], plain[1], slices[0], slices[1], items[0], items[1]
        );
        if is_good(&best) {
            break;
        }
    }
    let verdict = if is_good(&best) { "good" } else { "TOO SLOW" };
    println!("{SIZE:>5} B  {:.2}, {:.2} × rtrb: {verdict}", best[0], best[1]);
    is_good(&best)
}

/// The round trips and one-way times of some runs.
#[derive(Default)]
struct Runs([Vec<f64>; 2]);

impl Runs {
    fn add(&mut self, (rtt_ns, oneway_ns): (f64, f64)) {
        self.0[0].push(rtt_ns);
        self.0[1].push(oneway_ns);
    }

    /// The median round trip and the best stream.
    fn figures(self) -> [f64; 2] {
        let [rtts_ns, oneways_ns] = self.0;
        let best = oneways_ns.into_iter().fold(f64::INFINITY, f64::min);
        [median(rtts_ns).expect("at least one run"), best]
    }
}

/// The round trip and the one-way time between two threads, in nanoseconds: of a run the median of
/// the blocks' means, and the best of the streams.
fn measure<S, R>(cpus: [usize; 2], size: usize, pair: fn() -> (S, R)) -> (f64, f64)
where
    S: Sender + 'static,
    R: Receiver + 'static,
{
    let (mut ping_sender, mut ping_receiver) = pair();
    let (mut pong_sender, mut pong_receiver) = pair();
    let (board, _descriptor) = Board::create().expect("shared memory");
    let guests = board.other_side();
    let guest = thread::spawn(move || -> anyhow::Result<Vec<u64>> {
        let _ = machine::pin(cpus[1]);
        let mut messages = Messages::new(size, 1);
        let (sender, receiver) = (&mut pong_sender, &mut ping_receiver);
        guests.rendezvous();
        ROUND_TRIPS.pong(Waiting, sender, receiver, &mut messages)?;
        let buffer = messages.incoming.as_mut();
        let ended =
            |stream: Stream| Ok(stream.receive(Waiting, receiver, buffer, &guests)?.ended_ns);
        streams().map(ended).collect()
    });
    let host = thread::spawn(move || -> anyhow::Result<(f64, Vec<u64>)> {
        let _ = machine::pin(cpus[0]);
        let clock = Clock::calibrate();
        let mut messages = Messages::new(size, 1);
        let mut ticks = vec![1; ROUNDS];
        let (sender, receiver) = (&mut ping_sender, &mut pong_receiver);
        board.rendezvous();
        ROUND_TRIPS.ping(Waiting, sender, receiver, &mut messages, &clock, &mut ticks)?;
        let blocks = ticks.chunks(BLOCK).map(|block| clock.ns(block.iter().sum()) / BLOCK as f64);
        let stock = &mut messages.stock;
        let began = |stream: Stream| Ok(stream.send(Waiting, sender, stock, &board)?.began_ns);
        let streams: anyhow::Result<_> = streams().map(began).collect();
        Ok((median(blocks).expect("some blocks"), streams?))
    });
    let host = host.join().expect("the host ends");
    let (rtt_ns, began_ns) = host.expect("messages pass");
    let ended_ns = guest.join().expect("the guest ends").expect("messages pass");
    let streams = began_ns.iter().zip(&ended_ns).map(|(began, ended)| (ended - began) as f64);
    (rtt_ns, streams.fold(f64::INFINITY, f64::min) / STREAM as f64)
}

fn streams() -> impl Iterator<Item = Stream> {
    (0..STREAMS).map(|run| Stream {
        first: run * STREAM,
        count: STREAM,
        lossy: false,
        scrutiny: Scrutiny::Spots,
        cpu_clock: CpuClock::Thread,
    })
}

fn plain_pair() -> (impl Sender, impl Receiver) {
    PlainRing { capacity_bytes: CAPACITY_BYTES }.between_threads().expect("shared memory")
}

/// `rtrb` with messages as items of a fixed size.
struct Items<E>(E);

fn items_pair<const SIZE: usize>() -> (impl Sender, impl Receiver) {
    let (producer, consumer) = RingBuffer::<[u8; SIZE]>::new(CAPACITY_BYTES / SIZE);
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
