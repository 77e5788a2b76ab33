//! Prints what other processes send to this one by its process id, and who they are.
//!
//! `cargo run -p ipc-socket --example direct_consumer`, and `direct_producer PROCESS_ID` in another terminal,
//! or several.

use std::error::Error;

use ipc_core::Deadline;
use ipc_socket::direct::Direct;

fn main() -> Result<(), Box<dyn Error>> {
    let mut me = Direct::open()?;
    println!("process {} listens to anyone of this user", std::process::id());
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (who, received) = me.receive_any(&mut buffer, Deadline::Never)?;
        let text = String::from_utf8_lossy(&buffer[..received.len]);
        println!("{who} says: {text}");
        // The link goes both ways. A sender that has gone meanwhile does not hear it.
        match me.send(&who, text.to_uppercase().as_bytes(), Deadline::Now) {
            Ok(()) => {}
            Err(error) => println!("{who} was not answered: {error}"),
        }
    }
}
