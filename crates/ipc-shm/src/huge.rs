//! Whether the system has huge pages for a file. Leaves out asking for them: see
//! [`crate::Mapping`] and [`crate::Memfd`].

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use ipc_core::{OpenError, OpenErrorKind, Resource};
use rustix::io::Errno;

/// Whether memory is made of pages larger than the processor's smallest, so that it takes fewer
/// entries of its address cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HugePages {
    /// Ordinary pages.
    #[default]
    No,
    /// Huge pages as far as the kernel finds some (`MADV_HUGEPAGE`), ordinary ones else. Only in the
    /// memory of memfds and named segments, and only where the system's administrator lets programs
    /// ask for it; else an error that names the setting.
    Transparent,
    /// Huge pages of the size that is the system's default, from its pool, and no others
    /// (`MFD_HUGETLB`). Only for memfds. The length must be a multiple of the page's size.
    Pool,
}

/// Magic numbers of `statfs(2)`.
pub(crate) const TMPFS_MAGIC: u64 = 0x0102_1994;
pub(crate) const HUGETLBFS_MAGIC: u64 = 0x9584_58f6;

const MEMFD_SETTING: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
const MOUNT_SETTING: &str = "mount -o remount,huge=advise /dev/shm";

/// Checks that asking for transparent huge pages in this file can have an effect: the kernel takes the
/// request everywhere, and ignores it nearly everywhere.
pub(crate) fn check_transparent(
    file: BorrowedFd<'_>,
    is_memfd: bool,
    resource: &Resource,
) -> Result<(), OpenError> {
    let os = |operation| move |error: Errno| OpenError::from_os(operation, resource, error);
    if rustix::fs::fstatfs(file).map_err(os("fstatfs"))?.f_type as u64 != TMPFS_MAGIC {
        let what = "transparent huge pages are for memfds and for files in a tmpfs";
        return Err(OpenError::new("map", resource, OpenErrorKind::Unsupported(what)));
    }
    let everywhere = selected(MEMFD_SETTING.as_ref());
    let (is_on, setting) = if is_memfd {
        let lets_ask = |selected: Option<String>| {
            matches!(selected.as_deref(), Some("always" | "within_size" | "advise" | "force"))
        };
        // Linux 6.11 and later: also for each size of page.
        let sizes = fs::read_dir("/sys/kernel/mm/transparent_hugepage").into_iter().flatten();
        let mut sizes = sizes.flatten().map(|size| size.path().join("shmem_enabled"));
        let is_on = lets_ask(everywhere) || sizes.any(|setting| lets_ask(selected(&setting)));
        (is_on, MEMFD_SETTING)
    } else {
        let device = rustix::fs::fstat(file).map_err(os("fstat"))?.st_dev;
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let forced = everywhere.as_deref() == Some("force");
        let denied = everywhere.as_deref() == Some("deny");
        (forced || (mount_has_huge_pages(&mounts, device) && !denied), MOUNT_SETTING)
    };
    if is_on {
        return Ok(());
    }
    let source = io::Error::new(io::ErrorKind::Unsupported, "transparent huge pages are off here");
    Err(OpenError::new("map", resource, OpenErrorKind::Limit { setting, source }))
}

/// The word in brackets of a file such as `always [never] advise`.
fn selected(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

/// Whether the mount of this device has a `huge=` that lets programs ask. See
/// `proc_pid_mountinfo(5)`.
fn mount_has_huge_pages(mounts: &str, device: u64) -> bool {
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some(device.as_str()));
    let options = line.and_then(|line| line.rsplit(' ').next()).unwrap_or_default();
    options
        .split(',')
        .any(|option| matches!(option, "huge=always" | "huge=within_size" | "huge=advise"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_of_the_device_says_whether_there_are_huge_pages() {
        let mounts = "25 24 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw,size=24684092k\n\
                      30 24 0:27 / /x rw shared:1 - tmpfs tmpfs rw,huge=advise,size=2k\n";
        let device = |minor| rustix::fs::makedev(0, minor);
        assert!(!mount_has_huge_pages(mounts, device(23)));
        assert!(mount_has_huge_pages(mounts, device(27)));
        assert!(!mount_has_huge_pages(mounts, device(2)));
    }
}
