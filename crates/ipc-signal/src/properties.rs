//! What links of this mechanism are like.

use ipc_core::{
    Boundaries, Buffering, Capacity, Carrier, Count, DeathNotice, Direction, Establishment,
    Lifetime, LinkProperties, MessageLength, Naming, Order, SenderIdentity, WhenFull,
};
use rustix::process::{Resource, getrlimit};

/// Length of every message in bytes: a `union sigval`.
pub(crate) const MESSAGE_LEN: usize = 8;

/// How many signals may be queued for the user of this process before it is sent no more;
/// `u64::MAX` means without limit.
pub(crate) fn limit_of_this_process() -> u64 {
    getrlimit(Resource::Sigpending).current.unwrap_or(u64::MAX)
}

/// The properties of a link to a receiver that has this limit.
pub(crate) fn link_properties(capacity_messages: u64) -> LinkProperties {
    LinkProperties {
        mechanism: "real-time signal",
        establishment: Establishment::Address,
        naming: Naming::DirectAsymmetric,
        senders: Count::Many,
        receivers: Count::One,
        links_per_pair: Count::Many,
        capacity: Capacity::Messages(usize::try_from(capacity_messages).unwrap_or(usize::MAX)),
        message_length: MessageLength::fixed(MESSAGE_LEN),
        direction: Direction::OneWay,
        carrier: Carrier::Kernel,
        buffering: Buffering::Automatic,
        boundaries: Boundaries::Kept,
        lifetime: Lifetime::Process,
        when_full: WhenFull::Refuses,
        lossy: false,
        order: Order::Fifo,
        priorities: None,
        death_notice: DeathNotice::Sender,
        accepted_survives_sender: true,
        sender_identity: SenderIdentity::Claimed,
        synchronous_send: false,
        waitable: true,
    }
}
