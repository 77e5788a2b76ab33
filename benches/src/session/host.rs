//! The host of a session: makes the links, sends, and holds the clock.

// Sets an alarm, for which no safe call is at hand.
#![allow(unsafe_code)]

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use ipc_core::{Capacity, Carrier, LinkProperties, Sender};
use ipc_testing::{Guest, Invitation, Pending, Scope, Transport};

use super::control::ToGuest;
use super::fill::how_many_fill;
use super::protocol::{Answer, Request};
use super::usage::Usage;
use super::{
    Cores, Finding, Manner, PacedPlan, PacedSample, Sample, SessionSpec, Wait, guest, limits,
};
use crate::clock::{Clock, CpuClock};
use crate::limits::line::{self, Placement, Probe};
use crate::machine;
use crate::measure::content::{Messages, Scrutiny, Stock};
use crate::measure::oneway::{Arrived, Sent, Stream};
use crate::measure::paced::Pace;
use crate::measure::rtt::Rounds;
use crate::measure::style::{RecvStyle, SendStyle};
use crate::mechanisms::{Mechanism, Setting};
use crate::shared::Board;
use crate::spinner::Spinners;

/// How often a measurement is repeated if the cores were moved meanwhile.
pub(super) const ATTEMPTS: u32 = 3;
/// The most round trips of one measurement; their times are kept until its end.
const MAX_ROUNDS: usize = 400_000;
/// How many pieces those of one measurement come in.
const PIECES: usize = 16;
/// The most messages of one stream.
pub(super) const MAX_STREAM: u64 = 50_000_000;

/// A host on its processor, with its guest on another.
#[derive(Debug)]
pub struct HostSession {
    pub(super) spec: SessionSpec,
    wait: Wait,
    pub(super) guest: ToGuest,
    /// Whose time is whose: that of a thread, where both share a process.
    cpu_clock: CpuClock,
    pub(super) board: Board,
    pub(super) clock: Clock,
    pinned: bool,
    /// What the work of a probe takes while the guest sleeps, in nanoseconds.
    alone_ns: f64,
    /// Room for the times of round trips, touched beforehand.
    pub(super) ticks: Vec<u64>,
    _spinners: Spinners,
}

/// Runs a session, and prints what it finds.
///
/// # Errors
///
/// What ends the session early. What was printed before holds.
pub fn run(spec: &SessionSpec, mechanisms: &[Mechanism]) -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let mechanism = spec.mechanism(mechanisms)?;
    let mut session = HostSession::start(spec.clone(), mechanism)?;
    match mechanism {
        None => limits::measure(&mut session),
        Some(mechanism) => (mechanism.host)(&mut session),
    }
}

impl HostSession {
    fn start(spec: SessionSpec, mechanism: Option<Mechanism>) -> anyhow::Result<Self> {
        set_alarm(&spec);
        let wait = spec.subject.as_ref().map_or(Wait::Block, |(_, wait)| *wait);
        if let Some(mechanism) = mechanism {
            mechanism.prepare()?;
        }
        let spinners = match spec.cores {
            Cores::TwoAwake => Spinners::start(&spec.cpus)?,
            Cores::Two | Cores::One => Spinners::default(),
        };
        let pinned = machine::pin(spec.cpus[0]);
        if let Err(error) = &pinned {
            print(&Finding::Warning(format!("processes are not pinned to cores: {error}")))?;
        }
        let (guest, cpu_clock) = match mechanism {
            Some(mechanism) if mechanism.threads => {
                let wire = guest::start_thread(spec.clone(), mechanism);
                (ToGuest::Thread(wire), CpuClock::Thread)
            }
            _ => {
                let nothing: [(&str, &str); 0] = [];
                let guest = Guest::start(["guest", &serde_json::to_string(&spec)?], nothing)?;
                (ToGuest::Process(guest), CpuClock::Process)
            }
        };
        let (board, descriptor) = Board::create()?;
        let mut session = Self {
            wait,
            guest,
            cpu_clock,
            board,
            clock: Clock::calibrated(spec.ns_per_tick),
            pinned: pinned.is_ok(),
            alone_ns: 0.0,
            ticks: vec![1; MAX_ROUNDS],
            _spinners: spinners,
            spec,
        };
        session.guest.invite(Invitation::of_descriptors(vec![descriptor]))?;
        session.hear_done()?;
        session.alone_ns = line::work_ns();
        Ok(session)
    }

    /// How the processes of this session wait.
    pub fn wait(&self) -> Wait {
        self.wait
    }

    /// What this session does with the messages.
    pub fn manner(&self) -> Manner {
        self.spec.manner
    }

    /// Measures a mechanism at each of the sizes.
    ///
    /// # Errors
    ///
    /// Any from a link, from either process.
    pub fn measure<T, W>(&mut self, transport: fn(&Setting) -> T) -> anyhow::Result<()>
    where
        T: Transport,
        W: SendStyle<T::Sender> + RecvStyle<T::Receiver>,
    {
        if self.spec.manner == Manner::Describe {
            return self.describe(transport);
        }
        self.each_size(|session, size_bytes| {
            let setting = Setting { wait: session.wait, size_bytes };
            session.attempt::<T, W>(transport(&setting), size_bytes)
        })
    }

    /// Attempts a measurement at each of the sizes, again where the cores were moved meanwhile, and prints
    /// what was found.
    pub(super) fn each_size(
        &mut self,
        mut attempt: impl FnMut(&mut Self, usize) -> anyhow::Result<Finding>,
    ) -> anyhow::Result<()> {
        for size_bytes in self.spec.sizes_bytes.clone() {
            let mut attempts_left = ATTEMPTS;
            let finding = loop {
                set_alarm(&self.spec);
                attempts_left -= 1;
                let found = attempt(self, size_bytes);
                match found.with_context(|| format!("at {size_bytes} B"))? {
                    Finding::Measured(sample)
                        if sample.placement == Placement::Moved && attempts_left > 0 => {}
                    finding => break finding,
                }
            };
            print(&finding)?;
        }
        Ok(())
    }

    /// Makes a link, and prints what it is like.
    fn describe<T: Transport>(&mut self, transport: fn(&Setting) -> T) -> anyhow::Result<()> {
        let setting = Setting { wait: self.wait, ..Setting::for_properties() };
        let (transport, scope) = (transport(&setting), Scope::new());
        self.ask_usage(Request::Prepare { size_bytes: setting.size_bytes })?;
        let invited = transport.invite_receiver(&scope)?;
        let sender = self.make_link(invited, Request::JoinAsReceiver)?;
        let rows = sender.properties().rows();
        print(&Finding::Properties(rows.into_iter().map(|(q, a)| (q.into(), a)).collect()))?;
        self.ask_usage(Request::Leave)?;
        Ok(())
    }

    /// Makes the links, measures one size, and drops the links.
    fn attempt<T, W>(&mut self, transport: T, size_bytes: usize) -> anyhow::Result<Finding>
    where
        T: Transport,
        W: SendStyle<T::Sender> + RecvStyle<T::Receiver>,
    {
        let mut messages = Messages::new(size_bytes, W::AT_ONCE);
        let scope = Scope::new();
        let guest_before = self.ask_usage(Request::Prepare { size_bytes })?;
        let host_before = Usage::of_this_process()?;

        let began = Instant::now();
        let invited = transport.invite_receiver(&scope)?;
        let mut sender = self.make_link(invited, Request::JoinAsReceiver)?;
        let invited = transport.invite_sender(&scope)?;
        let mut receiver = self.make_link(invited, Request::JoinAsSender)?;
        let setup_us = began.elapsed().as_nanos() as f64 / 1000.0 / 2.0;

        let properties = sender.properties();
        if let Some(reason) = unfit(&properties, size_bytes) {
            self.ask_usage(Request::Leave)?;
            return Ok(Finding::Unfit { size_bytes, reason });
        }

        let style = W::for_link(&properties, size_bytes);
        self.verify(style, &mut sender, &mut receiver, &mut messages, &properties)?;
        let probe_before = self.probe()?;
        let rounds = if W::ROUND_TRIPS {
            self.measure_rtt(style, &mut sender, &mut receiver, &mut messages)?
        } else {
            0
        };
        let ticks = &self.ticks[..rounds];
        let of_rounds = |figure: f64| (rounds > 0).then_some(figure);
        let rtt_mean_ns = of_rounds(self.clock.mean_ns(ticks));
        let rtt_typical_ns = of_rounds(self.clock.typical_ns(ticks));
        let rtt_counts = counts(&self.clock, ticks)?;
        let (stream, sent, arrived) =
            self.measure_oneway(style, &mut sender, &mut messages.stock, properties.lossy)?;
        let probe = self.probe()?;
        let paced = self.measure_paced(style, &mut sender, size_bytes, &properties)?;

        let host_after = Usage::of_this_process()?;
        let guest_after = self.ask_usage(Request::Leave)?;
        // Two threads are one process, and both have told the same.
        let both = |host: usize, guest: usize| match self.guest {
            ToGuest::Process(_) => host + guest,
            ToGuest::Thread(_) => host,
        };
        let per_link = |of: fn(&Usage) -> usize| {
            let before = both(of(&host_before), of(&guest_before));
            both(of(&host_after), of(&guest_after)).saturating_sub(before) as f64 / 2.0
        };
        ensure!(arrived.count > 0, "nothing of the stream arrived");
        let per_message = |total: u64| total as f64 / arrived.count as f64;
        Ok(Finding::Measured(Box::new(Sample {
            pass: 0,
            size_bytes,
            placement: self.placement(probe_before, probe),
            probe,
            rtt_counts,
            rtt_mean_ns,
            rtt_typical_ns,
            paced,
            oneway_ns: per_message(arrived.ended_ns - sent.began_ns),
            lost_share: 1.0 - arrived.count as f64 / stream.count as f64,
            empty_polls_per_msg: W::COUNTS_EMPTY_POLLS.then(|| per_message(arrived.empty_polls)),
            cpu_ns_per_msg: per_message(sent.cpu_ns + arrived.cpu_ns),
            setup_us,
            fds: per_link(|usage| usage.fds),
            rss_kb: per_link(|usage| usage.resident_kb),
            capacity_bytes: capacity_bytes(&properties),
        })))
    }

    /// Brings a link between host and guest to life; returns the host's end.
    fn make_link<E: 'static>(
        &mut self,
        (invitation, pending): (Invitation, Pending<E>),
        request: Request,
    ) -> anyhow::Result<E> {
        self.guest.say(&request)?;
        self.guest.invite(invitation)?;
        let end = pending.complete(self.guest.pid())?;
        self.hear_done()?;
        Ok(end)
    }

    /// Sends messages of which every byte is written anew and compared, both ways, and to and fro; not
    /// timed. In shared memory through all of the memory that a link has, so that no page is touched for
    /// the first time while the clock runs. The kernel's buffers need no such thing. Of a link that may lose
    /// messages only to and fro, since what is left of a stream would come as an answer.
    fn verify<W, S, R>(
        &mut self,
        style: W,
        sender: &mut S,
        receiver: &mut R,
        messages: &mut Messages,
        properties: &LinkProperties,
    ) -> anyhow::Result<()>
    where
        W: SendStyle<S> + RecvStyle<R>,
    {
        const ROUNDS: u64 = 32;
        let size_bytes = messages.stock.message_len();
        let lap = match properties.capacity {
            _ if properties.carrier != Carrier::SharedMemory => 0,
            Capacity::Bytes(bytes) => bytes / size_bytes + 1,
            Capacity::Messages(messages) => messages,
            Capacity::Zero | Capacity::Unbounded { .. } => 0,
        };
        let (scrutiny, cpu_clock) = (Scrutiny::Whole, self.cpu_clock);
        let (count, lossy) = (verified_messages(size_bytes).max(lap as u64), properties.lossy);
        let stream = Stream { first: 0, count, lossy, scrutiny, cpu_clock };
        if !lossy {
            self.guest.say(&Request::Receive(stream))?;
            stream.send(style, sender, &mut messages.stock, &self.board)?;
            let Answer::Arrived(_) = self.guest.listen()? else { bail!("not an arrival") };
            self.guest.say(&Request::Send(stream))?;
            stream.receive(style, receiver, messages.incoming.as_mut(), &self.board)?;
            let Answer::Sent { .. } = self.guest.listen()? else { bail!("not sent") };
        }
        if W::ROUND_TRIPS {
            let rounds = Rounds { first: 0, count: ROUNDS, scrutiny };
            self.run_rounds(rounds, style, sender, receiver, messages, 0)?;
        }
        Ok(())
    }

    /// Runs rounds, and writes their times to the places in `ticks` that begin here.
    fn run_rounds<W, S, R>(
        &mut self,
        rounds: Rounds,
        style: W,
        sender: &mut S,
        receiver: &mut R,
        messages: &mut Messages,
        at: usize,
    ) -> anyhow::Result<Duration>
    where
        W: SendStyle<S> + RecvStyle<R>,
    {
        self.guest.say(&Request::Pong(rounds))?;
        self.board.rendezvous();
        let began = Instant::now();
        let ticks = &mut self.ticks[at..at + rounds.count as usize];
        rounds.ping(style, sender, receiver, messages, &self.clock, ticks)?;
        let took = began.elapsed();
        self.hear_done()?;
        Ok(took)
    }

    /// Measures round trips for as long as they shall last; returns how many there were, with their
    /// times at the front of `ticks`.
    fn measure_rtt<W, S, R>(
        &mut self,
        style: W,
        sender: &mut S,
        receiver: &mut R,
        messages: &mut Messages,
    ) -> anyhow::Result<usize>
    where
        W: SendStyle<S> + RecvStyle<R>,
    {
        let budget = Duration::from_millis(self.spec.rtt_ms);
        let mut first = 0;
        let mut run = |count: u64, at: usize| {
            let rounds = Rounds { first, count, scrutiny: Scrutiny::Spots };
            first += count;
            self.run_rounds(rounds, style, sender, receiver, messages, at)
        };
        let rounds = how_many_fill(budget, MAX_ROUNDS as u64, &mut |rounds| run(rounds, 0))?;
        let rounds = rounds as usize;
        // In pieces, so that it can end early: if others use the cores too and the two processes never
        // run at the same time, a round trip takes as long as the scheduler's slices.
        let mut measured = 0;
        let mut took = Duration::ZERO;
        while measured < rounds && took < 3 * budget {
            let piece = (rounds / PIECES).max(8).min(rounds - measured);
            took += run(piece as u64, measured)?;
            measured += piece;
        }
        Ok(measured)
    }

    /// Measures a stream for as long as it shall last.
    fn measure_oneway<S>(
        &mut self,
        style: impl SendStyle<S>,
        sender: &mut S,
        stock: &mut Stock,
        lossy: bool,
    ) -> anyhow::Result<(Stream, Sent, Arrived)> {
        let budget = Duration::from_millis(self.spec.oneway_ms);
        let mut first = 0;
        let mut last = None;
        let size_bytes = stock.message_len();
        let mut run = |count: u64, scrutiny: Scrutiny| {
            let cpu_clock = self.cpu_clock;
            let stream = Stream { first, count, lossy, scrutiny, cpu_clock };
            self.guest.say(&Request::Receive(stream))?;
            let sent = stream.send(style, sender, stock, &self.board)?;
            let Answer::Arrived(arrived) = self.guest.listen()? else { bail!("not an arrival") };
            first += count + 1; // the end mark has a number too
            last = Some((stream, sent, arrived));
            Ok(Duration::from_nanos(arrived.ended_ns.saturating_sub(sent.began_ns)))
        };
        if lossy {
            run(verified_messages(size_bytes), Scrutiny::Whole)?; // see `verify`
        }
        let mut timed = |count| run(count, Scrutiny::Spots);
        let count = how_many_fill(budget, MAX_STREAM, &mut timed)?;
        timed(count)?;
        last.context("at least one stream has run")
    }

    /// Measures streams at fixed rates, where it was asked for. Not of a link that may lose messages:
    /// its receiver could not tell which moment belongs to which.
    fn measure_paced<S>(
        &mut self,
        style: impl SendStyle<S>,
        sender: &mut S,
        size_bytes: usize,
        properties: &LinkProperties,
    ) -> anyhow::Result<Vec<PacedSample>> {
        let PacedPlan { sizes_bytes, rates_per_s, duration_ms } = self.spec.paced.clone();
        if properties.lossy || !sizes_bytes.contains(&size_bytes) {
            return Ok(Vec::new());
        }
        let measure = |rate_per_s| {
            let pace = Pace::at_rate(rate_per_s, duration_ms, 0);
            self.guest.say(&Request::ReceivePaced(pace))?;
            pace.send(style, sender, size_bytes, &self.board)?;
            let Answer::Paced { delay_counts, last_delay_ns } = self.guest.listen()? else {
                bail!("not delays")
            };
            let reached_per_s = pace.reached_per_s(last_delay_ns);
            Ok(PacedSample { rate_per_s, reached_per_s, delay_counts })
        };
        rates_per_s.into_iter().map(measure).collect()
    }

    /// Probes the cache line between the two cores; `None` where there is only one.
    pub(super) fn probe(&mut self) -> anyhow::Result<Option<Probe>> {
        if self.spec.cores == Cores::One {
            return Ok(None);
        }
        self.guest.say(&Request::Probe)?;
        let probe = Probe::take(&self.board, &self.clock, self.alone_ns);
        self.hear_done()?;
        Ok(Some(probe))
    }

    pub(super) fn placement(&self, before: Option<Probe>, after: Option<Probe>) -> Placement {
        match before.zip(after) {
            _ if !self.pinned => Placement::Unknown,
            None => Placement::SameCore,
            Some((before, after)) => before.placement_until(&after),
        }
    }

    pub(super) fn ask_usage(&mut self, request: Request) -> anyhow::Result<Usage> {
        self.guest.say(&request)?;
        match self.guest.listen()? {
            Answer::Usage(usage) => Ok(usage),
            other => bail!("the guest answered {other:?}"),
        }
    }

    pub(super) fn hear_done(&mut self) -> anyhow::Result<()> {
        hear_done(&mut self.guest)
    }
}

pub(super) fn hear_done(guest: &mut ToGuest) -> anyhow::Result<()> {
    match guest.listen()? {
        Answer::Done => Ok(()),
        Answer::Failed(error) => bail!("in the guest: {error}"),
        other => bail!("the guest answered {other:?}"),
    }
}

/// How many messages are sent each way to be compared in full, where no link's memory wants more.
pub(super) fn verified_messages(size_bytes: usize) -> u64 {
    const BYTES: usize = 4 << 20;
    (BYTES / size_bytes).clamp(8, 500) as u64
}

/// Room in the link, where it is bounded by bytes.
pub(super) fn capacity_bytes(properties: &LinkProperties) -> Option<usize> {
    match properties.capacity {
        Capacity::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

/// Why the link cannot carry messages of this size; `None` if it can.
pub(super) fn unfit(properties: &LinkProperties, size_bytes: usize) -> Option<String> {
    let lengths = properties.message_length;
    match size_bytes {
        _ if (lengths.min..=lengths.max).contains(&size_bytes) => None,
        _ if lengths.is_fixed() => Some(format!("exactly {} B", lengths.min)),
        _ if size_bytes > lengths.max => Some(format!("at most {} B", lengths.max)),
        _ => Some(format!("at least {} B", lengths.min)),
    }
}

/// The values in nanoseconds and how often each was seen, to three digits.
pub(super) fn counts(clock: &Clock, ticks: &[u64]) -> anyhow::Result<Vec<(u64, u64)>> {
    let mut histogram = Histogram::<u64>::new(3)?;
    for &ticks in ticks {
        histogram.record(clock.ns(ticks).round() as u64)?;
    }
    Ok(recorded(&histogram))
}

/// The values of a histogram, and how often each was seen.
pub(super) fn recorded(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    histogram.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value())).collect()
}

pub(super) fn print(finding: &Finding) -> anyhow::Result<()> {
    // One write call, since standard output is line-buffered.
    println!("{}", serde_json::to_string(finding)?);
    Ok(())
}

/// Has the kernel end this process (SIGALRM) if the next size takes absurdly long: a link that lost a
/// message, say. The guest dies with it. A watching thread would do too, but a process with threads
/// makes slower system calls.
pub(super) fn set_alarm(spec: &SessionSpec) {
    // SAFETY: it only sets a timer, and nothing in this process handles the signal.
    unsafe { libc::alarm(spec.patience_s) };
}
