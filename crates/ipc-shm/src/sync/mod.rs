//! Synchronisation between processes, in the memory that they share: what lies there, byte by byte, and
//! whom it survives.
//!
//! | type | bytes | zeroed memory is |
//! |---|---|---|
//! | [`Mutex<T>`](Mutex) | 40, and `T` | free |
//! | [`RwLock<T>`](RwLock) | 64, and 64 for each reader at a time, and `T` | free |
//! | [`Condvar`] | 4 | waited for by nobody |
//! | [`Semaphore`] | 4 | at zero |
//! | [`ManualResetEvent`], [`AutoResetEvent`] | 4 | not set |
//! | [`Barrier`] | 8, and 40 for each party | without members |
//! | [`OnceCell<T>`](OnceCell), [`Once`] | 48, and `T` | not initialised |
//!
//! All words are in the machine's byte order. Nothing here is compatible with libc's types of the same
//! names; for C programs there are named semaphores.

// Asserts an unsafe trait.
#![allow(unsafe_code)]

mod barrier;
mod condvar;
mod error;
mod event;
mod mutex;
#[cfg(not(ipc_loom))]
mod named_semaphore;
mod once;
pub(crate) mod robust;
mod rwlock;
mod semaphore;
#[cfg(not(ipc_loom))]
mod value;

use ipc_core::WaitStrategy;

pub use barrier::{Barrier, BarrierError, BarrierMember};
pub use condvar::Condvar;
pub use error::LockError;
pub use event::{AutoResetEvent, ManualResetEvent};
pub use mutex::{Mutex, MutexGuard};
#[cfg(not(ipc_loom))]
pub use named_semaphore::NamedSemaphore;
pub use once::{Once, OnceCell};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::Semaphore;
#[cfg(not(ipc_loom))]
pub use value::Value;

/// How a lock is waited for where nobody says otherwise: a few microseconds awake, about as long as short
/// critical sections take, and then asleep.
const LOCK_STRATEGY: WaitStrategy = WaitStrategy::Adaptive { spins: 100 };

// SAFETY: nothing at all.
#[cfg(not(ipc_loom))]
unsafe impl crate::Shared for () {
    const IDENTITY: crate::TypeIdentity = crate::TypeIdentity::of_struct("()", 0, 1, &[]);
}
