//! `interprocess`: local sockets, which on Linux are Unix stream sockets.
//!
//! It carries bytes without boundaries, so a user frames them: here a length of four bytes before each
//! message, both written by one vectored write, and read through a `BufReader`, as its examples
//! (`local_socket/sync`) do: one system call each way for a small message. Its documentation has no
//! section on speed; blocking calls are its default, and asynchronous ones are Tokio's, which is
//! measured by itself.

use std::io::{BufReader, IoSlice, Read, Write};
use std::os::fd::AsFd;

use interprocess::local_socket::traits::{Listener as _, Stream as _};
use interprocess::local_socket::{GenericFilePath, ListenerOptions, Name, Stream, ToFsName as _};
use ipc_benches::kernel_mechanism;
use ipc_benches::mechanisms::Mechanism;
use ipc_benches::session::Wait;
use ipc_core::{
    Capacity, Carrier, Deadline, Interest, LinkProperties, MessageLength, OpenError, OsError,
    Received, Receiver, RecvError, Resource, SendError, Sender, poll,
};
use ipc_testing::{Invitation, Pending, Scope, Transport};

use crate::common::{properties, too_small};

const NAME: &str = "interprocess";

/// Left to sleep in the kernel.
pub const MECHANISM: Mechanism =
    Mechanism { peer: true, waits: &[Wait::Block], ..kernel_mechanism!(NAME, |_| LocalSocket) };

/// Local sockets, at paths in the scope's directory.
#[derive(Clone, Copy, Debug)]
pub struct LocalSocket;

/// The end of a socket that sends frames.
#[derive(Debug)]
pub struct FrameSender {
    stream: Stream,
    link: Resource,
}

/// The end of a socket that receives frames.
#[derive(Debug)]
pub struct FrameReceiver {
    stream: BufReader<Stream>,
    link: Resource,
}

fn link() -> Resource {
    Resource::unnamed(NAME)
}

const fn link_properties() -> LinkProperties {
    // Bounded by the socket's buffer.
    let capacity = Capacity::Unbounded { ceiling: usize::MAX };
    properties(NAME, Carrier::Kernel, capacity, MessageLength::up_to(u32::MAX as usize))
}

impl Sender for FrameSender {
    /// Waits in the kernel where there is no room, whatever the deadline.
    #[inline]
    fn send_deadline(&mut self, message: &[u8], _deadline: Deadline) -> Result<(), SendError> {
        let Self { stream, link } = self;
        let len = (message.len() as u32).to_ne_bytes();
        let mut pieces = [IoSlice::new(&len), IoSlice::new(message)];
        let mut pieces = &mut pieces[..];
        while !pieces.is_empty() {
            match stream.write_vectored(pieces) {
                Ok(written) => IoSlice::advance_slices(&mut pieces, written),
                Err(error) => return Err(OsError::new("write", link, error).into()),
            }
        }
        Ok(())
    }

    fn properties(&self) -> LinkProperties {
        link_properties()
    }
}

impl Receiver for FrameReceiver {
    #[inline]
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        let Self { stream, link } = self;
        let failed = |error| OsError::new("read", link, error);
        if deadline != Deadline::Never && stream.buffer().is_empty() {
            let Stream::UdSocket(socket) = stream.get_ref();
            let ready = poll::wait_ready(socket.as_fd(), Interest::Readable, deadline);
            if !ready.map_err(failed)? {
                return Err(RecvError::no_message(deadline));
            }
        }
        let mut len = [0; 4];
        stream.read_exact(&mut len).map_err(failed)?;
        let needed = u32::from_ne_bytes(len) as usize;
        let buffer_len = buffer.len();
        let place = buffer.get_mut(..needed);
        let place = place.ok_or_else(|| too_small(needed, buffer_len, link))?;
        stream.read_exact(place).map_err(failed)?;
        Ok(Received::of_len(needed))
    }

    fn properties(&self) -> LinkProperties {
        link_properties()
    }
}

/// The address of a path.
fn address(path: &str) -> Result<Name<'_>, OpenError> {
    path.to_fs_name::<GenericFilePath>().map_err(|e| OpenError::from_os("name", &link(), e))
}

/// Listens at a new path, and will accept one connection.
fn listen(scope: &Scope) -> Result<(Invitation, Pending<Stream>), OpenError> {
    let path = scope.path(scope.name().as_str()).display().to_string();
    let listener = ListenerOptions::new().name(address(&path)?).create_sync();
    let listener = listener.map_err(|e| OpenError::from_os("listen", &link(), e))?;
    let pending = Pending::new(move |_| {
        listener.accept().map_err(|e| OpenError::from_os("accept", &link(), e))
    });
    Ok((Invitation::of_text(path), pending))
}

fn connect(invitation: &Invitation) -> Result<Stream, OpenError> {
    let stream = Stream::connect(address(&invitation.text)?);
    stream.map_err(|e| OpenError::from_os("connect", &link(), e))
}

fn sender(stream: Stream) -> FrameSender {
    FrameSender { stream, link: link() }
}

fn receiver(stream: Stream) -> FrameReceiver {
    FrameReceiver { stream: BufReader::new(stream), link: link() }
}

impl Transport for LocalSocket {
    type Sender = FrameSender;
    type Receiver = FrameReceiver;

    fn name(&self) -> &'static str {
        NAME
    }

    fn invite_receiver(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<FrameSender>), OpenError> {
        let (invitation, pending) = listen(scope)?;
        Ok((invitation, pending.map(sender)))
    }

    fn invite_sender(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<FrameReceiver>), OpenError> {
        let (invitation, pending) = listen(scope)?;
        Ok((invitation, pending.map(receiver)))
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<FrameReceiver, OpenError> {
        connect(&invitation).map(receiver)
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<FrameSender, OpenError> {
        connect(&invitation).map(sender)
    }
}
