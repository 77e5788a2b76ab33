//! The cache-line round trip: two lines, each written by one side and looked at by the other. No
//! exchange between two cores is faster. Also the short probe of it that brackets every measurement,
//! since on a virtual machine the host moves the cores under way.

use std::sync::atomic::Ordering;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::shared::Board;

/// Rounds of one probe: 0.1 to 1 ms.
const PROBE_ROUNDS: u64 = 2_000;
/// Steps of the loop that tells whether two processors share one core: some 20 µs.
const WORK_STEPS: u64 = 20_000;

/// The host's part of `ticks.len()` rounds: a time stamp each round, as a measured round trip has.
/// Both lines must be zero ([`reset`]).
pub fn ping(board: &Board, clock: &Clock, ticks: &mut [u64]) {
    let words = board.words();
    let mut before = clock.now();
    for (round, ticks) in (1..).zip(ticks) {
        // Release and Acquire, as any message needs them: what is written before the line is seen
        // after it. Pairs with the guest's loop.
        words.ping_line.store(round, Ordering::Release);
        while words.pong_line.load(Ordering::Acquire) != round {}
        let now = clock.now();
        *ticks = now.saturating_sub(before);
        before = now;
    }
}

/// The guest's part of `rounds`.
pub fn pong(board: &Board, rounds: u64) {
    let words = board.words();
    for round in 1..=rounds {
        while words.ping_line.load(Ordering::Acquire) != round {}
        words.pong_line.store(round, Ordering::Release); // pairs with the Acquire in `ping`
    }
}

/// Sets both lines to zero. To be called by the host before a rendezvous.
pub fn reset(board: &Board) {
    // Relaxed: the rendezvous that follows publishes it.
    board.words().ping_line.store(0, Ordering::Relaxed);
    board.words().pong_line.store(0, Ordering::Relaxed);
}

/// What a probe found.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Probe {
    /// The cache-line round trip without time stamps, in nanoseconds.
    pub line_ns: f64,
    /// The same with a time stamp each round, as round trips are measured.
    pub stamped_ns: f64,
    /// How much longer a loop of pure computation took with both processors at it than alone: 1 on
    /// cores of their own, about 2 on siblings that share one.
    pub slowdown: f64,
}

/// Where two processors are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// Two cores that share a cache.
    Near,
    /// Two hardware threads of one core. They pass for near by the line alone.
    Sibling,
    /// Two cores with an interconnect between them.
    Far,
    /// The probes before and after the measurement disagree, after every repetition.
    Moved,
    /// Both processes on one core.
    SameCore,
    /// Not on cores of their own choice: pinning failed.
    Unknown,
}

impl Placement {
    /// Its name in the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Sibling => "sibling",
            Self::Far => "far",
            Self::Moved => "moved",
            Self::SameCore => "same-core",
            Self::Unknown => "unknown",
        }
    }
}

impl Probe {
    /// Above this many nanoseconds a line crosses an interconnect. Cores that share a cache were seen
    /// at 40 to 100 ns on several machines, others at 350 and more.
    const FAR_NS: f64 = 200.0;
    /// Above this factor two processors share a core.
    const SIBLING_SLOWDOWN: f64 = 1.6;
    /// Two probes this far apart were not taken in the same placement.
    const SAME_WITHIN: f64 = 1.6;

    /// Where the processors were.
    pub fn placement(&self) -> Placement {
        match self {
            _ if self.line_ns > Self::FAR_NS => Placement::Far,
            _ if self.slowdown > Self::SIBLING_SLOWDOWN => Placement::Sibling,
            _ => Placement::Near,
        }
    }

    /// The placement of what was measured between this probe and a later one.
    pub fn placement_until(&self, after: &Self) -> Placement {
        let (low, high) = if self.line_ns < after.line_ns { (self, after) } else { (after, self) };
        let steady = high.line_ns <= low.line_ns * Self::SAME_WITHIN;
        if steady && self.placement() == after.placement() {
            after.placement()
        } else {
            Placement::Moved
        }
    }

    /// The host's part of a probe. `alone_ns` is what [`work_ns`] took with the guest asleep.
    pub fn take(board: &Board, clock: &Clock, alone_ns: f64) -> Self {
        reset(board);
        board.rendezvous();
        let mut ticks = [1; PROBE_ROUNDS as usize];
        ping(board, clock, &mut ticks);
        board.rendezvous();
        reset(board);
        board.rendezvous();
        let began = Instant::now();
        let words = board.words();
        for round in 1..=PROBE_ROUNDS {
            words.ping_line.store(round, Ordering::Release); // pairs with the Acquire in `pong`
            while words.pong_line.load(Ordering::Acquire) != round {}
        }
        let line_ns = began.elapsed().as_nanos() as f64 / PROBE_ROUNDS as f64;
        board.rendezvous();
        Self { line_ns, stamped_ns: clock.typical_ns(&ticks), slowdown: work_ns() / alone_ns }
    }

    /// The guest's part of a probe.
    pub fn answer(board: &Board) {
        for _ in 0..2 {
            board.rendezvous();
            pong(board, PROBE_ROUNDS);
            board.rendezvous();
        }
        // Twice as long as the host at the same work, so that the host is never alone at it.
        for _ in 0..2 {
            work_ns();
        }
    }
}

/// Times a loop that keeps a core's arithmetic units busy: the least of a few, in nanoseconds.
pub fn work_ns() -> f64 {
    let once = || {
        let began = Instant::now();
        let mut lanes = std::hint::black_box([1u64, 2, 3, 4, 5, 6, 7, 8]);
        for step in 0..WORK_STEPS {
            for lane in &mut lanes {
                *lane = (*lane ^ step).rotate_left(7).wrapping_add(step);
            }
        }
        std::hint::black_box(lanes);
        began.elapsed().as_nanos() as f64
    };
    (0..5).map(|_| once()).fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_that_disagree_mean_that_the_cores_moved() {
        let near = Probe { line_ns: 60.0, stamped_ns: 110.0, slowdown: 1.0 };
        let far = Probe { line_ns: 400.0, stamped_ns: 110.0, slowdown: 1.0 };
        let sibling = Probe { line_ns: 60.0, stamped_ns: 110.0, slowdown: 2.0 };
        assert_eq!(near.placement_until(&near), Placement::Near);
        assert_eq!(far.placement_until(&far), Placement::Far);
        assert_eq!(sibling.placement_until(&sibling), Placement::Sibling);
        assert_eq!(near.placement_until(&far), Placement::Moved);
        assert_eq!(sibling.placement_until(&near), Placement::Moved);
    }

    #[test]
    fn two_threads_play_the_ping_pong_to_its_end() {
        let (board, _descriptor) = Board::create().expect("shared memory");
        let guests = board.other_side();
        let guest = std::thread::spawn(move || {
            guests.rendezvous();
            pong(&guests, 100);
        });
        reset(&board);
        board.rendezvous();
        let mut ticks = vec![0; 100];
        ping(&board, &Clock::calibrate(), &mut ticks);
        guest.join().expect("the guest ends");
        assert_eq!(board.words().pong_line.load(Ordering::Acquire), 100);
    }
}
