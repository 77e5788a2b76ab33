//! The two endpoints of a ring: the protocol, with waiting. Generic over memory and doorbells, so
//! that loom checks sleeping and waking too; [`crate::RingSender`] and [`crate::RingReceiver`] are
//! these over mapped memory and pipes.

mod lookout;
mod looks;
mod pace;
pub(crate) mod receiving;
pub(crate) mod sending;

/// How often a spinning endpoint looks at the clock and at the peer's descriptor: once in this many
/// looks at memory, of 10 to 100 ns each.
const LOOKS_PER_CHECK: u32 = 64;
