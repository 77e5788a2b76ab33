//! How an endpoint in shared memory waits: by looking, by sleeping, or by one and then the other.

/// How to wait for a word in shared memory to change.
///
/// Kernel mechanisms have no such choice: the kernel sleeps. To poll one of those, call its
/// `try_…` methods in a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitStrategy {
    /// Look again and again, and never sleep: the shortest wait, and a whole core burnt by it.
    /// Deadlines and the peer's death are still seen. Not for machines with one CPU.
    Spin,
    /// Look at most `spins` times, then sleep: costs nothing while both sides are busy, and nothing
    /// when idle. An endpoint learns whether looking pays (see [`SpinBudget`]), so that it does not
    /// burn a processor that the peer needs.
    Adaptive {
        /// How often to look before sleeping, with a pause of the processor (some 10–100 ns)
        /// between two looks.
        spins: u32,
    },
    /// Sleep at once: the least use of the processor, at the price of a wake-up each time.
    Park,
}

impl WaitStrategy {
    /// The number of looks after which the waiter sleeps; `None` if it never does.
    pub const fn spins_before_sleep(self) -> Option<u32> {
        match self {
            Self::Spin => None,
            Self::Adaptive { spins } => Some(spins),
            Self::Park => Some(0),
        }
    }

    /// [`Adaptive`](Self::Adaptive) with 4,000 looks: some 40 to 200 µs, as the processor's pauses are. Where
    /// it was measured that is once or twice the price of a wake-up, so that two ends which both sleep find each
    /// other awake again. A ring goes on looking after messages of 64 KiB and more, while its peer may be copying.
    pub const fn adaptive() -> Self {
        // 4,000 took 96 µs where a round trip of wake-ups took 34 µs, and 40 where it took 42; see benches/record.
        Self::Adaptive { spins: 4_000 }
    }
}

impl Default for WaitStrategy {
    /// [`WaitStrategy::adaptive`].
    fn default() -> Self {
        Self::adaptive()
    }
}

/// How long an endpoint looks before it sleeps, learnt from how its waits ended.
///
/// Looking pays while the peer answers sooner than a wake-up would take. Where it does not, because
/// messages are rare, or because both processes share one CPU and the peer cannot run while we look,
/// each wait that ends in sleep halves the budget, down to none; then one wait in many tries the whole
/// budget again, at first one in 16, at last one in 1,024. The first success restores it.
///
/// The number of CPUs is not asked: a process may be confined to one while its peer runs on another.
///
/// ```
/// use ipc_core::{SpinBudget, WaitStrategy};
///
/// let mut budget = SpinBudget::new(WaitStrategy::Adaptive { spins: 100 });
/// assert_eq!(budget.begin(), Some(100));
/// budget.slept();
/// assert_eq!(budget.begin(), Some(50));
/// budget.found();
/// assert_eq!(budget.begin(), Some(100));
/// ```
#[derive(Clone, Debug)]
pub struct SpinBudget {
    strategy: WaitStrategy,
    /// Looks for the next wait, unless it is a trial.
    looks: u32,
    /// Waits until the next trial, once there are no looks left.
    waits_to_trial: u32,
    /// Waits between two trials.
    interval: u32,
}

impl SpinBudget {
    const FIRST_INTERVAL: u32 = 16;
    const LAST_INTERVAL: u32 = 1_024;

    /// The whole budget of a strategy.
    pub const fn new(strategy: WaitStrategy) -> Self {
        let looks = match strategy.spins_before_sleep() {
            Some(spins) => spins,
            None => u32::MAX,
        };
        let interval = Self::FIRST_INTERVAL;
        Self { strategy, looks, waits_to_trial: interval, interval }
    }

    /// Whether the next wait sleeps without looking, unless it is a trial.
    pub const fn is_spent(&self) -> bool {
        self.looks == 0
    }

    /// A wait begins: how often to look before sleeping; `None` means for ever.
    pub fn begin(&mut self) -> Option<u32> {
        let most = self.strategy.spins_before_sleep()?;
        if self.looks > 0 || most == 0 {
            return Some(self.looks);
        }
        self.waits_to_trial -= 1;
        if self.waits_to_trial > 0 {
            return Some(0);
        }
        self.interval = (self.interval * 2).min(Self::LAST_INTERVAL);
        self.waits_to_trial = self.interval;
        Some(most)
    }

    /// What was waited for came while looking.
    pub fn found(&mut self) {
        *self = Self::new(self.strategy);
    }

    /// It did not, and the waiter sleeps.
    pub fn slept(&mut self) {
        let most = self.strategy.spins_before_sleep().unwrap_or(u32::MAX);
        self.looks /= 2;
        if self.looks < most / 16 {
            self.looks = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_that_never_pays_is_spent_and_seldom_tried_again() {
        let mut budget = SpinBudget::new(WaitStrategy::Adaptive { spins: 2_000 });
        let mut looks = 0;
        for _ in 0..100_000 {
            looks += u64::from(budget.begin().expect("sleeps in the end"));
            budget.slept();
        }
        assert!(looks < 100_000 * 4, "{looks} looks in 100,000 waits");
    }

    #[test]
    fn one_success_restores_the_budget() {
        let mut budget = SpinBudget::new(WaitStrategy::Adaptive { spins: 2_000 });
        let trial = (0..100).find(|_| {
            let looks = budget.begin();
            budget.slept();
            looks == Some(2_000) && budget.looks == 0
        });
        assert!(trial.is_some(), "a wait tries the whole budget again");
        budget.found();
        assert_eq!(budget.begin(), Some(2_000));
    }

    #[test]
    fn spinning_never_ends_and_parking_never_begins() {
        for (strategy, looks) in [(WaitStrategy::Spin, None), (WaitStrategy::Park, Some(0))] {
            let mut budget = SpinBudget::new(strategy);
            for _ in 0..3_000 {
                assert_eq!(budget.begin(), looks);
                budget.slept();
            }
        }
    }
}
