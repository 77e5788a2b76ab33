//! Unix and internet sockets as endpoints that send and receive messages.

mod control;
mod descriptors;

pub use descriptors::{
    Arrival, MAX_DESCRIPTORS, pass_credentials, peer_credentials, peer_liveness,
    recv_with_descriptors, send_with_descriptors,
};
