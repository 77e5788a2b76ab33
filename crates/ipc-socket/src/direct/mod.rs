//! Direct communication: processes that name each other, and no link, path or port.
//!
//! A process that calls [`Direct::open`] can be reached under its process id. From then on
//! `send(P, message)`, `receive_from(Q)` (symmetric: each names the other) and `receive_any()`
//! (asymmetric: the receiver hears anyone, and learns from the kernel who it was) are nearly all there is
//! to it. The other asymmetric form is `send_to_all(message)`, which whoever called `listen_to(P)` hears.
//! The **link** between two processes is made when it is first needed; there is exactly one for each pair,
//! between exactly these two, and it goes both ways unless its maker asked for one way.
//!
//! ```
//! use ipc_core::Deadline;
//! use ipc_socket::direct::{Direct, Peer};
//!
//! # if std::env::var_os("DOC_PART").is_none() {
//! let mut me = Direct::open()?;
//! // Nobody has that number: an error before anything is sent.
//! assert!(Peer::of(i32::MAX as u32).is_err());
//! // A process that is there, but has not opened itself to direct communication.
//! let parent = Peer::of(std::os::unix::process::parent_id())?;
//! assert!(me.send(&parent, b"hello", Deadline::Now).is_err());
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Who may reach whom
//!
//! Only processes of the same effective user, unless [`DirectOptions::any_user`] is set on both sides.
//! The kernel vouches for each connection (`SO_PEERCRED`: process, user) and for each message
//! (`SCM_CREDENTIALS`), so that a descriptor that was passed on, or a forked child, cannot speak in
//! another's name: its messages break the link. A [`Peer`] holds a pidfd, so a process id that was
//! reused is not the process that was named: it is gone.
//!
//! # How
//!
//! Each process listens at an abstract name made of its process id, its PID namespace and its user;
//! the kernel frees the name at its death. A link is a seqpacket connection between two of these. So
//! that two processes that turn to each other at the same moment make one link and not two, whoever
//! makes it holds the pair's own name meanwhile; see `rendezvous.rs`. Abstract names belong to a network
//! namespace, and any process there could take one first: it can hinder, and is told apart by the
//! credentials, so it cannot deceive.
//!
//! Leaves out processes of other machines, network or PID namespaces.

mod endpoint;
mod error;
mod everyone;
mod one_way;
mod peer;
mod rendezvous;

pub use endpoint::{Direct, DirectOptions};
pub use error::DirectError;
pub use everyone::SentToAll;
pub use peer::Peer;
