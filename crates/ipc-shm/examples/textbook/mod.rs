//! The textbook's buffers between a producer and a consumer, as the examples run them and the tests try
//! them. Leaves out its version with semaphores, which is the library's own: `ipc_shm::BoundedBuffer`.

// Each example and test uses some of it.
#![allow(dead_code)]

pub(crate) mod circular;
pub(crate) mod unbounded;
pub(crate) mod unsynchronised;

use ipc_core::{Name, NameError};

/// The name of the segment: that in the environment, so that several can run beside each other, or `default`.
pub(crate) fn name(default: &str) -> Result<Name, NameError> {
    Name::new(&std::env::var("TEXTBOOK_NAME").unwrap_or_else(|_| default.to_owned()))
}
