//! How the conformance suite and the benchmark make links over sockets.
//!
//! A host listens, in the scope's directory or on a free port of the loopback device, and its guest
//! connects. Where the guest is to receive datagrams, it binds, and tells its address over such a
//! connection. Leaves out direct links (`direct.rs`).

mod direct;

use std::time::Duration;

use ipc_core::{Deadline, OpenError, OpenErrorKind, Receiver, Resource, Sender};
use ipc_testing::{Invitation, Pending, Scope, Transport};

pub use direct::{Direct, DirectEnd, DirectOneWay};

use crate::{
    PacketReceiver, PacketSender, StreamReceiver, StreamSender, TcpConnection, TcpListener,
    UdpOptions, UnixAddress, UnixOptions, UnixSeqpacketConnection, UnixSeqpacketListener,
    UnixStreamConnection, UnixStreamListener,
};

/// Unix stream sockets at a path.
#[derive(Clone, Copy, Debug)]
pub struct UnixStream;

/// Unix stream sockets at an abstract name, whose messages are all taken whole.
#[derive(Clone, Copy, Debug)]
pub struct AbstractStream;

/// Unix seqpacket sockets at an abstract name.
#[derive(Clone, Copy, Debug)]
pub struct AbstractSeqpacket;

/// Unix seqpacket sockets at a path.
#[derive(Clone, Copy, Debug)]
pub struct UnixSeqpacket;

/// Unix datagram sockets at a path.
#[derive(Clone, Copy, Debug)]
pub struct UnixDatagram;

/// Unix datagram sockets at an abstract name.
#[derive(Clone, Copy, Debug)]
pub struct AbstractDatagram;

/// TCP over the loopback device, by version 4 of the internet protocol.
#[derive(Clone, Copy, Debug)]
pub struct Tcp;

/// TCP over the loopback device, by version 6 of the internet protocol.
#[derive(Clone, Copy, Debug)]
pub struct TcpOverV6;

/// UDP over the loopback device, by version 4 of the internet protocol.
#[derive(Clone, Copy, Debug)]
pub struct Udp;

/// UDP over the loopback device, by version 6 of the internet protocol.
#[derive(Clone, Copy, Debug)]
pub struct UdpOverV6;

/// A free port of the loopback device.
const LOOPBACK: &str = "127.0.0.1:0";
const LOOPBACK_V6: &str = "[::1]:0";

/// How long one process waits for the other to connect.
fn patience() -> Deadline {
    Deadline::after(Duration::from_secs(30))
}

/// A path that no other call has returned.
fn fresh_path(scope: &Scope) -> UnixAddress {
    UnixAddress::path(scope.path(scope.name().as_str()))
}

/// An abstract name that no other call has returned.
fn fresh_name(scope: &Scope) -> String {
    scope.name().as_str().to_owned()
}

/// Implements a transport whose host listens and whose guest connects.
macro_rules! connection_transport {
    (
        $transport:ty, $name:literal, $sender:ty, $receiver:ty, $listen:path, $connect:path
        $(, missing: $missing:path)?
    ) => {
        impl Transport for $transport {
            type Sender = $sender;
            type Receiver = $receiver;

            fn name(&self) -> &'static str {
                $name
            }
            $(
                fn missing(&self) -> Option<String> {
                    $missing()
                }
            )?

            fn invite_receiver(
                &self,
                scope: &Scope,
            ) -> Result<(Invitation, Pending<$sender>), OpenError> {
                let (invitation, listener) = $listen(scope)?;
                Ok((invitation, Pending::new(move |_| Ok(listener.accept(patience())?.sender))))
            }

            fn invite_sender(
                &self,
                scope: &Scope,
            ) -> Result<(Invitation, Pending<$receiver>), OpenError> {
                let (invitation, listener) = $listen(scope)?;
                Ok((invitation, Pending::new(move |_| Ok(listener.accept(patience())?.receiver))))
            }

            fn join_as_receiver(&self, invitation: Invitation) -> Result<$receiver, OpenError> {
                Ok($connect(&invitation.text)?.receiver)
            }

            fn join_as_sender(&self, invitation: Invitation) -> Result<$sender, OpenError> {
                Ok($connect(&invitation.text)?.sender)
            }
        }
    };
}

connection_transport!(
    UnixStream,
    "unix-stream",
    StreamSender,
    StreamReceiver,
    listen_stream,
    connect_stream
);
connection_transport!(
    AbstractStream,
    "unix-stream-abstract",
    StreamSender,
    StreamReceiver,
    listen_abstract_stream,
    connect_abstract_stream
);
connection_transport!(
    AbstractSeqpacket,
    "unix-seqpacket-abstract",
    PacketSender,
    PacketReceiver,
    listen_abstract_seqpacket,
    connect_abstract_seqpacket
);
connection_transport!(
    UnixSeqpacket,
    "unix-seqpacket",
    PacketSender,
    PacketReceiver,
    listen_seqpacket,
    connect_seqpacket
);
connection_transport!(Tcp, "tcp", StreamSender, StreamReceiver, listen_tcp, connect_tcp);
connection_transport!(
    TcpOverV6,
    "tcp-v6",
    StreamSender,
    StreamReceiver,
    listen_tcp_over_v6,
    connect_tcp,
    missing: missing_v6
);

fn listen_stream(scope: &Scope) -> Result<(Invitation, UnixStreamListener), OpenError> {
    let address = fresh_path(scope);
    Ok((Invitation::of_text(address.to_string()), UnixStreamListener::bind(&address)?))
}

fn connect_stream(address: &str) -> Result<UnixStreamConnection, OpenError> {
    UnixStreamConnection::connect(address, patience())
}

fn listen_seqpacket(scope: &Scope) -> Result<(Invitation, UnixSeqpacketListener), OpenError> {
    let address = fresh_path(scope);
    Ok((Invitation::of_text(address.to_string()), UnixSeqpacketListener::bind(&address)?))
}

fn connect_seqpacket(address: &str) -> Result<UnixSeqpacketConnection, OpenError> {
    UnixSeqpacketConnection::connect(address, patience())
}

/// Streams that declare that what they accepted survives the sender.
fn taking_whole() -> UnixOptions {
    UnixOptions::new().max_message_len(16 * 1024)
}

fn listen_abstract_stream(scope: &Scope) -> Result<(Invitation, UnixStreamListener), OpenError> {
    let name = fresh_name(scope);
    let listener = taking_whole().listen_stream(UnixAddress::abstract_name(&name))?;
    Ok((Invitation::of_text(name), listener))
}

fn connect_abstract_stream(name: &str) -> Result<UnixStreamConnection, OpenError> {
    taking_whole().connect_stream(UnixAddress::abstract_name(name), patience())
}

fn listen_abstract_seqpacket(
    scope: &Scope,
) -> Result<(Invitation, UnixSeqpacketListener), OpenError> {
    let name = fresh_name(scope);
    let listener = UnixSeqpacketListener::bind(UnixAddress::abstract_name(&name))?;
    Ok((Invitation::of_text(name), listener))
}

fn connect_abstract_seqpacket(name: &str) -> Result<UnixSeqpacketConnection, OpenError> {
    UnixSeqpacketConnection::connect(UnixAddress::abstract_name(name), patience())
}

fn listen_tcp(_scope: &Scope) -> Result<(Invitation, TcpListener), OpenError> {
    listen_tcp_at(LOOPBACK)
}

fn listen_tcp_over_v6(_scope: &Scope) -> Result<(Invitation, TcpListener), OpenError> {
    listen_tcp_at(LOOPBACK_V6)
}

fn listen_tcp_at(address: &str) -> Result<(Invitation, TcpListener), OpenError> {
    let listener = TcpListener::bind(&address.parse()?)?;
    Ok((Invitation::of_text(listener.local_addr().to_string()), listener))
}

fn connect_tcp(address: &str) -> Result<TcpConnection, OpenError> {
    TcpConnection::connect(&address.parse()?, patience())
}

/// What this machine lacks for version 6 of the internet protocol.
fn missing_v6() -> Option<String> {
    let bound = std::net::UdpSocket::bind(LOOPBACK_V6);
    bound.err().map(|error| format!("an IPv6 loopback device ({error})"))
}

/// Implements a transport whose receiver binds an address and whose sender connects to it.
///
/// `$address` makes the address to bind, `$bind` binds it and tells where that is, for `$connect`.
macro_rules! datagram_transport {
    (
        $transport:ty, $name:literal, $address:path, $bind:path, $connect:path
        $(, missing: $missing:path)?
    ) => {
        impl Transport for $transport {
            type Sender = PacketSender;
            type Receiver = PacketReceiver;

            fn name(&self) -> &'static str {
                $name
            }
            $(
                fn missing(&self) -> Option<String> {
                    $missing()
                }
            )?

            fn invite_receiver(
                &self,
                scope: &Scope,
            ) -> Result<(Invitation, Pending<PacketSender>), OpenError> {
                let (invitation, meeting) = meet(scope, $address(scope))?;
                Ok((invitation, Pending::new(move |_| $connect(&hear(&meeting)?))))
            }

            fn invite_sender(
                &self,
                scope: &Scope,
            ) -> Result<(Invitation, Pending<PacketReceiver>), OpenError> {
                let (bound, receiver) = $bind(&$address(scope))?;
                Ok((Invitation::of_text(bound), Pending::ready(receiver)))
            }

            fn join_as_receiver(
                &self,
                invitation: Invitation,
            ) -> Result<PacketReceiver, OpenError> {
                let (meeting, address) = split(&invitation)?;
                let (bound, receiver) = $bind(address)?;
                tell(meeting, &bound)?;
                Ok(receiver)
            }

            fn join_as_sender(&self, invitation: Invitation) -> Result<PacketSender, OpenError> {
                $connect(&invitation.text)
            }
        }
    };
}

datagram_transport!(UnixDatagram, "unix-dgram", path_text, bind_datagram, connect_datagram);
datagram_transport!(
    AbstractDatagram,
    "unix-dgram-abstract",
    fresh_name,
    bind_abstract_datagram,
    connect_abstract_datagram
);
datagram_transport!(Udp, "udp", loopback, bind_udp, connect_udp);
datagram_transport!(
    UdpOverV6,
    "udp-v6",
    loopback_v6,
    bind_udp,
    connect_udp,
    missing: missing_v6
);

fn path_text(scope: &Scope) -> String {
    fresh_path(scope).to_string()
}

fn bind_datagram(path: &str) -> Result<(String, PacketReceiver), OpenError> {
    Ok((path.to_owned(), UnixOptions::new().bind_datagram(path)?))
}

fn connect_datagram(path: &str) -> Result<PacketSender, OpenError> {
    UnixOptions::new().connect_datagram(path)
}

fn bind_abstract_datagram(name: &str) -> Result<(String, PacketReceiver), OpenError> {
    let receiver = UnixOptions::new().bind_datagram(UnixAddress::abstract_name(name))?;
    Ok((name.to_owned(), receiver))
}

fn connect_abstract_datagram(name: &str) -> Result<PacketSender, OpenError> {
    UnixOptions::new().connect_datagram(UnixAddress::abstract_name(name))
}

fn loopback(_scope: &Scope) -> String {
    LOOPBACK.to_owned()
}

fn loopback_v6(_scope: &Scope) -> String {
    LOOPBACK_V6.to_owned()
}

fn bind_udp(address: &str) -> Result<(String, PacketReceiver), OpenError> {
    let receiver = UdpOptions::new().bind(&address.parse()?)?;
    Ok((bound_address(&receiver)?, receiver))
}

fn connect_udp(address: &str) -> Result<PacketSender, OpenError> {
    UdpOptions::new().connect(&address.parse()?)
}

fn bound_address(receiver: &PacketReceiver) -> Result<String, OpenError> {
    let address = receiver.local_addr().ok_or_else(|| failed("getsockname", "no address"))?;
    Ok(address.to_string())
}

/// Begins a meeting at which the guest will tell where it receives; `address` is what it shall bind.
fn meet(scope: &Scope, address: String) -> Result<(Invitation, UnixSeqpacketListener), OpenError> {
    let meeting = fresh_path(scope);
    let listener = UnixSeqpacketListener::bind(&meeting)?;
    Ok((Invitation::of_text(format!("{meeting}\t{address}")), listener))
}

fn split(invitation: &Invitation) -> Result<(&str, &str), OpenError> {
    invitation.text.split_once('\t').ok_or_else(|| failed("join", "an invitation of one word"))
}

/// In the guest: tells the address where it receives.
fn tell(meeting: &str, address: &str) -> Result<(), OpenError> {
    let mut connection = UnixSeqpacketConnection::connect(meeting, patience())?;
    connection.sender.send(address.as_bytes()).map_err(|error| failed("tell", error))
}

/// In the host: hears where the guest receives.
fn hear(meeting: &UnixSeqpacketListener) -> Result<String, OpenError> {
    let mut text = Vec::new();
    let mut receiver = meeting.accept(patience())?.receiver;
    receiver.recv_to_vec(&mut text, patience()).map_err(|error| failed("hear", error))?;
    String::from_utf8(text).map_err(|error| failed("hear", error))
}

fn failed(
    operation: &'static str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> OpenError {
    let kind = OpenErrorKind::Os(std::io::Error::other(error));
    OpenError::new(operation, &Resource::unnamed("meeting of host and guest"), kind)
}
