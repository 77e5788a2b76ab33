//! What a fault is: which signal, why, where. Leaves out how it is learnt (`supervise.rs`).

use std::fmt;

use crate::Signal;
use crate::sys::SignalInfo;

/// A fault of a child: a signal by which its own doing ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Fault {
    /// `SIGFPE`, `SIGSEGV`, `SIGBUS`, `SIGILL`, `SIGABRT`, `SIGTRAP` or `SIGSYS`.
    pub signal: Signal,
    /// Why, as the kernel says it in a number: `si_code` in `sigaction(2)`.
    pub code: i32,
    /// The same in words.
    pub cause: FaultCause,
    /// The address at fault: of the memory that was accessed (`SIGSEGV`, `SIGBUS`), or of the
    /// instruction (`SIGFPE`, `SIGILL`). `None` where the kernel gives none, as for `abort(3)`, or an
    /// address that is none (x86-64, non-canonical).
    pub address: Option<u64>,
    /// The address of the instruction at which the thread was; after a system call, the next one.
    /// `None` on processors other than x86-64 and aarch64.
    pub instruction: Option<u64>,
    /// The id of the thread.
    pub thread: u32,
}

/// Why a [`Fault`] came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultCause {
    /// An integer was divided by zero, or the quotient is too large (x86-64 does not tell them apart).
    IntegerDivision,
    /// An integer overflow trap.
    IntegerOverflow,
    /// A trap of floating-point arithmetic.
    FloatingPoint,
    /// There is no memory at the address.
    NotMapped,
    /// There is memory, but not for this access: written to though read-only, say.
    NotPermitted,
    /// The address is not aligned as it must be.
    Misaligned,
    /// Behind the mapping is nothing, as beyond the end of a mapped file.
    NothingBehind,
    /// A memory error that the hardware found.
    HardwareMemory,
    /// The instruction is none, or has operands that it cannot have.
    IllegalInstruction,
    /// The instruction is one for the kernel alone.
    PrivilegedInstruction,
    /// A breakpoint or trace trap that nobody has set.
    Trap,
    /// A system call that a filter (`seccomp(2)`) forbids.
    ForbiddenCall,
    /// The program has ended itself: `abort(3)`, `raise(3)`.
    Aborted,
    /// No fault of its own: a process has sent it the signal, as `kill` does.
    Sent {
        /// By its process id, in our PID namespace; 0 in another. The kernel's word, but for a signal
        /// that was queued with a value.
        by: u32,
    },
    /// The kernel, without saying more.
    Unknown,
}

impl Fault {
    pub(crate) fn new(
        info: &SignalInfo,
        process: u32,
        thread: u32,
        instruction: Option<u64>,
    ) -> Self {
        let signal = Signal::reported(info.signo);
        let cause = cause(signal, info, process);
        let has_address = matches!(signal, Signal::FPE | Signal::SEGV | Signal::BUS | Signal::ILL)
            && info.code > 0
            && info.code != SI_KERNEL;
        let address = has_address.then(|| info.address());
        Self { signal, code: info.code, cause, address, instruction, thread }
    }
}

/// The kernel, which does not say what of: on x86-64, an access to an address that is none.
const SI_KERNEL: i32 = 0x80;

fn cause(signal: Signal, info: &SignalInfo, process: u32) -> FaultCause {
    match (signal, info.code) {
        (_, code) if code <= 0 && info.pid == process => FaultCause::Aborted,
        (_, code) if code <= 0 => FaultCause::Sent { by: info.pid },
        (Signal::FPE, 1) => FaultCause::IntegerDivision,
        (Signal::FPE, 2) => FaultCause::IntegerOverflow,
        (Signal::FPE, 3..=8 | 14) => FaultCause::FloatingPoint,
        (Signal::SEGV, 1) => FaultCause::NotMapped,
        (Signal::SEGV, 2..=5) => FaultCause::NotPermitted, // also by protection keys
        (Signal::BUS, 1) => FaultCause::Misaligned,
        (Signal::BUS, 2 | 3) => FaultCause::NothingBehind,
        (Signal::BUS, 4 | 5) => FaultCause::HardwareMemory,
        (Signal::ILL, 5 | 6) => FaultCause::PrivilegedInstruction,
        (Signal::ILL, 1..=8) => FaultCause::IllegalInstruction,
        (Signal::TRAP, _) => FaultCause::Trap,
        (Signal::SYS, _) => FaultCause::ForbiddenCall,
        _ => FaultCause::Unknown,
    }
}

impl fmt::Display for Fault {
    /// `SIGSEGV: no memory at the address 0x10, in the instruction at 0x55…, thread 17`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.signal, self.cause)?;
        if let Some(address) = self.address {
            write!(f, ", address {address:#x}")?;
        }
        if let Some(instruction) = self.instruction {
            write!(f, ", in the instruction at {instruction:#x}")?;
        }
        write!(f, ", thread {}", self.thread)
    }
}

impl fmt::Display for FaultCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IntegerDivision => "integer division by zero or overflow",
            Self::IntegerOverflow => "integer overflow",
            Self::FloatingPoint => "floating-point arithmetic",
            Self::NotMapped => "no memory there",
            Self::NotPermitted => "memory not for this access",
            Self::Misaligned => "misaligned address",
            Self::NothingBehind => "nothing behind the mapping",
            Self::HardwareMemory => "memory error of the hardware",
            Self::IllegalInstruction => "illegal instruction",
            Self::PrivilegedInstruction => "privileged instruction",
            Self::Trap => "trap",
            Self::ForbiddenCall => "forbidden system call",
            Self::Aborted => "raised by the program itself",
            Self::Sent { by } => return write!(f, "sent by process {by}"),
            Self::Unknown => "for a reason that the kernel does not tell",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(signal: Signal, code: i32, pid: u32) -> Fault {
        let mut info = SignalInfo::queued(signal.number(), pid, 0);
        info.code = code;
        Fault::new(&info, 17, 18, None)
    }

    #[test]
    fn a_signal_that_was_sent_has_no_address() {
        let by_itself = fault(Signal::ABRT, libc::SI_TKILL, 17);
        assert_eq!((by_itself.cause, by_itself.address), (FaultCause::Aborted, None));
        let by_another = fault(Signal::SEGV, libc::SI_USER, 1);
        assert_eq!((by_another.cause, by_another.address), (FaultCause::Sent { by: 1 }, None));
    }

    #[test]
    fn a_general_protection_fault_has_no_address() {
        let fault = fault(Signal::SEGV, SI_KERNEL, 0);
        assert_eq!((fault.cause, fault.address), (FaultCause::Unknown, None));
    }
}
