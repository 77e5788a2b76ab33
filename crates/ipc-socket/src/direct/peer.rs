//! A process, named by its id. Leaves out talking to it.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use ipc_core::{Deadline, Liveness, OpenError, OpenErrorKind, Resource};

/// Another process, by its id: the name in direct communication.
///
/// It holds a pidfd from the moment it is made, and so means that one process for ever: when it is dead,
/// and its number has been given to another, the peer is gone and not the other. Cheap to clone.
#[derive(Clone)]
pub struct Peer {
    pid: u32,
    /// `None` for one that was dead and reaped before the kernel could give a pidfd.
    liveness: Option<Arc<Liveness>>,
}

impl Peer {
    /// The process of this id. The caller answers for the number meaning the right process **now**; from
    /// here on the kernel does.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::NotFound`] if there is no such process in this PID namespace, or it has exited;
    /// [`OpenErrorKind::InvalidOption`] for a number that no process has;
    /// [`OpenErrorKind::Limit`] when descriptors are exhausted.
    pub fn of(pid: u32) -> Result<Self, OpenError> {
        let resource = resource(pid);
        let liveness = Liveness::of_process(pid).map_err(|error| {
            let kind = match rustix::io::Errno::from_io_error(&error) {
                Some(rustix::io::Errno::SRCH) => OpenErrorKind::NotFound(error),
                // A thread that leads no process is no process either.
                Some(rustix::io::Errno::INVAL) => OpenErrorKind::InvalidOption {
                    option: "process id",
                    requirement: format!("it must be that of a process, from 1 to {}", i32::MAX),
                },
                _ => error.into(),
            };
            OpenError::new("pidfd_open", &resource, kind)
        })?;
        let peer = Self { pid, liveness: Some(Arc::new(liveness)) };
        if !peer.is_alive().map_err(|error| OpenError::from_os("poll", &resource, error))? {
            let kind = OpenErrorKind::NotFound(rustix::io::Errno::SRCH.into());
            return Err(OpenError::new("pidfd_open", &resource, kind));
        }
        Ok(peer)
    }

    /// A process that the kernel named, with a pidfd that cannot be mistaken; without one if it is dead.
    pub(super) fn verified(pid: u32, liveness: Option<Liveness>) -> Self {
        Self { pid, liveness: liveness.map(Arc::new) }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it still lives. "Yes" may be stale on return.
    ///
    /// # Errors
    ///
    /// Those of poll(2).
    pub fn is_alive(&self) -> io::Result<bool> {
        self.liveness.as_ref().map_or(Ok(false), |liveness| liveness.is_alive())
    }

    /// Waits until it has exited, at most until `deadline`; tells whether it has.
    ///
    /// # Errors
    ///
    /// Those of poll(2).
    pub fn wait_gone(&self, deadline: Deadline) -> io::Result<bool> {
        self.liveness.as_ref().map_or(Ok(true), |liveness| liveness.wait_gone(deadline))
    }

    /// Whether both are the same process, dead or alive.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        if self.pid != other.pid {
            return false;
        }
        match (&self.liveness, &other.liveness) {
            (Some(one), Some(other)) if Arc::ptr_eq(one, other) => return true,
            // Since Linux 6.9 each process has its own inode there; before, all have the same.
            (Some(one), Some(other)) if inode(one) != inode(other) => return false,
            _ => {}
        }
        // Two live processes never have one number.
        self.is_alive().unwrap_or(false) == other.is_alive().unwrap_or(false)
    }

    /// Readable once the process has exited; `None` if that was so from the start.
    pub(super) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.liveness.as_deref().map(AsFd::as_fd)
    }

    pub(super) fn resource(&self) -> Resource {
        resource(self.pid)
    }
}

fn resource(pid: u32) -> Resource {
    Resource::unnamed(format!("process {pid}"))
}

fn inode(pidfd: &Liveness) -> Option<u64> {
    rustix::fs::fstat(pidfd).ok().map(|found| found.st_ino)
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pid)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Peer").field(&self.pid).finish()
    }
}
