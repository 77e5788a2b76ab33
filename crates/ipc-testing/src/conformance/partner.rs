//! The process at the other side of a case, as the cases direct it.

use crate::process::wait_until_parked;
use crate::{Guest, Host};

/// The process at the other side.
pub(super) enum Partner<'a> {
    /// We are the host.
    Guest(&'a mut Guest),
    /// We are the guest.
    Host(&'a mut Host),
}

impl Partner<'_> {
    #[track_caller]
    pub(super) fn tell(&mut self, text: &str) {
        match self {
            Self::Guest(guest) => guest.tell(text),
            Self::Host(host) => host.tell(text),
        }
    }

    #[track_caller]
    pub(super) fn hear(&mut self) -> String {
        match self {
            Self::Guest(guest) => guest.hear(),
            Self::Host(host) => host.hear(),
        }
    }

    /// Waits for exactly this text.
    #[track_caller]
    pub(super) fn expect(&mut self, text: &str) {
        assert_eq!(self.hear(), text, "what the other side says");
    }

    /// Waits for a number.
    #[track_caller]
    pub(super) fn hear_number(&mut self) -> u64 {
        let text = self.hear();
        text.parse().unwrap_or_else(|_| panic!("the other side said {text:?}, not a number"))
    }

    pub(super) fn pid(&self) -> u32 {
        match self {
            Self::Guest(guest) => guest.pid(),
            Self::Host(host) => host.pid(),
        }
    }

    pub(super) fn wait_until_parked(&self) {
        wait_until_parked(self.pid());
    }

    /// Waits until the other side has played its part too, unless it is a guest that is dead: so no
    /// side closes its end of the link under the other's last look at it.
    #[track_caller]
    pub(super) fn part(&mut self) {
        if !matches!(self, Self::Guest(guest) if guest.was_waited_for()) {
            self.tell("over");
            self.expect("over");
        }
    }

    /// The guest, where this is the host.
    #[track_caller]
    pub(super) fn guest(&mut self) -> &mut Guest {
        match self {
            Self::Guest(guest) => guest,
            Self::Host(_) => panic!("only the host asks for the guest"),
        }
    }
}
