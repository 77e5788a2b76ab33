//! What becomes of children, as typed events. Leaves out their faults ([`crate::SupervisedChild`]).

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipc_core::{Armed, Deadline, Interest, OpenError, OsError, RecvError, Resource, WaitSource};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus, waitid};

use crate::errors::{invalid, open_error};
use crate::sys::Action;
use crate::{Signal, SignalListener};

/// What has become of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChildChange {
    /// It has exited, with this status, in `0..=255`.
    Exited(i32),
    /// A signal has ended it.
    Killed {
        /// Which.
        signal: Signal,
        /// Whether it left a core dump.
        core_dumped: bool,
    },
    /// A signal has stopped it.
    Stopped(Signal),
    /// It goes on after a stop.
    Continued,
}

impl ChildChange {
    /// Whether this is the last that will be heard of it.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Exited(_) | Self::Killed { .. })
    }
}

impl fmt::Display for ChildChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exited with status {status}"),
            Self::Killed { signal, core_dumped: false } => write!(f, "killed by {signal}"),
            Self::Killed { signal, .. } => write!(f, "killed by {signal}, core dumped"),
            Self::Stopped(signal) => write!(f, "stopped by {signal}"),
            Self::Continued => f.write_str("continued"),
        }
    }
}

/// Which child, and what has become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ChildEvent {
    /// Its process id.
    pub pid: u32,
    /// The news.
    pub change: ChildChange,
}

/// Reports the exit, stop and continuation of those children that it was asked to watch.
///
/// `SIGCHLD` only wakes it: that signal coalesces, and says nothing sure. What has happened is asked of
/// the kernel, by `waitid(2)` on each watched child's pidfd. So no other child's status is ever taken;
/// and even of a watched child the **end is only looked at**: the child stays to be reaped by whoever
/// started it (`Child::wait`, which then returns at once).
///
/// Of stops and continuations the kernel keeps the last: a child that stops and goes on before anybody
/// looks has only continued. No end is missed.
///
/// Every thread must block `SIGCHLD`, as for a [`SignalListener`], or it would be lost.
///
/// ```
/// use std::process::Command;
/// use ipc_core::Deadline;
/// use ipc_signal::{ChildChange, ChildListener, MaskGuard, Signal};
///
/// let _mask = MaskGuard::block([Signal::CHLD])?; // first thing in `main`
/// let mut children = ChildListener::open()?;
///
/// let mut child = Command::new("sh").args(["-c", "exit 3"]).spawn()?;
/// children.watch(child.id())?;
/// let event = children.wait(Deadline::Never)?;
/// assert_eq!((event.pid, event.change), (child.id(), ChildChange::Exited(3)));
/// assert_eq!(child.wait()?.code(), Some(3)); // still ours to reap
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// See `waitid(2)`, `pidfd_open(2)`.
#[derive(Debug)]
pub struct ChildListener {
    signals: SignalListener,
    children: Vec<Watched>,
    /// Where the next look begins, so that a busy child does not hide the others.
    next: usize,
    link: Resource,
}

#[derive(Debug)]
struct Watched {
    pid: u32,
    pidfd: OwnedFd,
}

impl ChildListener {
    /// Watches no child yet.
    ///
    /// # Errors
    ///
    /// Those of [`SignalListener::open`] for `SIGCHLD`;
    /// [`OpenErrorKind::InvalidOption`](ipc_core::OpenErrorKind::InvalidOption) also if `SIGCHLD` is
    /// ignored (`SIG_IGN`, `SA_NOCLDWAIT`), for then the kernel forgets how children ended, or if its
    /// action hides stops (`SA_NOCLDSTOP`).
    pub fn open() -> Result<Self, OpenError> {
        let link = Resource::unnamed("children of this process");
        let action = Action::of(Signal::CHLD)
            .map_err(|error| OpenError::from_os("sigaction", &link, error))?;
        let refused = if action.ignores() || action.forgets_children() {
            Some("SIGCHLD is ignored, so that the kernel forgets how children end")
        } else if action.hides_stops() {
            Some("the action of SIGCHLD has SA_NOCLDSTOP, which hides stops")
        } else {
            None
        };
        if let Some(why) = refused {
            return Err(invalid("open", &link, "action of SIGCHLD", why));
        }
        let signals = SignalListener::open([Signal::CHLD])?;
        Ok(Self { signals, children: Vec::new(), next: 0, link })
    }

    /// Reports of this child from now on, up to its end. What has happened to it already, and nobody
    /// has taken, comes too.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::NotFound`](ipc_core::OpenErrorKind::NotFound) if it is no child of this process,
    /// or was reaped; `InUse` if it is watched already; `Limit` if there are no descriptors left.
    pub fn watch(&mut self, pid: u32) -> Result<(), OpenError> {
        let child = Resource::unnamed(format!("child {pid}"));
        if self.children.iter().any(|watched| watched.pid == pid) {
            let cause = io::Error::new(io::ErrorKind::AddrInUse, "it is watched already");
            return Err(OpenError::from_os("watch", &child, cause));
        }
        let id = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::INVAL);
        let pidfd = id
            .and_then(|id| rustix::process::pidfd_open(id, PidfdFlags::empty()))
            .map_err(|error| open_error("pidfd_open", &child, error.into()))?;
        match status(pidfd.as_fd(), ANY_NEWS) {
            Ok(_) => {}
            Err(Errno::CHILD) => {
                let cause = io::Error::new(io::ErrorKind::NotFound, "no child of this process");
                return Err(OpenError::from_os("waitid", &child, cause));
            }
            Err(error) => return Err(OpenError::from_os("waitid", &child, error)),
        }
        self.children.push(Watched { pid, pidfd });
        Ok(())
    }

    /// How many children are being watched.
    pub fn watched(&self) -> usize {
        self.children.len()
    }

    /// Waits for news of any watched child until `deadline`.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] or [`RecvError::TimedOut`] if there were none; [`RecvError::PeerGone`] if no
    /// child is left to watch.
    pub fn wait(&mut self, deadline: Deadline) -> Result<ChildEvent, RecvError> {
        loop {
            // What comes after this look finds the signal pending again.
            if let Some(event) = self.look()? {
                return Ok(event);
            }
            if self.children.is_empty() {
                return Err(RecvError::peer_gone(&self.link));
            }
            self.signals.recv_signal(deadline)?;
        }
    }

    /// Asks after each child once, until one has news.
    fn look(&mut self) -> Result<Option<ChildEvent>, RecvError> {
        let count = self.children.len();
        for index in (0..count).map(|step| (self.next + step) % count) {
            let Watched { pid, ref pidfd } = self.children[index];
            match news(pidfd.as_fd()) {
                Ok(None) => {}
                Ok(Some(change)) => {
                    self.next = index + 1;
                    if change.is_end() {
                        self.children.remove(index);
                        self.next = index;
                    }
                    return Ok(Some(ChildEvent { pid, change }));
                }
                // Somebody else has reaped it.
                Err(Errno::CHILD) => {
                    self.children.remove(index);
                    return self.look();
                }
                Err(error) => {
                    return Err(OsError::new("waitid", &self.link, error).into());
                }
            }
        }
        Ok(None)
    }
}

/// Arm first: the descriptor is that of `SIGCHLD`, which may have been taken already.
impl WaitSource for ChildListener {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        self.signals.descriptor()
    }

    /// Ready if any watched child has news, or none is left.
    fn arm(&mut self) -> io::Result<Armed> {
        for watched in &self.children {
            match status(watched.pidfd.as_fd(), ANY_NEWS) {
                Ok(None) => {}
                Ok(Some(_)) | Err(Errno::CHILD) => return Ok(Armed::Ready),
                Err(error) => return Err(error.into()),
            }
        }
        if self.children.is_empty() { Ok(Armed::Ready) } else { self.signals.arm() }
    }
}

/// Takes a stop or continuation; only looks at an end, which is for the parent to take.
fn news(pidfd: BorrowedFd<'_>) -> rustix::io::Result<Option<ChildChange>> {
    // An end must be among what is asked for: else one that has ended counts as no child.
    let Some(seen) = status(pidfd, ANY_NEWS)?.as_ref().and_then(decode) else { return Ok(None) };
    if seen.is_end() {
        return Ok(Some(seen));
    }
    let take = WaitIdOptions::STOPPED | WaitIdOptions::CONTINUED | WaitIdOptions::NOHANG;
    match status(pidfd, take) {
        Ok(Some(taken)) => Ok(decode(&taken)),
        // It has changed once more meanwhile, or ended: the next look finds that.
        Ok(None) | Err(Errno::CHILD) => Ok(Some(seen)),
        Err(error) => Err(error),
    }
}

/// Looks at whatever there is, and leaves it there.
const ANY_NEWS: WaitIdOptions = WaitIdOptions::EXITED
    .union(WaitIdOptions::STOPPED)
    .union(WaitIdOptions::CONTINUED)
    .union(WaitIdOptions::NOWAIT)
    .union(WaitIdOptions::NOHANG);

fn status(
    pidfd: BorrowedFd<'_>,
    options: WaitIdOptions,
) -> rustix::io::Result<Option<WaitIdStatus>> {
    retry_on_intr(|| waitid(WaitId::PidFd(pidfd), options))
}

fn decode(status: &WaitIdStatus) -> Option<ChildChange> {
    if let Some(code) = status.exit_status() {
        return Some(ChildChange::Exited(code));
    }
    if let Some(number) = status.terminating_signal() {
        let signal = Signal::reported(number);
        return Some(ChildChange::Killed { signal, core_dumped: status.dumped() });
    }
    if let Some(number) = status.stopping_signal() {
        return Some(ChildChange::Stopped(Signal::reported(number)));
    }
    status.continued().then_some(ChildChange::Continued)
}
