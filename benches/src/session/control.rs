//! The control channel between host and guest: JSON and descriptors, apart from the measured links.
//! The guest is a process (over the channel of `ipc-testing`) or a thread (over one of the standard
//! library); the rest of a session does not know which.

use std::fmt;
use std::sync::mpsc;

use anyhow::Context;
use ipc_testing::{Guest, Host, Invitation};
use serde::{Serialize, de::DeserializeOwned};

/// The host's end, and the guest itself: a process ends when this is dropped, a thread soon after.
#[derive(Debug)]
pub(super) enum ToGuest {
    Process(Guest),
    Thread(Wire),
}

/// The guest's end.
#[derive(Debug)]
pub(super) enum ToHost {
    Process(Host),
    Thread(Wire),
}

/// One end of a channel between threads.
#[derive(Debug)]
pub(super) struct Wire {
    sender: mpsc::Sender<Parcel>,
    receiver: mpsc::Receiver<Parcel>,
}

#[derive(Debug)]
enum Parcel {
    Text(String),
    Invitation(Invitation),
}

impl Wire {
    /// Both ends.
    pub(super) fn pair() -> (Self, Self) {
        let ((to_guest, from_host), (to_host, from_guest)) = (mpsc::channel(), mpsc::channel());
        let wire = |sender, receiver| Self { sender, receiver };
        (wire(to_guest, from_guest), wire(to_host, from_host))
    }

    fn pass(&self, parcel: Parcel) -> Result<(), OtherGone> {
        self.sender.send(parcel).map_err(|_| OtherGone)
    }

    fn text(&self) -> Result<String, OtherGone> {
        match self.receiver.recv().map_err(|_| OtherGone)? {
            Parcel::Text(text) => Ok(text),
            Parcel::Invitation(_) => unreachable!("both sides keep to the protocol"),
        }
    }
}

/// The other thread has ended. (A process whose other side has ended is killed, or panics.)
#[derive(Debug)]
pub(super) struct OtherGone;

impl fmt::Display for OtherGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the other thread has ended")
    }
}

impl std::error::Error for OtherGone {}

impl ToGuest {
    /// Its process id: our own for a thread.
    pub(super) fn pid(&self) -> u32 {
        match self {
            Self::Process(guest) => guest.pid(),
            Self::Thread(_) => std::process::id(),
        }
    }

    pub(super) fn invite(&mut self, invitation: Invitation) -> anyhow::Result<()> {
        match self {
            Self::Process(guest) => guest.invite(invitation),
            Self::Thread(wire) => wire.pass(Parcel::Invitation(invitation))?,
        }
        Ok(())
    }

    /// Says something to the guest.
    pub(super) fn say(&mut self, words: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string(words)?;
        match self {
            Self::Process(guest) => guest.tell(&text),
            Self::Thread(wire) => wire.pass(Parcel::Text(text))?,
        }
        Ok(())
    }

    /// Waits for the guest to say something.
    pub(super) fn listen<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        understand(&match self {
            Self::Process(guest) => guest.hear(),
            Self::Thread(wire) => wire.text()?,
        })
    }
}

impl ToHost {
    /// Waits for an invitation from the host.
    pub(super) fn invitation(&mut self) -> anyhow::Result<Invitation> {
        match self {
            Self::Process(host) => Ok(host.invitation()),
            Self::Thread(wire) => match wire.receiver.recv().map_err(|_| OtherGone)? {
                Parcel::Invitation(invitation) => Ok(invitation),
                Parcel::Text(_) => unreachable!("both sides keep to the protocol"),
            },
        }
    }

    /// Says something to the host.
    pub(super) fn say(&mut self, words: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string(words)?;
        match self {
            Self::Process(host) => host.tell(&text),
            Self::Thread(wire) => wire.pass(Parcel::Text(text))?,
        }
        Ok(())
    }

    /// Waits for the host to say something.
    pub(super) fn listen<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        understand(&match self {
            Self::Process(host) => host.hear(),
            Self::Thread(wire) => wire.text()?,
        })
    }
}

fn understand<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    serde_json::from_str(text).with_context(|| format!("not understood: {text}"))
}
