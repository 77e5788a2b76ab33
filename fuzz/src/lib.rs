//! The fuzz targets of the IPC toolbox, as plain functions: libFuzzer drives them
//! (`cargo xtask fuzz TARGET`), and so does a smoke test on fixed pseudo-random bytes, which needs
//! neither libFuzzer nor a C++ compiler (`cargo test` in this folder).
//!
//! A target is an **oracle**: a function that does with the bytes whatever they say, both with the
//! code under test and with a model so plain that it is evidently right, and panics where the two
//! differ. An oracle that property tests share lives in its own crate's `testing` module; one that
//! serves only here is a module of this crate.
//!
//! To add a target: a line in [`TARGETS`], a file of one line in `fuzz_targets/`, its `[[bin]]` in
//! `Cargo.toml`, and seeds in `seeds/NAME/` if random bytes would be long in finding the way in. A
//! test sees to it that none is forgotten.

pub mod frames;
pub mod name;

use ipc_ring::testing::interference::{Outcomes, interference};
use ipc_ring::testing::oracle as ring;

/// A peer of a ring that is hostile in the midst of every operation.
pub fn ring_interference(script: &[u8]) {
    interference(script, &mut Outcomes::default());
}

/// One thing to fuzz.
pub struct Target {
    /// What it is called on the command line; also the name of its file in `fuzz_targets/`.
    pub name: &'static str,
    /// Acts upon the bytes; panics where the code under test is wrong.
    pub run: fn(&[u8]),
    /// Whether it makes system calls of the sort that Miri does not know.
    pub needs_kernel: bool,
}

/// All targets, by name.
pub const TARGETS: &[Target] = &[
    Target { name: "frames_pipe", run: frames::pipe, needs_kernel: true },
    Target { name: "frames_socket", run: frames::socket, needs_kernel: true },
    Target { name: "name", run: name::run, needs_kernel: false },
    Target { name: "pieces", run: ipc_pipe::testing::pieces, needs_kernel: true },
    Target { name: "ring", run: ring::operations, needs_kernel: false },
    Target { name: "ring_hello", run: ring::hello, needs_kernel: false },
    Target { name: "ring_hostile", run: ring::hostile_peer, needs_kernel: false },
    Target { name: "ring_interference", run: ring_interference, needs_kernel: false },
    Target { name: "shm_region", run: ipc_shm::testing::oracle::region_header, needs_kernel: true },
];
