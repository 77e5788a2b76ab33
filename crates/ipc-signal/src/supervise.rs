//! A child whose faults are reported. Leaves out what a fault is ([`crate::Fault`]).

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use std::sync::mpsc;
use std::thread::JoinHandle;

use ipc_core::{Deadline, Liveness, OpenError, OpenErrorKind, OsError, RecvError, Resource};
use rustix::io::Errno;

use crate::sys::{self, SignalSet, Stop, Tracee};
use crate::{ChildChange, Fault, Signal};

/// How a [`SupervisedChild`] has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildReport {
    /// Its exit status, or the signal that has ended it.
    pub end: ChildChange,
    /// The fault that has ended it; `None` if it exited, or was ended by a signal that is none.
    pub fault: Option<Fault>,
}

impl fmt::Display for ChildReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Some(fault) => write!(f, "{} ({fault})", self.end),
            None => self.end.fmt(f),
        }
    }
}

/// A child that runs any program, and whose fault, if one ends it, is reported with its cause, its
/// address and its instruction.
///
/// # How, and why so
///
/// A process that has divided by zero is in no state to tell about it: its handler would run in a broken
/// program, on a stack that may be the very thing that is broken, and a program that we only start has
/// no handler of ours. So another process looks: the child is **traced** (`ptrace(2)`). The kernel stops
/// it at each signal, before anything else happens; we read what the kernel knows and let the signal
/// take its course. A program that handles its own faults does so as ever. Nothing is asked of the child, and
/// nothing in it can keep the report from being made.
///
/// Tracing is bound to one thread, so that a supervised child has **one thread here**, which sleeps in
/// `waitpid`, blocks all signals, takes no other child's status, and ends with the child.
///
/// What the child may notice: a debugger cannot trace it too; each of its signals costs two switches
/// more; a set-user-id program gets no privileges from it (unless we have `CAP_SYS_PTRACE`). Stops by
/// `SIGSTOP` or Ctrl-Z work. Its own children are not traced.
///
/// The child lives no longer than its supervision: it is killed when this is dropped or our process
/// ends. So it is reaped here too, and [`wait`](Self::wait) is the only way to its status.
///
/// ```
/// use std::process::Command;
/// use ipc_core::Deadline;
/// use ipc_signal::{FaultCause, Signal, SupervisedChild};
///
/// let mut command = Command::new("sh");
/// command.args(["-c", "kill -ABRT $$"]);
/// let mut child = SupervisedChild::spawn(command)?;
/// let report = child.wait(Deadline::Never)?;
/// let fault = report.fault.expect("it has ended itself");
/// assert_eq!((fault.signal, fault.cause), (Signal::ABRT, FaultCause::Aborted));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SupervisedChild {
    /// To write to its standard input, if that was `Stdio::piped()`.
    pub stdin: Option<ChildStdin>,
    /// To read its standard output, if that was `Stdio::piped()`.
    pub stdout: Option<ChildStdout>,
    /// To read its standard error, if that was `Stdio::piped()`.
    pub stderr: Option<ChildStderr>,
    pid: u32,
    process: Liveness,
    tracer: Option<JoinHandle<io::Result<ChildReport>>>,
    report: Option<ChildReport>,
    resource: Resource,
}

impl SupervisedChild {
    /// Starts the program.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::NotFound`] if there is no such program, and others of starting one;
    /// [`OpenErrorKind::PermissionDenied`] if tracing is forbidden here (`/proc/sys/kernel/yama/ptrace_scope`
    /// above 1, a container's filter).
    pub fn spawn(mut command: Command) -> Result<Self, OpenError> {
        let program = command.get_program().to_string_lossy();
        let resource = Resource::named("program", program);
        let error =
            |operation, error: io::Error| OpenError::new(operation, &resource, error.into());
        let (ours, childs) = UnixStream::pair().map_err(|source| error("socketpair", source))?;
        sys::announce_and_wait(&mut command, childs);

        let (tell_spawned, spawned) = mpsc::channel();
        let tracer = std::thread::Builder::new().name("supervisor".into());
        let tracer = tracer
            .spawn(move || trace(ours, &spawned))
            .map_err(|source| error("start a thread to supervise", source))?;
        let child = command.spawn();
        // Closes the child's end of the socket here: if there is no child, the tracer reads the end.
        drop(command);
        let started = child.and_then(|child| {
            // Nobody reaps it before the tracer has heard of it.
            Ok((Liveness::of_process(child.id())?, child))
        });
        match started {
            Ok((process, mut child)) => {
                let _ = tell_spawned.send(()); // the tracer may have ended with the child
                Ok(Self {
                    stdin: child.stdin.take(),
                    stdout: child.stdout.take(),
                    stderr: child.stderr.take(),
                    pid: child.id(),
                    process,
                    tracer: Some(tracer),
                    report: None,
                    resource,
                })
            }
            Err(source) => {
                drop(tell_spawned);
                let _ = tracer.join(); // what it found is of no interest
                let forbidden = source.raw_os_error() == Some(libc::EPERM);
                let operation = if forbidden { "trace" } else { "start" };
                Err(OpenError::new(operation, &resource, OpenErrorKind::from(source)))
            }
        }
    }

    /// Its process id; its own until [`wait`](Self::wait) has reported its end.
    pub fn id(&self) -> u32 {
        self.pid
    }

    /// Sends it a signal, unless it has ended. That is success too.
    ///
    /// # Errors
    ///
    /// `EPERM` if it has become another user's.
    pub fn signal(&self, signal: impl Into<Signal>) -> io::Result<()> {
        match sys::queue(self.process.as_fd(), signal.into().number(), None) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => Ok(()),
            other => other,
        }
    }

    /// Waits until it ends, at most until `deadline`; tells how. Its standard input is closed first, as
    /// a child may wait for that. Once known, the report is given again and again.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] or [`RecvError::TimedOut`] if it has not ended; [`RecvError::Os`] in no case
    /// that we know.
    pub fn wait(&mut self, deadline: Deadline) -> Result<ChildReport, RecvError> {
        drop(self.stdin.take());
        let error =
            |operation, error: io::Error| OsError::new(operation, &self.resource, error).into();
        if let Some(report) = self.report {
            return Ok(report);
        }
        if !self.process.wait_gone(deadline).map_err(|source| error("poll", source))? {
            return Err(RecvError::no_message(deadline));
        }
        let Some(tracer) = self.tracer.take() else {
            return Err(error("waitpid", Errno::CHILD.into())); // as it has failed before
        };
        let report = tracer.join().unwrap_or_else(|_| Err(Errno::CHILD.into()));
        let report = report.map_err(|source| error("waitpid", source))?;
        self.report = Some(report);
        Ok(report)
    }
}

impl Drop for SupervisedChild {
    fn drop(&mut self) {
        if let Some(tracer) = self.tracer.take() {
            let _ = self.signal(Signal::KILL);
            let _ = tracer.join();
        }
    }
}

/// The tracer's thread: from before the program starts until it has ended.
fn trace(mut child: UnixStream, spawned: &mpsc::Receiver<()>) -> io::Result<ChildReport> {
    // Inherited from the caller, whose handlers would run here, and whose receivers would object.
    sys::block(&SignalSet::full())?;
    let mut pid = [0; 4];
    child.read_exact(&mut pid)?;
    let pid = u32::from_ne_bytes(pid);
    let main = Tracee(pid as i32);
    let seized = main.seize();
    let answer =
        seized.as_ref().err().map_or(0, |error| error.raw_os_error().unwrap_or(libc::EPERM));
    child.write_all(&[u8::try_from(answer).unwrap_or(u8::MAX)])?;
    seized?;
    drop(child);

    // A child that could not become the program is reaped by the standard library, and its end must be
    // left to that. So before an end is taken, the start must have been told.
    let mut was_spawned = false;
    let mut may_take_end = |_: Tracee| {
        was_spawned = was_spawned || spawned.recv().is_ok();
        was_spawned
    };
    let mut faults = HashMap::new();
    loop {
        let (tracee, stop) = sys::wait_for_any_tracee(&mut may_take_end)?;
        let went_on = match stop {
            Stop::Signal(signo) => {
                if Signal::reported(signo).is_fault() {
                    faults.insert(signo, fault(tracee, pid)?);
                }
                tracee.go_on(signo)
            }
            Stop::Group => tracee.stay_stopped(),
            Stop::Begin => tracee.go_on(0),
            Stop::Exited(status) if tracee == main => {
                return Ok(ChildReport { end: ChildChange::Exited(status), fault: None });
            }
            Stop::Killed(signo, core_dumped) if tracee == main => {
                let end = ChildChange::Killed { signal: Signal::reported(signo), core_dumped };
                return Ok(ChildReport { end, fault: faults.get(&signo).copied().flatten() });
            }
            Stop::Exited(_) | Stop::Killed(..) => Ok(()), // another thread
        };
        ignore_killed(went_on)?;
    }
}

/// The fault for which a thread has stopped; `None` if it was killed while stopped.
fn fault(tracee: Tracee, pid: u32) -> io::Result<Option<Fault>> {
    match tracee.signal_info() {
        Ok(info) => {
            let thread = tracee.0 as u32;
            Ok(Some(Fault::new(&info, pid, thread, tracee.instruction())))
        }
        Err(error) => ignore_killed(Err(error)).map(|()| None),
    }
}

/// A stopped tracee may be killed at any time; its end is reported next.
fn ignore_killed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => Ok(()),
        other => other,
    }
}
