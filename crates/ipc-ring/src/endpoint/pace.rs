//! When a receiver that spins had better look away for a moment.
//!
//! A stream of messages runs in one of two regimes. Either the receiver is **behind**: messages wait
//! for it, and each costs it a few nanoseconds. Or it **follows** so closely that it polls the very
//! line that the sender is about to write; then each message is fetched from the sender's core as it is
//! made, and the sender has to take the line back for the next one: several times the cost, for both.
//! Slowing such a receiver speeds up the pair.
//!
//! So after a run of messages the first empty look is followed by a short pause, in which the sender
//! gets ahead again; while one run follows another the pauses grow. A receiver that only ever follows
//! tries a pause now and then, to see whether a run comes of it, and less and less often while none does:
//! in a dialogue of question and answer there never is one, and a pause would only delay the answer.

use std::time::{Duration, Instant};

use ipc_core::sync::spin_loop;

/// The longest records, in bytes, that count: with longer ones, the copy is what costs, and the lines
/// that the receiver polls are few among those that it reads.
const LONGEST_COUNTED_BYTES: u64 = 1032;
/// Messages without a wait between them that make a run.
const RUN: u64 = 4;
/// The pause after a run.
const FIRST_PAUSE: Duration = Duration::from_nanos(400);
/// The same, after many runs. A burst whose end is followed by one more message delays that one by as
/// much.
const LONGEST_PAUSE: Duration = Duration::from_nanos(3_200);
/// The pause of a trial.
const TRIAL: Duration = Duration::from_nanos(800);
/// Pauses of the processor between two looks at the clock.
const PAUSES_PER_CHECK: u32 = 8;
const FIRST_INTERVAL: u32 = 256;
const LAST_INTERVAL: u32 = 1 << 16;

/// What a receiver remembers of its waits.
#[derive(Debug)]
pub(super) struct Pace {
    /// Position of the ring at the last wait.
    waited_at: u64,
    /// The pause after the next run.
    pause: Duration,
    waits_to_trial: u32,
    interval: u32,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            waited_at: 0,
            pause: FIRST_PAUSE,
            waits_to_trial: FIRST_INTERVAL,
            interval: FIRST_INTERVAL,
        }
    }

    /// A wait begins for the record at `position`; the last one took `last_bytes`. Returns how long to look
    /// away first.
    ///
    /// How many messages came since the last wait is reckoned from their bytes, so that nothing needs
    /// to be counted as they come.
    pub(super) fn pause(&mut self, position: u64, last_bytes: u64) -> Option<Duration> {
        let bytes = position.wrapping_sub(std::mem::replace(&mut self.waited_at, position));
        // The first of them was waited for.
        if last_bytes <= LONGEST_COUNTED_BYTES && bytes > RUN * last_bytes {
            self.interval = FIRST_INTERVAL;
            let pause = self.pause;
            self.pause = (pause * 2).min(LONGEST_PAUSE);
            return Some(pause);
        }
        self.pause = FIRST_PAUSE;
        self.waits_to_trial = self.waits_to_trial.saturating_sub(1);
        if self.waits_to_trial > 0 {
            return None;
        }
        self.interval = (self.interval * 2).min(LAST_INTERVAL);
        self.waits_to_trial = self.interval;
        Some(TRIAL)
    }
}

/// Lets so much time pass. By the clock, since the processor's own pauses are of 10 ns on some and of 50 on others.
pub(super) fn look_away(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        (0..PAUSES_PER_CHECK).for_each(|_| spin_loop());
    }
}
