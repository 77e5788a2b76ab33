//! The textbook's POSIX consumer (`shm_open`, `mmap`, read, `shm_unlink`): prints what `shm_producer`
//! left, and removes the segment.
//!
//! `cargo run -p ipc-shm --example shm_consumer`

use std::error::Error;

use ipc_core::Name;
use ipc_shm::Segment;

fn main() -> Result<(), Box<dyn Error>> {
    let name = Name::new("ipc-shm-example")?;
    let segment = Segment::options().read_only().open(&name)?;
    let mut text = vec![0; segment.mapping().len()];
    segment.mapping().read_at(0, &mut text);
    println!("{}", String::from_utf8_lossy(&text));
    segment.unlink()?;
    Ok(())
}
