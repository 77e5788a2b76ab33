//! Locks that the kernel passes on when their owner dies: the parts of which the locks of this folder
//! are made. Leaves out what they guard.
//!
//! - [`word`]: the lock's word, who may write what to it when, and how nobody sleeps for ever.
//! - [`thread`]: how a thread tells the kernel which locks it holds.
//! - [`futex`]: both together, as they lie in shared memory: taken and released.

mod futex;
#[cfg_attr(ipc_loom, path = "model.rs")]
mod thread;
mod word;

pub(crate) use futex::{Held, Leaving, RobustFutex};
#[cfg(all(test, ipc_loom))]
pub(crate) use thread::set_thread_id;
pub(crate) use thread::{Announcement, MAX_HELD, Thread};
pub(crate) use word::{Found, Look, RobustWord};
