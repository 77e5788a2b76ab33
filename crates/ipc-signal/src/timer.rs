//! Timers whose expiries come as signals with a value (`timer_create(2)`). Leaves out timers that are
//! descriptors ([`crate::TimerDescriptor`]).

use ipc_core::{OpenError, OsError, Resource};

use crate::errors::timer_error;
use crate::schedule::STOPPED;
use crate::sys::PosixTimer;
use crate::{RealtimeSignal, Schedule, TimerClock};

/// A POSIX timer that sends this process a real-time signal with a value at each expiry.
///
/// The signal comes to the receiver of that number like any other message, with
/// [`SignalMessage::overruns`](crate::SignalMessage::overruns): a timer has **one** signal that can be
/// pending, and what expires meanwhile is only counted. It never meets a full queue, since its place in
/// it was taken when it was made (that may fail).
///
/// Any process of the same user can forge an expiry. A [`TimerDescriptor`](crate::TimerDescriptor)
/// cannot be forged, needs no signal, and is the better choice unless expiries shall come in one stream
/// with other messages.
///
/// A child does not inherit it. Dropping it deletes it; a signal that is pending by then stays, or not,
/// depending on the kernel (since 6.13 it goes too).
///
/// ```
/// use std::time::Duration;
/// use ipc_core::Deadline;
/// use ipc_signal::{MaskGuard, RealtimeSignal, Schedule, SignalReceiver, SignalTimer, TimerClock};
///
/// let signal = RealtimeSignal::from_offset(1)?;
/// let _mask = MaskGuard::block([signal])?; // first thing in `main`
/// let mut receiver = SignalReceiver::open(signal)?;
///
/// let mut timer = SignalTimer::open(TimerClock::Monotonic, signal, 42)?;
/// timer.set(Schedule::after(Duration::from_millis(1)))?;
/// let expiry = receiver.recv_signal(Deadline::Never)?;
/// assert_eq!((expiry.value, expiry.overruns), (Some(42), Some(0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SignalTimer {
    timer: PosixTimer,
    resource: Resource,
}

impl SignalTimer {
    /// A timer that sends `value` with `signal`. It is not set yet. Have a receiver of the signal
    /// first: the signal's default action kills.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::Limit`](ipc_core::OpenErrorKind::Limit) if the queue has no place left for its
    /// signal (`RLIMIT_SIGPENDING`).
    pub fn open(clock: TimerClock, signal: RealtimeSignal, value: u64) -> Result<Self, OpenError> {
        let resource = Resource::unnamed(format!("timer that sends {signal}"));
        let timer = PosixTimer::create(clock.posix(), signal.number(), value)
            .map_err(|error| timer_error("timer_create", &resource, error))?;
        Ok(Self { timer, resource })
    }

    /// Sets it, in place of what it was set to. A signal of the former setting may still come.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InvalidOption`](ipc_core::OpenErrorKind::InvalidOption) for an interval of zero
    /// or a time that the clock cannot count.
    pub fn set(&mut self, schedule: Schedule) -> Result<(), OpenError> {
        let spec = schedule.spec("timer_settime", &self.resource)?;
        self.timer
            .set(schedule.is_absolute(), &spec)
            .map_err(|error| OpenError::from_os("timer_settime", &self.resource, error))
    }

    /// Stops it. A signal that is pending already may still come.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn stop(&mut self) -> Result<(), OsError> {
        self.timer
            .set(false, &STOPPED)
            .map_err(|error| OsError::new("timer_settime", &self.resource, error))
    }

    /// How many expiries the signal that was last taken stood for, beyond the first
    /// (`timer_getoverrun(2)`). The kernel's own word, unlike the number in the message; but a receiver
    /// that reads a signalfd takes several signals at once, and may have taken a later one than it gave.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn overruns(&self) -> Result<u32, OsError> {
        self.timer
            .overruns()
            .map_err(|error| OsError::new("timer_getoverrun", &self.resource, error))
    }
}
