//! Rates of the snapshot cell, beside `mmap-sync`, and beside itself with other numbers of slots: one writer and
//! one reader, each a process on a processor of its own. Leaves out latencies, and waiting for a value.
//!
//! ```sh
//! cargo run --release --manifest-path benches/snapshot/Cargo.toml            # beside mmap-sync
//! cargo run --release --manifest-path benches/snapshot/Cargo.toml -- slots   # why there are four
//! ```
//!
//! A read ends with the value in the reader's memory. Runs alternate, and a ratio is the median of those of
//! neighbouring runs.

mod cells;
mod session;

use std::process::ExitCode;

use ipc_testing::Host;
use ipc_testing::process::Guest;
use session::{Load, Rates, SIZES, measure, serve};

/// Runs of each kind, whose median counts.
const RUNS: usize = 5;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(session::READER) => serve(&mut Host::from_stdin().expect("started by the writer")),
        None => beside_mmap_sync(),
        Some("slots") => other_numbers_of_slots(),
        Some(other) => {
            eprintln!("{other:?} is nothing to measure; say nothing, or: slots");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn reader() -> Guest {
    Guest::start([session::READER], [] as [(&str, &str); 0]).expect("the reader starts")
}

fn beside_mmap_sync() {
    let mut reader = reader();
    println!("nanoseconds for each call, and the share of our reads that gave nothing");
    println!(
        "{:>7} {:>12} {:>12} {:>12} {:>7} {:>12}",
        "bytes", "", "ours", "mmap-sync", "ratio", "failed reads"
    );
    for size in SIZES {
        for load in Load::ALL {
            let runs: Vec<[Rates; 2]> = (0..RUNS)
                .map(|_| ["ours", "mmap-sync"].map(|cell| measure(&mut reader, cell, size, load)))
                .collect();
            for (what, ns) in load.figures() {
                let column = |which: usize| median(runs.iter().map(|run| ns(&run[which])));
                let ratio = median(runs.iter().map(|run| ns(&run[0]) / ns(&run[1])));
                let failed = median(runs.iter().map(|run| run[0].failed_share));
                println!(
                    "{size:>7} {what:>12} {:>12.1} {:>12.1} {ratio:>7.3} {failed:>12.4}",
                    column(0),
                    column(1)
                );
            }
        }
    }
    reader.tell("end");
    reader.finish();
}

fn other_numbers_of_slots() {
    const CELLS: [&str; 5] = ["1", "2", "3", "4", "8"];
    let mut reader = reader();
    println!(
        "both busy; ns per write, ns per read that was whole, share of attempts that were not"
    );
    print!("{:>7}", "bytes");
    CELLS.iter().for_each(|slots| print!(" {slots:>14} slots   "));
    println!();
    for size in SIZES {
        let runs: Vec<_> = (0..RUNS)
            .map(|_| CELLS.map(|cell| measure(&mut reader, cell, size, Load::Both)))
            .collect();
        print!("{size:>7}");
        for which in 0..CELLS.len() {
            let column = |ns: fn(&Rates) -> f64| median(runs.iter().map(|run| ns(&run[which])));
            let (write, read) = (column(|it| it.write_ns), column(|it| it.read_ns));
            print!(" {write:>7.0} {read:>8.0} {:>6.3}", column(|it| it.failed_share));
        }
        println!();
    }
    reader.tell("end");
    reader.finish();
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
