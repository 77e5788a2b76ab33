//! Sends each line of its standard input to the queue `/ipc-mq-example`, and at the end of the input an
//! empty message. A line that begins with `!` is urgent.
//!
//! Run it and `mq_consumer` in two terminals, in any order: messages wait in the queue.

use std::error::Error;
use std::io;
use std::time::Duration;

use ipc_core::{Deadline, Name, SendError, Sender};
use ipc_mq::posix::OpenOptions;

fn main() -> Result<(), Box<dyn Error>> {
    let name = Name::new("ipc-mq-example")?;
    let mut sender = OpenOptions::new().create(true).open_sender(&name)?;
    println!("type lines; begin one with ! to have it overtake; end with Ctrl-D");

    for line in io::stdin().lines() {
        let line = line?;
        if line.is_empty() {
            continue; // it would tell the consumer that we are done
        }
        match line.strip_prefix('!') {
            Some(urgent) => sender.send_priority(urgent.as_bytes(), 1, Deadline::Never)?,
            // Nothing of a message that timed out is in the queue, so it can be sent once more.
            None => match sender.send_timeout(line.as_bytes(), Duration::from_secs(1)) {
                Err(SendError::TimedOut) => {
                    println!("the queue is full: waiting for the consumer");
                    sender.send(line.as_bytes())?;
                }
                other => other?,
            },
        }
    }
    sender.send(b"")?;
    Ok(())
}
