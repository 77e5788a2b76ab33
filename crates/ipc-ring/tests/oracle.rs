//! The oracles over random programmes. `cargo xtask fuzz` runs the same ones, guided by coverage.

use ipc_ring::testing::interference::{Outcomes, interference};
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
    fn a_peer_that_interferes_causes_errors_at_most(script in vec(any::<u8>(), 0..1_000)) {
        interference(&script, &mut Outcomes::default());
    }

    #[test]
    fn a_hello_of_any_bytes_is_checked(bytes in vec(any::<u8>(), 0..64)) {
        oracle::hello(&bytes);
    }
}

/// What the fuzzer found: a send that had to wait for room learnt that the receiver was gone when it published
/// what was staged, went on, and left room in which shorter messages were accepted after `PeerGone`.
#[test]
fn nothing_is_sent_after_the_receiver_was_found_gone() {
    let script = [
        0xf1, 0x41, 0x41, 0x3f, 0x41, 0x41, 0x4c, 0x46, 0x4c, 0x4c, 0x4c, 0xff, 0xff, 0x3e, 0x01,
        0x94, 0xdd, 0x94, 0x94, 0x27, 0x94, 0x94, 0xe1, 0x94, 0xe1, 0x69, 0x94, 0xe1, 0xe1, 0x94,
        0x94, 0x94, 0x94, 0x94, 0xe1, 0xe1, 0xe1, 0xff, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0xe1, 0x94, 0x94, 0x94, 0x94, 0x94, 0x94, 0x94, 0x69, 0xe1, 0xe1, 0xe1, 0x46, 0x4c, 0x4c,
        0x4c, 0x05, 0xff, 0xff, 0xff, 0x3e, 0x01, 0x94, 0xe1, 0x94, 0x94, 0x94, 0x94, 0x94, 0x94,
        0x69, 0xe1, 0xe1, 0xe1, 0xe1, 0x94, 0x94, 0x94, 0x94, 0x94, 0x94, 0x94, 0x69, 0xe1, 0xe1,
        0xe1, 0xe1, 0x8b, 0xab,
    ];
    interference(&script, &mut Outcomes::default());
}

/// Lest the fuzzer try the same refusal all day.
#[test]
fn interference_reaches_every_outcome() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut outcomes = Outcomes::default();
    let mut runner = TestRunner::deterministic();
    for _ in 0..3_000 {
        let script = vec(any::<u8>(), 0..1_000).new_tree(&mut runner).expect("bytes").current();
        interference(&script, &mut outcomes);
    }
    println!("{outcomes:?}");
    let Outcomes { done, nothing, timed_out, too_small, gone, violations, waits } = outcomes;
    for (what, count) in [
        ("done", done),
        ("nothing", nothing),
        ("timed out", timed_out),
        ("too small or too long", too_small),
        ("gone", gone),
        ("violations", violations),
        ("waits", waits),
    ] {
        assert!(count >= 50, "{what}: {count} of {outcomes:?}");
    }
}
