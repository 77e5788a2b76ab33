//! Sends each line of its standard input to a `tcp_consumer`, and prints the answer.
//!
//! The consumer's address may be given: `tcp_producer example.org:1625`.

use std::error::Error;
use std::io;
use std::time::Duration;

use ipc_core::{Deadline, Receiver, Sender};
use ipc_socket::TcpConnection;

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:1625".into());
    let deadline = Deadline::after(Duration::from_secs(5));
    let mut connection = TcpConnection::connect(&address.parse()?, deadline)?;
    println!("{} is connected to {}", connection.local_addr(), connection.peer_addr());

    let mut answer = Vec::new();
    for line in io::stdin().lines() {
        connection.sender.send(line?.as_bytes())?;
        let deadline = Deadline::after(Duration::from_secs(5));
        connection.receiver.recv_to_vec(&mut answer, deadline)?;
        println!("{}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}
