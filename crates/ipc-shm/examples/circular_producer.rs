//! The textbook's circular array of ten slots, of which one stays empty, so that nine items fit: the producer. Puts
//! numbered items in, and waits while it is full. In two terminals:
//!
//! ```sh
//! cargo run -p ipc-shm --example circular_producer -- 25
//! cargo run -p ipc-shm --example circular_consumer
//! ```

mod textbook;

use std::error::Error;

use ipc_core::{Deadline, Name};
use ipc_shm::Heap;
use textbook::circular::Circular;

fn main() -> Result<(), Box<dyn Error>> {
    let items: u64 = std::env::args().nth(1).map_or(Ok(25), |items| items.parse())?;
    let name = textbook::name("ipc-textbook-circular")?;
    let heap = Heap::options().pool(size_of::<Circular>(), 1).create_new(&name)?;
    let buffer =
        heap.names(Deadline::Never).create_new::<Circular>(&Name::new("buffer")?, |_| {})?;
    println!("made /dev/shm/{name}");
    for item in 1..=items {
        if !buffer.try_put(item)? {
            println!("full; waiting for the consumer");
            buffer.put(item)?;
        }
        println!("produced item {item}");
    }
    buffer.put(u64::MAX)?; // the end
    Ok(())
}
