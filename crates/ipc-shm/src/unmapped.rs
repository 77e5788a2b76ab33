//! A segment's bytes without a mapping: copies that fail where a mapping would fault.

use std::fmt;
use std::os::fd::OwnedFd;

use ipc_core::{OsError, Resource};
use rustix::io::Errno;

use crate::Access;

/// A segment that is opened and not mapped. Copies go through the kernel (`pread(2)`, `pwrite(2)`), and a
/// file that somebody shortened is an **error, never a `SIGBUS`**, whoever may write to it.
///
/// It sees what others write through their mappings, and they see what it writes, as soon as it returns.
/// A copy costs a system call, and there are no atomics: for those only a mapping will do.
///
/// ```
/// use ipc_core::Name;
/// use ipc_shm::{Segment, UnmappedError};
///
/// let name = Name::new(&format!("doc-unmapped.{}", std::process::id()))?;
/// let segment = Segment::create_new(&name, 4096)?;
/// let unmapped = Segment::options().read_only().open_unmapped(&name)?;
/// segment.mapping().write_at(4090, b"hello");
/// let mut bytes = [0; 5];
/// unmapped.read_at(4090, &mut bytes)?;
/// assert_eq!(&bytes, b"hello");
///
/// // Any process that may write can do this:
/// std::fs::OpenOptions::new().write(true).open(segment.path())?.set_len(100)?;
/// let error = unmapped.read_at(4090, &mut bytes).unwrap_err();
/// assert!(matches!(error, UnmappedError::Shortened { len: 100, expected: 4096, .. }));
/// # segment.unlink()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Panics
///
/// Every access out of bounds panics, as with [`Mapping`](crate::Mapping).
pub struct Unmapped {
    file: OwnedFd,
    len: usize,
    access: Access,
    resource: Resource,
}

/// Why a copy without a mapping failed.
#[derive(Debug, thiserror::Error)]
pub enum UnmappedError {
    /// Somebody has shortened the file. What was copied of it is unspecified.
    #[error("{resource} was shortened from {expected} bytes to {len}")]
    Shortened {
        /// Its length now, in bytes.
        len: u64,
        /// Its length when it was opened, in bytes.
        expected: u64,
        /// The segment.
        resource: Resource,
    },
    /// Any other failure of a system call: a disk's read error, say.
    #[error(transparent)]
    Os(#[from] OsError),
}

impl Unmapped {
    pub(crate) fn new(file: OwnedFd, len: usize, access: Access, resource: Resource) -> Self {
        Self { file, len, access, resource }
    }

    /// Length in bytes, as it was when it was opened.
    #[expect(clippy::len_without_is_empty, reason = "a segment is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// What may be done with it.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Copies the bytes from `offset` on into `buffer`. A process that writes them at the same time may be
    /// seen half-way.
    ///
    /// # Errors
    ///
    /// [`UnmappedError::Shortened`] if not all of them are there any more; those of `pread(2)`.
    ///
    /// # Panics
    ///
    /// If the bytes are out of bounds.
    pub fn read_at(&self, offset: usize, buffer: &mut [u8]) -> Result<(), UnmappedError> {
        self.check_bounds(offset, buffer.len());
        let mut done = 0;
        while done < buffer.len() {
            let rest = &mut buffer[done..];
            match rustix::io::pread(&self.file, rest, (offset + done) as u64) {
                Ok(0) => {
                    self.check_len()?;
                    // It was shortened, and then lengthened again.
                    let (len, expected) = ((offset + done) as u64, self.len as u64);
                    let resource = self.resource.clone();
                    return Err(UnmappedError::Shortened { len, expected, resource });
                }
                Ok(len) => done += len,
                Err(Errno::INTR) => {}
                Err(error) => return Err(OsError::new("pread", &self.resource, error).into()),
            }
        }
        Ok(())
    }

    /// Copies `bytes` to `offset`. A process that looks at the same time may see them half-way.
    ///
    /// # Errors
    ///
    /// [`UnmappedError::Shortened`] if the file is shorter than it was, before or after (one that is
    /// shortened at the same moment, and grows again by this, is as long as before, with zeros in it);
    /// those of `pwrite(2)`.
    ///
    /// # Panics
    ///
    /// If they would go out of bounds, or it was opened to read only.
    pub fn write_at(&self, offset: usize, bytes: &[u8]) -> Result<(), UnmappedError> {
        assert_eq!(self.access, Access::ReadWrite, "the segment was opened to read only");
        self.check_bounds(offset, bytes.len());
        self.check_len()?;
        let mut done = 0;
        while done < bytes.len() {
            match rustix::io::pwrite(&self.file, &bytes[done..], (offset + done) as u64) {
                Ok(0) => return Err(OsError::new("pwrite", &self.resource, Errno::IO).into()),
                Ok(len) => done += len,
                Err(Errno::INTR) => {}
                Err(error) => return Err(OsError::new("pwrite", &self.resource, error).into()),
            }
        }
        self.check_len()
    }

    /// Checks that nobody has shortened the file so far.
    ///
    /// # Errors
    ///
    /// [`UnmappedError::Shortened`]; those of `fstat(2)`.
    pub fn check_len(&self) -> Result<(), UnmappedError> {
        let status = rustix::fs::fstat(&self.file)
            .map_err(|error| OsError::new("fstat", &self.resource, error))?;
        let (len, expected) = (status.st_size as u64, self.len as u64);
        if len >= expected {
            return Ok(());
        }
        Err(UnmappedError::Shortened { len, expected, resource: self.resource.clone() })
    }

    #[track_caller]
    fn check_bounds(&self, offset: usize, len: usize) {
        let in_bounds = offset.checked_add(len).is_some_and(|end| end <= self.len);
        assert!(
            in_bounds,
            "{len} bytes at offset {offset} are outside a segment of {} bytes",
            self.len
        );
    }
}

impl fmt::Debug for Unmapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unmapped")
            .field("resource", &self.resource)
            .field("len", &self.len)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}
