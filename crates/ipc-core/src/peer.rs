//! Who sent a message, and how sure that is.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;

/// The sender of a message, as far as the link tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerId {
    /// A process on this machine.
    Process(ProcessPeer),
    /// An address on a network. UDP source addresses can be forged.
    Address(SocketAddr),
}

impl PeerId {
    /// The process id, if the sender is a process of this PID namespace.
    pub fn pid(&self) -> Option<u32> {
        match self {
            Self::Process(process) => process.pid.map(NonZeroU32::get),
            Self::Address(_) => None,
        }
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(process) => process.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// A process as a message's sender. Process ids are reused: hold a [`Liveness`](crate::Liveness) to
/// be sure that the number still means the same process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProcessPeer {
    /// Process id in the receiver's PID namespace; `None` for a process of another namespace, which
    /// the kernel shows as 0.
    pub pid: Option<NonZeroU32>,
    /// User id, as the link reports it (real for signals, effective for socket credentials).
    pub uid: u32,
    /// Group id, where the link reports one.
    pub gid: Option<u32>,
    /// Whose word this is.
    pub evidence: Evidence,
}

impl fmt::Display for ProcessPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid} (uid {})", self.uid),
            None => write!(f, "a process of another PID namespace (uid {})", self.uid),
        }
    }
}

/// Whose word an identity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The kernel filled it in, or checked it.
    Kernel,
    /// The sender said so; a process of the same user could forge it.
    Claimed,
}
