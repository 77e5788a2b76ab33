//! Making a bounded buffer in memory and attaching to one.

// Refers to the control words in mapped memory.
#![allow(unsafe_code)]

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ipc_core::{Establishment, Lifetime, Name, OpenError, OpenErrorKind, Resource};

use super::{BufferReceiver, BufferSender, Control};
use crate::layout::{self, Shape};
use crate::{Access, Backing, Mapping, Memfd, Seals, Segment, SegmentOptions, segment};

/// A bounded buffer of messages in shared memory, attached to this process: a fixed number of slots,
/// each for a message of up to a fixed length. Any number of [`sender`](Self::sender)s and
/// [`receiver`](Self::receiver)s, in any number of processes; each message goes to one receiver.
///
/// The guard semaphores are the textbook's `mutex`, `empty` and `full`, made to survive the death of
/// any process at any instruction: at most the one message that it was about to send is lost, or the
/// one that it was about to receive is left to the next.
///
/// The processes **trust each other**: each can write everywhere in the buffer. Garbage there never
/// harms the memory of the others (a receive or send fails with `Violation`), but it can make them wait.
/// They must be of one PID namespace.
///
/// ```
/// use ipc_core::{Receiver, Sender};
/// use ipc_shm::BoundedBuffer;
///
/// let (buffer, memfd) = BoundedBuffer::options().slots(8).slot_bytes(100).create_anonymous("demo")?;
/// buffer.sender().send(b"hello")?;
///
/// // In another process, which got the descriptor:
/// let buffer = BoundedBuffer::receive(memfd.into_fd())?;
/// let mut message = [0; 100];
/// let received = buffer.receiver().recv(&mut message)?;
/// assert_eq!(&message[..received.len], b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct BoundedBuffer {
    pub(super) memory: Arc<Memory>,
}

impl BoundedBuffer {
    /// How to make a buffer.
    pub fn options() -> BufferOptions {
        BufferOptions { slots: 16, slot_bytes: 4096, segment: Segment::options() }
    }

    /// Attaches to the buffer in a named segment.
    ///
    /// # Errors
    ///
    /// Those of [`Segment::open`], and [`OpenErrorKind::Mismatch`] if the segment holds something
    /// else, or a buffer of another version or byte order.
    pub fn open(name: &Name) -> Result<Self, OpenError> {
        // Whom the mode lets in, the users of a buffer trust anyway.
        let segment = Segment::options().trust_writers().open(name)?;
        let origin = (Establishment::Name, Lifetime::System);
        Self::attach(segment.into_mapping(), origin, segment::resource(name))
    }

    /// Attaches to the buffer in a memfd that another process made
    /// ([`BufferOptions::create_anonymous`]).
    ///
    /// # Errors
    ///
    /// Those of [`Memfd::receive`], which insists on a sealed size, and of [`open`](Self::open).
    pub fn receive(memfd: OwnedFd) -> Result<Self, OpenError> {
        let memfd = Memfd::receive(memfd, Seals::SIZE, 1..=isize::MAX as usize)?;
        let origin = (Establishment::Inheritance, Lifetime::Endpoints);
        let resource = Resource::unnamed("bounded buffer in a memfd");
        Self::attach(memfd.map(Access::ReadWrite)?, origin, resource)
    }

    /// A new sending end. It spins, then sleeps; see [`BufferSender::with_strategy`].
    pub fn sender(&self) -> BufferSender {
        BufferSender::new(self.memory.clone())
    }

    /// A new receiving end. It spins, then sleeps; see [`BufferReceiver::with_strategy`].
    pub fn receiver(&self) -> BufferReceiver {
        BufferReceiver::new(self.memory.clone())
    }

    /// How many messages it holds at most.
    pub fn slots(&self) -> usize {
        self.memory.shape.slots as usize
    }

    /// Length of the longest message in bytes.
    pub fn slot_bytes(&self) -> usize {
        self.memory.shape.slot_bytes as usize
    }

    fn attach(
        mapping: Mapping,
        (establishment, lifetime): (Establishment, Lifetime),
        resource: Resource,
    ) -> Result<Self, OpenError> {
        let shape = Shape::read(&mapping, &resource)?;
        Ok(Self { memory: Arc::new(Memory { mapping, shape, establishment, lifetime, resource }) })
    }
}

/// How to make a [`BoundedBuffer`]. See [`BoundedBuffer::options`].
#[derive(Clone, Copy, Debug)]
pub struct BufferOptions {
    slots: usize,
    slot_bytes: usize,
    segment: SegmentOptions,
}

impl BufferOptions {
    /// How many messages it holds: at least 1, at most `u32::MAX`. The default is 16. All of them hold
    /// a message; none needs to stay empty, for `in` and `out` count on where the textbook's wrap.
    #[must_use]
    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = slots;
        self
    }

    /// Length of the longest message in bytes, at most `u32::MAX`. The default is 4096.
    #[must_use]
    pub fn slot_bytes(mut self, slot_bytes: usize) -> Self {
        self.slot_bytes = slot_bytes;
        self
    }

    /// When the memory is taken from the system. The default is [`Backing::Reserved`].
    #[must_use]
    pub fn backing(mut self, backing: Backing) -> Self {
        self.segment = self.segment.backing(backing);
        self
    }

    /// Who may open a named buffer; see [`SegmentOptions::mode`](crate::SegmentOptions::mode). Whoever
    /// uses it must be able to read and write. The default is `0o600`.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.segment = self.segment.mode(mode);
        self
    }

    /// Makes a buffer in a new named segment. It stays until it is unlinked
    /// ([`Segment::unlink_name`]), with the messages in it.
    ///
    /// # Errors
    ///
    /// Those of [`SegmentOptions::create_new`](crate::SegmentOptions::create_new);
    /// [`OpenErrorKind::InvalidOption`] for slots out of range.
    pub fn create_new(self, name: &Name) -> Result<BoundedBuffer, OpenError> {
        let resource = segment::resource(name);
        let (shape, len) = self.shape(&resource)?;
        let segment = self.segment.create_new(name, len, |mapping| {
            initialise(mapping, shape);
            Ok(())
        })?;
        let origin = (Establishment::Name, Lifetime::System);
        BoundedBuffer::attach(segment.into_mapping(), origin, resource)
    }

    /// Makes a buffer in a new memfd of sealed size, which is gone with the last process that has it.
    /// `label` is as for [`Memfd::create`]. Pass the memfd to the others, who
    /// [`receive`](BoundedBuffer::receive) it.
    ///
    /// # Errors
    ///
    /// Those of [`Memfd::create`]; [`OpenErrorKind::InvalidOption`] for slots out of range.
    pub fn create_anonymous(self, label: &str) -> Result<(BoundedBuffer, Memfd), OpenError> {
        let resource = Resource::named("bounded buffer in memfd", label);
        let (shape, len) = self.shape(&resource)?;
        let memfd = Memfd::create(label, len, self.segment.backing)?;
        memfd.seal_size()?;
        let mapping = memfd.map(Access::ReadWrite)?;
        initialise(&mapping, shape);
        let origin = (Establishment::Inheritance, Lifetime::Endpoints);
        Ok((BoundedBuffer::attach(mapping, origin, resource)?, memfd))
    }

    /// The shape, and the length of its segment in bytes.
    fn shape(self, resource: &Resource) -> Result<(Shape, usize), OpenError> {
        let shape = u32::try_from(self.slots)
            .and_then(|slots| Ok(Shape { slots, slot_bytes: u32::try_from(self.slot_bytes)? }));
        let shape = shape.ok().and_then(|shape| Some((shape, shape.segment_len()?)));
        shape.ok_or_else(|| {
            let requirement = format!(
                "{} of {} bytes; it must be 1 to {} slots, of at most as many bytes, that fit in \
                 the address space",
                self.slots,
                self.slot_bytes,
                u32::MAX
            );
            let kind = OpenErrorKind::InvalidOption { option: "slots", requirement };
            OpenError::new("create", resource, kind)
        })
    }
}

/// Makes fresh zeroed memory, which nobody else sees yet, an empty buffer.
fn initialise(mapping: &Mapping, shape: Shape) {
    control(mapping).initialise(shape.slots);
    shape.write(mapping);
}

/// The control words in memory that is long enough for them.
fn control(mapping: &Mapping) -> &Control {
    // Checks that the mapping is writable, and the start of the words.
    let start: *const _ = mapping.atomic_u32(layout::CONTROL_AT);
    let end = layout::CONTROL_AT + size_of::<Control>();
    assert!(end <= mapping.len(), "a buffer is at least that long");
    // SAFETY: mapped as long as the reference lives, long enough as asserted, aligned to 128 since the
    // mapping is to pages, and all of it is atomics, for which any bytes are a value.
    unsafe { &*start.cast::<Control>() }
}

/// The memory of a buffer, and what is known of it.
pub(super) struct Memory {
    pub(super) mapping: Mapping,
    pub(super) shape: Shape,
    pub(super) establishment: Establishment,
    pub(super) lifetime: Lifetime,
    pub(super) resource: Resource,
}

impl Memory {
    pub(super) fn control(&self) -> &Control {
        control(&self.mapping)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("resource", &self.resource)
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}
