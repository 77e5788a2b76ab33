//! Shared memory between processes.

mod copy;
mod mapping;
mod memfd;
mod size;

pub use mapping::{Access, Mapping};
pub use memfd::{Memfd, Seals};
pub use size::Backing;
