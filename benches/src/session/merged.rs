//! Two processes that send to one over a single link. The host receives, on its processor; both guests
//! send, and share the other: so the figures of machines with two processors and with more compare.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use ipc_core::Receiver;
use ipc_testing::{Guest, Invitation, Scope, Transport};

use super::control::ToGuest;
use super::fill::how_many_fill;
use super::host::{HostSession, MAX_STREAM, capacity_bytes, hear_done, unfit, verified_messages};
use super::protocol::{Answer, Request};
use super::usage::Usage;
use super::{Finding, Sample};
use crate::measure::content::{Message, Scrutiny};
use crate::measure::merged::{Arrived, Merged, SENDERS};
use crate::measure::style::RecvStyle;
use crate::mechanisms::Setting;
use crate::shared::Board;

/// The second sender, with its own board.
struct SecondGuest {
    guest: ToGuest,
    board: Board,
}

impl SecondGuest {
    fn start(session: &HostSession) -> anyhow::Result<Self> {
        let spec = serde_json::to_string(&session.spec)?;
        let nothing: [(&str, &str); 0] = [];
        let mut guest = ToGuest::Process(Guest::start(["guest", &spec], nothing)?);
        let (board, descriptor) = Board::create()?;
        guest.invite(Invitation::of_descriptors(vec![descriptor]))?;
        hear_done(&mut guest)?;
        Ok(Self { guest, board })
    }
}

impl HostSession {
    /// Measures a stream of two senders at each of the sizes.
    ///
    /// # Errors
    ///
    /// Any from a link, from any of the three processes.
    pub fn measure_two_senders<T, W>(&mut self, transport: fn(&Setting) -> T) -> anyhow::Result<()>
    where
        T: Transport,
        W: RecvStyle<T::Receiver>,
    {
        let mut second = SecondGuest::start(self)?;
        self.each_size(|session, size_bytes| {
            let setting = Setting { wait: session.wait(), size_bytes };
            session.attempt_two_senders::<T, W>(&mut second, transport(&setting), size_bytes)
        })
    }

    fn attempt_two_senders<T, W>(
        &mut self,
        second: &mut SecondGuest,
        transport: T,
        size_bytes: usize,
    ) -> anyhow::Result<Finding>
    where
        T: Transport,
        W: RecvStyle<T::Receiver>,
    {
        let mut buffer = Message::new(size_bytes);
        let scope = Scope::new();
        let before = self.usages_with(second, Request::Prepare { size_bytes })?;

        let began = Instant::now();
        let (invitation, pending) = transport.invite_sender(&scope)?;
        let invitations = [copy_of(&invitation)?, invitation];
        for (guest, invitation) in guests(&mut self.guest, second).into_iter().zip(invitations) {
            guest.say(&Request::JoinAsSender)?;
            guest.invite(invitation)?;
        }
        let mut receiver = pending.complete(self.guest.pid())?;
        for guest in guests(&mut self.guest, second) {
            hear_done(guest)?;
        }
        let setup_us = began.elapsed().as_nanos() as f64 / 1000.0;

        let properties = receiver.properties();
        if let Some(reason) = unfit(&properties, size_bytes) {
            self.usages_with(second, Request::Leave)?;
            return Ok(Finding::Unfit { size_bytes, reason });
        }

        let style = W::for_link(&properties, size_bytes);
        let (mut first, lossy) = (0, properties.lossy);
        let mut run = |session: &mut Self, count, scrutiny| {
            let merged = Merged { first, count, lossy, scrutiny };
            first += count + 1; // the end mark has a number too
            session.run_merged(second, merged, style, &mut receiver, buffer.as_mut())
        };
        run(self, verified_messages(size_bytes), Scrutiny::Whole)?;
        let probe_before = self.probe()?;
        let budget = Duration::from_millis(self.spec.oneway_ms);
        let count = how_many_fill(budget, MAX_STREAM, &mut |count| {
            Ok(Duration::from_nanos(run(self, count, Scrutiny::Spots)?.0.took_ns))
        })?;
        let (arrived, senders_cpu_ns) = run(self, count, Scrutiny::Spots)?;
        let probe = self.probe()?;

        let after = self.usages_with(second, Request::Leave)?;
        let of_link = |of: fn(&Usage) -> usize| {
            let sum = |all: &[Usage]| all.iter().map(of).sum::<usize>();
            sum(&after).saturating_sub(sum(&before)) as f64
        };
        ensure!(arrived.count > 0, "nothing of the streams arrived");
        let per_message = |total_ns: u64| total_ns as f64 / arrived.count as f64;
        Ok(Finding::Measured(Box::new(Sample {
            pass: 0,
            size_bytes,
            placement: self.placement(probe_before, probe),
            probe,
            rtt_counts: Vec::new(),
            rtt_mean_ns: None,
            rtt_typical_ns: None,
            paced: Vec::new(),
            oneway_ns: per_message(arrived.took_ns),
            lost_share: 1.0 - arrived.count as f64 / (count * SENDERS as u64) as f64,
            empty_polls_per_msg: None,
            cpu_ns_per_msg: per_message(arrived.cpu_ns + senders_cpu_ns),
            setup_us,
            fds: of_link(|usage| usage.fds),
            rss_kb: of_link(|usage| usage.resident_kb),
            capacity_bytes: capacity_bytes(&properties),
        })))
    }

    /// Has both guests send; returns what the host saw, and the CPU time of both.
    fn run_merged<W: RecvStyle<R>, R>(
        &mut self,
        second: &mut SecondGuest,
        merged: Merged,
        style: W,
        receiver: &mut R,
        buffer: &mut [u8],
    ) -> anyhow::Result<(Arrived, u64)> {
        for (index, guest) in guests(&mut self.guest, second).into_iter().enumerate() {
            guest.say(&Request::Send(merged.stream_of(index)))?;
        }
        let arrived = merged.receive(style, receiver, buffer, [&self.board, &second.board])?;
        let mut cpu_ns = 0;
        for guest in guests(&mut self.guest, second) {
            let Answer::Sent { cpu_ns: more_ns } = guest.listen()? else { bail!("not sent") };
            cpu_ns += more_ns;
        }
        Ok((arrived, cpu_ns))
    }

    /// Asks both guests; returns what all three processes use, ours first.
    fn usages_with(
        &mut self,
        second: &mut SecondGuest,
        request: Request,
    ) -> anyhow::Result<Vec<Usage>> {
        let mut all = vec![Usage::of_this_process()?, self.ask_usage(request)?];
        second.guest.say(&request)?;
        let Answer::Usage(usage) = second.guest.listen()? else { bail!("no usage") };
        all.push(usage);
        Ok(all)
    }
}

fn guests<'a>(first: &'a mut ToGuest, second: &'a mut SecondGuest) -> [&'a mut ToGuest; SENDERS] {
    [first, &mut second.guest]
}

/// The same invitation for another guest.
fn copy_of(invitation: &Invitation) -> anyhow::Result<Invitation> {
    let copies = invitation.descriptors.iter().map(|fd| fd.as_fd().try_clone_to_owned());
    let descriptors = copies.collect::<Result<Vec<_>, _>>()?;
    Ok(Invitation { text: invitation.text.clone(), descriptors })
}
