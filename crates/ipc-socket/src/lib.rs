//! Unix and internet sockets as endpoints that send and receive messages: Unix stream, seqpacket and
//! datagram, TCP and UDP; and descriptors and credentials over any Unix socket.
//!
//! | | messages | ends know of death | on this machine | between machines |
//! |---|---|---|---|---|
//! | Unix seqpacket | 1 B to 208 KiB, kept apart by the kernel | both | yes | |
//! | Unix stream | to 16 MiB by default, framed | both | yes | |
//! | Unix datagram | to 208 KiB, many senders | the sender | yes | |
//! | TCP | to 16 MiB by default, framed | both | yes | yes |
//! | UDP | to 64 KiB, may be lost | nobody | yes | yes |
//!
//! **When not to use it:** between processes of one machine that talk a lot, `ipc-ring` is many times
//! faster; between parent and child a pipe (`ipc-pipe`) is lighter; for encryption, or a peer that you do
//! not trust with your port, put something above TCP: nothing here proves who is at a network address.
//!
//! **Guarantees:**
//!
//! - a message arrives whole or not at all; a send that timed out had no effect, or, once the kernel has
//!   taken the first byte of a frame, finishes it before anything else ([`StreamSender`]);
//! - the peer's death is one error, [`PeerGone`](ipc_core::RecvError::PeerGone), after everything that
//!   still arrives has been received, and never a signal (`SIGPIPE`);
//! - what a peer announces is checked before any memory is set aside for it;
//! - a socket's path left by a killed process is reclaimed, that of a living one never, however many
//!   processes try at once;
//! - a descriptor that arrives is owned and close-on-exec, or closed, whatever goes wrong.
//!
//! # Example
//!
//! ```
//! use ipc_core::{Deadline, Receiver, Sender};
//! use ipc_socket::{UnixSeqpacketConnection, UnixSeqpacketListener};
//!
//! let directory = tempfile::tempdir()?;
//! let path = directory.path().join("orders");
//! let listener = UnixSeqpacketListener::bind(path.as_path())?; // of mode 0600
//!
//! // In another process, most of the time:
//! let mut client = UnixSeqpacketConnection::connect(path.as_path(), Deadline::Never)?;
//! client.sender.send(b"coffee")?;
//!
//! let mut server = listener.accept(Deadline::Never)?;
//! let mut buffer = [0; 1024];
//! let received = server.receiver.recv(&mut buffer)?;
//! assert_eq!(&buffer[..received.len], b"coffee");
//! let sender = received.sender.expect("the kernel knows who connected");
//! assert_eq!(sender.pid(), Some(std::process::id()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Connections and halves
//!
//! A connection has a `sender` and a `receiver`, both public: use them in place, or take them out. Each
//! half may go to another thread; dropping one closes its direction (half-close). Options are set by
//! [`UnixOptions`], [`TcpOptions`] and [`UdpOptions`], which also make what they are options of.

mod attempt;
mod buffers;
mod connecting;
mod control;
mod descriptors;
pub mod direct;
mod framing;
mod half;
mod inet;
mod link;
mod packet;
mod stream;
#[cfg(feature = "testing")]
pub mod testing;
mod unix;

pub use descriptors::{
    Arrival, MAX_DESCRIPTORS, pass_credentials, peer_credentials, peer_liveness,
    recv_with_descriptors, send_with_credentials, send_with_descriptors,
};
pub use inet::{InetAddress, TcpConnection, TcpListener, TcpOptions, UdpOptions};
pub use packet::{PacketReceiver, PacketSender};
pub use stream::{DROP_PATIENCE, StreamReceiver, StreamSender};
pub use unix::{
    UnixAddress, UnixOptions, UnixSeqpacketConnection, UnixSeqpacketListener, UnixStreamConnection,
    UnixStreamListener,
};

/// The longest framed message, in bytes, where no other was set.
pub const DEFAULT_MAX_MESSAGE_LEN: usize = 16 * 1024 * 1024;
