//! The read-write lock, with readers and writers that die at every step.

use loom::sync::Arc;

use super::{Watched, model, spawn};
use crate::death;
use crate::sync::robust::set_thread_id;
use crate::sync::{LockError, RwLock};

type Guarded = RwLock<Watched, 2>;

fn read(lock: &Guarded) -> Result<u32, LockError> {
    lock.read().map(|guard| guard.get())
}

fn write(lock: &Guarded) -> Result<(), LockError> {
    let mut guard = lock.write()?;
    if guard.owner_died() {
        guard.mark_repaired();
    }
    guard.set(guard.get() + 1);
    Ok(())
}

#[test]
fn a_writer_excludes_readers_and_writers() {
    model(2, || {
        let lock = Arc::new(Guarded::new(Watched::new(0)));
        let reader = spawn(1, &lock, |lock| assert!(read(lock).expect("no error") <= 2));
        let writer = spawn(2, &lock, |lock| write(lock).expect("no error"));
        set_thread_id(3);
        write(&lock).expect("no error");
        reader.join().expect("no panic");
        writer.join().expect("no panic");
        assert_eq!(read(&lock).expect("no error"), 2);
    });
}

#[test]
fn readers_are_inside_together() {
    model(3, || {
        let lock = Arc::new(Guarded::new(Watched::new(0)));
        set_thread_id(1);
        let inside = lock.read().expect("no error");
        let other = spawn(2, &lock, |lock| assert_eq!(read(lock).expect("no error"), 0));
        other.join().expect("no panic");
        drop(inside);
    });
}

#[test]
fn a_reader_that_dies_at_any_step_keeps_no_writer_out() {
    for point in 0..=4 {
        model(2, move || {
            let lock = Arc::new(Guarded::new(Watched::new(0)));
            let doomed = spawn(1, &lock, move |lock| {
                death::die_after(point);
                let _ = read(lock);
            });
            let writer = spawn(2, &lock, |lock| {
                let guard = lock.write().expect("no error");
                assert!(!guard.owner_died());
                guard.set(guard.get() + 1);
            });
            doomed.join().expect("no panic");
            writer.join().expect("no panic");
            set_thread_id(3);
            assert_eq!(read(&lock).expect("no error"), 1);
        });
    }
}

#[test]
fn a_writer_that_dies_at_any_step_lets_the_next_one_repair() {
    for point in 0..=4 {
        model(2, move || {
            let lock = Arc::new(Guarded::new(Watched::new(0)));
            let doomed = spawn(1, &lock, move |lock| {
                death::die_after(point);
                let _ = write(lock);
            });
            let reader = spawn(2, &lock, |lock| match read(lock) {
                Ok(read) => assert!(read <= 2),
                Err(LockError::NeedsRepair) => {}
                Err(error) => panic!("{error}"),
            });
            set_thread_id(3);
            write(&lock).expect("no error");
            doomed.join().expect("no panic");
            reader.join().expect("no panic");
            // If the doomed one came last, it needs repair once more.
            write(&lock).expect("no error");
            assert!(read(&lock).expect("in order") >= 2);
        });
    }
}
