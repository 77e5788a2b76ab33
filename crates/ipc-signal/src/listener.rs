//! Receives any signals from a signalfd, in batches. Leaves out messages as bytes
//! ([`crate::SignalReceiver`]).

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipc_core::{
    Armed, Deadline, Interest, OpenError, OsError, RecvError, Resource, WaitSource, poll,
};
use rustix::io::Errno;

use crate::claim::Claim;
use crate::message::RECORD_LEN;
use crate::properties::limit_of_this_process;
use crate::sys::{self, SignalSet};
use crate::{Signal, SignalMessage};

/// Receives signals of any kind that are sent to this process, by a signalfd instead of handlers.
///
/// Every thread must block them; see [`SignalReceiver`](crate::SignalReceiver), of which all that is
/// said about threads, second receivers and dropping holds here too. Of those that are pending, the
/// lowest number comes first. A standard signal that comes is **one or more** that were sent; see
/// [which signals queue](crate::semantics).
///
/// ```
/// use ipc_core::Deadline;
/// use ipc_signal::{MaskGuard, Signal, SignalListener, SignalTarget};
///
/// let _mask = MaskGuard::block([Signal::TERM, Signal::HUP])?; // first thing in `main`
/// let mut signals = SignalListener::open([Signal::TERM, Signal::HUP])?;
///
/// SignalTarget::process(std::process::id())?.send(Signal::TERM)?;
/// let message = signals.recv_signal(Deadline::Never)?;
/// assert_eq!(message.signal, Signal::TERM);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SignalListener {
    descriptor: OwnedFd,
    batch: Batch,
    capacity_messages: u64,
    link: Resource,
    /// Given back after the descriptor is closed: fields are dropped in this order.
    _claim: Claim,
}

impl SignalListener {
    /// Receives these signals, which every thread of this process must block. May wait ten seconds
    /// for threads that are just starting others.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InvalidOption`](ipc_core::OpenErrorKind::InvalidOption) naming the first thread
    /// that does not block one of them, or a signal that nobody can receive (`SIGKILL`, `SIGSTOP`, and
    /// [faults](Signal::is_fault)); `InUse` if this process has a receiver for one already; `Limit` if
    /// there are no descriptors left; others if `/proc` is not mounted.
    pub fn open<S: Into<Signal>>(signals: impl IntoIterator<Item = S>) -> Result<Self, OpenError> {
        let signals: Vec<Signal> = signals.into_iter().map(Into::into).collect();
        let names: Vec<_> = signals.iter().map(ToString::to_string).collect();
        let (names, pid) = (names.join(", "), std::process::id());
        let link = Resource::unnamed(format!("{names} to process {pid}"));
        let claim = Claim::of(&signals, &link)?;
        let descriptor = sys::signalfd(&SignalSet::of(signals))
            .map_err(|error| OpenError::from_os("signalfd", &link, error))?;
        Ok(Self {
            descriptor,
            batch: Batch::default(),
            capacity_messages: limit_of_this_process(),
            link,
            _claim: claim,
        })
    }

    /// Receives one signal, waiting for one until `deadline`.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`], [`RecvError::TimedOut`]; [`RecvError::Os`] in no case that we know.
    pub fn recv_signal(&mut self, deadline: Deadline) -> Result<SignalMessage, RecvError> {
        let message = self.front(deadline)?;
        self.consume();
        Ok(message)
    }

    /// The next signal, which stays.
    pub(crate) fn front(&mut self, deadline: Deadline) -> Result<SignalMessage, RecvError> {
        loop {
            if let Some(message) = self.batch.front() {
                return Ok(message);
            }
            if self.fill()? {
                continue;
            }
            let ready = !deadline.has_passed()
                && poll::wait_ready(self.descriptor.as_fd(), Interest::Readable, deadline)
                    .map_err(|error| self.os_error("poll", error))?;
            if !ready {
                return Err(RecvError::no_message(deadline));
            }
        }
    }

    /// Takes what [`front`](Self::front) has shown.
    pub(crate) fn consume(&mut self) {
        self.batch.consume();
    }

    pub(crate) fn link(&self) -> &Resource {
        &self.link
    }

    /// How many signals could be queued for this process when the listener was opened.
    pub(crate) fn capacity_messages(&self) -> u64 {
        self.capacity_messages
    }

    /// Takes what is pending from the kernel into the empty batch; tells whether there was any.
    fn fill(&mut self) -> Result<bool, RecvError> {
        match self.batch.read_from(self.descriptor.as_fd()) {
            Ok(()) => Ok(true),
            Err(Errno::AGAIN) => Ok(false),
            Err(error) => Err(self.os_error("read", error.into())),
        }
    }

    fn os_error(&self, operation: &'static str, error: io::Error) -> RecvError {
        OsError::new(operation, &self.link, error).into()
    }
}

/// The descriptor reports signals of the process that polls it. With `epoll(7)`, that is the process
/// that *added* it to the set, whoever waits later.
impl WaitSource for SignalListener {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.descriptor.as_fd(), Interest::Readable)
    }

    /// Ready if this endpoint holds signals that it has already taken from the kernel.
    fn arm(&mut self) -> io::Result<Armed> {
        Ok(if self.batch.is_empty() { Armed::Waiting } else { Armed::Ready })
    }
}

impl Drop for SignalListener {
    fn drop(&mut self) {
        // No more than the limit can be pending now; a sender that never stops does not hold us.
        let reads_max = self.capacity_messages / BATCH_MAX as u64 + 1;
        for _ in 0..reads_max {
            if !matches!(self.fill(), Ok(true)) {
                break;
            }
        }
    }
}

/// Signals to take from the kernel in one call: so many that the call's own cost hardly counts, and
/// few enough that this endpoint stays small.
const BATCH_MAX: usize = 16;

/// Signals that were taken from the kernel and not yet given to the caller, in their order.
struct Batch {
    records: Box<[[u8; RECORD_LEN]]>,
    /// The next to give, in `0..=len`.
    next: usize,
    /// How many the last read filled, in `0..=records.len()`.
    len: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self { records: vec![[0; RECORD_LEN]; BATCH_MAX].into(), next: 0, len: 0 }
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.next == self.len
    }

    fn front(&self) -> Option<SignalMessage> {
        self.records[..self.len].get(self.next).map(SignalMessage::decode)
    }

    fn consume(&mut self) {
        self.next += 1;
    }

    /// Replaces what is left by what is pending; `EAGAIN` if nothing is.
    fn read_from(&mut self, signalfd: BorrowedFd<'_>) -> rustix::io::Result<()> {
        (self.next, self.len) = (0, 0);
        let bytes = rustix::io::read(signalfd, self.records.as_flattened_mut())?;
        self.len = bytes / RECORD_LEN;
        Ok(())
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} signals", self.len - self.next)
    }
}
