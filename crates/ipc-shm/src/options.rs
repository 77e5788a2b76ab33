//! Making and opening segments with names and files on disk.
//!
//! `shm_open(3)` is `open` in `/dev/shm`, and so is this, with two differences. A new segment is made
//! whole before it has a name: an unnamed file (`O_TMPFILE`), sized, reserved, initialised, and only
//! then linked. And symbolic links are not followed, nor does anything but a regular file open, for
//! everybody may create names there.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipc_core::{OpenError, OpenErrorKind, Resource};
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::huge::{self, HugePages};
use crate::mapping::MapOptions;
use crate::new_file::NewFile;
use crate::size::{self, Medium};
use crate::{Access, Backing, Location, Mapping, Segment, Unmapped};

/// How to create or open shared memory: [`Segment`]s, [`Region`](crate::Region)s, and as far as it applies
/// [`Memfd`](crate::Memfd)s. See [`Segment::options`].
///
/// ```
/// use ipc_core::Name;
/// use ipc_shm::Segment;
///
/// let name = Name::new(&format!("doc-options.{}", std::process::id()))?;
/// let options = Segment::options().mode(0o640).prefault();
/// let segment = options.open_or_create(&name, 1 << 20, |memory| {
///     memory.write_at(0, b"made by the first who comes");
///     Ok(())
/// })?;
/// assert_eq!(segment.mode(), 0o640);
/// # segment.unlink()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SegmentOptions {
    pub(crate) access: Access,
    pub(crate) mode: u32,
    pub(crate) backing: Backing,
    pub(crate) huge_pages: HugePages,
    pub(crate) prefault: bool,
    pub(crate) lock: bool,
    pub(crate) trusts_writers: bool,
}

/// How often [`SegmentOptions::open_or_create`] begins anew because somebody removes the segment or makes
/// another one.
const MAX_ATTEMPTS: u32 = 100;

impl SegmentOptions {
    /// Attach to look only. A segment that is created is initialised in a mapping that can be written
    /// nevertheless.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.access = Access::ReadOnly;
        self
    }

    /// Who may open a segment that is created: the permission bits of `chmod(2)`, exactly these
    /// (the umask has no say). The default is `0o600`, this user's processes.
    ///
    /// Whoever may write may also shorten it: see [`Segment`](Segment#sigbus).
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// When the memory of a segment that is created is taken from the system. The default is
    /// [`Backing::Reserved`].
    #[must_use]
    pub fn backing(mut self, backing: Backing) -> Self {
        self.backing = backing;
        self
    }

    /// Whether it is made of huge pages. The default is [`HugePages::No`].
    ///
    /// For segments with names [`HugePages::Transparent`], which takes `/dev/shm` mounted with
    /// `huge=advise` or more; for memfds all. Where there are none, creating or opening fails with
    /// [`OpenErrorKind::Limit`], which names the setting that gives some, or
    /// [`OpenErrorKind::Unsupported`].
    #[must_use]
    pub fn huge_pages(mut self, huge_pages: HugePages) -> Self {
        self.huge_pages = huge_pages;
        self
    }

    /// Enters all pages into this process's page table at once (`MADV_POPULATE_WRITE`, or
    /// `MAP_POPULATE` before Linux 5.14), so that no access takes a page fault later. Pages that are not
    /// there yet are taken from the system. Costs two thirds of the faults that it spares: some 1.3 µs for each
    /// page of 4 KiB that is there (`benches/record/2026-11-28-segments.md`).
    #[must_use]
    pub fn prefault(mut self) -> Self {
        self.prefault = true;
        self
    }

    /// Keeps all pages in memory, never swapped out, as long as this process is attached (`mlock(2)`).
    /// Includes what [`prefault`](Self::prefault) does. A child made by `fork` does not inherit it.
    ///
    /// Beyond `RLIMIT_MEMLOCK`, creating or opening fails with an [`OpenErrorKind::Limit`] that says so.
    #[must_use]
    pub fn lock(mut self) -> Self {
        self.lock = true;
        self
    }

    /// States that all who may write to the segment are trusted not to shorten it while it is mapped here,
    /// which would end this process by `SIGBUS`: see [`Segment`](Segment#sigbus).
    ///
    /// Without this, opening is refused when users other than this one and root could do so. What a
    /// creator's [`mode`](Self::mode) lets in, it trusts.
    #[must_use]
    pub fn trust_writers(mut self) -> Self {
        self.trusts_writers = true;
        self
    }

    /// Creates a segment of `len` bytes: all zeros, then what `initialise` makes of them, then
    /// visible at its place. Nobody ever sees it half-made, and if this process is killed at
    /// whatever instruction, either the whole segment is there or nothing. (Where the file system cannot
    /// make unnamed files, a killed creator leaves a file `.new.…` behind; tmpfs, ext4, XFS and Btrfs
    /// can.) A file on disk is synced first, so that this holds also when the power fails.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::AlreadyExists`]; [`OpenErrorKind::Limit`] if `/dev/shm` or the disk is full, or
    /// the file beyond `RLIMIT_FSIZE`; [`OpenErrorKind::InvalidOption`] for a length of 0 or mode bits
    /// that are none; that of `initialise`; those of [`huge_pages`](Self::huge_pages) and
    /// [`lock`](Self::lock).
    pub fn create_new(
        self,
        location: impl Into<Location>,
        len: usize,
        initialise: impl FnOnce(&Mapping) -> Result<(), OpenError>,
    ) -> Result<Segment, OpenError> {
        self.create_in(location.into(), len, initialise, NewFile::unnamed)
    }

    /// Opens the segment if there is one, and else creates it, as [`create_new`](Self::create_new) does.
    /// Of several processes that do so at once, one creates it and all get the same one, whole.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::Mismatch`] if there is one of another size; those of
    /// [`create_new`](Self::create_new) and [`open`](Self::open). `AlreadyExists` and `NotFound` only
    /// while somebody makes and removes segments there a hundred times over.
    pub fn open_or_create(
        self,
        location: impl Into<Location>,
        len: usize,
        initialise: impl FnMut(&Mapping) -> Result<(), OpenError>,
    ) -> Result<Segment, OpenError> {
        let location = location.into();
        let open = || {
            let opened = self.open_file(&location)?;
            opened.check_len(len)?;
            self.map(opened, location.clone())
        };
        self.open_or_else_create(open, initialise, |initialise| {
            self.create_new(&location, len, initialise)
        })
    }

    /// Attaches to a segment that exists. Its size is found: see [`Mapping::len`].
    ///
    /// One that another program makes, in C or Python, is visible before it has its size: until then it is
    /// a [`Mismatch`](OpenErrorKind::Mismatch) of the size.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::NotFound`]; [`OpenErrorKind::PermissionDenied`], also when others could shorten
    /// it and are not [trusted](Self::trust_writers); [`OpenErrorKind::Mismatch`] if it is not a regular
    /// file, or is empty; those of [`huge_pages`](Self::huge_pages) and [`lock`](Self::lock).
    pub fn open(self, location: impl Into<Location>) -> Result<Segment, OpenError> {
        let location = location.into();
        self.map(self.open_file(&location)?, location)
    }

    /// Opens a segment without mapping it: for copies that fail where a mapping would fault. Who may
    /// shorten it does not matter.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), but for what concerns mapping and trust.
    pub fn open_unmapped(self, location: impl Into<Location>) -> Result<Unmapped, OpenError> {
        let opened = self.trust_writers().open_file(&location.into())?;
        Ok(Unmapped::new(opened.file, opened.len, self.access, opened.resource))
    }

    /// Opens, or else creates, until one of them succeeds.
    pub(crate) fn open_or_else_create<T, C>(
        self,
        open: impl Fn() -> Result<T, OpenError>,
        mut content: C,
        create: impl Fn(&mut C) -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match open() {
                Err(error) if matches!(error.kind(), OpenErrorKind::NotFound(_)) => {}
                other => return other,
            }
            match create(&mut content) {
                Err(error)
                    if matches!(error.kind(), OpenErrorKind::AlreadyExists(_))
                        && attempts < MAX_ATTEMPTS => {}
                other => return other,
            }
        }
    }

    pub(crate) fn create_in(
        self,
        location: Location,
        len: usize,
        initialise: impl FnOnce(&Mapping) -> Result<(), OpenError>,
        new_file: fn(&Location) -> rustix::io::Result<NewFile>,
    ) -> Result<Segment, OpenError> {
        let resource = location.resource();
        let os = |operation| {
            let resource = &resource;
            move |error: Errno| OpenError::from_os(operation, resource, error)
        };
        if self.mode & !0o777 != 0 {
            let requirement = format!("{:o}; it must be permission bits, at most 777", self.mode);
            let kind = OpenErrorKind::InvalidOption { option: "mode", requirement };
            return Err(OpenError::new("create", &resource, kind));
        }
        // Early, so that nobody initialises in vain; the link decides.
        if rustix::fs::lstat(location.path()).is_ok() {
            return Err(os("create")(Errno::EXIST));
        }
        let new_file = new_file(&location).map_err(os("open"))?;
        let file = new_file.as_fd();
        let medium = if location.is_file() { Medium::Disk } else { Medium::SharedMemory };
        size::set_size(file, len, self.backing, medium, &resource)?;
        let mapping = match self.access {
            Access::ReadWrite => {
                let mapping = self.map_file(file, len, &resource)?;
                initialise(&mapping)?;
                mapping
            }
            Access::ReadOnly => {
                initialise(&Mapping::new(file, len, Access::ReadWrite, &resource)?)?;
                self.map_file(file, len, &resource)?
            }
        };
        rustix::fs::fchmod(file, Mode::from_raw_mode(self.mode)).map_err(os("fchmod"))?;
        if location.is_file() {
            rustix::fs::fsync(file).map_err(os("fsync"))?;
        }
        let status = rustix::fs::fstat(file).map_err(os("fstat"))?;
        new_file.finish(&location).map_err(os("link"))?;
        Ok(Segment::new(mapping, location, status))
    }

    /// Opens the file of a segment, and checks that it is one, and whom this process would have to trust.
    pub(crate) fn open_file(self, location: &Location) -> Result<Opened, OpenError> {
        let resource = location.resource();
        let os = |operation| {
            let resource = &resource;
            move |error: Errno| OpenError::from_os(operation, resource, error)
        };
        let mismatch = |what, expected, found| {
            OpenError::new("open", &resource, OpenErrorKind::Mismatch { what, expected, found })
        };
        let access = match self.access {
            Access::ReadOnly => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
        };
        // Not blocking: a FIFO of this name would keep us waiting.
        let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let open = || rustix::fs::open(location.path(), flags, Mode::empty());
        let file = rustix::io::retry_on_intr(open).map_err(os("open"))?;
        let status = rustix::fs::fstat(&file).map_err(os("fstat"))?;
        if !FileType::from_raw_mode(status.st_mode).is_file() {
            let expected = u64::from(FileType::RegularFile.as_raw_mode());
            return Err(mismatch("file type", expected, u64::from(status.st_mode)));
        }
        let len = usize::try_from(status.st_size).unwrap_or(0);
        if len == 0 {
            return Err(mismatch("size in bytes", 1, 0));
        }
        if !self.trusts_writers {
            check_writers(&status, &resource)?;
        }
        Ok(Opened { file, status, len, resource })
    }

    /// Attaches to the file of a segment.
    pub(crate) fn map(self, opened: Opened, location: Location) -> Result<Segment, OpenError> {
        let mapping = self.map_file(opened.file.as_fd(), opened.len, &opened.resource)?;
        Ok(Segment::new(mapping, location, opened.status))
    }

    fn map_file(
        self,
        file: BorrowedFd<'_>,
        len: usize,
        resource: &Resource,
    ) -> Result<Mapping, OpenError> {
        match self.huge_pages {
            HugePages::No => {}
            HugePages::Transparent => huge::check_transparent(file, false, resource)?,
            HugePages::Pool => {
                let what = "huge pages of the pool are for memfds, and for files in a hugetlbfs";
                return Err(OpenError::new("map", resource, OpenErrorKind::Unsupported(what)));
            }
        }
        Mapping::new(file, len, self.map_options(), resource)
    }

    pub(crate) fn map_options(self) -> MapOptions {
        MapOptions {
            access: self.access,
            huge_pages: self.huge_pages == HugePages::Transparent,
            prefault: self.prefault,
            lock: self.lock,
        }
    }
}

/// The file of a segment, not yet mapped.
pub(crate) struct Opened {
    pub(crate) file: OwnedFd,
    pub(crate) status: Stat,
    /// In bytes.
    pub(crate) len: usize,
    pub(crate) resource: Resource,
}

impl Opened {
    pub(crate) fn check_len(&self, expected: usize) -> Result<(), OpenError> {
        if self.len == expected {
            return Ok(());
        }
        let (expected, found) = (expected as u64, self.len as u64);
        let kind = OpenErrorKind::Mismatch { what: "size in bytes", expected, found };
        Err(OpenError::new("open", &self.resource, kind))
    }
}

/// Refuses a file that a process could shorten that could not end this one anyway.
fn check_writers(status: &Stat, resource: &Resource) -> Result<(), OpenError> {
    const OTHERS_WRITE: u32 = 0o022;
    let own = rustix::process::geteuid().as_raw();
    let is_ours = status.st_uid == own || status.st_uid == 0;
    if is_ours && status.st_mode & OTHERS_WRITE == 0 {
        return Ok(());
    }
    let text = format!(
        "mode {:o} of user {}: others than user {own} can shorten it while it is mapped; \
         SegmentOptions::trust_writers says that they are trusted",
        status.st_mode & 0o777,
        status.st_uid,
    );
    let source = io::Error::new(io::ErrorKind::PermissionDenied, text);
    Err(OpenError::new("open", resource, OpenErrorKind::PermissionDenied(source)))
}

#[cfg(all(test, not(ipc_loom)))]
mod tests {
    use super::*;
    use crate::testing::segment_name;
    use ipc_core::Name;
    use ipc_testing::Scope;

    fn create_hidden(name: &Name, initialise: bool) -> Result<Segment, OpenError> {
        let options = Segment::options().mode(0o640);
        let resource = Location::from(name).resource();
        let failure = || OpenError::from_os("initialise", &resource, Errno::CANCELED);
        let initialise = |memory: &Mapping| {
            memory.write_at(0, b"text");
            if initialise { Ok(()) } else { Err(failure()) }
        };
        options.create_in(name.into(), 4, initialise, NewFile::hidden)
    }

    #[test]
    fn without_unnamed_files_a_segment_is_made_under_a_hidden_name() {
        let scope = Scope::new();
        let name = segment_name(&scope);
        let files = || {
            let files = std::fs::read_dir("/dev/shm").expect("listed").flatten();
            let ours = |file: &std::fs::DirEntry| {
                file.file_name().to_string_lossy().contains(name.as_str())
            };
            files.filter(ours).count()
        };
        create_hidden(&name, false).expect_err("the initialiser fails");
        assert_eq!(files(), 0);
        let segment = create_hidden(&name, true).expect("created");
        assert_eq!((files(), segment.mode()), (1, 0o640));
        create_hidden(&name, true).expect_err("there is one");
        let mut text = [0; 4];
        Segment::open(&name).expect("opened").mapping().read_at(0, &mut text);
        assert_eq!(&text, b"text");
        segment.unlink().expect("named so");
        assert_eq!(files(), 0);
    }

    #[test]
    fn a_name_that_comes_in_between_is_not_overwritten() {
        let scope = Scope::new();
        let name = segment_name(&scope);
        for new_file in [NewFile::unnamed, NewFile::hidden] {
            let winner = |_: &Mapping| Segment::create_new(&name, 8).map(drop);
            let loser = Segment::options().create_in((&name).into(), 4, winner, new_file);
            let error = loser.expect_err("the other was first");
            assert!(matches!(error.kind(), OpenErrorKind::AlreadyExists(_)), "{error}");
            assert_eq!(Segment::open(&name).expect("the winner's").mapping().len(), 8);
            Segment::unlink_name(&name).expect("named so");
        }
    }

    #[test]
    fn a_segment_that_always_comes_and_goes_is_an_error_in_the_end() {
        let resource = Resource::unnamed("segment");
        let error = |error: Errno| OpenError::from_os("test", &resource, error);
        let created = Segment::options().open_or_else_create(
            || Err::<(), _>(error(Errno::NOENT)),
            0,
            |attempts| {
                *attempts += 1;
                assert!(*attempts <= MAX_ATTEMPTS);
                Err(error(Errno::EXIST))
            },
        );
        let error = created.expect_err("it is never there");
        assert!(matches!(error.kind(), OpenErrorKind::AlreadyExists(_)), "{error}");
    }
}
