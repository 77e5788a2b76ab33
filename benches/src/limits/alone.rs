//! What one core does alone: copy memory, and enter and leave the kernel.

use std::time::{Duration, Instant};

/// The length of the copy that is measured, in bytes: the largest message of the usual sizes.
const COPY_LEN: usize = 1 << 20;
/// Each figure is the best of this many.
const RUNS: usize = 5;

/// The rate of copying 1 MiB from one buffer to another again and again, in GB/s (10⁹ bytes).
pub fn memcpy_gb_s() -> f64 {
    let source = vec![0x5a_u8; COPY_LEN];
    let mut target = vec![0; COPY_LEN];
    let ns_per_copy = best_ns(|| {
        target.copy_from_slice(std::hint::black_box(&source));
        std::hint::black_box(&mut target);
    });
    COPY_LEN as f64 / ns_per_copy
}

/// The time of a system call that does nothing (`getppid(2)`), in nanoseconds.
pub fn syscall_ns() -> f64 {
    best_ns(|| {
        std::hint::black_box(rustix::process::getppid());
    })
}

/// The time of one call, in nanoseconds: the best mean of some milliseconds.
fn best_ns(mut call: impl FnMut()) -> f64 {
    (0..RUNS).map(|_| mean_ns(&mut call)).fold(f64::INFINITY, f64::min)
}

fn mean_ns(call: &mut impl FnMut()) -> f64 {
    let began = Instant::now();
    let mut calls = 0;
    while began.elapsed() < Duration::from_millis(2) {
        for _ in 0..64 {
            call();
        }
        calls += 64;
    }
    began.elapsed().as_nanos() as f64 / f64::from(calls)
}
