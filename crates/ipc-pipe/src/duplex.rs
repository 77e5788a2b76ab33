//! Links both ways, made of two pipes: full duplex, where both sides send at once, and half duplex, where
//! one side has the turn. The type says which. Leaves out pipes themselves.

use std::process::Command;

use ipc_core::handover::ChildEnd;
use ipc_core::{
    Deadline, Direction, LinkProperties, OpenError, OpenErrorKind, Received, Receiver, RecvError,
    Resource, SendError, Sender, WaitStrategy,
};

use crate::{PipeReceiver, PipeSender, pipe};

/// One side of a full-duplex link: both sides send and receive at once.
///
/// The two ends are public: use them in place, or take them out, to two threads, say.
///
/// ```
/// use ipc_core::{Receiver, Sender};
///
/// let (mut ours, mut theirs) = ipc_pipe::duplex()?;
/// ours.sender.send(b"question")?;
/// theirs.sender.send(b"question back")?; // it need not wait
/// let mut buffer = [0; 16];
/// assert_eq!(theirs.receiver.recv(&mut buffer)?.len, 8);
/// assert_eq!(ours.receiver.recv(&mut buffer)?.len, 13);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DuplexPipe {
    /// Sends to the other side.
    pub sender: PipeSender,
    /// Receives from the other side.
    pub receiver: PipeReceiver,
}

/// Makes a full-duplex link of two pipes.
///
/// # Errors
///
/// [`OpenErrorKind::Limit`] when descriptors are exhausted.
pub fn duplex() -> Result<(DuplexPipe, DuplexPipe), OpenError> {
    let (there_sender, there_receiver) = pipe()?;
    let (back_sender, back_receiver) = pipe()?;
    Ok((
        DuplexPipe { sender: there_sender, receiver: back_receiver },
        DuplexPipe { sender: back_sender, receiver: there_receiver },
    ))
}

impl DuplexPipe {
    /// Changes how this side's receives wait. See [`PipeReceiver::with_strategy`].
    #[must_use]
    pub fn with_strategy(mut self, strategy: WaitStrategy) -> Self {
        self.receiver = self.receiver.with_strategy(strategy);
        self
    }

    /// What the link is like as a whole: as of its pipes, but both ways.
    pub fn properties(&self) -> LinkProperties {
        LinkProperties { direction: Direction::FullDuplex, ..self.sender.properties() }
    }

    /// Gives this side to the child that `command` will start, and only to it: its two ends, by the
    /// environment variables `variable` followed by `_SEND` and `_RECEIVE`. Hold what is returned until
    /// the child is started. See [`PipeSender::give_to`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn give_to(
        self,
        command: &mut Command,
        variable: &str,
    ) -> Result<[ChildEnd; 2], OpenError> {
        let [send, receive] = variables(variable);
        Ok([self.sender.give_to(command, &send)?, self.receiver.give_to(command, &receive)?])
    }

    /// In a child: takes the side that was given to it under this name.
    ///
    /// # Errors
    ///
    /// Those of [`PipeSender::inherited`].
    pub fn inherited(variable: &str) -> Result<Self, OpenError> {
        let [send, receive] = variables(variable);
        Ok(Self {
            sender: PipeSender::inherited(&send)?,
            receiver: PipeReceiver::inherited(&receive)?,
        })
    }
}

fn variables(variable: &str) -> [String; 2] {
    [format!("{variable}_SEND"), format!("{variable}_RECEIVE")]
}

/// One side of a half-duplex link: the side that has the **turn** sends, the other receives, until the
/// turn is passed. Speaking out of turn is [`HalfDuplexError::OutOfTurn`], and has no effect.
///
/// On the wire a message is that of a pipe, and passing the turn an empty one; so messages have at least
/// one byte.
///
/// ```
/// use ipc_core::Deadline;
/// use ipc_pipe::{Heard, HalfDuplexError};
///
/// let (mut first, mut second) = ipc_pipe::half_duplex()?;
/// let refused = second.send(b"me!", Deadline::Now);
/// assert!(matches!(refused, Err(HalfDuplexError::OutOfTurn)));
///
/// first.send(b"over to you", Deadline::Never)?;
/// first.pass_turn(Deadline::Never)?;
/// let mut buffer = [0; 16];
/// assert!(matches!(second.receive(&mut buffer, Deadline::Never)?, Heard::Message(_)));
/// assert!(matches!(second.receive(&mut buffer, Deadline::Never)?, Heard::Turn));
/// second.send(b"thanks", Deadline::Never)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct HalfDuplexPipe {
    ends: DuplexPipe,
    has_turn: bool,
}

/// What a side without the turn receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message, at the front of the buffer.
    Message(Received),
    /// The turn: this side may send now.
    Turn,
}

/// Why nothing was sent or received over a half-duplex link.
#[derive(Debug, thiserror::Error)]
pub enum HalfDuplexError {
    /// It is the other side's turn to do this. Nothing happened.
    #[error("half-duplex link: it is not this side's turn")]
    OutOfTurn,
    /// The message was not sent, nor was the turn passed.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Nothing was received.
    #[error(transparent)]
    Receive(#[from] RecvError),
}

/// Makes a half-duplex link. The first side has the turn.
///
/// # Errors
///
/// [`OpenErrorKind::Limit`] when descriptors are exhausted.
pub fn half_duplex() -> Result<(HalfDuplexPipe, HalfDuplexPipe), OpenError> {
    let (first, second) = duplex()?;
    let side = |ends, has_turn| HalfDuplexPipe { ends, has_turn };
    Ok((side(first, true), side(second, false)))
}

#[cfg(feature = "testing")]
impl HalfDuplexPipe {
    /// A side over these ends.
    pub(crate) fn over(ends: DuplexPipe, has_turn: bool) -> Self {
        Self { ends, has_turn }
    }

    pub(crate) fn ends_mut(&mut self) -> &mut DuplexPipe {
        &mut self.ends
    }
}

impl HalfDuplexPipe {
    /// Changes how this side waits to hear. See [`PipeReceiver::with_strategy`].
    #[must_use]
    pub fn with_strategy(mut self, strategy: WaitStrategy) -> Self {
        self.ends = self.ends.with_strategy(strategy);
        self
    }

    /// Whether this side may send.
    pub fn has_turn(&self) -> bool {
        self.has_turn
    }

    /// What the link is like.
    pub fn properties(&self) -> LinkProperties {
        let mut properties = self.ends.properties();
        properties.direction = Direction::HalfDuplex;
        properties.message_length.min = 1;
        properties
    }

    /// Sends a message, waiting for room until `deadline`.
    ///
    /// # Errors
    ///
    /// [`HalfDuplexError::OutOfTurn`]; [`SendError::TooShort`] for an empty message; those of
    /// [`PipeSender`].
    pub fn send(&mut self, message: &[u8], deadline: Deadline) -> Result<(), HalfDuplexError> {
        if !self.has_turn {
            return Err(HalfDuplexError::OutOfTurn);
        }
        if message.is_empty() {
            let link = Resource::unnamed("half-duplex pipe");
            return Err(SendError::too_short(0, 1, &link).into());
        }
        Ok(self.ends.sender.send_deadline(message, deadline)?)
    }

    /// Passes the turn to the other side, waiting for room until `deadline`. A time-out leaves it here.
    ///
    /// # Errors
    ///
    /// [`HalfDuplexError::OutOfTurn`]; those of [`PipeSender`].
    pub fn pass_turn(&mut self, deadline: Deadline) -> Result<(), HalfDuplexError> {
        if !self.has_turn {
            return Err(HalfDuplexError::OutOfTurn);
        }
        self.ends.sender.send_deadline(&[], deadline)?;
        self.has_turn = false;
        Ok(())
    }

    /// Receives a message, or the turn, waiting until `deadline`.
    ///
    /// # Errors
    ///
    /// [`HalfDuplexError::OutOfTurn`] while this side has the turn: the other can send nothing; those of
    /// [`PipeReceiver`].
    pub fn receive(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Heard, HalfDuplexError> {
        if self.has_turn {
            return Err(HalfDuplexError::OutOfTurn);
        }
        let received = self.ends.receiver.recv_deadline(buffer, deadline)?;
        if received.len > 0 {
            return Ok(Heard::Message(received));
        }
        self.has_turn = true;
        Ok(Heard::Turn)
    }

    /// Gives this side to a child, with or without the turn as it has it. See [`DuplexPipe::give_to`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn give_to(
        self,
        command: &mut Command,
        variable: &str,
    ) -> Result<[ChildEnd; 2], OpenError> {
        command.env(format!("{variable}_TURN"), if self.has_turn { "1" } else { "0" });
        self.ends.give_to(command, variable)
    }

    /// In a child: takes the side that was given to it under this name.
    ///
    /// # Errors
    ///
    /// Those of [`PipeSender::inherited`].
    pub fn inherited(variable: &str) -> Result<Self, OpenError> {
        let name = format!("{variable}_TURN");
        let has_turn = match std::env::var(&name).as_deref() {
            Ok("1") => true,
            Ok("0") => false,
            _ => {
                let link = Resource::named("half-duplex pipe of environment variable", &name);
                let requirement = "the variable must be 0 or 1".into();
                let kind = OpenErrorKind::InvalidOption { option: "turn", requirement };
                return Err(OpenError::new("inherit", &link, kind));
            }
        };
        Ok(Self { ends: DuplexPipe::inherited(variable)?, has_turn })
    }
}
