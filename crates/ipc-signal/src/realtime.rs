//! The numbers of real-time signals. Leaves out standard signals, which coalesce and carry nothing.

use std::fmt;

/// A real-time signal: one of `SIGRTMIN` to `SIGRTMAX`, as the C library gives them at run time.
///
/// The kernel's range is 32 to 64, but the C library keeps the first two or three for itself, so
/// `SIGRTMIN` is 34 with glibc and 35 with musl. Programs that meet over one signal and may be
/// linked with different libraries agree on the [`number`](Self::number); all others on the
/// [`offset`](Self::offset). See `signal(7)`.
///
/// ```
/// use ipc_signal::RealtimeSignal;
///
/// let signal = RealtimeSignal::from_offset(2)?;
/// assert_eq!(signal.to_string(), "SIGRTMIN+2");
/// assert!(RealtimeSignal::from_offset(RealtimeSignal::count()).is_err());
/// assert!(RealtimeSignal::from_number(9).is_err()); // SIGKILL
/// # Ok::<(), ipc_signal::SignalNumberError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RealtimeSignal {
    /// In `SIGRTMIN..=SIGRTMAX`.
    number: i32,
}

impl RealtimeSignal {
    /// The signal `SIGRTMIN + offset`.
    ///
    /// # Errors
    ///
    /// [`SignalNumberError`] if `offset` is not below [`count`](Self::count).
    pub fn from_offset(offset: u32) -> Result<Self, SignalNumberError> {
        let number = i32::try_from(offset).ok().and_then(|offset| first().checked_add(offset));
        Self::from_number(number.unwrap_or(i32::MAX))
    }

    /// The signal of this number, as `kill -l` counts.
    ///
    /// # Errors
    ///
    /// [`SignalNumberError`] if it is not the number of a real-time signal.
    pub fn from_number(number: i32) -> Result<Self, SignalNumberError> {
        let (min, max) = (first(), last());
        if (min..=max).contains(&number) {
            Ok(Self { number })
        } else {
            Err(SignalNumberError { number, min, max })
        }
    }

    /// How many there are: 31 with glibc, 30 with musl.
    pub fn count() -> u32 {
        u32::try_from(last() - first() + 1).unwrap_or(0)
    }

    /// All of them, the lowest first. If several are pending, the kernel delivers the lowest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (first()..=last()).map(|number| Self { number })
    }

    /// The number that system calls take.
    pub fn number(self) -> i32 {
        self.number
    }

    /// How far it lies above `SIGRTMIN`.
    pub fn offset(self) -> u32 {
        u32::try_from(self.number - first()).unwrap_or(0)
    }
}

impl fmt::Display for RealtimeSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIGRTMIN+{}", self.offset())
    }
}

/// A number that no real-time signal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "signal {number} is not a real-time signal: those are {min} (SIGRTMIN) to {max} (SIGRTMAX)"
)]
pub struct SignalNumberError {
    /// The number asked for; `i32::MAX` stands for an offset too large to add.
    pub number: i32,
    /// `SIGRTMIN`.
    pub min: i32,
    /// `SIGRTMAX`.
    pub max: i32,
}

fn first() -> i32 {
    libc::SIGRTMIN()
}

fn last() -> i32 {
    libc::SIGRTMAX()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_numbers_name_the_same_signals() {
        let all: Vec<_> = RealtimeSignal::all().collect();
        assert_eq!(all.len(), RealtimeSignal::count() as usize);
        for (offset, signal) in (0..).zip(all) {
            assert_eq!(RealtimeSignal::from_offset(offset), Ok(signal));
            assert_eq!(RealtimeSignal::from_number(signal.number()), Ok(signal));
            assert_eq!(signal.offset(), offset);
        }
    }

    #[test]
    fn numbers_outside_the_range_are_refused_with_the_range() {
        for bad in [0, -1, 9, 33, 65, i32::MAX, i32::MIN] {
            let error = RealtimeSignal::from_number(bad).expect_err("no real-time signal");
            assert_eq!((error.number, error.max), (bad, 64));
        }
        let error = RealtimeSignal::from_offset(u32::MAX).expect_err("far too large");
        assert!(error.to_string().contains("(SIGRTMAX)"), "{error}");
    }
}
