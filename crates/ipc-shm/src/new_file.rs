//! A file that nobody can open before it is finished. Leaves out what is put into it.

use std::ffi::{OsStr, OsString};
use std::hash::BuildHasher;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::Location;

/// A file on its way to its name. Dropped before it is [finished](Self::finish), it is gone.
pub(crate) struct NewFile {
    file: OwnedFd,
    /// The name that it has meanwhile, where files cannot be without one.
    hidden: Option<PathBuf>,
}

impl NewFile {
    /// A file without a name, which the kernel removes if we die; a hidden one where there are no
    /// such files.
    pub(crate) fn unnamed(location: &Location) -> rustix::io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(location.directory(), flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(Self { file, hidden: None }),
            // What file systems answer that have no unnamed files, or have never heard of them.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Self::hidden(location),
            Err(error) => Err(error),
        }
    }

    /// A file of a name that is no [`Name`](ipc_core::Name)'s: it is too long for one.
    pub(crate) fn hidden(location: &Location) -> rustix::io::Result<Self> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        loop {
            // Of random keys, as every hasher of the standard library's.
            let random = std::hash::RandomState::new().hash_one(std::process::id());
            let path = location.directory().join(hidden_name(location.path(), random));
            match rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => return Ok(Self { file, hidden: Some(path) }),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives the file its name, if nothing else has it.
    pub(crate) fn finish(mut self, location: &Location) -> rustix::io::Result<()> {
        match &self.hidden {
            None => {
                let file = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                rustix::fs::linkat(CWD, file, CWD, location.path(), AtFlags::SYMLINK_FOLLOW)
            }
            Some(hidden) => {
                let flags = RenameFlags::NOREPLACE;
                rustix::fs::renameat_with(CWD, hidden, CWD, location.path(), flags)?;
                self.hidden = None;
                Ok(())
            }
        }
    }
}

impl AsFd for NewFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(hidden) = &self.hidden {
            // There is nothing to do about a failure.
            let _ = rustix::fs::unlink(hidden);
        }
    }
}

/// `.new.`, a number, and the file's own name, or its beginning: 86 to 150 bytes.
fn hidden_name(path: &Path, random: u64) -> OsString {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let mut hidden = OsString::from(format!(".new.{random:016x}."));
    hidden.push(OsStr::from_bytes(&name[..name.len().min(128)]));
    hidden.push("-".repeat(64_usize.saturating_sub(name.len())));
    hidden
}
