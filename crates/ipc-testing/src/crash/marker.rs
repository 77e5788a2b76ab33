//! How a victim tells its tracer where the operation begins and ends: by two breakpoints of its own.

// Inline assembly, and a signal handler.
#![allow(unsafe_code)]

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal};

/// What lies in `rax` at the beginning; the end is one more.
pub(super) const BEGIN: u64 = 0x6970_632d_6372_0001;
/// What lies in `rax` at the end.
pub(super) const END: u64 = BEGIN + 1;

/// Stops the process if it is traced; else does nothing, after [`tolerate`].
#[inline(always)] // so that no other instructions of ours are in the operation
pub(super) fn mark<const WHAT: u64>() {
    // SAFETY: a trap changes no register and no memory. To the compiler it may read and write all
    // memory, so that nothing of the operation is moved across.
    unsafe { std::arch::asm!("int3", in("rax") WHAT, options(nostack, preserves_flags)) };
}

/// Lets the marks of a process that is not traced any more pass.
pub(super) fn tolerate() {
    extern "C" fn pass(_: nix::libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(pass), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does nothing at all. The process is one that this kit made.
    unsafe { nix::sys::signal::sigaction(Signal::SIGTRAP, &action) }.expect("a valid signal");
}
