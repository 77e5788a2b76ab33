//! The public endpoints: the generic ones over mapped memory and pipes.
//!
//! | file | its part |
//! |---|---|
//! | `sender`, `receiver` | messages of bytes, by copy, alone and in batches |
//! | `zero_copy` | messages written and read where they lie |
//! | `typed` | values of one type |

mod receiver;
mod sender;
mod typed;
mod zero_copy;

use ipc_core::{
    Boundaries, Buffering, Capacity, Carrier, Count, DeathNotice, Direction, Establishment,
    Lifetime, LinkProperties, MessageLength, Naming, Order, SenderIdentity, WhenFull,
};

use crate::protocol::longest_message;

pub use receiver::RingReceiver;
pub use sender::RingSender;
pub use typed::{TypedRingReceiver, TypedRingSender};
pub use zero_copy::{RingLoan, RingMessage};

fn properties(capacity: u64, waitable: bool) -> LinkProperties {
    LinkProperties {
        mechanism: "ring",
        establishment: Establishment::Connection,
        naming: Naming::Indirect,
        senders: Count::One,
        receivers: Count::One,
        links_per_pair: Count::Many,
        capacity: Capacity::Bytes(capacity as usize),
        message_length: MessageLength::up_to(longest_message(capacity)),
        direction: Direction::OneWay,
        carrier: Carrier::SharedMemory,
        buffering: Buffering::Automatic,
        boundaries: Boundaries::Kept,
        lifetime: Lifetime::Endpoints,
        when_full: WhenFull::Waits,
        lossy: false,
        order: Order::Fifo,
        priorities: None,
        death_notice: DeathNotice::Both,
        accepted_survives_sender: true,
        sender_identity: SenderIdentity::Unknown,
        synchronous_send: true,
        waitable,
    }
}
