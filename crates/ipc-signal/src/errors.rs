//! From the errors of system calls about signals to those of `ipc-core`. What they mean here is not
//! always what the standard library takes them for.

use std::io;

use ipc_core::{OpenError, OpenErrorKind, OsError, Resource, SendError};
use rustix::io::Errno;

use crate::Signal;

/// What raises the limit of signals that may be queued for a user (`setrlimit(2)`).
const QUEUE_SETTING: &str = "RLIMIT_SIGPENDING (ulimit -i) of the receiver";

/// Of a call that makes or checks a target.
pub(crate) fn open_error(operation: &'static str, link: &Resource, error: io::Error) -> OpenError {
    match Errno::from_io_error(&error) {
        Some(Errno::SRCH) => OpenError::new(operation, link, OpenErrorKind::NotFound(error)),
        Some(Errno::INVAL) if operation == "pidfd_open" => {
            invalid(operation, link, "pid", "it must be above 0, and a process, not a thread")
        }
        Some(Errno::INVAL) => {
            let kind = OpenErrorKind::Unsupported("the process is not in this PID namespace");
            OpenError::new(operation, link, kind)
        }
        Some(Errno::BADF) => {
            invalid(operation, link, "pidfd", "the descriptor must be one of a process")
        }
        _ => OpenError::from_os(operation, link, error),
    }
}

/// Of a call that makes a timer.
pub(crate) fn timer_error(operation: &'static str, link: &Resource, error: io::Error) -> OpenError {
    if Errno::from_io_error(&error) == Some(Errno::AGAIN) {
        let kind = OpenErrorKind::Limit { setting: QUEUE_SETTING, source: error };
        return OpenError::new(operation, link, kind);
    }
    OpenError::from_os(operation, link, error)
}

/// Of a call that sends. A full queue is [`SendError::Limit`].
pub(crate) fn send_error(operation: &'static str, link: &Resource, error: io::Error) -> SendError {
    match Errno::from_io_error(&error) {
        Some(Errno::AGAIN) => SendError::limit(QUEUE_SETTING, OsError::new(operation, link, error)),
        Some(Errno::SRCH) => SendError::peer_gone(link),
        _ => OsError::new(operation, link, error).into(),
    }
}

/// A number, option or descriptor that cannot be.
pub(crate) fn invalid(
    operation: &'static str,
    link: &Resource,
    option: &'static str,
    requirement: impl Into<String>,
) -> OpenError {
    let requirement = requirement.into();
    OpenError::new(operation, link, OpenErrorKind::InvalidOption { option, requirement })
}

/// Refuses the signals that a program can neither wait for nor handle.
pub(crate) fn check_receivable(
    operation: &'static str,
    link: &Resource,
    signal: Signal,
) -> Result<(), OpenError> {
    match signal.why_not_receivable() {
        None => Ok(()),
        Some(why) => Err(invalid(operation, link, "signal", format!("not {signal}: {why}"))),
    }
}
