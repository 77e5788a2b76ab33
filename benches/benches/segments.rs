//! What it costs to make shared memory, with all of it taken from the system at once or page by page, and
//! to write to each page for the first time. Half a minute.
//!
//! `cargo bench -p ipc-benches --bench segments`

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use ipc_core::Name;
use ipc_shm::{Backing, Mapping, Memfd, Segment, SegmentOptions};

/// In bytes.
const SIZES: [usize; 3] = [4 << 10, 1 << 20, 64 << 20];
const PAGE: usize = 4 << 10;
const BACKINGS: [(&str, Backing); 2] = [("lazy", Backing::Lazy), ("reserved", Backing::Reserved)];

fn memfd(len: usize, backing: Backing) -> Memfd {
    Memfd::create("bench", len, backing).expect("memory")
}

/// Writes a byte to each page.
fn touch(mapping: &Mapping) {
    (0..mapping.len()).step_by(PAGE).for_each(|offset| mapping.write_at(offset, &[1]));
}

/// To the moment when others can have it. Its removal is not measured.
fn making(criterion: &mut Criterion) {
    let name = Name::new(&format!("ipc-bench.{}", std::process::id())).expect("a name");
    let mut group = criterion.benchmark_group("make");
    for size in SIZES {
        for (text, backing) in BACKINGS {
            group.bench_function(BenchmarkId::new(format!("memfd, {text}"), size), |bencher| {
                bencher.iter_batched(|| (), |()| memfd(size, backing), BatchSize::PerIteration);
            });
            let options = Segment::options().backing(backing);
            let make = |()| options.create_new(&name, size, |_| Ok(())).expect("memory");
            group.bench_function(BenchmarkId::new(format!("segment, {text}"), size), |bencher| {
                let remove = || drop(Segment::unlink_name(&name));
                bencher.iter_batched(remove, make, BatchSize::PerIteration);
            });
        }
    }
    drop(Segment::unlink_name(&name));
    group.finish();
}

/// The first write to each page of a memfd: mapped plainly, or with all pages entered at once.
fn touching(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("map and touch each page");
    for size in SIZES {
        for (text, backing) in BACKINGS {
            for (how, options) in
                [("", Segment::options()), (", prefault", Segment::options().prefault())]
            {
                let id = BenchmarkId::new(format!("{text}{how}"), size);
                group.bench_function(id, |bencher| {
                    let map_and_touch = |memfd: Memfd| {
                        let mapping = map(&memfd, options);
                        touch(&mapping);
                        (black_box(mapping), memfd)
                    };
                    let make = || memfd(size, backing);
                    bencher.iter_batched(make, map_and_touch, BatchSize::PerIteration);
                });
            }
        }
    }
    group.finish();
}

fn map(memfd: &Memfd, options: SegmentOptions) -> Mapping {
    memfd.map_with(options).expect("mapped")
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(1000));
    targets = making, touching
}
criterion_main!(benches);
