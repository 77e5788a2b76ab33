//! What can go wrong with direct communication: the making of the link, or the message.

use ipc_core::{OpenError, RecvError, SendError};

/// Why a message did not pass between two processes.
#[derive(Debug, thiserror::Error)]
pub enum DirectError {
    /// There is no link, and none could be made: nobody of that process id has opened itself
    /// ([`Refused`](ipc_core::OpenErrorKind::Refused)), it is another user's
    /// ([`PermissionDenied`](ipc_core::OpenErrorKind::PermissionDenied)), it has died meanwhile
    /// ([`PeerGone`](ipc_core::OpenErrorKind::PeerGone)), or time ran out.
    #[error(transparent)]
    Link(#[from] OpenError),
    /// The message was not sent over the link.
    #[error(transparent)]
    Send(#[from] SendError),
    /// No message was received.
    #[error(transparent)]
    Receive(#[from] RecvError),
}

impl DirectError {
    /// Whether the other process is dead, or has closed itself.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Link(error) => matches!(error.kind(), ipc_core::OpenErrorKind::PeerGone),
            Self::Send(error) => matches!(error, SendError::PeerGone { .. }),
            Self::Receive(error) => matches!(error, RecvError::PeerGone { .. }),
        }
    }

    /// Whether trying again later can succeed: full, empty, or timed out.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Link(error) => matches!(error.kind(), ipc_core::OpenErrorKind::TimedOut),
            Self::Send(error) => error.is_temporary(),
            Self::Receive(error) => error.is_temporary(),
        }
    }
}
