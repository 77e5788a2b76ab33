//! Sends ten orders to whoever reads the FIFO; waits up to a minute for a consumer. Several producers
//! may run at once.
//!
//! `cargo run -p ipc-pipe --example fifo_producer [PATH]`, and `fifo_consumer` in another terminal.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use ipc_core::{Deadline, Sender};
use ipc_pipe::Fifo;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os()
        .nth(1)
        .map_or_else(|| std::env::temp_dir().join("ipc-pipe-example"), PathBuf::from);
    let fifo = Fifo::create(&path)?;

    eprintln!("waiting for a consumer of {}", path.display());
    let mut sender = fifo.open_sender(Deadline::after(Duration::from_secs(60)))?;
    for number in 1..=10 {
        let order = format!("order {number} of producer {}", std::process::id());
        sender.send(order.as_bytes())?;
        println!("sent {order}");
        std::thread::sleep(Duration::from_millis(300)); // so that there is something to watch
    }
    Ok(())
}
