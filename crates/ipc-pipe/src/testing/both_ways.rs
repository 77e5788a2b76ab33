//! Links both ways as transports: each side holds its two ends as long as the one that the suite uses.

use std::os::fd::OwnedFd;

use ipc_core::{
    Deadline, LinkProperties, OpenError, OpenErrorKind, Received, Receiver, RecvError, Resource,
    SendError, Sender, WaitSource,
};
use ipc_testing::{Invitation, Pending, Scope, Transport};

use crate::{DuplexFifoEnds, DuplexPipe, HalfDuplexError, HalfDuplexPipe, Heard};

/// One side of a link both ways, used for one of them.
#[derive(Debug)]
pub struct End<L>(L);

/// Full-duplex pipes; the guest's two ends travel as descriptors.
#[derive(Clone, Copy, Debug, Default)]
pub struct Duplex;

/// Half-duplex pipes, of which the suite's sender has the turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct HalfDuplex;

/// Bidirectional named pipes, in the scope's directory: the host calls, the guest answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct DuplexFifo;

/// What is the same in all of them: an invitation and our side, in either role.
macro_rules! transport {
    ($transport:ty, $side:ty, $name:literal, $invite:path, $join:path) => {
        impl Transport for $transport {
            type Sender = End<$side>;
            type Receiver = End<$side>;

            fn name(&self) -> &'static str {
                $name
            }

            fn invite_receiver(
                &self,
                scope: &Scope,
            ) -> Result<(Invitation, Pending<End<$side>>), OpenError> {
                $invite(scope, true)
            }

            fn invite_sender(
                &self,
                scope: &Scope,
            ) -> Result<(Invitation, Pending<End<$side>>), OpenError> {
                $invite(scope, false)
            }

            fn join_as_receiver(&self, invitation: Invitation) -> Result<End<$side>, OpenError> {
                $join(invitation, false)
            }

            fn join_as_sender(&self, invitation: Invitation) -> Result<End<$side>, OpenError> {
                $join(invitation, true)
            }
        }
    };
}

transport!(Duplex, DuplexPipe, "pipe-duplex", invite_duplex, join_duplex);
transport!(HalfDuplex, HalfDuplexPipe, "pipe-half-duplex", invite_half_duplex, join_half_duplex);
transport!(DuplexFifo, DuplexFifoEnds, "fifo-duplex", invite_fifo, join_fifo);

fn invite_duplex(
    _scope: &Scope,
    _sends: bool,
) -> Result<(Invitation, Pending<End<DuplexPipe>>), OpenError> {
    let (ours, theirs) = crate::duplex()?;
    Ok((Invitation::of_descriptors(descriptors(theirs)?), Pending::ready(End(ours))))
}

fn join_duplex(invitation: Invitation, _sends: bool) -> Result<End<DuplexPipe>, OpenError> {
    Ok(End(of_descriptors(invitation)?))
}

fn invite_half_duplex(
    _scope: &Scope,
    sends: bool,
) -> Result<(Invitation, Pending<End<HalfDuplexPipe>>), OpenError> {
    let (ours, theirs) = crate::duplex()?;
    let ours = HalfDuplexPipe::over(ours, sends);
    Ok((Invitation::of_descriptors(descriptors(theirs)?), Pending::ready(End(ours))))
}

fn join_half_duplex(invitation: Invitation, sends: bool) -> Result<End<HalfDuplexPipe>, OpenError> {
    Ok(End(HalfDuplexPipe::over(of_descriptors(invitation)?, sends)))
}

fn invite_fifo(
    scope: &Scope,
    _sends: bool,
) -> Result<(Invitation, Pending<End<DuplexFifoEnds>>), OpenError> {
    let fifo = crate::DuplexFifo::create(scope.path(scope.name().as_str()))?;
    let invitation = Invitation::of_text(fifo.path().display().to_string());
    Ok((invitation, Pending::new(move |_| fifo.call(Deadline::Never).map(End))))
}

fn join_fifo(invitation: Invitation, _sends: bool) -> Result<End<DuplexFifoEnds>, OpenError> {
    crate::DuplexFifo::open(invitation.text)?.answer(Deadline::Never).map(End)
}

fn descriptors(side: DuplexPipe) -> Result<Vec<OwnedFd>, OpenError> {
    let DuplexPipe { sender, receiver } = side;
    Ok(vec![sender.into_blocking_descriptor()?, receiver.into_blocking_descriptor()?])
}

fn of_descriptors(invitation: Invitation) -> Result<DuplexPipe, OpenError> {
    let Ok([send, receive]) = <[OwnedFd; 2]>::try_from(invitation.descriptors) else {
        let requirement = "it must bring two descriptors".into();
        let kind = OpenErrorKind::InvalidOption { option: "invitation", requirement };
        return Err(OpenError::new("join", &Resource::unnamed("duplex pipe"), kind));
    };
    Ok(DuplexPipe { sender: send.try_into()?, receiver: receive.try_into()? })
}

/// Both kinds of full duplex have ends of their own.
macro_rules! full_duplex {
    ($side:ty) => {
        impl Sender for End<$side> {
            fn send_deadline(
                &mut self,
                message: &[u8],
                deadline: Deadline,
            ) -> Result<(), SendError> {
                self.0.sender.send_deadline(message, deadline)
            }
            fn properties(&self) -> LinkProperties {
                self.0.properties()
            }
            fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
                self.0.sender.wait_source()
            }
        }

        impl Receiver for End<$side> {
            fn recv_deadline(
                &mut self,
                buffer: &mut [u8],
                deadline: Deadline,
            ) -> Result<Received, RecvError> {
                self.0.receiver.recv_deadline(buffer, deadline)
            }
            fn properties(&self) -> LinkProperties {
                self.0.properties()
            }
            fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
                self.0.receiver.wait_source()
            }
        }
    };
}

full_duplex!(DuplexPipe);
full_duplex!(DuplexFifoEnds);

impl Sender for End<HalfDuplexPipe> {
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        self.0.send(message, deadline).map_err(|error| match error {
            HalfDuplexError::Send(error) => error,
            other => unreachable!("this side has the turn: {other}"),
        })
    }
    fn properties(&self) -> LinkProperties {
        self.0.properties()
    }
    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        self.0.ends_mut().sender.wait_source()
    }
}

impl Receiver for End<HalfDuplexPipe> {
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        match self.0.receive(buffer, deadline) {
            Ok(Heard::Message(received)) => Ok(received),
            Err(HalfDuplexError::Receive(error)) => Err(error),
            other => unreachable!("the other side keeps the turn: {other:?}"),
        }
    }
    fn properties(&self) -> LinkProperties {
        self.0.properties()
    }
    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        self.0.ends_mut().receiver.wait_source()
    }
}
