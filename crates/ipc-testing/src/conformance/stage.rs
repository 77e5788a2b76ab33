//! Plays a script: makes the link, hands each side its end, and looks afterwards whether anything was
//! left behind. Every case is checked for that, not only the one that is named so.

use ipc_core::{Count, Direction, LinkProperties, OpenError, Receiver, Sender};

use super::footprint::{Footprint, assert_no_residue};
use super::partner::Partner;
use super::script::{GuestPart, Play, Script, Take};
use super::side::{BothSides, Side};
use super::signals::let_sigpipe_kill;
use crate::{Guest, Host, Invitation, Pending, Scope, Transport};

/// Plays the host's side of a take.
pub(super) fn play_host(
    transport: &dyn AnyTransport,
    script: &Script,
    take: Take,
    guest: &mut Guest,
) {
    let_sigpipe_kill();
    let before = Footprint::of_this_process();
    let scope = Scope::new();
    match script.play {
        Play::OneLink { sender, .. } if take.guest_part == GuestPart::Receiver => {
            let end = host_sender(transport, &scope, guest);
            let link = agree(Partner::Guest(guest), end.properties(), &before);
            let mut side = Side::new(end, link, Partner::Guest(guest), take.variant);
            sender(&mut side);
            side.partner.part();
        }
        Play::OneLink { receiver, .. } => {
            let end = host_receiver(transport, &scope, guest);
            let link = agree(Partner::Guest(guest), end.properties(), &before);
            let mut side = Side::new(end, link, Partner::Guest(guest), take.variant);
            receiver(&mut side);
            side.partner.part();
        }
        Play::TwoLinks { host: play, alone, .. } => {
            let sender = host_sender(transport, &scope, guest);
            let link = agree(Partner::Guest(guest), sender.properties(), &before);
            if has_no_opposite(&link) {
                expect_no_receiver(transport, &scope, guest);
                let mut side = Side::new(sender, link, Partner::Guest(guest), take.variant);
                (alone.host)(&mut side);
                side.partner.part();
            } else {
                let receiver = host_receiver(transport, &scope, guest);
                let partner = Partner::Guest(guest);
                let mut sides = BothSides { sender, receiver, partner, link };
                play(&mut sides);
                sides.partner.part();
            }
        }
    }
    if !guest.was_waited_for() {
        guest.finish();
    }
    let (prefix, directory) = (scope.prefix().to_owned(), scope.path(""));
    drop(scope);
    before.assert_unchanged();
    assert_no_residue(&prefix, &directory, &[std::process::id(), guest.pid()]);
}

/// Plays the guest's side of a take.
pub(super) fn play_guest(
    transport: &dyn AnyTransport,
    script: &Script,
    take: Take,
    host: &mut Host,
) {
    let_sigpipe_kill();
    let before = Footprint::of_this_process();
    match script.play {
        Play::OneLink { receiver, .. } if take.guest_part == GuestPart::Receiver => {
            let end = transport.join_as_receiver(host.invitation()).expect("joins as receiver");
            let link = agree(Partner::Host(host), end.properties(), &before);
            let mut side = Side::new(end, link, Partner::Host(host), take.variant);
            receiver(&mut side);
            side.partner.part();
        }
        Play::OneLink { sender, .. } => {
            let end = transport.join_as_sender(host.invitation()).expect("joins as sender");
            let link = agree(Partner::Host(host), end.properties(), &before);
            let mut side = Side::new(end, link, Partner::Host(host), take.variant);
            sender(&mut side);
            side.partner.part();
        }
        Play::TwoLinks { guest: play, alone, .. } => {
            let receiver =
                transport.join_as_receiver(host.invitation()).expect("joins as receiver");
            let link = agree(Partner::Host(host), receiver.properties(), &before);
            if has_no_opposite(&link) {
                let second = transport.join_as_sender(host.invitation());
                assert!(second.is_err(), "{SECOND_LINK}");
                let mut side = Side::new(receiver, link, Partner::Host(host), take.variant);
                (alone.guest)(&mut side);
                side.partner.part();
            } else {
                let sender = transport.join_as_sender(host.invitation()).expect("joins as sender");
                let mut sides = BothSides { sender, receiver, partner: Partner::Host(host), link };
                play(&mut sides);
                sides.partner.part();
            }
        }
    }
    before.assert_unchanged();
}

fn host_sender(transport: &dyn AnyTransport, scope: &Scope, guest: &mut Guest) -> Box<dyn Sender> {
    let (invitation, pending) = transport.invite_receiver(scope).expect("invites a receiver");
    guest.invite(invitation);
    pending.complete(guest.pid()).expect("completes the sender")
}

fn host_receiver(
    transport: &dyn AnyTransport,
    scope: &Scope,
    guest: &mut Guest,
) -> Box<dyn Receiver> {
    let (invitation, pending) = transport.invite_sender(scope).expect("invites a sender");
    guest.invite(invitation);
    pending.complete(guest.pid()).expect("completes the receiver")
}

/// Whether two processes that have this link can have none in the opposite direction.
fn has_no_opposite(link: &LinkProperties) -> bool {
    link.links_per_pair == Count::One && link.direction == Direction::OneWay
}

const SECOND_LINK: &str = "two processes got a second link, though they have one, one way";

/// Begins a link in the opposite direction of the only one, and expects that neither side gets it.
fn expect_no_receiver(transport: &dyn AnyTransport, scope: &Scope, guest: &mut Guest) {
    let (invitation, pending) = transport.invite_sender(scope).expect("invites a sender");
    guest.invite(invitation);
    assert!(pending.complete(guest.pid()).is_err(), "{SECOND_LINK}");
}

/// Both sides of every case begin with the same description of the link, and without having got a
/// thread or a signal handler that they did not ask for.
fn agree(mut partner: Partner<'_>, link: LinkProperties, before: &Footprint) -> LinkProperties {
    before.assert_nothing_installed();
    let ours = describe(&link);
    partner.tell(&ours);
    let theirs = partner.hear();
    assert_eq!(ours, theirs, "the two ends describe the link differently");
    link
}

/// The properties as text, without the capacity: the kernel may count it differently at each end.
fn describe(link: &LinkProperties) -> String {
    let rows = link.rows().into_iter().filter(|(question, _)| *question != "capacity");
    rows.map(|(question, answer)| format!("{question}: {answer}")).collect::<Vec<_>>().join("\n")
}

/// A [`Transport`] whose endpoints are trait objects: the cases are compiled once for all transports,
/// and prove on the way that objects do.
pub(super) trait AnyTransport {
    fn invite_receiver(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<Box<dyn Sender>>), OpenError>;
    fn invite_sender(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<Box<dyn Receiver>>), OpenError>;
    fn join_as_receiver(&self, invitation: Invitation) -> Result<Box<dyn Receiver>, OpenError>;
    fn join_as_sender(&self, invitation: Invitation) -> Result<Box<dyn Sender>, OpenError>;
}

impl<T: Transport> AnyTransport for T {
    fn invite_receiver(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<Box<dyn Sender>>), OpenError> {
        let (invitation, pending) = Transport::invite_receiver(self, scope)?;
        Ok((invitation, pending.map(|end| Box::new(end) as Box<dyn Sender>)))
    }

    fn invite_sender(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<Box<dyn Receiver>>), OpenError> {
        let (invitation, pending) = Transport::invite_sender(self, scope)?;
        Ok((invitation, pending.map(|end| Box::new(end) as Box<dyn Receiver>)))
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<Box<dyn Receiver>, OpenError> {
        Ok(Box::new(Transport::join_as_receiver(self, invitation)?))
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<Box<dyn Sender>, OpenError> {
        Ok(Box::new(Transport::join_as_sender(self, invitation)?))
    }
}
