//! The textbook's POSIX producer: makes a segment (`shm_open`, `ftruncate`), maps it (`mmap`), puts a text
//! into it, and ends. The segment stays until `shm_consumer` has printed and removed it.
//!
//! `cargo run -p ipc-shm --example shm_producer -- [TEXT [NAME]]`

use std::error::Error;

use ipc_core::Name;
use ipc_shm::Segment;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let text = arguments.next().unwrap_or("Hello, world!".into());
    let name = Name::new(&arguments.next().unwrap_or("ipc-shm-example".into()))?;
    // The textbook's three calls in one. The consumer finds the text in place: the segment has no name
    // until it is sized, mapped and initialised.
    let segment = Segment::options().create_new(&name, text.len().max(1), |memory| {
        memory.write_at(0, text.as_bytes());
        Ok(())
    })?;
    println!("/dev/shm/{name}: {} bytes, mode {:o}", segment.mapping().len(), segment.mode());
    Ok(()) // detaches (`munmap`); no more
}
