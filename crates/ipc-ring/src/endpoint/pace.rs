//! When a receiver that spins had better look away for a moment.
//!
//! A stream of messages runs in one of two regimes. Either the receiver is **behind**: messages wait
//! for it, and each costs it a few nanoseconds. Or it **follows** so closely that it polls the very
//! line that the sender is about to write; then each message is fetched from the sender's core as it is
//! made, and the sender has to take the line back for the next one: several times the cost, for both.
//! Slowing such a receiver speeds up the pair.
//!
//! So after a run of messages the first empty look is followed by a short pause, in which the sender
//! gets ahead again; while one run follows another the pauses grow. A receiver that only ever follows tries a pause now and then, to see whether a run
//! comes of it, and less and less often while none does: in a dialogue of question and answer there
//! never is one, and a pause would only delay the answer.

/// The longest records, in bytes, that count: with longer ones, the copy is what costs, and the lines
/// that the receiver polls are few among those that it reads.
const LONGEST_COUNTED_BYTES: u64 = 1032;
/// Messages without a wait between them that make a run.
const RUN: u64 = 4;
/// Pauses of the processor after a run: some 0.4 µs.
const FIRST_PAUSES: u32 = 16;
/// The same, after many runs: some 3 µs. A burst whose end is followed by one more message delays that
/// one by as much.
const MOST_PAUSES: u32 = 128;
/// Pauses of the processor for a trial.
const PAUSES_OF_TRIAL: u32 = 32;
const FIRST_INTERVAL: u32 = 256;
const LAST_INTERVAL: u32 = 1 << 16;

/// What a receiver remembers of its waits.
#[derive(Debug)]
pub(super) struct Pace {
    /// Position of the ring at the last wait.
    waited_at: u64,
    /// Pauses after the next run.
    pauses: u32,
    waits_to_trial: u32,
    interval: u32,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            waited_at: 0,
            pauses: FIRST_PAUSES,
            waits_to_trial: FIRST_INTERVAL,
            interval: FIRST_INTERVAL,
        }
    }

    /// A wait begins for the record at `position`; the last one took `last_bytes`. Returns how many pauses
    /// to make before looking again.
    ///
    /// How many messages came since the last wait is reckoned from their bytes, so that nothing needs
    /// to be counted as they come.
    pub(super) fn pauses(&mut self, position: u64, last_bytes: u64) -> u32 {
        let bytes = position.wrapping_sub(std::mem::replace(&mut self.waited_at, position));
        // The first of them was waited for.
        if last_bytes <= LONGEST_COUNTED_BYTES && bytes > RUN * last_bytes {
            self.interval = FIRST_INTERVAL;
            let pauses = self.pauses;
            self.pauses = (pauses * 2).min(MOST_PAUSES);
            return pauses;
        }
        self.pauses = FIRST_PAUSES;
        self.waits_to_trial = self.waits_to_trial.saturating_sub(1);
        if self.waits_to_trial > 0 {
            return 0;
        }
        self.interval = (self.interval * 2).min(LAST_INTERVAL);
        self.waits_to_trial = self.interval;
        PAUSES_OF_TRIAL
    }
}
