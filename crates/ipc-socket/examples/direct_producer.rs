//! Sends three messages to a process that it names by its id, and prints the answers.
//!
//! `cargo run -p ipc-socket --example direct_producer PROCESS_ID`; `direct_consumer` tells its own.

use std::error::Error;
use std::time::Duration;

use ipc_core::Deadline;
use ipc_socket::direct::{Direct, Peer};

fn main() -> Result<(), Box<dyn Error>> {
    let pid = std::env::args().nth(1).ok_or("which process? direct_consumer tells its id")?;
    let consumer = Peer::of(pid.parse()?)?;
    let mut me = Direct::open()?;
    let mut buffer = [0; 1024];
    for order in ["coffee", "tea", "the bill"] {
        let deadline = Deadline::after(Duration::from_secs(5));
        me.send(&consumer, order.as_bytes(), deadline)?;
        let answer = me.receive_from(&consumer, &mut buffer, deadline)?;
        println!("{order} -> {}", String::from_utf8_lossy(&buffer[..answer.len]));
    }
    Ok(())
}
