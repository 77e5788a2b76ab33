//! Unix sockets: stream, seqpacket and datagram, at paths and abstract names.

mod address;
mod connection;
mod listener;
mod options;
mod path;
mod socket;

pub use address::UnixAddress;
pub use connection::{UnixSeqpacketConnection, UnixStreamConnection};
pub use listener::{UnixSeqpacketListener, UnixStreamListener};
pub use options::UnixOptions;
pub(crate) use path::BoundPath;
pub(crate) use socket::max_packet_len as longest_packet;

/// What a packet takes of the send buffer beside its bytes: the kernel refuses (`EMSGSIZE`) more than
/// `SO_SNDBUF` less this.
const PACKET_OVERHEAD_LEN: usize = 32;

/// How many datagrams a receiver's queue holds: one more than
/// `/proc/sys/net/unix/max_dgram_qlen`, which is 10 unless it was changed.
pub(crate) fn datagram_queue_len() -> usize {
    let setting = std::fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen");
    setting.ok().and_then(|text| text.trim().parse::<usize>().ok()).unwrap_or(10) + 1
}
