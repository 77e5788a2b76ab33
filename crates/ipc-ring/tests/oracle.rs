//! The oracles over random programmes. `cargo xtask fuzz` runs the same ones, guided by coverage.

use ipc_ring::testing::oracle;
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_ring_is_a_queue(script in vec(any::<u8>(), 0..2_000)) {
        oracle::operations(&script);
    }

    #[test]
    fn a_hostile_peer_causes_errors_at_most(script in vec(any::<u8>(), 0..1_000)) {
        oracle::hostile_peer(&script);
    }

    #[test]
    fn a_hello_of_any_bytes_is_checked(bytes in vec(any::<u8>(), 0..64)) {
        oracle::hello(&bytes);
    }
}
