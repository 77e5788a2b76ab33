//! The textbook's POSIX consumer: opens the segment that `shm_producer` left (`shm_open`), maps it to read
//! only (`mmap`), prints the text, and removes the segment (`shm_unlink`).
//!
//! `cargo run -p ipc-shm --example shm_consumer -- [NAME]`

use std::error::Error;

use ipc_core::Name;
use ipc_shm::Segment;

fn main() -> Result<(), Box<dyn Error>> {
    let name = Name::new(&std::env::args().nth(1).unwrap_or("ipc-shm-example".into()))?;
    let segment = Segment::options().read_only().open(&name)?;
    let mut text = vec![0; segment.mapping().len()]; // which the system knows
    segment.mapping().read_at(0, &mut text);
    println!("{}", String::from_utf8_lossy(&text));
    segment.unlink()?;
    Ok(())
}
