//! What has an owner: the mutex, the read-write lock, the once-cell, the barrier's seats.

use std::time::Duration;

use ipc_core::Deadline;
use ipc_shm::{BarrierError, BarrierMember, LockError};
use ipc_testing::crash::{Fate, Scene};

use super::{All, Checks, PARK, busy, cued, drop_it, idle, nothing, shortly, soon};

pub(super) fn scenes() -> Vec<Scene> {
    [mutex(), read_write_lock(), once(), barrier()].into_iter().flatten().collect()
}

/// Takes the mutex, with the right verdict; what is in it.
#[track_caller]
pub(super) fn mutex_after(all: &All, fate: Fate) -> u64 {
    let mut guard = all.mutex.lock_deadline(soon()).expect("nobody has it");
    assert!(fate == Fate::Killed || !guard.owner_died(), "nobody has died");
    guard.mark_repaired();
    let value = guard.get();
    drop(guard);
    assert!(!all.mutex.try_lock().expect("nobody has it").owner_died(), "it was repaired");
    if fate == Fate::Killed { value } else { 0 }
}

/// The mutex of a stopped victim is free or taken, and never abandoned.
pub(super) fn mutex_meanwhile(all: &All) {
    match all.mutex.lock_deadline(shortly()) {
        Ok(guard) => assert!(!guard.owner_died(), "it is only stopped"),
        Err(error) => assert!(matches!(error, LockError::TimedOut), "{error}"),
    }
}

fn mutex() -> Vec<Scene> {
    fn take_and_set(all: &'static All, (): ()) {
        let mut guard = all.mutex.lock().expect("free");
        guard.mark_repaired();
        guard.set(&1);
    }
    fn die_with_it(all: &All) {
        std::thread::scope(|scope| {
            let owner = scope.spawn(|| std::mem::forget(all.mutex.lock().expect("free")));
            owner.join().expect("no panic");
        });
    }
    fn poison(all: &All) {
        die_with_it(all);
        drop(all.mutex.lock().expect("its owner has ended"));
    }
    let checks = Checks { meanwhile: mutex_meanwhile, ..Checks::new(mutex_after) };
    let both = Checks {
        after: |all, fate| {
            let mut older = all.warm.lock_deadline(soon()).expect("nobody has it");
            assert!(fate == Fate::Killed || !older.owner_died(), "nobody has died");
            older.mark_repaired();
            mutex_after(all, fate)
        },
        ..checks
    };
    vec![
        idle(("mutex: lock, set, unlock", "free"), |_| (), take_and_set, checks).takes_effect(),
        idle(
            ("mutex: lock, set, unlock both", "another one is held"),
            |all| all.warm.lock().expect("free"),
            |all, older| {
                take_and_set(all, ());
                drop(older);
            },
            both,
        )
        .takes_effect(),
        idle(
            ("mutex: lock, set, unlock both, the older one first", "another one is held"),
            |all| all.warm.lock().expect("free"),
            |all, older| {
                let mut guard = all.mutex.lock().expect("free");
                guard.set(&1);
                drop(older);
            },
            both,
        )
        .takes_effect(),
        idle(
            ("mutex: lock, repair, set, unlock", "owner died"),
            |_| (),
            take_and_set,
            Checks {
                prepare: die_with_it,
                meanwhile: |_| (),
                after: |all, fate| {
                    let mut guard = all.mutex.lock_deadline(soon()).expect("nobody has it");
                    guard.mark_repaired();
                    if fate == Fate::Killed { guard.get() } else { 0 }
                },
            },
        )
        .takes_effect(),
        // The effect: that it is poisoned.
        idle(
            ("mutex: unlock without repair", "owner died"),
            |_| (),
            |all, ()| drop(all.mutex.lock().expect("its owner has ended")),
            Checks {
                prepare: die_with_it,
                meanwhile: |_| (),
                after: |all, fate| match all.mutex.lock_deadline(soon()) {
                    Ok(guard) => {
                        assert!(fate == Fate::Killed && guard.owner_died());
                        0
                    }
                    Err(LockError::Poisoned) => u64::from(fate == Fate::Killed),
                    Err(error) => panic!("{error}"),
                },
            },
        )
        .takes_effect(),
        // The effect: that it is not poisoned any more.
        idle(
            ("mutex: recover, repair, unlock", "poisoned"),
            |_| (),
            |all, ()| {
                let mut guard = all.mutex.recover().expect("no error").expect("poisoned");
                guard.mark_repaired();
            },
            Checks {
                prepare: poison,
                meanwhile: |_| (),
                after: |all, fate| match all.mutex.lock_deadline(soon()) {
                    Ok(_) => u64::from(fate == Fate::Killed),
                    Err(LockError::Poisoned) => {
                        assert_eq!(fate, Fate::Killed);
                        0
                    }
                    Err(error) => panic!("{error}"),
                },
            },
        )
        .takes_effect(),
        busy(
            ("mutex: unlock", "another one sleeps on it"),
            |all| all.mutex.lock().expect("free"),
            |_, guard| drop(guard),
            |all, fate| {
                let mut guard = all.mutex.lock_with(PARK, Deadline::Never).expect("no error");
                assert!(fate.is_none() || !guard.owner_died(), "repaired before");
                guard.mark_repaired();
                0
            },
        ),
        cued(
            ("mutex: lock, unlock", "taken"),
            |all, ()| drop(all.mutex.lock_with(PARK, Deadline::Never).expect("released")),
            |all| Some(Box::new(all.mutex.lock().expect("free"))),
            drop_it,
            mutex_after,
        ),
        cued(
            ("mutex: lock, unlock, awake at first", "taken"),
            |all, ()| drop(all.mutex.lock().expect("released")),
            |all| Some(Box::new(all.mutex.lock().expect("free"))),
            drop_it,
            mutex_after,
        ),
    ]
}

fn read_write_lock() -> Vec<Scene> {
    /// Whoever it was, there is nobody inside now, all slots are free, and a torn value is repaired.
    #[track_caller]
    fn after(all: &All, fate: Fate) -> u64 {
        let readable = match all.lock.read_deadline(soon()) {
            Ok(_guard) => true,
            Err(LockError::NeedsRepair) => false,
            Err(error) => panic!("{error}"),
        };
        let mut guard = all.lock.write_deadline(soon()).expect("nobody has it");
        assert_eq!(readable, !guard.owner_died(), "readers and writers are told the same");
        assert!(fate == Fate::Killed || readable, "nobody has died");
        guard.mark_repaired();
        let value = guard.get();
        drop(guard);
        let _both = [(); 2].map(|()| all.lock.try_read().expect("a slot"));
        if fate == Fate::Killed { value } else { 0 }
    }
    fn meanwhile(all: &All) {
        match all.lock.read_deadline(shortly()) {
            Ok(_) | Err(LockError::TimedOut) => {}
            Err(error) => panic!("it is only stopped: {error}"),
        }
        match all.lock.write_deadline(shortly()) {
            Ok(guard) => assert!(!guard.owner_died(), "it is only stopped"),
            Err(error) => assert!(matches!(error, LockError::TimedOut), "{error}"),
        }
    }
    fn read(all: &'static All, (): ()) {
        let guard = all.lock.read_with(PARK, Deadline::Never).expect("no writer died");
        std::hint::black_box(guard.get());
    }
    fn write(all: &'static All, (): ()) {
        all.lock.write_with(PARK, Deadline::Never).expect("no error").set(&1);
    }
    let checks = Checks { meanwhile, ..Checks::new(after) };
    vec![
        idle(("rwlock: read, unlock", "free"), |_| (), read, checks),
        idle(("rwlock: write, unlock", "free"), |_| (), write, checks).takes_effect(),
        busy(
            ("rwlock: end of reading", "a writer sleeps"),
            |all| all.lock.read().expect("free"),
            |_, guard| drop(guard),
            |all, fate| {
                let guard = all.lock.write_with(PARK, Deadline::Never).expect("no error");
                assert!(!guard.owner_died(), "a reader leaves nothing to repair: {fate:?}");
                0
            },
        ),
        busy(
            ("rwlock: end of writing", "a reader sleeps"),
            |all| all.lock.write().expect("free"),
            |_, guard| drop(guard),
            |all, fate| match all.lock.read_with(PARK, Deadline::Never) {
                Ok(_) => 0,
                Err(LockError::NeedsRepair) if fate != Some(Fate::Stopped) => 0,
                Err(error) => panic!("{fate:?}: {error}"),
            },
        ),
        cued(
            ("rwlock: read, unlock", "a writer has it"),
            read,
            |all| Some(Box::new(all.lock.write().expect("free"))),
            drop_it,
            after,
        ),
        cued(
            ("rwlock: write, unlock", "a reader has it"),
            write,
            |all| Some(Box::new(all.lock.read().expect("free"))),
            drop_it,
            after,
        )
        .takes_effect()
        // Which slot the survivor takes depends on its thread id.
        .varies(),
    ]
}

fn once() -> Vec<Scene> {
    fn initialise(all: &'static All, (): ()) {
        let value = all.once.get_or_init(|value| value.store(&7)).expect("no error");
        assert_eq!(value.load(), 7);
    }
    fn after(all: &All, fate: Fate) -> u64 {
        let was_there = all.once.get().is_some();
        let value = all.once.get_or_init_deadline(soon(), |value| value.store(&7));
        assert_eq!(value.expect("nobody is at it").load(), 7);
        u64::from(was_there && fate == Fate::Killed)
    }
    vec![
        idle(
            ("once: initialise", "not initialised"),
            |_| (),
            initialise,
            Checks {
                meanwhile: |all| match all.once.get_or_init_deadline(shortly(), |v| v.store(&7)) {
                    Ok(value) => assert_eq!(value.load(), 7),
                    Err(error) => assert!(matches!(error, LockError::TimedOut), "{error}"),
                },
                ..Checks::new(after)
            },
        )
        .takes_effect(),
        idle(
            ("once: get", "initialised"),
            |_| (),
            initialise,
            Checks {
                prepare: |all| assert_eq!(after(all, Fate::Stopped), 0),
                ..Checks::new(|_, _| 0)
            },
        ),
    ]
}

fn barrier() -> Vec<Scene> {
    fn join(all: &'static All) -> BarrierMember<'static, 2> {
        all.barrier.join().expect("a seat")
    }
    /// For a victim that comes, if it lives.
    fn comes_soon() -> Deadline {
        Deadline::after(Duration::from_millis(30))
    }
    /// The barrier is broken if a member died, and works after a repair.
    fn after(all: &All, fate: Fate) -> u64 {
        let is_broken = all.barrier.is_broken();
        assert!(fate == Fate::Killed || !is_broken, "nobody has died");
        if is_broken {
            assert!(matches!(all.barrier.join(), Err(BarrierError::Broken)));
            all.barrier.repair().expect("no error");
        }
        std::thread::scope(|scope| {
            let other = scope.spawn(|| all.barrier.join().expect("a seat").wait(soon()));
            let mine = all.barrier.join().expect("a seat").wait(soon());
            let others = other.join().expect("no panic");
            assert!(mine.expect("all come") ^ others.expect("all come"));
        });
        0
    }
    fn wait(all: &'static All, mut member: BarrierMember<'static, 2>) {
        member.wait(Deadline::Never).expect("the other one lives");
        let _ = all;
    }
    vec![
        idle(
            ("barrier: join, leave", "free"),
            |_| (),
            |all, ()| drop(join(all)),
            Checks::new(after),
        ),
        busy(("barrier: wait, leave", "the other one sleeps"), join, wait, |all, fate| {
            if let Some(fate) = fate {
                return after(all, fate);
            }
            match all.barrier.join().expect("a seat").wait(Deadline::Never) {
                Ok(_) | Err(BarrierError::Broken) => 0,
                Err(error) => panic!("{error}"),
            }
        })
        .varies(),
        cued(
            ("barrier: join, wait, leave", "the other one comes later"),
            |all, ()| wait(all, join(all)),
            nothing,
            |all, _| match all.barrier.join().map(|mut member| member.wait(comes_soon())) {
                Ok(Ok(_) | Err(BarrierError::Broken | BarrierError::TimedOut))
                | Err(BarrierError::Broken) => {}
                other => panic!("{other:?}"),
            },
            |all, fate| {
                let _ = all.barrier.repair();
                after(all, fate)
            },
        )
        .varies(),
    ]
}
