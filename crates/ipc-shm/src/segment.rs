//! Named shared memory (`shm_overview(7)`). Leaves out what the bytes mean.
//!
//! `shm_open(3)` is `open` in `/dev/shm`, and so is this, with two differences. A new segment is made
//! whole before it has a name: an unnamed file (`O_TMPFILE`), sized, reserved, initialised, and only
//! then linked. And symbolic links are not followed, nor does anything but a regular file open, for
//! everybody may create names there.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use ipc_core::{Name, OpenError, OpenErrorKind, Resource};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use crate::{Access, Backing, Mapping, size};

/// A named segment, attached to this process. Dropping it detaches; the name stays until somebody
/// [`unlink`](Self::unlink)s it, and the memory until the last process has detached as well.
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
/// # SIGBUS
///
/// A page that is not there when it is touched is a `SIGBUS`, which ends the process. This is
/// promised:
///
/// - A full `/dev/shm` is an error at creation, and never a fault later, with
///   [`Backing::Reserved`], the default. With [`Backing::Lazy`] it may be a fault.
/// - A file that is shorter than its users believe does not open short: the size is that of the file
///   when it is opened.
///
/// And this cannot be promised: whoever may write to the file may also shorten it (`ftruncate(2)`),
/// at any moment, under everybody's feet. The kernel has no seals for files with names. The mode
/// decides who may: by default only processes of the same user. Against others use a
/// [`Memfd`](crate::Memfd).
#[derive(Debug)]
pub struct Segment {
    mapping: Mapping,
    name: Name,
    status: Stat,
}

impl Segment {
    /// How to create or open, in detail.
    pub fn options() -> SegmentOptions {
        SegmentOptions { access: Access::ReadWrite, mode: 0o600, backing: Backing::Reserved }
    }

    /// Creates a segment of `len` bytes of zeros for processes of this user. See
    /// [`SegmentOptions::create_new`].
    ///
    /// # Errors
    ///
    /// Those of [`SegmentOptions::create_new`].
    pub fn create_new(name: &Name, len: usize) -> Result<Self, OpenError> {
        Self::options().create_new(name, len, |_| Ok(()))
    }

    /// Opens a segment to read and write. See [`SegmentOptions::open`].
    ///
    /// # Errors
    ///
    /// Those of [`SegmentOptions::open`].
    pub fn open(name: &Name) -> Result<Self, OpenError> {
        Self::options().open(name)
    }

    /// Removes a name, whatever segment has it. Processes that are attached stay so. See
    /// `shm_unlink(3)`.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::NotFound`], [`OpenErrorKind::PermissionDenied`]: only the owner may, since
    /// `/dev/shm` has the sticky bit.
    pub fn unlink_name(name: &Name) -> Result<(), OpenError> {
        rustix::fs::unlink(path(name))
            .map_err(|error| OpenError::from_os("unlink", &resource(name), error))
    }

    /// Removes the name of this segment, unless a successor has it by now.
    ///
    /// (A successor that takes the name in the very moment between the look and the removal is
    /// removed; the kernel has no call that does both.)
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::NotFound`] if it is unlinked already; those of
    /// [`unlink_name`](Self::unlink_name).
    pub fn unlink(&self) -> Result<(), OpenError> {
        let error = |error| OpenError::from_os("unlink", &resource(&self.name), error);
        let named = rustix::fs::lstat(path(&self.name)).map_err(error)?;
        if (named.st_dev, named.st_ino) != (self.status.st_dev, self.status.st_ino) {
            return Err(error(Errno::NOENT));
        }
        Self::unlink_name(&self.name)
    }

    /// Its bytes.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Its bytes, without the name. They stay mapped as long as the mapping lives.
    pub fn into_mapping(self) -> Mapping {
        self.mapping
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
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

/// How to create or open a [`Segment`]. See [`Segment::options`].
#[derive(Clone, Copy, Debug)]
pub struct SegmentOptions {
    access: Access,
    mode: u32,
    backing: Backing,
}

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

    /// Creates a segment of `len` bytes: all zeros, then what `initialise` makes of them, then
    /// visible under its name. Nobody ever sees it half-made, and if this process is killed at
    /// whatever instruction, either the whole segment is there or nothing. (Where `/dev/shm` is not a
    /// tmpfs and cannot make unnamed files, a killed creator leaves a file `.new.…` behind.)
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::AlreadyExists`]; [`OpenErrorKind::Limit`] if `/dev/shm` is full or the file
    /// beyond `RLIMIT_FSIZE`; [`OpenErrorKind::InvalidOption`] for a length of 0 or mode bits that
    /// are none; that of `initialise`.
    pub fn create_new(
        self,
        name: &Name,
        len: usize,
        initialise: impl FnOnce(&Mapping) -> Result<(), OpenError>,
    ) -> Result<Segment, OpenError> {
        self.create_in(name, len, initialise, Unfinished::unnamed)
    }

    fn create_in(
        self,
        name: &Name,
        len: usize,
        initialise: impl FnOnce(&Mapping) -> Result<(), OpenError>,
        unfinished: fn(&Name) -> rustix::io::Result<Unfinished>,
    ) -> Result<Segment, OpenError> {
        let resource = resource(name);
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
        if rustix::fs::lstat(path(name)).is_ok() {
            return Err(os("create")(Errno::EXIST));
        }
        let unfinished = unfinished(name).map_err(os("open"))?;
        let file = unfinished.file.as_fd();
        size::set_size(file, len, self.backing, &resource)?;
        let writable = Mapping::new(file, len, Access::ReadWrite, &resource)?;
        initialise(&writable)?;
        let mapping = match self.access {
            Access::ReadWrite => writable,
            Access::ReadOnly => Mapping::new(file, len, Access::ReadOnly, &resource)?,
        };
        rustix::fs::fchmod(file, Mode::from_raw_mode(self.mode)).map_err(os("fchmod"))?;
        let status = rustix::fs::fstat(file).map_err(os("fstat"))?;
        unfinished.finish(name).map_err(os("link"))?;
        Ok(Segment { mapping, name: name.clone(), status })
    }

    /// Attaches to a segment that exists. Its size is found: see [`Mapping::len`].
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::NotFound`]; [`OpenErrorKind::PermissionDenied`];
    /// [`OpenErrorKind::Mismatch`] if it is not a regular file, or is empty.
    pub fn open(self, name: &Name) -> Result<Segment, OpenError> {
        let resource = resource(name);
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
        let file = rustix::io::retry_on_intr(|| rustix::fs::open(path(name), flags, Mode::empty()))
            .map_err(os("open"))?;
        let status = rustix::fs::fstat(&file).map_err(os("fstat"))?;
        if !FileType::from_raw_mode(status.st_mode).is_file() {
            let expected = u64::from(FileType::RegularFile.as_raw_mode());
            return Err(mismatch("file type", expected, u64::from(status.st_mode)));
        }
        let len = usize::try_from(status.st_size).unwrap_or(0);
        if len == 0 {
            return Err(mismatch("size in bytes", 1, 0));
        }
        let mapping = Mapping::new(file.as_fd(), len, self.access, &resource)?;
        Ok(Segment { mapping, name: name.clone(), status })
    }
}

/// A file that nobody can open yet.
struct Unfinished {
    file: OwnedFd,
    /// The name that it has meanwhile, where files cannot be without one.
    hidden: Option<CString>,
}

impl Unfinished {
    /// A file without a name, which the kernel removes if we die; a hidden one where there are no
    /// such files.
    fn unnamed(name: &Name) -> rustix::io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(DIRECTORY, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(Self { file, hidden: None }),
            // What file systems answer that have no unnamed files, or have never heard of them.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Self::hidden(name),
            Err(error) => Err(error),
        }
    }

    /// A file of a name that is no [`Name`]'s: it is too long for one.
    fn hidden(name: &Name) -> rustix::io::Result<Self> {
        use std::hash::BuildHasher;

        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        loop {
            // Of random keys, as every hasher of the standard library's.
            let random = std::hash::RandomState::new().hash_one(std::process::id());
            let path = format!("{DIRECTORY}/.new.{random:016x}.{name:-<64}");
            let path = CString::new(path).expect("names have no zero bytes");
            match rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => return Ok(Self { file, hidden: Some(path) }),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives the file its name, if nothing else has it.
    fn finish(mut self, name: &Name) -> rustix::io::Result<()> {
        match &self.hidden {
            None => {
                let file = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                rustix::fs::linkat(CWD, file, CWD, path(name), AtFlags::SYMLINK_FOLLOW)
            }
            Some(hidden) => {
                let flags = RenameFlags::NOREPLACE;
                rustix::fs::renameat_with(CWD, hidden, CWD, path(name), flags)?;
                self.hidden = None;
                Ok(())
            }
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(hidden) = &self.hidden {
            // There is nothing to do about a failure.
            let _ = rustix::fs::unlink(hidden);
        }
    }
}

/// Where the C library keeps named segments.
const DIRECTORY: &str = "/dev/shm";

fn path(name: &Name) -> String {
    format!("{DIRECTORY}/{name}")
}

pub(crate) fn resource(name: &Name) -> Resource {
    Resource::named("shared memory segment", format_args!("/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc_testing::Scope;

    fn create_hidden(name: &Name, initialise: bool) -> Result<Segment, OpenError> {
        let options = Segment::options().mode(0o640);
        let failure = || OpenError::from_os("initialise", &resource(name), Errno::CANCELED);
        let initialise = |memory: &Mapping| {
            memory.write_at(0, b"text");
            if initialise { Ok(()) } else { Err(failure()) }
        };
        options.create_in(name, 4, initialise, Unfinished::hidden)
    }

    #[test]
    fn without_unnamed_files_a_segment_is_made_under_a_hidden_name() {
        let scope = Scope::new();
        let name = scope.name();
        scope.defer({
            let name = name.clone();
            move || drop(Segment::unlink_name(&name))
        });
        let files = || {
            let files = std::fs::read_dir(DIRECTORY).expect("listed").flatten();
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
        let name = scope.name();
        scope.defer({
            let name = name.clone();
            move || drop(Segment::unlink_name(&name))
        });
        for unfinished in [Unfinished::unnamed, Unfinished::hidden] {
            let winner = |_: &Mapping| Segment::create_new(&name, 8).map(drop);
            let loser = Segment::options().create_in(&name, 4, winner, unfinished);
            let error = loser.expect_err("the other was first");
            assert!(matches!(error.kind(), OpenErrorKind::AlreadyExists(_)), "{error}");
            assert_eq!(Segment::open(&name).expect("the winner's").mapping().len(), 8);
            Segment::unlink_name(&name).expect("named so");
        }
    }
}
