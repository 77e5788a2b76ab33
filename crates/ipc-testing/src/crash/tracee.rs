//! A process under `ptrace(2)`: steps, breakpoints, registers. Leaves out what they are for.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::fs;
use std::mem::offset_of;

use nix::errno::Errno;
use nix::libc::user_regs_struct;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::process::{WaitId, WaitIdOptions};

use super::Unsupported;

/// A process that this thread traces. It dies with the thread.
#[derive(Debug)]
pub(super) struct Tracee {
    pid: Pid,
    instructions: HashMap<u64, Instruction>,
    /// How it was last let go.
    run: Cell<Run>,
}

/// Why it does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// It made a step, or met a breakpoint or a mark.
    Trap,
    /// It sleeps in the kernel, for this many-th time. Only [`Tracee::wait_or_sleep`] tells.
    Sleeps(u64),
    /// It was stopped by SIGSTOP.
    Stopped,
    /// It ended.
    Ended,
}

/// What matters here about an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instruction {
    /// `int3`.
    Trap,
    /// `syscall`.
    SystemCall,
    /// One that repeats itself, such as `rep movsb`: it makes one turn a step.
    Repeats,
    Other,
}

#[derive(Clone, Copy, Debug)]
enum Run {
    Step,
    Freely,
}

impl Tracee {
    /// Begins to trace a child, which runs on. It is killed if this process ends.
    pub(super) fn seize(pid: u32) -> Result<Self, Unsupported> {
        let pid = Pid::from_raw(pid as i32);
        ptrace::seize(pid, ptrace::Options::PTRACE_O_EXITKILL)
            .map_err(|error| Unsupported::NotPermitted(error.to_string()))?;
        Ok(Self { pid, instructions: HashMap::new(), run: Cell::new(Run::Freely) })
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.pid.as_raw() as u32
    }

    /// Where it is: the address of the next instruction, but one behind a breakpoint that it met.
    pub(super) fn pc(&self) -> nix::Result<u64> {
        self.register(offset_of!(user_regs_struct, rip))
    }

    pub(super) fn set_pc(&self, pc: u64) -> nix::Result<()> {
        let register = offset_of!(user_regs_struct, rip) as *mut c_void;
        ptrace::write_user(self.pid, register, pc as i64)
    }

    pub(super) fn rax(&self) -> nix::Result<u64> {
        self.register(offset_of!(user_regs_struct, rax))
    }

    fn register(&self, offset: usize) -> nix::Result<u64> {
        ptrace::read_user(self.pid, offset as *mut c_void).map(|word| word as u64)
    }

    /// Lets it make one step; then [`wait`](Self::wait).
    pub(super) fn step(&self) -> nix::Result<()> {
        self.go(Run::Step, None)
    }

    /// Lets it run; then [`wait`](Self::wait).
    pub(super) fn resume(&self) -> nix::Result<()> {
        self.go(Run::Freely, None)
    }

    fn go(&self, run: Run, signal: Option<Signal>) -> nix::Result<()> {
        self.run.set(run);
        match run {
            Run::Step => ptrace::step(self.pid, signal),
            Run::Freely => ptrace::cont(self.pid, signal),
        }
    }

    /// Waits until it stops or ends.
    pub(super) fn wait(&self) -> nix::Result<Halt> {
        loop {
            if let Some(halt) = self.look(WaitIdOptions::empty())? {
                return Ok(halt);
            }
        }
    }

    /// Waits until it stops, ends, or sleeps in the kernel, but for the sleep that is `known`.
    pub(super) fn wait_or_sleep(&self, known: Option<u64>) -> nix::Result<Halt> {
        loop {
            // Looked at before: it can have stopped since, but then the next look tells.
            let sleep = self.sleep();
            if let Some(halt) = self.look(WaitIdOptions::NOHANG)? {
                return Ok(halt);
            }
            match sleep {
                Some(sleep) if Some(sleep) != known => return Ok(Halt::Sleeps(sleep)),
                _ => std::thread::yield_now(),
            }
        }
    }

    /// The number of the sleep that it is in: how often it has given up the processor.
    fn sleep(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        if !field("State:\t")?.starts_with('S') {
            return None;
        }
        field("voluntary_ctxt_switches:\t")?.parse().ok()
    }

    fn look(&self, flags: WaitIdOptions) -> nix::Result<Option<Halt>> {
        // Looked at without taking: the end is for who started the process to take.
        let options = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
        let pid = rustix::process::Pid::from_raw(self.pid.as_raw()).expect("a process");
        match rustix::process::waitid(WaitId::Pid(pid), options | flags) {
            Ok(None) | Err(rustix::io::Errno::INTR) => return Ok(None),
            Ok(Some(status)) if status.exited() || status.killed() || status.dumped() => {
                return Ok(Some(Halt::Ended));
            }
            Ok(Some(_)) => {}
            Err(error) => return Err(Errno::from_raw(error.raw_os_error())),
        }
        match waitpid(self.pid, Some(WaitPidFlag::WUNTRACED))? {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => Ok(Some(Halt::Trap)),
            WaitStatus::Stopped(_, Signal::SIGSTOP) => Ok(Some(Halt::Stopped)),
            // Not ours: as if nobody traced. Faults end it so.
            WaitStatus::Stopped(_, signal) => self.go(self.run.get(), Some(signal)).map(|()| None),
            _ => self.go(self.run.get(), None).map(|()| None),
        }
    }

    /// Stops tracing and leaves it stopped as by SIGSTOP; on return it is. It must have stopped.
    pub(super) fn leave_stopped(&self) -> nix::Result<()> {
        ptrace::detach(self.pid, Signal::SIGSTOP)?;
        match waitpid(self.pid, Some(WaitPidFlag::WUNTRACED))? {
            WaitStatus::Stopped(..) => Ok(()),
            _ => Err(Errno::ESRCH),
        }
    }

    /// What the instruction at an address is. Asked before breakpoints are set.
    pub(super) fn instruction(&mut self, address: u64) -> nix::Result<Instruction> {
        if let Some(known) = self.instructions.get(&address) {
            return Ok(*known);
        }
        let instruction = decode(self.code(address)?);
        self.instructions.insert(address, instruction);
        Ok(instruction)
    }

    /// Four bytes of code; zeros where it ends.
    fn code(&self, address: u64) -> nix::Result<[u8; 4]> {
        // Whole words, so that none reaches over the end of the mapping.
        let aligned = address & !7;
        let low = self.word(aligned)?;
        let high = if address - aligned > 4 { self.word(aligned + 8).unwrap_or(0) } else { 0 };
        let both = u128::from(high) << 64 | u128::from(low);
        let bytes = (both >> (8 * (address - aligned))).to_le_bytes();
        Ok([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    fn word(&self, address: u64) -> nix::Result<u64> {
        ptrace::read(self.pid, address as *mut c_void).map(|word| word as u64)
    }

    /// Puts a breakpoint at an address.
    pub(super) fn set_breakpoint(&self, address: u64) -> nix::Result<Breakpoint> {
        let place = Breakpoint { address, original: self.word(address & !7)? };
        let shift = 8 * (address & 7);
        self.put(&place, place.original & !(0xff << shift) | 0xcc << shift)?;
        Ok(place)
    }

    /// Takes a breakpoint away.
    pub(super) fn clear(&self, breakpoint: &Breakpoint) -> nix::Result<()> {
        self.put(breakpoint, breakpoint.original)
    }

    fn put(&self, breakpoint: &Breakpoint, word: u64) -> nix::Result<()> {
        let address = (breakpoint.address & !7) as *mut c_void;
        ptrace::write(self.pid, address, word as i64)
    }
}

/// A breakpoint that was set.
#[derive(Debug)]
pub(super) struct Breakpoint {
    pub(super) address: u64,
    original: u64,
}

fn decode(code: [u8; 4]) -> Instruction {
    match code {
        [0xcc, ..] => Instruction::Trap,
        [0x0f, 0x05, ..] => Instruction::SystemCall,
        // A repeat prefix, perhaps one for the operand's size, and a string instruction.
        [0xf2 | 0xf3, 0xa4..=0xa7 | 0xaa..=0xaf, ..]
        | [0xf2 | 0xf3, 0x40..=0x4f | 0x66, 0xa4..=0xa7 | 0xaa..=0xaf, _] => Instruction::Repeats,
        _ => Instruction::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_told_apart() {
        assert_eq!(decode([0xcc, 0, 0, 0]), Instruction::Trap);
        assert_eq!(decode([0x0f, 0x05, 0, 0]), Instruction::SystemCall);
        assert_eq!(decode([0xf3, 0xa4, 0, 0]), Instruction::Repeats); // rep movsb
        assert_eq!(decode([0xf3, 0x48, 0xa5, 0]), Instruction::Repeats); // rep movsq
        assert_eq!(decode([0xf3, 0x90, 0, 0]), Instruction::Other); // pause
        assert_eq!(decode([0xf3, 0x0f, 0x1e, 0xfa]), Instruction::Other); // endbr64
    }
}
