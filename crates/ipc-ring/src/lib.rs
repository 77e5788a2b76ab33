//! A ring of messages in shared memory: the fastest way for two processes of one machine to talk.
//!
//! A [`Link`] joins two processes by up to two one-way rings. Sending copies a message into memory that
//! the other process sees, and one store makes it visible: no system call while both sides are busy,
//! and one cache line from core to core for a small message. A side that has nothing to do sleeps, and
//! is woken at the price of a futex.
//!
//! **When not to use it:** between threads of one process (use `crossbeam-channel` or `rtrb`); for
//! several senders or receivers on one link; between machines; where a message is larger than a quarter
//! of the memory that you would give to the ring. If messages are rare, a Unix socket is simpler, and
//! the wake-up costs more than the copy.
//!
//! **Guarantees**
//!
//! - *Order, boundaries, nothing lost, nothing twice.* What [`send`](ipc_core::Sender::send) accepted is
//!   received once, whole, in order, even if the sender dies at once.
//! - *Death is seen.* A peer that closes its end or dies, however it dies, is
//!   [`PeerGone`](ipc_core::RecvError::PeerGone) after the last message, whether this side sleeps,
//!   spins or polls. A stopped process is not a dead one.
//! - *Nothing is left behind.* Memory and doorbells have no names: the kernel frees them with the last
//!   process that holds them.
//! - *The peer need not be trusted.* Each side creates the memory it writes and has the kernel forbid
//!   the other to write it. A peer that writes garbage causes an error
//!   ([`Violation`](ipc_core::RecvError::Violation)), never undefined behaviour.
//! - *No lost wake-up, no torn message:* the code that ships is checked by loom in every interleaving.
//!
//! What lies where in memory, what is ordered by what, and what is promised at each kind of death is in
//! [`internals`].
//!
//! A child that a process forks without `exec` inherits the descriptors and delays the hang-up that tells
//! of the process's death; `exec` closes them.
//!
//! # Making a link
//!
//! | between | by |
//! |---|---|
//! | two processes that know one name | [`listen`] and [`Listener::accept`]; [`connect`] |
//! | a parent and a child that it starts | [`pair`], [`PairEnd::give_to`], [`PairEnd::join`]; [`Link::inherited`] |
//! | two processes with a Unix socket between them | [`Link::over`], on both sides |
//! | two threads | [`Link::between_threads`] |
//!
//! All but the last are a **handshake**: each side sends the other its memory and its doorbells, and names
//! itself, by the kernel's word ([`Link::peer`]). It waits no longer than its deadline, and a peer that breaks
//! it is a typed error that leaves nothing open. A name is by default in a directory of the user's own
//! ([`Address::name`]); it may be a path, for other users too, or abstract.
//!
//! A link has up to two rings: either may be absent ([`Options::receive_only`]). Its memory is taken as it is
//! used, or all at once if you like ([`Options::backing`]). It does not need `/dev/shm`.
//!
//! # What goes over it
//!
//! | messages | sent by | received by |
//! |---|---|---|
//! | of bytes | [`send`](ipc_core::Sender::send) | [`recv`](ipc_core::Receiver::recv) |
//! | in batches | [`RingSender::send_batch`] | [`RingReceiver::recv_batch`] |
//! | written and read in place | [`loan`](ipc_core::zero_copy::LoanSender::loan) | [`borrow`](ipc_core::zero_copy::BorrowReceiver::borrow), which is `unsafe`: it trusts the sender |
//! | values of one type, which both programs must agree on | [`TypedRingSender`] | [`TypedRingReceiver`]; see [`Options::typed`] |
//!
//! Messages that are borrowed one after the other cost no more than a batch of them would: the sender is told
//! of their room once for each eighth of the ring.
//!
//! # Among processes that trust each other
//!
//! A ring joins two processes, and is gone with them. Where any number of processes of the same trust shall
//! meet in one named POSIX segment (`shm_open`), which stays until it is unlinked and can be opened at any
//! time without a partner, use `ipc_shm::BoundedBuffer`: it is slower, and whoever may open it may spoil it.
//! `cargo run -p ipc-shm --example bounded_buffer_producer` shows it.
//!
//! # Example
//!
//! ```
//! use ipc_core::{Deadline, Name, Receiver, Sender};
//! use ipc_ring::{Options, connect, listen};
//!
//! let name = Name::new(&format!("doc-orders.{}", std::process::id()))?;
//! let mut listener = listen(&name)?;
//!
//! // In another process; here, in a thread:
//! let customer = std::thread::spawn(move || {
//!     let link = connect(&name, &Options::new(), Deadline::Never).expect("a link");
//!     link.sender.expect("this side sends").send(b"coffee").expect("sent");
//! });
//!
//! let link = listener.accept(&Options::new().receive_only(), Deadline::Never)?;
//! println!("for {}", link.peer());
//! let mut order = [0; 64];
//! let received = link.receiver.expect("the other side sends").recv(&mut order)?;
//! assert_eq!(&order[..received.len], b"coffee");
//! # customer.join().expect("no panic");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// Under loom, what is left is the protocol and the endpoints over its memory.
#![cfg_attr(ipc_loom, allow(dead_code))]

mod batch;
mod bell;
#[cfg(not(ipc_loom))]
mod copy;
mod endpoint;
#[cfg(not(ipc_loom))]
mod ends;
#[doc = include_str!("../PROTOCOL.md")]
pub mod internals {}
#[cfg(not(ipc_loom))]
mod layout;
#[cfg(not(ipc_loom))]
mod link;
#[cfg(not(ipc_loom))]
mod mapped;
#[cfg(not(ipc_loom))]
mod membarrier;
#[cfg(all(test, ipc_loom))]
mod models;
mod protocol;
#[cfg(not(ipc_loom))]
mod rendezvous;
#[cfg(all(feature = "testing", not(ipc_loom)))]
pub mod testing;

pub use batch::{Batch, BatchIter};
#[cfg(not(ipc_loom))]
pub use ends::{
    RingLoan, RingMessage, RingReceiver, RingSender, TypedRingReceiver, TypedRingSender,
};
#[cfg(not(ipc_loom))]
pub use ipc_core::handover::ChildEnd;
#[cfg(not(ipc_loom))]
pub use ipc_shm::Backing;
#[cfg(not(ipc_loom))]
pub use link::{Link, LinkOptions, Options, PairEnd, PeerUser, TypedLink, TypedOptions, pair};
#[cfg(not(ipc_loom))]
pub use rendezvous::{Address, ListenOptions, Listener, connect, listen};
