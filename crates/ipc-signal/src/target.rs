//! Whom a signal goes to: a process, a thread, a group; and the sending of any signal. Leaves out
//! messages ([`crate::SignalSender`]).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use ipc_core::{Liveness, OpenError, Resource, SendError};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use crate::errors::{invalid, open_error, send_error};
use crate::sys::{self, SignalInfo};
use crate::{RealtimeSignal, Signal, proc};

/// A process, a thread or a group of processes, to send any signal to.
///
/// Process ids are reused, and a signal sent to a number may end a process that its sender never
/// heard of. A process is held by a pidfd instead, and so is a thread (Linux 6.9): what is sent reaches
/// that very one or nobody. A group has only its number.
///
/// ```
/// use ipc_signal::{Signal, SignalTarget};
/// use std::os::unix::process::ExitStatusExt;
///
/// let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn()?;
/// let target = SignalTarget::process(child.id())?;
/// assert!(target.exists()?);
/// target.send(Signal::TERM)?;
/// assert_eq!(child.wait()?.signal(), Some(Signal::TERM.number()));
/// assert!(!target.exists()?);
/// assert!(matches!(target.send(Signal::TERM), Err(ipc_core::SendError::PeerGone { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// See `kill(2)`, `tgkill(2)`, `pidfd_send_signal(2)`.
#[derive(Debug)]
pub struct SignalTarget {
    whom: Whom,
    resource: Resource,
}

#[derive(Debug)]
enum Whom {
    /// Of one process, or (Linux 6.9) one thread.
    Pidfd(Liveness),
    /// On older kernels a thread has numbers alone.
    Thread {
        process: u32,
        thread: u32,
    },
    Group(Pid),
}

impl SignalTarget {
    /// The process `pid`. The caller answers for that number still meaning the process that it should:
    /// a child that was not waited for, or a process that has told its id and waits. From then on it
    /// cannot be mistaken.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::NotFound`](ipc_core::OpenErrorKind::NotFound) if there is no such process,
    /// `PermissionDenied` if this one may not signal it (it must be of the same user, or have
    /// `CAP_KILL`), `InvalidOption` if `pid` can be no process's (0, above `i32::MAX`, or the id of a
    /// thread), `Limit` if there are no descriptors left.
    pub fn process(pid: u32) -> Result<Self, OpenError> {
        let resource = Resource::unnamed(format!("process {pid}"));
        let process = Liveness::of_process(pid)
            .map_err(|error| open_error("pidfd_open", &resource, error))?;
        Self::checked(Whom::Pidfd(process), resource)
    }

    /// The process behind a pidfd: one that was received over a socket, or that the kernel gave
    /// (`SO_PEERPIDFD`), which leaves no doubt about who it is.
    ///
    /// # Errors
    ///
    /// As [`process`](Self::process); `InvalidOption` if the descriptor is no pidfd, and `Unsupported`
    /// if the process is not in this PID namespace or one below.
    pub fn pidfd(pidfd: OwnedFd) -> Result<Self, OpenError> {
        let resource = Resource::unnamed(match proc::process_of(pidfd.as_fd()) {
            Some(pid) => format!("process {pid}"),
            None => "the process behind a pidfd".to_owned(),
        });
        Self::checked(Whom::Pidfd(Liveness::of_pidfd(pidfd)), resource)
    }

    /// One thread of the process `process`, by its thread id (`gettid(2)`).
    ///
    /// A signal that ends or stops does so to the whole process all the same. Before Linux 6.9, a
    /// thread that ends and another that gets its id in the same process cannot be told apart.
    ///
    /// # Errors
    ///
    /// As [`process`](Self::process); `NotFound` also if the thread is not one of that process.
    pub fn thread(process: u32, thread: u32) -> Result<Self, OpenError> {
        let resource = Resource::unnamed(format!("thread {thread} of process {process}"));
        let id = i32::try_from(thread).ok().and_then(Pid::from_raw);
        let (Some(id), 1..=0x7fff_ffff) = (id, process) else {
            return Err(invalid("pidfd_open", &resource, "thread", "both numbers must be above 0"));
        };
        // PIDFD_THREAD is O_EXCL.
        let whom = match rustix::process::pidfd_open(id, PidfdFlags::from_bits_retain(O_EXCL)) {
            Ok(pidfd) => Whom::Pidfd(Liveness::of_pidfd(pidfd)),
            Err(Errno::INVAL) => Whom::Thread { process, thread },
            Err(error) => return Err(open_error("pidfd_open", &resource, error.into())),
        };
        // While this holds, the pidfd means the thread that these numbers mean.
        sys::queue_to_thread(process, thread, 0, None)
            .map_err(|error| open_error("tgkill", &resource, error))?;
        Self::checked(whom, resource)
    }

    /// All processes of a group, by its number.
    ///
    /// The number is all there is: a group whose last process has ended may be another one later.
    ///
    /// # Errors
    ///
    /// `NotFound`, `PermissionDenied` (of all of them) and `InvalidOption` as in
    /// [`process`](Self::process). 1 is refused too: to the kernel that is every process.
    pub fn group(group: u32) -> Result<Self, OpenError> {
        let resource = Resource::unnamed(format!("process group {group}"));
        match i32::try_from(group).ok().and_then(Pid::from_raw) {
            Some(group) if group != Pid::INIT => Self::checked(Whom::Group(group), resource),
            _ => Err(invalid("kill", &resource, "group", "it must be above 1")),
        }
    }

    /// The group of this process itself.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn own_group() -> Result<Self, OpenError> {
        let group = rustix::process::getpgrp();
        let resource = Resource::unnamed(format!("our process group {}", group.as_raw_nonzero()));
        Self::checked(Whom::Group(group), resource)
    }

    /// Number 0 sends nothing, and tells whether we may.
    fn checked(whom: Whom, resource: Resource) -> Result<Self, OpenError> {
        let target = Self { whom, resource };
        match target.deliver(0, None) {
            Ok(()) => Ok(target),
            Err((operation, error)) => Err(open_error(operation, &target.resource, error)),
        }
    }

    /// Sends `signal` without a value, as `kill(2)` does. Never blocks.
    ///
    /// A standard signal that is pending already, and not yet taken, is not sent a second time: the two
    /// are one. That is success all the same.
    ///
    /// # Errors
    ///
    /// [`SendError::PeerGone`] if the target has ended, also if its parent has not reaped it yet;
    /// [`SendError::Os`] if the permission was lost.
    pub fn send(&self, signal: impl Into<Signal>) -> Result<(), SendError> {
        self.send_info(signal.into().number(), None)
    }

    /// Queues `signal` with a value to a process or thread, as `sigqueue(3)` does. Never blocks.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send). [`SendError::Limit`] if the queue is full: nothing was queued, and the
    /// receiver's `RLIMIT_SIGPENDING` is what raises the limit. [`SendError::Unsupported`] for a group.
    pub fn send_value(&self, signal: RealtimeSignal, value: u64) -> Result<(), SendError> {
        if matches!(self.whom, Whom::Group(_)) {
            return Err(SendError::unsupported("carry a value", "signal to a process group"));
        }
        let uid = rustix::process::getuid().as_raw();
        let mut info = SignalInfo::queued(signal.number(), std::process::id(), uid);
        info.value = value.to_ne_bytes();
        self.send_info(signal.number(), Some(&info))
    }

    /// Whether it is still there: a process or thread that has not ended, a group with any process in
    /// it. The answer "yes" may be stale on return.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn exists(&self) -> io::Result<bool> {
        match &self.whom {
            Whom::Pidfd(liveness) => liveness.is_alive(),
            Whom::Group(group) => sys::group_exists(group.as_raw_nonzero().get()),
            &Whom::Thread { process, thread } => {
                match sys::queue_to_thread(process, thread, 0, None) {
                    Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => Ok(false),
                    Err(error) if Errno::from_io_error(&error) == Some(Errno::PERM) => Ok(true),
                    other => other.map(|()| true),
                }
            }
        }
    }

    fn send_info(&self, signo: i32, info: Option<&SignalInfo>) -> Result<(), SendError> {
        // The kernel would take signals for a process that has ended until its parent reaps it.
        match self.exists() {
            Ok(true) => {}
            Ok(false) => return Err(SendError::peer_gone(&self.resource)),
            Err(error) => return Err(send_error("poll", &self.resource, error)),
        }
        self.deliver(signo, info)
            .map_err(|(operation, error)| send_error(operation, &self.resource, error))
    }

    fn deliver(
        &self,
        signo: i32,
        info: Option<&SignalInfo>,
    ) -> Result<(), (&'static str, io::Error)> {
        let (operation, result) = match &self.whom {
            Whom::Pidfd(liveness) => {
                ("pidfd_send_signal", sys::queue(liveness.as_fd(), signo, info))
            }
            &Whom::Thread { process, thread } => {
                ("tgkill", sys::queue_to_thread(process, thread, signo, info))
            }
            Whom::Group(group) => ("kill", sys::send_to_group(group.as_raw_nonzero().get(), signo)),
        };
        result.map_err(|error| (operation, error))
    }
}

const O_EXCL: u32 = libc::O_EXCL as u32;
