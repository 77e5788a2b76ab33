//! Listens under a name and prints what the producer sends: run it first, then `ring_producer` in a
//! second terminal.

use ipc_core::{Deadline, Name, Receiver, RecvError};
use ipc_ring::{Options, listen};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name: Name = std::env::args().nth(1).as_deref().unwrap_or("demo").parse()?;
    let mut listener = listen(&name)?;
    println!("listening under {name}; now run: cargo run -p ipc-ring --example ring_producer");
    let link = listener.accept(&Options::new().receive_only(), Deadline::Never)?;
    println!("{} has connected", link.peer());
    let mut receiver = link.receiver.ok_or("the producer sends nothing")?;
    let mut buffer = vec![0; receiver.properties().message_length.max];
    loop {
        match receiver.recv(&mut buffer) {
            Ok(received) => println!("{}", String::from_utf8_lossy(&buffer[..received.len])),
            Err(RecvError::PeerGone { .. }) => break,
            Err(error) => return Err(error.into()),
        }
    }
    println!("the producer is gone");
    Ok(())
}
