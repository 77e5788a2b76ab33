//! The textbook's POSIX producer (`shm_open`, `ftruncate`, `mmap`, write): makes a segment and leaves
//! a text in it. Then run `shm_consumer`.
//!
//! `cargo run -p ipc-shm --example shm_producer -- [TEXT]`

use std::error::Error;

use ipc_core::Name;
use ipc_shm::Segment;

fn main() -> Result<(), Box<dyn Error>> {
    let text = std::env::args().nth(1).unwrap_or("Hello, world!".into());
    let name = Name::new("ipc-shm-example")?;
    // The consumer finds the text in place: a segment has no name until it is initialised.
    let segment = Segment::options().create_new(&name, text.len().max(1), |memory| {
        memory.write_at(0, text.as_bytes());
        Ok(())
    })?;
    println!("/dev/shm/{name}: {} bytes, mode {:o}", segment.mapping().len(), segment.mode());
    Ok(()) // detaches; the segment stays until the consumer unlinks it
}
