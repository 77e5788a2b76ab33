//! How the conformance suite and the benchmark make links of this crate.

use std::os::fd::OwnedFd;

use ipc_core::{Deadline, OpenError, OpenErrorKind, Resource, WaitStrategy};
use ipc_testing::{Invitation, Pending, Scope, Transport};

use crate::{
    FifoReceiver, FifoSender, PipeReceiver, PipeSender, SharedFifoReceiver, SharedFifoSender,
};

mod both_ways;
mod pieces;

pub use both_ways::{Duplex, DuplexFifo, End, HalfDuplex};
pub use pieces::pieces;

/// Ordinary pipes; the guest's end travels as a descriptor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pipe;

/// Ordinary pipes whose receivers wait in this way.
#[derive(Clone, Copy, Debug)]
pub struct WaitingPipe(pub WaitStrategy);

impl Transport for WaitingPipe {
    type Sender = PipeSender;
    type Receiver = PipeReceiver;

    fn name(&self) -> &'static str {
        match self.0 {
            WaitStrategy::Spin => "pipe-spin",
            WaitStrategy::Adaptive { .. } => "pipe-adaptive",
            WaitStrategy::Park => "pipe-park",
        }
    }

    fn invite_receiver(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<PipeSender>), OpenError> {
        Pipe.invite_receiver(scope)
    }

    fn invite_sender(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<PipeReceiver>), OpenError> {
        let strategy = self.0;
        let (invitation, pending) = Pipe.invite_sender(scope)?;
        Ok((invitation, pending.map(move |receiver| receiver.with_strategy(strategy))))
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<PipeReceiver, OpenError> {
        Ok(Pipe.join_as_receiver(invitation)?.with_strategy(self.0))
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<PipeSender, OpenError> {
        Pipe.join_as_sender(invitation)
    }
}

impl Transport for Pipe {
    type Sender = PipeSender;
    type Receiver = PipeReceiver;

    fn name(&self) -> &'static str {
        "pipe"
    }

    fn invite_receiver(
        &self,
        _scope: &Scope,
    ) -> Result<(Invitation, Pending<PipeSender>), OpenError> {
        let (sender, receiver) = crate::pipe()?;
        let guests = receiver.into_blocking_descriptor()?;
        Ok((Invitation::of_descriptors(vec![guests]), Pending::ready(sender)))
    }

    fn invite_sender(
        &self,
        _scope: &Scope,
    ) -> Result<(Invitation, Pending<PipeReceiver>), OpenError> {
        let (sender, receiver) = crate::pipe()?;
        let guests = sender.into_blocking_descriptor()?;
        Ok((Invitation::of_descriptors(vec![guests]), Pending::ready(receiver)))
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<PipeReceiver, OpenError> {
        only_descriptor(invitation)?.try_into()
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<PipeSender, OpenError> {
        only_descriptor(invitation)?.try_into()
    }
}

fn only_descriptor(mut invitation: Invitation) -> Result<OwnedFd, OpenError> {
    invitation.descriptors.pop().ok_or_else(|| {
        let requirement = "it must bring one descriptor".into();
        let kind = OpenErrorKind::InvalidOption { option: "invitation", requirement };
        OpenError::new("join", &Resource::unnamed("pipe"), kind)
    })
}

/// FIFOs, in the scope's directory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fifo;

impl Fifo {
    fn create(scope: &Scope) -> Result<(crate::Fifo, Invitation), OpenError> {
        let fifo = crate::Fifo::create_new(scope.path(scope.name().as_str()))?;
        let named = fifo.clone();
        scope.defer(move || {
            let _ = named.unlink(); // the scope removes its directory in any case
        });
        let invitation = Invitation::of_text(fifo.path().display().to_string());
        Ok((fifo, invitation))
    }
}

impl Transport for Fifo {
    type Sender = FifoSender;
    type Receiver = FifoReceiver;

    fn name(&self) -> &'static str {
        "fifo"
    }

    fn invite_receiver(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<FifoSender>), OpenError> {
        let (fifo, invitation) = Self::create(scope)?;
        Ok((invitation, Pending::new(move |_| fifo.open_sender(Deadline::Never))))
    }

    fn invite_sender(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<FifoReceiver>), OpenError> {
        let (fifo, invitation) = Self::create(scope)?;
        Ok((invitation, Pending::ready(fifo.open_receiver()?)))
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<FifoReceiver, OpenError> {
        crate::Fifo::open(invitation.text)?.open_receiver()
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<FifoSender, OpenError> {
        crate::Fifo::open(invitation.text)?.open_sender(Deadline::Never)
    }
}

/// FIFOs that several may receive from, in the scope's directory.
#[derive(Clone, Copy, Debug, Default)]
pub struct SharedFifo;

impl Transport for SharedFifo {
    type Sender = SharedFifoSender;
    type Receiver = SharedFifoReceiver;

    fn name(&self) -> &'static str {
        "fifo-shared"
    }

    fn invite_receiver(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<SharedFifoSender>), OpenError> {
        let (fifo, invitation) = Fifo::create(scope)?;
        Ok((invitation, Pending::new(move |_| fifo.open_shared_sender(Deadline::Never))))
    }

    fn invite_sender(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<SharedFifoReceiver>), OpenError> {
        let (fifo, invitation) = Fifo::create(scope)?;
        Ok((invitation, Pending::ready(fifo.open_shared_receiver()?)))
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<SharedFifoReceiver, OpenError> {
        crate::Fifo::open(invitation.text)?.open_shared_receiver()
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<SharedFifoSender, OpenError> {
        crate::Fifo::open(invitation.text)?.open_shared_sender(Deadline::Never)
    }
}
