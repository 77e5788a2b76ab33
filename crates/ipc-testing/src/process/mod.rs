//! A second process, made from the current executable, and a channel to direct it by. Leaves out
//! what the two do: see [`crate::between_processes!`] for tests.
//!
//! The channel is a pair of Unix sockets of type seqpacket, apart from every link under test. The
//! guest's end is its standard input: so it needs no number on the command line, and no descriptor
//! is ever inheritable in the host, where another thread's child could catch it.

pub(crate) mod channel;
mod forked;
mod parked;

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use ipc_core::{Deadline, Liveness, poll};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus};

use crate::Invitation;
use channel::{Channel, Kind};

pub use forked::{Forked, SharedNumber};
pub use parked::wait_until_parked;

/// The longest text that [`Guest::tell`] and [`Host::tell`] carry, in bytes.
pub const MAX_TEXT_LEN: usize = 64 * 1024;

/// The most descriptors of one [`Invitation`]; the kernel takes no more (`SCM_MAX_FD`).
pub const MAX_DESCRIPTORS: usize = 253;

/// The host's handle of a guest process.
///
/// Dropping it kills the process and reaps it. The guest also dies with the thread that started it
/// (`PR_SET_PDEATHSIG`), so start it from one that stays.
pub struct Guest {
    child: Child,
    channel: Channel,
    status: Option<ExitStatus>,
}

impl Guest {
    /// Starts the current executable anew with these arguments, and these environment variables
    /// beside our own. The new process must call [`Host::from_stdin`].
    ///
    /// # Errors
    ///
    /// Those of the system calls that it takes.
    pub fn start<A, E, K, V>(arguments: A, environment: E) -> io::Result<Self>
    where
        A: IntoIterator<Item: AsRef<OsStr>>,
        E: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        // Not `current_exe`: that path may name another file by now.
        let mut command = Command::new("/proc/self/exe");
        command.args(arguments).envs(environment);
        Self::start_command(command)
    }

    /// Starts `command`, whose standard input becomes the control channel.
    ///
    /// # Errors
    ///
    /// Those of the system calls that it takes.
    pub fn start_command(mut command: Command) -> io::Result<Self> {
        let (channel, guests) = Channel::pair()?;
        let child = command.stdin(guests).spawn()?;
        // Dropping the command closes our copy of the guest's end, so that its death is a hang-up.
        drop(command);
        Ok(Self { child, channel, status: None })
    }

    /// Its process id. Stays its own until this handle is dropped or [`wait`](Self::wait) returns.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The underlying child, for its output streams.
    pub fn child_mut(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends a short text to the guest. Waits only if the guest has many unread.
    ///
    /// # Panics
    ///
    /// If the guest has ended: with its exit status. If the text is longer than [`MAX_TEXT_LEN`].
    #[track_caller]
    pub fn tell(&mut self, text: &str) {
        if let Err(error) = self.channel.send(Kind::Text, text, &[]) {
            self.fail(&format!("could not be told {text:?}"), &error);
        }
    }

    /// Waits for a text from the guest.
    ///
    /// # Panics
    ///
    /// If the guest ends without sending one: with its exit status.
    #[track_caller]
    pub fn hear(&mut self) -> String {
        match self.channel.receive(Kind::Text) {
            Ok((text, _)) => text,
            Err(error) => self.fail("was not heard", &error),
        }
    }

    /// Sends an invitation to join a link; our copies of its descriptors are closed.
    ///
    /// # Panics
    ///
    /// If the guest has ended: with its exit status. If there are more than [`MAX_DESCRIPTORS`].
    #[track_caller]
    pub fn invite(&mut self, invitation: Invitation) {
        let descriptors: Vec<_> = invitation.descriptors.iter().map(AsFd::as_fd).collect();
        let sent = self.channel.send(Kind::Invitation, &invitation.text, &descriptors);
        if let Err(error) = sent {
            self.fail("could not be invited", &error);
        }
    }

    /// Kills the guest (`SIGKILL`) and reaps it. Does nothing to one that has ended already.
    pub fn kill(&mut self) -> ExitStatus {
        // Fails only for a child that is reaped, which `wait` answers for.
        let _ = self.child.kill();
        self.wait()
    }

    /// Stops the guest (`SIGSTOP`); on return none of its threads runs any more.
    ///
    /// # Panics
    ///
    /// If the guest has ended.
    #[track_caller]
    pub fn stop(&mut self) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, Signal::STOP).expect("the guest has not been reaped");
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let change =
            rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::Pid(pid), options))
                .expect("waitid on our own child");
        assert!(change.as_ref().is_some_and(WaitIdStatus::stopped), "guest {pid:?} has ended");
    }

    /// Lets a stopped guest go on (`SIGCONT`).
    ///
    /// # Panics
    ///
    /// If the guest has been reaped.
    #[track_caller]
    pub fn cont(&mut self) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, Signal::CONT).expect("the guest has not been reaped");
    }

    /// Waits for the guest to end, and reaps it.
    ///
    /// # Panics
    ///
    /// Never in practice: if the system refuses to wait for our own child.
    pub fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("waitpid on our own child");
        self.status = Some(status);
        status
    }

    /// Waits for the guest to end by itself, and insists that it ended well.
    ///
    /// # Panics
    ///
    /// If it did not: with its exit status.
    #[track_caller]
    pub fn finish(&mut self) {
        let status = self.wait();
        assert!(status.success(), "guest {} ended badly: {status}", self.pid());
    }

    /// The channel itself, for who must not panic when the guest is gone.
    #[cfg(all(feature = "crash", target_arch = "x86_64"))]
    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Whether the host knows already how the guest ended.
    pub(crate) fn was_waited_for(&self) -> bool {
        self.status.is_some()
    }

    #[track_caller]
    fn fail(&mut self, what: &str, error: &io::Error) -> ! {
        let pid = self.pid();
        if matches!(Errno::from_io_error(error), Some(Errno::PIPE | Errno::CONNRESET)) {
            // The hang-up comes shortly before the exit.
            let ended = self.status.is_some() || self.ends_soon();
            let status = self.kill();
            let how =
                if ended { "it ended with" } else { "it closed its channel, and we killed it:" };
            panic!("guest {pid} {what}: {how} {status}");
        }
        panic!("guest {pid} {what}: {error}");
    }

    fn ends_soon(&self) -> bool {
        let patience = Deadline::after(Duration::from_secs(1));
        Liveness::of_process(self.pid())
            .and_then(|liveness| liveness.wait_gone(patience))
            .unwrap_or(false)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.kill();
        }
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").field("pid", &self.pid()).field("status", &self.status).finish()
    }
}

/// The guest's handle of the process that started it.
#[derive(Debug)]
pub struct Host {
    channel: Channel,
    pid: u32,
}

impl Host {
    /// In a process that [`Guest::start`] made: takes the control channel from standard input, which
    /// becomes empty, and arranges for this process to die with its host. Call it once, first.
    ///
    /// # Errors
    ///
    /// Those of the system calls that it takes.
    pub fn from_stdin() -> io::Result<Self> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        let channel = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
        let channel = Channel::from_descriptor(channel);
        let nothing = rustix::fs::open(
            "/dev/null",
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?;
        rustix::stdio::dup2_stdin(nothing)?;
        // The host may have died before it could be asked to take us along.
        let mut fds = [PollFd::new(&channel, PollFlags::empty())];
        if poll::poll_until(&mut fds, Deadline::Now)? > 0 {
            std::process::exit(1);
        }
        let pid = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
        Ok(Self { channel, pid: pid.unsigned_abs() })
    }

    /// The host's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a short text to the host.
    ///
    /// # Panics
    ///
    /// If the host is gone, or the text is longer than [`MAX_TEXT_LEN`].
    #[track_caller]
    pub fn tell(&mut self, text: &str) {
        self.channel.send(Kind::Text, text, &[]).expect("the host listens");
    }

    /// Waits for a text from the host.
    ///
    /// # Panics
    ///
    /// If the host is gone.
    #[track_caller]
    pub fn hear(&mut self) -> String {
        self.channel.receive(Kind::Text).expect("the host tells something").0
    }

    /// Waits for an invitation from the host.
    ///
    /// # Panics
    ///
    /// If the host is gone, or the descriptors do not all fit under our limit (`RLIMIT_NOFILE`).
    #[track_caller]
    pub fn invitation(&mut self) -> Invitation {
        let (text, descriptors) =
            self.channel.receive(Kind::Invitation).expect("the host invites us");
        Invitation { text, descriptors }
    }
}
