//! Tracing a child (`ptrace(2)`) as far as it takes to look at the signals that it gets. Leaves out what
//! they mean.
//!
//! All calls but [`announce_and_wait`] belong to one thread, the tracer: the kernel binds tracees to it.

// ptrace and waitpid with the options of tracers take pointers; `pre_exec` is unsafe by nature.
#![allow(unsafe_code)]

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

use rustix::io::Errno;

use super::SignalInfo;

/// A thread that the calling thread traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tracee(pub(crate) i32);

/// Why [`wait_for_any_tracee`] returned.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// It is about to be given a signal.
    Signal(i32),
    /// All of its process is stopped.
    Group,
    /// It has begun, or has begun another thread.
    Begin,
    /// It has exited with this status.
    Exited(i32),
    /// A signal has ended it; with or without a core dump.
    Killed(i32, bool),
}

/// Has the process that `command` starts wait, before it becomes the new program, until the tracer has
/// seized it. It writes its process id to `tracer` and reads one byte: 0, or the error to fail with.
pub(crate) fn announce_and_wait(command: &mut Command, mut tracer: UnixStream) {
    let wait = move || {
        tracer.write_all(&std::process::id().to_ne_bytes())?;
        let mut answer = [0];
        tracer.read_exact(&mut answer)?;
        match answer[0] {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error.into())),
        }
    };
    // SAFETY: between fork and exec this calls write, read and getpid, which are async-signal-safe, and
    // allocates nothing: an error made of a number is only that number.
    unsafe { command.pre_exec(wait) };
}

impl Tracee {
    /// Begins to trace a child and all threads that it will have. It lives no longer than its tracer.
    pub(crate) fn seize(self) -> io::Result<()> {
        let options = libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_EXITKILL;
        ptrace(libc::PTRACE_SEIZE, self, options as usize)
    }

    /// Lets a stopped thread go on, and gives it a signal; 0 is none.
    pub(crate) fn go_on(self, signo: i32) -> io::Result<()> {
        ptrace(libc::PTRACE_CONT, self, signo as usize)
    }

    /// Leaves it stopped with its process, until somebody continues that.
    pub(crate) fn stay_stopped(self) -> io::Result<()> {
        ptrace(libc::PTRACE_LISTEN, self, 0)
    }

    /// The particulars of the signal that it has stopped for.
    pub(crate) fn signal_info(self) -> io::Result<SignalInfo> {
        let mut info = SignalInfo::EMPTY;
        ptrace(libc::PTRACE_GETSIGINFO, self, ptr::from_mut(&mut info) as usize)?;
        Ok(info)
    }

    /// The address of the instruction that it has stopped at; `None` on processors that we do not know.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub(crate) fn instruction(self) -> Option<u64> {
        // SAFETY: a C structure of numbers: zeros are valid in it.
        let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
        let mut vector = libc::iovec {
            iov_base: ptr::from_mut(&mut registers).cast(),
            iov_len: size_of_val(&registers),
        };
        let (vector, kind) = (ptr::from_mut(&mut vector), libc::NT_PRSTATUS as usize);
        // SAFETY: the kernel fills the registers, no further than their length.
        let result = unsafe { libc::ptrace(libc::PTRACE_GETREGSET, self.0, kind, vector) };
        #[cfg(target_arch = "x86_64")]
        let instruction = registers.rip;
        #[cfg(target_arch = "aarch64")]
        let instruction = registers.pc;
        (result == 0).then_some(instruction)
    }

    /// The address of the instruction that it has stopped at; `None` on processors that we do not know.
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    pub(crate) fn instruction(self) -> Option<u64> {
        None
    }
}

/// Any request that needs no address. `data` is a number, or a pointer for the kernel to fill.
fn ptrace(request: libc::c_uint, tracee: Tracee, data: usize) -> io::Result<()> {
    let no_address = ptr::null_mut::<libc::c_void>();
    // SAFETY: the callers give numbers, or the address of a live `SignalInfo`, which has the layout of
    // the `siginfo_t` that PTRACE_GETSIGINFO writes.
    let result = unsafe { libc::ptrace(request, tracee.0, no_address, data) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Waits until a tracee of the calling thread stops or ends, and returns which. The end of one is only
/// taken if `take_end` says so; until then it is reported again.
///
/// Takes the status of no process but tracees and children of this very thread (`__WNOTHREAD`).
///
/// # Errors
///
/// `ECHILD` if there are none left.
pub(crate) fn wait_for_any_tracee(
    mut take_end: impl FnMut(Tracee) -> bool,
) -> io::Result<(Tracee, Stop)> {
    const ANY: i32 = -1;
    loop {
        let (tracee, has_ended) = peek()?;
        if has_ended && !take_end(tracee) {
            return Err(Errno::CHILD.into());
        }
        let mut status = 0;
        let options = libc::__WALL | libc::__WNOTHREAD | libc::WNOHANG;
        let whom = if has_ended { tracee.0 } else { ANY };
        // SAFETY: `status` is written.
        match unsafe { libc::waitpid(whom, &mut status, options) } {
            0 => {} // it was killed while stopped, say
            -1 => return Err(io::Error::last_os_error()),
            pid => return Ok((Tracee(pid), decode(status))),
        }
    }
}

/// Waits for a tracee with news, and leaves the news where they are; tells whether it has ended.
fn peek() -> io::Result<(Tracee, bool)> {
    let options = libc::WEXITED | libc::WSTOPPED | libc::WNOWAIT | libc::__WALL | libc::__WNOTHREAD;
    let mut info = SignalInfo::EMPTY;
    let info_pointer = ptr::from_mut(&mut info).cast::<libc::siginfo_t>();
    loop {
        // SAFETY: `info` has the size and layout of a `siginfo_t`, and is written.
        let result = unsafe { libc::waitid(libc::P_ALL, 0, info_pointer, options) };
        if result == 0 {
            let has_ended =
                matches!(info.code, libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED);
            return Ok((Tracee(info.pid as i32), has_ended));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn decode(status: libc::c_int) -> Stop {
    if libc::WIFEXITED(status) {
        return Stop::Exited(libc::WEXITSTATUS(status));
    }
    if libc::WIFSIGNALED(status) {
        return Stop::Killed(libc::WTERMSIG(status), libc::WCOREDUMP(status));
    }
    let (signo, event) = (libc::WSTOPSIG(status), status >> 16);
    match (event, signo) {
        (0, signo) => Stop::Signal(signo),
        (libc::PTRACE_EVENT_STOP, libc::SIGTRAP) => Stop::Begin,
        (libc::PTRACE_EVENT_STOP, _) => Stop::Group,
        _ => Stop::Begin,
    }
}
