//! One trial: a fresh victim, the worker's survivor, and a blow at one point.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use ipc_core::Deadline;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::maps::Maps;
use super::part::{self, word};
use super::recording::{self, Lost, Point, Recording, Sleeps, Turn};
use super::report::Blow;
use super::tracee::{Halt, Tracee};
use super::watch::Watch;
use super::{Scene, Unsupported, observe};
use crate::Guest;
use crate::process::channel::Kind;

/// A thread's share of the trials. It keeps its survivor process from trial to trial.
pub(super) struct Worker<'a> {
    number: usize,
    scenes: &'a [Scene],
    watch: &'a Watch,
    survivor: Option<Guest>,
}

/// What came of a trial that went well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) effect: u64,
    /// From the blow to the survivor's last word.
    pub(super) elapsed: Duration,
}

/// Why there is no outcome.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The victim did not come by the point.
    Missed,
    /// A check failed, or a process died or hung.
    Failed(String),
    Unsupported(Unsupported),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Failed(format!("the kit itself: {error}"))
    }
}

impl<'a> Worker<'a> {
    pub(super) fn new(number: usize, scenes: &'a [Scene], watch: &'a Watch) -> Self {
        Self { number, scenes, watch, survivor: None }
    }

    /// Records a scene's operation. The victim is killed at its end.
    pub(super) fn record(&mut self, scene: usize) -> Result<Recording, Trouble> {
        let mut recording = Recording::default();
        self.play(scene, Blow::Kill, |victim, maps, sleeps| {
            recording = recording::record(victim, maps, sleeps)?;
            Ok(())
        })?;
        Ok(recording)
    }

    /// Brings a victim to a point, and kills or stops it there.
    pub(super) fn strike(
        &mut self,
        scene: usize,
        recording: &Recording,
        point: &Point,
        blow: Blow,
    ) -> Result<Outcome, Trouble> {
        self.play(scene, blow, |victim, maps, sleeps| {
            recording::bring(victim, maps, recording, point, sleeps)?;
            if blow == Blow::Stop && point.turn == Turn::Asleep {
                victim.stop_asleep()?;
            }
            Ok(())
        })
    }

    fn play(
        &mut self,
        scene: usize,
        blow: Blow,
        direct: impl FnOnce(&mut Tracee, &Maps, Sleeps<'_>) -> Result<(), Lost>,
    ) -> Result<Outcome, Trouble> {
        let mut survivor = match self.survivor.take() {
            Some(survivor) => survivor,
            None => start(part::SURVIVOR)?,
        };
        let mut victim = start(part::VICTIM)?;
        let mut tracee = Tracee::seize(victim.pid()).map_err(Trouble::Unsupported)?;
        invite(scene, &victim, &survivor)?;
        // From here on to the end of the watch, no early return: the processes might be other ones then.
        let survivor_part = ("survivor", survivor.pid());
        self.watch.begin(self.number, &[("victim", victim.pid()), survivor_part]);

        let is_cued = self.scenes[scene].is_cued;
        let mut has_begun = false;
        let directed = recording::arrive(&tracee).and_then(|()| {
            has_begun = true;
            let maps = Maps::of(victim.pid()).map_err(|_| Lost::Ended)?;
            // Its failure shows when the survivor is heard.
            let mut cue = || drop(say(&survivor, word::ASLEEP));
            let sleeps: Sleeps<'_> = if is_cued { Some(&mut cue) } else { None };
            direct(&mut tracee, &maps, sleeps)
        });

        let blow = if directed.is_ok() { blow } else { Blow::Kill };
        let (before, start) = (heard_now(&victim), Instant::now());
        let (survivors_word, victims_word, hung) = match blow {
            Blow::Kill => {
                self.watch.begin(self.number, &[survivor_part]);
                victim.kill();
                let said = say(&survivor, word::KILLED).and_then(|()| hear(&survivor));
                (said, before, self.watch.end(self.number))
            }
            Blow::Stop => {
                let is_busy = self.scenes[scene].is_busy;
                let said = go_on_after_stop(&tracee, &mut victim, &survivor, is_busy);
                let victims = hear(&victim).ok();
                let hung = self.watch.end(self.number);
                victim.kill();
                (said, victims.or(before), hung)
            }
        };
        let elapsed = start.elapsed();

        let mut complaints: Vec<String> = Vec::new();
        let mut missed = false;
        match directed {
            Ok(()) => {}
            Err(Lost::Missed) => missed = true,
            Err(Lost::Ended) if has_begun => complaints.push("the victim ended early".into()),
            Err(Lost::Ended) => complaints.push("the victim ended before the operation".into()),
            Err(Lost::Os(error)) => complaints.push(format!("ptrace: {error}")),
        }
        complaints.extend(hung);
        if let Some(why) = victims_word.as_deref().and_then(|it| it.strip_prefix(word::FAILED)) {
            complaints.push(format!("the victim: {why}"));
        }
        let mut effect = 0;
        match survivors_word.as_deref() {
            Ok(said) => match said.strip_prefix(word::DONE).map(str::parse) {
                Some(Ok(number)) => {
                    effect = number;
                    self.survivor = Some(survivor);
                }
                _ => {
                    // It goes on after a panic, but what the panic left is not known.
                    let why = said.strip_prefix(word::FAILED).unwrap_or(said);
                    complaints.push(format!("the survivor: {why}"));
                }
            },
            Err(error) => {
                let status = survivor.kill();
                complaints.push(format!("the survivor was not heard ({error}): {status}"));
            }
        }
        if !complaints.is_empty() {
            Err(Trouble::Failed(complaints.join("; ")))
        } else if missed {
            Err(Trouble::Missed)
        } else {
            Ok(Outcome { effect, elapsed })
        }
    }
}

/// From SIGSTOP to the survivor's last word.
fn go_on_after_stop(
    tracee: &Tracee,
    victim: &mut Guest,
    survivor: &Guest,
    is_busy: bool,
) -> io::Result<String> {
    tracee.leave_stopped()?;
    say(survivor, word::STOPPED)?;
    let mut early = None;
    if is_busy {
        observe::let_go_on(survivor.pid());
    } else {
        early = Some(hear(survivor)?).filter(|said| said != word::ACTED);
    }
    victim.cont();
    early.map_or_else(|| hear(survivor), Ok)
}

/// This executable anew, as a part.
fn start(role: &str) -> io::Result<Guest> {
    Guest::start([] as [&str; 0], [(part::ROLE, role)])
}

/// Gives both the ends of their sockets, of which we keep nothing.
fn invite(scene: usize, victim: &Guest, survivor: &Guest) -> io::Result<()> {
    let pair = || {
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        rustix::net::socketpair(family, kind, SocketFlags::CLOEXEC, None)
    };
    let (link, partner) = (pair()?, pair()?);
    let send = |to: &Guest, other: u32, ends: [&OwnedFd; 2]| {
        let text = format!("{scene} {other}");
        to.channel().send(Kind::Invitation, &text, &ends.map(AsFd::as_fd))
    };
    send(survivor, victim.pid(), [&link.0, &partner.0])?;
    send(victim, survivor.pid(), [&link.1, &partner.1])
}

fn say(to: &Guest, text: &str) -> io::Result<()> {
    to.channel().send(Kind::Text, text, &[])
}

fn hear(from: &Guest) -> io::Result<String> {
    Ok(from.channel().receive(Kind::Text)?.0)
}

/// What it has said already.
fn heard_now(from: &Guest) -> Option<String> {
    let readable = ipc_core::Interest::Readable;
    let ready = ipc_core::poll::wait_ready(from.channel().as_fd(), readable, Deadline::Now);
    if ready.is_ok_and(|ready| ready) { hear(from).ok() } else { None }
}

impl Tracee {
    /// Stops one that sleeps in a system call.
    fn stop_asleep(&self) -> Result<(), Lost> {
        let pid = rustix::process::Pid::from_raw(self.id() as i32).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::STOP)
            .map_err(|error| Lost::Os(nix::errno::Errno::from_raw(error.raw_os_error())))?;
        match self.wait()? {
            Halt::Stopped => Ok(()),
            Halt::Ended => Err(Lost::Ended),
            Halt::Trap | Halt::Sleeps(_) => Err(Lost::Missed),
        }
    }
}
