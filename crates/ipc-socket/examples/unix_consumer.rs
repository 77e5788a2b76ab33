//! Listens at a path and prints the lines that each `unix_producer` sends, with who sent it.
//!
//! Run it first, then `unix_producer` in a second terminal. It serves one producer after the other, until
//! it is interrupted; try to kill it, and to start it twice.

use std::error::Error;
use std::path::PathBuf;

use ipc_core::{Deadline, Receiver, RecvError};
use ipc_socket::UnixStreamListener;

fn main() -> Result<(), Box<dyn Error>> {
    let directory =
        std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let path = directory.join("ipc-unix-example.socket");
    let listener = UnixStreamListener::bind(path.as_path())?;
    println!("listening at {}", path.display());

    let mut line = Vec::new();
    loop {
        let mut connection = listener.accept(Deadline::Never)?;
        println!("{} has connected", connection.peer());
        loop {
            match connection.receiver.recv_to_vec(&mut line, Deadline::Never) {
                Ok(_) => println!("  {}", String::from_utf8_lossy(&line)),
                Err(RecvError::PeerGone { .. }) => break,
                Err(error) => return Err(error.into()),
            }
        }
        println!("{} has gone", connection.peer());
    }
}
