//! What lies in the memory of host and guest.

// Lays a struct over shared memory.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::AtomicU32;

use crossbeam_utils::CachePadded;
use ipc_shm::{AutoResetEvent, Condvar, Mutex, RwLock, Semaphore, Value};

use super::pthread::{PosixSemaphore, PthreadCondvar, PthreadMutex, PthreadRwLock, Sort};
use crate::shared::SharedMemory;

/// The locks, all free in zeroed memory; those of libc must be initialised.
#[repr(C)]
pub(super) struct Locks {
    pub(super) mutexes: [CachePadded<Mutex<()>>; 3],
    pub(super) robust: [CachePadded<PthreadMutex>; 3],
    pub(super) plain: [CachePadded<PthreadMutex>; 3],
    pub(super) lock: CachePadded<RwLock<()>>,
    pub(super) pthread_lock: CachePadded<PthreadRwLock>,
    pub(super) semaphores: [CachePadded<Semaphore>; 2],
    pub(super) posix_semaphores: [CachePadded<PosixSemaphore>; 2],
    pub(super) events: [CachePadded<AutoResetEvent>; 2],
    /// Whose turn it is, by a mutex and a condition variable each.
    pub(super) turn: CachePadded<Mutex<Value<u32>>>,
    pub(super) turned: CachePadded<Condvar>,
    pub(super) pthread_turn: CachePadded<(PthreadMutex, AtomicU32)>,
    pub(super) pthread_turned: CachePadded<PthreadCondvar>,
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
        place.locks().pthread_lock.initialise();
        place.locks().posix_semaphores.iter().for_each(|semaphore| semaphore.initialise());
        place.locks().pthread_turn.0.initialise(Sort::Shared);
        place.locks().pthread_turned.initialise();
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
