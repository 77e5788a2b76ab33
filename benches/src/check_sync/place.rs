//! What lies in the memory of host and guest.

// Lays a struct over shared memory.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crossbeam_utils::CachePadded;
use ipc_shm::Mutex;

use super::pthread::{PthreadMutex, Sort};
use crate::shared::SharedMemory;

/// The locks, all free in zeroed memory; those of libc must be initialised.
#[repr(C)]
pub(super) struct Locks {
    pub(super) mutexes: [CachePadded<Mutex<()>>; 3],
    pub(super) robust: [CachePadded<PthreadMutex>; 3],
    pub(super) plain: [CachePadded<PthreadMutex>; 3],
}

/// The memory.
pub(super) struct Place {
    memory: SharedMemory,
}

impl Place {
    /// New memory, and the descriptor for the guest.
    pub(super) fn create() -> io::Result<(Self, OwnedFd)> {
        let (memory, descriptor) = SharedMemory::create(size_of::<Locks>())?;
        let place = Self { memory };
        for mutex in &place.locks().robust {
            mutex.initialise(Sort::Robust);
        }
        for mutex in &place.locks().plain {
            mutex.initialise(Sort::Shared);
        }
        Ok((place, descriptor))
    }

    /// The host's memory, in the guest.
    pub(super) fn join(descriptor: impl AsFd) -> io::Result<Self> {
        Ok(Self { memory: SharedMemory::map(descriptor)? })
    }

    pub(super) fn locks(&self) -> &Locks {
        // SAFETY: mapped as long as `self` lives, page-aligned, as long as a `Locks`; zeros are a value of
        // each field; all are for use by several processes.
        unsafe { self.memory.start().cast::<Locks>().as_ref() }
    }
}
