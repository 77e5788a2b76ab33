//! Other libraries, measured by the same loops as this project's mechanisms.
//!
//! Each module makes one library a [`Transport`](ipc_testing::Transport), configured at its best by its
//! own documentation; the module says what that is. The endpoints do what the benchmark asks of them
//! and no more: they would not pass the conformance suite, since most of these libraries lack what it
//! asks for. The copies are those of a careful user: one into the library's memory, one out of it.
//!
//! Each is behind a cargo feature of its name, so that one that does not build on a machine is left
//! out; `cargo xtask bench --peers` sees to that.

use ipc_benches::mechanisms::Mechanism;

#[cfg(feature = "aeron")]
pub mod aeron;
#[cfg(feature = "boost")]
pub mod boost;
mod common;
#[cfg(feature = "crossbeam-channel")]
pub mod crossbeam;
#[cfg(feature = "iceoryx2")]
pub mod iceoryx2;
#[cfg(feature = "interprocess")]
pub mod interprocess;
#[cfg(feature = "ipc-channel")]
pub mod ipc_channel;
#[cfg(feature = "rtrb")]
pub mod rtrb;
#[cfg(feature = "shmem-ipc")]
pub mod shmem_ipc;
#[cfg(any(feature = "interprocess", feature = "tokio"))]
pub mod streams;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(feature = "zmq")]
pub mod zmq;

/// All that were built, by their crates' names.
pub const PEERS: &[Mechanism] = &[
    #[cfg(feature = "iceoryx2")]
    iceoryx2::MECHANISM,
    #[cfg(feature = "shmem-ipc")]
    shmem_ipc::MECHANISM,
    #[cfg(feature = "boost")]
    boost::MECHANISM,
    #[cfg(feature = "ipc-channel")]
    ipc_channel::MECHANISM,
    #[cfg(feature = "interprocess")]
    interprocess::MECHANISM,
    #[cfg(feature = "tokio")]
    tokio::MECHANISM,
    #[cfg(feature = "zmq")]
    zmq::MECHANISM,
    #[cfg(feature = "aeron")]
    aeron::MECHANISM,
    #[cfg(feature = "rtrb")]
    rtrb::MECHANISM,
    #[cfg(feature = "crossbeam-channel")]
    crossbeam::MECHANISM,
];
