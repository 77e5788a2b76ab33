//! A second process, made from the current executable, and a channel to direct it by. Leaves out
//! what the two do: see [`crate::between_processes!`] for tests.
//!
//! The channel is a pair of Unix sockets of type seqpacket, apart from every link under test. The
//! guest's end is its standard input: so it needs no number on the command line, and no descriptor
//! is ever inheritable in the host, where another thread's child could catch it.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, ExitStatus};

use ipc_core::poll;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use rustix::process::{Pid, Signal, WaitIdOptions, WaitIdStatus};

use crate::Invitation;

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
    control: OwnedFd,
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
        let (control, guests) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let child = command.stdin(guests).spawn()?;
        // Dropping the command closes our copy of the guest's end, so that its death is a hang-up.
        drop(command);
        Ok(Self { child, control, status: None })
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
        if let Err(error) = send(self.control.as_fd(), TEXT, text, &[]) {
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
        match receive(self.control.as_fd(), TEXT) {
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
        if let Err(error) = send(self.control.as_fd(), INVITATION, &invitation.text, &descriptors) {
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
        let change = retry(|| rustix::process::waitid(rustix::process::WaitId::Pid(pid), options))
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

    /// Whether the host knows already how the guest ended.
    pub(crate) fn was_waited_for(&self) -> bool {
        self.status.is_some()
    }

    #[track_caller]
    fn fail(&mut self, what: &str, error: &io::Error) -> ! {
        let pid = self.pid();
        if is_hang_up(error) {
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
        let patience = ipc_core::Deadline::after(std::time::Duration::from_secs(1));
        ipc_core::Liveness::of_process(self.pid())
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
    control: OwnedFd,
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
        let control = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
        let nothing = rustix::fs::open(
            "/dev/null",
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?;
        rustix::stdio::dup2_stdin(nothing)?;
        // The host may have died before it could be asked to take us along.
        let mut fds = [PollFd::new(&control, PollFlags::empty())];
        if poll::poll_until(&mut fds, ipc_core::Deadline::Now)? > 0 {
            std::process::exit(1);
        }
        let pid = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
        Ok(Self { control, pid: pid.unsigned_abs() })
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
        send(self.control.as_fd(), TEXT, text, &[]).expect("the host listens");
    }

    /// Waits for a text from the host.
    ///
    /// # Panics
    ///
    /// If the host is gone.
    #[track_caller]
    pub fn hear(&mut self) -> String {
        receive(self.control.as_fd(), TEXT).expect("the host tells something").0
    }

    /// Waits for an invitation from the host.
    ///
    /// # Panics
    ///
    /// If the host is gone, or the descriptors do not all fit under our limit (`RLIMIT_NOFILE`).
    #[track_caller]
    pub fn invitation(&mut self) -> Invitation {
        let (text, descriptors) =
            receive(self.control.as_fd(), INVITATION).expect("the host invites us");
        Invitation { text, descriptors }
    }
}

/// Waits until every thread of a process sleeps in the kernel, or the process has used 50 ms of
/// processor time meanwhile: whoever waits by looking never sleeps.
///
/// It makes a race likely to go the interesting way; correctness must not hang on it, since a thread
/// may sleep for another reason.
///
/// # Panics
///
/// If there is no such process.
pub fn wait_until_parked(pid: u32) {
    let cpu_ticks = || -> u64 { task_stats(pid).iter().map(|task| task.cpu_ticks).sum() };
    let start = cpu_ticks();
    // A tick is 10 ms (USER_HZ is 100 on every Linux that we run on).
    while cpu_ticks() - start < 5 && task_stats(pid).iter().any(|task| task.state == 'R') {
        std::thread::yield_now();
    }
}

struct TaskStat {
    state: char,
    cpu_ticks: u64,
}

/// State and used processor time of each thread, from `/proc/<pid>/task/*/stat` (proc_pid_stat(5)).
fn task_stats(pid: u32) -> Vec<TaskStat> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there");
    // A thread may end between the listing and the reading.
    let stats =
        tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    stats
        .filter_map(|stat| {
            // The name, in parentheses, may itself hold parentheses and spaces.
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
            Some(TaskStat {
                state: fields.first()?.chars().next()?,
                cpu_ticks: ticks(11)? + ticks(12)?, // utime and stime
            })
        })
        .collect()
}

/// What a control message is, as its first byte.
const TEXT: u8 = b'T';
const INVITATION: u8 = b'I';

fn send(
    control: BorrowedFd<'_>,
    kind: u8,
    text: &str,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    assert!(text.len() <= MAX_TEXT_LEN, "a text of {} bytes is too long", text.len());
    assert!(descriptors.len() <= MAX_DESCRIPTORS, "too many descriptors: {}", descriptors.len());
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let fits = ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
        assert!(fits, "the space is that of the most descriptors");
    }
    let kind = [kind];
    let parts = [IoSlice::new(&kind), IoSlice::new(text.as_bytes())];
    retry(|| rustix::net::sendmsg(control, &parts, &mut ancillary, SendFlags::NOSIGNAL))?;
    Ok(())
}

fn receive(control: BorrowedFd<'_>, expected: u8) -> io::Result<(String, Vec<OwnedFd>)> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut kind = [0];
    let mut text = vec![0; MAX_TEXT_LEN];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let result = loop {
        let mut parts = [IoSliceMut::new(&mut kind), IoSliceMut::new(&mut text)];
        match rustix::net::recvmsg(control, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            // A peer that died with texts unread is reported once, before the texts that it sent.
            Err(Errno::INTR | Errno::CONNRESET) => {}
            other => break other?,
        }
    };
    if result.bytes == 0 {
        return Err(Errno::PIPE.into());
    }
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    if result.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(invalid("a control message was cut: too long, or no descriptors left".into()));
    }
    text.truncate(result.bytes - 1);
    let text = String::from_utf8(text).map_err(|error| invalid(error.to_string()))?;
    if kind[0] == expected {
        Ok((text, descriptors))
    } else {
        Err(invalid(format!("out of step: expected {expected:?}, got {:?} {text:?}", kind[0])))
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::PIPE | Errno::CONNRESET))
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
