//! Garbage in every word of every lock, and a process that writes it while others use the locks: they get
//! errors, or wait until their deadlines; they never panic, fault, or go round for ever.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use ipc_core::{Deadline, WaitStrategy};
use ipc_shm::{
    Access, AutoResetEvent, Barrier, Condvar, ManualResetEvent, Mapping, Mutex, OnceCell, RwLock,
    Semaphore, Shared, Value, shared,
};
use ipc_testing::between_processes;

use crate::fork::Child;
use crate::place::{at, memory};

shared! {
    /// One of each.
    struct All("test.All/1") {
        mutex: Mutex<Value<u64>>,
        lock: RwLock<Value<u64>, 2>,
        condvar: Condvar,
        semaphore: Semaphore,
        manual: ManualResetEvent,
        auto: AutoResetEvent,
        once: OnceCell<Value<u64>>,
        barrier: Barrier<2>,
    }
}

/// A linear congruential generator (Knuth's numbers): the same sequence each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.0 >> 32
    }

    /// A word such as a hostile process would try: bits that mean something, and any.
    fn word(&mut self) -> u32 {
        let own = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        let word = self.next() as u32;
        match self.next() % 8 {
            0 => 0,
            1 => u32::MAX,
            2 => 1 << (word % 32),
            3 => own | (word & 0xc000_0000),
            4 => word % 8,
            5 => (1 << 29) | (word & 0xc000_0000),
            6 => (word & 0xc000_0000) | 1,
            _ => word,
        }
    }
}

/// Every operation once, with little patience.
fn use_all(all: &All) {
    let soon = || Deadline::after(Duration::from_micros(200));
    let strategy = WaitStrategy::Adaptive { spins: 20 };
    if let Ok(mut guard) = all.mutex.lock_with(strategy, soon()) {
        guard.update(|value| *value = value.wrapping_add(1));
        guard.mark_repaired();
        let _ = all.condvar.wait_deadline(guard, soon());
    }
    if let Ok(Some(mut guard)) = all.mutex.recover() {
        guard.mark_repaired();
    }
    all.condvar.notify_one();
    all.condvar.notify_all();
    if let Ok(guard) = all.lock.read_with(strategy, soon()) {
        guard.get();
    }
    if let Ok(mut guard) = all.lock.write_with(strategy, soon()) {
        guard.set(&1);
        guard.mark_repaired();
    }
    if let Ok(Some(mut guard)) = all.lock.recover(soon()) {
        guard.mark_repaired();
    }
    let _ = all.semaphore.acquire(strategy, soon());
    let _ = all.semaphore.release();
    let _ = all.manual.wait(strategy, soon());
    let _ = all.manual.set();
    all.manual.reset();
    let _ = all.auto.set();
    let _ = all.auto.wait(strategy, soon());
    let _ = all.once.get_or_init_deadline(soon(), |value| value.store(&1));
    if let Ok(mut member) = all.barrier.join() {
        let _ = member.wait(soon());
    }
    let _ = all.barrier.repair();
    let _ = format!("{all:?}", all = (&all.mutex, &all.lock, &all.barrier, &all.once));
}

/// A word of the memory, chosen at random, to be written without any rules.
fn scribble(memory: &Mapping, random: &mut Random) {
    let offset = random.next() as usize % (size_of::<All>() / 4) * 4;
    let word = random.word();
    // Relaxed: there are no rules.
    memory.atomic_u32(offset).store(word, std::sync::atomic::Ordering::Relaxed);
}

#[test]
fn garbage_in_any_word_is_an_error_or_a_wait_until_the_deadline() {
    between_processes!(
        |_guest| {
            let (memory, _descriptor) = memory::<All>();
            assert_eq!(memory.access(), Access::ReadWrite);
            let mut random = Random(1);
            for round in 0..300 {
                for _ in 0..=random.next() % 40 {
                    scribble(&memory, &mut random);
                }
                let used = catch_unwind(AssertUnwindSafe(|| use_all(at(&memory))));
                assert!(used.is_ok(), "round {round} panicked");
            }
            // Cleaned up, all of it works: nothing of the garbage has stayed in this thread.
            for offset in (0..size_of::<All>()).step_by(4) {
                memory.atomic_u32(offset).store(0, std::sync::atomic::Ordering::Relaxed);
            }
            assert_good(at(&memory));
        },
        |_host| {},
    );
}

#[test]
fn a_process_that_writes_garbage_meanwhile_stops_nobody() {
    between_processes!(
        |_guest| {
            let (memory, _descriptor) = memory::<All>();
            let vandal = Child::fork(|| {
                let mut random = Random(2);
                loop {
                    scribble(&memory, &mut random);
                }
            });
            for round in 0..300 {
                let used = catch_unwind(AssertUnwindSafe(|| use_all(at(&memory))));
                assert!(used.is_ok(), "round {round} panicked");
            }
            vandal.kill();
        },
        |_host| {},
    );
}

fn assert_good(all: &All) {
    assert!(!all.mutex.lock().expect("free").owner_died());
    assert!(all.lock.read().is_ok());
    assert!(!all.lock.write().expect("free").owner_died());
    all.once.get_or_init(|value| value.store(&1)).expect("free");
    assert!(all.barrier.join().is_ok());
    assert_ne!(Mutex::<()>::IDENTITY, OnceCell::<()>::IDENTITY);
}
