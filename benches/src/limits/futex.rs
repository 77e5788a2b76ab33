//! The futex round trip: the cheapest way of two processes to wake each other.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use ipc_core::{Deadline, futex};

use crate::shared::Board;

/// The host's part of `rounds`, after a rendezvous; returns the mean of a round in nanoseconds.
///
/// # Errors
///
/// Those of `futex(2)`.
pub fn ping(board: &Board, rounds: u32) -> io::Result<f64> {
    let words = board.words();
    let first = words.ping_futex.load(Ordering::Relaxed); // only the host writes it
    let began = Instant::now();
    for round in first + 1..=first + rounds {
        put(&words.ping_futex, round)?;
        sleep_until(&words.pong_futex, round)?;
    }
    Ok(began.elapsed().as_nanos() as f64 / f64::from(rounds))
}

/// The guest's part of `rounds`, after a rendezvous.
///
/// # Errors
///
/// Those of `futex(2)`.
pub fn pong(board: &Board, rounds: u32) -> io::Result<()> {
    let words = board.words();
    let first = words.pong_futex.load(Ordering::Relaxed); // only the guest writes it
    for round in first + 1..=first + rounds {
        sleep_until(&words.ping_futex, round)?;
        put(&words.pong_futex, round)?;
    }
    Ok(())
}

fn put(word: &AtomicU32, value: u32) -> io::Result<()> {
    word.store(value, Ordering::Release); // pairs with the Acquire in `sleep_until`
    futex::wake(word, 1).map(drop)
}

fn sleep_until(word: &AtomicU32, value: u32) -> io::Result<()> {
    loop {
        let found = word.load(Ordering::Acquire);
        if found == value {
            return Ok(());
        }
        futex::wait(word, found, Deadline::Never)?;
    }
}
