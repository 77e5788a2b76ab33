//! What others are woken by: the condition variable, events, semaphores.

use ipc_core::Deadline;
use ipc_shm::NamedSemaphore;
use ipc_testing::crash::{Fate, Scene, Survivor, Victim};

use super::locks::{mutex_after, mutex_meanwhile};
use super::{All, Checks, Held, PARK, cued, idle, nothing, shortly, soon};
use crate::place::{free_name, own_name};

pub(super) fn scenes() -> Vec<Scene> {
    [condition_variable(), events(), semaphores()].into_iter().flatten().collect()
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
        let name = free_name(survivor.partner_pid());
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
