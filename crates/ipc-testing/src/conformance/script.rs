//! What a case is made of: what each side does, and in which arrangements. Leaves out the doing.

use std::fmt;

use ipc_core::{Receiver, Sender};

use super::side::{BothSides, Side};

/// The two sides of a case. It is played once in each of its [`takes`](Script::takes).
pub(super) struct Script {
    pub(super) play: Play,
    guest_parts: &'static [GuestPart],
    variants: &'static [&'static str],
}

/// What each side does.
pub(super) enum Play {
    /// One link.
    OneLink { sender: fn(&mut Side<'_, dyn Sender>), receiver: fn(&mut Side<'_, dyn Receiver>) },
    /// Two links in opposite directions; or `alone`, over the first, where the link declares that two
    /// processes have no other: the stage makes sure that they get none.
    TwoLinks { host: fn(&mut BothSides<'_>), guest: fn(&mut BothSides<'_>), alone: OneWay },
}

/// What host and guest do over a link from one to the other.
#[derive(Clone, Copy)]
pub(super) struct OneWay {
    pub(super) host: fn(&mut Side<'_, dyn Sender>),
    pub(super) guest: fn(&mut Side<'_, dyn Receiver>),
}

/// Which end of the link the guest has (of two links: of the first).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GuestPart {
    Sender,
    Receiver,
}

/// One way of playing a script, in two fresh processes over a fresh link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Take {
    pub(super) guest_part: GuestPart,
    pub(super) variant: &'static str,
}

impl Script {
    /// A case over one link. Each part is played by either process in turn.
    pub(super) fn new(
        sender: fn(&mut Side<'_, dyn Sender>),
        receiver: fn(&mut Side<'_, dyn Receiver>),
    ) -> Self {
        let guest_parts = &[GuestPart::Sender, GuestPart::Receiver];
        Self { play: Play::OneLink { sender, receiver }, guest_parts, variants: &[""] }
    }

    /// A case over two links in opposite directions, and what is left of it where there can be one only.
    pub(super) fn of_two_links(
        host: fn(&mut BothSides<'_>),
        guest: fn(&mut BothSides<'_>),
        alone: OneWay,
    ) -> Self {
        let guest_parts = &[GuestPart::Receiver];
        Self { play: Play::TwoLinks { host, guest, alone }, guest_parts, variants: &[""] }
    }

    /// Only the guest sends: it is the victim.
    pub(super) fn guest_sends(mut self) -> Self {
        self.guest_parts = &[GuestPart::Sender];
        self
    }

    /// Only the guest receives: it is the victim.
    pub(super) fn guest_receives(mut self) -> Self {
        self.guest_parts = &[GuestPart::Receiver];
        self
    }

    /// It is played once for each of these, which the sides read.
    pub(super) fn in_variants(mut self, variants: &'static [&'static str]) -> Self {
        self.variants = variants;
        self
    }

    /// All ways of playing it.
    pub(super) fn takes(&self) -> impl Iterator<Item = Take> + use<> {
        let (guest_parts, variants) = (self.guest_parts, self.variants);
        guest_parts.iter().flat_map(move |&guest_part| {
            variants.iter().map(move |&variant| Take { guest_part, variant })
        })
    }
}

impl fmt::Display for Take {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.guest_part {
            GuestPart::Sender => "guest to host",
            GuestPart::Receiver => "host to guest",
        })?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, ", {}", self.variant) }
    }
}
