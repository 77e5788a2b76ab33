//! The numbers and names of all signals. Leaves out what only real-time signals have (`realtime.rs`).

use std::fmt;

use crate::{RealtimeSignal, SignalNumberError};

/// Any signal of Linux: a standard one (`Signal::TERM`), or a [`RealtimeSignal`].
///
/// Shown by its name, as `kill -l` knows it: `SIGTERM`, `SIGRTMIN+3`. See `signal(7)`.
///
/// ```
/// use ipc_signal::{RealtimeSignal, Signal};
///
/// assert_eq!(Signal::TERM.to_string(), "SIGTERM");
/// assert_eq!(Signal::from_number(Signal::KILL.number())?, Signal::KILL);
/// assert_eq!(Signal::from(RealtimeSignal::from_offset(3)?).to_string(), "SIGRTMIN+3");
/// # Ok::<(), ipc_signal::SignalNumberError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(i32);

/// Defines the constants, and the table of their names.
macro_rules! standard {
    ($($name:ident = $number:ident, $doc:literal;)+) => {
        impl Signal {
            $(#[doc = $doc] pub const $name: Self = Self(libc::$number);)+
        }
        const STANDARD: &[(i32, &str)] = &[$((libc::$number, stringify!($number)),)+];
    };
}

standard! {
    HUP = SIGHUP, "The terminal is gone; by custom also: read the configuration again.";
    INT = SIGINT, "An interrupt from the keyboard (Ctrl-C).";
    QUIT = SIGQUIT, "Quit, from the keyboard (Ctrl-\\\\), with a core dump.";
    ILL = SIGILL, "A fault: an instruction that is none, or not allowed.";
    TRAP = SIGTRAP, "A fault: a breakpoint or trace trap.";
    ABRT = SIGABRT, "`abort(3)`: the program has found itself broken.";
    BUS = SIGBUS, "A fault: memory that cannot be accessed so, as beyond the end of a mapped file.";
    FPE = SIGFPE, "A fault of arithmetic, as an integer division by zero.";
    KILL = SIGKILL, "Ends a process. Cannot be blocked, handled or ignored.";
    USR1 = SIGUSR1, "For the program's own use.";
    SEGV = SIGSEGV, "A fault: an address that is not mapped, or not for this access.";
    USR2 = SIGUSR2, "For the program's own use.";
    PIPE = SIGPIPE, "A write to a pipe or socket that nobody reads.";
    ALRM = SIGALRM, "The timer of `alarm(2)`.";
    TERM = SIGTERM, "Please end.";
    CHLD = SIGCHLD, "A child has ended, stopped or continued. Ignored by default.";
    CONT = SIGCONT, "Lets a stopped process continue.";
    STOP = SIGSTOP, "Stops a process. Cannot be blocked, handled or ignored.";
    TSTP = SIGTSTP, "A stop from the keyboard (Ctrl-Z).";
    TTIN = SIGTTIN, "A background process has read from its terminal.";
    TTOU = SIGTTOU, "A background process has written to its terminal.";
    URG = SIGURG, "Urgent data on a socket. Ignored by default.";
    XCPU = SIGXCPU, "Over the limit of processor time (`RLIMIT_CPU`).";
    XFSZ = SIGXFSZ, "Over the limit of file size (`RLIMIT_FSIZE`).";
    VTALRM = SIGVTALRM, "The timer of processor time in user mode.";
    PROF = SIGPROF, "The timer for profiling.";
    WINCH = SIGWINCH, "The terminal has another size. Ignored by default.";
    IO = SIGIO, "A descriptor is ready (`fcntl(2)`, `F_SETOWN`).";
    PWR = SIGPWR, "The power fails.";
    SYS = SIGSYS, "A fault: a system call that is not allowed.";
}

impl Signal {
    /// The signal of this number.
    ///
    /// # Errors
    ///
    /// [`SignalNumberError`] if no signal that programs may use has it: the C library keeps the numbers
    /// from 32 up to `SIGRTMIN` to itself.
    pub fn from_number(number: i32) -> Result<Self, SignalNumberError> {
        if standard_name(number).is_some() {
            return Ok(Self(number));
        }
        RealtimeSignal::from_number(number).map(Self::from)
    }

    /// One that the kernel has reported, whatever its number.
    pub(crate) fn reported(number: i32) -> Self {
        Self(number)
    }

    /// The number that system calls take.
    pub fn number(self) -> i32 {
        self.0
    }

    /// Whether it is a real-time signal: those queue, all others coalesce.
    pub fn is_realtime(self) -> bool {
        RealtimeSignal::from_number(self.0).is_ok()
    }

    /// Whether the processor raises it at an instruction that cannot go on (`SIGSEGV`, `SIGBUS`, `SIGFPE`,
    /// `SIGILL`, `SIGTRAP`, `SIGSYS`), or `abort(3)` does, which does not return either.
    ///
    /// A fault cannot be handled later or elsewhere: blocked, the kernel kills the process at once; and
    /// if its handler returns, the same instruction faults again. To learn of a fault, let another
    /// process look: [`SupervisedChild`](crate::SupervisedChild).
    pub fn is_fault(self) -> bool {
        const FAULTS: [Signal; 7] = [
            Signal::SEGV,
            Signal::BUS,
            Signal::FPE,
            Signal::ILL,
            Signal::TRAP,
            Signal::SYS,
            Signal::ABRT,
        ];
        FAULTS.contains(&self)
    }

    /// Why a program can neither wait for this signal nor handle it; `None` if it can.
    pub(crate) fn why_not_receivable(self) -> Option<&'static str> {
        if matches!(self, Self::KILL | Self::STOP) {
            Some("the kernel lets nobody block, handle or ignore it")
        } else if self.is_fault() {
            Some("it reports a fault, behind which the program cannot go on")
        } else {
            None
        }
    }
}

fn standard_name(number: i32) -> Option<&'static str> {
    STANDARD.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

impl From<RealtimeSignal> for Signal {
    fn from(signal: RealtimeSignal) -> Self {
        Self(signal.number())
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (standard_name(self.0), RealtimeSignal::from_number(self.0)) {
            (Some(name), _) => f.write_str(name),
            (None, Ok(realtime)) => realtime.fmt(f),
            (None, Err(_)) => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_below_32_is_a_standard_signal_but_that_of_no_machine() {
        let unnamed: Vec<_> = (1..32).filter(|&number| standard_name(number).is_none()).collect();
        assert_eq!(unnamed, [16], "SIGSTKFLT, which nothing ever sends");
        for (number, name) in STANDARD {
            assert_eq!(Signal::from_number(*number).expect("standard").to_string(), *name);
        }
    }

    #[test]
    fn the_c_librarys_own_signals_and_those_beyond_are_refused() {
        for number in [-1, 0, 32, 33, 65, i32::MAX] {
            Signal::from_number(number).expect_err("no signal for programs");
        }
    }

    #[test]
    fn faults_and_the_two_that_the_kernel_keeps_cannot_be_received() {
        for signal in [Signal::KILL, Signal::STOP, Signal::SEGV, Signal::ABRT] {
            assert!(signal.why_not_receivable().is_some(), "{signal}");
        }
        for signal in [Signal::TERM, Signal::CHLD, Signal::CONT] {
            assert_eq!(signal.why_not_receivable(), None, "{signal}");
        }
    }
}
