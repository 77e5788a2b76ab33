//! Watches three children at once, one of which is stopped and continued: `signal_children`.

use std::process::Command;

use ipc_core::Deadline;
use ipc_signal::{ChildListener, MaskGuard, Signal};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // First of all, so that every later thread inherits the mask.
    let _mask = MaskGuard::block([Signal::CHLD])?;
    let mut listener = ChildListener::open()?;

    let scripts = ["exit 3", "kill -KILL $$", "(sleep 0.1; kill -CONT $$) & kill -STOP $$; exit 0"];
    let mut children = Vec::new();
    for script in scripts {
        let child = Command::new("sh").args(["-c", script]).spawn()?;
        println!("{}: sh -c {script:?}", child.id());
        listener.watch(child.id())?;
        children.push(child);
    }
    while listener.watched() > 0 {
        let event = listener.wait(Deadline::Never)?;
        println!("{}: {}", event.pid, event.change);
    }
    // Their ends were only looked at: they are still ours to reap.
    for mut child in children {
        child.wait()?;
    }
    Ok(())
}
