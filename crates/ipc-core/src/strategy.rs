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
    /// Look `spins` times, then sleep: costs nothing while both sides are busy, and nothing when
    /// idle.
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

    /// [`Adaptive`](Self::Adaptive) with looks for some tens of microseconds, about the price of a
    /// wake-up; without any where this process has only one CPU, since the peer cannot run while we
    /// look.
    pub fn adaptive() -> Self {
        // 2,000 pauses took 48 µs where a wake-up took 40 µs; see benches/record.
        let alone = std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() == 1);
        Self::Adaptive { spins: if alone { 0 } else { 2_000 } }
    }
}

impl Default for WaitStrategy {
    /// [`WaitStrategy::adaptive`].
    fn default() -> Self {
        Self::adaptive()
    }
}
