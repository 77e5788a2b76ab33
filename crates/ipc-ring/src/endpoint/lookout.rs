//! How often an end that only polls looks whether its peer lives: that look is a system call, an empty
//! poll is not.

/// When the last look was.
#[derive(Debug, Default)]
pub(super) struct Lookout {
    /// Milliseconds of the coarse clock.
    last_ms: Option<u64>,
}

impl Lookout {
    /// Whether to look now: at the first call, and where a millisecond has passed since the last
    /// look, or a tick of the kernel's clock where that is longer.
    pub(super) fn is_due(&mut self) -> bool {
        let now_ms = coarse_ms();
        let is_due = now_ms.is_none() || now_ms != self.last_ms;
        self.last_ms = now_ms;
        is_due
    }
}

/// Reads the clock that the kernel keeps up to date at each tick: a few nanoseconds. See
/// `clock_gettime(2)`.
#[cfg(not(ipc_loom))]
fn coarse_ms() -> Option<u64> {
    use rustix::time::{ClockId, clock_gettime};
    let now = clock_gettime(ClockId::MonotonicCoarse);
    // The clock begins at 0, and counts up.
    Some(now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000)
}

/// A model has no time: each look may find the peer gone.
#[cfg(ipc_loom)]
fn coarse_ms() -> Option<u64> {
    None
}
