//! How the two ends of a FIFO find each other: opening them, and waiting for the other with a deadline.
//! Leaves out messages.
//!
//! The kernel opens a FIFO for reading at once if asked not to block, but for writing only if there
//! is a reader (`ENXIO`); its own way to wait, a blocking open, knows no deadline. So a sender waits
//! for somebody to open the file, which inotify(7) reports **after** the opening is done:
//!
//! 1. watch the file;
//! 2. look whether there is a reader; if so, done;
//! 3. wait for an opening until the deadline, and go to 2.
//!
//! A program that opens the FIFO for reading with a blocking open (`cat`) is not done, and so not
//! reported, before there is a writer: it would wait for us and we for it. So the sender holds a write
//! end while it waits, which lets such an opening through. The kernel gives a write end without a
//! reader only through an opening for both, so there is, for the few microseconds between two system
//! calls, a read end that is nobody's receiver. Another sender that looks just then must not take it
//! for one: receivers of this crate carry a mark (a lock on a byte, which the kernel drops with the
//! descriptor), and an unmarked read end is believed only when it stays a moment. (Were that other
//! sender stopped between its two system calls for longer, we would believe it, and our first send
//! would find the receiver gone.)

// Locks of open file descriptions are not in rustix.
#![allow(unsafe_code)]

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use ipc_core::{Deadline, Interest, OpenError, OpenErrorKind, OsError, Resource, poll};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::fifo::describe;

/// How long an unmarked read end must stay to be believed. A sender that begins to wait has its own
/// for two system calls, some microseconds.
const SETTLING_TIME: Duration = Duration::from_millis(10);

/// Opens a FIFO for writing once there is a receiver, waiting for one until `deadline`.
pub(crate) fn open_for_receiver(
    path: &Path,
    link: &Resource,
    deadline: Deadline,
) -> Result<OwnedFd, OpenError> {
    // An end that was opened stays open: a program that has blocked in its open(2) goes on with it, and
    // would take its closing for the end of the stream.
    let end = match open_end(path, OFlags::WRONLY, link) {
        Ok(end) if has_marked_receiver(end.as_fd(), link)? => return Ok(end),
        Ok(end) if deadline == Deadline::Now && has_reader(end.as_fd(), link)? => return Ok(end),
        Ok(end) => Some(end),
        Err(error) if is_no_reader(&error) => None,
        Err(error) => return Err(error),
    };
    if deadline == Deadline::Now {
        let kind = OpenErrorKind::Refused(Errno::NXIO.into());
        return Err(OpenError::new("open", link, kind));
    }
    let openings = Openings::watch(path, link)?;
    let end = match end {
        Some(end) => end,
        None => open_without_receiver(path, link)?,
    };
    while !has_receiver(end.as_fd(), &openings, deadline, link)? {
        let found = rustix::fs::fstat(&end).map_err(|e| OpenError::from_os("fstat", link, e))?;
        if found.st_nlink == 0 {
            return Err(OpenError::from_os("wait for a receiver", link, Errno::NOENT));
        }
        openings.wait(deadline)?;
    }
    Ok(end)
}

/// Opens one end of a FIFO, non-blocking and close-on-exec, and nothing but a FIFO.
pub(crate) fn open_end(path: &Path, access: OFlags, link: &Resource) -> Result<OwnedFd, OpenError> {
    let os = |operation| move |error| OpenError::from_os(operation, link, error);
    // Before, since opening a device may do something; and after, since the name may have changed hands.
    check_is_fifo(&rustix::fs::stat(path).map_err(os("stat"))?, link)?;
    let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let end = rustix::io::retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))
        .map_err(os("open"))?;
    check_is_fifo(&rustix::fs::fstat(&end).map_err(os("fstat"))?, link)?;
    Ok(end)
}

pub(crate) fn check_is_fifo(found: &Stat, link: &Resource) -> Result<(), OpenError> {
    let file_type = FileType::from_raw_mode(found.st_mode);
    if file_type == FileType::Fifo {
        return Ok(());
    }
    let requirement = format!("it must name a FIFO, and names {}", describe(file_type));
    Err(OpenError::new("open", link, OpenErrorKind::InvalidOption { option: "path", requirement }))
}

/// Puts the mark of a receiver of this crate on a read end, and tells the senders that wait: they have
/// seen it opened, without the mark.
pub(crate) fn mark_as_receiver(
    end: BorrowedFd<'_>,
    path: &Path,
    link: &Resource,
) -> Result<(), OpenError> {
    let mut mark = lock_of_byte(0, libc::F_RDLCK);
    fcntl_lock(end, libc::F_OFD_SETLK, &mut mark)
        .map_err(|error| OpenError::from_os("fcntl(F_OFD_SETLK)", link, error))?;
    // Only for the event; where it fails, senders believe the unmarked read end after a while.
    drop(open_end(path, OFlags::RDONLY, link));
    Ok(())
}

/// Takes a tag for this write end, which no other has as long as this is open.
pub(crate) fn claim_tag(end: BorrowedFd<'_>, link: &Resource) -> Result<u32, OsError> {
    loop {
        // The standard library's source of numbers that nobody foresees.
        let number = RandomState::new().build_hasher().finish();
        let tag = (number as u32 >> 1).max(1);
        match hold_tag(end, tag) {
            Ok(()) => return Ok(tag),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::AGAIN) => {}
            Err(error) if Errno::from_io_error(&error) == Some(Errno::ACCESS) => {}
            Err(error) => return Err(OsError::new("fcntl(F_OFD_SETLK)", link, error)),
        }
    }
}

/// Takes this tag for this write end.
pub(crate) fn hold_tag(end: BorrowedFd<'_>, tag: u32) -> io::Result<()> {
    fcntl_lock(end, libc::F_OFD_SETLK, &mut lock_of_byte(tag, libc::F_WRLCK))
}

/// Whether there is a write end that has this tag; yes, if the kernel does not say.
pub(crate) fn has_sender(end: BorrowedFd<'_>, tag: u32) -> bool {
    let mut found = lock_of_byte(tag, libc::F_RDLCK);
    fcntl_lock(end, libc::F_OFD_GETLK, &mut found).is_err()
        || found.l_type != libc::F_UNLCK as libc::c_short
}

/// A write end of a FIFO that has no reader.
fn open_without_receiver(path: &Path, link: &Resource) -> Result<OwnedFd, OpenError> {
    let both = open_end(path, OFlags::RDWR, link)?;
    let end = open_end(path, OFlags::WRONLY, link);
    drop(both);
    end
}

fn is_no_reader(error: &OpenError) -> bool {
    matches!(error.kind(), OpenErrorKind::Os(source)
        if Errno::from_io_error(source) == Some(Errno::NXIO))
}

/// Whether the FIFO of this write end has a reader that is there to stay.
fn has_receiver(
    end: BorrowedFd<'_>,
    openings: &Openings,
    deadline: Deadline,
    link: &Resource,
) -> Result<bool, OpenError> {
    let settled = match deadline.remaining() {
        Some(left) if left < SETTLING_TIME => deadline,
        _ => Deadline::after(SETTLING_TIME),
    };
    loop {
        if !has_reader(end, link)? {
            return Ok(false);
        }
        if has_marked_receiver(end, link)? {
            return Ok(true);
        }
        // A reader of this crate marks itself and then opens the file once more, which wakes us.
        let mut fds = [
            PollFd::from_borrowed_fd(end, PollFlags::empty()), // ERR is always told
            PollFd::from_borrowed_fd(openings.inotify.as_fd(), PollFlags::IN),
        ];
        let ready = poll::poll_until(&mut fds, settled)
            .map_err(|error| OpenError::from_os("poll", link, error))?;
        if ready == 0 {
            return Ok(true);
        }
        if !fds[1].revents().is_empty() {
            openings.wait(Deadline::Now)?;
        }
    }
}

/// Whether the FIFO of this write end has a reader at this moment.
fn has_reader(end: BorrowedFd<'_>, link: &Resource) -> Result<bool, OpenError> {
    let mut fds = [PollFd::from_borrowed_fd(end, PollFlags::empty())]; // ERR is always told
    poll::poll_until(&mut fds, Deadline::Now)
        .map(|ready| ready == 0)
        .map_err(|error| OpenError::from_os("poll", link, error))
}

fn has_marked_receiver(end: BorrowedFd<'_>, link: &Resource) -> Result<bool, OpenError> {
    let mut mark = lock_of_byte(0, libc::F_WRLCK);
    fcntl_lock(end, libc::F_OFD_GETLK, &mut mark)
        .map_err(|error| OpenError::from_os("fcntl(F_OFD_GETLK)", link, error))?;
    Ok(mark.l_type != libc::F_UNLCK as libc::c_short)
}

/// A lock of this kind on one byte.
fn lock_of_byte(byte: u32, kind: libc::c_int) -> libc::flock {
    // SAFETY: all fields are integers, of which 0 is a value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = libc::off_t::from(byte);
    lock.l_len = 1;
    lock
}

fn fcntl_lock(end: BorrowedFd<'_>, command: libc::c_int, lock: &mut libc::flock) -> io::Result<()> {
    // SAFETY: the descriptor is open, and both commands read and write one `flock`.
    match unsafe { libc::fcntl(end.as_raw_fd(), command, std::ptr::from_mut(lock)) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Reports when somebody opens a file, or removes its name.
#[derive(Debug)]
pub(crate) struct Openings {
    inotify: OwnedFd,
    link: Resource,
}

impl Openings {
    pub(crate) fn watch(path: &Path, link: &Resource) -> Result<Self, OpenError> {
        let limit = |operation, setting| {
            move |error: Errno| match error {
                Errno::MFILE | Errno::NOSPC => {
                    let kind = OpenErrorKind::Limit { setting, source: error.into() };
                    OpenError::new(operation, link, kind)
                }
                error => OpenError::from_os(operation, link, error),
            }
        };
        let inotify =
            inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(limit(
                "inotify_init1",
                "RLIMIT_NOFILE (ulimit -n) or /proc/sys/fs/inotify/max_user_instances",
            ))?;
        // A file that is still open reports the loss of its name as a change of its link count.
        let events = WatchFlags::OPEN | WatchFlags::ATTRIB | WatchFlags::DELETE_SELF;
        inotify::add_watch(&inotify, path, events)
            .map_err(limit("inotify_add_watch", "/proc/sys/fs/inotify/max_user_watches"))?;
        Ok(Self { inotify, link: link.clone() })
    }

    /// Waits for an event since the last call; [`OpenErrorKind::TimedOut`] if there is none.
    pub(crate) fn wait(&self, deadline: Deadline) -> Result<(), OpenError> {
        let os = |operation| move |error| OpenError::from_os(operation, &self.link, error);
        if !poll::wait_ready(self.inotify.as_fd(), Interest::Readable, deadline)
            .map_err(os("poll"))?
        {
            return Err(OpenError::new("wait", &self.link, OpenErrorKind::TimedOut));
        }
        // What they are does not matter: whoever waits looks for himself.
        let mut events = [0; 4096];
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.inotify, &mut events)) {
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(os("read")(error.into())),
        }
    }
}
