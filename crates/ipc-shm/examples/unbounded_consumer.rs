//! The textbook's unbounded buffer: the consumer. Takes the items out, gives back each chunk that is empty, and waits
//! for more until the end comes. See `unbounded_producer`, which is started first:
//!
//! ```sh
//! cargo run -p ipc-shm --example unbounded_producer -- 5000 20   # items, and chunks at most
//! cargo run -p ipc-shm --example unbounded_consumer
//! ```

mod textbook;

use std::error::Error;

use ipc_core::Deadline;
use ipc_shm::{Heap, Segment};
use textbook::unbounded;

fn main() -> Result<(), Box<dyn Error>> {
    let name = textbook::name("ipc-textbook-unbounded")?;
    let heap = Heap::open(&name, Deadline::Never)?;
    let buffer = unbounded::open(&heap)?;
    let mut items = 0;
    loop {
        let item = buffer.take(&heap)?;
        if item == u64::MAX {
            break;
        }
        items += 1;
        assert_eq!(item, items, "in order");
    }
    println!("consumed {items} items");
    Segment::unlink_name(&name)?;
    Ok(())
}
