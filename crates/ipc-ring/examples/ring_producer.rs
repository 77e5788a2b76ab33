//! Connects to `ring_consumer` and sends the lines that it reads.

use ipc_core::{Deadline, Name, Sender};
use ipc_ring::{Options, connect};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name: Name = std::env::args().nth(1).as_deref().unwrap_or("demo").parse()?;
    let deadline = Deadline::after(Duration::from_secs(5));
    let mut sender = connect(&name, &Options::new(), deadline)?.sender.expect("this side sends");
    println!("connected; type lines, end with Ctrl-D");
    for line in std::io::stdin().lines() {
        sender.send(line?.as_bytes())?;
    }
    Ok(())
}
