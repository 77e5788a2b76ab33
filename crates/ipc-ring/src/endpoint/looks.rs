//! How long one wait looks before it sleeps. What was learnt from the waits before it is in
//! [`SpinBudget`](ipc_core::SpinBudget).

use std::time::{Duration, Instant};

use super::LOOKS_PER_CHECK;

/// From this length on, in bytes, a message takes the peer long enough to copy that a wait allows for it.
const LONG_BYTES: u64 = 64 << 10;
/// Of longer messages no more than this is allowed for: beside the time that their copies take, a wake-up is
/// little.
const MOST_BYTES: u64 = 2 << 20;
/// The rate at which the peer takes a long message and makes the next, in bytes a nanosecond: half a millisecond for
/// a mebibyte, of which spinning round trips took 135 to 340 µs where they were measured.
const BYTES_PER_NS: u64 = 2;

/// The looks of one wait.
#[derive(Debug)]
pub(super) struct Looks {
    /// How many at most; `None` if the endpoint never sleeps.
    most: Option<u32>,
    made: u32,
    /// How long to go on after that, while the peer may be copying.
    grace: Duration,
    /// When the grace ends, once it has begun.
    until: Option<Instant>,
}

impl Looks {
    /// At most so many looks, in a link whose last message, or the one to come, has so many bytes.
    pub(super) fn new(most: Option<u32>, message_bytes: u64) -> Self {
        let looks_at_all = most != Some(0);
        let grace_ns = match message_bytes.min(MOST_BYTES) {
            bytes if bytes >= LONG_BYTES && looks_at_all => bytes / BYTES_PER_NS,
            _ => 0,
        };
        Self { most, made: 0, grace: Duration::from_nanos(grace_ns), until: None }
    }

    /// Whether the last look was the first.
    pub(super) fn is_first(&self) -> bool {
        self.made == 0
    }

    /// Whether it is time to look at the clock and at the peer's descriptor too.
    pub(super) fn is_check_due(&self) -> bool {
        self.made % LOOKS_PER_CHECK == LOOKS_PER_CHECK - 1
    }

    /// A look found nothing. Whether there is another one.
    pub(super) fn go_on(&mut self) -> bool {
        let is_last = self.most.is_some_and(|most| self.made >= most) && !self.has_grace();
        self.made = self.made.wrapping_add(1);
        !is_last
    }

    fn has_grace(&mut self) -> bool {
        if self.grace.is_zero() {
            return false;
        }
        let until = *self.until.get_or_insert_with(|| Instant::now() + self.grace);
        !self.is_check_due() || Instant::now() < until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many looks are made at once.
    fn count(most: u32, message_bytes: u64) -> u32 {
        let mut looks = Looks::new(Some(most), message_bytes);
        (0..).find(|_| !looks.go_on()).expect("they end")
    }

    #[test]
    fn a_wait_for_short_messages_makes_the_looks_that_it_may() {
        assert_eq!(count(0, 8), 0);
        assert_eq!(count(1, 8), 1);
        assert_eq!(count(1_000, LONG_BYTES - 1), 1_000);
    }

    #[test]
    fn a_wait_for_long_messages_goes_on_for_the_time_that_they_take() {
        let begin = Instant::now();
        assert!(count(10, 1 << 20) > 10);
        assert!(begin.elapsed() >= Duration::from_micros(500));
        assert_eq!(count(0, 1 << 20), 0, "it does not look at all");
    }

    #[test]
    fn spinning_never_ends() {
        let mut looks = Looks::new(None, 8);
        assert!((0..100_000).all(|_| looks.go_on()));
    }
}
