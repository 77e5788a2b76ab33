//! The two ends of a bounded buffer.

use std::sync::Arc;

use ipc_core::{
    Boundaries, Buffering, Capacity, Carrier, Count, Deadline, DeathNotice, Direction,
    LinkProperties, MessageLength, Naming, Order, OsError, Received, Receiver, RecvError,
    SendError, Sender, SenderIdentity, WaitStrategy, WhenFull,
};

use super::control::Refusal;
use super::memory::Memory;
use crate::layout;
use crate::spin::Patience;

/// The sending end of a [`BoundedBuffer`](crate::BoundedBuffer).
#[derive(Debug)]
pub struct BufferSender {
    end: End,
}

/// The receiving end of a [`BoundedBuffer`](crate::BoundedBuffer).
#[derive(Debug)]
pub struct BufferReceiver {
    end: End,
}

impl BufferSender {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self { end: End::new(memory) }
    }

    /// Waits for room, and for its turn, by this strategy.
    #[must_use]
    pub fn with_strategy(mut self, strategy: WaitStrategy) -> Self {
        self.end.strategy = strategy;
        self
    }
}

impl BufferReceiver {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self { end: End::new(memory) }
    }

    /// Waits for messages, and for its turn, by this strategy.
    #[must_use]
    pub fn with_strategy(mut self, strategy: WaitStrategy) -> Self {
        self.end.strategy = strategy;
        self
    }
}

impl Sender for BufferSender {
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let End { memory, strategy, poison } = &mut self.end;
        let link = &memory.resource;
        if let Some(what) = *poison {
            return Err(SendError::violation(what, link));
        }
        let max = memory.shape.slot_bytes as usize;
        let len = message.len();
        if len > max {
            return Err(SendError::too_long(len, max, link));
        }
        let patience = Patience { deadline, strategy: *strategy };
        let fill = |position| {
            let (len_at, bytes_at) = memory.shape.slot(position);
            // No more than `slot_bytes`, which is a `u32`.
            memory.mapping.write_at(len_at, &(len as u32).to_ne_bytes());
            memory.mapping.write_at(bytes_at, message);
            Ok(())
        };
        match memory.control().put(memory.shape.slots, patience, fill) {
            Ok(()) => Ok(()),
            Err(Refusal::NotReady) => Err(SendError::no_room(deadline)),
            Err(Refusal::Garbage(what)) => {
                *poison = Some(what);
                Err(SendError::violation(what, link))
            }
            Err(Refusal::Os(error)) => Err(OsError::new("futex", link, error).into()),
            Err(Refusal::Caller(error)) => Err(error),
        }
    }

    fn properties(&self) -> LinkProperties {
        self.end.properties()
    }
}

impl Receiver for BufferReceiver {
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        let End { memory, strategy, poison } = &mut self.end;
        let link = &memory.resource;
        if let Some(what) = *poison {
            return Err(RecvError::violation(what, link));
        }
        let patience = Patience { deadline, strategy: *strategy };
        let empty = |position| {
            let (len_at, bytes_at) = memory.shape.slot(position);
            // Read once: a peer's word.
            let needed = layout::read_u32(&memory.mapping, len_at);
            if needed > memory.shape.slot_bytes {
                return Err(Refused::LengthGarbage);
            }
            let needed = needed as usize;
            let len = buffer.len();
            let target = buffer.get_mut(..needed).ok_or(Refused::TooSmall { needed, len })?;
            memory.mapping.read_at(bytes_at, target);
            Ok(needed)
        };
        let what = match memory.control().take(memory.shape.slots, patience, empty) {
            Ok(len) => return Ok(Received::of_len(len)),
            Err(Refusal::NotReady) => return Err(RecvError::no_message(deadline)),
            Err(Refusal::Os(error)) => return Err(OsError::new("futex", link, error).into()),
            Err(Refusal::Caller(Refused::TooSmall { needed, len })) => {
                return Err(RecvError::buffer_too_small(needed, len, link));
            }
            Err(Refusal::Caller(Refused::LengthGarbage)) => "a message longer than its slot",
            Err(Refusal::Garbage(what)) => what,
        };
        *poison = Some(what);
        Err(RecvError::violation(what, link))
    }

    fn properties(&self) -> LinkProperties {
        self.end.properties()
    }
}

/// Why a message that is there was not taken.
enum Refused {
    TooSmall { needed: usize, len: usize },
    LengthGarbage,
}

/// What both ends have.
#[derive(Debug)]
struct End {
    memory: Arc<Memory>,
    strategy: WaitStrategy,
    /// What was found wrong in the memory, once something was.
    poison: Option<&'static str>,
}

impl End {
    fn new(memory: Arc<Memory>) -> Self {
        Self { memory, strategy: WaitStrategy::default(), poison: None }
    }

    fn properties(&self) -> LinkProperties {
        let Memory { shape, establishment, lifetime, .. } = &*self.memory;
        LinkProperties {
            mechanism: "bounded buffer",
            establishment: *establishment,
            naming: Naming::Indirect,
            senders: Count::Many,
            receivers: Count::Many,
            links_per_pair: Count::Many,
            capacity: Capacity::Messages(shape.slots as usize),
            message_length: MessageLength::up_to(shape.slot_bytes as usize),
            direction: Direction::OneWay,
            carrier: Carrier::SharedMemory,
            buffering: Buffering::Automatic,
            boundaries: Boundaries::Kept,
            lifetime: *lifetime,
            when_full: WhenFull::Waits,
            lossy: false,
            order: Order::Fifo,
            priorities: None,
            // Memory cannot tell who has it mapped. (The death of an owner of the mutex is seen and
            // repaired, but says nothing about the others.)
            death_notice: DeathNotice::None,
            accepted_survives_sender: true,
            sender_identity: SenderIdentity::Unknown,
            synchronous_send: false,
            // What waits here sleeps on a futex, and no descriptor can stand for one.
            waitable: false,
        }
    }
}
