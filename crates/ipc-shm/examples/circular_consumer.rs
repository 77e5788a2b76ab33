//! The textbook's circular array of ten slots, of which one stays empty: the consumer. Takes the items out, and waits
//! while it is empty. See `circular_producer`, which is started first:
//!
//! ```sh
//! cargo run -p ipc-shm --example circular_producer -- 25
//! cargo run -p ipc-shm --example circular_consumer
//! ```

mod textbook;

use std::error::Error;

use ipc_core::{Deadline, Name};
use ipc_shm::{Heap, Segment};
use textbook::circular::Circular;

fn main() -> Result<(), Box<dyn Error>> {
    let name = textbook::name("ipc-textbook-circular")?;
    let heap = Heap::open(&name, Deadline::Never)?;
    let buffer = heap.names(Deadline::Never).open::<Circular>(&Name::new("buffer")?)?;
    loop {
        let item = buffer.take()?;
        if item == u64::MAX {
            break;
        }
        println!("consumed item {item}");
    }
    Segment::unlink_name(&name)?;
    Ok(())
}
