//! Why a link could not be made.

use std::error::Error;
use std::fmt;
use std::io;

use super::Resource;
use crate::NameError;

/// Why a link or one of its ends could not be made: created, opened, connected, accepted.
#[derive(Debug)]
pub struct OpenError {
    operation: &'static str,
    resource: Resource,
    kind: OpenErrorKind,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.operation, self.resource, self.kind)
    }
}

impl Error for OpenError {
    /// The system's error, if there is one; the kind is in the text already.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.kind.source()
    }
}

impl OpenError {
    /// An error of this `kind` in an operation (`"create"`, `"mq_open"`) on a resource.
    pub fn new(operation: &'static str, resource: &Resource, kind: OpenErrorKind) -> Self {
        Self { operation, resource: resource.clone(), kind }
    }

    /// Sorts the error of a system call into its [`OpenErrorKind`].
    pub fn from_os(
        operation: &'static str,
        resource: &Resource,
        source: impl Into<io::Error>,
    ) -> Self {
        Self::new(operation, resource, source.into().into())
    }

    /// The operation that failed.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// What it failed on.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Why it failed.
    pub fn kind(&self) -> &OpenErrorKind {
        &self.kind
    }
}

/// The reasons for an [`OpenError`].
#[derive(Debug, thiserror::Error)]
pub enum OpenErrorKind {
    /// The name breaks the rules for names.
    #[error(transparent)]
    InvalidName(#[from] NameError),
    /// An option has a value that it cannot have.
    #[error("invalid {option}: {requirement}")]
    InvalidOption {
        /// The option: `"capacity"`.
        option: &'static str,
        /// What it must be.
        requirement: String,
    },
    /// There is nothing of that name.
    #[error("does not exist ({0})")]
    NotFound(#[source] io::Error),
    /// There is one already.
    #[error("exists already ({0})")]
    AlreadyExists(#[source] io::Error),
    /// The caller may not.
    #[error("permission denied ({0})")]
    PermissionDenied(#[source] io::Error),
    /// The name or address is there, but nobody listens.
    #[error("nobody is listening ({0})")]
    Refused(#[source] io::Error),
    /// Somebody alive holds the name or address.
    #[error("in use ({0})")]
    InUse(#[source] io::Error),
    /// The other end did not come until the deadline.
    #[error("timed out waiting for the other end")]
    TimedOut,
    /// The other end went away before the link was made.
    #[error("the other end went away")]
    PeerGone,
    /// What was found there is not what this program expects.
    #[error("{what} is {found}, expected {expected}")]
    Mismatch {
        /// The property that differs: `"layout hash"`.
        what: &'static str,
        /// The value that this program has.
        expected: u64,
        /// The value that was found.
        found: u64,
    },
    /// A limit of the system; `setting` raises it.
    #[error("limit reached ({source}); {setting} raises it")]
    Limit {
        /// The setting: `"/proc/sys/fs/mqueue/msg_max"`.
        setting: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// This kernel or mechanism cannot do it.
    #[error("not supported here: {0}")]
    Unsupported(&'static str),
    /// Any other failure of a system call.
    #[error("{0}")]
    Os(#[source] io::Error),
}

impl From<io::Error> for OpenErrorKind {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound(error),
            io::ErrorKind::AlreadyExists => Self::AlreadyExists(error),
            io::ErrorKind::PermissionDenied => Self::PermissionDenied(error),
            io::ErrorKind::ConnectionRefused => Self::Refused(error),
            io::ErrorKind::AddrInUse => Self::InUse(error),
            io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::PeerGone,
            _ => match rustix::io::Errno::from_io_error(&error) {
                Some(rustix::io::Errno::MFILE) => {
                    Self::Limit { setting: "RLIMIT_NOFILE (ulimit -n)", source: error }
                }
                Some(rustix::io::Errno::NFILE) => {
                    Self::Limit { setting: "/proc/sys/fs/file-max", source: error }
                }
                _ => Self::Os(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_operation_and_the_resource() {
        let link = Resource::named("FIFO", "/tmp/orders");
        let open = OpenError::from_os("open", &link, rustix::io::Errno::ACCESS);
        assert!(matches!(open.kind(), OpenErrorKind::PermissionDenied(_)));
        assert!(open.to_string().starts_with("open FIFO \"/tmp/orders\": permission denied"));
    }

    #[test]
    fn an_exhausted_limit_names_its_setting() {
        let error =
            OpenError::from_os("pipe2", &Resource::unnamed("pipe"), rustix::io::Errno::MFILE);
        assert!(error.to_string().contains("RLIMIT_NOFILE"), "{error}");
    }
}
