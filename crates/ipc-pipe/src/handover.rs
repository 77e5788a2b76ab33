//! Giving an end of a pipe to a child process: as a numbered descriptor, or as its standard input or
//! output. Leaves out the pipe itself.
//!
//! Every descriptor of this crate closes on exec from its birth, so a child that another thread
//! starts meanwhile gets none. Only in the chosen child, between its fork and its exec, is the flag
//! taken off the one descriptor that it shall have.

// `Command::pre_exec` is unsafe, and so is taking a descriptor by its number.
#![allow(unsafe_code)]

use std::env;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use ipc_core::{OpenError, OpenErrorKind, Resource};
use rustix::fs::OFlags;
use rustix::io::{Errno, FdFlags};

use crate::pipe::check_end;
use crate::{PipeReceiver, PipeSender};

/// The first number that is not one of the standard streams.
const FIRST_FREE: RawFd = 3;

/// An end of a pipe on its way to a child process. Hold it until the child is started, then drop it.
///
/// As long as this process holds it, the end counts as open: the other end does not learn of the
/// child's death. Dropped before the child is started, it makes the start fail (`EBADF`).
#[derive(Debug)]
#[must_use = "the child cannot be started once this is dropped"]
pub struct ChildEnd {
    descriptor: Arc<OwnedFd>,
}

impl ChildEnd {
    /// The number that the descriptor has in the child, for those who want it on the command line.
    pub fn number(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

impl PipeSender {
    /// Gives this end to the child that `command` will start, and only to it. The child finds the
    /// descriptor's number in the environment variable `variable`; one that uses this crate calls
    /// [`PipeSender::inherited`] with the same name, others find a blocking pipe of that number.
    ///
    /// ```
    /// use ipc_core::{Receiver, Sender};
    /// use std::process::Command;
    ///
    /// let (sender, mut receiver) = ipc_pipe::pipe()?;
    /// // A child that is no Rust program: one message of two bytes, behind its length.
    /// let mut command = Command::new("sh");
    /// command.args(["-c", r#"printf '\002\000\000\000hi' >&"$REPORTS""#]);
    ///
    /// let given = sender.give_to(&mut command, "REPORTS")?;
    /// let mut child = command.spawn()?;
    /// drop(given); // now only the child holds it
    ///
    /// let mut buffer = [0; 16];
    /// assert_eq!(receiver.recv(&mut buffer)?.len, 2);
    /// assert_eq!(&buffer[..2], b"hi");
    /// child.wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InvalidOption`] if a send that timed out has left part of a frame to be
    /// written; [`OpenErrorKind::Limit`] when descriptors are exhausted. The end is then closed.
    pub fn give_to(self, command: &mut Command, variable: &str) -> Result<ChildEnd, OpenError> {
        give(self.into_blocking_descriptor()?, command, variable)
    }

    /// In a child: takes the end whose descriptor's number is in the environment variable `variable`.
    /// It closes on exec from now on. Call it early, before the process starts children of its own.
    ///
    /// The variable is trusted as the program's arguments are: it must not name a descriptor that
    /// other code of this process owns. Those of Rust's library and of this crate, which close on
    /// exec, and the standard streams are refused; so is taking one twice.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::NotFound`] without such a variable; [`OpenErrorKind::InvalidOption`] if it
    /// does not name the write end of a pipe; [`OpenErrorKind::InUse`] if that is taken already.
    pub fn inherited(variable: &str) -> Result<Self, OpenError> {
        take(variable, OFlags::WRONLY)?.try_into()
    }

    /// This end as the standard output or error of a child:
    /// `command.stdout(sender.into_stdio()?)`. The [`Command`] holds it until it is dropped.
    ///
    /// # Errors
    ///
    /// As of [`give_to`](Self::give_to).
    pub fn into_stdio(self) -> Result<Stdio, OpenError> {
        Ok(self.into_blocking_descriptor()?.into())
    }
}

impl PipeReceiver {
    /// Gives this end to the child that `command` will start, and only to it. Only before the first
    /// receive. See [`PipeSender::give_to`].
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InvalidOption`] if it holds bytes that it has read; otherwise as there.
    pub fn give_to(self, command: &mut Command, variable: &str) -> Result<ChildEnd, OpenError> {
        give(self.into_blocking_descriptor()?, command, variable)
    }

    /// In a child: takes the end whose descriptor's number is in the environment variable `variable`.
    /// See [`PipeSender::inherited`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn inherited(variable: &str) -> Result<Self, OpenError> {
        take(variable, OFlags::RDONLY)?.try_into()
    }

    /// This end as the standard input of a child: `command.stdin(receiver.into_stdio()?)`. The
    /// [`Command`] holds it until it is dropped.
    ///
    /// # Errors
    ///
    /// As of [`give_to`](Self::give_to).
    pub fn into_stdio(self) -> Result<Stdio, OpenError> {
        Ok(self.into_blocking_descriptor()?.into())
    }
}

fn give(descriptor: OwnedFd, command: &mut Command, variable: &str) -> Result<ChildEnd, OpenError> {
    // The numbers below belong to the child's standard streams.
    let descriptor = if descriptor.as_raw_fd() < FIRST_FREE {
        rustix::io::fcntl_dupfd_cloexec(&descriptor, FIRST_FREE).map_err(|error| {
            OpenError::from_os("fcntl(F_DUPFD_CLOEXEC)", &Resource::unnamed("pipe"), error)
        })?
    } else {
        descriptor
    };
    let descriptor = Arc::new(descriptor);
    // Weak, so that the command does not keep the end open, nor use its number for another file.
    let given = Arc::downgrade(&descriptor);
    let keep_on_exec = move || {
        let descriptor = given.upgrade().ok_or(Errno::BADF)?;
        rustix::io::fcntl_setfd(&*descriptor, FdFlags::empty())?;
        Ok(())
    };
    command.env(variable, descriptor.as_raw_fd().to_string());
    // SAFETY: between fork and exec the closure only changes a counter and makes one system call,
    // which is async-signal-safe: it takes no lock and allocates nothing. The counter cannot reach 0
    // there, since the child's copy of whatever held the `ChildEnd` is never dropped.
    unsafe { command.pre_exec(keep_on_exec) };
    Ok(ChildEnd { descriptor })
}

fn take(variable: &str, access: OFlags) -> Result<OwnedFd, OpenError> {
    /// So that of two threads only one finds the flag off.
    static TAKING: Mutex<()> = Mutex::new(());

    let link = Resource::named("pipe of environment variable", variable);
    let fail = |kind| OpenError::new("inherit", &link, kind);
    let invalid = |requirement: &str| {
        let requirement = requirement.into();
        fail(OpenErrorKind::InvalidOption { option: "descriptor", requirement })
    };
    let number = env::var(variable)
        .map_err(|error| fail(OpenErrorKind::NotFound(io::Error::other(error))))?;
    let number = number
        .parse::<RawFd>()
        .ok()
        .filter(|&number| number >= FIRST_FREE)
        .ok_or_else(|| invalid("the variable must hold a number from 3 on"))?;

    let _guard = TAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // SAFETY: the number is not −1. If it is open it stays so during this call: whoever gave us the
    // variable left the descriptor to us.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = match rustix::io::fcntl_getfd(borrowed) {
        Ok(flags) => flags,
        Err(Errno::BADF) => return Err(invalid("no descriptor of that number is open")),
        Err(error) => return Err(OpenError::from_os("fcntl(F_GETFD)", &link, error)),
    };
    // Only a descriptor that has come through exec lacks this flag; those that were opened since, and
    // the one that was taken already, have it.
    if flags.contains(FdFlags::CLOEXEC) {
        let source = io::Error::other("it is taken already, or was not inherited");
        return Err(fail(OpenErrorKind::InUse(source)));
    }
    check_end(borrowed, access, "inherit", &link)?; // what is something else is not ours to touch
    rustix::io::fcntl_setfd(borrowed, FdFlags::CLOEXEC)
        .map_err(|error| OpenError::from_os("fcntl(F_SETFD)", &link, error))?;
    // SAFETY: it is open, was inherited, and nobody has taken it: we have just set the mark that says
    // so, under the lock.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
