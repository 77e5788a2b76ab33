//! The loops that are timed, the same for every mechanism and for the plain ring: [`rtt`], [`oneway`],
//! [`paced`] and [`merged`], over the numbered [`content`] that [`pattern`] defines, in one [`style`] of calling.

pub mod batch;
pub mod content;
pub mod in_place;
pub mod merged;
pub mod oneway;
pub mod paced;
pub mod pattern;
pub mod rtt;
pub mod style;
