//! Libraries whose links are connected streams of bytes: how host and guest connect, at a path in the
//! scope's directory, and the header of the frames that their messages travel in. Leaves out the calls.

use std::io;

use ipc_core::{
    Capacity, Carrier, LinkProperties, MessageLength, OpenError, Receiver, Resource, Sender,
};
use ipc_testing::{Invitation, Pending, Scope, Transport};

use crate::common::properties;

/// How a library connects streams, and which ends send and receive frames over one.
pub trait StreamLibrary: Send + Sync + 'static {
    /// Its crate's name.
    const NAME: &'static str;
    /// What waits for a connection.
    type Listener: 'static;
    /// A connection.
    type Stream: 'static;
    /// The end that sends frames.
    type Sender: Sender + 'static;
    /// The end that receives frames.
    type Receiver: Receiver + 'static;

    /// Listens at a path.
    ///
    /// # Errors
    ///
    /// Those of `bind(2)`.
    fn listen(path: &str) -> io::Result<Self::Listener>;

    /// Waits for the one connection.
    ///
    /// # Errors
    ///
    /// Those of `accept(2)`.
    fn accept(listener: Self::Listener) -> io::Result<Self::Stream>;

    /// Connects to the path.
    ///
    /// # Errors
    ///
    /// Those of `connect(2)`.
    fn connect(path: &str) -> io::Result<Self::Stream>;

    /// Sends over a connection.
    fn sender(stream: Self::Stream) -> Self::Sender;

    /// Receives over a connection.
    fn receiver(stream: Self::Stream) -> Self::Receiver;
}

/// A library's streams as a transport.
#[derive(Clone, Copy, Debug)]
pub struct Streams<L>(
    /// The library.
    pub L,
);

/// What errors name.
pub(crate) fn link<L: StreamLibrary>() -> Resource {
    Resource::unnamed(L::NAME)
}

/// Bounded by the socket's buffer.
pub(crate) const fn link_properties<L: StreamLibrary>() -> LinkProperties {
    let capacity = Capacity::Unbounded { ceiling: usize::MAX };
    properties(L::NAME, Carrier::Kernel, capacity, MessageLength::up_to(u32::MAX as usize))
}

/// The length before a message.
pub(crate) const HEADER_LEN: usize = 4;

/// The bytes before a message.
pub(crate) fn header(message: &[u8]) -> [u8; HEADER_LEN] {
    (message.len() as u32).to_ne_bytes()
}

impl<L: StreamLibrary> Streams<L> {
    /// Listens at a new path, and will accept one connection.
    fn listen<E: 'static>(
        scope: &Scope,
        end: fn(L::Stream) -> E,
    ) -> Result<(Invitation, Pending<E>), OpenError> {
        let path = scope.path(scope.name().as_str()).display().to_string();
        let listener =
            L::listen(&path).map_err(|e| OpenError::from_os("listen", &link::<L>(), e))?;
        let pending = Pending::new(move |_| {
            let stream = L::accept(listener);
            stream.map(end).map_err(|e| OpenError::from_os("accept", &link::<L>(), e))
        });
        Ok((Invitation::of_text(path), pending))
    }

    fn connect<E>(invitation: &Invitation, end: fn(L::Stream) -> E) -> Result<E, OpenError> {
        let stream = L::connect(&invitation.text);
        stream.map(end).map_err(|e| OpenError::from_os("connect", &link::<L>(), e))
    }
}

impl<L: StreamLibrary> Transport for Streams<L> {
    type Sender = L::Sender;
    type Receiver = L::Receiver;

    fn name(&self) -> &'static str {
        L::NAME
    }

    fn invite_receiver(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<L::Sender>), OpenError> {
        Self::listen(scope, L::sender)
    }

    fn invite_sender(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<L::Receiver>), OpenError> {
        Self::listen(scope, L::receiver)
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<L::Receiver, OpenError> {
        Self::connect(&invitation, L::receiver)
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<L::Sender, OpenError> {
        Self::connect(&invitation, L::sender)
    }
}
