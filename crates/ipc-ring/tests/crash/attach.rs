//! The victim makes a link.

use ipc_core::{Deadline, OpenErrorKind};
use ipc_ring::{Link, Options};
use ipc_testing::crash::{Cue, Fate, Scene, Survivor, Victim};

use crate::link::{LONGEST, Manner, VICTIM, receive_to_the_end, send_to_the_end};
use crate::message::Inbox;

/// What the victim's side brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Sends,
    Receives,
    Both,
}

impl Role {
    const ALL: [Self; 3] = [Self::Sends, Self::Receives, Self::Both];

    fn name(self) -> &'static str {
        match self {
            Self::Sends => "attach as sender",
            Self::Receives => "attach as receiver",
            Self::Both => "attach as both",
        }
    }

    fn options(self, manner: Manner) -> Options {
        if self == Self::Receives { manner.receiving() } else { manner.sending() }
    }

    fn other(self) -> Self {
        match self {
            Self::Sends => Self::Receives,
            Self::Receives => Self::Sends,
            Self::Both => Self::Both,
        }
    }
}

pub(crate) fn scenes() -> Vec<Scene> {
    let mut scenes: Vec<_> = Role::ALL.into_iter().map(late).collect();
    for role in Role::ALL {
        scenes.push(early(role, Manner::Parked));
    }
    // Which the other side is told in the handshake.
    scenes.push(early(Role::Sends, Manner::Spinning));
    scenes
}

/// The survivor has said hello and waits for the victim's.
fn early(role: Role, manner: Manner) -> Scene {
    let survivor = move |survivor: &mut Survivor| {
        let socket = survivor.socket();
        survivor.signal();
        let options = role.other().options(manner);
        let link = Link::over(socket, &options, Deadline::Never);
        let is_complete = use_link(link, manner);
        assert_eq!(is_complete, survivor.fate() == Fate::Stopped);
        // Nothing to count: whether a hello is read before the death of who sent it is a race, after
        // which there is a link whose other end is gone, or none.
        0
    };
    let victim = move |victim: &mut Victim| {
        let socket = victim.socket();
        victim.wait();
        victim.wait_until_partner_parks();
        attach(role, victim, socket);
    };
    Scene::new((role.name(), "the other has said hello"), victim, survivor)
        .survivor_is(manner.name())
        .busy()
        .varies()
}

/// The survivor says hello when the victim sleeps.
fn late(role: Role) -> Scene {
    let survivor = move |survivor: &mut Survivor| {
        let socket = survivor.socket();
        let cue = survivor.cue();
        let options = role.other().options(Manner::Parked);
        if cue == Cue::Fate(Fate::Stopped) {
            survivor.acted(); // it waits for the other, as it must
        }
        let link = Link::over(socket, &options, Deadline::Never);
        if cue == Cue::Asleep && survivor.fate() == Fate::Stopped {
            survivor.acted();
        }
        let is_complete = use_link(link, Manner::Parked);
        assert_eq!(is_complete, survivor.fate() == Fate::Stopped);
        0
    };
    let victim = move |victim: &mut Victim| {
        let socket = victim.socket();
        attach(role, victim, socket);
    };
    Scene::new((role.name(), "the other says hello later"), victim, survivor)
        .survivor_is("attaches when it sleeps")
        .cued()
        .varies()
}

/// The victim's part: the operation, then what a link is for.
fn attach(role: Role, victim: &mut Victim, socket: std::os::fd::OwnedFd) {
    let options = role.options(VICTIM);
    let link = victim.operation(|| Link::over(socket, &options, Deadline::Never));
    assert!(use_link(Ok(link.expect("the other side is there")), VICTIM), "all came");
}

/// Sends some messages and receives some, as far as there are ends; whether the other side did so too,
/// to the last message. A side that is gone is [`OpenErrorKind::PeerGone`] at once or later.
#[track_caller]
pub(crate) fn use_link(link: Result<Link, ipc_core::OpenError>, manner: Manner) -> bool {
    let mut link = match link {
        Ok(link) => link,
        Err(error) if matches!(error.kind(), OpenErrorKind::PeerGone) => return false,
        Err(error) => panic!("attach: {error}"),
    };
    let mut is_complete = true;
    if let Some(mut sender) = link.sender.take() {
        // More than the ring holds, unless both sides send first: then a little.
        let count = if link.receiver.is_some() { 2 } else { 8 };
        let limit = Some(count);
        let sent = send_to_the_end(0, LONGEST, limit, &mut sender, manner);
        // What fits is accepted, also for a receiver that is gone by now.
        is_complete &= sent || count == 2;
    }
    if let Some(mut receiver) = link.receiver {
        let mut inbox = Inbox::default();
        receive_to_the_end(&mut inbox, &mut receiver, manner);
        is_complete &= inbox.is_complete;
    }
    is_complete
}
