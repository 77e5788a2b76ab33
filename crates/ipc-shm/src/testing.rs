//! What tests of shared memory share, and the bounded buffer as the conformance suite and the benchmark
//! make it.

pub mod oracle;

use ipc_core::{Name, OpenError, OpenErrorKind, Resource, WaitStrategy};
use ipc_testing::{Invitation, Pending, Scope, Transport};

use crate::{Backing, BoundedBuffer, BufferOptions, BufferReceiver, BufferSender, Segment};

/// A fresh name, whose segment is removed at the end of the scope if it is still there.
pub fn segment_name(scope: &Scope) -> Name {
    let name = scope.name();
    let removed = name.clone();
    scope.defer(move || drop(Segment::unlink_name(&removed)));
    name
}

/// A bounded buffer in a sealed memfd, passed as a descriptor.
#[derive(Clone, Copy, Debug)]
pub struct SemaphoreBuffer {
    /// How both ends wait.
    pub strategy: WaitStrategy,
    /// How many messages it holds.
    pub slots: usize,
    /// Length of the longest message in bytes.
    pub slot_bytes: usize,
}

impl SemaphoreBuffer {
    /// A buffer for messages of `slot_bytes`, with as many slots (2 to 64) as 4 MiB hold. Its memory
    /// is backed as it is touched.
    pub fn with_slot_bytes(slot_bytes: usize, strategy: WaitStrategy) -> Self {
        let slots = ((4 << 20) / slot_bytes.max(1)).clamp(2, 64);
        Self { strategy, slots, slot_bytes }
    }

    fn options(self) -> BufferOptions {
        BoundedBuffer::options()
            .slots(self.slots)
            .slot_bytes(self.slot_bytes)
            .backing(Backing::Lazy)
    }

    fn begin(self) -> Result<(Invitation, BoundedBuffer), OpenError> {
        let (buffer, memfd) = self.options().create_anonymous("ipc-testing")?;
        Ok((Invitation::of_descriptors(vec![memfd.into_fd()]), buffer))
    }
}

impl Default for SemaphoreBuffer {
    /// Eight slots of 4 KiB, spinning before it sleeps.
    fn default() -> Self {
        Self { strategy: WaitStrategy::default(), slots: 8, slot_bytes: 4096 }
    }
}

impl Transport for SemaphoreBuffer {
    type Sender = BufferSender;
    type Receiver = BufferReceiver;

    fn name(&self) -> &'static str {
        "shm-semaphore"
    }

    fn invite_receiver(&self, _: &Scope) -> Result<(Invitation, Pending<BufferSender>), OpenError> {
        let (invitation, buffer) = self.begin()?;
        Ok((invitation, Pending::ready(buffer.sender().with_strategy(self.strategy))))
    }

    fn invite_sender(&self, _: &Scope) -> Result<(Invitation, Pending<BufferReceiver>), OpenError> {
        let (invitation, buffer) = self.begin()?;
        Ok((invitation, Pending::ready(buffer.receiver().with_strategy(self.strategy))))
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<BufferReceiver, OpenError> {
        Ok(join(invitation)?.receiver().with_strategy(self.strategy))
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<BufferSender, OpenError> {
        Ok(join(invitation)?.sender().with_strategy(self.strategy))
    }
}

/// The buffer whose descriptor is in the invitation.
fn join(invitation: Invitation) -> Result<BoundedBuffer, OpenError> {
    let memfd = invitation.descriptors.into_iter().next();
    let missing =
        || OpenError::new("join", &Resource::unnamed("invitation"), OpenErrorKind::PeerGone);
    BoundedBuffer::receive(memfd.ok_or_else(missing)?)
}

/// The same in a named segment.
#[derive(Clone, Copy, Debug, Default)]
pub struct NamedSemaphoreBuffer(
    /// Its strategy and shape.
    pub SemaphoreBuffer,
);

impl NamedSemaphoreBuffer {
    fn begin(&self, scope: &Scope) -> Result<(Invitation, BoundedBuffer), OpenError> {
        let name = scope.name();
        let buffer = self.0.options().create_new(&name)?;
        let invitation = Invitation::of_text(name.as_str());
        scope.defer(move || Segment::unlink_name(&name).expect("nobody else unlinks it"));
        Ok((invitation, buffer))
    }
}

impl Transport for NamedSemaphoreBuffer {
    type Sender = BufferSender;
    type Receiver = BufferReceiver;

    fn name(&self) -> &'static str {
        "shm-semaphore-named"
    }

    fn invite_receiver(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<BufferSender>), OpenError> {
        let (invitation, buffer) = self.begin(scope)?;
        Ok((invitation, Pending::ready(buffer.sender().with_strategy(self.0.strategy))))
    }

    fn invite_sender(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<BufferReceiver>), OpenError> {
        let (invitation, buffer) = self.begin(scope)?;
        Ok((invitation, Pending::ready(buffer.receiver().with_strategy(self.0.strategy))))
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<BufferReceiver, OpenError> {
        Ok(open(&invitation)?.receiver().with_strategy(self.0.strategy))
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<BufferSender, OpenError> {
        Ok(open(&invitation)?.sender().with_strategy(self.0.strategy))
    }
}

/// The buffer whose name is in the invitation.
fn open(invitation: &Invitation) -> Result<BoundedBuffer, OpenError> {
    let name = Name::new(&invitation.text)
        .map_err(|error| OpenError::new("join", &Resource::unnamed("invitation"), error.into()))?;
    BoundedBuffer::open(&name)
}
