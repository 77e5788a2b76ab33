//! A parent that sends lines to a child and gets them back in capitals: two pipes, one each way.
//!
//! `cargo run -p ipc-pipe --example pipe_to_child`. It starts itself anew as the child.

use std::env;
use std::error::Error;
use std::process::Command;

use ipc_core::{Deadline, Receiver, RecvError, Sender};
use ipc_pipe::{PipeReceiver, PipeSender};

fn main() -> Result<(), Box<dyn Error>> {
    if env::args().nth(1).as_deref() == Some("child") { child() } else { parent() }
}

fn parent() -> Result<(), Box<dyn Error>> {
    let (mut lines, childs_lines) = ipc_pipe::pipe()?;
    let (childs_answers, mut answers) = ipc_pipe::pipe()?;

    let mut command = Command::new(env::current_exe()?);
    command.arg("child");
    let given = (
        childs_lines.give_to(&mut command, "LINES")?,
        childs_answers.give_to(&mut command, "ANSWERS")?,
    );
    let mut child = command.spawn()?;
    drop(given); // from here on the child's death is seen

    let mut answer = Vec::new();
    for line in ["a pipe goes one way", "so there are two", "the end is closing one"] {
        lines.send(line.as_bytes())?;
        answers.recv_to_vec(&mut answer, Deadline::Never)?;
        println!("{line} -> {}", String::from_utf8_lossy(&answer));
    }
    drop(lines);
    child.wait()?;
    Ok(())
}

fn child() -> Result<(), Box<dyn Error>> {
    let mut lines = PipeReceiver::inherited("LINES")?;
    let mut answers = PipeSender::inherited("ANSWERS")?;
    let mut line = Vec::new();
    loop {
        match lines.recv_to_vec(&mut line, Deadline::Never) {
            Ok(_) => answers.send(&line.to_ascii_uppercase())?,
            Err(RecvError::PeerGone { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
