//! Unix sockets as the system makes them and tells about them. Leaves out addresses and options.

use std::os::fd::{BorrowedFd, OwnedFd};

use ipc_core::{Establishment, OpenError, OpenErrorKind, PeerId, ProcessPeer, Resource};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::PACKET_OVERHEAD_LEN;
use crate::control;
use crate::framing;
use crate::link::Kind;

/// What a link to this kind of socket is called in errors.
pub(super) fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::UnixSeqpacket => "Unix seqpacket socket",
        Kind::UnixDatagram => "Unix datagram socket",
        _ => "Unix stream socket",
    }
}

fn type_of(kind: Kind) -> SocketType {
    match kind {
        Kind::UnixSeqpacket => SocketType::SEQPACKET,
        Kind::UnixDatagram => SocketType::DGRAM,
        _ => SocketType::STREAM,
    }
}

pub(super) fn socket(
    kind: Kind,
    flags: SocketFlags,
    resource: &Resource,
) -> Result<OwnedFd, OpenError> {
    rustix::net::socket_with(AddressFamily::UNIX, type_of(kind), flags, None)
        .map_err(|errno| OpenError::from_os("socket", resource, errno))
}

pub(super) fn pair(kind: Kind) -> Result<(OwnedFd, OwnedFd), OpenError> {
    let resource = Resource::unnamed(name_of(kind));
    rustix::net::socketpair(AddressFamily::UNIX, type_of(kind), SocketFlags::CLOEXEC, None)
        .map_err(|errno| OpenError::from_os("socketpair", &resource, errno))
}

/// Whether an inherited descriptor is what it should be.
pub(super) fn check_adopted(socket: &OwnedFd, kind: Kind) -> Result<Resource, OpenError> {
    let resource = Resource::unnamed(format!("inherited {}", name_of(kind)));
    let is_kind = sockopt::socket_domain(socket) == Ok(AddressFamily::UNIX)
        && sockopt::socket_type(socket) == Ok(type_of(kind))
        && rustix::net::getpeername(socket).is_ok();
    if is_kind {
        return Ok(resource);
    }
    let requirement = format!("it must be a connected {}", name_of(kind));
    let kind = OpenErrorKind::InvalidOption { option: "descriptor", requirement };
    Err(OpenError::new("adopt", &resource, kind))
}

pub(super) fn peer_of(
    socket: BorrowedFd<'_>,
    resource: &Resource,
) -> Result<ProcessPeer, OpenError> {
    control::socket_peercred(socket)
        .map_err(|errno| OpenError::from_os("getsockopt", resource, errno))
}

/// The peer as the sender of messages. Who made an inherited pair says nothing about who holds it.
pub(super) fn named(peer: ProcessPeer, establishment: Establishment) -> Option<PeerId> {
    (establishment == Establishment::Connection).then_some(PeerId::Process(peer))
}

/// The longest packet that a socket with this send buffer sends.
pub(crate) fn max_packet_len(
    socket: BorrowedFd<'_>,
    resource: &Resource,
) -> Result<usize, OpenError> {
    sockopt::socket_send_buffer_size(socket)
        .map(|len| len.saturating_sub(PACKET_OVERHEAD_LEN))
        .map_err(|errno| OpenError::from_os("getsockopt", resource, errno))
}

/// The longest framed message, header not counted, that a stream socket with this send buffer takes
/// whole or not at all: the kernel copies up to half of the buffer less 64 bytes into one packet, and
/// never more than some 36 KiB (`unix_stream_sendmsg`); of more than one it may take the first alone.
pub(super) fn longest_whole(
    socket: BorrowedFd<'_>,
    resource: &Resource,
) -> Result<usize, OpenError> {
    let buffer_len = sockopt::socket_send_buffer_size(socket)
        .map_err(|errno| OpenError::from_os("getsockopt", resource, errno))?;
    Ok((buffer_len / 2).saturating_sub(64 + framing::HEADER_LEN).min(framing::WHOLE_LEN_MAX))
}
