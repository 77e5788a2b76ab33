//! `ipc-channel`: Servo's channels, over Unix sockets of type `SOCK_SEQPACKET`.
//!
//! At its best: `ipc::bytes_channel`, which "does not use serialized messages" (its docs on
//! `IpcBytesReceiver`); long messages are cut into fragments by the library itself. The ends are passed
//! through an `IpcOneShotServer`, as its docs tell. Receiving allocates each message; there is no
//! receive into a buffer. A sender waits in the kernel where there is no room, whatever its deadline.

use ipc_benches::kernel_mechanism;
use ipc_benches::mechanisms::Mechanism;
use ipc_channel::TryRecvError;
use ipc_channel::ipc::{
    IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcSender, bytes_channel,
};
use ipc_core::{
    Capacity, Carrier, Deadline, LinkProperties, MessageLength, OpenError, Received, Receiver,
    RecvError, Resource, SendError, Sender,
};
use ipc_testing::{Invitation, Pending, Scope, Transport};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::common::{ask_until, deliver, failed, not_made, properties};

const NAME: &str = "ipc-channel";

/// Asked by `try_recv`, or left to sleep in `recv`.
pub const MECHANISM: Mechanism =
    Mechanism { peer: true, ..kernel_mechanism!(NAME, |_| IpcChannel) };

/// Channels of bytes.
#[derive(Clone, Copy, Debug)]
pub struct IpcChannel;

/// The sending end of a channel.
#[derive(Debug)]
pub struct ChannelSender {
    end: IpcBytesSender,
    link: Resource,
}

/// The receiving end of a channel.
#[derive(Debug)]
pub struct ChannelReceiver {
    end: IpcBytesReceiver,
    link: Resource,
}

fn link() -> Resource {
    Resource::unnamed(NAME)
}

const fn link_properties() -> LinkProperties {
    // Between two processes, it is bounded by the socket's buffer.
    let capacity = Capacity::Unbounded { ceiling: usize::MAX };
    properties(NAME, Carrier::Kernel, capacity, MessageLength::up_to(u32::MAX as usize))
}

impl Sender for ChannelSender {
    #[inline]
    fn send_deadline(&mut self, message: &[u8], _deadline: Deadline) -> Result<(), SendError> {
        Ok(self.end.send(message).map_err(|error| failed("send", &self.link, error))?)
    }

    fn properties(&self) -> LinkProperties {
        link_properties()
    }
}

impl Receiver for ChannelReceiver {
    #[inline]
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        let Self { end, link } = self;
        let message = match deadline {
            Deadline::Never => Some(end.recv().map_err(|error| failed("recv", link, error))?),
            _ => ask_until(deadline, || match end.try_recv() {
                Ok(message) => Ok(Some(message)),
                Err(TryRecvError::Empty) => Ok(None),
                Err(TryRecvError::IpcError(error)) => Err(failed("try_recv", link, error)),
            })?,
        };
        let message = message.ok_or_else(|| RecvError::no_message(deadline))?;
        deliver(&message, buffer, link)
    }

    fn properties(&self) -> LinkProperties {
        link_properties()
    }
}

impl Transport for IpcChannel {
    type Sender = ChannelSender;
    type Receiver = ChannelReceiver;

    fn name(&self) -> &'static str {
        NAME
    }

    fn invite_receiver(
        &self,
        _scope: &Scope,
    ) -> Result<(Invitation, Pending<ChannelSender>), OpenError> {
        open_door(|end| ChannelSender { end, link: link() })
    }

    fn invite_sender(
        &self,
        _scope: &Scope,
    ) -> Result<(Invitation, Pending<ChannelReceiver>), OpenError> {
        open_door(|end| ChannelReceiver { end, link: link() })
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<ChannelReceiver, OpenError> {
        let (hosts, end) = bytes_channel().map_err(|error| not_made("create", &link(), error))?;
        give(invitation, hosts)?;
        Ok(ChannelReceiver { end, link: link() })
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<ChannelSender, OpenError> {
        let (end, hosts) = bytes_channel().map_err(|error| not_made("create", &link(), error))?;
        give(invitation, hosts)?;
        Ok(ChannelSender { end, link: link() })
    }
}

/// A door by which the guest hands in the host's end of a channel that it makes.
fn open_door<E: DeserializeOwned + Serialize + 'static, End: 'static>(
    end: fn(E) -> End,
) -> Result<(Invitation, Pending<End>), OpenError> {
    let made = IpcOneShotServer::<E>::new();
    let (server, address) = made.map_err(|error| not_made("create", &link(), error))?;
    let pending = Pending::new(move |_| {
        let (_, given) = server.accept().map_err(|error| not_made("accept", &link(), error))?;
        Ok(end(given))
    });
    Ok((Invitation::of_text(address), pending))
}

/// Hands the host its end.
fn give<E: Serialize>(invitation: Invitation, hosts: E) -> Result<(), OpenError> {
    let door = IpcSender::connect(invitation.text);
    let door = door.map_err(|error| not_made("connect", &link(), error))?;
    door.send(hosts).map_err(|error| not_made("send an end to the host", &link(), error))
}
