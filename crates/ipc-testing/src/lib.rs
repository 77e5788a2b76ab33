//! A conformance suite for transports over the `ipc-core` traits, run between two real processes.

mod between;
mod conformance;
pub mod process;
mod scope;
mod transport;
mod watchdog;

#[doc(hidden)]
pub use between::__test_path;
pub use between::{TIMEOUT, between_processes};
pub use conformance::{CASES, Case, assert_case_fails, run_case};
pub use process::{Guest, Host};
pub use scope::Scope;
pub use transport::{Invitation, Pending, Transport};
pub use watchdog::Watchdog;
