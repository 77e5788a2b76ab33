//! TCP connections and UDP packets.

mod address;
mod tcp;
mod udp;

pub use address::InetAddress;
pub use tcp::{TcpConnection, TcpListener, TcpOptions};
pub use udp::UdpOptions;

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use ipc_core::{OpenError, OpenErrorKind, Resource};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// The setting that says which ports take a privilege.
const PRIVILEGED_PORTS_SETTING: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

/// Makes a socket for an address of either family.
fn socket(
    address: &SocketAddr,
    kind: SocketType,
    flags: SocketFlags,
    resource: &Resource,
) -> Result<OwnedFd, OpenError> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    rustix::net::socket_with(family, kind, flags | SocketFlags::CLOEXEC, None)
        .map_err(|errno| OpenError::from_os("socket", resource, errno))
}

/// Binds a socket, with an error that tells what a privileged port takes.
fn bind(socket: impl AsFd, address: &SocketAddr, resource: &Resource) -> Result<(), OpenError> {
    let failed = |errno| match errno {
        Errno::ACCESS if address.port() < 1024 => {
            let kind =
                OpenErrorKind::Limit { setting: PRIVILEGED_PORTS_SETTING, source: errno.into() };
            OpenError::new("bind", resource, kind)
        }
        _ => OpenError::from_os("bind", resource, errno),
    };
    rustix::net::bind(socket, address).map_err(failed)
}

/// Tries the addresses of a name in their order; the error is that of the last.
fn first_that_works<T>(
    addresses: &[SocketAddr],
    mut attempt: impl FnMut(&SocketAddr) -> Result<T, OpenError>,
    operation: &'static str,
    resource: &Resource,
) -> Result<T, OpenError> {
    let source = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    let mut last = OpenError::new(operation, resource, OpenErrorKind::NotFound(source));
    for address in addresses {
        match attempt(address) {
            Ok(value) => return Ok(value),
            Err(error) => last = error,
        }
    }
    Err(last)
}
