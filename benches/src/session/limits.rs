//! The host's part in measuring the limits.

use std::time::Duration;

use ipc_ring::Options;
use ipc_testing::Invitation;

use super::fill::typical_of_fill;
use super::host::{ATTEMPTS, HostSession, counts, hear_done, print, set_alarm};
use super::protocol::Request;
use super::{Cores, Finding, LimitSample};
use crate::limits::eventfd::EventfdPair;
use crate::limits::line::{self, Placement};
use crate::limits::{alone, bare, futex};
use crate::measure::content::own_work_ns;

/// Rounds of the cache-line limit.
const LINE_ROUNDS: usize = 50_000;

/// Measures the limits, again if the cores were moved meanwhile, and prints them.
pub(super) fn measure(session: &mut HostSession) -> anyhow::Result<()> {
    let mut attempts_left = ATTEMPTS;
    loop {
        set_alarm(&session.spec);
        attempts_left -= 1;
        let sample = attempt(session)?;
        if sample.placement != Placement::Moved || attempts_left == 0 {
            return print(&Finding::Limits(sample));
        }
    }
}

fn attempt(session: &mut HostSession) -> anyhow::Result<LimitSample> {
    let probe_before = session.probe()?;
    let (mut line_counts, mut line_ns) = (Vec::new(), None);
    if session.spec.cores != Cores::One {
        line::reset(&session.board);
        session.guest.say(&Request::LinePong { rounds: LINE_ROUNDS as u64 })?;
        session.board.rendezvous();
        let ticks = &mut session.ticks[..LINE_ROUNDS];
        line::ping(&session.board, &session.clock, ticks);
        hear_done(&mut session.guest)?;
        line_counts = counts(&session.clock, ticks)?;
        line_ns = Some(session.clock.typical_ns(ticks));
    }
    let bare_oneway_ns = bare_streams(session)?;
    let budget = Duration::from_millis(session.spec.rtt_ms);
    let same_core = session.spec.cores == Cores::One;
    let futex_ns = typical_of_fill(budget, |rounds| {
        session.guest.say(&Request::FutexPong { rounds })?;
        let mean_ns = futex::ping(&session.board, rounds, same_core)?;
        hear_done(&mut session.guest)?;
        Ok(mean_ns)
    })?;
    let eventfds = EventfdPair::create()?;
    let eventfd_ns = typical_of_fill(budget, |rounds| {
        session.guest.say(&Request::EventfdPong { rounds })?;
        session.guest.invite(Invitation::of_descriptors(eventfds.to_descriptors()?))?;
        session.board.rendezvous();
        let mean_ns = eventfds.ping(rounds)?;
        hear_done(&mut session.guest)?;
        Ok(mean_ns)
    })?;
    let probe_after = session.probe()?;
    let sizes_bytes = session.spec.sizes_bytes.iter();
    Ok(LimitSample {
        pass: 0,
        placement: session.placement(probe_before, probe_after),
        line_counts,
        line_ns,
        futex_ns,
        eventfd_ns,
        memcpy_gb_s: alone::memcpy_gb_s(),
        syscall_ns: alone::syscall_ns(),
        own_work_ns: sizes_bytes.map(|&size| (size, own_work_ns(size))).collect(),
        bare_oneway_ns,
    })
}

/// The bare stream of each size that has it for a bound, in as much memory as the textbook's ring has.
fn bare_streams(session: &mut HostSession) -> anyhow::Result<Vec<(usize, f64)>> {
    let mut streams = Vec::new();
    if session.spec.cores != Cores::Two {
        return Ok(streams);
    }
    let budget = Duration::from_millis(session.spec.oneway_ms);
    let sizes_bytes = session.spec.sizes_bytes.clone();
    for size_bytes in sizes_bytes.into_iter().filter(|&size| size <= bare::LONGEST_BYTES) {
        let (mut sender, memory) =
            bare::Sender::create(Options::DEFAULT_CAPACITY_BYTES, size_bytes)?;
        session.guest.say(&Request::BareStream { size_bytes })?;
        session.guest.invite(Invitation::of_descriptors(vec![memory]))?;
        streams.push((size_bytes, sender.oneway_ns(&session.board, budget)));
        sender.finish(&session.board);
        hear_done(&mut session.guest)?;
    }
    Ok(streams)
}
