//! One run: the writer in this process, the reader in the other. Leaves out what they write to: [`crate::cells`].

use std::time::{Duration, Instant};

use ipc_testing::{Host, process::Guest};

use crate::cells::{self, Reader};

/// The argument that makes this program the reader.
pub(crate) const READER: &str = "reader";

/// Sizes of the value in bytes.
pub(crate) const SIZES: [usize; 4] = [8, 64, 1024, 65536];

/// How long each run takes.
const RUN: Duration = Duration::from_millis(100);

/// Who is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Writer,
    Reader,
    Both,
}

/// The nanoseconds of one kind of operation.
type Figure = fn(&Rates) -> f64;

impl Load {
    pub(crate) const ALL: [Self; 3] = [Self::Writer, Self::Reader, Self::Both];

    /// What a run with this load tells.
    pub(crate) fn figures(self) -> &'static [(&'static str, Figure)] {
        const WRITE: Figure = |rates| rates.write_ns;
        const READ: Figure = |rates| rates.read_ns;
        match self {
            Self::Writer => &[("write alone", WRITE)],
            Self::Reader => &[("read alone", READ)],
            Self::Both => &[("write, both", WRITE), ("read, both", READ)],
        }
    }
}

/// What came of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    pub(crate) write_ns: f64,
    /// For each read that gave a value.
    pub(crate) read_ns: f64,
    /// Of all reads, or attempts.
    pub(crate) failed_share: f64,
}

/// Makes a cell and runs a load on it, together with the reader's process.
pub(crate) fn measure(reader: &mut Guest, cell: &str, size: usize, load: Load) -> Rates {
    pin(0);
    let name = format!("ipc-bench-snapshot.{}", std::process::id());
    let mut writer = cells::writer(cell, &name, size);
    writer.write(1);
    reader.tell(&format!("{cell} {size} {name}"));
    assert_eq!(reader.hear(), "ready");
    let mut rates = Rates::default();
    if load != Load::Writer {
        reader.tell("read");
    }
    if load != Load::Reader {
        let mut version = 1_u8;
        rates.write_ns = per_call(|| {
            version = version.wrapping_add(1);
            writer.write(version);
        });
    }
    if load != Load::Writer {
        let answer = reader.hear();
        let mut numbers = answer.split(' ').map(|it| it.parse::<f64>().expect("a number"));
        let (elapsed, read, failed) = (numbers.next(), numbers.next(), numbers.next());
        let (read, failed) = (read.expect("three"), failed.expect("three"));
        rates.read_ns = elapsed.expect("three") / read;
        rates.failed_share = failed / (read + failed);
    }
    reader.tell("close");
    assert_eq!(reader.hear(), "closed");
    drop(writer);
    cells::remove(&name);
    rates
}

/// The reader's part.
pub(crate) fn serve(host: &mut Host) {
    pin(1);
    loop {
        let task = host.hear();
        let words: Vec<&str> = task.split(' ').collect();
        let [cell, size, name] = words[..] else { return };
        let mut reader = cells::reader(cell, name, size.parse().expect("a number"));
        host.tell("ready");
        while host.hear() == "read" {
            let (elapsed_ns, read, failed) = read(&mut *reader);
            host.tell(&format!("{elapsed_ns} {read} {failed}"));
        }
        drop(reader);
        host.tell("closed");
    }
}

fn read(reader: &mut dyn Reader) -> (u128, u64, u64) {
    let (mut whole, mut failed) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < RUN {
        for _ in 0..64 {
            match reader.read() {
                Some((first, last)) => {
                    assert_eq!(first, last, "torn");
                    whole += 1;
                }
                None => failed += 1,
            }
        }
    }
    (start.elapsed().as_nanos(), whole, failed)
}

fn per_call(mut call: impl FnMut()) -> f64 {
    let mut calls = 0_u32;
    let start = Instant::now();
    while start.elapsed() < RUN {
        (0..64).for_each(|_| call());
        calls += 64;
    }
    start.elapsed().as_nanos() as f64 / f64::from(calls)
}

/// A machine with one processor, or one that refuses, measures nevertheless.
fn pin(processor: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(processor);
    if rustix::thread::sched_setaffinity(None, &set).is_err() {
        eprintln!("cannot use processor {processor} alone");
    }
}
