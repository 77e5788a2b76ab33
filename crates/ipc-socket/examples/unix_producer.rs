//! Sends each line of its standard input to the `unix_consumer` that listens in another terminal.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use ipc_core::{Deadline, Sender};
use ipc_socket::UnixStreamConnection;

fn main() -> Result<(), Box<dyn Error>> {
    let directory =
        std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let path = directory.join("ipc-unix-example.socket");
    let deadline = Deadline::after(Duration::from_secs(5));
    let mut connection = UnixStreamConnection::connect(path.as_path(), deadline)?;
    println!("connected to {}; type lines, end with Ctrl-D", connection.peer());

    for line in io::stdin().lines() {
        connection.sender.send(line?.as_bytes())?;
    }
    Ok(())
}
