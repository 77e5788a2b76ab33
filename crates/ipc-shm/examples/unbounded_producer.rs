//! The textbook's unbounded buffer: the producer. It never waits for the consumer; the buffer grows by chunks of 512
//! items up to a ceiling, which is an error. In two terminals:
//!
//! ```sh
//! cargo run -p ipc-shm --example unbounded_producer -- 5000 20   # items, and chunks at most
//! cargo run -p ipc-shm --example unbounded_consumer
//! ```
//!
//! With `5000 5` it comes to the ceiling, unless the consumer is quick.

mod textbook;

use std::error::Error;

use textbook::unbounded;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let items: u64 = arguments.next().map_or(Ok(5000), |items| items.parse())?;
    let ceiling_chunks = arguments.next().map_or(Ok(20), |chunks| chunks.parse())?;
    let name = textbook::name("ipc-textbook-unbounded")?;
    let heap = unbounded::create_new(&name, ceiling_chunks)?;
    let buffer = unbounded::open(&heap)?;
    for item in 1..=items {
        if let Err(error) = buffer.put(&heap, item) {
            println!("produced {} items, then: {error}", item - 1);
            return Ok(()); // they stay, for the consumer
        }
    }
    println!("produced {items} items");
    buffer.put(&heap, u64::MAX)?; // the end
    Ok(())
}
