//! The system calls of this crate that rustix does not have, made safe: one file for each kind of
//! kernel object. Leaves out what they mean.
//!
//! All `unsafe` code of the crate is in here.

mod action;
mod info;
mod set;
mod timer;
mod trace;

pub(crate) use action::{Action, Catch};
pub(crate) use info::{SignalInfo, group_exists, queue, queue_to_thread, send_to_group, take};
pub(crate) use set::{SignalSet, block, signalfd, unblock};
pub(crate) use timer::PosixTimer;
pub(crate) use trace::{Stop, Tracee, announce_and_wait, wait_for_any_tracee};
