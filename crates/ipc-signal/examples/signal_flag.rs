//! Works until Ctrl-C, and reloads at SIGHUP, with handlers that only raise a flag: `signal_flag`, or
//! `signal_flag once` to send both to itself.

use std::thread;
use std::time::Duration;

use ipc_signal::{Signal, SignalCounter, SignalFlag, SignalTarget};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let interrupted = SignalFlag::install(Signal::INT)?;
    let reloads = SignalCounter::install(Signal::HUP)?;

    let pid = std::process::id();
    println!("kill -HUP {pid} reloads; Ctrl-C or kill -INT {pid} ends");
    if std::env::args().nth(1).as_deref() == Some("once") {
        let myself = SignalTarget::process(pid)?;
        myself.send(Signal::HUP)?;
        myself.send(Signal::INT)?;
    }
    loop {
        // The work would be here.
        thread::sleep(Duration::from_millis(50));
        if reloads.take() > 0 {
            println!("reload number {}", reloads.total());
        }
        if interrupted.take() {
            break println!("interrupted: good bye");
        }
    }
    Ok(())
}
