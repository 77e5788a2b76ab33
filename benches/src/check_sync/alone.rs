//! What a lock costs that nobody else wants.

use std::time::Instant;

use super::place::{Locks, Place};
use super::pthread::{PthreadMutex, Sort};
use super::{ATTEMPTS, Samples};

/// Taken and released so often in a sample.
const TURNS: u32 = 50_000;
const SAMPLES: usize = 41;
/// The most that a mutex may take, in multiples of the plainest one of libc.
const ALLOWED: f64 = 1.3;

/// Compares each lock with libc's.
pub(super) fn compare() -> anyhow::Result<bool> {
    let (place, _descriptor) = Place::create()?;
    let locks = place.locks();
    let private = Box::new(PthreadMutex::zeroed());
    private.initialise(Sort::Private);
    let pthread = |mutex: &PthreadMutex| {
        mutex.lock();
        mutex.unlock();
    };
    let ours = || drop(locks.mutexes[0].lock().expect("free"));

    println!("taken and released by one process alone, in ns");
    let mut good = false;
    for _ in 0..ATTEMPTS {
        let samples = sample([&ours, &|| pthread(&private), &|| pthread(&locks.robust[0])]);
        let [to_private, to_robust] = [1, 2].map(|other| samples.ratio(0, other));
        good = to_private <= ALLOWED && to_robust < 1.0;
        println!(
            "mutex      {:>6.1}  pthread private {:>6.1} ({to_private:.2} ×, at most {ALLOWED})  \
             pthread robust, shared {:>6.1} ({to_robust:.2} ×, less than 1): {}",
            samples.ns(0),
            samples.ns(1),
            samples.ns(2),
            if good { "good" } else { "TOO SLOW" }
        );
        if good {
            break;
        }
    }
    show_the_rest(locks);
    Ok(good)
}

/// The other locks, beside libc's. No limits.
fn show_the_rest(locks: &Locks) {
    let show = |name: &str, ours: &dyn Fn(), libcs: &dyn Fn()| {
        let samples = sample([ours, libcs]);
        println!(
            "{name:<10} {:>6.1}  libc {:>6.1} ({:.2} ×)",
            samples.ns(0),
            samples.ns(1),
            samples.ratio(0, 1)
        );
    };
    let lock = &locks.pthread_lock;
    show("read", &|| drop(locks.lock.read().expect("free")), &|| {
        lock.read();
        lock.unlock();
    });
    show("write", &|| drop(locks.lock.write().expect("free")), &|| {
        lock.write();
        lock.unlock();
    });
    let (ours, libcs) = (&locks.semaphores[0], &locks.posix_semaphores[0]);
    let give_and_take = || {
        ours.release().expect("below the highest count");
        assert!(ours.try_acquire());
    };
    show("semaphore", &give_and_take, &|| {
        libcs.post();
        libcs.wait();
    });
    let event = &locks.events[0];
    let set_and_pass = || {
        event.set().expect("no error");
        assert!(event.try_wait());
    };
    show("event", &set_and_pass, &|| {
        libcs.post();
        libcs.wait();
    });
    show("notify", &|| locks.turned.notify_one(), &|| locks.pthread_turned.signal());
}

/// Times each of these in turn, again and again.
fn sample<const N: usize>(turns: [&dyn Fn(); N]) -> Samples<N> {
    for turn in turns {
        time(turn); // the first time is another matter
    }
    Samples((0..SAMPLES).map(|_| turns.map(time)).collect())
}

/// Nanoseconds for one turn.
fn time(turn: &dyn Fn()) -> f64 {
    let began = Instant::now();
    for _ in 0..TURNS {
        turn();
    }
    began.elapsed().as_nanos() as f64 / f64::from(TURNS)
}
