//! What the two sides of a link bring to the handshake: this one, made and sent; the other one,
//! received and checked. Leaves out the order of the two: see `handshake.rs`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use ipc_core::{Deadline, OpenError, OpenErrorKind, PeerId, ProcessPeer, Resource, WaitStrategy};
use ipc_shm::{Access, Mapping, Memfd, Seals};
use ipc_socket::{recv_with_descriptors, send_with_credentials};
use rustix::fs::OFlags;

use super::hello::Hello;
use super::options::{Options, is_capacity};
use super::{Link, PeerUser};
use crate::bell::{PipeBell, RingEnd, pipe_bell};
use crate::endpoint::receiving::Receiving;
use crate::endpoint::sending::Sending;
use crate::layout;
use crate::mapped::Mapped;
use crate::membarrier;
use crate::protocol::consumer::Consumer;
use crate::protocol::producer::{Producer, Sleeper};
use crate::{RingReceiver, RingSender};

/// How many descriptors go with a hello: the memory, and the hearing ends of the doorbells of its
/// sender and of its receiver.
const DESCRIPTORS: usize = 3;

/// What this side brings.
pub(super) struct Side {
    hello: Hello,
    strategy: WaitStrategy,
    memory: Memfd,
    mapping: Arc<Mapping>,
    sender_bell: (RingEnd, OwnedFd),
    receiver_bell: (RingEnd, OwnedFd),
}

impl Side {
    /// Makes the memory that this side writes. Mapped first and sealed then, it can be written here
    /// and nowhere else.
    pub(super) fn create(options: &Options, resource: &Resource) -> Result<Self, OpenError> {
        let capacity = options.capacity_bytes;
        if !is_capacity(capacity) {
            let requirement = format!("{capacity} bytes; a power of two from 4 KiB to 4 GiB");
            let kind = OpenErrorKind::InvalidOption { option: "capacity", requirement };
            return Err(OpenError::new("create", resource, kind));
        }
        let (size, longest) = (options.sends.size_bytes, options.longest_message());
        if capacity > 0 && size > longest as u64 {
            let requirement = format!(
                "{capacity} bytes carry messages of up to {longest}, values of the type have {size}"
            );
            let kind = OpenErrorKind::InvalidOption { option: "capacity", requirement };
            return Err(OpenError::new("create", resource, kind));
        }
        let (mut hello, strategy) = (Hello::of(options), options.strategy);
        // Before the other side hears of it: from then on, it relies on it.
        hello.sender_is_registered =
            capacity > 0 && options.asymmetric_fences && membarrier::register();
        hello.receiver_can_bar = hello.receiver_may_sleep && membarrier::is_offered();
        let memory = Memfd::create("ipc-ring", layout::memory_len(capacity), options.backing)?;
        let mapping = Arc::new(memory.map(Access::ReadWrite)?);
        memory.seal_for_peer()?;
        mapping.write_at(0, &hello.to_bytes());
        let bell = || pipe_bell().map_err(|error| OpenError::from_os("pipe2", resource, error));
        let (sender_bell, receiver_bell) = (bell()?, bell()?);
        Ok(Self { hello, strategy, memory, mapping, sender_bell, receiver_bell })
    }

    /// Says hello. Waits only for room in the socket.
    pub(super) fn send(
        &self,
        socket: BorrowedFd<'_>,
        deadline: Deadline,
        resource: &Resource,
    ) -> Result<(), OpenError> {
        let descriptors: [_; DESCRIPTORS] =
            [self.memory.as_fd(), self.sender_bell.1.as_fd(), self.receiver_bell.1.as_fd()];
        let bytes = self.hello.to_bytes();
        let sent = send_with_credentials(socket, &bytes, &descriptors, deadline)
            .map_err(|error| handshake_error("sendmsg", resource, error))?;
        if sent == bytes.len() {
            return Ok(());
        }
        // A new socket has room for 64 bytes.
        let kind = OpenErrorKind::Unsupported("a handshake over a socket that is nearly full");
        Err(OpenError::new("sendmsg", resource, kind))
    }

    /// Joins the two sides to a link.
    pub(super) fn join(self, there: PeerSide) -> Link {
        let Self { hello, strategy, mapping, sender_bell, receiver_bell, .. } = self;
        let peer = there.peer;
        let resource = Resource::unnamed(format!("ring with {peer}"));
        let sender = (hello.capacity > 0).then(|| {
            let memory = Mapped::new(&mapping, &there.mapping, hello.capacity);
            let producer = Producer::new(memory, 0, sleeper(&hello, &there.hello));
            let bell = PipeBell::new(sender_bell.0, there.receiver_bell);
            RingSender::new(Sending::new(producer, bell, strategy, resource.clone()), peer)
        });
        let receiver = (there.hello.capacity > 0).then(|| {
            let memory = Mapped::new(&there.mapping, &mapping, there.hello.capacity);
            let consumer = Consumer::new(memory, 0);
            let bell = PipeBell::new(receiver_bell.0, there.sender_bell);
            let bars = sleeper(&there.hello, &hello) == Sleeper::Bars;
            RingReceiver::new(Receiving::new(consumer, bell, strategy, bars, resource), peer)
        });
        Link { sender, receiver, peer }
    }
}

/// How the receiver goes to sleep on a ring, by what both sides said: so both find the same.
fn sleeper(sending: &Hello, receiving: &Hello) -> Sleeper {
    if !receiving.receiver_may_sleep {
        Sleeper::Never
    } else if sending.sender_is_registered && receiving.receiver_can_bar {
        Sleeper::Bars
    } else {
        Sleeper::Fences
    }
}

/// What this side expects of the other one.
pub(super) struct Expected {
    /// What this side says: the types of messages must fit.
    pub(super) here: Hello,
    pub(super) user: PeerUser,
}

/// What the other side brought, checked.
pub(super) struct PeerSide {
    hello: Hello,
    peer: ProcessPeer,
    mapping: Arc<Mapping>,
    sender_bell: OwnedFd,
    receiver_bell: OwnedFd,
}

impl PeerSide {
    /// Hears the other side's hello, on a socket that passes credentials, and maps its memory.
    ///
    /// Whatever arrives is input. The checks ask the kernel about the descriptors, and no file system,
    /// which might be the peer's own and never answer; so do not add an `fstat`. (A memfd is known to
    /// be one when it is asked for its size.)
    pub(super) fn receive(
        socket: BorrowedFd<'_>,
        expected: Expected,
        deadline: Deadline,
        resource: &Resource,
    ) -> Result<Self, OpenError> {
        let refuse = |kind| OpenError::new("handshake", resource, kind);
        let mismatch = |what, expected: usize, found: usize| {
            let (expected, found) = (expected as u64, found as u64);
            refuse(OpenErrorKind::Mismatch { what, expected, found })
        };
        let mut bytes = [0; Hello::BYTES];
        let arrival = recv_with_descriptors(socket, &mut bytes, DESCRIPTORS, deadline)
            .map_err(|error| handshake_error("recvmsg", resource, error))?;
        if arrival.len == 0 {
            return Err(refuse(OpenErrorKind::PeerGone));
        }
        let Some(PeerId::Process(peer)) = arrival.sender else {
            let kind = OpenErrorKind::Unsupported("a handshake over a socket without credentials");
            return Err(refuse(kind));
        };
        expected.user.check(peer, resource)?;
        if arrival.len != bytes.len() {
            return Err(mismatch("length of the hello in bytes", bytes.len(), arrival.len));
        }
        let hello = Hello::from_bytes(&bytes).map_err(refuse)?;
        expected.here.check_types(&hello).map_err(refuse)?;
        let descriptors = <[OwnedFd; DESCRIPTORS]>::try_from(arrival.descriptors);
        let [memory, sender_bell, receiver_bell] = descriptors
            .map_err(|found| mismatch("number of descriptors", DESCRIPTORS, found.len()))?;
        let doorbells = [&sender_bell, &receiver_bell].into_iter().filter(|bell| is_doorbell(bell));
        let doorbells = doorbells.count();
        if doorbells != 2 {
            return Err(mismatch("number of doorbells (read ends of pipes)", 2, doorbells));
        }
        let len = layout::memory_len(hello.capacity);
        let memory = Memfd::receive(memory, Seals::ONE_WRITER, len..=len)?;
        let mapping = Arc::new(memory.map(Access::ReadOnly)?);
        Ok(Self { hello, peer, mapping, sender_bell, receiver_bell })
    }
}

/// Whether a descriptor is a pipe's reading end: reading from anything else could do anything.
fn is_doorbell(bell: &OwnedFd) -> bool {
    // Only pipes have a size, and no flags are those of a descriptor made with O_PATH.
    let is_pipe = rustix::pipe::fcntl_getpipe_size(bell).is_ok();
    let access = rustix::fs::fcntl_getfl(bell).map(|flags| flags & OFlags::RWMODE);
    is_pipe && access == Ok(OFlags::RDONLY)
}

fn handshake_error(operation: &'static str, resource: &Resource, error: io::Error) -> OpenError {
    let kind = match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => OpenErrorKind::TimedOut,
        _ => error.into(),
    };
    OpenError::new(operation, resource, kind)
}
