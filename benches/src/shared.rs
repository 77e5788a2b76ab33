//! Memory that the two measuring processes share, and the board of words on it by which they meet
//! and probe. Leaves out the mechanisms: the limits must not depend on what they judge.

// Maps memory, and lays a struct of atomics over it.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use rustix::fs::MemfdFlags;
use rustix::mm::{MapFlags, ProtFlags};

/// Anonymous shared memory (a memfd), mapped readable and writable, unmapped on drop.
#[derive(Debug)]
pub struct SharedMemory {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread; this type itself hands out only its
// address.
unsafe impl Send for SharedMemory {}
// SAFETY: as above; what is done at the address is for those who dereference it to answer for.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// `len` bytes of zeros, and the descriptor by which another process maps the same.
    ///
    /// # Errors
    ///
    /// Those of `memfd_create(2)`, `ftruncate(2)` and `mmap(2)`.
    pub fn create(len: usize) -> io::Result<(Self, OwnedFd)> {
        let descriptor = rustix::fs::memfd_create("ipc-bench", MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&descriptor, len as u64)?;
        Ok((Self::map(&descriptor)?, descriptor))
    }

    /// Maps all of the memory behind a descriptor.
    ///
    /// # Errors
    ///
    /// Those of `fstat(2)` and `mmap(2)`.
    pub fn map(descriptor: impl AsFd) -> io::Result<Self> {
        let len = rustix::fs::fstat(&descriptor)?.st_size as usize;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, descriptor, 0)
        }?;
        let start = NonNull::new(start.cast()).expect("a mapping is not at address 0");
        Ok(Self { start, len })
    }

    /// The first byte, aligned to a page.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no byte. Never, as the kernel maps nothing of no length.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made in `map`, and nobody uses it any more: the owner, and
        // whatever borrowed from it, ends here.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
        unmapped.expect("the mapping was ours");
    }
}

/// The words on the board, each on cache lines of its own. All are zero at first.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Words {
    /// Written by the host, read by the guest, in the cache-line ping-pong.
    pub ping_line: CachePadded<AtomicU64>,
    /// Written by the guest, read by the host.
    pub pong_line: CachePadded<AtomicU64>,
    /// What the host sleeps on.
    pub host_futex: CachePadded<AtomicU32>,
    /// How often the guest gave the host the turn.
    pub host_turns: CachePadded<AtomicU64>,
    /// What the guest sleeps on.
    pub guest_futex: CachePadded<AtomicU32>,
    /// How often the host gave the guest the turn.
    pub guest_turns: CachePadded<AtomicU64>,
    /// How often the host and the guest have come to a [`rendezvous`](Board::rendezvous).
    arrivals: [CachePadded<AtomicU32>; 2],
    /// The receiver of a stream has had enough of it.
    pub stream_done: CachePadded<AtomicU32>,
    /// When a paced stream begins: `CLOCK_MONOTONIC`, in nanoseconds.
    pub paced_start_ns: CachePadded<AtomicU64>,
}

/// Which of the two processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that begins, and measures.
    Host,
    /// The one that answers.
    Guest,
}

/// The [`Words`] that both sides see.
#[derive(Clone, Debug)]
pub struct Board {
    memory: Arc<SharedMemory>,
    side: Side,
}

impl Board {
    /// A new board, with the descriptor for the guest.
    ///
    /// # Errors
    ///
    /// Those of [`SharedMemory::create`].
    pub fn create() -> io::Result<(Self, OwnedFd)> {
        let (memory, descriptor) = SharedMemory::create(size_of::<Words>())?;
        Ok((Self { memory: Arc::new(memory), side: Side::Host }, descriptor))
    }

    /// The host's board, in the guest.
    ///
    /// # Errors
    ///
    /// Those of [`SharedMemory::map`].
    pub fn join(descriptor: impl AsFd) -> io::Result<Self> {
        let memory = SharedMemory::map(descriptor)?;
        assert!(memory.len() >= size_of::<Words>(), "the host's board is of another version");
        Ok(Self { memory: Arc::new(memory), side: Side::Guest })
    }

    /// The same board as the other side sees it, for two threads of one process.
    pub fn other_side(&self) -> Self {
        let side = if self.side == Side::Host { Side::Guest } else { Side::Host };
        Self { memory: Arc::clone(&self.memory), side }
    }

    /// Whose view this is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// The words.
    pub fn words(&self) -> &Words {
        // SAFETY: the mapping is long enough (`create`, `join`), page-aligned, and lives as long as
        // `self`; zeros are valid words; they are atomics, so both processes may write them.
        unsafe { self.memory.start().cast::<Words>().as_ref() }
    }

    /// Waits until the other side has come here as often, awake: spinning at first, then leaving
    /// the processor to others, since the other side may be one of them.
    pub fn rendezvous(&self) {
        let [host, guest] = &self.words().arrivals;
        let (mine, theirs) = match self.side {
            Side::Host => (host, guest),
            Side::Guest => (guest, host),
        };
        // Pairs with the Acquire below: whatever was written before the rendezvous is seen after it.
        let count = mine.fetch_add(1, Ordering::Release) + 1;
        let mut looks = 0u32;
        while theirs.load(Ordering::Acquire) < count {
            looks += 1;
            if looks < 10_000 { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    }
}
