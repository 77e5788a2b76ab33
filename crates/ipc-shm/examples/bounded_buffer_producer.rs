//! Puts numbered items into a bounded buffer of ten slots, and waits while it is full. Start it, then
//! `bounded_buffer_consumer` in another terminal; several of those share the items.
//!
//! `cargo run -p ipc-shm --example bounded_buffer_producer -- [ITEMS]`

use std::error::Error;

use ipc_core::{Name, Sender};
use ipc_shm::BoundedBuffer;

fn main() -> Result<(), Box<dyn Error>> {
    let items: u32 = std::env::args().nth(1).map_or(Ok(25), |items| items.parse())?;
    let name = Name::new("ipc-bounded-buffer-example")?;
    let buffer = BoundedBuffer::options().slots(10).slot_bytes(64).create_new(&name)?;
    println!("made /dev/shm/{name}; waiting for consumers once it is full");
    let mut sender = buffer.sender();
    for item in 1..=items {
        sender.send(format!("item {item}").as_bytes())?;
        println!("produced item {item}");
    }
    sender.send(b"")?; // the end
    Ok(())
}
