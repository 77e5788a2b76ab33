//! Timers that are descriptors (`timerfd_create(2)`): no signals, no masks, in any wait set.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipc_core::{Deadline, Interest, OpenError, OsError, RecvError, Resource, WaitSource, poll};
use rustix::io::Errno;
use rustix::time::{TimerfdFlags, TimerfdTimerFlags};

use crate::schedule::STOPPED;
use crate::{Schedule, TimerClock};

/// A timer that is read: each read tells how often it has expired since the last.
///
/// Nobody else can forge an expiry. It can be polled together with any other descriptor. A process
/// that is forked without `exec` shares it: an expiry is then read by one of the two.
///
/// ```
/// use std::time::Duration;
/// use ipc_core::Deadline;
/// use ipc_signal::{Schedule, TimerClock, TimerDescriptor};
///
/// let mut timer = TimerDescriptor::open(TimerClock::Monotonic)?;
/// timer.set(Schedule::after(Duration::from_millis(1)).every(Duration::from_millis(1)))?;
/// let expiries = timer.wait(Deadline::Never)?;
/// let overruns = expiries.get() - 1; // those that came before we looked
/// # let _ = overruns;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// See `timerfd_create(2)`.
#[derive(Debug)]
pub struct TimerDescriptor {
    descriptor: OwnedFd,
    resource: Resource,
}

impl TimerDescriptor {
    /// A timer that is not set yet.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::Limit`](ipc_core::OpenErrorKind::Limit) if there are no descriptors left.
    pub fn open(clock: TimerClock) -> Result<Self, OpenError> {
        let resource = Resource::unnamed(format!("timer of the clock {clock:?}"));
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let descriptor = rustix::time::timerfd_create(clock.timerfd(), flags)
            .map_err(|error| OpenError::from_os("timerfd_create", &resource, error))?;
        Ok(Self { descriptor, resource })
    }

    /// Sets it, in place of what it was set to; expiries that were not read are forgotten.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InvalidOption`](ipc_core::OpenErrorKind::InvalidOption) for an interval of zero
    /// or a time that the clock cannot count.
    pub fn set(&mut self, schedule: Schedule) -> Result<(), OpenError> {
        let spec = schedule.spec("timerfd_settime", &self.resource)?;
        let absolute = schedule.is_absolute();
        let flags = if absolute { TimerfdTimerFlags::ABSTIME } else { TimerfdTimerFlags::empty() };
        rustix::time::timerfd_settime(&self.descriptor, flags, &spec)
            .map_err(|error| OpenError::from_os("timerfd_settime", &self.resource, error))?;
        Ok(())
    }

    /// Stops it; expiries that were not read are forgotten.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn stop(&mut self) -> Result<(), OsError> {
        rustix::time::timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &STOPPED)
            .map_err(|error| OsError::new("timerfd_settime", &self.resource, error))?;
        Ok(())
    }

    /// Waits for an expiry until `deadline`; returns how many there were since it was set or last
    /// asked. All but the first are overruns.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] or [`RecvError::TimedOut`] if there was none.
    pub fn wait(&mut self, deadline: Deadline) -> Result<NonZeroU64, RecvError> {
        loop {
            let mut count = [0; 8];
            match rustix::io::read(&self.descriptor, &mut count) {
                Ok(_) => {
                    if let Some(count) = NonZeroU64::new(u64::from_ne_bytes(count)) {
                        return Ok(count);
                    }
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(self.error("read", error.into())),
            }
            let ready = !deadline.has_passed()
                && poll::wait_ready(self.descriptor.as_fd(), Interest::Readable, deadline)
                    .map_err(|error| self.error("poll", error))?;
            if !ready {
                return Err(RecvError::no_message(deadline));
            }
        }
    }

    fn error(&self, operation: &'static str, error: io::Error) -> RecvError {
        OsError::new(operation, &self.resource, error).into()
    }
}

impl AsFd for TimerDescriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl WaitSource for TimerDescriptor {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.as_fd(), Interest::Readable)
    }
}
