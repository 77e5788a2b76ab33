//! Shared memory mapped into this process: raw access, checked for bounds. Leaves out what is mapped
//! (see [`Memfd`](crate::Memfd) and [`Segment`](crate::Segment)) and what the bytes mean.

// Hands out atomics in mapped memory and copies bytes to and from it.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::os::fd::{AsRawFd, BorrowedFd};
// Not the facade's types: loom has no mapped memory. Ordinarily they are the same.
use std::sync::atomic::{AtomicU32, AtomicU64};

use ipc_core::{OpenError, OpenErrorKind, Resource};
use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::io::Errno;

use crate::copy;

/// What may be done with a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Look only: `PROT_READ`.
    ReadOnly,
    /// Look and write: `PROT_READ | PROT_WRITE`.
    ReadWrite,
}

/// How to map a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapOptions {
    pub(crate) access: Access,
    /// Ask for huge pages, of which the caller knows that there may be some.
    pub(crate) huge_pages: bool,
    /// Enter all pages now.
    pub(crate) prefault: bool,
    /// Keep all pages in memory.
    pub(crate) lock: bool,
}

impl From<Access> for MapOptions {
    fn from(access: Access) -> Self {
        Self { access, huge_pages: false, prefault: false, lock: false }
    }
}

/// A piece of shared memory in this process's address space, page-aligned; unmapped on drop.
///
/// It never gives out a `&[u8]`: another process may write the bytes at any moment, which a Rust
/// reference to plain bytes forbids. There are copies ([`read_at`](Self::read_at),
/// [`write_at`](Self::write_at)), atomics ([`atomic_u32`](Self::atomic_u32)), and raw pointers for
/// those who know better.
///
/// # Panics
///
/// Every access out of bounds panics, as with slices. An offset that a peer wrote is input: check it
/// first.
///
/// # `SIGBUS`
///
/// Touching a page that the file no longer has kills the process. Which mappings are safe from it is
/// said where they come from: [`Memfd`](crate::Memfd#sigbus), [`Segment`](crate::Segment#sigbus).
///
/// See also `mmap(2)`.
pub struct Mapping {
    memory: MmapRaw,
    access: Access,
}

impl Mapping {
    /// Maps the first `len` bytes of a file, shared. A read-only mapping has only `PROT_READ`, and so
    /// works on files sealed with `F_SEAL_FUTURE_WRITE` too, on every kernel that has that seal.
    pub(crate) fn new(
        file: BorrowedFd<'_>,
        len: usize,
        options: impl Into<MapOptions>,
        resource: &Resource,
    ) -> Result<Self, OpenError> {
        let options = options.into();
        let os = |operation| move |error: io::Error| OpenError::from_os(operation, resource, error);
        let map = |populate: bool| {
            let mut mmap = MmapOptions::new();
            mmap.len(len);
            if populate {
                mmap.populate();
            }
            match options.access {
                Access::ReadOnly => mmap.map_raw_read_only(file.as_raw_fd()),
                Access::ReadWrite => mmap.map_raw(file.as_raw_fd()),
            }
        };
        let mut memory = map(false).map_err(os("mmap"))?;
        if options.huge_pages {
            memory.advise(Advice::HugePage).map_err(os("madvise(MADV_HUGEPAGE)"))?;
        }
        // Also before locking, which would blame its limit for a page that cannot be had.
        if options.prefault || options.lock {
            let advice = match options.access {
                Access::ReadOnly => Advice::PopulateRead,
                Access::ReadWrite => Advice::PopulateWrite,
            };
            match memory.advise(advice) {
                // Before Linux 5.14. This populates as well, but keeps silent about a failure.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => {
                    memory = map(true).map_err(os("mmap(MAP_POPULATE)"))?;
                }
                populated => populated.map_err(os("madvise(MADV_POPULATE)"))?,
            }
        }
        if options.lock {
            memory.lock().map_err(|error| lock_error(error, resource))?;
        }
        Ok(Self { memory, access: options.access })
    }

    /// Length in bytes, as the file's when it was mapped; not rounded up to pages.
    #[expect(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> usize {
        self.memory.len()
    }

    /// What may be done with it.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Its first byte. Valid until the mapping is dropped.
    pub fn as_ptr(&self) -> *const u8 {
        self.memory.as_ptr()
    }

    /// Its first byte. Valid until the mapping is dropped. Writing through the pointer to a
    /// [read-only](Access::ReadOnly) mapping is a fault that ends the process.
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.memory.as_mut_ptr()
    }

    /// The 32-bit word at `offset` bytes.
    ///
    /// # Panics
    ///
    /// If it is out of bounds or not aligned to 4 bytes, or the mapping is read-only (there, use
    /// [`atomic_u32_for_loads`](Self::atomic_u32_for_loads)).
    pub fn atomic_u32(&self, offset: usize) -> &AtomicU32 {
        self.check_writable();
        // SAFETY: the mapping is writable.
        unsafe { self.atomic_u32_for_loads(offset) }
    }

    /// The 64-bit word at `offset` bytes.
    ///
    /// # Panics
    ///
    /// If it is out of bounds or not aligned to 8 bytes, or the mapping is read-only (there, use
    /// [`atomic_u64_for_loads`](Self::atomic_u64_for_loads)).
    pub fn atomic_u64(&self, offset: usize) -> &AtomicU64 {
        self.check_writable();
        // SAFETY: the mapping is writable.
        unsafe { self.atomic_u64_for_loads(offset) }
    }

    /// The 32-bit word at `offset` bytes, of a mapping that may be read-only.
    ///
    /// # Safety
    ///
    /// If the mapping is read-only, the word is only loaded, or slept on
    /// ([`ipc_core::futex::wait`]); a store or a read-modify-write is a fault, even one that would
    /// change nothing.
    ///
    /// # Panics
    ///
    /// If it is out of bounds or not aligned to 4 bytes.
    pub unsafe fn atomic_u32_for_loads(&self, offset: usize) -> &AtomicU32 {
        let word = self.pointer(offset, size_of::<AtomicU32>(), align_of::<AtomicU32>());
        // SAFETY: in bounds and aligned, as was just checked; mapped as long as `self`; other
        // processes are held to atomic access by what the word is for.
        unsafe { AtomicU32::from_ptr(word.cast()) }
    }

    /// The 64-bit word at `offset` bytes, of a mapping that may be read-only.
    ///
    /// # Safety
    ///
    /// If the mapping is read-only, the word is only loaded; a store or a read-modify-write is a
    /// fault, even one that would change nothing.
    ///
    /// # Panics
    ///
    /// If it is out of bounds or not aligned to 8 bytes.
    pub unsafe fn atomic_u64_for_loads(&self, offset: usize) -> &AtomicU64 {
        let word = self.pointer(offset, size_of::<AtomicU64>(), align_of::<AtomicU64>());
        // SAFETY: as in `atomic_u32_for_loads`.
        unsafe { AtomicU64::from_ptr(word.cast()) }
    }

    /// Copies the bytes from `offset` on into `buffer`.
    ///
    /// A peer that writes them at the same time may be seen half-way. Relaxed accesses: what makes
    /// the bytes whole is an acquire load before, of a word that the peer stored after them.
    ///
    /// # Panics
    ///
    /// If the bytes are out of bounds.
    pub fn read_at(&self, offset: usize, buffer: &mut [u8]) {
        let source = self.pointer(offset, buffer.len(), 1);
        // SAFETY: in bounds, as was just checked, and mapped as long as `self`, which gives out no
        // references to plain bytes.
        unsafe { copy::copy_out(source, buffer) }
    }

    /// Copies `bytes` to `offset`.
    ///
    /// A peer that looks at the same time may see them half-way. Relaxed accesses: what publishes
    /// the bytes is a release store after them.
    ///
    /// # Panics
    ///
    /// If they would go out of bounds, or the mapping is read-only.
    pub fn write_at(&self, offset: usize, bytes: &[u8]) {
        self.check_writable();
        let destination = self.pointer(offset, bytes.len(), 1);
        // SAFETY: in bounds and writable, as was just checked, and mapped as long as `self`, which
        // gives out no references to plain bytes.
        unsafe { copy::copy_in(destination, bytes) }
    }

    /// Writes what was changed in these bytes (`..` is all of them) back to the file's storage, and waits until it is there:
    /// by whichever process it was changed. Whole pages are written. Where the mapping is of memory
    /// (memfds, `/dev/shm`) there is nothing to do. See `msync(2)`, `MS_SYNC`.
    ///
    /// ```
    /// use ipc_shm::Segment;
    ///
    /// # let folder = std::env::temp_dir().join(format!("ipc-shm-doc.{}", std::process::id()));
    /// # std::fs::create_dir(&folder)?;
    /// let file = Segment::create_new(folder.join("ledger").as_path(), 8192)?;
    /// file.mapping().write_at(5000, b"paid");
    /// file.mapping().flush(5000..5004)?; // outlives the system from here on
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `msync(2)`: a device's I/O error, or a full file system, in what was written since the
    /// last flush. The data may then be lost, and the next flush may not report it again.
    ///
    /// # Panics
    ///
    /// If the bytes are out of bounds.
    pub fn flush(&self, range: impl RangeBounds<usize>) -> io::Result<()> {
        let (start, len) = self.check_range(range);
        self.memory.flush_range(start, len)
    }

    /// Begins to write what was changed in these bytes back to the file's storage, and does not wait.
    /// See `msync(2)`, `MS_ASYNC`: Linux keeps track of what was changed and writes it back by itself
    /// within some 30 seconds, so this hurries nothing. What an error became of, the next
    /// [`flush`](Self::flush) tells.
    ///
    /// # Errors
    ///
    /// Those of `msync(2)`.
    ///
    /// # Panics
    ///
    /// If the bytes are out of bounds.
    pub fn flush_async(&self, range: impl RangeBounds<usize>) -> io::Result<()> {
        let (start, len) = self.check_range(range);
        self.memory.flush_async_range(start, len)
    }

    /// The start and the length of a range that lies in the mapping.
    #[track_caller]
    fn check_range(&self, range: impl RangeBounds<usize>) -> (usize, usize) {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => self.len(),
        };
        let len = end.saturating_sub(start);
        self.pointer(start, len, 1);
        (start, len)
    }

    /// A pointer to `len` bytes at `offset`, checked.
    #[track_caller]
    fn pointer(&self, offset: usize, len: usize, alignment: usize) -> *mut u8 {
        let in_bounds = offset.checked_add(len).is_some_and(|end| end <= self.len());
        assert!(
            in_bounds,
            "{len} bytes at offset {offset} are outside a mapping of {} bytes",
            self.len()
        );
        // The mapping starts on a page, so offsets are aligned as addresses are.
        assert!(offset % alignment == 0, "offset {offset} is not aligned to {alignment}");
        self.as_mut_ptr().wrapping_add(offset)
    }

    #[track_caller]
    fn check_writable(&self) {
        assert_eq!(self.access, Access::ReadWrite, "the mapping is read-only");
    }
}

impl AsRef<Self> for Mapping {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping")
            .field("len", &self.len())
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// What `mlock(2)` says when the limit is reached: two errors, for a limit of zero and for others.
fn lock_error(error: io::Error, resource: &Resource) -> OpenError {
    match Errno::from_io_error(&error) {
        Some(Errno::NOMEM | Errno::PERM | Errno::AGAIN) => {
            let setting = "RLIMIT_MEMLOCK (ulimit -l)";
            OpenError::new("mlock", resource, OpenErrorKind::Limit { setting, source: error })
        }
        _ => OpenError::from_os("mlock", resource, error),
    }
}
