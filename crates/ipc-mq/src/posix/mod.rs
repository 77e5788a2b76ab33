//! POSIX message queues (`mq_overview(7)`).
//!
//! A queue lives in the kernel under a name, until it is [`unlink`]ed and its last end is closed, or
//! the system goes down. Any number of processes open it, each for one of its two ends.
//!
//! | file | job |
//! |---|---|
//! | `options` | how a queue is opened and created |
//! | `sender`, `receiver` | the two ends |
//! | `queue` | what both have in common: the descriptor, and waiting |
//! | `limits` | which limit an error is about |
//! | `sys` | the functions of `<mqueue.h>` |
//!
//! Left out so far: notification by a signal or a thread (`mq_notify(3)`). Poll the descriptor
//! instead.

mod limits;
mod options;
mod queue;
mod receiver;
mod sender;
mod sys;

pub use options::OpenOptions;
pub use queue::{Attributes, HIGHEST_PRIORITY};
pub use receiver::QueueReceiver;
pub use sender::QueueSender;

use ipc_core::{Name, OpenError};

/// Removes the queue's name. Who has the queue open can go on using it; the kernel frees it, with
/// what is in it, when the last end is closed. The name is free at once: a queue created under it
/// later is another one. Never blocks. See `mq_unlink(3)`.
///
/// # Errors
///
/// [`NotFound`](ipc_core::OpenErrorKind::NotFound) if there is no such queue;
/// [`PermissionDenied`](ipc_core::OpenErrorKind::PermissionDenied) if it belongs to another user.
pub fn unlink(name: &Name) -> Result<(), OpenError> {
    let (system_name, link) = queue::system_name(name);
    sys::mq_unlink(&system_name).map_err(|errno| OpenError::from_os("mq_unlink", &link, errno))
}
