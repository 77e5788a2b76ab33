//! `rtrb`: a ring between two threads of one process, as the ceiling: no process can do better with the
//! same memory.
//!
//! At its best (docs of `rtrb::chunks`): items of bytes, moved a message at a time by
//! `push_entire_slice` and `pop_entire_slice`, which copy once and publish once. All messages of a ring
//! have one size, so no length is stored. (With whole messages as items, `[u8; 8]`, both figures were
//! the same within 5 %.) It can only be polled.

use ipc_benches::kernel_mechanism;
use ipc_benches::mechanisms::{Mechanism, Setting};
use ipc_benches::session::Wait;
use ipc_benches::threads::BetweenThreads;
use ipc_core::{
    Capacity, Carrier, Deadline, LinkProperties, MessageLength, OpenError, Received, Receiver,
    RecvError, Resource, SendError, Sender,
};
use rtrb::{Consumer, Producer, RingBuffer};

use crate::common::{ask_until, properties, too_small};

const NAME: &str = "rtrb";

/// Polled.
pub const MECHANISM: Mechanism = Mechanism {
    peer: true,
    threads: true,
    waits: &[Wait::Spin],
    ..kernel_mechanism!(NAME, |setting| {
        let setting = *setting;
        BetweenThreads(move || Ok::<_, OpenError>(pair(&setting)))
    })
};

fn pair(setting: &Setting) -> (End<Producer<u8>>, End<Consumer<u8>>) {
    let message_bytes = setting.size_bytes;
    let (producer, consumer) = RingBuffer::new(setting.capacity_bytes());
    (End { end: producer, message_bytes }, End { end: consumer, message_bytes })
}

/// Either end of a ring of bytes, for messages of one size.
struct End<E> {
    end: E,
    message_bytes: usize,
}

fn link_properties(capacity_bytes: usize, message_bytes: usize) -> LinkProperties {
    let capacity = Capacity::Bytes(capacity_bytes);
    properties(NAME, Carrier::SharedMemory, capacity, MessageLength::fixed(message_bytes))
}

impl Sender for End<Producer<u8>> {
    #[inline]
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let sent = ask_until(deadline, || Ok(self.end.push_entire_slice(message).ok()))?;
        sent.ok_or_else(|| SendError::no_room(deadline))
    }

    fn properties(&self) -> LinkProperties {
        link_properties(self.end.buffer().capacity(), self.message_bytes)
    }
}

impl Receiver for End<Consumer<u8>> {
    #[inline]
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        let (needed, len) = (self.message_bytes, buffer.len());
        let place = buffer.get_mut(..needed);
        let place = place.ok_or_else(|| too_small(needed, len, &Resource::unnamed(NAME)))?;
        let received = ask_until(deadline, || Ok(self.end.pop_entire_slice(place).ok()))?;
        received.ok_or_else(|| RecvError::no_message(deadline))?;
        Ok(Received::of_len(needed))
    }

    fn properties(&self) -> LinkProperties {
        link_properties(self.end.buffer().capacity(), self.message_bytes)
    }
}
