//! `shmem-ipc`: a ring of fixed-size items in a memfd, with eventfds to sleep on.
//!
//! At its best: `sharedring`, where its crate documentation says to start, with one item for each
//! message, so that neither a length nor a part of a message is ever sent; the items are sized for the
//! message at hand, and are written and read in place by `send_raw` and `receive_raw`. Polling goes
//! through `sender_mut` and `receiver_mut`, which by their docs "will not trigger a signal"; blocking
//! uses `block_until_writable` and `block_until_readable`. The types of items are chosen at compile
//! time, so only powers of two from 8 B to 1 MiB are carried.

// Copies through the raw pointers that the library hands out.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsFd;

use ipc_benches::kernel_mechanism;
use ipc_benches::mechanisms::{Mechanism, Setting};
use ipc_benches::session::Wait;
use ipc_core::{
    Capacity, Carrier, Deadline, LinkProperties, MessageLength, OpenError, Received, Receiver,
    RecvError, Resource, SendError, Sender,
};
use ipc_testing::{Invitation, Pending, Scope, Transport};
use shmem_ipc::sharedring;

use crate::common::{ask_until, failed, not_made, properties, too_small};

const NAME: &str = "shmem-ipc";

/// Polled, or left to sleep on its eventfds.
pub const MECHANISM: Mechanism =
    Mechanism { peer: true, ..kernel_mechanism!(NAME, SharedRing::new) };

/// Rings of items of one size.
#[derive(Clone, Copy, Debug)]
pub struct SharedRing {
    item_bytes: usize,
    capacity_items: usize,
    /// Whether the ends wake each other.
    signals: bool,
}

/// Either end of a ring of items of `N` bytes.
struct End<E, const N: usize> {
    end: E,
    ring: SharedRing,
    link: Resource,
}

impl<E, const N: usize> End<E, N> {
    fn new(end: Result<E, shmem_ipc::Error>, ring: SharedRing) -> Result<Self, OpenError> {
        let link = Resource::unnamed(NAME);
        let end = end.map_err(|error| not_made("open", &link, error))?;
        Ok(Self { end, ring, link })
    }

    fn link_properties(&self) -> LinkProperties {
        let capacity = Capacity::Messages(self.ring.capacity_items);
        properties(NAME, Carrier::SharedMemory, capacity, MessageLength::fixed(N))
    }
}

impl<const N: usize> Sender for End<sharedring::Sender<[u8; N]>, N> {
    #[inline]
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let Self { end, ring, link } = self;
        let message: &[u8; N] = message.try_into().expect("the benchmark checks lengths");
        let sent = ask_until(deadline, || {
            let mut sent = None;
            let write = |item: *mut [u8; N], _room: usize| {
                // SAFETY: it is called only if there is room for at least one item at this place, into
                // which nobody else writes.
                unsafe { item.copy_from_nonoverlapping(message, 1) };
                sent = Some(());
                1
            };
            if ring.signals {
                end.send_raw(write).map_err(|e| failed("send_raw", link, e))?;
            } else if end.sender_mut().write_count().map_err(|e| failed("send", link, e))? > 0 {
                end.sender_mut().send(write).map_err(|e| failed("send", link, e))?;
            }
            if sent.is_none() && ring.signals && deadline == Deadline::Never {
                end.block_until_writable().map_err(|e| failed("block_until_writable", link, e))?;
            }
            Ok(sent)
        })?;
        sent.ok_or_else(|| SendError::no_room(deadline))
    }

    fn properties(&self) -> LinkProperties {
        self.link_properties()
    }
}

impl<const N: usize> Receiver for End<sharedring::Receiver<[u8; N]>, N> {
    #[inline]
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        let Self { end, ring, link } = self;
        let buffer_len = buffer.len();
        let place: Option<&mut [u8; N]> = buffer.first_chunk_mut();
        let place = place.ok_or_else(|| too_small(N, buffer_len, link))?;
        let received = ask_until(deadline, || {
            let mut received = None;
            let read = |item: *const [u8; N], _count: usize| {
                // SAFETY: it is called only if there is at least one item at this place, which the
                // benchmark's sender leaves alone.
                unsafe { item.copy_to_nonoverlapping(place, 1) };
                received = Some(Received::of_len(N));
                1
            };
            if ring.signals {
                end.receive_raw(read).map_err(|e| failed("receive_raw", link, e))?;
            } else if end.receiver_mut().read_count().map_err(|e| failed("recv", link, e))? > 0 {
                // A plain look came first: receiving nothing would still write to the counter, and
                // take its cache line from the sender.
                end.receiver_mut().recv(read).map_err(|e| failed("recv", link, e))?;
            }
            if received.is_none() && ring.signals && deadline == Deadline::Never {
                end.block_until_readable().map_err(|e| failed("block_until_readable", link, e))?;
            }
            Ok(received)
        })?;
        received.ok_or_else(|| RecvError::no_message(deadline))
    }

    fn properties(&self) -> LinkProperties {
        self.link_properties()
    }
}

impl SharedRing {
    /// A ring for messages of one size, of items of the next size there is.
    fn new(setting: &Setting) -> Self {
        let item_bytes = setting.size_bytes.next_power_of_two().clamp(8, 1 << 20);
        Self {
            item_bytes,
            capacity_items: setting.capacity_bytes() / item_bytes,
            signals: setting.wait == Wait::Block,
        }
    }
}

/// The descriptors of a ring's memory and of its two signals, for the other end.
fn invitation(memory: &File, empty: &File, full: &File) -> Result<Invitation, OpenError> {
    let copies = [memory, empty, full].map(|file| file.as_fd().try_clone_to_owned());
    let copies = copies.into_iter().collect::<Result<Vec<_>, _>>();
    let copies = copies.map_err(|e| OpenError::from_os("dup", &Resource::unnamed(NAME), e))?;
    Ok(Invitation::of_descriptors(copies))
}

/// The same descriptors as files, in the order in which the library takes them.
fn files(invitation: Invitation) -> Result<[File; 3], OpenError> {
    let files: Vec<_> = invitation.descriptors.into_iter().map(File::from).collect();
    files
        .try_into()
        .map_err(|_| not_made("join", &Resource::unnamed(NAME), "not three descriptors"))
}

/// Runs `$make` with a constant `$n`, the length of the items of a ring.
macro_rules! with_item {
    ($ring:expr, $n:ident => $make:expr) => {
        with_item!(
            $ring, $n => $make,
            8 16 32 64 128 256 512 1024 2048 4096 8192 16384 32768 65536 131072 262144 524288 1048576
        )
    };
    ($ring:expr, $n:ident => $make:expr, $($bytes:literal)+) => {
        match $ring.item_bytes {
            $($bytes => {
                const $n: usize = $bytes;
                $make
            })+
            bytes => unreachable!("items of {bytes} B: SharedRing::new rounds to one of the others"),
        }
    };
}

impl Transport for SharedRing {
    type Sender = Box<dyn Sender>;
    type Receiver = Box<dyn Receiver>;

    fn name(&self) -> &'static str {
        NAME
    }

    fn invite_receiver(
        &self,
        _scope: &Scope,
    ) -> Result<(Invitation, Pending<Self::Sender>), OpenError> {
        with_item!(self, N => {
            let end = sharedring::Sender::<[u8; N]>::new(self.capacity_items);
            let end = End::<_, N>::new(end, *self)?;
            let (empty, full) = (end.end.empty_signal(), end.end.full_signal());
            let guests = invitation(end.end.memfd().as_file(), empty, full)?;
            Ok((guests, Pending::ready(Box::new(end))))
        })
    }

    fn invite_sender(
        &self,
        _scope: &Scope,
    ) -> Result<(Invitation, Pending<Self::Receiver>), OpenError> {
        with_item!(self, N => {
            let end = sharedring::Receiver::<[u8; N]>::new(self.capacity_items);
            let end = End::<_, N>::new(end, *self)?;
            let (empty, full) = (end.end.empty_signal(), end.end.full_signal());
            let guests = invitation(end.end.memfd().as_file(), empty, full)?;
            Ok((guests, Pending::ready(Box::new(end))))
        })
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<Self::Receiver, OpenError> {
        let [memory, empty, full] = files(invitation)?;
        with_item!(self, N => {
            let end = sharedring::Receiver::<[u8; N]>::open(self.capacity_items, memory, empty, full);
            Ok(Box::new(End::<_, N>::new(end, *self)?))
        })
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<Self::Sender, OpenError> {
        let [memory, empty, full] = files(invitation)?;
        with_item!(self, N => {
            let end = sharedring::Sender::<[u8; N]>::open(self.capacity_items, memory, empty, full);
            Ok(Box::new(End::<_, N>::new(end, *self)?))
        })
    }
}
