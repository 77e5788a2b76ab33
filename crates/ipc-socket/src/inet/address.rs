//! Hosts and ports as people write them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use ipc_core::{OpenError, OpenErrorKind, Resource};

/// A host, by address or name, and a port: `161.25.19.8:1625`, `[::1]:1625`, `example.org:1625`.
///
/// ```
/// use ipc_socket::InetAddress;
///
/// let address: InetAddress = "161.25.19.8:1625".parse()?;
/// assert_eq!(address.port(), 1625);
/// assert_eq!(address.to_string(), "161.25.19.8:1625");
/// let error = "161.25.19.8:70000".parse::<InetAddress>().unwrap_err();
/// assert!(error.to_string().contains("port"));
/// # Ok::<(), ipc_core::OpenError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InetAddress {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Host {
    Ip(SocketAddr),
    Name(String),
}

impl InetAddress {
    /// The port. 0 lets the system choose one, for a listener.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The addresses that it stands for. A name is looked up by the system, which may block for as long
    /// as the system's resolver does: no deadline reaches there. Addresses need no look-up.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::NotFound`] for a name that the resolver does not know.
    pub fn resolve(&self) -> Result<Vec<SocketAddr>, OpenError> {
        match &self.host {
            Host::Ip(address) => Ok(vec![*address]),
            Host::Name(name) => {
                let found = (name.as_str(), self.port).to_socket_addrs();
                found.map(Iterator::collect).map_err(|error| {
                    let resource = Resource::named("host", name);
                    OpenError::new("look up", &resource, OpenErrorKind::NotFound(error))
                })
            }
        }
    }
}

impl FromStr for InetAddress {
    type Err = OpenError;

    /// Reads `host:port`; an IPv6 address stands in brackets.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InvalidOption`] says what is wrong.
    fn from_str(text: &str) -> Result<Self, OpenError> {
        let invalid = |requirement: &str| {
            let requirement = requirement.to_owned();
            let kind = OpenErrorKind::InvalidOption { option: "address", requirement };
            OpenError::new("parse", &Resource::named("address", text), kind)
        };
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| invalid("it needs host:port"))?;
        let has_only_digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse().ok().filter(|_| has_only_digits);
        let port = port.ok_or_else(|| invalid("the port is a number from 0 to 65535"))?;
        if host.parse::<Ipv6Addr>().is_ok() || host.contains(':') {
            return Err(invalid("an IPv6 address stands in brackets: [::1]:1625"));
        }
        let looks_numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if host.is_empty() || host.len() > 253 || looks_numeric || !host.bytes().all(allowed) {
            return Err(invalid("the host is an IPv4 address, a name, or [an IPv6 address]"));
        }
        Ok(Self { host: Host::Name(host.to_owned()), port })
    }
}

impl From<SocketAddr> for InetAddress {
    fn from(address: SocketAddr) -> Self {
        Self { port: address.port(), host: Host::Ip(address) }
    }
}

impl From<(IpAddr, u16)> for InetAddress {
    fn from((ip, port): (IpAddr, u16)) -> Self {
        SocketAddr::new(ip, port).into()
    }
}

impl From<&InetAddress> for InetAddress {
    fn from(address: &InetAddress) -> Self {
        address.clone()
    }
}

impl fmt::Display for InetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(address) => address.fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_printed_as_they_were_read() {
        for text in ["161.25.19.8:1625", "[::1]:80", "localhost:0", "a.example-host_1:65535"] {
            let address: InetAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_text_in_the_error() {
        for text in [
            "",
            "host",
            ":80",
            "host:",
            "host:x",
            "host:-1",
            "host:+80",
            "host:65536",
            "::1:80",
            "[::1]",
            "[x]:1",
            "1.2.3:4",
            "256.1.1.1:5",
            "ho st:1",
            "a/b:1",
            "host:80 ",
        ] {
            let error = text.parse::<InetAddress>().expect_err(text);
            assert!(matches!(error.kind(), OpenErrorKind::InvalidOption { option: "address", .. }));
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn an_unknown_host_is_not_found() {
        let address: InetAddress = "no-such-host.invalid:1".parse().expect("well-formed");
        let error = address.resolve().expect_err("reserved by RFC 2606");
        assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
        assert!(error.to_string().contains("no-such-host.invalid"), "{error}");
    }
}
