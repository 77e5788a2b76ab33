//! What host and guest of a session say to each other. Leaves out how it is carried (see
//! [`super::control`]) and the measured links.

use serde::{Deserialize, Serialize};

use super::usage::Usage;
use crate::measure::oneway::{Arrived, Stream};
use crate::measure::paced::Pace;
use crate::measure::rtt::Rounds;

/// What the host asks of the guest. Each is answered by one [`Answer`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Take part in a probe of the cache line.
    Probe,
    /// Get ready for links with messages of this size, and tell what this process uses.
    Prepare { size_bytes: usize },
    /// Join the link of the invitation that follows, as its receiver.
    JoinAsReceiver,
    /// Join the link of the invitation that follows, as its sender.
    JoinAsSender,
    /// Answer the messages of these rounds.
    Pong(Rounds),
    /// Receive a stream.
    Receive(Stream),
    /// Send a stream.
    Send(Stream),
    /// Tell what this process uses.
    TellUsage,
    /// Tell what this process uses, and drop the links.
    Leave,
    /// Receive a stream at a fixed rate.
    ReceivePaced(Pace),
    /// Make links of rings, one after another, over the sockets in the invitation that follows.
    MakeLinks { count: u32, reserved: bool },
    /// Make a link of rings over the socket in the invitation that follows, and keep it.
    KeepLink { reserved: bool },
    /// Send back these many messages on the link that was kept.
    Echo { rounds: u32 },
    /// Wait for one message on the link that was kept.
    Park,
    /// Take part in the cache-line limit.
    LinePong { rounds: u64 },
    /// Take part in the bare stream of records of this size, in the memory in the invitation that follows.
    BareStream { size_bytes: usize },
    /// Take part in the futex limit.
    FutexPong { rounds: u32 },
    /// Take part in the eventfd limit, by the eventfds in the invitation that follows.
    EventfdPong { rounds: u32 },
}

/// What the guest answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// It is done.
    Done,
    /// The stream has been sent.
    Sent { cpu_ns: u64 },
    /// The stream has arrived.
    Arrived(Arrived),
    /// By how much each message of a paced stream came late: each value in nanoseconds, to two digits,
    /// and how often.
    Paced { delay_counts: Vec<(u64, u64)>, last_delay_ns: u64 },
    /// What the guest uses.
    Usage(Usage),
    /// It could not be done.
    Failed(String),
}
