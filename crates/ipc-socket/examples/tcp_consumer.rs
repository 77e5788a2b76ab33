//! Listens on a port, and answers each line of a `tcp_producer` with the same in capitals.
//!
//! Run it first, then `tcp_producer` in a second terminal or on another machine. The address to listen at
//! may be given: `tcp_consumer 0.0.0.0:1625` hears other machines too, and everybody on them.

use std::error::Error;

use ipc_core::{Deadline, Receiver, RecvError, Sender};
use ipc_socket::{TcpConnection, TcpListener};

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:1625".into());
    let listener = TcpListener::bind(&address.parse()?)?;
    println!("listening at {}", listener.local_addr());

    loop {
        let mut connection = listener.accept(Deadline::Never)?;
        println!("{} has connected", connection.peer_addr());
        match serve(&mut connection) {
            Ok(()) => println!("{} has gone", connection.peer_addr()),
            // It broke off, or is somebody else, who does not speak our frames.
            Err(error) => println!("{error}"),
        }
    }
}

fn serve(connection: &mut TcpConnection) -> Result<(), Box<dyn Error>> {
    let mut line = Vec::new();
    loop {
        match connection.receiver.recv_to_vec(&mut line, Deadline::Never) {
            Err(RecvError::PeerGone { .. }) => return Ok(()),
            other => other?,
        };
        println!("  {}", String::from_utf8_lossy(&line));
        connection.sender.send(&line.to_ascii_uppercase())?;
    }
}
