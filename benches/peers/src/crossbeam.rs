//! `crossbeam-channel`: a bounded channel between threads of one process, for many on either side; with
//! `rtrb`, the ceiling.
//!
//! At its best (its crate documentation, "Channel types" and `bounded`): the bounded flavour, an array
//! of slots made once, with the message itself in the slot (`[u8; N]` of 8 B, 64 B and 1 KiB); else boxes,
//! which a second channel brings back to the sender, so that nothing is allocated while messages flow. Polled
//! by `try_send` and `try_recv`, or left to spin and then sleep in `send` and `recv`.

use crossbeam_channel::{
    self as channel, RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError, bounded,
};
use ipc_benches::kernel_mechanism;
use ipc_benches::mechanisms::{Mechanism, Setting};
use ipc_benches::session::Wait;
use ipc_benches::threads::BetweenThreads;
use ipc_core::{
    Capacity, Carrier, Deadline, LinkProperties, MessageLength, OpenError, Received, Receiver,
    RecvError, Resource, SendError, Sender,
};

use crate::common::{deliver, properties};

const NAME: &str = "crossbeam-channel";

/// Polled, or left to wait as it likes: `recv` looks for a while before it sleeps.
pub const MECHANISM: Mechanism = Mechanism {
    peer: true,
    threads: true,
    waits: &[Wait::Spin, Wait::Adaptive],
    ..kernel_mechanism!(NAME, |setting| {
        let setting = *setting;
        BetweenThreads(move || Ok::<_, OpenError>(pair(&setting)))
    })
};

/// Both ends, whatever is in the slots.
type Pair = (Box<dyn Sender>, Box<dyn Receiver>);

/// A channel of whole messages, where their size is one that was compiled in, else of boxes.
fn pair(setting: &Setting) -> Pair {
    let size_bytes = setting.size_bytes;
    let capacity = setting.capacity_bytes() / size_bytes;
    match size_bytes {
        8 => items::<8>(capacity),
        64 => items::<64>(capacity),
        1024 => items::<1024>(capacity),
        _ => boxes(capacity, size_bytes),
    }
}

fn items<const N: usize>(capacity: usize) -> Pair {
    let (sender, receiver) = bounded::<[u8; N]>(capacity);
    (Box::new(Items(sender)), Box::new(Items(receiver)))
}

fn boxes(capacity: usize, size_bytes: usize) -> Pair {
    let (sender, receiver) = bounded::<Box<[u8]>>(capacity);
    let (back, used) = bounded(capacity);
    for _ in 0..capacity {
        let _ = back.send(vec![0; size_bytes].into()); // there is room for all
    }
    (Box::new(Boxes(sender, used, size_bytes)), Box::new(Boxes(receiver, back, size_bytes)))
}

/// An end of a channel of whole messages.
struct Items<E>(E);

/// An end of a channel of boxes, and of the one that brings them back, with messages of so many bytes.
struct Boxes<E, B>(E, B, usize);

fn link() -> Resource {
    Resource::unnamed(NAME)
}

fn link_properties(capacity: Option<usize>, lengths: MessageLength) -> LinkProperties {
    let capacity = Capacity::Messages(capacity.unwrap_or_default());
    properties(NAME, Carrier::SharedMemory, capacity, lengths)
}

/// The other end is gone.
struct Gone;

/// Puts something in, waiting as a deadline says; tells whether there was room.
#[inline]
fn put<T>(to: &channel::Sender<T>, item: T, deadline: Deadline) -> Result<bool, Gone> {
    match deadline {
        Deadline::Never => to.send(item).map(|()| true).map_err(|_| Gone),
        Deadline::Now => match to.try_send(item) {
            Ok(()) => Ok(true),
            Err(TrySendError::Full(_)) => Ok(false),
            Err(TrySendError::Disconnected(_)) => Err(Gone),
        },
        Deadline::At(instant) => match to.send_deadline(item, instant) {
            Ok(()) => Ok(true),
            Err(SendTimeoutError::Timeout(_)) => Ok(false),
            Err(SendTimeoutError::Disconnected(_)) => Err(Gone),
        },
    }
}

/// Takes something out, waiting as a deadline says; `None` if there was nothing.
#[inline]
fn take<T>(from: &channel::Receiver<T>, deadline: Deadline) -> Result<Option<T>, Gone> {
    match deadline {
        Deadline::Never => from.recv().map(Some).map_err(|_| Gone),
        Deadline::Now => match from.try_recv() {
            Ok(item) => Ok(Some(item)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Gone),
        },
        Deadline::At(instant) => match from.recv_deadline(instant) {
            Ok(item) => Ok(Some(item)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Gone),
        },
    }
}

impl From<Gone> for SendError {
    fn from(Gone: Gone) -> Self {
        Self::peer_gone(&link())
    }
}

impl From<Gone> for RecvError {
    fn from(Gone: Gone) -> Self {
        Self::peer_gone(&link())
    }
}

impl<const N: usize> Sender for Items<channel::Sender<[u8; N]>> {
    #[inline]
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let item = message.try_into().expect("the benchmark checks lengths");
        if put(&self.0, item, deadline)? { Ok(()) } else { Err(SendError::no_room(deadline)) }
    }

    fn properties(&self) -> LinkProperties {
        link_properties(self.0.capacity(), MessageLength::fixed(N))
    }
}

impl<const N: usize> Receiver for Items<channel::Receiver<[u8; N]>> {
    #[inline]
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        let item = take(&self.0, deadline)?.ok_or_else(|| RecvError::no_message(deadline))?;
        deliver(&item, buffer, &link())
    }

    fn properties(&self) -> LinkProperties {
        link_properties(self.0.capacity(), MessageLength::fixed(N))
    }
}

impl Sender for Boxes<channel::Sender<Box<[u8]>>, channel::Receiver<Box<[u8]>>> {
    /// There are as many boxes as the channel holds: who has one has room.
    #[inline]
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let mut item = take(&self.1, deadline)?.ok_or_else(|| SendError::no_room(deadline))?;
        item.copy_from_slice(message);
        put(&self.0, item, Deadline::Never)?;
        Ok(())
    }

    fn properties(&self) -> LinkProperties {
        link_properties(self.0.capacity(), MessageLength::fixed(self.2))
    }
}

impl Receiver for Boxes<channel::Receiver<Box<[u8]>>, channel::Sender<Box<[u8]>>> {
    #[inline]
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        let item = take(&self.0, deadline)?.ok_or_else(|| RecvError::no_message(deadline))?;
        let received = deliver(&item, buffer, &link())?;
        put(&self.1, item, Deadline::Never)?;
        Ok(received)
    }

    fn properties(&self) -> LinkProperties {
        link_properties(self.0.capacity(), MessageLength::fixed(self.2))
    }
}
