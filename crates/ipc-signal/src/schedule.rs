//! When a timer expires: words that POSIX timers and timerfds share.

use std::time::Duration;

use ipc_core::{OpenError, Resource};
use rustix::time::{ClockId, Itimerspec, TimerfdClockId, Timespec, clock_gettime};

use crate::errors::invalid;

/// The clock that a timer goes by. See `clock_gettime(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimerClock {
    /// Never set, and stands still while the system is suspended. What `Instant` reads.
    Monotonic,
    /// As `Monotonic`, but runs on while the system is suspended.
    Boottime,
    /// The time of day, since 1970. It may be set, and absolute timers go by what it is set to.
    Realtime,
}

impl TimerClock {
    /// What it shows: the time since its zero, which an absolute [`Schedule`] counts from.
    ///
    /// ```
    /// use ipc_signal::TimerClock;
    ///
    /// let monotonic = TimerClock::Monotonic.now();
    /// assert!(TimerClock::Boottime.now() >= monotonic);
    /// ```
    pub fn now(self) -> Duration {
        let clock = match self {
            Self::Monotonic => ClockId::Monotonic,
            Self::Boottime => ClockId::Boottime,
            Self::Realtime => ClockId::Realtime,
        };
        let now = clock_gettime(clock);
        // Before 1970, say, by a clock that was set badly: that is zero.
        Duration::try_from(now).unwrap_or_default()
    }

    pub(crate) fn posix(self) -> libc::clockid_t {
        match self {
            Self::Monotonic => libc::CLOCK_MONOTONIC,
            Self::Boottime => libc::CLOCK_BOOTTIME,
            Self::Realtime => libc::CLOCK_REALTIME,
        }
    }

    pub(crate) fn timerfd(self) -> TimerfdClockId {
        match self {
            Self::Monotonic => TimerfdClockId::Monotonic,
            Self::Boottime => TimerfdClockId::Boottime,
            Self::Realtime => TimerfdClockId::Realtime,
        }
    }
}

/// When a timer expires: once or again and again, by a time from now or by the clock.
///
/// ```
/// use std::time::Duration;
/// use ipc_signal::{Schedule, TimerClock};
///
/// let second = Duration::from_secs(1);
/// let once = Schedule::after(second);
/// let on_the_clock = Schedule::at(TimerClock::Realtime.now() + second).every(second);
/// let periodic = Schedule::after(second).every(second);
/// # let _ = (once, on_the_clock, periodic);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    first: Duration,
    absolute: bool,
    interval: Option<Duration>,
}

impl Schedule {
    /// Once, `delay` from now; at once if that is zero.
    pub fn after(delay: Duration) -> Self {
        Self { first: delay, absolute: false, interval: None }
    }

    /// Once, when the timer's clock shows `time` ([`TimerClock::now`]); at once if that has passed.
    pub fn at(time: Duration) -> Self {
        Self { first: time, absolute: true, interval: None }
    }

    /// And from then on every `interval`, above 0. Expiries keep to the multiples: one that is noticed
    /// late does not delay the next.
    #[must_use]
    pub fn every(self, interval: Duration) -> Self {
        Self { interval: Some(interval), ..self }
    }

    pub(crate) fn is_absolute(&self) -> bool {
        self.absolute
    }

    /// As the kernel takes it, where a first expiry of zero would stop the timer instead.
    pub(crate) fn spec(
        &self,
        operation: &'static str,
        timer: &Resource,
    ) -> Result<Itimerspec, OpenError> {
        let convert = |time: Duration, option| {
            let least = time.max(Duration::from_nanos(1));
            Timespec::try_from(least)
                .map_err(|_| invalid(operation, timer, option, "it must be below 2^63 seconds"))
        };
        if self.interval == Some(Duration::ZERO) {
            return Err(invalid(operation, timer, "interval", "it must be above 0"));
        }
        let it_interval = match self.interval {
            Some(interval) => convert(interval, "interval")?,
            None => Timespec::default(),
        };
        Ok(Itimerspec { it_interval, it_value: convert(self.first, "first expiry")? })
    }
}

/// What stops a timer.
pub(crate) const STOPPED: Itimerspec = {
    const ZERO: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
    Itimerspec { it_interval: ZERO, it_value: ZERO }
};
