//! The guest of a session: does what the host asks, until the host is gone.

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use ipc_core::{OpenError, Receiver, Sender};
use ipc_testing::{Host, Transport};
use rustix::process::{Pid, Signal, kill_process};

use super::control::{OtherGone, ToHost, Wire};
use super::host::recorded;
use super::protocol::{Answer, Request};
use super::usage::Usage;
use super::{Cores, Manner, SessionSpec, Wait};
use crate::limits::bare;
use crate::limits::eventfd::EventfdPair;
use crate::limits::futex;
use crate::limits::line::{self, Probe};
use crate::machine;
use crate::measure::content::Messages;
use crate::measure::pattern;
use crate::measure::style::{RecvStyle, SendStyle};
use crate::mechanisms::{Mechanism, Setting};
use crate::shared::Board;

/// A guest on its processor, with its host.
#[derive(Debug)]
pub struct GuestSession {
    pub(super) host: ToHost,
    pub(super) board: Board,
    wait: Wait,
    manner: Manner,
    same_core: bool,
}

/// Runs the guest that the host has started with this specification. Ends when the host does.
pub fn run(spec: &SessionSpec, mechanisms: &[Mechanism]) -> ExitCode {
    let host = match Host::from_stdin() {
        Ok(host) => host,
        Err(error) => {
            eprintln!("guest: {error}");
            return ExitCode::FAILURE;
        }
    };
    let host_pid = host.pid();
    let serve = || {
        let mechanism = spec.mechanism(mechanisms)?;
        if let Some(mechanism) = mechanism {
            mechanism.prepare()?;
        }
        serve(ToHost::Process(host), spec, mechanism)
    };
    if let Err(error) = serve() {
        // The host may be waiting on a link that knows no death: end it too, after saying why.
        eprintln!("guest: {error:#}");
        if let Some(pid) = i32::try_from(host_pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Starts the guest as a thread of the host's process, which ends with it if it fails.
pub(super) fn start_thread(spec: SessionSpec, mechanism: Mechanism) -> Wire {
    let (hosts, guests) = Wire::pair();
    thread::spawn(move || {
        let serve = || serve(ToHost::Thread(guests), &spec, Some(mechanism));
        match panic::catch_unwind(AssertUnwindSafe(serve)) {
            Ok(Err(error)) if !error.is::<OtherGone>() => eprintln!("guest: {error:#}"),
            Ok(_) => return, // the host has ended
            Err(_) => {}     // the panic has been reported
        }
        // The host may be waiting on a link that knows no death.
        std::process::exit(1);
    });
    hosts
}

fn serve(mut host: ToHost, spec: &SessionSpec, mechanism: Option<Mechanism>) -> anyhow::Result<()> {
    // The host warns if it cannot pin itself; the reasons are the same here.
    let _ = machine::pin(spec.cpus[1]);
    let board = host.invitation()?.descriptors.pop().context("the board came without memory")?;
    let board = Board::join(board)?;
    host.say(&Answer::Done)?;
    let same_core = spec.cores == Cores::One;
    let wait = spec.subject.as_ref().map_or(Wait::Block, |(_, wait)| *wait);
    let mut session = GuestSession { host, board, wait, manner: spec.manner, same_core };
    match mechanism {
        None => session.serve_limits(),
        Some(mechanism) => (mechanism.guest)(&mut session),
    }
}

impl GuestSession {
    /// How the processes of this session wait.
    pub fn wait(&self) -> Wait {
        self.wait
    }

    /// What this session does with the messages.
    pub fn manner(&self) -> Manner {
        self.manner
    }

    /// Answers the host's requests about a mechanism.
    ///
    /// # Errors
    ///
    /// Any that occurs on a link. What keeps a link from being made is told to the host instead.
    pub fn serve<T, W>(&mut self, transport: fn(&Setting) -> T) -> anyhow::Result<()>
    where
        T: Transport,
        W: SendStyle<T::Sender> + RecvStyle<T::Receiver>,
    {
        let prepared = |size_bytes| {
            let messages = Messages::new(size_bytes, W::AT_ONCE);
            (transport(&Setting { wait: self.wait, size_bytes }), messages)
        };
        let (mut transport, mut messages) = prepared(pattern::MIN_LEN);
        let (mut sender, mut receiver) = (None, None);
        loop {
            let answer = match self.host.listen()? {
                Request::Prepare { size_bytes } => {
                    (transport, messages) = prepared(size_bytes);
                    Answer::Usage(Usage::of_this_process()?)
                }
                Request::JoinAsReceiver => {
                    joined(transport.join_as_receiver(self.host.invitation()?), &mut receiver)
                }
                Request::JoinAsSender => {
                    joined(transport.join_as_sender(self.host.invitation()?), &mut sender)
                }
                Request::Pong(rounds) => {
                    let (sender, receiver) =
                        sender.as_mut().zip(receiver.as_mut()).context(UNMADE)?;
                    let style = W::for_link(&sender.properties(), messages.stock.message_len());
                    self.board.rendezvous();
                    rounds.pong(style, sender, receiver, &mut messages)?;
                    Answer::Done
                }
                Request::Receive(stream) => {
                    let receiver = receiver.as_mut().context(UNMADE)?;
                    let buffer = messages.incoming.as_mut();
                    let style = W::for_link(&receiver.properties(), buffer.len());
                    Answer::Arrived(stream.receive(style, receiver, buffer, &self.board)?)
                }
                Request::ReceivePaced(pace) => {
                    let receiver = receiver.as_mut().context(UNMADE)?;
                    let buffer = messages.incoming.as_mut();
                    let style = W::for_link(&receiver.properties(), buffer.len());
                    paced_answer(&pace.receive(style, receiver, buffer, &self.board)?)?
                }
                Request::Send(stream) => {
                    let sender = sender.as_mut().context(UNMADE)?;
                    let stock = &mut messages.stock;
                    let style = W::for_link(&sender.properties(), stock.message_len());
                    let sent = stream.send(style, sender, stock, &self.board)?;
                    Answer::Sent { cpu_ns: sent.cpu_ns }
                }
                Request::Leave => {
                    let usage = Usage::of_this_process()?;
                    (sender, receiver) = (None, None);
                    Answer::Usage(usage)
                }
                Request::Probe => self.answer_probe(),
                other => bail!("out of place: {other:?}"),
            };
            self.host.say(&answer)?;
        }
    }

    /// Answers the host's requests about the limits.
    fn serve_limits(&mut self) -> anyhow::Result<()> {
        loop {
            let answer = match self.host.listen()? {
                Request::LinePong { rounds } => {
                    self.board.rendezvous();
                    line::pong(&self.board, rounds);
                    Answer::Done
                }
                Request::BareStream { size_bytes } => {
                    let descriptors = self.host.invitation()?.descriptors;
                    let memory = descriptors.into_iter().next().context("memory")?;
                    bare::Receiver::join(memory, size_bytes)?.serve(&self.board)?;
                    Answer::Done
                }
                Request::FutexPong { rounds } => {
                    futex::pong(&self.board, rounds, self.same_core)?;
                    Answer::Done
                }
                Request::EventfdPong { rounds } => {
                    let descriptors = self.host.invitation()?.descriptors;
                    let pair =
                        EventfdPair::from_descriptors(descriptors).context("two eventfds")?;
                    self.board.rendezvous();
                    pair.pong(rounds)?;
                    Answer::Done
                }
                Request::Probe => self.answer_probe(),
                other => bail!("out of place: {other:?}"),
            };
            self.host.say(&answer)?;
        }
    }

    pub(super) fn answer_probe(&self) -> Answer {
        Probe::answer(&self.board);
        Answer::Done
    }
}

const UNMADE: &str = "the links have not been made";

/// To two digits, so that it fits into one text of the control channel.
fn paced_answer(delays_ns: &[u64]) -> anyhow::Result<Answer> {
    let mut histogram = Histogram::<u64>::new(2)?;
    for &delay_ns in delays_ns {
        histogram.record(delay_ns)?;
    }
    let last_delay_ns = delays_ns.last().copied().unwrap_or(0);
    Ok(Answer::Paced { delay_counts: recorded(&histogram), last_delay_ns })
}

/// Keeps an end that was made; what else happened is for the host to judge.
fn joined<E>(end: Result<E, OpenError>, place: &mut Option<E>) -> Answer {
    match end {
        Ok(end) => {
            *place = Some(end);
            Answer::Done
        }
        Err(error) => Answer::Failed(error.to_string()),
    }
}
