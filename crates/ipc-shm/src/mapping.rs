//! Shared memory mapped into this process: raw access, checked for bounds. Leaves out what is mapped
//! (see [`Memfd`](crate::Memfd) and [`Segment`](crate::Segment)) and what the bytes mean.

// Hands out atomics in mapped memory and copies bytes to and from it.
#![allow(unsafe_code)]

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};
// Not the facade's types: loom has no mapped memory. Ordinarily they are the same.
use std::sync::atomic::{AtomicU32, AtomicU64};

use ipc_core::{OpenError, Resource};
use memmap2::{MmapOptions, MmapRaw};

use crate::copy;

/// What may be done with a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Look only: `PROT_READ`.
    ReadOnly,
    /// Look and write: `PROT_READ | PROT_WRITE`.
    ReadWrite,
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
        access: Access,
        resource: &Resource,
    ) -> Result<Self, OpenError> {
        let mut options = MmapOptions::new();
        options.len(len);
        let file = file.as_raw_fd();
        let memory = match access {
            Access::ReadOnly => options.map_raw_read_only(file),
            Access::ReadWrite => options.map_raw(file),
        };
        let memory = memory.map_err(|error| OpenError::from_os("mmap", resource, error))?;
        Ok(Self { memory, access })
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

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping")
            .field("len", &self.len())
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}
