//! A conformance suite for transports over the `ipc-core` traits, run between two real processes.

mod scope;
mod transport;

pub use scope::Scope;
pub use transport::{Invitation, Pending, Transport};
