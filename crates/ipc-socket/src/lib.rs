//! Unix and internet sockets as endpoints that send and receive messages.

mod attempt;
mod buffers;
mod connecting;
mod control;
mod descriptors;
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
    recv_with_descriptors, send_with_descriptors,
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
