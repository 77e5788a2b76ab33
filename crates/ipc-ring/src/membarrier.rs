//! Memory barriers that one process has the kernel make in others (`membarrier(2)`), so that those need
//! none of their own. Leaves out why that is enough: see `protocol/order.rs`.

use std::io;

use rustix::thread::{MembarrierCommand, MembarrierQuery, membarrier, membarrier_query};

/// Makes this process one in which [`bar`] makes barriers: now, and in threads and forked children to
/// come; `exec` ends it. Once is enough. It takes a microsecond in a process of one thread, and
/// milliseconds in one of several (the kernel waits until no processor is in the scheduler with the old
/// state), unless it was done before. Tells whether it is so: kernels without it, and filters of system
/// calls, refuse.
pub(crate) fn register() -> bool {
    membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok()
}

/// Whether [`bar`] will work in this process.
pub(crate) fn is_offered() -> bool {
    membarrier_query().contains(MembarrierQuery::GLOBAL_EXPEDITED)
}

/// Makes a memory barrier in this thread, and in every running thread of every process that has
/// [`register`]ed; those that do not run have passed one when they ceased to.
///
/// # Errors
///
/// `ENOMEM`; `ENOSYS`, `EPERM` or whatever a filter of system calls says that came later than
/// [`is_offered`].
pub(crate) fn bar() -> io::Result<()> {
    Ok(membarrier(MembarrierCommand::GlobalExpedited)?)
}
