//! A conformance suite for transports over the `ipc-core` traits, run between two real processes.
//!
//! Implement [`Transport`] for your mechanism (how a host process invites a guest process to a link,
//! and how the guest joins), and [`conformance!`] makes a test of each case of the suite. What a case
//! asks depends on the link's own [`LinkProperties`](ipc_core::LinkProperties): who learns of a death,
//! what a full link does, whether it may lose messages. So there are no skip lists: where a link
//! declares that something does not hold for it, the case checks what it declares instead.
//!
//! **When not to use it:** outside of tests. It panics where a test should fail, kills and stops
//! processes, and installs a signal handler in the processes that it makes.
//!
//! **Guarantees:** host and guest are processes of their own, made for one run of one case. A case
//! that hangs is ended after [`TIMEOUT`], with a report of where each thread waited. No test sleeps to
//! order events, and none fails for being slow. The suite's own tests run it on broken transports:
//! each case is known to catch a fault.
//!
//! # Your own transport
//!
//! A complete one, in one file with its tests, is [`tests/your_own_transport.rs`] in this crate's
//! source. Its four methods, on a transport that boxes the endpoints of another:
//!
//! [`tests/your_own_transport.rs`]: https://github.com/ipc-toolbox/ipc-toolbox/blob/main/crates/ipc-testing/tests/your_own_transport.rs
//!
//! ```
//! use ipc_core::OpenError;
//! use ipc_testing::{Invitation, Pending, Scope, Transport};
//!
//! struct Boxed<T>(T);
//!
//! impl<T: Transport> Transport for Boxed<T> {
//!     type Sender = Box<dyn ipc_core::Sender>; // your own types here
//!     type Receiver = Box<dyn ipc_core::Receiver>;
//!
//!     fn name(&self) -> &'static str {
//!         "boxed"
//!     }
//!     // In the host: make the link, keep one end, and write down what the guest needs.
//!     fn invite_receiver(
//!         &self,
//!         scope: &Scope,
//!     ) -> Result<(Invitation, Pending<Self::Sender>), OpenError> {
//!         let (invitation, pending) = self.0.invite_receiver(scope)?;
//!         Ok((invitation, pending.map(|end| Box::new(end) as Self::Sender)))
//!     }
//!     fn invite_sender(
//!         &self,
//!         scope: &Scope,
//!     ) -> Result<(Invitation, Pending<Self::Receiver>), OpenError> {
//!         let (invitation, pending) = self.0.invite_sender(scope)?;
//!         Ok((invitation, pending.map(|end| Box::new(end) as Self::Receiver)))
//!     }
//!     // In the guest: become the other end.
//!     fn join_as_receiver(&self, invitation: Invitation) -> Result<Self::Receiver, OpenError> {
//!         Ok(Box::new(self.0.join_as_receiver(invitation)?))
//!     }
//!     fn join_as_sender(&self, invitation: Invitation) -> Result<Self::Sender, OpenError> {
//!         Ok(Box::new(self.0.join_as_sender(invitation)?))
//!     }
//! }
//!
//! // And in a test: ipc_testing::conformance!(boxed, Boxed(YourTransport));
//! for case in ipc_testing::CASES {
//!     println!("{:12} {}: {}", case.theme, case.name, case.claim.trim());
//! }
//! ```
//!
//! # Tests of your own
//!
//! [`between_processes!`] runs any test in two processes:
//!
//! ```
//! // Mark it `#[test]`, in a test binary with the usual harness.
//! fn the_guest_answers() {
//!     ipc_testing::between_processes!(
//!         |guest| {
//!             guest.tell("2 + 2");
//!             assert_eq!(guest.hear(), "4");
//!         },
//!         |host| {
//!             assert_eq!(host.hear(), "2 + 2");
//!             host.tell("4");
//!         },
//!     );
//! }
//! ```

mod between;
mod conformance;
mod counterparts;
#[cfg(feature = "crash")]
pub mod crash;
pub mod killing;
pub mod oracle;
pub mod process;
mod scope;
mod skipping;
mod transport;
mod watchdog;

#[doc(hidden)]
pub use between::__test_path;
pub use between::{TIMEOUT, between_processes};
pub use conformance::{CASES, Case, assert_case_fails, run_case};
pub use counterparts::{CProgram, printed};
pub use process::{Guest, Host};
pub use scope::Scope;
pub use skipping::{programs_are_required, skip, skip_for_want_of, start_program};
pub use transport::{Invitation, Pending, Transport};
pub use watchdog::Watchdog;
