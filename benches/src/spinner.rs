//! Processes of the idle class that keep a core from halting: the kernel runs them only when nothing
//! else wants the core, and wakes a sleeper as fast on a core that they hold as on an idle one that
//! has not halted.

// Changes the scheduling class, for which no safe call is at hand.
#![allow(unsafe_code)]

use std::io;

use ipc_testing::{Guest, Host};

use crate::machine;

/// One spinner for each of some processors, until dropped.
#[derive(Debug, Default)]
pub struct Spinners(#[expect(dead_code, reason = "held for its drop")] Vec<Guest>);

impl Spinners {
    /// Starts them; on return each runs in the idle class on its processor.
    ///
    /// # Errors
    ///
    /// Those of starting a process.
    pub fn start(cpus: &[usize]) -> io::Result<Self> {
        let nothing: [(&str, &str); 0] = [];
        let mut spinners = Vec::new();
        for cpu in cpus {
            let mut spinner = Guest::start(["spinner", &cpu.to_string()], nothing)?;
            spinner.hear();
            spinners.push(spinner);
        }
        Ok(Self(spinners))
    }
}

/// The life of a spinner: until the process that started it ends, or ends it.
///
/// # Errors
///
/// If the processor or the idle class is refused.
pub fn run(cpu: usize) -> anyhow::Result<()> {
    let mut starter = Host::from_stdin()?;
    machine::pin(cpu)?;
    enter_idle_class()?;
    starter.tell("spinning");
    loop {
        std::hint::spin_loop();
    }
}

/// Puts this process into the class `SCHED_IDLE` (sched(7)): no privilege is needed.
fn enter_idle_class() -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: the pointer is to a live `sched_param`, and 0 means the calling thread.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
