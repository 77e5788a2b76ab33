//! The two processes of a scene, as their own parts see them.

use std::env;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::os::fd::OwnedFd;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;

use super::{Scene, observe};
use crate::conformance::footprint::Footprint;
use crate::{Host, Invitation, process};

/// The environment variable that tells a process that it is a part.
pub(super) const ROLE: &str = "IPC_TESTING_CRASH";
pub(super) const VICTIM: &str = "victim";
pub(super) const SURVIVOR: &str = "survivor";

/// Words of the control channel between the kit and its parts.
pub(super) mod word {
    pub(crate) const ASLEEP: &str = "asleep";
    pub(crate) const KILLED: &str = "killed";
    pub(crate) const STOPPED: &str = "stopped";
    pub(crate) const ACTED: &str = "acted";
    /// Followed by the effect.
    pub(crate) const DONE: &str = "done ";
    /// Followed by what went wrong.
    pub(crate) const FAILED: &str = "failed ";
}

/// What both parts have: a socket to make the link over, and signals to keep step.
#[derive(Debug)]
pub struct Stage {
    socket: Option<OwnedFd>,
    partner: OwnedFd,
    partner_pid: u32,
}

impl Stage {
    fn new(invitation: Invitation) -> (usize, Self) {
        let mut words = invitation.text.split(' ').map(|word| word.parse::<u32>());
        let mut word = || words.next().expect("two numbers").expect("a number");
        let (scene, partner_pid) = (word() as usize, word());
        let Ok([socket, partner]) = <[OwnedFd; 2]>::try_from(invitation.descriptors) else {
            panic!("an invitation to a scene has two descriptors");
        };
        (scene, Self { socket: Some(socket), partner, partner_pid })
    }

    /// Shows a partner that waits for us, or will, that we are gone.
    fn leave(&mut self) {
        drop(self.socket.take());
        // Fails only if the partner has gone before.
        let _ = rustix::net::shutdown(&self.partner, rustix::net::Shutdown::Both);
    }

    /// A Unix socket, of type seqpacket, whose other end the partner has. For the link alone: the kit
    /// does not use it.
    ///
    /// # Panics
    ///
    /// At the second call.
    #[track_caller]
    pub fn socket(&mut self) -> OwnedFd {
        self.socket.take().expect("each part has one socket")
    }

    /// Lets the partner's next [`wait`](Self::wait) return. It need not be waiting yet.
    ///
    /// # Panics
    ///
    /// If the partner is gone.
    #[track_caller]
    pub fn signal(&self) {
        let sent = rustix::net::send(&self.partner, b"!", rustix::net::SendFlags::NOSIGNAL);
        sent.expect("the partner is there");
    }

    /// Waits for the partner's [`signal`](Self::signal).
    ///
    /// # Panics
    ///
    /// If the partner is gone.
    #[track_caller]
    pub fn wait(&self) {
        let mut byte = [0];
        let len = rustix::io::retry_on_intr(|| rustix::io::read(&self.partner, &mut byte));
        assert_eq!(len, Ok(1), "the partner is gone");
    }

    /// Waits until the partner sleeps in the kernel. See [`process::wait_until_parked`].
    ///
    /// # Panics
    ///
    /// If the partner is gone.
    pub fn wait_until_partner_parks(&self) {
        process::wait_until_parked(self.partner_pid);
    }

    /// Whether the partner sleeps in the kernel now. A survivor that wakes a victim by what it does may
    /// go on only while this is so: after that the two run a race, and the victim does not go the same
    /// way each time.
    pub fn partner_sleeps(&self) -> bool {
        observe::sleeps(self.partner_pid)
    }

    /// Waits until the partner has run for a while, of some 100 µs, or stands still.
    pub fn let_partner_run(&self) {
        observe::let_go_on(self.partner_pid);
    }

    /// The partner's process id: a number for names that both know and nobody else takes.
    pub fn partner_pid(&self) -> u32 {
        self.partner_pid
    }
}

/// The process that will be killed or stopped.
#[derive(Debug)]
pub struct Victim {
    stage: Stage,
}

impl Victim {
    /// Runs the operation, whose every instruction is a point. What `act` returns is dropped by the
    /// caller, outside the operation.
    #[inline(never)]
    pub fn operation<R>(&mut self, act: impl FnOnce() -> R) -> R {
        #[cfg(target_arch = "x86_64")]
        {
            use super::marker::{BEGIN, END, mark};
            mark::<BEGIN>();
            let result = std::hint::black_box(act());
            mark::<END>();
            result
        }
        #[cfg(not(target_arch = "x86_64"))]
        act()
    }
}

/// What has happened to the victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is dead: SIGKILL, and its descriptors are closed.
    Killed,
    /// It is stopped, by SIGSTOP, and will go on.
    Stopped,
}

/// What a survivor of a [cued](Scene::cued) scene hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cue {
    /// The victim sleeps in the kernel, within the operation.
    Asleep,
    /// It did not come to that, or was hit asleep.
    Fate(Fate),
}

/// The process that must go on.
#[derive(Debug)]
pub struct Survivor {
    stage: Stage,
    host: Host,
    fate: Option<Fate>,
}

impl Survivor {
    /// Waits until the victim is dead or stopped.
    pub fn fate(&mut self) -> Fate {
        loop {
            if let Cue::Fate(fate) = self.cue() {
                return fate;
            }
        }
    }

    /// Waits until the victim sleeps in the operation (each sleep is told once), is dead, or is stopped.
    pub fn cue(&mut self) -> Cue {
        if let Some(fate) = self.fate {
            return Cue::Fate(fate);
        }
        let fate = match self.host.hear().as_str() {
            word::ASLEEP => return Cue::Asleep,
            word::KILLED => Fate::Killed,
            word::STOPPED => Fate::Stopped,
            other => panic!("out of step: the kit said {other:?}"),
        };
        self.fate = Some(fate);
        Cue::Fate(fate)
    }

    /// Has done what it wanted to do while the victim is stopped: lets it go on.
    pub fn acted(&mut self) {
        self.host.tell(word::ACTED);
    }
}

impl Deref for Victim {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

impl DerefMut for Victim {
    fn deref_mut(&mut self) -> &mut Stage {
        &mut self.stage
    }
}

impl Deref for Survivor {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

impl DerefMut for Survivor {
    fn deref_mut(&mut self) -> &mut Stage {
        &mut self.stage
    }
}

/// If this process was made to be a part, plays it and exits.
pub(super) fn play(scenes: &[Scene]) {
    let Some(role) = env::var_os(ROLE) else { return };
    let host = Host::from_stdin().expect("a control channel");
    panic::set_hook(Box::new(|panic| {
        let mut last = LAST_PANIC.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        last.get_or_insert_with(|| panic.to_string());
    }));
    match role.to_str() {
        Some(VICTIM) => play_victim(scenes, host),
        Some(SURVIVOR) => play_survivors(scenes, host),
        _ => panic!("{ROLE}={role:?} is no part"),
    }
}

/// What the first panic since the last one that was taken said.
static LAST_PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Runs a part to its end or its panic.
fn attempt<R>(part: impl FnOnce() -> R) -> Result<R, String> {
    panic::catch_unwind(AssertUnwindSafe(part)).map_err(|_| {
        let mut last = LAST_PANIC.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        last.take().unwrap_or_else(|| "a panic that says nothing".into())
    })
}

/// One scene: a victim does not live for a second.
fn play_victim(scenes: &[Scene], mut host: Host) -> ! {
    #[cfg(target_arch = "x86_64")]
    super::marker::tolerate();
    let (scene, stage) = Stage::new(host.invitation());
    let mut victim = Victim { stage };
    let played = attempt(|| (scenes[scene].victim)(&mut victim));
    match played {
        Ok(()) => host.tell(word::DONE),
        Err(why) => host.tell(&format!("{}{}", word::FAILED, brief(&why))),
    }
    std::process::exit(0)
}

/// Scene after scene, until the kit ends.
fn play_survivors(scenes: &[Scene], host: Host) -> ! {
    let mut idle = Some(host);
    loop {
        let mut host = idle.take().expect("put back below");
        let footprint = Footprint::of_this_process();
        let (scene, stage) = Stage::new(host.invitation());
        let mut survivor = Survivor { stage, host, fate: None };
        let played = attempt(|| (scenes[scene].survivor)(&mut survivor));
        if played.is_err() {
            survivor.stage.leave();
        }
        // A part that did not ask must hear it, or the next one would.
        let heard = attempt(|| survivor.fate());
        let Survivor { stage, host, .. } = survivor;
        drop(stage);
        let clean = attempt(|| footprint.assert_unchanged());
        let host = idle.insert(host);
        match played.and_then(|effect| heard.and(clean).map(|()| effect)) {
            Ok(effect) => host.tell(&format!("{}{effect}", word::DONE)),
            Err(why) => host.tell(&format!("{}{}", word::FAILED, brief(&why))),
        }
    }
}

/// What fits into a text of the control channel.
fn brief(why: &str) -> &str {
    let mut end = why.len().min(4_000);
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    &why[..end]
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Killed { "killed" } else { "stopped" })
    }
}
