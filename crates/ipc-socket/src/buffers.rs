//! Sizes of buffers and messages, as options set them.

use std::os::fd::BorrowedFd;

use ipc_core::{OpenError, OpenErrorKind, Resource};
use rustix::io::Errno;
use rustix::net::sockopt;

/// Refuses a longest message that four bytes cannot announce.
pub(crate) fn check_max_message_len(len: usize, resource: &Resource) -> Result<(), OpenError> {
    if u32::try_from(len).is_ok() {
        return Ok(());
    }
    let requirement = format!("it is at most {} bytes, not {len}", u32::MAX);
    let kind = OpenErrorKind::InvalidOption { option: "max_message_len", requirement };
    Err(OpenError::new("open", resource, kind))
}

/// Sets `SO_SNDBUF` so that the kernel reports `len`.
pub(crate) fn set_send_buffer(
    socket: BorrowedFd<'_>,
    len: usize,
    resource: &Resource,
) -> Result<(), OpenError> {
    const SETTING: &str = "/proc/sys/net/core/wmem_max";
    set(
        len,
        SETTING,
        resource,
        &[&|half| sockopt::set_socket_send_buffer_size(socket, half), &|half| {
            sockopt::set_socket_send_buffer_size_force(socket, half)
        }],
        &|| sockopt::socket_send_buffer_size(socket),
    )
}

/// Sets `SO_RCVBUF` so that the kernel reports `len`.
pub(crate) fn set_receive_buffer(
    socket: BorrowedFd<'_>,
    len: usize,
    resource: &Resource,
) -> Result<(), OpenError> {
    const SETTING: &str = "/proc/sys/net/core/rmem_max";
    set(
        len,
        SETTING,
        resource,
        &[&|half| sockopt::set_socket_recv_buffer_size(socket, half), &|half| {
            sockopt::set_socket_recv_buffer_size_force(socket, half)
        }],
        &|| sockopt::socket_recv_buffer_size(socket),
    )
}

/// The kernel doubles what it is asked for, and silently gives less above its limit: so ask for half,
/// look, and ask with privilege if it was less.
fn set(
    len: usize,
    setting: &'static str,
    resource: &Resource,
    ways: &[&dyn Fn(usize) -> Result<(), Errno>],
    read: &dyn Fn() -> Result<usize, Errno>,
) -> Result<(), OpenError> {
    let failed = |errno| OpenError::from_os("setsockopt", resource, errno);
    let invalid = || {
        let requirement = format!("it is at most {} bytes, not {len}", i32::MAX);
        let kind = OpenErrorKind::InvalidOption { option: "buffer_len", requirement };
        OpenError::new("setsockopt", resource, kind)
    };
    if i32::try_from(len).is_err() {
        return Err(invalid());
    }
    for way in ways {
        match way(len.div_ceil(2)) {
            Err(Errno::PERM) => break, // not privileged: the limit stands
            other => other.map_err(failed)?,
        }
        if read().map_err(failed)? >= len {
            return Ok(());
        }
    }
    let source = Errno::PERM.into();
    Err(OpenError::new("setsockopt", resource, OpenErrorKind::Limit { setting, source }))
}
