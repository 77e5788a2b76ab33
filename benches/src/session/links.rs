//! What a duplex link of two rings costs beside its messages: to make on a socket that is connected, to
//! have, and to wait on. In both processes, since making one takes both.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use ipc_core::{Deadline, Receiver, Sender, poll};
use ipc_ring::{Link, Options, RingReceiver, RingSender};
use ipc_shm::Backing;
use ipc_testing::Invitation;

use super::guest::GuestSession;
use super::host::{ATTEMPTS, HostSession, print, set_alarm};
use super::protocol::{Answer, Request};
use super::usage::{Usage, cpu_ns_of, memfd_kb};
use super::{Finding, LinkMemory, LinkSample};
use crate::limits::line::Placement;

/// Room in each of the two rings, in bytes.
const CAPACITY_BYTES: usize = 1 << 20;
/// How many links are made and timed, in rounds, since an invitation carries no more sockets.
const ROUNDS: usize = 3;
const LINKS_PER_ROUND: usize = 70;
/// What the rings are filled with.
const MESSAGE: [u8; 4096] = [0x5a; 4096];
/// How long to look at a process that waits.
const PARKED: Duration = Duration::from_secs(1);

/// After a moment without CPU time it is asleep; and how many of them it gets to fall asleep.
const MOMENT: Duration = Duration::from_millis(5);
const MOMENTS: u32 = 20;

fn options(reserved: bool) -> Options {
    let backing = if reserved { Backing::Reserved } else { Backing::Lazy };
    Options::new().capacity_bytes(CAPACITY_BYTES).backing(backing)
}

impl HostSession {
    /// Measures links whose memory is taken as it is used, and links whose memory is reserved.
    ///
    /// # Errors
    ///
    /// Any from a link, from either process.
    pub fn measure_links(&mut self) -> anyhow::Result<()> {
        for reserved in [false, true] {
            let mut attempts_left = ATTEMPTS;
            let sample = loop {
                set_alarm(&self.spec);
                attempts_left -= 1;
                let sample = self.attempt_links(reserved)?;
                if sample.placement != Placement::Moved || attempts_left == 0 {
                    break sample;
                }
            };
            print(&Finding::Link(sample))?;
        }
        Ok(())
    }

    fn attempt_links(&mut self, reserved: bool) -> anyhow::Result<LinkSample> {
        let options = options(reserved);
        let probe_before = self.probe()?;
        let mut setups_us = Vec::new();
        for _ in 0..ROUNDS {
            set_alarm(&self.spec);
            let (ours, theirs) = sockets(LINKS_PER_ROUND)?;
            self.guest.say(&Request::MakeLinks { count: LINKS_PER_ROUND as u32, reserved })?;
            self.guest.invite(Invitation::of_descriptors(theirs))?;
            for socket in ours {
                self.board.rendezvous(); // both are awake
                let began = Instant::now();
                let link = Link::over(&socket, &options, Deadline::Never)?;
                self.board.rendezvous(); // both ends are there
                setups_us.push(began.elapsed().as_nanos() as f64 / 1e3);
                drop(link);
            }
            self.hear_done()?;
        }
        let probe_after = self.probe()?;

        let (ours, theirs) = sockets(1)?;
        let guest_before = self.ask_usage(Request::TellUsage)?;
        self.guest.say(&Request::KeepLink { reserved })?;
        self.guest.invite(Invitation::of_descriptors(theirs))?;
        let before = (Usage::of_this_process()?, guest_before); // our socket is open, the other passed on
        let link = Link::over(&ours[0], &options, Deadline::Never)?;
        let (mut sender, mut receiver) = link.sender.zip(link.receiver).context(ONE_WAY)?;
        self.hear_done()?;
        let new_usage = self.usages()?;
        let new = memory(before, new_usage);
        let rounds = (CAPACITY_BYTES / MESSAGE.len() + 1) as u32;
        self.guest.say(&Request::Echo { rounds })?;
        echo(&mut sender, &mut receiver, rounds, true)?;
        self.hear_done()?;
        let used = memory(before, self.usages()?);
        // Waiting is the same whichever way the memory is taken.
        let parked_cpu_ns_per_s = if reserved { None } else { self.watch_parked(&mut sender)? };
        self.ask_usage(Request::Leave)?;
        Ok(LinkSample {
            reserved,
            capacity_bytes: CAPACITY_BYTES,
            placement: self.placement(probe_before, probe_after),
            setups_us,
            fds_per_end: (new_usage.0.fds - before.0.fds) as f64,
            new,
            used,
            parked_cpu_ns_per_s,
        })
    }

    /// What host and guest use.
    fn usages(&mut self) -> anyhow::Result<(Usage, Usage)> {
        Ok((Usage::of_this_process()?, self.ask_usage(Request::TellUsage)?))
    }

    /// Leaves the guest waiting in `recv` for a second, and looks at its CPU time from here.
    fn watch_parked(&mut self, sender: &mut RingSender) -> anyhow::Result<Option<f64>> {
        self.guest.say(&Request::Park)?;
        self.board.rendezvous();
        let pid = self.guest.pid();
        // It looks for a moment before it sleeps; if it never does, that is what is measured.
        let asleep = |_| {
            let before = cpu_ns_of(pid);
            poll::poll_until(&mut [], Deadline::after(MOMENT)).is_err() || cpu_ns_of(pid) == before
        };
        (0..MOMENTS).any(asleep);
        let (began, before) = (Instant::now(), cpu_ns_of(pid));
        poll::poll_until(&mut [], Deadline::after(PARKED))?;
        let used = before.zip(cpu_ns_of(pid)).map(|(before, after)| (after - before) as f64);
        let seconds = began.elapsed().as_secs_f64();
        sender.send(&MESSAGE)?;
        self.hear_done()?;
        Ok(used.map(|ns| ns / seconds))
    }
}

impl GuestSession {
    /// Answers the host's requests about links.
    ///
    /// # Errors
    ///
    /// Any that occurs on a link.
    pub fn serve_links(&mut self) -> anyhow::Result<()> {
        let mut kept: Option<(RingSender, RingReceiver)> = None;
        loop {
            let answer = match self.host.listen()? {
                Request::MakeLinks { count, reserved } => {
                    let sockets = self.host.invitation()?.descriptors;
                    ensure!(sockets.len() == count as usize, "sockets are missing");
                    for socket in sockets {
                        self.board.rendezvous();
                        let link = Link::over(&socket, &options(reserved), Deadline::Never)?;
                        self.board.rendezvous();
                        drop(link);
                    }
                    Answer::Done
                }
                Request::KeepLink { reserved } => {
                    let socket = self.host.invitation()?.descriptors.pop().context("no socket")?;
                    let link = Link::over(&socket, &options(reserved), Deadline::Never)?;
                    kept = Some(link.sender.zip(link.receiver).context(ONE_WAY)?);
                    Answer::Done
                }
                Request::Echo { rounds } => {
                    let (sender, receiver) = kept.as_mut().context("no link")?;
                    echo(sender, receiver, rounds, false)?;
                    Answer::Done
                }
                Request::Park => {
                    let (_, receiver) = kept.as_mut().context("no link")?;
                    self.board.rendezvous();
                    receiver.recv(&mut MESSAGE.to_vec())?;
                    Answer::Done
                }
                Request::TellUsage => Answer::Usage(Usage::of_this_process()?),
                Request::Leave => {
                    kept = None;
                    Answer::Usage(Usage::of_this_process()?)
                }
                Request::Probe => self.answer_probe(),
                other => bail!("out of place: {other:?}"),
            };
            self.host.say(&answer)?;
        }
    }
}

const ONE_WAY: &str = "the link is not duplex";

/// Pairs of connected sockets: ours, and the guest's.
fn sockets(count: usize) -> anyhow::Result<(Vec<OwnedFd>, Vec<OwnedFd>)> {
    let mut pairs = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (ours, theirs) = ipc_ring::pair()?;
        pairs.extend([(OwnedFd::from(ours), OwnedFd::from(theirs))]);
    }
    Ok(pairs)
}

/// Sends messages to and fro, so that all memory of both rings is used.
fn echo(
    sender: &mut RingSender,
    receiver: &mut RingReceiver,
    rounds: u32,
    begins: bool,
) -> anyhow::Result<()> {
    let mut buffer = MESSAGE;
    for _ in 0..rounds {
        if begins {
            sender.send(&MESSAGE)?;
        }
        let received = receiver.recv(&mut buffer)?;
        ensure!(buffer[..received.len] == MESSAGE, "a message was corrupted");
        if !begins {
            sender.send(&MESSAGE)?;
        }
    }
    Ok(())
}

/// The memory of the one link that this process has, by what both processes used before and use now.
fn memory(before: (Usage, Usage), now: (Usage, Usage)) -> LinkMemory {
    let both = |(host, guest): (Usage, Usage)| host.resident_kb + guest.resident_kb;
    LinkMemory {
        resident_kb: both(now).saturating_sub(both(before)) as f64,
        files_kb: memfd_kb("ipc-ring"),
    }
}
