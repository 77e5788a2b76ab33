//! The ring's hot functions alone, within one thread: what an operation costs when no cache line has
//! to travel. For what it costs between processes, `cargo xtask bench`; for the exact instructions,
//! `tests/instructions.rs`.
//!
//! `cargo bench -p ipc-benches`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ipc_core::zero_copy::{Loan, LoanSender};
use ipc_core::{Deadline, Receiver, Sender, WaitStrategy};
use ipc_ring::{Batch, Link, Options, RingReceiver, RingSender};

const SIZES: [usize; 4] = [8, 64, 1024, 64 << 10];
/// Messages sent before as many are received, so that the ring is neither full nor always empty.
const ROUND: usize = 16;

/// The two ends of one ring whose receiver waits in this way.
fn ring(strategy: WaitStrategy) -> (RingSender, RingReceiver) {
    let options = Options::new().wait_strategy(strategy);
    let (here, there) = Link::between_threads(&options, &options).expect("a link");
    (here.sender.expect("a duplex link"), there.receiver.expect("a duplex link"))
}

fn copying(criterion: &mut Criterion) {
    let strategies = [("spinning", WaitStrategy::Spin), ("adaptive", WaitStrategy::adaptive())];
    for (name, strategy) in strategies {
        let mut group = criterion.benchmark_group(format!("16 sends and 16 receives, {name}"));
        for size in SIZES {
            let (mut sender, mut receiver) = ring(strategy);
            let (message, mut buffer) = (vec![7; size], vec![0; size]);
            group.throughput(Throughput::Elements(ROUND as u64));
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                bencher.iter(|| {
                    for _ in 0..ROUND {
                        sender.send(black_box(&message)).expect("there is room");
                    }
                    for _ in 0..ROUND {
                        receiver.recv(black_box(&mut buffer)).expect("it was sent");
                    }
                });
            });
        }
    }
}

fn batches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("16 sent and received at once");
    for size in SIZES {
        let (mut sender, mut receiver) = ring(WaitStrategy::adaptive());
        let message = vec![7; size];
        let messages = vec![&message[..]; ROUND];
        let mut batch = Batch::new(ROUND, ROUND * size);
        group.throughput(Throughput::Elements(ROUND as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                sender.send_batch(black_box(&messages), Deadline::Never).expect("there is room");
                receiver.recv_batch(&mut batch, Deadline::Never).expect("they were sent");
                black_box(batch.len())
            });
        });
    }
}

fn loans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a loan, its first word written, and a receive");
    for size in SIZES {
        let (mut sender, mut receiver) = ring(WaitStrategy::adaptive());
        let mut buffer = vec![0; size];
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                let mut loan = sender.loan(size, Deadline::Never).expect("there is room");
                loan[..8].copy_from_slice(&black_box(7_u64).to_ne_bytes());
                loan.commit();
                receiver.recv(black_box(&mut buffer)).expect("it was sent");
            });
        });
    }
}

criterion_group!(rings, copying, batches, loans);
criterion_main!(rings);
