//! Prints the messages of the queue `/ipc-mq-example`, the most urgent first, until an empty one comes.
//!
//! Run it and `mq_producer` in two terminals, in any order: messages wait in the queue.

use std::error::Error;

use ipc_core::{Name, Receiver};
use ipc_mq::posix::{self, OpenOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let name = Name::new("ipc-mq-example")?;
    let mut receiver = OpenOptions::new().create(true).open_receiver(&name)?;
    let attributes = receiver.attributes()?;
    println!("waiting for messages ({} in the queue)", attributes.queued_messages);

    let mut buffer = vec![0; attributes.max_message_bytes];
    loop {
        let received = receiver.recv(&mut buffer)?;
        let message = &buffer[..received.len];
        if message.is_empty() {
            break;
        }
        println!("priority {}: {}", received.priority, String::from_utf8_lossy(message));
    }
    posix::unlink(&name)?;
    println!("the producer is done; the queue is removed");
    Ok(())
}
