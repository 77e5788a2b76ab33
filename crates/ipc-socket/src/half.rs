//! One direction of a connected socket. Leaves out what is sent there.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

use rustix::net::Shutdown;

/// A connected socket's sending or receiving half.
///
/// When one half is dropped and the other lives on, its direction is shut down (`shutdown(2)`), so that
/// the peer learns of it. The last half to go closes the descriptor and leaves the rest to the kernel:
/// other processes that share the socket keep it as it is.
#[derive(Debug)]
pub(crate) struct Half {
    socket: Arc<OwnedFd>,
    direction: Shutdown,
}

impl Half {
    /// The sending and the receiving half of `socket`.
    pub(crate) fn both(socket: OwnedFd) -> (Self, Self) {
        let socket = Arc::new(socket);
        let sending = Self { socket: Arc::clone(&socket), direction: Shutdown::Write };
        (sending, Self { socket, direction: Shutdown::Read })
    }

    /// The only half of a socket that is used one way.
    pub(crate) fn alone(socket: OwnedFd, direction: Shutdown) -> Self {
        Self { socket: Arc::new(socket), direction }
    }

    /// Tells whether the socket is still there.
    pub(crate) fn watch(&self) -> Weak<OwnedFd> {
        Arc::downgrade(&self.socket)
    }
}

impl AsFd for Half {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        if Arc::strong_count(&self.socket) > 1 {
            // It fails if the connection is gone already: then the peer knows.
            let _ = rustix::net::shutdown(&self.socket, self.direction);
        }
    }
}
