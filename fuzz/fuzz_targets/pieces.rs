//! libFuzzer's entry for the oracle of this name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ipc_pipe::testing::pieces(data));
