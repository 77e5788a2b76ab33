//! Names of Unix sockets. Leaves out what stands at them: see `path.rs`.

use std::fmt;
use std::path::{Path, PathBuf};

use ipc_core::{NameError, OpenError, Resource};
use rustix::net::SocketAddrUnix;

/// The longest path or abstract name, in bytes: `sun_path` without its last or first zero. See
/// `unix(7)`.
const ADDRESS_LEN_MAX: usize = 107;

/// Where a Unix socket is found: a path in the file system, or an abstract name.
///
/// A path is guarded by the permissions of the file and of the directories above it, and stays behind
/// when its listener is killed; the next listener reclaims it. An abstract name belongs to a network
/// namespace, vanishes with its socket, and is guarded by nothing: any process there may take it first
/// or connect to it. Ask who the peer is.
///
/// ```
/// use ipc_socket::UnixAddress;
///
/// assert_eq!(UnixAddress::path("/run/orders").to_string(), "/run/orders");
/// assert_eq!(UnixAddress::abstract_name("orders").to_string(), "@orders");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnixAddress(Place);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Path(PathBuf),
    Abstract(Box<[u8]>),
}

impl UnixAddress {
    /// A path of 1 to 107 bytes. Its length is checked when it is used.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self(Place::Path(path.into()))
    }

    /// An abstract name of 1 to 107 bytes, any of them. Its length is checked when it is used.
    pub fn abstract_name(name: impl AsRef<[u8]>) -> Self {
        Self(Place::Abstract(name.as_ref().into()))
    }

    /// The path, unless it is an abstract name.
    pub(crate) fn as_path(&self) -> Option<&Path> {
        match &self.0 {
            Place::Path(path) => Some(path),
            Place::Abstract(_) => None,
        }
    }

    /// As the system wants it.
    pub(crate) fn to_system(
        &self,
        operation: &'static str,
        resource: &Resource,
    ) -> Result<SocketAddrUnix, OpenError> {
        let (len, address) = match &self.0 {
            Place::Path(path) => (path.as_os_str().len(), SocketAddrUnix::new(path)),
            Place::Abstract(name) => (name.len(), SocketAddrUnix::new_abstract_name(name)),
        };
        let invalid = |error: NameError| OpenError::new(operation, resource, error.into());
        if len == 0 {
            return Err(invalid(NameError::Empty));
        }
        if len > ADDRESS_LEN_MAX {
            return Err(invalid(NameError::TooLong { len, max: ADDRESS_LEN_MAX }));
        }
        address.map_err(|errno| OpenError::from_os(operation, resource, errno))
    }
}

impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Path(path) => path.display().fmt(f),
            Place::Abstract(name) => write!(f, "@{}", name.escape_ascii()),
        }
    }
}

/// A path.
impl From<&Path> for UnixAddress {
    fn from(path: &Path) -> Self {
        Self::path(path)
    }
}

/// A path.
impl From<PathBuf> for UnixAddress {
    fn from(path: PathBuf) -> Self {
        Self::path(path)
    }
}

/// A path; for an abstract name see [`UnixAddress::abstract_name`].
impl From<&str> for UnixAddress {
    fn from(path: &str) -> Self {
        Self::path(path)
    }
}

impl From<&UnixAddress> for UnixAddress {
    fn from(address: &UnixAddress) -> Self {
        address.clone()
    }
}
