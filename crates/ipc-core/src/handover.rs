//! Giving a descriptor to one chosen child process, which finds its number in an environment variable or
//! expects a certain one. Leaves out what the descriptor is: mechanisms whose ends can be inherited build
//! on this.
//!
//! Every descriptor of this toolbox closes on exec from its birth, so a child that another thread
//! starts meanwhile gets none. Only in the chosen child, between its fork and its exec, is the flag
//! taken off the one descriptor that it shall have.
//!
//! ```
//! use ipc_core::{Resource, handover};
//! use std::io::Read;
//! use std::os::unix::net::UnixStream;
//! use std::process::Command;
//!
//! let link = Resource::unnamed("socket");
//! let (mut ours, theirs) = UnixStream::pair()?;
//! let mut command = Command::new("sh");
//! command.args(["-c", r#"printf hello >&"$SOCKET""#]);
//! let given = handover::give(theirs.into(), &mut command, "SOCKET", &link)?;
//! let mut child = command.spawn()?;
//! drop(given); // now only the child holds it
//!
//! let mut text = String::new();
//! ours.read_to_string(&mut text)?;
//! assert_eq!(text, "hello");
//! child.wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// `Command::pre_exec` is unsafe, and so is taking a descriptor by its number.
#![allow(unsafe_code)]

use std::env;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex};

use rustix::io::{Errno, FdFlags};

use crate::{OpenError, OpenErrorKind, Resource};

/// The first number that is not one of the standard streams.
const FIRST_FREE: RawFd = 3;

/// An end of a link on its way to a child process. Hold it until the child is started, then drop it.
///
/// As long as this process holds it, the end counts as open: the other end does not learn of the
/// child's death. Dropped before the child is started, it makes the start fail (`EBADF`).
#[derive(Debug)]
#[must_use = "the child cannot be started once this is dropped"]
pub struct ChildEnd {
    /// The command's closure has a weak reference.
    _descriptor: Arc<OwnedFd>,
    /// In the child.
    number: RawFd,
}

impl ChildEnd {
    /// The number that the descriptor has in the child, for those who want it on the command line.
    pub fn number(&self) -> RawFd {
        self.number
    }
}

/// Gives `descriptor` to the child that `command` will start, and only to it. The child finds the
/// descriptor's number in the environment variable `variable`. `link` is for errors.
///
/// # Errors
///
/// [`OpenErrorKind::Limit`] when descriptors are exhausted: one below 3 is moved.
pub fn give(
    descriptor: OwnedFd,
    command: &mut Command,
    variable: &str,
    link: &Resource,
) -> Result<ChildEnd, OpenError> {
    // The numbers below belong to the child's standard streams.
    let descriptor = if descriptor.as_raw_fd() < FIRST_FREE {
        rustix::io::fcntl_dupfd_cloexec(&descriptor, FIRST_FREE)
            .map_err(|error| OpenError::from_os("fcntl(F_DUPFD_CLOEXEC)", link, error))?
    } else {
        descriptor
    };
    let given = give_in_place(descriptor, command);
    command.env(variable, given.number.to_string());
    Ok(given)
}

/// Gives `descriptor` to the child that `command` will start, and only to it, under the `number` that the
/// child expects: 3 or more. `link` is for errors.
///
/// As a rule the number is free in this process, and taken by the end until it is dropped. Where
/// something else has it, which closes on exec, the child gets the end in its place. If anything has
/// changed about that number when the child is started, the start fails (`EBUSY`) and nothing is given.
///
/// ```
/// use ipc_core::{Resource, handover};
/// use std::io::Read;
/// use std::os::unix::net::UnixStream;
/// use std::process::Command;
///
/// let link = Resource::unnamed("socket");
/// let (mut ours, theirs) = UnixStream::pair()?;
/// let mut command = Command::new("sh");
/// command.args(["-c", "printf hello >&7"]);
/// let given = handover::give_as(theirs.into(), &mut command, 7, &link)?;
/// let mut child = command.spawn()?;
/// drop(given);
///
/// let mut text = String::new();
/// ours.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// child.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`OpenErrorKind::InvalidOption`] for a number below 3 (the standard streams are set by the command
/// itself) or one that no descriptor may have; [`OpenErrorKind::InUse`] if a descriptor of that number is
/// given to children already; [`OpenErrorKind::Limit`] when descriptors are exhausted.
pub fn give_as(
    descriptor: OwnedFd,
    command: &mut Command,
    number: RawFd,
    link: &Resource,
) -> Result<ChildEnd, OpenError> {
    let fail = |kind| OpenError::new("give", link, kind);
    if number < FIRST_FREE {
        let requirement = format!("it must be 3 or more, not {number}");
        return Err(fail(OpenErrorKind::InvalidOption {
            option: "descriptor number",
            requirement,
        }));
    }
    // The same number here and there means that nothing else can have it when the child is made: not
    // even the standard library's own pipe, over which it hears that a child could not be started.
    let moved =
        rustix::io::fcntl_dupfd_cloexec(&descriptor, number).map_err(|error| match error {
            Errno::INVAL => {
                let requirement =
                    format!("it must be below RLIMIT_NOFILE (ulimit -n), not {number}");
                fail(OpenErrorKind::InvalidOption { option: "descriptor number", requirement })
            }
            error => OpenError::from_os("fcntl(F_DUPFD_CLOEXEC)", link, error),
        })?;
    if moved.as_raw_fd() == number {
        return Ok(give_in_place(moved, command));
    }
    match Occupant::of(number) {
        Ok(Occupant { closes_on_exec: false, .. }) => {
            let source = io::Error::other(format!("descriptor {number} is for children already"));
            Err(fail(OpenErrorKind::InUse(source)))
        }
        Ok(occupant) => Ok(give_in_place_of(occupant, moved, command, number)),
        Err(Errno::BADF) => give_as(descriptor, command, number, link), // closed in this moment
        Err(error) => Err(OpenError::from_os("fstat", link, error)),
    }
}

/// Lets the child keep this descriptor, under the number that it has here.
fn give_in_place(descriptor: OwnedFd, command: &mut Command) -> ChildEnd {
    let number = descriptor.as_raw_fd();
    let descriptor = Arc::new(descriptor);
    // Weak, so that the command does not keep the end open, nor use its number for another file.
    let given = Arc::downgrade(&descriptor);
    let keep_on_exec = move || {
        let descriptor = given.upgrade().ok_or(Errno::BADF)?;
        rustix::io::fcntl_setfd(&*descriptor, FdFlags::empty())?;
        Ok(())
    };
    // SAFETY: between fork and exec the closure only changes a counter and makes one system call,
    // which is async-signal-safe: it takes no lock and allocates nothing. The counter cannot reach 0
    // there, since the child's copy of whatever held the `ChildEnd` is never dropped.
    unsafe { command.pre_exec(keep_on_exec) };
    ChildEnd { _descriptor: descriptor, number }
}

/// Lets the child have this descriptor under a number that is something else's here.
fn give_in_place_of(
    occupant: Occupant,
    descriptor: OwnedFd,
    command: &mut Command,
    number: RawFd,
) -> ChildEnd {
    let descriptor = Arc::new(descriptor);
    let given = Arc::downgrade(&descriptor);
    let replace = move || {
        let descriptor = given.upgrade().ok_or(Errno::BADF)?;
        match Occupant::of(number) {
            Ok(found) if found != occupant => return Err(Errno::BUSY.into()),
            Ok(_) | Err(Errno::BADF) => {}
            Err(error) => return Err(error.into()),
        }
        // SAFETY: in the child nobody else uses this number: what has it there closes on exec, which
        // comes next. `ManuallyDrop` leaves it open.
        let mut target = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
        rustix::io::dup2(&*descriptor, &mut target)?;
        Ok(())
    };
    // SAFETY: as in `give_in_place`, with some more system calls, all async-signal-safe.
    unsafe { command.pre_exec(replace) };
    ChildEnd { _descriptor: descriptor, number }
}

/// What has a number: which file, and whether a child would inherit it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Occupant {
    device: u64,
    inode: u64,
    closes_on_exec: bool,
}

impl Occupant {
    fn of(number: RawFd) -> rustix::io::Result<Self> {
        // SAFETY: the number is not −1, and nothing is done to the descriptor but asking about it; if it
        // is not open, or closed meanwhile, the calls say so.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
        let closes_on_exec = rustix::io::fcntl_getfd(borrowed)?.contains(FdFlags::CLOEXEC);
        let found = rustix::fs::fstat(borrowed)?;
        Ok(Self { device: found.st_dev, inode: found.st_ino, closes_on_exec })
    }
}

/// In a child: takes the descriptor whose number is in the environment variable `variable`, if it
/// passes `check`. It closes on exec from now on. Call it early, before the process starts children
/// of its own.
///
/// The variable is trusted as the program's arguments are: it must not name a descriptor that other
/// code of this process owns. Those of Rust's library and of this toolbox, which close on exec, and
/// the standard streams are refused; so is taking one twice. What `check` refuses is left as it is.
///
/// # Errors
///
/// [`OpenErrorKind::NotFound`] without such a variable; [`OpenErrorKind::InvalidOption`] if it does
/// not hold the number of an open descriptor; [`OpenErrorKind::InUse`] if that is taken already; those
/// of `check`.
pub fn take(
    variable: &str,
    link: &Resource,
    check: impl FnOnce(BorrowedFd<'_>) -> Result<(), OpenError>,
) -> Result<OwnedFd, OpenError> {
    let number = env::var(variable).map_err(|error| {
        OpenError::new("inherit", link, OpenErrorKind::NotFound(io::Error::other(error)))
    })?;
    // What is no number is none that a descriptor has.
    take_number(number.parse().unwrap_or(-1), link, check)
}

/// In a child: takes the descriptor of this number, if it passes `check`. See [`take`].
///
/// # Errors
///
/// As there, but for [`OpenErrorKind::NotFound`].
pub fn take_number(
    number: RawFd,
    link: &Resource,
    check: impl FnOnce(BorrowedFd<'_>) -> Result<(), OpenError>,
) -> Result<OwnedFd, OpenError> {
    /// So that of two threads only one finds the flag off.
    static TAKING: Mutex<()> = Mutex::new(());

    let fail = |kind| OpenError::new("inherit", link, kind);
    let invalid = |requirement: &str| {
        let requirement = requirement.into();
        fail(OpenErrorKind::InvalidOption { option: "descriptor", requirement })
    };
    if number < FIRST_FREE {
        return Err(invalid("it must be a number from 3 on"));
    }
    let _guard = TAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // SAFETY: the number is not −1. If it is open it stays so during this call: whoever gave us the
    // variable left the descriptor to us.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = match rustix::io::fcntl_getfd(borrowed) {
        Ok(flags) => flags,
        Err(Errno::BADF) => return Err(invalid("no descriptor of that number is open")),
        Err(error) => return Err(OpenError::from_os("fcntl(F_GETFD)", link, error)),
    };
    // Only a descriptor that has come through exec lacks this flag; those that were opened since, and
    // the one that was taken already, have it.
    if flags.contains(FdFlags::CLOEXEC) {
        let source = io::Error::other("it is taken already, or was not inherited");
        return Err(fail(OpenErrorKind::InUse(source)));
    }
    check(borrowed)?; // what is something else is not ours to touch
    rustix::io::fcntl_setfd(borrowed, FdFlags::CLOEXEC)
        .map_err(|error| OpenError::from_os("fcntl(F_SETFD)", link, error))?;
    // SAFETY: it is open, was inherited, and nobody has taken it: we have just set the mark that says
    // so, under the lock.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
