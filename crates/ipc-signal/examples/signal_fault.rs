//! Runs a program and reports why it crashed, if it does: `signal_fault [PROGRAM [ARGUMENT]…]`. Without
//! arguments it runs itself, and reads from an address that is none.

use std::process::Command;

use ipc_core::Deadline;
use ipc_signal::SupervisedChild;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let command = match arguments.next() {
        Some(program) if program == "crash" => return crash(),
        Some(program) => {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
        None => {
            let mut command = Command::new("/proc/self/exe");
            command.arg("crash");
            command
        }
    };
    let mut child = SupervisedChild::spawn(command)?;
    println!("process {} runs", child.id());
    let report = child.wait(Deadline::Never)?;
    println!("process {}: {}", child.id(), report.end);
    match report.fault {
        Some(fault) => println!("  {fault}"),
        None => println!("  no fault"),
    }
    Ok(())
}

// The fault is the purpose.
#[allow(unsafe_code)]
fn crash() -> Result<(), Box<dyn std::error::Error>> {
    // SAFETY: none: this is what a broken program does.
    unsafe { std::ptr::without_provenance::<u8>(0x10).read_volatile() };
    Ok(())
}
