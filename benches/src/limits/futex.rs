//! The futex round trip: the cheapest way of two processes to wake each other.
//!
//! It is that of two sleepers. On two cores, where both stay busy, each may find its word changed
//! before it has fallen asleep, and a round then takes half a microsecond instead of twenty: so the
//! waker tries until it has woken somebody. On one core the sleeper cannot fall asleep while the waker
//! runs: there the word changes, and who comes late does not sleep.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use ipc_core::{Deadline, futex};

use crate::shared::{Board, Side};

/// One side's view of the two words and the two counters.
struct Turns<'a> {
    mine: (&'a AtomicU32, &'a AtomicU64),
    theirs: (&'a AtomicU32, &'a AtomicU64),
    /// How often we have been given the turn.
    taken: u64,
    same_core: bool,
}

/// The host's part of `rounds`; returns the mean of a round in nanoseconds.
///
/// # Errors
///
/// Those of `futex(2)`.
pub fn ping(board: &Board, rounds: u32, same_core: bool) -> io::Result<f64> {
    let mut turns = Turns::of(board, same_core);
    board.rendezvous();
    let began = Instant::now();
    for _ in 0..rounds {
        turns.pass()?;
        turns.wait()?;
    }
    Ok(began.elapsed().as_nanos() as f64 / f64::from(rounds))
}

/// The guest's part of `rounds`.
///
/// # Errors
///
/// Those of `futex(2)`.
pub fn pong(board: &Board, rounds: u32, same_core: bool) -> io::Result<()> {
    let mut turns = Turns::of(board, same_core);
    board.rendezvous();
    for _ in 0..rounds {
        turns.wait()?;
        turns.pass()?;
    }
    Ok(())
}

impl<'a> Turns<'a> {
    fn of(board: &'a Board, same_core: bool) -> Self {
        let words = board.words();
        let host = (&*words.host_futex, &*words.host_turns);
        let guest = (&*words.guest_futex, &*words.guest_turns);
        let (mine, theirs) = match board.side() {
            Side::Host => (host, guest),
            Side::Guest => (guest, host),
        };
        // Relaxed: nobody gives us the turn before the rendezvous that follows.
        Self { mine, theirs, taken: mine.1.load(Ordering::Relaxed), same_core }
    }

    fn pass(&self) -> io::Result<()> {
        let (futex, turns) = self.theirs;
        turns.fetch_add(1, Ordering::Release); // pairs with the Acquire in `wait`
        if self.same_core {
            futex.fetch_add(1, Ordering::Release); // pairs with the Acquire in `wait`
            futex::wake(futex, 1)?;
        } else {
            while futex::wake(futex, 1)? == 0 {}
        }
        Ok(())
    }

    /// Waits for our turn. The count of turns tells a wake-up from a spurious one.
    fn wait(&mut self) -> io::Result<()> {
        let (futex, turns) = self.mine;
        self.taken += 1;
        loop {
            let word = futex.load(Ordering::Acquire);
            if self.same_core && turns.load(Ordering::Acquire) >= self.taken {
                return Ok(());
            }
            futex::wait(futex, word, Deadline::Never)?;
            if turns.load(Ordering::Acquire) >= self.taken {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_threads_wake_each_other_to_the_end_in_both_ways() {
        let (board, _descriptor) = Board::create().expect("shared memory");
        let guests = board.other_side();
        let ways = [true, false, true];
        let guest = std::thread::spawn(move || {
            for same_core in ways {
                pong(&guests, 50, same_core).expect("futexes work");
            }
        });
        for same_core in ways {
            assert!(ping(&board, 50, same_core).expect("futexes work") > 0.0);
        }
        guest.join().expect("the guest ends");
    }
}
