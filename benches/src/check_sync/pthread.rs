//! libc's locks, as bare as a C program has them.

// C functions that take pointers.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

/// A `pthread_mutex_t`.
#[repr(transparent)]
pub(super) struct PthreadMutex(UnsafeCell<libc::pthread_mutex_t>);

/// What sort of mutex.
#[derive(Clone, Copy)]
pub(super) enum Sort {
    /// `PTHREAD_PROCESS_PRIVATE`, `PTHREAD_MUTEX_STALLED`: the default.
    Private,
    /// `PTHREAD_PROCESS_SHARED`.
    Shared,
    /// `PTHREAD_PROCESS_SHARED`, `PTHREAD_MUTEX_ROBUST`.
    Robust,
}

// SAFETY: it is for use by several threads.
unsafe impl Sync for PthreadMutex {}

impl PthreadMutex {
    /// One that is not yet [initialised](Self::initialise).
    pub(super) fn zeroed() -> Self {
        // SAFETY: a C struct of numbers and pointers, for which zeros are a value.
        Self(UnsafeCell::new(unsafe { MaybeUninit::zeroed().assume_init() }))
    }

    /// Makes it a mutex of this sort. Nobody may use it yet.
    pub(super) fn initialise(&self, sort: Sort) {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: initialises the attributes.
        check(unsafe { libc::pthread_mutexattr_init(attributes.as_mut_ptr()) });
        if !matches!(sort, Sort::Private) {
            let shared = libc::PTHREAD_PROCESS_SHARED;
            // SAFETY: they are initialised.
            check(unsafe { libc::pthread_mutexattr_setpshared(attributes.as_mut_ptr(), shared) });
        }
        if matches!(sort, Sort::Robust) {
            let robust = libc::PTHREAD_MUTEX_ROBUST;
            // SAFETY: as above.
            check(unsafe { libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), robust) });
        }
        // SAFETY: from attributes that are initialised, a mutex that nobody uses yet.
        check(unsafe { libc::pthread_mutex_init(self.0.get(), attributes.as_ptr()) });
    }

    #[inline]
    pub(super) fn lock(&self) {
        // SAFETY: initialised, and it stays where it is.
        check(unsafe { libc::pthread_mutex_lock(self.0.get()) });
    }

    #[inline]
    pub(super) fn unlock(&self) {
        // SAFETY: as above; locked by this thread.
        check(unsafe { libc::pthread_mutex_unlock(self.0.get()) });
    }
}

/// A `sem_t`, shared, without units.
#[repr(transparent)]
pub(super) struct PosixSemaphore(UnsafeCell<libc::sem_t>);

// SAFETY: it is for use by several threads.
unsafe impl Sync for PosixSemaphore {}

impl PosixSemaphore {
    pub(super) fn initialise(&self) {
        // SAFETY: memory for a semaphore that nobody uses yet.
        check(unsafe { libc::sem_init(self.0.get(), 1, 0) });
    }

    #[inline]
    pub(super) fn post(&self) {
        // SAFETY: initialised, and it stays where it is.
        check(unsafe { libc::sem_post(self.0.get()) });
    }

    #[inline]
    pub(super) fn wait(&self) {
        // SAFETY: as above.
        check(unsafe { libc::sem_wait(self.0.get()) });
    }
}

/// A `pthread_rwlock_t`, shared.
#[repr(transparent)]
pub(super) struct PthreadRwLock(UnsafeCell<libc::pthread_rwlock_t>);

// SAFETY: it is for use by several threads.
unsafe impl Sync for PthreadRwLock {}

impl PthreadRwLock {
    pub(super) fn initialise(&self) {
        let mut attributes = MaybeUninit::uninit();
        let shared = libc::PTHREAD_PROCESS_SHARED;
        // SAFETY: initialises the attributes.
        check(unsafe { libc::pthread_rwlockattr_init(attributes.as_mut_ptr()) });
        // SAFETY: they are initialised.
        check(unsafe { libc::pthread_rwlockattr_setpshared(attributes.as_mut_ptr(), shared) });
        // SAFETY: from attributes that are initialised, a lock that nobody uses yet.
        check(unsafe { libc::pthread_rwlock_init(self.0.get(), attributes.as_ptr()) });
    }

    #[inline]
    pub(super) fn read(&self) {
        // SAFETY: initialised, and it stays where it is.
        check(unsafe { libc::pthread_rwlock_rdlock(self.0.get()) });
    }

    #[inline]
    pub(super) fn write(&self) {
        // SAFETY: as above.
        check(unsafe { libc::pthread_rwlock_wrlock(self.0.get()) });
    }

    #[inline]
    pub(super) fn unlock(&self) {
        // SAFETY: as above; locked by this thread.
        check(unsafe { libc::pthread_rwlock_unlock(self.0.get()) });
    }
}

/// A `pthread_cond_t`, shared.
#[repr(transparent)]
pub(super) struct PthreadCondvar(UnsafeCell<libc::pthread_cond_t>);

// SAFETY: it is for use by several threads.
unsafe impl Sync for PthreadCondvar {}

impl PthreadCondvar {
    pub(super) fn initialise(&self) {
        let mut attributes = MaybeUninit::uninit();
        let shared = libc::PTHREAD_PROCESS_SHARED;
        // SAFETY: initialises the attributes.
        check(unsafe { libc::pthread_condattr_init(attributes.as_mut_ptr()) });
        // SAFETY: they are initialised.
        check(unsafe { libc::pthread_condattr_setpshared(attributes.as_mut_ptr(), shared) });
        // SAFETY: from attributes that are initialised, memory that nobody uses yet.
        check(unsafe { libc::pthread_cond_init(self.0.get(), attributes.as_ptr()) });
    }

    #[inline]
    pub(super) fn signal(&self) {
        // SAFETY: initialised, and it stays where it is.
        check(unsafe { libc::pthread_cond_signal(self.0.get()) });
    }

    /// With the mutex held.
    #[inline]
    pub(super) fn wait(&self, mutex: &PthreadMutex) {
        // SAFETY: as above; the mutex is locked by this thread.
        check(unsafe { libc::pthread_cond_wait(self.0.get(), mutex.0.get()) });
    }
}

#[inline]
fn check(error: libc::c_int) {
    assert_eq!(error, 0, "libc refused");
}
