//! How many bytes a pipe or FIFO holds, asked and changed.

use std::fs;
use std::os::fd::BorrowedFd;

use ipc_core::{OpenError, OpenErrorKind, Resource};
use rustix::io::Errno;

/// What a pipe holds where nobody changed it, in bytes. See pipe(7).
pub(crate) const DEFAULT_BYTES: usize = 64 * 1024;

const MAX_SIZE: &str = "/proc/sys/fs/pipe-max-size";
const USERS_PAGES: &str = "/proc/sys/fs/pipe-user-pages-soft";

pub(crate) fn get(end: BorrowedFd<'_>, link: &Resource) -> Result<usize, OpenError> {
    rustix::pipe::fcntl_getpipe_size(end)
        .map_err(|error| OpenError::from_os("fcntl(F_GETPIPE_SZ)", link, error))
}

pub(crate) fn set(end: BorrowedFd<'_>, link: &Resource, bytes: usize) -> Result<usize, OpenError> {
    rustix::pipe::fcntl_setpipe_size(end, bytes).map_err(|error| {
        let kind = match error {
            // Refused to whoever lacks CAP_SYS_RESOURCE: one pipe too large, or all of a user's.
            Errno::PERM => OpenErrorKind::Limit {
                setting: if bytes > max_size() { MAX_SIZE } else { USERS_PAGES },
                source: error.into(),
            },
            Errno::BUSY => OpenErrorKind::InUse(error.into()),
            error => OpenErrorKind::Os(error.into()),
        };
        OpenError::new("fcntl(F_SETPIPE_SZ)", link, kind)
    })
}

fn max_size() -> usize {
    let setting = fs::read_to_string(MAX_SIZE).ok();
    setting.and_then(|text| text.trim().parse().ok()).unwrap_or(usize::MAX)
}
