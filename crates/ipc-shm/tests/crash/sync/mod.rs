//! The victim takes, holds, releases or waits for a lock, an event, a barrier. Afterwards the survivor gets it,
//! with the right verdict: what a dead owner held is said to want repair, and what a stopped one holds is not
//! taken from it.

// Refers to a shared type in a segment.
#![allow(unsafe_code)]

use std::time::Duration;

use ipc_core::{Deadline, WaitStrategy};
use ipc_shm::{
    AutoResetEvent, Barrier, Condvar, ManualResetEvent, Mutex, OnceCell, RwLock, Segment,
    Semaphore, Value,
};
use ipc_testing::crash::{Cue, Fate, Scene, Survivor, Victim};

use crate::place::{free_name, own_name};

mod locks;
mod waits;

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
        let name = free_name(survivor.partner_pid());
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
    locks::scenes().into_iter().chain(waits::scenes()).collect()
}
