//! What the kernel is told: whichever locks a thread holds when it dies, in whatever order it took and
//! released them, and whatever libc's robust mutexes did in between.

// libc's mutexes.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

use ipc_shm::{LockError, Mutex, MutexGuard, Shared, TypeIdentity};
use ipc_testing::between_processes;

use crate::fork::Child;
use crate::place::{at, memory, shared};

const LOCKS: usize = 6;

/// Ours and libc's.
#[repr(C)]
struct Locks {
    ours: [Mutex<()>; LOCKS],
    libcs: [LibcMutex; LOCKS],
}

// SAFETY: mutexes for several processes; libc's are initialised before anybody uses them. Only forks of one
// process use it.
unsafe impl Shared for Locks {
    const IDENTITY: TypeIdentity = TypeIdentity { size_bytes: size_of::<Self>() as u64, hash: 0 };
}

/// A robust mutex of libc, shared between processes.
#[repr(transparent)]
struct LibcMutex(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: for use by several threads.
unsafe impl Sync for LibcMutex {}

impl LibcMutex {
    fn initialise(&self) {
        let mut attributes = MaybeUninit::uninit();
        let (shared, robust) = (libc::PTHREAD_PROCESS_SHARED, libc::PTHREAD_MUTEX_ROBUST);
        // SAFETY: initialises the attributes.
        unsafe { libc::pthread_mutexattr_init(attributes.as_mut_ptr()) };
        // SAFETY: they are initialised.
        unsafe { libc::pthread_mutexattr_setpshared(attributes.as_mut_ptr(), shared) };
        // SAFETY: as above.
        unsafe { libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), robust) };
        // SAFETY: from attributes that are initialised, a mutex that nobody uses yet.
        unsafe { libc::pthread_mutex_init(self.0.get(), attributes.as_ptr()) };
    }

    fn lock(&self) -> libc::c_int {
        // SAFETY: initialised.
        unsafe { libc::pthread_mutex_lock(self.0.get()) }
    }

    fn unlock(&self) {
        // SAFETY: initialised, and locked by this thread.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(self.0.get()) }, 0);
    }

    /// Takes it; whether its owner had died.
    #[track_caller]
    fn is_inherited(&self) -> bool {
        match self.lock() {
            0 => false,
            libc::EOWNERDEAD => {
                // SAFETY: locked by this thread, and told that its owner had died.
                assert_eq!(unsafe { libc::pthread_mutex_consistent(self.0.get()) }, 0);
                true
            }
            error => panic!("error {error}"),
        }
    }
}

/// Takes and releases locks of both kinds at random.
struct Juggler {
    locks: &'static Locks,
    ours: [Option<MutexGuard<'static, ()>>; LOCKS],
    libcs: [bool; LOCKS],
    random: u64,
}

impl Juggler {
    fn step(&mut self) {
        // A linear congruential generator: Knuth's numbers.
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let index = (self.random >> 40) as usize % LOCKS;
        if self.random >> 63 == 0 {
            self.ours[index] = match self.ours[index].take() {
                Some(_released) => None,
                None => Some(self.locks.ours[index].lock().expect("nobody else is there")),
            };
        } else {
            let was_held = self.libcs[index];
            self.libcs[index] = !was_held;
            let lock = &self.locks.libcs[index];
            if was_held { lock.unlock() } else { assert_eq!(lock.lock(), 0) }
        }
    }

    /// What it holds: a bit for each.
    fn held(&self) -> u64 {
        let held = self.ours.iter().map(Option::is_some).chain(self.libcs);
        held.enumerate().fold(0, |bits, (index, is_held)| bits | u64::from(is_held) << index)
    }
}

#[test]
fn the_kernel_frees_whatever_a_thread_holds_beside_libcs_mutexes() {
    between_processes!(
        |_guest| {
            let locks = shared::<Locks>();
            locks.libcs.iter().for_each(LibcMutex::initialise);
            let note = shared::<[std::sync::atomic::AtomicU64; 1]>();
            for seed in 0..150 {
                // Every fourth time libc is first in this thread.
                let first = seed % 4 == 0;
                let child = Child::fork(|| {
                    std::thread::scope(|scope| {
                        scope.spawn(|| {
                            let (ours, libcs) = ([const { None }; LOCKS], [false; LOCKS]);
                            let mut juggler = Juggler { locks, ours, libcs, random: seed };
                            if first {
                                assert_eq!(locks.libcs[0].lock(), 0);
                                juggler.libcs[0] = true;
                            }
                            for _ in 0..seed {
                                juggler.step();
                            }
                            note[0].store(juggler.held(), std::sync::atomic::Ordering::Release);
                            std::mem::forget(juggler.ours);
                        });
                    });
                });
                child.finish();
                let mut found = 0;
                for (index, lock) in locks.ours.iter().enumerate() {
                    let mut guard = lock.try_lock().expect("its owner has ended");
                    found |= u64::from(guard.owner_died()) << index;
                    guard.mark_repaired();
                }
                for (index, lock) in locks.libcs.iter().enumerate() {
                    found |= u64::from(lock.is_inherited()) << (LOCKS + index);
                    lock.unlock();
                }
                let held = note[0].load(std::sync::atomic::Ordering::Acquire);
                assert_eq!(found, held, "seed {seed}");
            }
        },
        |_host| {},
    );
}

#[test]
fn a_thread_holds_64_locks_and_no_more_and_all_are_freed_with_it() {
    between_processes!(
        |_guest| {
            let locks = shared::<[Mutex<()>; 65]>();
            let child = Child::fork(|| {
                let mut guards: Vec<_> =
                    locks[..64].iter().map(|lock| lock.lock().expect("free")).collect();
                let refused = locks[64].lock();
                assert!(matches!(refused, Err(LockError::TooManyHeld { max: 64 })));
                // Any one makes room.
                drop(guards.remove(20));
                std::mem::forget(locks[64].lock().expect("there is room"));
                assert!(matches!(locks[20].lock(), Err(LockError::TooManyHeld { .. })));
                std::mem::forget(guards);
            });
            child.finish();
            for (index, lock) in locks.iter().enumerate() {
                let guard = lock.try_lock().expect("its owner has ended");
                assert_eq!(guard.owner_died(), index != 20, "lock {index}");
            }
        },
        |_host| {},
    );
}

#[test]
fn a_lock_that_was_forgotten_and_unmapped_does_no_harm_to_later_ones() {
    between_processes!(
        |_guest| {
            let kept = shared::<[Mutex<()>; 2]>();
            let child = Child::fork(|| {
                let first = kept[0].lock().expect("free");
                let (memory, _) = memory::<Mutex<()>>();
                std::mem::forget(at::<Mutex<()>>(&memory).lock().expect("free"));
                drop(memory);
                std::mem::forget(kept[1].lock().expect("free"));
                drop(first); // was taken before it
            });
            child.finish();
            assert!(!kept[0].try_lock().expect("released").owner_died());
            assert!(kept[1].try_lock().expect("its owner has ended").owner_died());
        },
        |_host| {},
    );
}
