//! Whether the process at the other end still lives, as the kernel tells it. Never by time-out: a
//! stopped process is not a dead one.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags};

use crate::{Deadline, poll};

/// A descriptor on which the kernel reports that a peer is gone.
///
/// It can be waited for with others: poll [`as_fd`](AsFd::as_fd) for readability.
///
/// ```
/// use ipc_core::{Deadline, Liveness};
///
/// let mut child = std::process::Command::new("true").spawn()?;
/// let liveness = Liveness::of_process(child.id())?;
/// assert!(liveness.wait_gone(Deadline::Never)?);
/// assert!(!liveness.is_alive()?);
/// child.wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Liveness {
    descriptor: OwnedFd,
    sign: Sign,
}

/// What the descriptor shows when the peer is gone.
#[derive(Clone, Copy, Debug)]
enum Sign {
    /// A pidfd becomes readable when its process exits.
    Exit,
    /// The other end of a pipe or socket is closed, by the last process that held it.
    HangUp,
}

impl Liveness {
    /// Watches a process of this PID namespace (`pidfd_open(2)`, Linux 5.3). It is gone once it has
    /// exited, even before its parent has reaped it.
    ///
    /// The caller answers for `pid` still meaning the process that it should: get it from a parent's
    /// handle, or check afterwards that the peer still answers.
    ///
    /// # Errors
    ///
    /// `ESRCH` if there is no such process; `EINVAL` for 0 and for values above `i32::MAX`.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        let pid =
            i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::INVAL)?;
        let descriptor = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self { descriptor, sign: Sign::Exit })
    }

    /// Watches the peer through a pidfd that the kernel gave (`SO_PEERPIDFD`, Linux 6.5).
    pub fn of_pidfd(pidfd: OwnedFd) -> Self {
        Self { descriptor: pidfd, sign: Sign::Exit }
    }

    /// Watches the peer through a pipe or socket whose other end only it holds. A child that it
    /// forked without `exec` holds it too, and delays the hang-up until it is gone as well.
    pub fn of_hang_up(descriptor: OwnedFd) -> Self {
        Self { descriptor, sign: Sign::HangUp }
    }

    /// Whether the peer still lives. Never blocks; the answer "yes" may be stale on return.
    pub fn is_alive(&self) -> io::Result<bool> {
        self.wait_gone(Deadline::Now).map(|gone| !gone)
    }

    /// Waits until the peer is gone, at most until `deadline`; tells whether it is.
    pub fn wait_gone(&self, deadline: Deadline) -> io::Result<bool> {
        let flags = match self.sign {
            Sign::Exit => PollFlags::IN,
            Sign::HangUp => PollFlags::empty(), // HUP and ERR are always reported
        };
        let mut fds = [PollFd::new(&self.descriptor, flags)];
        Ok(poll::poll_until(&mut fds, deadline)? > 0)
    }
}

impl AsFd for Liveness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_stopped_process_is_alive_and_a_killed_one_is_not() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat starts");
        let liveness = Liveness::of_process(child.id()).expect("the child is there");
        let pid = Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("stops");
        assert!(liveness.is_alive().expect("poll works"));
        child.kill().expect("kill works");
        assert!(liveness.wait_gone(Deadline::Never).expect("poll works"));
        child.wait().expect("reaped");
        assert!(!liveness.is_alive().expect("still known after reaping"));
    }

    #[test]
    fn a_hang_up_tells_of_the_last_holder() {
        let (mine, theirs) = std::os::unix::net::UnixStream::pair().expect("a socket pair");
        let liveness = Liveness::of_hang_up(mine.into());
        assert!(liveness.is_alive().expect("poll works"));
        drop(theirs);
        assert!(!liveness.is_alive().expect("poll works"));
    }

    #[test]
    fn pids_that_cannot_be_are_refused() {
        for pid in [0, u32::MAX] {
            let error = Liveness::of_process(pid).expect_err("no such process");
            assert_eq!(error.raw_os_error(), Some(22));
        }
    }
}
