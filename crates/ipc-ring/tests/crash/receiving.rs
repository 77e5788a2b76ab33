//! The victim receives.

use std::time::Instant;

use ipc_core::zero_copy::BorrowReceiver;
use ipc_core::{Armed, Deadline, Receiver, RecvError, SendError, Sender, WaitSource};
use ipc_ring::{Batch, RingReceiver, RingSender};
use ipc_testing::crash::{Cue, Fate, Scene, Survivor, Victim};

use crate::link::{
    CAPACITY, FAR_AWAY, LENGTHS, LONGEST, Manner, State, VICTIM, bring_to, receive_fillers,
    receive_to_the_end, receiver, send_to_the_end, sender,
};
use crate::message::{Inbox, message};

/// What the victim does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// Messages have this length.
    TryRecv(usize),
    /// The buffer is too small.
    TryRecvTooSmall,
    /// Waits for a message.
    RecvWaiting,
    /// The same, with a deadline that is far away.
    RecvUntil,
    BorrowRelease,
    /// As many as there are, at most [`BATCH`].
    RecvBatch,
    Arm,
    ArmDisarm,
    Close,
}

/// Messages of a batch.
const BATCH: usize = 3;

impl Act {
    const WITHOUT_WAITING: [Self; 6] = [
        Self::TryRecv(LENGTHS[0]),
        Self::TryRecv(LENGTHS[1]),
        Self::TryRecv(LENGTHS[2]),
        Self::TryRecvTooSmall,
        Self::BorrowRelease,
        Self::RecvBatch,
    ];

    fn name(self) -> String {
        let name = match self {
            Self::TryRecv(len) => return format!("try_recv {len} B"),
            Self::TryRecvTooSmall => "try_recv, too small",
            Self::RecvWaiting => "recv, waits",
            Self::RecvUntil => "recv, waits with a deadline",
            Self::BorrowRelease => "borrow, release",
            Self::RecvBatch => "recv_batch",
            Self::Arm => "receiver: arm",
            Self::ArmDisarm => "receiver: arm, disarm",
            Self::Close => "receiver: close",
        };
        name.to_owned()
    }

    /// Whether it gives the room of a message back.
    fn releases(self) -> bool {
        matches!(self, Self::TryRecv(_) | Self::BorrowRelease | Self::RecvBatch)
    }

    /// Bytes of the messages.
    fn len(self) -> usize {
        if let Self::TryRecv(len) = self { len } else { LENGTHS[0] }
    }
}

/// What the receiver finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    state: State,
    /// One message was sent on top of the state: so the one to read ends at, or follows, a wrap.
    and_one: bool,
    /// So many were read that the next release must tell the sender.
    about_to_publish: bool,
}

impl Found {
    const fn of(state: State) -> Self {
        Self { state, and_one: false, about_to_publish: false }
    }

    const ALL: [Self; 6] = [
        Self::of(State::Empty),
        Self::of(State::OneMessage),
        Self::of(State::Full),
        Self { and_one: true, ..Self::of(State::EndsAtWrap) },
        Self { and_one: true, ..Self::of(State::WrapPending) },
        Self { about_to_publish: true, ..Self::of(State::Full) },
    ];

    fn name(self) -> String {
        let state = match self.state {
            State::EndsAtWrap if self.and_one => "message ends at wrap",
            State::WrapPending if self.and_one => "wrap before message",
            state => state.name(),
        };
        format!("{state}{}", if self.about_to_publish { ", head due" } else { "" })
    }

    /// Messages of `len` bytes to read beforehand. The head is told when it owes more than an eighth of
    /// the ring.
    fn read_before(self, len: usize) -> u64 {
        if self.about_to_publish { (CAPACITY / 8 - 1) as u64 / (len as u64 + 8) } else { 0 }
    }
}

pub(crate) fn scenes() -> Vec<Scene> {
    let mut scenes = Vec::new();
    for act in Act::WITHOUT_WAITING {
        for found in Found::ALL {
            for manner in Manner::ALL {
                scenes.push(idle(act, found, manner));
            }
        }
        for found in Found::ALL.into_iter().filter(|found| found.state == State::Full) {
            for manner in Manner::ALL {
                scenes.push(busy(act, found, manner));
            }
        }
        scenes.push(synchronous(act));
    }
    for state in [State::Empty, State::EndsAtWrap, State::WrapPending] {
        scenes.push(cued(Act::RecvWaiting, state, Manner::Parked, VICTIM));
        scenes.push(cued(Act::RecvWaiting, state, Manner::Parked, Manner::Fenceless));
    }
    scenes.push(cued(Act::RecvWaiting, State::Empty, Manner::Adaptive, VICTIM));
    scenes.push(cued(Act::RecvUntil, State::Empty, Manner::Parked, VICTIM));
    scenes.push(spinning(Act::RecvWaiting, State::WrapPending));
    for act in [Act::Arm, Act::ArmDisarm] {
        for state in [State::Empty, State::OneMessage, State::Full] {
            scenes.push(idle(act, Found::of(state), Manner::Parked));
        }
    }
    for found in Found::ALL {
        scenes.push(idle(Act::Close, found, Manner::Parked));
    }
    for manner in Manner::ALL {
        scenes.push(busy(Act::Close, Found::of(State::Full), manner));
    }
    scenes
}

/// Sends what the receiver is to find.
fn prepare(found: Found, len: usize, sender: &mut RingSender, survivor: &Survivor) -> u64 {
    let mut sent = bring_to(found.state, len, sender, survivor);
    if found.and_one {
        sender.try_send(&message(sent, len)).expect("room");
        sent += 1;
    }
    survivor.signal();
    if found.about_to_publish {
        survivor.wait();
    }
    sent
}

/// The sender looks only when all is over.
fn idle(act: Act, found: Found, manner: Manner) -> Scene {
    let survivor = move |survivor: &mut Survivor| {
        let mut sender = sender(survivor, manner);
        let mut sent = prepare(found, act.len(), &mut sender, survivor);
        survivor.signal();
        let fate = survivor.fate();
        let is_due = found.about_to_publish && fate == Fate::Killed;
        // One message: with it the sender may find the receiver dead, and send no more.
        let has_room = is_due && sender.try_send(&message(sent, act.len())).is_ok();
        sent += u64::from(has_room);
        end(act, fate, &mut sent, &mut sender, manner, survivor);
        u64::from(has_room)
    };
    let name = format!("idle, then {}", manner.name());
    let scene = Scene::new((act.name(), found.name()), victim(act, found, None, VICTIM), survivor);
    let scene = scene.survivor_is(name);
    if found.about_to_publish && act.releases() { scene.takes_effect() } else { scene }
}

/// The sender waits for room.
fn busy(act: Act, found: Found, manner: Manner) -> Scene {
    let survivor = move |survivor: &mut Survivor| {
        let mut sender = sender(survivor, manner);
        let sent = prepare(found, act.len(), &mut sender, survivor);
        survivor.signal();
        // More than the ring holds: they are not all sent unless somebody reads.
        let went_on = send_to_the_end(sent, LONGEST, Some(8), &mut sender, manner);
        drop(sender);
        let fate = survivor.fate();
        // A receiver that closes its end is gone too.
        assert_eq!(went_on, fate == Fate::Stopped && act != Act::Close);
        0
    };
    let victim = victim(act, found, Some(manner), VICTIM);
    Scene::new((act.name(), found.name()), victim, survivor).survivor_is(manner.name()).busy()
}

/// The sender waits for its message to be taken.
fn synchronous(act: Act) -> Scene {
    let found = Found::of(State::Empty);
    let survivor = move |survivor: &mut Survivor| {
        let mut sender = sender(survivor, Manner::Parked);
        let sent = prepare(found, act.len(), &mut sender, survivor);
        survivor.signal();
        let taken = sender.send_synchronous(&message(sent, act.len()), Deadline::Never);
        let is_taken = match taken {
            Ok(()) => true,
            Err(SendError::PeerGone { .. }) => false,
            Err(error) => panic!("{error}"),
        };
        // Not before it is known: else a batch that has just woken us would take more, or not, as the
        // race between the two goes.
        let fate = survivor.fate();
        // Taken, and then killed, it is still gone.
        let limit = Some(8);
        let went_on = send_to_the_end(sent + 1, LONGEST, limit, &mut sender, Manner::Parked);
        drop(sender);
        assert_eq!(went_on, fate == Fate::Stopped);
        assert!(is_taken || !went_on, "gone, and then there again");
        u64::from(is_taken)
    };
    let victim = victim(act, found, Some(Manner::Parked), VICTIM);
    Scene::new((act.name(), "sender waits until it is taken"), victim, survivor)
        .survivor_is("parked")
        .busy()
}

/// The sender, which is one of `senders`, sends when the receiver, which waits in its `manner`, sleeps.
fn cued(act: Act, state: State, manner: Manner, senders: Manner) -> Scene {
    let found = Found::of(state);
    let survivor = move |survivor: &mut Survivor| {
        let mut sender = sender(survivor, senders);
        let mut sent = prepare(found, act.len(), &mut sender, survivor);
        survivor.signal();
        while survivor.cue() == Cue::Asleep {
            sender.try_send(&message(sent, act.len())).expect("room");
            sent += 1;
        }
        let fate = survivor.fate();
        end(act, fate, &mut sent, &mut sender, Manner::Parked, survivor);
        0
    };
    let victim = victim(act, found, None, manner);
    let name = format!("{}, {}", act.name(), manner.name());
    let name = if manner == VICTIM { act.name() } else { name };
    let survivor_is = match senders {
        VICTIM => "sends when it sleeps".to_owned(),
        other => format!("sends when it sleeps, {}", other.name()),
    };
    Scene::new((name, state.name()), victim, survivor).survivor_is(survivor_is).cued()
}

/// The receiver never sleeps: the sender sends when it has looked for a while.
fn spinning(act: Act, state: State) -> Scene {
    let manner = Manner::Spinning;
    let found = Found::of(state);
    let survivor = move |survivor: &mut Survivor| {
        let mut sender = sender(survivor, manner);
        let sent = prepare(found, act.len(), &mut sender, survivor);
        survivor.signal();
        survivor.let_partner_run();
        let went_on = send_to_the_end(sent, act.len(), Some(8), &mut sender, manner);
        drop(sender);
        // What fits is accepted, also for a receiver that is gone by now.
        assert!(went_on || survivor.fate() == Fate::Killed);
        0
    };
    let victim = victim(act, found, Some(manner), manner);
    let name = format!("{}, {}", act.name(), manner.name());
    Scene::new((name, state.name()), victim, survivor)
        .survivor_is("sends a little later")
        .busy()
        .varies()
}

/// The survivor's end: it learns that the receiver is gone, or that it is not.
#[track_caller]
fn end(
    act: Act,
    fate: Fate,
    sent: &mut u64,
    sender: &mut RingSender,
    manner: Manner,
    survivor: &mut Survivor,
) {
    if fate == Fate::Killed {
        send_to_the_end(*sent, LONGEST, None, sender, manner);
        return;
    }
    for _ in 0..2 {
        match sender.try_send(&message(*sent, 64)) {
            Ok(()) => *sent += 1,
            Err(SendError::Full) => {}
            // It may have closed its end before it was stopped.
            Err(SendError::PeerGone { .. }) if act == Act::Close => {}
            Err(error) => panic!("while the receiver is stopped: {error}"),
        }
    }
    survivor.acted();
    let went_on = send_to_the_end(*sent, LONGEST, Some(8), sender, manner);
    assert_eq!(went_on, act != Act::Close);
}

/// What the victim does, in its `manner`; with `partner`, after that waits in its own.
fn victim(act: Act, found: Found, partner: Option<Manner>, manner: Manner) -> impl Fn(&mut Victim) {
    move |victim| {
        let mut inbox = Inbox::default();
        let mut receiver = receiver(victim, manner);
        let len = act.len();
        receive_fillers(found.state, len, &mut inbox, &mut receiver, victim);
        victim.wait(); // until what is to be found is there
        let mut buffer = [0; LONGEST];
        for _ in 0..found.read_before(len) {
            let received = receiver.try_recv(&mut buffer).expect("the ring is full");
            inbox.take(&buffer[..received.len]);
        }
        if found.about_to_publish {
            victim.signal();
        }
        victim.wait();
        if partner.is_some_and(Manner::sleeps) {
            victim.wait_until_partner_parks();
        }
        if act == Act::Close {
            victim.operation(|| drop(receiver));
            return;
        }
        operate(act, victim, &mut receiver, &mut buffer, &mut inbox);
        receive_to_the_end(&mut inbox, &mut receiver, manner);
        assert!(inbox.is_complete, "what the sender sent came, to the last message");
    }
}

fn operate(
    act: Act,
    victim: &mut Victim,
    receiver: &mut RingReceiver,
    buffer: &mut [u8],
    inbox: &mut Inbox,
) {
    let received = match act {
        Act::TryRecv(_) => victim.operation(|| receiver.try_recv(buffer)),
        Act::TryRecvTooSmall => victim.operation(|| receiver.try_recv(&mut buffer[..8])),
        Act::RecvWaiting => victim.operation(|| receiver.recv(buffer)),
        Act::RecvUntil => {
            let deadline = Deadline::At(Instant::now() + FAR_AWAY);
            victim.operation(|| receiver.recv_deadline(buffer, deadline))
        }
        Act::BorrowRelease => {
            let mut copy = Vec::with_capacity(LONGEST);
            let len = victim.operation(|| copy_borrowed(receiver, &mut copy));
            if len {
                inbox.take(&copy);
            }
            return;
        }
        Act::RecvBatch => {
            let mut batch = Batch::new(BATCH, LONGEST);
            match victim.operation(|| receiver.recv_batch(&mut batch, Deadline::Now)) {
                Ok(_) => batch.iter().for_each(|message| inbox.take(message)),
                Err(RecvError::Empty) => {}
                Err(error) => panic!("{error}"),
            }
            return;
        }
        Act::Arm => {
            victim.operation(|| receiver.arm()).expect("armed");
            receiver.disarm();
            return;
        }
        Act::ArmDisarm => {
            let armed = victim.operation(|| {
                let armed = receiver.arm();
                receiver.disarm();
                armed
            });
            let _: Armed = armed.expect("armed");
            return;
        }
        Act::Close => unreachable!("needs the receiver itself"),
    };
    match received {
        Ok(received) => inbox.take(&buffer[..received.len]),
        Err(RecvError::Empty | RecvError::BufferTooSmall(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Whether there was a message, which is released again when this returns.
fn copy_borrowed(receiver: &mut RingReceiver, copy: &mut Vec<u8>) -> bool {
    // SAFETY: the sender is this test's own, and does not write to what it has sent.
    match unsafe { receiver.borrow(Deadline::Now) } {
        Ok(message) => {
            copy.extend_from_slice(&message);
            true
        }
        Err(_) => false,
    }
}
