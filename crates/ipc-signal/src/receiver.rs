//! The receiving end: reads one signal's values from a signalfd. Leaves out `sigtimedwait(2)` and
//! handlers.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use ipc_core::{
    Armed, Deadline, Interest, LinkProperties, OpenError, OpenErrorKind, OsError, Received,
    Receiver, RecvError, Resource, WaitSource, poll,
};
use rustix::io::Errno;

use crate::message::RECORD_LEN;
use crate::proc::{self, Exposed};
use crate::properties::{MESSAGE_LEN, limit_of_this_process, link_properties};
use crate::sys::{self, SignalSet};
use crate::{RealtimeSignal, SignalMessage};

/// Receives the values that any process queues to this one with one real-time signal.
///
/// # Every thread must block the signal
///
/// A signal sent to a process goes to any thread that does not block it, and there it kills the
/// process, unless there is a handler. So [`open`](Self::open) refuses as long as any thread leaves
/// the signal unblocked: block it with a [`MaskGuard`](crate::MaskGuard) at the beginning of `main`,
/// from where all threads inherit the mask. The check sees the threads as they are at that moment; a
/// thread that unblocks the signal later undoes it. With musl instead of glibc it may also overlook a
/// thread that is just starting another.
///
/// # Whose messages
///
/// The endpoint may be used in any thread, and gets signals that were sent to the **process**. One
/// that was directed at a single thread (`tgkill(2)`, `pthread_sigqueue(3)`) comes only when that
/// very thread receives. A process that is forked without `exec` inherits the descriptor, and reads
/// its *own* signals from it.
///
/// A process has one receiver per signal, since two would share the messages between them: a second
/// is [`OpenErrorKind::InUse`].
///
/// # Signals without a value
///
/// Whoever may signal this process may also send the same signal by `kill(2)`, which carries no
/// value. That is no message of this link, and no eight bytes can stand for it: zeros would be a
/// message that nobody sent, and an error would let any such process poison the link. So the
/// [`Receiver`] passes over it and counts it ([`without_value`](Self::without_value)).
/// [`recv_signal`](Self::recv_signal) reports it like any other.
///
/// # Dropping
///
/// A signal that is still pending when the mask is restored would be delivered, and kill the
/// process. So dropping the receiver **discards** what is pending; a guard that was declared before
/// it restores the mask after that. Senders should have stopped by then.
///
/// What was sent before the receiver was opened is not lost, if the signal was blocked at the time.
///
/// See `signalfd(2)`.
#[derive(Debug)]
pub struct SignalReceiver {
    descriptor: OwnedFd,
    batch: Batch,
    without_value: u64,
    capacity_messages: u64,
    link: Resource,
    /// Given back after the descriptor is closed: fields are dropped in this order.
    claim: Claim,
}

impl SignalReceiver {
    /// Receives `signal`, which every thread of this process must block. May wait up to a second
    /// for threads that are just starting others.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InvalidOption`] naming the first thread that does not block it;
    /// [`OpenErrorKind::InUse`] if this process has a receiver for it already;
    /// [`OpenErrorKind::Limit`] if there are no descriptors left; others if `/proc` is not mounted.
    pub fn open(signal: RealtimeSignal) -> Result<Self, OpenError> {
        let link = Resource::unnamed(format!("{signal} to process {}", std::process::id()));
        let error = |operation, error: io::Error| OpenError::from_os(operation, &link, error);
        let claim = Claim::of(signal, &link)?;
        let exposed = proc::exposed_thread(signal)
            .map_err(|source| error("read /proc/self/task for", source))?;
        if let Some(Exposed { thread, what }) = exposed {
            let requirement = format!(
                "thread {thread} {what} {signal}, which would kill this process; create a \
                 MaskGuard in main before other threads start"
            );
            let kind = OpenErrorKind::InvalidOption { option: "signal mask", requirement };
            return Err(OpenError::new("open", &link, kind));
        }
        let descriptor =
            sys::signalfd(&SignalSet::of([signal])).map_err(|source| error("signalfd", source))?;
        Ok(Self {
            descriptor,
            batch: Batch::default(),
            without_value: 0,
            capacity_messages: limit_of_this_process(),
            link,
            claim,
        })
    }

    /// The signal that it receives.
    pub fn signal(&self) -> RealtimeSignal {
        self.claim.0
    }

    /// Receives one signal of any kind, waiting for one until `deadline`: its value if it has one,
    /// how it came about, and who sent it.
    ///
    /// # Errors
    ///
    /// Those of [`Receiver::recv_deadline`], but never [`RecvError::BufferTooSmall`].
    pub fn recv_signal(&mut self, deadline: Deadline) -> Result<SignalMessage, RecvError> {
        let message = self.front(deadline)?;
        self.batch.consume();
        Ok(message)
    }

    /// How many signals without a value the [`Receiver`] has passed over so far.
    pub fn without_value(&self) -> u64 {
        self.without_value
    }

    /// The next signal, which stays.
    fn front(&mut self, deadline: Deadline) -> Result<SignalMessage, RecvError> {
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

    /// The next signal that has a value, which stays, and the value.
    fn front_with_value(&mut self, deadline: Deadline) -> Result<(SignalMessage, u64), RecvError> {
        let mut passed_over = 0;
        loop {
            let message = self.front(deadline)?;
            if let Some(value) = message.value {
                return Ok((message, value));
            }
            self.batch.consume();
            self.without_value += 1;
            passed_over += 1;
            // So many cannot all have been pending when we began: they come as fast as we read.
            if passed_over > self.capacity_messages && deadline.has_passed() {
                return Err(RecvError::no_message(deadline));
            }
        }
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
        RecvError::Os(OsError::new(operation, &self.link, error))
    }
}

impl Receiver for SignalReceiver {
    /// Receives the eight bytes of one value. The sender is what it claims to be: see
    /// [`SignalMessage::sender`].
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        let (message, value) = self.front_with_value(deadline)?;
        let len = buffer.len();
        let Some(front) = buffer.first_chunk_mut::<MESSAGE_LEN>() else {
            let link = self.link.clone();
            return Err(RecvError::BufferTooSmall { needed: MESSAGE_LEN, len, link });
        };
        *front = value.to_ne_bytes();
        self.batch.consume();
        Ok(Received { len: MESSAGE_LEN, sender: message.peer(), priority: 0 })
    }

    /// The capacity is this process's limit as it was when the receiver was opened.
    fn properties(&self) -> LinkProperties {
        link_properties(self.capacity_messages)
    }

    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        Some(self)
    }
}

/// The descriptor reports signals of the process that polls it. With `epoll(7)`, that is the process
/// that *added* it to the set, whoever waits later.
impl WaitSource for SignalReceiver {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.descriptor.as_fd(), Interest::Readable)
    }

    /// Ready if this endpoint holds signals that it has already taken from the kernel.
    fn arm(&mut self) -> io::Result<Armed> {
        Ok(if self.batch.is_empty() { Armed::Waiting } else { Armed::Ready })
    }
}

impl Drop for SignalReceiver {
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

/// A signal that this process has a receiver for, until it is dropped.
#[derive(Debug)]
struct Claim(RealtimeSignal);

/// One bit for each number that has a receiver, the lowest for 1.
static CLAIMED: AtomicU64 = AtomicU64::new(0);

impl Claim {
    fn of(signal: RealtimeSignal, link: &Resource) -> Result<Self, OpenError> {
        let bit = claim_bit(signal);
        // Relaxed: the bit guards no memory, only the number.
        if CLAIMED.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            return Ok(Self(signal));
        }
        let cause = io::Error::new(
            io::ErrorKind::AddrInUse,
            "this process has a receiver of this signal already",
        );
        Err(OpenError::new("open", link, OpenErrorKind::InUse(cause)))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        CLAIMED.fetch_and(!claim_bit(self.0), Ordering::Relaxed); // as in `of`
    }
}

fn claim_bit(signal: RealtimeSignal) -> u64 {
    1 << (signal.number() - 1)
}
