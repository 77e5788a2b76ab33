//! Giving a new shared-memory file its size, with pages behind it or without.

use std::os::fd::BorrowedFd;

use ipc_core::{OpenError, OpenErrorKind, Resource};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use rustix::process::Resource as ProcessLimit;

/// When the memory behind a segment is taken from the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Backing {
    /// Now, all of it (`fallocate(2)`): too little memory is an error now, rather than a `SIGBUS` or
    /// a visit of the kernel's out-of-memory killer later. Costs the time to clear the pages.
    #[default]
    Reserved,
    /// Page by page, as they are first touched.
    Lazy,
}

/// Sets the size of an empty file.
///
/// Checks `RLIMIT_FSIZE` first: going beyond it is not only an error, but a signal (`SIGXFSZ`) that
/// ends the process.
pub(crate) fn set_size(
    file: BorrowedFd<'_>,
    len: usize,
    backing: Backing,
    resource: &Resource,
) -> Result<(), OpenError> {
    let size = check_len(len, resource)?;
    let limit = rustix::process::getrlimit(ProcessLimit::Fsize).current;
    if limit.is_some_and(|limit| size > limit) {
        let kind = OpenErrorKind::Limit {
            setting: "RLIMIT_FSIZE (ulimit -f)",
            source: Errno::FBIG.into(),
        };
        return Err(OpenError::new("ftruncate", resource, kind));
    }
    rustix::fs::ftruncate(file, size)
        .map_err(|error| OpenError::from_os("ftruncate", resource, error))?;
    if backing == Backing::Lazy {
        return Ok(());
    }
    rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size))
        .map_err(|error| match error {
            Errno::NOSPC => {
                let setting = "the size of the file system (mount -o remount,size=… /dev/shm)";
                let kind = OpenErrorKind::Limit { setting, source: error.into() };
                OpenError::new("fallocate", resource, kind)
            }
            _ => OpenError::from_os("fallocate", resource, error),
        })
}

/// The length as the kernel takes it: at least 1, and no more than a pointer can cross.
fn check_len(len: usize, resource: &Resource) -> Result<u64, OpenError> {
    if (1..=isize::MAX as usize).contains(&len) {
        return Ok(len as u64);
    }
    let requirement = format!("{len} bytes; it must be 1 to {}", isize::MAX);
    let kind = OpenErrorKind::InvalidOption { option: "length", requirement };
    Err(OpenError::new("create", resource, kind))
}
