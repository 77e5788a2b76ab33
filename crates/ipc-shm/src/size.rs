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
    /// a visit of the kernel's out-of-memory killer later. Costs the time to clear the pages:
    /// some 0.9 µs each, which their first touch is then spared (`benches/record/2026-11-28-segments.md`).
    #[default]
    Reserved,
    /// Page by page, as they are first touched.
    Lazy,
}

/// What a new file is made of, and so what gives more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    /// The tmpfs at `/dev/shm`.
    SharedMemory,
    /// Whatever file system a path leads to.
    Disk,
    /// The system's pool of huge pages.
    HugePages,
}

impl Medium {
    /// What to change when there is no more.
    pub(crate) fn setting(self) -> &'static str {
        match self {
            Self::SharedMemory => "the size of the file system (mount -o remount,size=… /dev/shm)",
            Self::Disk => "free space on the file system",
            Self::HugePages => "/proc/sys/vm/nr_hugepages",
        }
    }
}

/// Sets the size of an empty file.
///
/// Checks `RLIMIT_FSIZE` first: going beyond it is not only an error, but a signal (`SIGXFSZ`) that
/// ends the process.
pub(crate) fn set_size(
    file: BorrowedFd<'_>,
    len: usize,
    backing: Backing,
    medium: Medium,
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
    let kind = |error| match error {
        Errno::NOSPC => OpenErrorKind::Limit { setting: medium.setting(), source: error.into() },
        Errno::DQUOT => OpenErrorKind::Limit { setting: "the disk quota", source: error.into() },
        Errno::OPNOTSUPP => OpenErrorKind::Unsupported(
            "this file system cannot reserve space (fallocate); Backing::Lazy does without",
        ),
        error => std::io::Error::from(error).into(),
    };
    rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size))
        .map_err(|error| OpenError::new("fallocate", resource, kind(error)))
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
