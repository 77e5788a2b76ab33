//! The ways to wait, on a word in memory that another thread changes.

use ipc_core::sync::{AtomicU32, Ordering};
use ipc_core::{Deadline, futex};
use std::time::{Duration, Instant};

fn main() -> std::io::Result<()> {
    let word = AtomicU32::new(0);

    let start = Instant::now();
    let wake = futex::wait(&word, 0, Deadline::Now)?;
    println!("now:    {wake:?} after {:?}", start.elapsed());

    let start = Instant::now();
    let wake = futex::wait(&word, 0, Deadline::after(Duration::from_millis(50)))?;
    println!("50 ms:  {wake:?} after {:?}", start.elapsed());

    std::thread::scope(|scope| {
        scope.spawn(|| {
            word.store(1, Ordering::Release); // pairs with the load below
            futex::wake(&word, 1)
        });
        let start = Instant::now();
        while word.load(Ordering::Acquire) == 0 {
            futex::wait(&word, 0, Deadline::Never)?;
        }
        println!("never:  woken after {:?}", start.elapsed());
        Ok(())
    })
}
