//! Waiting for descriptors until a [`Deadline`], as every mechanism of the kernel needs it.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, Timespec};
use rustix::io::Errno;

use crate::{Deadline, Interest};

/// `poll(2)` until a deadline; returns how many descriptors are ready, 0 when the time is up.
///
/// A signal that interrupts the wait does not lengthen it and is not reported.
///
/// # Errors
///
/// Those of `poll(2)`, but never `EINTR`.
pub fn poll_until(fds: &mut [PollFd<'_>], deadline: Deadline) -> io::Result<usize> {
    loop {
        let timeout = deadline.remaining().map(Timespec::try_from).transpose();
        // A wait longer than a timespec can say is one without limit.
        let timeout = timeout.unwrap_or(None);
        match rustix::event::poll(fds, timeout.as_ref()) {
            Err(Errno::INTR) => {}
            Ok(0) if !deadline.has_passed() => {}
            other => return Ok(other?),
        }
    }
}

/// Waits until a descriptor is ready for `interest`; tells whether it is. An error or a hang-up
/// counts as ready: the operation that follows reports it.
///
/// # Errors
///
/// Those of `poll(2)`, but never `EINTR`.
pub fn wait_ready(
    descriptor: BorrowedFd<'_>,
    interest: Interest,
    deadline: Deadline,
) -> io::Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(descriptor, interest.poll_flags())];
    Ok(poll_until(&mut fds, deadline)? > 0)
}
