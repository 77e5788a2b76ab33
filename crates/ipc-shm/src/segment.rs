//! Shared memory that has a name (`shm_overview(7)`) or is a file on disk. Leaves out how it is made
//! and opened ([`crate::options`]) and what the bytes mean.

use std::path::Path;

#[cfg(not(ipc_loom))]
use ipc_core::Resource;
use ipc_core::{Name, OpenError};
use rustix::fs::Stat;
use rustix::io::Errno;

use crate::{Access, Backing, HugePages, Location, Mapping, SegmentOptions};

/// Shared memory with a name or in a file, attached to this process. Dropping it detaches; the name stays
/// until somebody [`unlink`](Self::unlink)s it, and the memory until the last process has detached as
/// well.
///
/// ```
/// use ipc_core::Name;
/// use ipc_shm::Segment;
///
/// let name = Name::new(&format!("doc-segment.{}", std::process::id()))?;
/// let segment = Segment::create_new(&name, 4096)?;
/// segment.mapping().write_at(0, b"hello");
///
/// // In any other process, which learns the size:
/// let other = Segment::options().read_only().open(&name)?;
/// assert_eq!(other.mapping().len(), 4096);
/// let mut bytes = [0; 5];
/// other.mapping().read_at(0, &mut bytes);
/// assert_eq!(&bytes, b"hello");
///
/// segment.unlink()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// With a path instead of a name it is a file wherever you like, and what is in it outlives the system
/// once it is [flushed](Mapping::flush).
///
/// # SIGBUS
///
/// A page that is not there when it is touched is a `SIGBUS`, which ends the process. The kernel has no
/// seals for files with names, so whoever may write to one may also shorten it (`ftruncate(2)`), at any
/// moment, under everybody's feet. This is promised:
///
/// - **No process of another user can do that to you, unless you say so.** Opening is refused when
///   anybody but this user (and root) could shorten the segment, by its owner and mode, unless
///   [`SegmentOptions::trust_writers`] states that they are trusted. A process of your own user can end
///   yours by `kill(2)` anyway; so can root. (A descriptor that they passed on, or opened when the mode
///   was wider, still lets its holder.)
/// - A full `/dev/shm` or disk is an error at creation, and never a fault later, with
///   [`Backing::Reserved`], the default. With [`Backing::Lazy`] it may be a fault. (Of a file system that
///   writes changes to a new place, as Btrfs does, this does not hold.)
/// - A file that is shorter than its users believe does not open short: the size is that of the file
///   when it is opened. Opening itself never faults, whatever happens to the file meanwhile.
/// - [`Unmapped`](crate::Unmapped) copies to and from a segment of whatever writers without a mapping:
///   there, a shortened file is an error, always.
///
/// And this cannot be promised of a mapping of such a file, in safe code or other: that no process of
/// your own user shortens it by mistake, that its disk has no read errors, that its network file system
/// answers. Where that is too little use a [`Memfd`](crate::Memfd), whose size the kernel seals.
#[derive(Debug)]
pub struct Segment {
    mapping: Mapping,
    location: Location,
    status: Stat,
}

impl Segment {
    /// How to create or open, in detail.
    pub fn options() -> SegmentOptions {
        SegmentOptions {
            access: Access::ReadWrite,
            mode: 0o600,
            backing: Backing::Reserved,
            huge_pages: HugePages::No,
            prefault: false,
            lock: false,
            trusts_writers: false,
        }
    }

    pub(crate) fn new(mapping: Mapping, location: Location, status: Stat) -> Self {
        Self { mapping, location, status }
    }

    /// Creates a segment of `len` bytes of zeros for processes of this user. See
    /// [`SegmentOptions::create_new`].
    ///
    /// # Errors
    ///
    /// Those of [`SegmentOptions::create_new`].
    pub fn create_new(location: impl Into<Location>, len: usize) -> Result<Self, OpenError> {
        Self::options().create_new(location, len, |_| Ok(()))
    }

    /// Opens the segment, or creates it, `len` bytes of zeros for processes of this user, if there is none.
    /// See [`SegmentOptions::open_or_create`].
    ///
    /// # Errors
    ///
    /// Those of [`SegmentOptions::open_or_create`].
    pub fn open_or_create(location: impl Into<Location>, len: usize) -> Result<Self, OpenError> {
        Self::options().open_or_create(location, len, |_| Ok(()))
    }

    /// Opens a segment to read and write. See [`SegmentOptions::open`].
    ///
    /// # Errors
    ///
    /// Those of [`SegmentOptions::open`].
    pub fn open(location: impl Into<Location>) -> Result<Self, OpenError> {
        Self::options().open(location)
    }

    /// Removes a name, whatever segment has it. Processes that are attached stay so. See
    /// `shm_unlink(3)`.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ipc_core::OpenErrorKind::NotFound),
    /// [`PermissionDenied`](ipc_core::OpenErrorKind::PermissionDenied): only the owner may, since
    /// `/dev/shm` has the sticky bit.
    pub fn unlink_name(name: &Name) -> Result<(), OpenError> {
        unlink(&name.into())
    }

    /// Removes the name or file of this segment, unless a successor has its place by now.
    ///
    /// (A successor that takes the place in the very moment between the look and the removal is
    /// removed; the kernel has no call that does both.)
    ///
    /// # Errors
    ///
    /// [`NotFound`](ipc_core::OpenErrorKind::NotFound) if it is unlinked already; those of
    /// [`unlink_name`](Self::unlink_name).
    pub fn unlink(&self) -> Result<(), OpenError> {
        let error = |error| OpenError::from_os("unlink", &self.location.resource(), error);
        let named = rustix::fs::lstat(self.location.path()).map_err(error)?;
        if (named.st_dev, named.st_ino) != (self.status.st_dev, self.status.st_ino) {
            return Err(error(Errno::NOENT));
        }
        unlink(&self.location)
    }

    /// Its bytes.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Its bytes, without the name. They stay mapped as long as the mapping lives.
    pub fn into_mapping(self) -> Mapping {
        self.mapping
    }

    /// Where it was found.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Its file: in `/dev/shm`, if it has a name.
    pub fn path(&self) -> &Path {
        self.location.path()
    }

    /// The user who owns it, as it was when this process attached: the one that created it.
    pub fn owner_uid(&self) -> u32 {
        self.status.st_uid
    }

    /// Its mode bits (`0o777` at most), as they were when this process attached.
    pub fn mode(&self) -> u32 {
        self.status.st_mode & 0o777
    }
}

impl AsRef<Mapping> for Segment {
    fn as_ref(&self) -> &Mapping {
        &self.mapping
    }
}

/// Removes a name or a file.
fn unlink(location: &Location) -> Result<(), OpenError> {
    rustix::fs::unlink(location.path())
        .map_err(|error| OpenError::from_os("unlink", &location.resource(), error))
}

#[cfg(not(ipc_loom))]
pub(crate) fn resource(name: &Name) -> Resource {
    Location::from(name).resource()
}
