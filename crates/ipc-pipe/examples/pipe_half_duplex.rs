//! A conversation in which one side speaks at a time: a parent and its child pass the turn to each other.
//!
//! `cargo run -p ipc-pipe --example pipe_half_duplex`. It starts itself anew as the child.

use std::env;
use std::error::Error;
use std::process::Command;

use ipc_core::Deadline;
use ipc_pipe::{HalfDuplexPipe, Heard, half_duplex};

fn main() -> Result<(), Box<dyn Error>> {
    if env::args().nth(1).as_deref() == Some("child") {
        let mut link = HalfDuplexPipe::inherited("TALK")?;
        listen("child", &mut link)?;
        return speak(&mut link, &["I hear you", "well"]);
    }
    let (mut ours, theirs) = half_duplex()?;
    let mut command = Command::new(env::current_exe()?);
    let given = theirs.give_to(command.arg("child"), "TALK")?;
    let mut child = command.spawn()?;
    drop(given);
    speak(&mut ours, &["do you hear me?", "over"])?;
    if let Err(error) = ours.send(b"one more thing", Deadline::Now) {
        println!("parent: {error}");
    }
    listen("parent", &mut ours)?;
    child.wait()?;
    Ok(())
}

fn speak(link: &mut HalfDuplexPipe, lines: &[&str]) -> Result<(), Box<dyn Error>> {
    for line in lines {
        link.send(line.as_bytes(), Deadline::Never)?;
    }
    Ok(link.pass_turn(Deadline::Never)?)
}

/// Prints what comes until the turn does.
fn listen(who: &str, link: &mut HalfDuplexPipe) -> Result<(), Box<dyn Error>> {
    let mut buffer = [0; 256];
    while let Heard::Message(received) = link.receive(&mut buffer, Deadline::Never)? {
        println!("{who} hears: {}", String::from_utf8_lossy(&buffer[..received.len]));
    }
    Ok(())
}
