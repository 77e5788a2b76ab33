//! Whether the locks of `ipc-shm` cost what locks cost: uncontended beside libc's, and handed from one
//! process to another beside the futex round trip. Not a test, since other work on the machine can fail
//! it.
//!
//! Limits: a mutex taken and released at most 1.3 × a pthread mutex that is neither robust nor shared, and
//! less than a robust shared one; a hand-over and back at most 1.2 × the round trip of two bare futexes,
//! on two cores and on one. The rest is shown beside libc's, without a limit.
//!
//! Samples alternate, and of the ratios of neighbours the median counts, since the machine's moods last
//! longer than one pair of samples.

mod alone;
mod handed;
mod place;
mod pthread;

use std::process::ExitCode;

use anyhow::Context;

use crate::machine;
use crate::report::summary::median;

pub use handed::answer;

/// How often to try before giving up.
const ATTEMPTS: usize = 4;

/// Compares; fails if a limit is never kept.
pub fn run() -> ExitCode {
    match compare() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("check-sync: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare() -> anyhow::Result<bool> {
    let cpus = machine::two_cpus()?.context("it takes two processors")?;
    machine::pin(cpus[0])?;
    let alone = alone::compare()?;
    let two_cores = handed::compare(cpus)?;
    let one_core = handed::compare([cpus[0]; 2])?;
    Ok(alone && two_cores && one_core)
}

/// Samples in nanoseconds of things that are compared with each other.
struct Samples<const N: usize>(Vec<[f64; N]>);

impl<const N: usize> Samples<N> {
    /// The median of one thing.
    fn ns(&self, index: usize) -> f64 {
        median(self.0.iter().map(|sample| sample[index])).unwrap_or(f64::NAN)
    }

    /// How many times as long one thing took as another.
    fn ratio(&self, index: usize, to: usize) -> f64 {
        median(self.0.iter().map(|sample| sample[index] / sample[to])).unwrap_or(f64::NAN)
    }
}
