//! The victim takes, holds, releases or waits for a lock, an event, a barrier. Afterwards the survivor gets it,
//! with the right verdict: what a dead owner held is said to want repair, and what a stopped one holds is not
//! taken from it.

// Refers to a shared type in a segment.
#![allow(unsafe_code)]

use std::time::Duration;

use ipc_core::{Deadline, WaitStrategy};
use ipc_shm::{
    AutoResetEvent, Barrier, BarrierError, BarrierMember, Condvar, LockError, ManualResetEvent,
    Mutex, NamedSemaphore, OnceCell, RwLock, Segment, Semaphore, Value,
};
use ipc_testing::crash::{Cue, Fate, Scene, Survivor, Victim};

use crate::place::{name, own_name};

ipc_shm::shared! {
    /// One of each.
    struct All("test.All/1") {
        /// So that a process has told the kernel of its list before it is tried.
        warm: Mutex<()>,
        mutex: Mutex<Value<u64>>,
        lock: RwLock<Value<u64>, 2>,
        changed: Condvar,
        semaphore: Semaphore,
        manual: ManualResetEvent,
        auto: AutoResetEvent,
        once: OnceCell<Value<u64>>,
        barrier: Barrier<2>,
    }
}

/// The segment of one trial.
struct Place(Segment);

impl Place {
    fn create(survivor: &Survivor) -> Self {
        let name = name(survivor.partner_pid());
        Self(Segment::create_new(&name, size_of::<All>()).expect("the name is free"))
    }

    fn all(&self) -> &All {
        let memory = self.0.mapping();
        assert!(memory.len() >= size_of::<All>());
        // SAFETY: mapped as long as the reference lives, long enough, aligned since it begins at a page; any
        // bytes are a value of a shared type.
        unsafe { &*memory.as_ptr().cast::<All>() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.0.unlink(); // the victim may have done so already
    }
}

/// How a survivor waits for what it must get, and for what it need not get: less than the kit's patience.
fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(60))
}

/// For what a stopped victim may have.
fn shortly() -> Deadline {
    Deadline::after(Duration::from_millis(2))
}

/// In one way each time.
const PARK: WaitStrategy = WaitStrategy::Park;

/// A victim that comes into a state by `set_up`, and then `act`s; with a partner that `parks`, when that
/// sleeps.
fn victim<G: 'static>(
    set_up: fn(&'static All) -> G,
    act: fn(&'static All, G),
    parks: bool,
) -> impl Fn(&mut Victim) {
    move |victim| {
        victim.wait();
        // For the rest of its short life.
        let segment = Segment::open(&own_name()).expect("the survivor has made it");
        let all = Box::leak(Box::new(Place(segment))).all();
        drop(all.warm.lock().expect("free"));
        let state = set_up(all);
        if parks {
            victim.signal();
            victim.wait_until_partner_parks();
        }
        victim.operation(|| act(all, state));
        victim.signal();
    }
}

/// What the survivor does.
#[derive(Clone, Copy)]
struct Checks {
    /// Before the victim begins.
    prepare: fn(&All),
    /// While the victim is stopped: without being taken in.
    meanwhile: fn(&All),
    /// When it is dead, or has come to its end: the effect.
    after: fn(&All, Fate) -> u64,
}

impl Checks {
    fn new(after: fn(&All, Fate) -> u64) -> Self {
        Self { prepare: |_| (), meanwhile: |_| (), after }
    }
}

/// The survivor looks when all is over.
fn idle<G: 'static>(
    names: (&str, &str),
    set_up: fn(&'static All) -> G,
    act: fn(&'static All, G),
    checks: Checks,
) -> Scene {
    let survivor = move |survivor: &mut Survivor| {
        let place = Place::create(survivor);
        (checks.prepare)(place.all());
        survivor.signal();
        let fate = survivor.fate();
        if fate == Fate::Stopped {
            (checks.meanwhile)(place.all());
            survivor.acted();
            survivor.wait(); // until it has come to its end
        }
        (checks.after)(place.all(), fate)
    };
    Scene::new(names, victim(set_up, act, false), survivor)
}

/// The survivor sleeps in `wait` until the victim, or its death, lets it go on.
fn busy<G: 'static>(
    names: (&str, &str),
    set_up: fn(&'static All) -> G,
    act: fn(&'static All, G),
    wait: fn(&All, Option<Fate>) -> u64,
) -> Scene {
    let survivor = move |survivor: &mut Survivor| {
        let place = Place::create(survivor);
        survivor.signal();
        survivor.wait();
        wait(place.all(), None);
        let fate = survivor.fate();
        if fate == Fate::Stopped {
            survivor.wait(); // until it has come to its end
        }
        wait(place.all(), Some(fate))
    };
    Scene::new(names, victim(set_up, act, true), survivor).survivor_is("parked").busy()
}

/// The victim waits, and the survivor lets it go on when it sleeps. `hold` keeps it waiting, and `let_go` ends
/// that.
fn cued(
    names: (&str, &str),
    act: fn(&'static All, ()),
    hold: for<'a> fn(&'a All) -> Held<'a>,
    let_go: fn(&All, Held<'_>),
    after: fn(&All, Fate) -> u64,
) -> Scene {
    let survivor = move |survivor: &mut Survivor| {
        let place = Place::create(survivor);
        let all = place.all();
        let mut held = Some(hold(all));
        survivor.signal();
        while survivor.cue() == Cue::Asleep {
            if let Some(held) = held.take() {
                let_go(all, held);
            }
        }
        let fate = survivor.fate();
        if fate == Fate::Stopped {
            survivor.acted();
        }
        if let Some(held) = held.take() {
            let_go(all, held);
        }
        if fate == Fate::Stopped {
            survivor.wait(); // until it has come to its end
        }
        after(all, fate)
    };
    Scene::new(names, victim(|_| (), act, false), survivor)
        .survivor_is("lets go when it sleeps")
        .cued()
}

/// What the survivor of a cued scene keeps from the victim: something to drop.
type Held<'a> = Option<Box<dyn std::fmt::Debug + 'a>>;

fn nothing(_: &All) -> Held<'_> {
    None
}

fn drop_it(_: &All, held: Held<'_>) {
    drop(held);
}

pub(crate) fn scenes() -> Vec<Scene> {
    [mutex(), read_write_lock(), condition_variable(), events(), once(), barrier(), semaphores()]
        .into_iter()
        .flatten()
        .collect()
}

/// Takes the mutex, with the right verdict; what is in it.
#[track_caller]
fn mutex_after(all: &All, fate: Fate) -> u64 {
    let mut guard = all.mutex.lock_deadline(soon()).expect("nobody has it");
    assert!(fate == Fate::Killed || !guard.owner_died(), "nobody has died");
    guard.mark_repaired();
    let value = guard.get();
    drop(guard);
    assert!(!all.mutex.try_lock().expect("nobody has it").owner_died(), "it was repaired");
    if fate == Fate::Killed { value } else { 0 }
}

/// The mutex of a stopped victim is free or taken, and never abandoned.
fn mutex_meanwhile(all: &All) {
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
    vec![
        idle(("mutex: lock, set, unlock", "free"), |_| (), take_and_set, checks).takes_effect(),
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
                    Ok(guard) => {
                        u64::from(fate == Fate::Killed) + u64::from(guard.owner_died()) * 0
                    }
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

fn condition_variable() -> Vec<Scene> {
    /// Makes the condition variable think that somebody sleeps.
    fn somebody_has_waited(all: &All) {
        let guard = all.mutex.lock().expect("free");
        drop(all.changed.wait_deadline(guard, Deadline::Now).expect("nobody else has the mutex"));
    }
    /// It works: nobody is notified of what nobody told.
    fn after(all: &All, fate: Fate) -> u64 {
        let value = mutex_after(all, fate);
        all.changed.notify_all();
        let guard = all.mutex.lock().expect("free");
        let (_guard, is_woken) =
            all.changed.wait_deadline(guard, shortly()).expect("nobody else has the mutex");
        assert!(!is_woken);
        value
    }
    fn wait(all: &'static All, (): ()) {
        let guard = all.mutex.lock().expect("free");
        drop(all.changed.wait_while(guard, Deadline::Never, |value| value.load() == 0));
    }
    let checks =
        Checks { prepare: somebody_has_waited, meanwhile: mutex_meanwhile, ..Checks::new(after) };
    vec![
        idle(
            ("condvar: set, notify one", "somebody may sleep"),
            |_| (),
            |all, ()| {
                all.mutex.lock().expect("free").set(&1);
                all.changed.notify_one();
            },
            checks,
        )
        .takes_effect(),
        idle(
            ("condvar: set, notify all", "somebody may sleep"),
            |_| (),
            |all, ()| {
                all.mutex.lock().expect("free").set(&1);
                all.changed.notify_all();
            },
            checks,
        )
        .takes_effect(),
        cued(
            ("condvar: wait", "nothing there"),
            wait,
            nothing,
            |all, _| {
                let mut guard = all.mutex.lock_deadline(soon()).expect("released by the wait");
                guard.mark_repaired();
                guard.set(&1);
                drop(guard);
                all.changed.notify_all();
            },
            after,
        ),
    ]
}

fn events() -> Vec<Scene> {
    fn has_waited(all: &All) {
        assert!(!all.manual.wait(PARK, shortly()).expect("no error"));
        assert!(!all.auto.wait(PARK, shortly()).expect("no error"));
    }
    fn manual_after(all: &All, fate: Fate) -> u64 {
        let was_set = all.manual.is_set();
        all.manual.set().expect("no error");
        assert!(all.manual.wait(PARK, Deadline::Now).expect("no error"));
        assert!(all.manual.reset());
        u64::from(was_set && fate == Fate::Killed)
    }
    fn auto_after(all: &All, fate: Fate) -> u64 {
        let was_set = all.auto.try_wait();
        all.auto.set().expect("no error");
        assert!(all.auto.try_wait() && !all.auto.try_wait());
        u64::from(was_set && fate == Fate::Killed)
    }
    fn set(all: &All, _: Held<'_>) {
        all.manual.set().expect("no error");
        all.auto.set().expect("no error");
    }
    let set_manual = |all: &'static All, ()| all.manual.set().expect("no error");
    let set_auto = |all: &'static All, ()| all.auto.set().expect("no error");
    let checks = |prepare, after| Checks { prepare, ..Checks::new(after) };
    vec![
        idle(("event: set", "free"), |_| (), set_manual, Checks::new(manual_after)).takes_effect(),
        idle(
            ("event: set", "somebody may sleep"),
            |_| (),
            set_manual,
            checks(has_waited, manual_after),
        )
        .takes_effect(),
        idle(
            ("event: reset", "set"),
            |_| (),
            |all, ()| {
                all.manual.reset();
            },
            checks(
                |all| all.manual.set().expect("no error"),
                |all, fate| 1 - manual_after(all, fate).min(1),
            ),
        ),
        cued(
            ("event: wait", "not set"),
            |all, ()| assert!(all.manual.wait(PARK, Deadline::Never).expect("no error")),
            nothing,
            set,
            manual_after,
        ),
        idle(("auto event: set", "free"), |_| (), set_auto, Checks::new(auto_after)).takes_effect(),
        idle(
            ("auto event: set", "somebody may sleep"),
            |_| (),
            set_auto,
            checks(has_waited, auto_after),
        )
        .takes_effect(),
        cued(
            ("auto event: wait", "not set"),
            |all, ()| assert!(all.auto.wait(PARK, Deadline::Never).expect("no error")),
            nothing,
            set,
            |all, fate| {
                auto_after(all, fate);
                0
            },
        ),
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

fn semaphores() -> Vec<Scene> {
    fn has_waited(all: &All) {
        assert!(!all.semaphore.acquire(PARK, shortly()).expect("no error"));
    }
    fn after(all: &All, fate: Fate) -> u64 {
        let count = all.semaphore.count();
        all.semaphore.release().expect("far from the highest count");
        assert!(all.semaphore.acquire(PARK, Deadline::Now).expect("no error"));
        if fate == Fate::Killed { count.into() } else { 0 }
    }
    let release = |all: &'static All, ()| all.semaphore.release().expect("far from the highest");
    let checks = Checks { prepare: has_waited, ..Checks::new(after) };
    vec![
        idle(("semaphore: release", "free"), |_| (), release, Checks::new(after)).takes_effect(),
        idle(("semaphore: release", "somebody may sleep"), |_| (), release, checks).takes_effect(),
        cued(
            ("semaphore: acquire", "no unit"),
            |all, ()| assert!(all.semaphore.acquire(PARK, Deadline::Never).expect("no error")),
            nothing,
            |all, _| all.semaphore.release().expect("far from the highest count"),
            |all, fate| {
                after(all, fate);
                0
            },
        ),
        named_semaphore(),
    ]
}

/// libc's own: before and after its system calls. (Not its creation, which a kill may leave half-done under a
/// name that only libc knows.)
fn named_semaphore() -> Scene {
    let victim = |victim: &mut Victim| {
        let name = own_name();
        victim.wait();
        victim.operation(|| {
            let semaphore = NamedSemaphore::open(&name).expect("it is there");
            semaphore.release().expect("far from the highest count");
        });
        victim.signal();
    };
    let survivor = |survivor: &mut Survivor| {
        let name = name(survivor.partner_pid());
        let semaphore = NamedSemaphore::create_new(&name, 1, 0o600).expect("the name is free");
        survivor.signal();
        let fate = survivor.fate();
        if fate == Fate::Stopped {
            survivor.acted();
            survivor.wait(); // until it has come to its end
        }
        let count = semaphore.count().expect("no error");
        assert!(count == 2 || fate == Fate::Killed && count == 1, "{count}");
        assert!(semaphore.try_acquire().expect("no error"));
        NamedSemaphore::unlink(&name).expect("it is there");
        if fate == Fate::Killed { count.into() } else { 0 }
    };
    Scene::new(("named semaphore: open, release", "it is there"), victim, survivor).takes_effect()
}
