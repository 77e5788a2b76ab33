//! Takes what `bounded_buffer_producer` makes, and removes the buffer at the end. Kill it with `kill
//! -9` and start another: nothing is delivered twice, and the producer goes on.
//!
//! `cargo run -p ipc-shm --example bounded_buffer_consumer`

use std::error::Error;

use ipc_core::{Name, Receiver, Sender};
use ipc_shm::{BoundedBuffer, Segment};

fn main() -> Result<(), Box<dyn Error>> {
    let name = Name::new("ipc-bounded-buffer-example")?;
    let buffer = BoundedBuffer::open(&name)?;
    let mut receiver = buffer.receiver();
    let mut message = vec![0; buffer.slot_bytes()];
    loop {
        match receiver.recv(&mut message)?.len {
            0 => break,
            len => println!("consumed {}", String::from_utf8_lossy(&message[..len])),
        }
    }
    // Whoever meets the end first removes the name, and passes the end on to the others.
    if Segment::unlink_name(&name).is_ok() {
        println!("removed /dev/shm/{name}");
    }
    buffer.sender().send(b"")?;
    Ok(())
}
