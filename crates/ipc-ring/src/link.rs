//! Making a link: two processes with a Unix socket between them exchange memory and doorbells. Leaves
//! out how they came by the socket, see [`crate::listen`] and [`crate::connect`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use ipc_core::{Deadline, OpenError, OpenErrorKind, Resource, WaitStrategy};
use ipc_shm::{Access, Backing, Mapping, Memfd, Seals};
use ipc_socket::{recv_with_descriptors, send_with_descriptors};

use crate::bell::{PipeBell, RingEnd, pipe_bell};
use crate::endpoint::receiving::Receiving;
use crate::endpoint::sending::Sending;
use crate::layout;
use crate::mapped::Mapped;
use crate::protocol::consumer::Consumer;
use crate::protocol::producer::Producer;
use crate::{RingReceiver, RingSender};

/// What one side brings to a link: its ring, and how its endpoints wait.
///
/// ```
/// use ipc_core::WaitStrategy;
/// use ipc_ring::Options;
///
/// let options = Options::new().capacity_bytes(1 << 20).wait_strategy(WaitStrategy::Park);
/// assert_eq!(options.longest_message(), (1 << 18) - 16);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    capacity_bytes: usize,
    strategy: WaitStrategy,
    backing: Backing,
}

impl Options {
    /// The capacity of a ring unless another is asked for, in bytes.
    pub const DEFAULT_CAPACITY_BYTES: usize = 1 << 20;

    /// A ring of [`DEFAULT_CAPACITY_BYTES`](Self::DEFAULT_CAPACITY_BYTES), backed as it is used, and
    /// adaptive waiting.
    pub fn new() -> Self {
        Self {
            capacity_bytes: Self::DEFAULT_CAPACITY_BYTES,
            strategy: WaitStrategy::adaptive(),
            backing: Backing::Lazy,
        }
    }

    /// The capacity of the ring that this side sends on: a power of two from 4 KiB to 4 GiB. The
    /// longest message is a quarter of it, less 16 bytes.
    pub const fn capacity_bytes(mut self, capacity_bytes: usize) -> Self {
        self.capacity_bytes = capacity_bytes;
        self
    }

    /// This side only receives: it brings no ring.
    pub const fn receive_only(mut self) -> Self {
        self.capacity_bytes = 0;
        self
    }

    /// How this side's endpoints wait.
    pub const fn wait_strategy(mut self, strategy: WaitStrategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Whether the memory of the ring is taken now or as it is first used.
    pub const fn backing(mut self, backing: Backing) -> Self {
        self.backing = backing;
        self
    }

    /// The longest message that this side can send, in bytes; 0 if it only receives.
    pub const fn longest_message(&self) -> usize {
        if self.capacity_bytes == 0 {
            0
        } else {
            crate::protocol::longest_message(self.capacity_bytes as u64)
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// A link between two processes: up to two rings, one each way.
///
/// The two ends are independent: they may move to different threads, and each closes on its own.
#[derive(Debug)]
pub struct Link {
    /// The ring to the peer; `None` if this side only receives.
    pub sender: Option<RingSender>,
    /// The ring from the peer; `None` if the peer only receives.
    pub receiver: Option<RingReceiver>,
}

impl Link {
    /// Makes a link with the process at the other end of a connected Unix socket, which calls this
    /// too. The socket is not needed afterwards.
    ///
    /// Each side creates the memory that it writes and seals it, so that the kernel lets the other
    /// side read it only and nobody change its size; each checks what it was sent before mapping it.
    /// Blocks until `deadline` for the other side.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InvalidOption`] for a capacity that cannot be;
    /// [`OpenErrorKind::Mismatch`] if the other side speaks another version or sent anything that
    /// does not fit; [`OpenErrorKind::PeerGone`], [`OpenErrorKind::TimedOut`]; those of the system
    /// calls.
    pub fn over(
        socket: impl AsFd,
        options: &Options,
        deadline: Deadline,
    ) -> Result<Self, OpenError> {
        let socket = socket.as_fd();
        let here = Side::create(options)?;
        here.send(socket, deadline)?;
        let there = PeerSide::receive(socket, deadline)?;
        Ok(here.join(there, options))
    }
}

fn link_resource() -> Resource {
    Resource::unnamed("ring")
}

/// The bytes that each side sends, followed by three descriptors: its memory, and the hearing ends of
/// its sender's and its receiver's doorbells. The same five fields begin the memory itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) magic: u64,
    pub(crate) version: u32,
    pub(crate) hash: u32,
    pub(crate) capacity: u64,
    pub(crate) flags: u64,
}

impl Hello {
    pub(crate) const BYTES: usize = 32;

    fn new(capacity: usize, receiver_may_sleep: bool) -> Self {
        Self {
            magic: layout::MAGIC,
            version: layout::VERSION,
            hash: layout::HASH,
            capacity: capacity as u64,
            flags: if receiver_may_sleep { layout::RECEIVER_MAY_SLEEP } else { 0 },
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[layout::MAGIC_OFFSET..][..8].copy_from_slice(&self.magic.to_ne_bytes());
        bytes[layout::VERSION_OFFSET..][..4].copy_from_slice(&self.version.to_ne_bytes());
        bytes[layout::HASH_OFFSET..][..4].copy_from_slice(&self.hash.to_ne_bytes());
        bytes[layout::CAPACITY_OFFSET..][..8].copy_from_slice(&self.capacity.to_ne_bytes());
        bytes[layout::FLAGS_OFFSET..][..8].copy_from_slice(&self.flags.to_ne_bytes());
        bytes
    }

    /// Reads and checks a hello; any bytes are input. Returns the capacity and whether the receiver
    /// of that side may sleep.
    pub(crate) fn check(bytes: &[u8; Self::BYTES]) -> Result<(usize, bool), OpenErrorKind> {
        let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let half = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let same = |what, expected: u64, found: u64| {
            if expected == found {
                Ok(())
            } else {
                Err(OpenErrorKind::Mismatch { what, expected, found })
            }
        };
        same("magic", layout::MAGIC, word(layout::MAGIC_OFFSET))?;
        same("version", layout::VERSION.into(), half(layout::VERSION_OFFSET).into())?;
        same("layout hash", layout::HASH.into(), half(layout::HASH_OFFSET).into())?;
        let capacity = word(layout::CAPACITY_OFFSET);
        let valid = usize::try_from(capacity).ok().filter(|&bytes| is_capacity(bytes));
        let Some(capacity) = valid else {
            let expected = Options::DEFAULT_CAPACITY_BYTES as u64;
            return Err(OpenErrorKind::Mismatch { what: "capacity", expected, found: capacity });
        };
        let flags = word(layout::FLAGS_OFFSET);
        same("unknown flags", 0, flags & !layout::RECEIVER_MAY_SLEEP)?;
        Ok((capacity, flags & layout::RECEIVER_MAY_SLEEP != 0))
    }
}

fn is_capacity(bytes: usize) -> bool {
    bytes == 0
        || (bytes.is_power_of_two()
            && (layout::MIN_CAPACITY..=layout::MAX_CAPACITY).contains(&bytes))
}

/// What this side brings.
struct Side {
    hello: Hello,
    memory: Memfd,
    mapping: Arc<Mapping>,
    sender_bell: (RingEnd, OwnedFd),
    receiver_bell: (RingEnd, OwnedFd),
}

impl Side {
    fn create(options: &Options) -> Result<Self, OpenError> {
        let capacity = options.capacity_bytes;
        if !is_capacity(capacity) {
            let requirement =
                format!("{capacity} is not a power of two from 4 KiB to 4 GiB").to_string();
            let kind = OpenErrorKind::InvalidOption { option: "capacity", requirement };
            return Err(OpenError::new("create", &link_resource(), kind));
        }
        let may_sleep = options.strategy != WaitStrategy::Spin;
        let hello = Hello::new(capacity, may_sleep);
        let memory = Memfd::create("ipc-ring", layout::memory_len(capacity), options.backing)?;
        let mapping = memory.map(Access::ReadWrite)?;
        memory.seal_for_peer()?;
        mapping.write_at(0, &hello.to_bytes());
        let bell =
            || pipe_bell().map_err(|error| OpenError::from_os("pipe2", &link_resource(), error));
        let (sender_bell, receiver_bell) = (bell()?, bell()?);
        Ok(Self { hello, memory, mapping: Arc::new(mapping), sender_bell, receiver_bell })
    }

    fn send(&self, socket: BorrowedFd<'_>, deadline: Deadline) -> Result<(), OpenError> {
        let descriptors =
            [self.memory.as_fd(), self.sender_bell.1.as_fd(), self.receiver_bell.1.as_fd()];
        let bytes = self.hello.to_bytes();
        let sent = send_with_descriptors(socket, &bytes, &descriptors, deadline)
            .map_err(|error| handshake_error("sendmsg", error))?;
        if sent == bytes.len() {
            Ok(())
        } else {
            // A new socket has room for 32 bytes.
            let kind = OpenErrorKind::Unsupported("a handshake over a socket that is nearly full");
            Err(OpenError::new("sendmsg", &link_resource(), kind))
        }
    }

    fn join(self, there: PeerSide, options: &Options) -> Link {
        let capacity = options.capacity_bytes;
        let sender = (capacity > 0).then(|| {
            let memory = Mapped::new(&self.mapping, &there.mapping, capacity);
            let producer = Producer::new(memory, 0, there.receiver_may_sleep);
            let bell = PipeBell::new(self.sender_bell.0, there.receiver_bell);
            RingSender::new(Sending::new(producer, bell, options.strategy, link_resource()))
        });
        let receiver = (there.capacity > 0).then(|| {
            let memory = Mapped::new(&there.mapping, &self.mapping, there.capacity);
            let consumer = Consumer::new(memory, 0);
            let bell = PipeBell::new(self.receiver_bell.0, there.sender_bell);
            RingReceiver::new(Receiving::new(consumer, bell, options.strategy, link_resource()))
        });
        Link { sender, receiver }
    }
}

/// What the other side brought, checked.
struct PeerSide {
    capacity: usize,
    receiver_may_sleep: bool,
    mapping: Arc<Mapping>,
    sender_bell: OwnedFd,
    receiver_bell: OwnedFd,
}

impl PeerSide {
    fn receive(socket: BorrowedFd<'_>, deadline: Deadline) -> Result<Self, OpenError> {
        let refuse = |kind| OpenError::new("handshake", &link_resource(), kind);
        let mut bytes = [0; Hello::BYTES];
        let arrival = recv_with_descriptors(socket, &mut bytes, 3, deadline)
            .map_err(|error| handshake_error("recvmsg", error))?;
        if arrival.len == 0 {
            return Err(refuse(OpenErrorKind::PeerGone));
        }
        if arrival.len != bytes.len() {
            let (expected, found) = (bytes.len() as u64, arrival.len as u64);
            return Err(refuse(OpenErrorKind::Mismatch { what: "hello", expected, found }));
        }
        let (capacity, receiver_may_sleep) = Hello::check(&bytes).map_err(refuse)?;
        let count = arrival.descriptors.len();
        let Ok([memory, sender_bell, receiver_bell]) =
            <[OwnedFd; 3]>::try_from(arrival.descriptors)
        else {
            let kind = OpenErrorKind::Mismatch {
                what: "number of descriptors",
                expected: 3,
                found: count as u64,
            };
            return Err(refuse(kind));
        };
        for bell in [&sender_bell, &receiver_bell] {
            check_pipe(bell)?;
        }
        let len = layout::memory_len(capacity);
        let memory = Memfd::receive(memory, Seals::ONE_WRITER, len..=len)?;
        let mapping = Arc::new(memory.map(Access::ReadOnly)?);
        Ok(Self { capacity, receiver_may_sleep, mapping, sender_bell, receiver_bell })
    }
}

/// A doorbell must be a pipe's reading end: reading from anything else could do anything.
fn check_pipe(bell: &OwnedFd) -> Result<(), OpenError> {
    use rustix::fs::{FileType, OFlags};
    let os = |operation| {
        move |error: rustix::io::Errno| OpenError::from_os(operation, &link_resource(), error)
    };
    let mismatch = |what, expected: u32, found: u32| {
        let (expected, found) = (expected.into(), found.into());
        let kind = OpenErrorKind::Mismatch { what, expected, found };
        Err(OpenError::new("handshake", &link_resource(), kind))
    };
    let mode = rustix::fs::fstat(bell).map_err(os("fstat"))?.st_mode;
    let pipe = FileType::Fifo.as_raw_mode();
    if FileType::from_raw_mode(mode) != FileType::Fifo {
        return mismatch("file type of a doorbell", pipe, mode);
    }
    let access = rustix::fs::fcntl_getfl(bell).map_err(os("fcntl"))? & OFlags::RWMODE;
    if access != OFlags::RDONLY {
        return mismatch("access mode of a doorbell", OFlags::RDONLY.bits(), access.bits());
    }
    Ok(())
}

fn handshake_error(operation: &'static str, error: io::Error) -> OpenError {
    let kind = match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => OpenErrorKind::TimedOut,
        _ => error.into(),
    };
    OpenError::new(operation, &link_resource(), kind)
}
