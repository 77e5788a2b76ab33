//! The clocks: a cheap one for single rounds, and one that two processes share. Leaves out what is
//! timed.

// Reading the time-stamp counter is an unsafe intrinsic.
#![allow(unsafe_code)]

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::report::summary::median;

/// A clock whose reading costs some nanoseconds: the processor's time-stamp counter where the kernel
/// trusts it too, else [`Instant`].
///
/// The counter may tick coarsely (10 ns on some machines): single rounds are that coarse, while their
/// mean is not.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Nanoseconds per tick of the counter; `None` without a counter.
    ns_per_tick: Option<f64>,
    started: Instant,
}

impl Clock {
    /// How long [`calibrate`](Clock::calibrate) takes.
    const CALIBRATION: Duration = Duration::from_millis(20);

    /// Compares the counter with the system's clock, for some 20 ms.
    pub fn calibrate() -> Self {
        let started = Instant::now();
        if !counter_is_trusted() {
            return Self { ns_per_tick: None, started };
        }
        let first_tick = counter();
        while started.elapsed() < Self::CALIBRATION {
            std::hint::spin_loop();
        }
        let ticks = counter().wrapping_sub(first_tick);
        let elapsed_ns = started.elapsed().as_nanos() as f64;
        Self { ns_per_tick: (ticks > 0).then(|| elapsed_ns / ticks as f64), started }
    }

    /// The clock that another process of this machine has calibrated.
    pub fn calibrated(ns_per_tick: Option<f64>) -> Self {
        Self { ns_per_tick, started: Instant::now() }
    }

    /// What [`calibrate`](Clock::calibrate) found: nanoseconds per tick, `None` without a counter.
    pub fn ns_per_tick(&self) -> Option<f64> {
        self.ns_per_tick
    }

    /// The present reading, in a unit of its own. See [`ns`](Clock::ns).
    #[inline]
    pub fn now(&self) -> u64 {
        if self.ns_per_tick.is_some() {
            counter()
        } else {
            self.started.elapsed().as_nanos() as u64
        }
    }

    /// The difference of two readings in nanoseconds.
    pub fn ns(&self, ticks: u64) -> f64 {
        ticks as f64 * self.ns_per_tick.unwrap_or(1.0)
    }

    /// The mean of some differences, in nanoseconds.
    pub fn mean_ns(&self, ticks: &[u64]) -> f64 {
        self.ns(ticks.iter().sum()) / ticks.len() as f64
    }

    /// The mean of a typical stretch of rounds, in nanoseconds: the median of the means of blocks.
    /// Finer than a clock that ticks coarsely, and untouched by the few rounds in which something else
    /// ran.
    pub fn typical_ns(&self, ticks: &[u64]) -> f64 {
        let block = (ticks.len() / 64).clamp(1, 128);
        median(ticks.chunks(block).map(|block| self.mean_ns(block))).unwrap_or(f64::NAN)
    }
}

/// `CLOCK_MONOTONIC` in nanoseconds: the same in all processes.
#[inline]
pub fn monotonic_ns() -> u64 {
    timespec_ns(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic))
}

/// Whose CPU time: user and system together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CpuClock {
    /// That of this process, with all its threads.
    Process,
    /// That of the calling thread.
    Thread,
}

impl CpuClock {
    /// The CPU time used so far, in nanoseconds.
    pub fn now_ns(self) -> u64 {
        timespec_ns(rustix::time::clock_gettime(match self {
            Self::Process => rustix::time::ClockId::ProcessCPUTime,
            Self::Thread => rustix::time::ClockId::ThreadCPUTime,
        }))
    }
}

fn timespec_ns(time: rustix::time::Timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Whether the kernel itself keeps time by the time-stamp counter, which it only does where the
/// counters of all cores agree and never stop.
fn counter_is_trusted() -> bool {
    cfg!(target_arch = "x86_64")
        && std::fs::read_to_string(
            "/sys/devices/system/clocksource/clocksource0/current_clocksource",
        )
        .is_ok_and(|source| source.trim() == "tsc")
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn counter() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and Linux does not forbid it to users.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// There is no counter that we trust here, and [`Clock`] does not call this.
#[cfg(not(target_arch = "x86_64"))]
fn counter() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typical_stretch_knows_nothing_of_an_interruption() {
        let clock = Clock::calibrated(None);
        let mut ticks = [100; 1000];
        ticks[500] = 1_000_000;
        assert!((clock.typical_ns(&ticks) - 100.0).abs() < 1e-9);
        assert!(clock.mean_ns(&ticks) > 1000.0);
    }

    #[test]
    fn the_calibrated_clock_agrees_with_the_systems() {
        let clock = Clock::calibrate();
        let (began, ticks) = (Instant::now(), clock.now());
        while began.elapsed() < Duration::from_millis(5) {}
        let measured_ns = clock.ns(clock.now() - ticks);
        assert!(measured_ns > 4.5e6, "5 ms were measured as {measured_ns} ns");
    }
}
