//! Giving an end of a pipe to a child process: as a descriptor of any number, or as its standard input or
//! output. Leaves out the pipe itself, and how one child alone inherits: see [`ipc_core::handover`].

use std::os::fd::{OwnedFd, RawFd};
use std::process::{Command, Stdio};

use ipc_core::handover::{self, ChildEnd};
use ipc_core::{OpenError, Resource};
use rustix::fs::OFlags;

use crate::pipe::check_end;
use crate::{PipeReceiver, PipeSender};

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
    /// [`InvalidOption`](ipc_core::OpenErrorKind::InvalidOption) if a send that timed out has left part
    /// of a frame to be written; [`Limit`](ipc_core::OpenErrorKind::Limit) when descriptors are
    /// exhausted. The end is then closed.
    pub fn give_to(self, command: &mut Command, variable: &str) -> Result<ChildEnd, OpenError> {
        handover::give(self.into_blocking_descriptor()?, command, variable, &unnamed())
    }

    /// Gives this end to the child that `command` will start, and only to it, as the descriptor of this
    /// `number`, from 3 on: for programs that expect it there. How, and what may stand in the way:
    /// [`ipc_core::handover::give_as`].
    ///
    /// ```
    /// use std::io::Read;
    /// use std::process::Command;
    ///
    /// let (sender, receiver) = ipc_pipe::pipe()?;
    /// let mut command = Command::new("sh");
    /// command.args(["-c", "echo hi >&7"]);
    ///
    /// let given = sender.give_as(&mut command, 7)?;
    /// let mut child = command.spawn()?;
    /// drop(given); // now only the child holds it
    ///
    /// let mut text = String::new();
    /// receiver.into_stream()?.read_to_string(&mut text)?;
    /// assert_eq!(text, "hi\n");
    /// child.wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`give_to`](Self::give_to);
    /// [`InvalidOption`](ipc_core::OpenErrorKind::InvalidOption) for a number that no descriptor may have
    /// or that is a standard stream's; [`InUse`](ipc_core::OpenErrorKind::InUse) for one that is given to
    /// children already.
    pub fn give_as(self, command: &mut Command, number: RawFd) -> Result<ChildEnd, OpenError> {
        handover::give_as(self.into_blocking_descriptor()?, command, number, &unnamed())
    }

    /// In a child: takes the end whose descriptor's number is in the environment variable `variable`.
    /// It closes on exec from now on. Call it early, before the process starts children of its own.
    ///
    /// The variable is trusted as the program's arguments are: see [`ipc_core::handover::take`].
    ///
    /// # Errors
    ///
    /// [`NotFound`](ipc_core::OpenErrorKind::NotFound) without such a variable;
    /// [`InvalidOption`](ipc_core::OpenErrorKind::InvalidOption) if it does not name the write end of a
    /// pipe; [`InUse`](ipc_core::OpenErrorKind::InUse) if that is taken already.
    pub fn inherited(variable: &str) -> Result<Self, OpenError> {
        take(variable, OFlags::WRONLY)?.try_into()
    }

    /// In a child: takes the end whose descriptor has this number. See
    /// [`inherited`](Self::inherited).
    ///
    /// # Errors
    ///
    /// As there, but for [`NotFound`](ipc_core::OpenErrorKind::NotFound).
    pub fn inherited_as(number: RawFd) -> Result<Self, OpenError> {
        take_number(number, OFlags::WRONLY)?.try_into()
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
    /// [`InvalidOption`](ipc_core::OpenErrorKind::InvalidOption) if it holds bytes that it has read;
    /// otherwise as there.
    pub fn give_to(self, command: &mut Command, variable: &str) -> Result<ChildEnd, OpenError> {
        handover::give(self.into_blocking_descriptor()?, command, variable, &unnamed())
    }

    /// Gives this end to the child that `command` will start, and only to it, as the descriptor of this
    /// `number`. Only before the first receive. See [`PipeSender::give_as`].
    ///
    /// # Errors
    ///
    /// As there; [`InvalidOption`](ipc_core::OpenErrorKind::InvalidOption) if it holds bytes that it has
    /// read.
    pub fn give_as(self, command: &mut Command, number: RawFd) -> Result<ChildEnd, OpenError> {
        handover::give_as(self.into_blocking_descriptor()?, command, number, &unnamed())
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

    /// In a child: takes the end whose descriptor has this number. See
    /// [`PipeSender::inherited_as`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn inherited_as(number: RawFd) -> Result<Self, OpenError> {
        take_number(number, OFlags::RDONLY)?.try_into()
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

/// What errors say before there is an end.
fn unnamed() -> Resource {
    Resource::unnamed("pipe")
}

fn take(variable: &str, access: OFlags) -> Result<OwnedFd, OpenError> {
    let link = Resource::named("pipe of environment variable", variable);
    handover::take(variable, &link, |end| check_end(end, access, "inherit", &link))
}

fn take_number(number: RawFd, access: OFlags) -> Result<OwnedFd, OpenError> {
    let link = Resource::unnamed(format!("pipe of descriptor {number}"));
    handover::take_number(number, &link, |end| check_end(end, access, "inherit", &link))
}
