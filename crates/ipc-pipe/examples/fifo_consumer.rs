//! Prints the orders of all producers until the last of them has gone, then removes the FIFO.
//!
//! `cargo run -p ipc-pipe --example fifo_consumer [PATH]`, and `fifo_producer` in another terminal, or
//! several. It may be started before or after them.

use std::error::Error;
use std::path::PathBuf;

use ipc_core::{Receiver, RecvError};
use ipc_pipe::{ATOMIC_PAYLOAD, Fifo};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os()
        .nth(1)
        .map_or_else(|| std::env::temp_dir().join("ipc-pipe-example"), PathBuf::from);
    let fifo = Fifo::create(&path)?;
    let mut receiver = fifo.open_receiver()?;

    eprintln!("waiting for producers at {}", path.display());
    let mut buffer = [0; ATOMIC_PAYLOAD];
    loop {
        match receiver.recv(&mut buffer) {
            Ok(received) => println!("{}", String::from_utf8_lossy(&buffer[..received.len])),
            Err(RecvError::PeerGone { .. }) => break,
            Err(error) => return Err(error.into()),
        }
    }
    fifo.unlink()?;
    Ok(())
}
