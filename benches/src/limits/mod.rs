//! What the machine allows: the cheapest conceivable exchange, wake-up, copy and system call. Each
//! mechanism is judged as a multiple of one of them, measured in the same run on the same cores.

pub mod alone;
pub mod bare;
pub mod eventfd;
pub mod futex;
pub mod line;
mod plain_in_place;
pub mod plain_ring;
