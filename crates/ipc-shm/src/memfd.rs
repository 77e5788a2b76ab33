//! Anonymous shared memory, sealed, passed from process to process as a descriptor (`memfd_create(2)`).

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;

use ipc_core::handover::{self, ChildEnd};
use ipc_core::{OpenError, OpenErrorKind, Resource};
use rustix::fs::{FileType, MemfdFlags, SealFlags, Stat};
use rustix::io::Errno;

use crate::huge::{self, HUGETLBFS_MAGIC, TMPFS_MAGIC};
use crate::size::{self, Medium};
use crate::{Access, Backing, HugePages, Mapping, Segment, SegmentOptions};

/// Anonymous shared memory of a fixed size.
///
/// It has no name: who is to share it gets the descriptor, over a Unix socket or by inheritance, and
/// calls [`receive`](Self::receive). It is gone when the last descriptor and the last mapping are,
/// however their processes end.
///
/// ```
/// use ipc_shm::{Access, Backing, Memfd, Seals};
///
/// // One process makes it, maps it, and then lets the kernel forbid everybody else to write.
/// let memory = Memfd::create("numbers", 4096, Backing::Reserved)?;
/// let mine = memory.map(Access::ReadWrite)?;
/// memory.seal_for_peer()?;
/// mine.write_at(0, b"hello");
///
/// // Another gets the descriptor, checks it, and reads.
/// let memory = Memfd::receive(memory.into_fd(), Seals::ONE_WRITER, 1..=65536)?;
/// assert!(memory.map(Access::ReadWrite).is_err());
/// let theirs = memory.map(Access::ReadOnly)?;
/// let mut bytes = [0; 5];
/// theirs.read_at(0, &mut bytes);
/// assert_eq!(&bytes, b"hello");
/// # Ok::<(), ipc_core::OpenError>(())
/// ```
///
/// # SIGBUS
///
/// A mapping faults where the file has become shorter. With the seals of [`seal_size`] or
/// [`seal_for_peer`] the kernel lets nobody shorten it, so that is excluded: for the creator from
/// the sealing on (before it the descriptor has not left the process), for the receiver always,
/// since it checks the seals, then the size, then maps. Pages that are not there are taken on touch,
/// which a system that has run out of memory answers by killing some process: with
/// [`Backing::Reserved`] all are there. With [`seal_size`] a peer may punch holes again
/// (`FALLOC_FL_PUNCH_HOLE`), which read as zeros; with [`seal_for_peer`] nobody can, not even the
/// writer.
///
/// [`seal_size`]: Self::seal_size
/// [`seal_for_peer`]: Self::seal_for_peer
#[derive(Debug)]
pub struct Memfd {
    file: OwnedFd,
    len: usize,
    /// Of huge pages from the pool.
    is_huge: bool,
    resource: Resource,
}

impl Memfd {
    /// The longest label, in bytes.
    pub const MAX_LABEL_LEN: usize = 249;

    /// Makes `len` bytes of zeros.
    ///
    /// `label` is for people who look into `/proc/<pid>/maps`; it names nothing and need not be
    /// unique. The descriptor is close-on-exec, and the file not executable where the kernel can
    /// say so (Linux 6.3).
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InvalidOption`] for a length of 0, and a label that is too long or holds a
    /// zero byte; [`OpenErrorKind::Limit`] beyond `RLIMIT_FSIZE` or out of descriptors; with
    /// [`Backing::Reserved`] also that of `fallocate(2)` if memory runs out.
    pub fn create(label: &str, len: usize, backing: Backing) -> Result<Self, OpenError> {
        Segment::options().backing(backing).create_memfd(label, len)
    }

    /// Takes a descriptor from another process, which need not be trusted: checks that it is shared
    /// memory that bears the `required` seals (it may bear more), and that its size lies in `len`,
    /// in bytes. Nothing is mapped.
    ///
    /// The size is final only if the seals that fix it are required: all sets but [`Seals::NONE`]
    /// include them. Memory of huge pages from a pool ([`HugePages::Pool`]) is taken only if all of it is
    /// there and stays so, by [`Seals::ONE_WRITER`]: touching a page that is not would be a fault.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::Mismatch`] if it is anything else: another kind of file, other seals,
    /// another size. [`OpenErrorKind::Os`] if the descriptor refuses to tell (one opened with
    /// `O_PATH`).
    pub fn receive(
        file: OwnedFd,
        required: Seals,
        len: RangeInclusive<usize>,
    ) -> Result<Self, OpenError> {
        let resource = Resource::unnamed("memfd from another process");
        let mismatch = |what, expected: u64, found: u64| {
            OpenError::new("receive", &resource, OpenErrorKind::Mismatch { what, expected, found })
        };
        let os = |operation| {
            let resource = resource.clone();
            move |error: Errno| OpenError::from_os(operation, &resource, error)
        };

        // The seals first: no file system is asked for them, which might be the peer's own (FUSE) and
        // never answer.
        let seals = require_seals(file.as_fd(), required, "receive", &resource)?;
        let stat = rustix::fs::fstat(&file).map_err(os("fstat"))?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            let (expected, found) = (u64::from(FileType::RegularFile.as_raw_mode()), stat.st_mode);
            return Err(mismatch("file type", expected, u64::from(found)));
        }
        let kind = rustix::fs::fstatfs(&file).map_err(os("fstatfs"))?.f_type as u64;
        // Only now, when the seals hold it still.
        let stat = rustix::fs::fstat(&file).map_err(os("fstat"))?;
        // Huge pages are kept still by seals as others are, but one that is missing is not made on touch:
        // it is taken from a pool, and if that is empty the touch is a SIGBUS. So all must be there, and
        // nobody be able to punch one out: the seal against writing forbids that too.
        let is_whole = seals.contains(Seals::ONE_WRITER.0) && is_backed(&stat);
        let is_huge = kind == HUGETLBFS_MAGIC && is_whole;
        if kind != TMPFS_MAGIC && !is_huge {
            return Err(mismatch("file system", TMPFS_MAGIC, kind));
        }
        let size = stat.st_size;
        let nearest = |size: u64| size.max(*len.start() as u64).min(*len.end() as u64);
        match usize::try_from(size) {
            Ok(size) if size > 0 && len.contains(&size) => {
                Ok(Self { file, len: size, is_huge, resource })
            }
            _ => Err(mismatch("size in bytes", nearest(size as u64).max(1), size as u64)),
        }
    }

    /// Gives a copy of its descriptor to the child that `command` will start, and only to it. The child
    /// finds the descriptor's number in the environment variable `variable`, and calls
    /// [`inherited`](Self::inherited) with the same name. Seal it first: the child checks.
    ///
    /// ```standalone_crate
    /// use ipc_shm::{Access, Backing, Memfd, Seals};
    /// use std::process::Command;
    ///
    /// # if std::env::var_os("NUMBERS").is_none() {
    /// // The parent:
    /// let memory = Memfd::create("numbers", 4096, Backing::Reserved)?;
    /// memory.seal_size()?;
    /// let mut command = Command::new(std::env::current_exe()?);
    /// let given = memory.give_to(&mut command, "NUMBERS")?;
    /// let mut child = command.spawn()?;
    /// drop(given);
    /// assert!(child.wait()?.success());
    /// let mut bytes = [0; 5];
    /// memory.map(Access::ReadOnly)?.read_at(0, &mut bytes);
    /// assert_eq!(&bytes, b"hello");
    /// # } else {
    ///
    /// // The child:
    /// let memory = Memfd::inherited("NUMBERS", Seals::SIZE, 4096..=4096)?;
    /// memory.map(Access::ReadWrite)?.write_at(0, b"hello");
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::Limit`] when descriptors are exhausted.
    pub fn give_to(&self, command: &mut Command, variable: &str) -> Result<ChildEnd, OpenError> {
        let copy = rustix::io::fcntl_dupfd_cloexec(&self.file, 0)
            .map_err(|error| OpenError::from_os("fcntl(F_DUPFD_CLOEXEC)", &self.resource, error))?;
        handover::give(copy, command, variable, &self.resource)
    }

    /// In a child: takes the memfd whose number is in the environment variable `variable`, where
    /// [`give_to`](Self::give_to) put it, with the checks of [`receive`](Self::receive). Call it early,
    /// before the process starts children of its own.
    ///
    /// The variable is trusted as the program's arguments are: see [`ipc_core::handover::take`].
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::NotFound`] without such a variable; [`OpenErrorKind::InvalidOption`] if it does
    /// not name an open descriptor; [`OpenErrorKind::InUse`] if that is taken already; those of
    /// [`receive`](Self::receive).
    pub fn inherited(
        variable: &str,
        required: Seals,
        len: RangeInclusive<usize>,
    ) -> Result<Self, OpenError> {
        let resource = Resource::named("memfd of environment variable", variable);
        Self::receive(handover::take(variable, &resource, |_| Ok(()))?, required, len)
    }

    /// Maps all of it. Each call makes another mapping, at another address.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::PermissionDenied`] for [`Access::ReadWrite`] after
    /// [`seal_for_peer`](Self::seal_for_peer); those of `mmap(2)`.
    pub fn map(&self, access: Access) -> Result<Mapping, OpenError> {
        let options = Segment::options();
        self.map_with(match access {
            Access::ReadOnly => options.read_only(),
            Access::ReadWrite => options,
        })
    }

    /// Maps all of it with these options: [`read_only`](SegmentOptions::read_only),
    /// [`prefault`](SegmentOptions::prefault), [`lock`](SegmentOptions::lock), and
    /// [`HugePages::Transparent`].
    ///
    /// ```
    /// use ipc_shm::{Backing, Memfd, Segment};
    ///
    /// let memory = Memfd::create("ready", 1 << 20, Backing::Reserved)?;
    /// let mapping = memory.map_with(Segment::options().prefault())?; // no page fault from here on
    /// # assert_eq!(mapping.len(), 1 << 20);
    /// # Ok::<(), ipc_core::OpenError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`map`](Self::map), and of the options.
    pub fn map_with(&self, options: SegmentOptions) -> Result<Mapping, OpenError> {
        if options.huge_pages == HugePages::Transparent {
            huge::check_transparent(self.file.as_fd(), true, &self.resource)?;
        }
        let mapped =
            Mapping::new(self.file.as_fd(), self.len, options.map_options(), &self.resource);
        mapped.map_err(|error| match error.kind() {
            OpenErrorKind::Os(source) if self.is_huge && is_out_of_memory(source) => {
                let setting = Medium::HugePages.setting();
                let kind = OpenErrorKind::Limit { setting, source: Errno::NOMEM.into() };
                OpenError::new(error.operation(), &self.resource, kind)
            }
            _ => error,
        })
    }

    /// Seals it as [`Seals::ONE_WRITER`]: its size is fixed, and nobody can map it writable or write
    /// to it again. Mappings that are writable already stay so, and remain so across `fork`: map it
    /// first, then seal, then pass it on.
    ///
    /// # Errors
    ///
    /// Those of `fcntl(2)`: [`OpenErrorKind::PermissionDenied`] if it is sealed against sealing.
    pub fn seal_for_peer(&self) -> Result<(), OpenError> {
        self.seal(Seals::ONE_WRITER)
    }

    /// Seals it as [`Seals::SIZE`]: its size is fixed, and everybody who has it can write. For
    /// processes that trust each other; one of them can still punch holes, which read as zeros.
    ///
    /// # Errors
    ///
    /// Those of `fcntl(2)`: [`OpenErrorKind::PermissionDenied`] if it is sealed against sealing.
    pub fn seal_size(&self) -> Result<(), OpenError> {
        self.seal(Seals::SIZE)
    }

    pub(crate) fn seal(&self, seals: Seals) -> Result<(), OpenError> {
        rustix::fs::fcntl_add_seals(&self.file, seals.0)
            .map_err(|error| OpenError::from_os("fcntl(F_ADD_SEALS)", &self.resource, error))
    }

    /// Checks that it bears these seals.
    pub(crate) fn check_seals(&self, required: Seals) -> Result<(), OpenError> {
        require_seals(self.file.as_fd(), required, "attach to", &self.resource).map(drop)
    }

    /// What errors call it.
    pub(crate) fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Its descriptor, to pass on. Mappings live on without it.
    pub fn into_fd(self) -> OwnedFd {
        self.file
    }
}

impl SegmentOptions {
    /// Makes a memfd of `len` bytes of zeros: as [`Memfd::create`], with
    /// [`backing`](Self::backing) and [`HugePages::Pool`].
    ///
    /// ```
    /// use ipc_core::OpenErrorKind;
    /// use ipc_shm::{HugePages, Segment};
    ///
    /// match Segment::options().huge_pages(HugePages::Pool).create_memfd("table", 2 << 20) {
    ///     Ok(memory) => assert_eq!(memory.len(), 2 << 20),
    ///     Err(error) => println!("{error}"), // "…; /proc/sys/vm/nr_hugepages raises it"
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Memfd::create`]. With [`HugePages::Pool`] also [`OpenErrorKind::Limit`] if the pool
    /// has too few pages, [`OpenErrorKind::InvalidOption`] for a length that is no multiple of them,
    /// and [`OpenErrorKind::Unsupported`] if the kernel has none.
    pub fn create_memfd(self, label: &str, len: usize) -> Result<Memfd, OpenError> {
        let resource = Resource::named("memfd", label);
        let invalid = |option, requirement| {
            let kind = OpenErrorKind::InvalidOption { option, requirement };
            OpenError::new("create", &resource, kind)
        };
        let max = Memfd::MAX_LABEL_LEN;
        if label.len() > max || label.contains('\0') {
            let requirement = format!("it must be at most {max} bytes without a zero byte");
            return Err(invalid("label", requirement));
        }
        let is_huge = self.huge_pages == HugePages::Pool;
        let mut flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut medium = Medium::SharedMemory;
        if is_huge {
            flags |= MemfdFlags::HUGETLB;
            medium = Medium::HugePages;
        }
        let file = match rustix::fs::memfd_create(label, flags | MemfdFlags::NOEXEC_SEAL) {
            // A kernel before 6.3 does not know the flag.
            Err(Errno::INVAL) => rustix::fs::memfd_create(label, flags),
            other => other,
        };
        let file = file.map_err(|error| match error {
            Errno::INVAL | Errno::NODEV | Errno::OPNOTSUPP | Errno::NOSYS if is_huge => {
                let kind = OpenErrorKind::Unsupported("this kernel has no pool of huge pages");
                OpenError::new("memfd_create", &resource, kind)
            }
            error => OpenError::from_os("memfd_create", &resource, error),
        })?;
        if is_huge {
            let page = rustix::fs::fstat(&file)
                .map_err(|error| OpenError::from_os("fstat", &resource, error))?
                .st_blksize as usize;
            if len % page != 0 {
                let requirement = format!("{len} bytes; it must be whole huge pages of {page}");
                return Err(invalid("length", requirement));
            }
        }
        size::set_size(file.as_fd(), len, self.backing, medium, &resource)?;
        Ok(Memfd { file, len, is_huge, resource })
    }
}

/// The seals of a file, among which the `required` must be.
fn require_seals(
    file: BorrowedFd<'_>,
    required: Seals,
    operation: &'static str,
    resource: &Resource,
) -> Result<SealFlags, OpenError> {
    let seals = match rustix::fs::fcntl_get_seals(file) {
        Err(Errno::INVAL) => SealFlags::empty(), // nothing that could be sealed
        Err(error) => return Err(OpenError::from_os("fcntl(F_GET_SEALS)", resource, error)),
        Ok(seals) => seals,
    };
    if seals.contains(required.0) {
        return Ok(seals);
    }
    let (expected, found) = (u64::from(required.0.bits()), u64::from(seals.bits()));
    let kind = OpenErrorKind::Mismatch { what: "set of seals", expected, found };
    Err(OpenError::new(operation, resource, kind))
}

/// Whether every byte has its memory already.
fn is_backed(stat: &Stat) -> bool {
    const BLOCK: u64 = 512; // of `st_blocks`, whatever `st_blksize` says
    (stat.st_blocks as u64).saturating_mul(BLOCK) >= stat.st_size as u64
}

fn is_out_of_memory(error: &io::Error) -> bool {
    // What populating says for want of a page.
    matches!(Errno::from_io_error(error), Some(Errno::NOMEM | Errno::FAULT))
}

impl AsFd for Memfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// What the kernel forbids everybody to do with a memfd, for good. See `fcntl(2)`, "File sealing".
///
/// Sets are compared as masks: a memfd may bear more seals than one asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seals(SealFlags);

impl Seals {
    /// Nothing.
    pub const NONE: Self = Self(SealFlags::empty());
    /// Changing its size (`F_SEAL_SHRINK | F_SEAL_GROW`), and further sealing (`F_SEAL_SEAL`).
    pub const SIZE: Self = Self(SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL));
    /// As [`SIZE`](Self::SIZE), and writing through any but the mappings that exist
    /// (`F_SEAL_FUTURE_WRITE`, Linux 5.1).
    pub const ONE_WRITER: Self = Self(Self::SIZE.0.union(SealFlags::FUTURE_WRITE));
}
