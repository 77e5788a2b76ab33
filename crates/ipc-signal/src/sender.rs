//! The sending end of a link: queues values to one process. Leaves out other signals and other targets
//! ([`crate::SignalTarget`]).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipc_core::{
    Armed, Deadline, Interest, LinkProperties, Liveness, OpenError, Resource, SendError, Sender,
    WaitSource,
};
use rustix::io::Errno;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::errors::{open_error, send_error};
use crate::properties::{MESSAGE_LEN, limit_of_this_process, link_properties};
use crate::sys::{self, SignalInfo};
use crate::{RealtimeSignal, proc};

/// Queues values to one process, each as a real-time signal.
///
/// A message is exactly eight bytes: the `union sigval` that travels with the signal, in the byte
/// order of the machine. The receiver need not be ours: a C program gets the same value by
/// `sigwaitinfo(2)`, in a handler (`SA_SIGINFO`), or by `signalfd(2)`. If it neither blocks nor
/// handles the signal, the first message kills it.
///
/// The process is held by a pidfd, so that a message never reaches another one that was given the
/// same process id later.
///
/// # A full queue
///
/// The kernel has no way to wait for room, so that a send to a full queue is refused **whatever its
/// deadline** ([`WhenFull::Refuses`](ipc_core::WhenFull::Refuses)); nothing was queued, and the caller
/// may try again. The [`Sender`] says [`SendError::Full`], as every mechanism does;
/// [`send_value`](Self::send_value) says [`SendError::Limit`], which names the setting. The queue is full when all the signals that are queued for
/// the receiver's *real user id*, in all of that user's processes, reach the **receiver's**
/// `RLIMIT_SIGPENDING` (`ulimit -i`, `setrlimit(2)`), which POSIX timers count towards as well. So a
/// program of the same user that does not read its signals can fill this link too.
///
/// # Death
///
/// A send to a process that has ended is [`SendError::PeerGone`], even while its parent has not yet
/// reaped it; what was queued and not read by then is lost. The kernel does not refuse signals for a
/// process that was not reaped: we ask it apart from sending, once in each of its clock's ticks
/// (`CLOCK_MONOTONIC_COARSE`, 1 to 10 ms), since the question costs half as much as the send itself. So
/// the notice may come one tick late. A process that has dropped its receiver
/// and lives on is not gone: as long as it blocks the signal, what is sent waits for its next
/// receiver. Messages that were queued outlive the sender.
///
/// See `pidfd_send_signal(2)` and `sigqueue(3)`.
#[derive(Debug)]
pub struct SignalSender {
    receiver: Liveness,
    /// All of the message but its value.
    info: SignalInfo,
    /// When it was last seen alive; `None` before the first send.
    seen_alive: Option<Timespec>,
    capacity_messages: u64,
    link: Resource,
}

impl SignalSender {
    /// Sends `signal` to the process `pid`.
    ///
    /// The caller answers for `pid` still meaning the process that it should: a child that was not
    /// waited for, or a process that has told its id and waits. From then on the process cannot be
    /// mistaken. What is sent names the calling process as its sender.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::NotFound`](ipc_core::OpenErrorKind) if there is no such process,
    /// `PermissionDenied` if this one may not signal it (it must be of the same user, or have `CAP_KILL`),
    /// `InvalidOption` if `pid` can be no process's (0, above `i32::MAX`, or the
    /// id of a thread), `Limit` if there are no descriptors left.
    pub fn open(pid: u32, signal: RealtimeSignal) -> Result<Self, OpenError> {
        let link = Resource::unnamed(format!("{signal} to process {pid}"));
        match Liveness::of_process(pid) {
            Ok(receiver) => Self::with_receiver(receiver, Some(pid), signal, link),
            Err(error) => Err(open_error("pidfd_open", &link, error)),
        }
    }

    /// Sends `signal` to the process behind a pidfd: one that was received over a socket, or that
    /// the kernel gave (`SO_PEERPIDFD`), which leaves no doubt about who it is.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); also `InvalidOption` if the descriptor is no pidfd,
    /// and `Unsupported` if the process is not in this PID namespace or one below.
    pub fn from_pidfd(pidfd: OwnedFd, signal: RealtimeSignal) -> Result<Self, OpenError> {
        let pid = proc::process_of(pidfd.as_fd());
        let link = Resource::unnamed(match pid {
            Some(pid) => format!("{signal} to process {pid}"),
            None => format!("{signal} to the process behind a pidfd"),
        });
        Self::with_receiver(Liveness::of_pidfd(pidfd), pid, signal, link)
    }

    fn with_receiver(
        receiver: Liveness,
        pid: Option<u32>,
        signal: RealtimeSignal,
        link: Resource,
    ) -> Result<Self, OpenError> {
        let uid = rustix::process::getuid().as_raw();
        let info = SignalInfo::queued(signal.number(), std::process::id(), uid);
        // Number 0 sends nothing, and tells whether we may.
        sys::queue(receiver.as_fd(), 0, None)
            .map_err(|error| open_error("pidfd_send_signal", &link, error))?;
        let capacity_messages =
            pid.and_then(proc::pending_signals_max).unwrap_or_else(limit_of_this_process);
        Ok(Self { receiver, info, seen_alive: None, capacity_messages, link })
    }

    /// Queues one value. Never blocks.
    ///
    /// # Errors
    ///
    /// [`SendError::Limit`] if the queue is full, naming the setting that raises the limit, and
    /// [`SendError::PeerGone`], as described [above](Self); [`SendError::Os`] if the permission to
    /// signal the receiver was lost.
    pub fn send_value(&mut self, value: u64) -> Result<(), SendError> {
        self.send_bytes(value.to_ne_bytes())
            .map_err(|(operation, error)| send_error(operation, &self.link, error))
    }

    #[inline]
    fn send_bytes(&mut self, value: [u8; MESSAGE_LEN]) -> Result<(), (&'static str, io::Error)> {
        self.check_alive().map_err(|error| ("poll", error))?;
        self.info.value = value;
        sys::queue(self.receiver.as_fd(), self.info.signo, Some(&self.info))
            .map_err(|error| ("pidfd_send_signal", error))
    }

    /// Fails with `ESRCH` if the receiver was dead at the last tick of the clock.
    #[inline]
    fn check_alive(&mut self) -> io::Result<()> {
        let now = clock_gettime(ClockId::MonotonicCoarse); // no system call
        if self.seen_alive == Some(now) {
            return Ok(());
        }
        if !self.receiver.is_alive()? {
            return Err(Errno::SRCH.into());
        }
        self.seen_alive = Some(now);
        Ok(())
    }
}

impl Sender for SignalSender {
    /// As [`send_value`](SignalSender::send_value), with the eight bytes of a value. Never blocks,
    /// whatever the deadline.
    fn send_deadline(&mut self, message: &[u8], _deadline: Deadline) -> Result<(), SendError> {
        let (len, link) = (message.len(), &self.link);
        match <[u8; MESSAGE_LEN]>::try_from(message) {
            Ok(value) => match self.send_bytes(value) {
                Ok(()) => Ok(()),
                Err((_, error)) if Errno::from_io_error(&error) == Some(Errno::AGAIN) => {
                    Err(SendError::Full)
                }
                Err((operation, error)) => Err(send_error(operation, &self.link, error)),
            },
            Err(_) if len < MESSAGE_LEN => Err(SendError::too_short(len, MESSAGE_LEN, link)),
            Err(_) => Err(SendError::too_long(len, MESSAGE_LEN, link)),
        }
    }

    /// The capacity is the receiver's limit as it was when this end was opened, or this process's
    /// own where the receiver's cannot be read.
    fn properties(&self) -> LinkProperties {
        link_properties(self.capacity_messages)
    }

    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        Some(self)
    }
}

/// The descriptor reports the receiver's death. Of room in a full queue the kernel tells nobody, and
/// a send never waits: so the source is always ready, and whoever is told [`SendError::Full`]
/// chooses when to try again.
impl WaitSource for SignalSender {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.receiver.as_fd(), Interest::Readable)
    }

    fn arm(&mut self) -> io::Result<Armed> {
        Ok(Armed::Ready)
    }
}
