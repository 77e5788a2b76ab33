//! What a link is like, as data: the textbook's questions about a communication link, and the few
//! more that a program must know before it trusts one.
//!
//! The comparison table of the README and the choices of the conformance suite both come from here.

use std::fmt;

/// The answers of one link. See each field for its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkProperties {
    /// Which mechanism this is, as a person would call it: `"pipe"`, `"POSIX queue"`.
    pub mechanism: &'static str,
    /// How is the link established?
    pub establishment: Establishment,
    /// How do the parties name each other?
    pub naming: Naming,
    /// How many processes may send on one link?
    pub senders: Count,
    /// How many processes may receive on one link? Each message goes to one of them.
    pub receivers: Count,
    /// How many links may two processes have with each other?
    pub links_per_pair: Count,
    /// How much may be under way on the link?
    pub capacity: Capacity,
    /// How long may a message be, in bytes? Fixed where both bounds are the same.
    pub message_length: MessageLength,
    /// Which way do messages go?
    pub direction: Direction,
    /// What carries the bytes?
    pub carrier: Carrier,
    /// Who manages the buffer?
    pub buffering: Buffering,
    /// What keeps one message apart from the next?
    pub boundaries: Boundaries,
    /// What does the link's existence hang on?
    pub lifetime: Lifetime,
    /// What does a send meet when the link is full?
    pub when_full: WhenFull,
    /// May an accepted message be lost, or come twice, while both ends live and read?
    pub lossy: bool,
    /// In what order do messages arrive?
    pub order: Order,
    /// The highest priority of a message; `None` on links without priorities.
    pub priorities: Option<u32>,
    /// Who learns that the other end is closed or dead?
    pub death_notice: DeathNotice,
    /// Are messages that the link accepted still delivered after their sender has died?
    pub accepted_survives_sender: bool,
    /// Does the receiver learn who sent a message?
    pub sender_identity: SenderIdentity,
    /// Can a sender wait until the receiver has taken the message?
    pub synchronous_send: bool,
    /// Can the ends be waited for together with others, through a descriptor?
    pub waitable: bool,
}

impl LinkProperties {
    /// The properties as pairs of a question in few words and its answer, for tables.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let yes_no = |yes: bool| String::from(if yes { "yes" } else { "no" });
        vec![
            ("mechanism", self.mechanism.into()),
            ("established by", self.establishment.to_string()),
            ("naming", self.naming.to_string()),
            ("senders", self.senders.to_string()),
            ("receivers", self.receivers.to_string()),
            ("links per pair", self.links_per_pair.to_string()),
            ("capacity", self.capacity.to_string()),
            ("message length", self.message_length.to_string()),
            ("direction", self.direction.to_string()),
            ("carrier", self.carrier.to_string()),
            ("buffering", self.buffering.to_string()),
            ("boundaries", self.boundaries.to_string()),
            ("lives as long as", self.lifetime.to_string()),
            ("when full", self.when_full.to_string()),
            ("lossy", yes_no(self.lossy)),
            ("order", self.order.to_string()),
            ("priorities", self.priorities.map_or("none".into(), |top| format!("0–{top}"))),
            ("death seen by", self.death_notice.to_string()),
            ("sent messages survive the sender", yes_no(self.accepted_survives_sender)),
            ("sender's identity", self.sender_identity.to_string()),
            ("synchronous send", yes_no(self.synchronous_send)),
            ("in a wait set", yes_no(self.waitable)),
        ]
    }
}

/// Defines an enum whose variants have a text for tables.
macro_rules! answers {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)+ })
            }
        }
    };
}

answers! {
    /// How a link is established.
    Establishment {
        /// Before the second process starts, which inherits its end.
        Inheritance => "inheritance",
        /// Both open one name or path.
        Name => "name",
        /// One listens at a name or address, the other connects.
        Connection => "connection",
        /// The sender addresses the receiver (a process, an address); nothing is set up.
        Address => "address",
    }
}

answers! {
    /// How the parties name each other.
    Naming {
        /// Each names the other.
        DirectSymmetric => "direct, symmetric",
        /// The sender names the receiver, which hears anyone.
        DirectAsymmetric => "direct, asymmetric",
        /// Both name the link, or just hold it.
        Indirect => "indirect",
    }
}

answers! {
    /// How many there may be.
    Count {
        /// One.
        One => "one",
        /// Any number.
        Many => "many",
    }
}

answers! {
    /// Which way messages go.
    Direction {
        /// From the sender to the receiver.
        OneWay => "one-way",
        /// Both ways, one at a time.
        HalfDuplex => "half duplex",
        /// Both ways at once.
        FullDuplex => "full duplex",
    }
}

answers! {
    /// What carries the bytes.
    Carrier {
        /// Memory that both processes have mapped.
        SharedMemory => "shared memory",
        /// The kernel's buffers.
        Kernel => "kernel",
        /// A network, or the kernel's imitation of one (loopback).
        Network => "network",
        /// Something else; a hardware bus, say.
        Other => "other",
    }
}

answers! {
    /// Who manages the buffer.
    Buffering {
        /// The link: it holds what was sent until it is received.
        Automatic => "automatic",
        /// The user, who also decides when it may be used again.
        Explicit => "explicit",
    }
}

answers! {
    /// What keeps one message apart from the next.
    Boundaries {
        /// The link itself.
        Kept => "kept",
        /// A frame that our endpoints put into a stream of bytes: both ends must be ours, or speak
        /// the documented frame.
        Framed => "framed",
    }
}

answers! {
    /// What the link's existence hangs on.
    Lifetime {
        /// It is gone when the last end is closed, however that happens.
        Endpoints => "its ends",
        /// It is gone when the process that made it is, or closes it.
        Owner => "its owner",
        /// It is there as long as the receiving process is, whether that has an end open or not: the
        /// process itself is the address. Nobody learns that an end was only closed.
        Process => "the receiving process",
        /// It stays until it is removed.
        System => "until removed",
    }
}

answers! {
    /// What a send meets when the link is full.
    WhenFull {
        /// It waits for room, as long as its deadline allows.
        Waits => "waits",
        /// It is refused at once, whatever its deadline: the kernel has no way to wait.
        Refuses => "refuses",
        /// It succeeds, and a message is lost.
        Drops => "drops",
    }
}

answers! {
    /// In what order messages arrive.
    Order {
        /// As one sender sent them.
        Fifo => "first in, first out",
        /// By priority, and as they were sent within one priority.
        Priority => "priority, then first in",
        /// In no promised order.
        Unordered => "none",
    }
}

answers! {
    /// Who learns that the other end is closed or dead.
    DeathNotice {
        /// Nobody.
        None => "nobody",
        /// The sender learns of the receiver's.
        Sender => "sender",
        /// The receiver learns of the sender's.
        Receiver => "receiver",
        /// Each learns of the other's.
        Both => "both",
    }
}

answers! {
    /// Whether the receiver learns who sent a message.
    SenderIdentity {
        /// It does not.
        Unknown => "unknown",
        /// It does, by a word that could be forged.
        Claimed => "claimed",
        /// It does, and the kernel vouches for it.
        Verified => "verified",
    }
}

impl DeathNotice {
    /// Whether the sender learns of the receiver's death.
    pub const fn reaches_sender(self) -> bool {
        matches!(self, Self::Sender | Self::Both)
    }

    /// Whether the receiver learns of the sender's death.
    pub const fn reaches_receiver(self) -> bool {
        matches!(self, Self::Receiver | Self::Both)
    }
}

/// How much may be under way on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capacity {
    /// Nothing: a send returns once the receiver took the message (rendezvous).
    Zero,
    /// This many messages.
    Messages(usize),
    /// This many bytes, of which the link may take some for itself with each message.
    Bytes(usize),
    /// No bound but this ceiling in bytes, which the user set.
    Unbounded {
        /// The ceiling, in bytes.
        ceiling: usize,
    },
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => f.write_str("zero"),
            Self::Messages(count) => write!(f, "{count} messages"),
            Self::Bytes(bytes) => write!(f, "{bytes} B"),
            Self::Unbounded { ceiling } => write!(f, "unbounded (ceiling {ceiling} B)"),
        }
    }
}

/// The lengths of message that a link carries, in bytes, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageLength {
    /// The shortest.
    pub min: usize,
    /// The longest.
    pub max: usize,
}

impl MessageLength {
    /// Any length up to `max`.
    pub const fn up_to(max: usize) -> Self {
        Self { min: 0, max }
    }

    /// Exactly `len`.
    pub const fn fixed(len: usize) -> Self {
        Self { min: len, max: len }
    }

    /// Whether only one length is carried.
    pub const fn is_fixed(self) -> bool {
        self.min == self.max
    }
}

impl fmt::Display for MessageLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_fixed() {
            write!(f, "{} B", self.min)
        } else {
            write!(f, "{}–{} B", self.min, self.max)
        }
    }
}
