//! The victim sends.

use std::time::Instant;

use ipc_core::zero_copy::{Loan, LoanSender};
use ipc_core::{Armed, Deadline, SendError, Sender, WaitSource};
use ipc_ring::RingSender;
use ipc_testing::crash::{Cue, Fate, Scene, Survivor, Victim};

use crate::link::{
    FAR_AWAY, LENGTHS, Manner, State, VICTIM, bring_to, receive_fillers, receive_one,
    receive_to_the_end, receive_what_is_there, receiver, sender,
};
use crate::message::{Inbox, last_message, message};

/// What the victim does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// A message of this length.
    Send(usize),
    /// Three at once.
    SendBatch,
    LoanShrinkCommit,
    LoanDropped,
    /// Waits for room.
    SendWaiting,
    /// The same, with a deadline that is far away.
    SendUntil,
    SendSynchronous,
    Arm,
    ArmDisarm,
    Close,
}

impl Act {
    const WITHOUT_WAITING: [Self; 6] = [
        Self::Send(LENGTHS[0]),
        Self::Send(LENGTHS[1]),
        Self::Send(LENGTHS[2]),
        Self::SendBatch,
        Self::LoanShrinkCommit,
        Self::LoanDropped,
    ];

    fn name(self) -> String {
        let name = match self {
            Self::Send(len) => return format!("send {len} B"),
            Self::SendBatch => "send_batch",
            Self::LoanShrinkCommit => "loan, shrink, commit",
            Self::LoanDropped => "loan, drop",
            Self::SendWaiting => "send, waits",
            Self::SendUntil => "send, waits with a deadline",
            Self::SendSynchronous => "send_synchronous",
            Self::Arm => "sender: arm",
            Self::ArmDisarm => "sender: arm, disarm",
            Self::Close => "sender: close",
        };
        name.to_owned()
    }

    /// The same, of a victim that does it in this manner.
    fn name_in(self, manner: Manner) -> String {
        if manner == VICTIM { self.name() } else { format!("{}, {}", self.name(), manner.name()) }
    }

    /// Bytes of its messages, and of those that are there before.
    fn len(self) -> usize {
        if let Self::Send(len) = self { len } else { LENGTHS[0] }
    }

    /// How many messages it sends at most.
    fn messages(self) -> u64 {
        match self {
            Self::LoanDropped | Self::Arm | Self::ArmDisarm | Self::Close => 0,
            Self::SendBatch => 3,
            _ => 1,
        }
    }
}

pub(crate) fn scenes() -> Vec<Scene> {
    let mut scenes = Vec::new();
    for act in Act::WITHOUT_WAITING {
        for state in State::ALL {
            for manner in Manner::ALL {
                scenes.push(idle(act, state, manner));
            }
        }
        // Nothing is unread: the receiver waits for this very message.
        for state in [State::Empty, State::EndsAtWrap, State::WrapPending] {
            for manner in Manner::ALL {
                scenes.push(busy(act, state, manner, VICTIM));
            }
            scenes.push(busy(act, state, Manner::Parked, Manner::Fenceless));
        }
    }
    for manner in Manner::ALL {
        // The batch ends before its second message.
        scenes.push(idle(Act::SendBatch, State::RoomForOne, manner));
    }
    scenes.push(cued(Act::SendWaiting, State::Full, Manner::Parked));
    for state in State::ALL {
        scenes.push(cued(Act::SendSynchronous, state, Manner::Parked));
    }
    scenes.push(cued(Act::SendWaiting, State::Full, Manner::Adaptive));
    scenes.push(cued(Act::SendSynchronous, State::Empty, Manner::Adaptive));
    scenes.push(cued(Act::SendUntil, State::Full, Manner::Parked));
    scenes.push(spinning(Act::SendWaiting, State::Full));
    scenes.push(spinning(Act::SendSynchronous, State::Empty));
    for act in [Act::Arm, Act::ArmDisarm] {
        for state in [State::Empty, State::Full] {
            scenes.push(idle(act, state, Manner::Parked));
        }
    }
    for state in State::ALL {
        scenes.push(idle(Act::Close, state, Manner::Parked));
    }
    for manner in Manner::ALL {
        scenes.push(busy(Act::Close, State::Empty, manner, VICTIM));
    }
    scenes
}

/// The receiver looks only when all is over.
fn idle(act: Act, state: State, manner: Manner) -> Scene {
    let survivor = move |survivor: &mut Survivor| {
        let mut inbox = Inbox::default();
        let mut receiver = receiver(survivor, manner);
        receive_fillers(state, act.len(), &mut inbox, &mut receiver, survivor);
        let fate = survivor.fate();
        if fate == Fate::Stopped {
            receive_what_is_there(&mut inbox, &mut receiver, act == Act::Close);
            survivor.acted();
        }
        receive_to_the_end(&mut inbox, &mut receiver, manner);
        effect(act, fate, &inbox)
    };
    let name = format!("idle, then {}", manner.name());
    let scene = Scene::new((act.name(), state.name()), victim(act, state, None, VICTIM), survivor);
    let scene = scene.survivor_is(name);
    if act.messages() > 0 && state != State::Full { scene.takes_effect() } else { scene }
}

/// The receiver waits for the message in its `manner`.
fn busy(act: Act, state: State, manner: Manner, sender: Manner) -> Scene {
    let survivor = move |survivor: &mut Survivor| {
        let mut inbox = Inbox::default();
        let mut receiver = receiver(survivor, manner);
        receive_fillers(state, act.len(), &mut inbox, &mut receiver, survivor);
        survivor.wait();
        receive_to_the_end(&mut inbox, &mut receiver, manner);
        let fate = survivor.fate();
        effect(act, fate, &inbox)
    };
    let victim = victim(act, state, Some(manner), sender);
    let scene = Scene::new((act.name_in(sender), state.name()), victim, survivor);
    let scene = scene.survivor_is(manner.name()).busy();
    if act.messages() > 0 { scene.takes_effect() } else { scene }
}

/// The receiver reads when the sender, which waits in its `manner`, sleeps.
fn cued(act: Act, state: State, manner: Manner) -> Scene {
    let survivor = move |survivor: &mut Survivor| {
        let mut inbox = Inbox::default();
        let mut receiver = receiver(survivor, Manner::Parked);
        receive_fillers(state, act.len(), &mut inbox, &mut receiver, survivor);
        while survivor.cue() == Cue::Asleep {
            // Up to the message whose release wakes the sender, and no further. Who read on meanwhile
            // would perhaps take the message of a synchronous send before its sender sleeps again, and
            // perhaps after: a race, which a victim that is stopped at a breakpoint before that sleep
            // loses where one that is stepped through all of it wins.
            while survivor.partner_sleeps() && receive_one(&mut inbox, &mut receiver, true) {}
        }
        let fate = survivor.fate();
        if fate == Fate::Stopped {
            receive_what_is_there(&mut inbox, &mut receiver, false);
            survivor.acted();
        }
        receive_to_the_end(&mut inbox, &mut receiver, Manner::Parked);
        effect(act, fate, &inbox)
    };
    let victim = victim(act, state, None, manner);
    Scene::new((act.name_in(manner), state.name()), victim, survivor)
        .survivor_is("reads when it sleeps")
        .cued()
        .takes_effect()
}

/// The sender never sleeps: the receiver reads when it has looked for a while.
fn spinning(act: Act, state: State) -> Scene {
    let survivor = move |survivor: &mut Survivor| {
        let mut inbox = Inbox::default();
        let mut receiver = receiver(survivor, Manner::Spinning);
        receive_fillers(state, act.len(), &mut inbox, &mut receiver, survivor);
        survivor.wait();
        survivor.let_partner_run();
        receive_to_the_end(&mut inbox, &mut receiver, Manner::Spinning);
        let fate = survivor.fate();
        effect(act, fate, &inbox)
    };
    let manner = Manner::Spinning;
    let victim = victim(act, state, Some(manner), manner);
    Scene::new((act.name_in(manner), state.name()), victim, survivor)
        .survivor_is("reads a little later")
        .busy()
        .varies()
        .takes_effect()
}

/// How many messages came.
#[track_caller]
fn effect(act: Act, fate: Fate, inbox: &Inbox) -> u64 {
    // Who closes sends no last message.
    let went_on = fate == Fate::Stopped && act != Act::Close;
    assert_eq!(inbox.is_complete, went_on, "the last message");
    // Counting all: what was there before is the same each time.
    if fate == Fate::Stopped { 0 } else { inbox.taken }
}

/// What the victim does, in its `manner`; with `partner`, after that waits in its own.
fn victim(act: Act, state: State, partner: Option<Manner>, manner: Manner) -> impl Fn(&mut Victim) {
    move |victim| {
        let mut sender = sender(victim, manner);
        let before = bring_to(state, act.len(), &mut sender, victim);
        let messages: Vec<_> =
            (0..act.messages()).map(|index| message(before + index, act.len())).collect();
        if let Some(manner) = partner {
            victim.signal();
            if manner.sleeps() {
                victim.wait_until_partner_parks();
            }
        }
        if act == Act::Close {
            victim.operation(|| drop(sender));
            return;
        }
        let sent = before + operate(act, victim, &mut sender, &messages);
        for index in 0..3 {
            sender.send(&message(sent + index, 100)).expect("the receiver reads");
        }
        sender.send(&last_message(sent + 3)).expect("the receiver reads");
    }
}

/// The operation; how many messages were accepted.
fn operate(act: Act, victim: &mut Victim, sender: &mut RingSender, messages: &[Vec<u8>]) -> u64 {
    let accepted = |sent: Result<(), SendError>| match sent {
        Ok(()) => 1,
        Err(SendError::Full) => 0,
        Err(error) => panic!("{error}"),
    };
    match act {
        Act::Send(_) => accepted(victim.operation(|| sender.try_send(&messages[0]))),
        Act::SendWaiting => accepted(victim.operation(|| sender.send(&messages[0]))),
        Act::SendUntil => {
            let deadline = Deadline::At(Instant::now() + FAR_AWAY);
            accepted(victim.operation(|| sender.send_deadline(&messages[0], deadline)))
        }
        Act::SendSynchronous => {
            accepted(victim.operation(|| sender.send_synchronous(&messages[0], Deadline::Never)))
        }
        Act::SendBatch => {
            let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
            match victim.operation(|| sender.send_batch(&messages, Deadline::Now)) {
                Ok(count) => count as u64,
                Err(SendError::Full) => 0,
                Err(error) => panic!("{error}"),
            }
        }
        Act::LoanShrinkCommit => accepted(victim.operation(|| {
            let mut loan = sender.loan(200, Deadline::Now)?;
            loan[..messages[0].len()].copy_from_slice(&messages[0]);
            loan.shrink(messages[0].len());
            loan.commit();
            Ok(())
        })),
        Act::LoanDropped => {
            victim.operation(|| {
                if let Ok(mut loan) = sender.loan(200, Deadline::Now) {
                    loan.fill(0xff);
                }
            });
            0
        }
        Act::Arm => {
            assert!(victim.operation(|| sender.arm()).is_ok());
            sender.disarm();
            0
        }
        Act::ArmDisarm => victim
            .operation(|| {
                let armed = sender.arm();
                sender.disarm();
                armed
            })
            .map(|_: Armed| 0)
            .expect("armed"),
        Act::Close => unreachable!("has no messages"),
    }
}
