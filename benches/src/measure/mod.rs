//! The loops that are timed, the same for every mechanism and for the plain ring: [`rtt`] and
//! [`oneway`], over the numbered content of [`pattern`] in one [`style`] of waiting.

pub mod oneway;
pub mod pattern;
pub mod rtt;
pub mod style;
