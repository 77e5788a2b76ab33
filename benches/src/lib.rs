//! `ipc-bench`: which way of talking is how fast on this machine?
//!
//! Every mechanism is measured between two real processes, each on a processor of its own, with every
//! byte of every message copied in and out and its content checked, beside the limits of the machine
//! measured in the same run. The map:
//!
//! | module | job |
//! |---|---|
//! | [`cli`] | the command line, and the parts that this executable plays |
//! | [`matrix`] | what is measured, and for how long |
//! | [`runner`] | starts one session after another, in shuffled passes |
//! | `leftovers` | what a killed session leaves, and its removal |
//! | [`session`] | one pair of processes: the host and the guest |
//! | [`measure`] | the loops that are timed |
//! | [`limits`] | what the machine allows, the textbook's ring among it |
//! | [`mechanisms`] | the list of what can be measured |
//! | [`threads`] | links between two threads of one process, as the ceiling |
//! | [`report`] | medians and multiples, the JSON record, the tables, the page, comparisons |

pub mod check_framing;
pub mod check_plain;
pub mod check_signals;
pub mod check_splice;
pub mod check_sync;
pub mod cli;
pub mod clock;
mod leftovers;
pub mod limits;
pub mod machine;
pub mod matrix;
pub mod measure;
pub mod mechanisms;
mod progress;
pub mod properties;
pub mod report;
pub mod runner;
pub mod session;
pub mod shared;
pub mod spinner;
pub mod threads;
