//! Handlers for those who need them: a flag, a counter, an event. Leaves out the handler itself
//! (`sys/action.rs`), and any that runs the user's code: there is none.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use ipc_core::{
    Deadline, Interest, OpenError, OpenErrorKind, OsError, RecvError, Resource, WaitSource, poll,
};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use crate::Signal;
use crate::errors::check_receivable;
use crate::sys::Catch;

/// Remembers that a signal has come.
///
/// A handler runs between any two instructions of the program, where hardly anything is allowed. This one
/// only counts, in a static: no code of the user's runs in it. It needs no mask, in contrast to a
/// [`SignalListener`](crate::SignalListener), and fits programs whose threads somebody else starts.
///
/// All handlers of this crate
///
/// - **chain**: the handler that was there before is called after ours. A default action or "ignore"
///   is replaced;
/// - **restore**: dropping puts back the action that was there, unless somebody has installed another
///   above ours meanwhile: that one stays;
/// - restart interrupted system calls (`SA_RESTART`), and use the alternate stack where there is one;
/// - are one for each signal and process: a second is [`OpenErrorKind::InUse`];
/// - **refuse** what cannot be handled so, with [`OpenErrorKind::InvalidOption`]: `SIGKILL` and
///   `SIGSTOP`, which the kernel keeps, and [faults](Signal::is_fault), behind which a program cannot
///   go on.
///
/// ```
/// use ipc_signal::{Signal, SignalFlag, SignalTarget};
///
/// let interrupted = SignalFlag::install(Signal::INT)?;
/// assert!(!interrupted.is_raised());
/// SignalTarget::process(std::process::id())?.send(Signal::INT)?;
/// assert!(interrupted.take()); // the default action would have killed us
/// assert!(!interrupted.is_raised());
/// assert!(SignalFlag::install(Signal::SEGV).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SignalFlag(Counted);

impl SignalFlag {
    /// Installs the handler. Do not change the same signal's action elsewhere at the same moment.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InvalidOption`] and [`OpenErrorKind::InUse`] as described [above](Self).
    pub fn install(signal: impl Into<Signal>) -> Result<Self, OpenError> {
        Ok(Self(Counted::new(install(signal.into(), false)?)))
    }

    /// Whether the signal has come since the last [`take`](Self::take).
    pub fn is_raised(&self) -> bool {
        self.0.untaken() > 0
    }

    /// Whether the signal has come since the last call; lowers the flag.
    pub fn take(&self) -> bool {
        self.0.take() > 0
    }
}

/// Counts how often a signal's handler has run.
///
/// That is at most how often it was sent: standard signals coalesce. What else there is to know is said
/// of [`SignalFlag`].
#[derive(Debug)]
pub struct SignalCounter(Counted);

impl SignalCounter {
    /// Installs the handler. As [`SignalFlag::install`].
    ///
    /// # Errors
    ///
    /// Those of [`SignalFlag::install`].
    pub fn install(signal: impl Into<Signal>) -> Result<Self, OpenError> {
        Ok(Self(Counted::new(install(signal.into(), false)?)))
    }

    /// How often it has come, ever since the handler was installed.
    pub fn total(&self) -> u64 {
        self.0.catch.count()
    }

    /// How often it has come since the last call.
    pub fn take(&self) -> u64 {
        self.0.take()
    }
}

/// A signal as an event to wait for: the handler writes to an eventfd, as others do to a pipe to
/// themselves.
///
/// A forked child that inherits the handler does not wake its parent. What else there is to know is said
/// of [`SignalFlag`].
///
/// ```
/// use ipc_core::Deadline;
/// use ipc_signal::{Signal, SignalEvent, SignalTarget};
///
/// let mut hang_up = SignalEvent::install(Signal::HUP)?;
/// SignalTarget::process(std::process::id())?.send(Signal::HUP)?;
/// assert_eq!(hang_up.wait(Deadline::Never)?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SignalEvent {
    catch: Catch,
    link: Resource,
}

impl SignalEvent {
    /// Installs the handler. As [`SignalFlag::install`].
    ///
    /// # Errors
    ///
    /// Those of [`SignalFlag::install`]; [`OpenErrorKind::Limit`] if there are no descriptors left.
    pub fn install(signal: impl Into<Signal>) -> Result<Self, OpenError> {
        let catch = install(signal.into(), true)?;
        let link = handler_of(catch.signal());
        Ok(Self { catch, link })
    }

    /// Waits until the signal comes, at most until `deadline`; returns how often its handler has run
    /// since the last call.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] or [`RecvError::TimedOut`] if it did not come.
    pub fn wait(&mut self, deadline: Deadline) -> Result<u64, RecvError> {
        loop {
            let mut count = [0; 8];
            match rustix::io::read(self.as_fd(), &mut count) {
                Ok(_) => return Ok(u64::from_ne_bytes(count)),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(self.error("read", error.into())),
            }
            let ready = !deadline.has_passed()
                && poll::wait_ready(self.as_fd(), Interest::Readable, deadline)
                    .map_err(|error| self.error("poll", error))?;
            if !ready {
                return Err(RecvError::no_message(deadline));
            }
        }
    }

    fn error(&self, operation: &'static str, error: io::Error) -> RecvError {
        OsError::new(operation, &self.link, error).into()
    }
}

impl AsFd for SignalEvent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.catch.event().expect("installed with one")
    }
}

impl WaitSource for SignalEvent {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.as_fd(), Interest::Readable)
    }
}

/// A handler, and how many of its runs were taken note of.
#[derive(Debug)]
struct Counted {
    catch: Catch,
    taken: AtomicU64,
}

impl Counted {
    fn new(catch: Catch) -> Self {
        Self { catch, taken: AtomicU64::new(0) }
    }

    fn untaken(&self) -> u64 {
        // In this order: what was taken had been counted.
        let taken = self.taken.load(Ordering::Acquire);
        self.catch.count().saturating_sub(taken)
    }

    fn take(&self) -> u64 {
        let count = self.catch.count();
        // Another thread may have taken more meanwhile.
        count.saturating_sub(self.taken.fetch_max(count, Ordering::AcqRel))
    }
}

fn handler_of(signal: Signal) -> Resource {
    Resource::unnamed(format!("handler of {signal}"))
}

fn install(signal: Signal, with_event: bool) -> Result<Catch, OpenError> {
    let link = handler_of(signal);
    check_receivable("sigaction", &link, signal)?;
    let event = if with_event {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let event = eventfd(0, flags);
        Some(event.map_err(|error| OpenError::from_os("eventfd", &link, error))?)
    } else {
        None
    };
    match Catch::install(signal, event) {
        Ok(Some(catch)) => Ok(catch),
        Ok(None) => {
            let cause = "this process has a handler of this crate on this signal already";
            let cause = io::Error::new(io::ErrorKind::AddrInUse, cause);
            Err(OpenError::new("sigaction", &link, OpenErrorKind::InUse(cause)))
        }
        Err(error) => Err(OpenError::from_os("sigaction", &link, error)),
    }
}
