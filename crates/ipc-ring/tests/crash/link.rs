//! Links between victim and survivor, brought into a state; and the ways in which a survivor uses its
//! end until the other is gone.

use std::os::fd::AsFd;
use std::time::Duration;

use ipc_core::{
    Armed, Deadline, Interest, Receiver, RecvError, SendError, Sender, WaitSource, WaitStrategy,
    poll,
};
use ipc_ring::{Link, Options, RingReceiver, RingSender};
use ipc_testing::crash::Stage;

use crate::message::{Inbox, last_message, message};

/// Of every ring here, in bytes: little, but enough for messages that are copied in each of the ways
/// that there are.
pub(crate) const CAPACITY: usize = 1 << 14;
/// Lengths of messages, in bytes: one copied by words, one by blocks, and one by `rep movsb`.
pub(crate) const LENGTHS: [usize; 3] = [64, 400, 2000];
/// The longest message that such a ring takes.
pub(crate) const LONGEST: usize = CAPACITY / 4 - 16;

/// Until the deadlines of operations that come to their end before.
pub(crate) const FAR_AWAY: Duration = Duration::from_secs(3600);

/// The state in which the operation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    OneMessage,
    Full,
    /// Full but for one message.
    RoomForOne,
    /// The next record ends where the ring does.
    EndsAtWrap,
    /// The rest of the ring is too short for the next record: it must be skipped.
    WrapPending,
}

impl State {
    /// What is tried with every operation.
    pub(crate) const ALL: [Self; 5] =
        [Self::Empty, Self::OneMessage, Self::Full, Self::EndsAtWrap, Self::WrapPending];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::OneMessage => "one message",
            Self::Full => "full",
            Self::RoomForOne => "room for one",
            Self::EndsAtWrap => "claim ends at wrap",
            Self::WrapPending => "wrap pending",
        }
    }

    /// Lengths of messages to send, and to receive, so that the next record, of `len` bytes and a
    /// header, begins where it must.
    pub(crate) fn fillers(self, len: usize) -> Vec<usize> {
        let mut left = match self {
            Self::Empty | Self::OneMessage | Self::Full | Self::RoomForOne => return Vec::new(),
            Self::EndsAtWrap => CAPACITY - record(len),
            Self::WrapPending => CAPACITY - 32, // less than any record here
        };
        let mut fillers = Vec::new();
        while left > 2200 {
            fillers.push(2000);
            left -= record(2000);
        }
        fillers.push(left - 8);
        fillers
    }

    /// How many messages of `len` bytes lie unread. Full is not tried, but counted: a sender that finds
    /// no room looks at the clock, and would go another way when it soon does so again.
    pub(crate) fn unread(self, len: usize) -> usize {
        match self {
            Self::Empty | Self::EndsAtWrap | Self::WrapPending => 0,
            Self::OneMessage => 1,
            Self::Full => (CAPACITY - 8) / record(len), // one word stays free
            Self::RoomForOne => Self::Full.unread(len) - 1,
        }
    }
}

/// Bytes of a record: a header, and the message in whole words.
fn record(len: usize) -> usize {
    8 + len.next_multiple_of(8)
}

/// What a survivor does to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Asleep in a blocking call.
    Parked,
    /// In a blocking call that never sleeps.
    Spinning,
    /// Calls that never block, again and again.
    Polling,
    /// Asleep in `poll(2)` on the wait source.
    Armed,
    /// In a blocking call that looks for a while, and is asleep then.
    Adaptive,
    /// As parked; a sender leaves the fences to its receiver, which then bars before it sleeps.
    Fenceless,
}

/// How often an adaptive end looks before it sleeps: often enough to look at the clock and at the
/// peer's descriptor too, and few enough to step through.
const LOOKS: u32 = 70;

impl Manner {
    /// A survivor's. One that is adaptive is parked or spinning.
    pub(crate) const ALL: [Self; 4] = [Self::Parked, Self::Spinning, Self::Polling, Self::Armed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Spinning => "spinning",
            Self::Polling => "polling",
            Self::Armed => "armed",
            Self::Adaptive => "adaptive",
            Self::Fenceless => "fenceless",
        }
    }

    /// Whether it sleeps in the kernel.
    pub(crate) fn sleeps(self) -> bool {
        matches!(self, Self::Parked | Self::Armed | Self::Adaptive | Self::Fenceless)
    }

    fn options(self) -> Options {
        let options = Options::new().capacity_bytes(CAPACITY).wait_strategy(match self {
            Self::Parked | Self::Armed | Self::Fenceless => WaitStrategy::Park,
            Self::Spinning => WaitStrategy::Spin,
            Self::Polling => WaitStrategy::adaptive(),
            Self::Adaptive => WaitStrategy::Adaptive { spins: LOOKS },
        });
        if self == Self::Fenceless { options.asymmetric_fences() } else { options }
    }

    pub(crate) fn sending(self) -> Options {
        self.options()
    }

    pub(crate) fn receiving(self) -> Options {
        self.options().receive_only()
    }
}

/// The victim's manner, where nothing else is said: it parks, so that it goes the same way each time.
pub(crate) const VICTIM: Manner = Manner::Parked;

/// The sending end of a new link; the partner makes the other with [`receiver`].
pub(crate) fn sender(stage: &mut Stage, manner: Manner) -> RingSender {
    let sender = link(stage, &manner.sending()).sender.expect("made with a ring");
    assert_eq!(sender.has_asymmetric_fences(), manner == Manner::Fenceless);
    sender
}

/// The receiving end of a new link; the partner makes the other with [`sender`].
pub(crate) fn receiver(stage: &mut Stage, manner: Manner) -> RingReceiver {
    link(stage, &manner.receiving()).receiver.expect("the partner has a ring")
}

fn link(stage: &mut Stage, options: &Options) -> Link {
    // The first look at the clock finds the vDSO's functions: not ours to try, a thousand times over.
    let _ = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    Link::over(stage.socket(), options, Deadline::Never).expect("a link")
}

/// Sends what brings the link into a state, in which the next message has `len` bytes; returns how
/// many messages that was. The partner calls [`receive_fillers`].
pub(crate) fn bring_to(state: State, len: usize, sender: &mut RingSender, stage: &Stage) -> u64 {
    let mut sent = 0;
    for filler in state.fillers(len) {
        sender.try_send(&message(sent, filler)).expect("less than the ring holds");
        sent += 1;
    }
    stage.signal();
    stage.wait(); // until they are read
    for _ in 0..state.unread(len) {
        sender.try_send(&message(sent, len)).expect("room");
        sent += 1;
    }
    sent
}

/// Reads the messages that are only there to move the ring on, and says so. Not before they are all there: else
/// it depends on who is faster, for which of them the sender is told of room.
pub(crate) fn receive_fillers(
    state: State,
    len: usize,
    inbox: &mut Inbox,
    receiver: &mut RingReceiver,
    stage: &Stage,
) {
    let mut buffer = [0; LONGEST];
    stage.wait();
    for _ in state.fillers(len) {
        let received = receiver.try_recv(&mut buffer).expect("a filler");
        inbox.take(&buffer[..received.len]);
    }
    stage.signal();
}

/// Receives all there is. A sender that only stands still must not be taken for dead, unless it
/// `may_be_gone`.
#[track_caller]
pub(crate) fn receive_what_is_there(
    inbox: &mut Inbox,
    receiver: &mut RingReceiver,
    may_be_gone: bool,
) {
    while receive_one(inbox, receiver, may_be_gone) {}
}

/// Receives one message if there is one; whether there was.
#[track_caller]
pub(crate) fn receive_one(
    inbox: &mut Inbox,
    receiver: &mut RingReceiver,
    may_be_gone: bool,
) -> bool {
    let mut buffer = [0; LONGEST];
    match receiver.try_recv(&mut buffer) {
        Ok(received) => {
            inbox.take(&buffer[..received.len]);
            true
        }
        Err(RecvError::Empty) => false,
        Err(RecvError::PeerGone { .. }) if may_be_gone => false,
        Err(error) => panic!("while the sender is stopped: {error}"),
    }
}

/// Receives until the sender is gone.
#[track_caller]
pub(crate) fn receive_to_the_end(inbox: &mut Inbox, receiver: &mut RingReceiver, manner: Manner) {
    let mut buffer = [0; LONGEST];
    loop {
        let received = match manner {
            Manner::Polling | Manner::Armed => receiver.try_recv(&mut buffer),
            _ => receiver.recv(&mut buffer),
        };
        match received {
            Ok(received) => inbox.take(&buffer[..received.len]),
            Err(RecvError::Empty) if manner == Manner::Armed => sleep(receiver),
            Err(RecvError::Empty) => std::hint::spin_loop(),
            Err(RecvError::PeerGone { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    // It stays so.
    let again = receiver.try_recv(&mut buffer);
    assert!(
        matches!(again, Err(RecvError::PeerGone { .. })),
        "{again:?} after the sender was gone"
    );
}

/// Sends until the receiver is gone, or, with a `limit`, so many messages and the last one; whether it
/// came to the last one.
#[track_caller]
pub(crate) fn send_to_the_end(
    first: u64,
    len: usize,
    limit: Option<u64>,
    sender: &mut RingSender,
    manner: Manner,
) -> bool {
    let mut number = first;
    loop {
        let is_last = limit.is_some_and(|limit| number == first + limit);
        let bytes = if is_last { last_message(number) } else { message(number, len) };
        let sent = match manner {
            Manner::Polling | Manner::Armed => sender.try_send(&bytes),
            _ => sender.send(&bytes),
        };
        match sent {
            Ok(()) if is_last => return true,
            Ok(()) => number += 1,
            Err(SendError::Full) if manner == Manner::Armed => sleep(sender),
            Err(SendError::Full) => std::hint::spin_loop(),
            Err(SendError::PeerGone { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let again = sender.try_send(&message(number, len));
    assert!(matches!(again, Err(SendError::PeerGone { .. })), "{again:?} after PeerGone");
    false
}

/// Waits through the wait source.
fn sleep(end: &mut impl WaitSource) {
    if end.arm().expect("armed") == Armed::Waiting {
        let (descriptor, interest) = end.descriptor();
        assert_eq!(interest, Interest::Readable, "a bell is heard by reading");
        poll::wait_ready(descriptor.as_fd(), interest, Deadline::Never).expect("polled");
    }
    end.disarm();
}
