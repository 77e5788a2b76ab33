//! The example programs, as somebody runs them by hand; and built apart from this test, so that what the
//! two agree on does not come from one compilation.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use ipc_core::OpenErrorKind;
use ipc_shm::testing::segment_name;
use ipc_shm::{Region, Segment, Shared};
use ipc_testing::{Scope, printed};

/// Runs an example, built with other optimisation, other checks and other debug information than this
/// test.
fn example(name: &str, arguments: &[&str]) -> std::process::Output {
    let other_profile = if cfg!(debug_assertions) { "release" } else { "dev" };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["run", "--quiet", "--offline", "--profile", other_profile]);
    cargo.args(["--package", "ipc-shm", "--example", name, "--"]).args(arguments);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs")
}

#[test]
fn the_textbooks_producer_leaves_what_the_consumer_prints_and_removes() {
    let scope = Scope::new();
    let name = segment_name(&scope);
    let produced = example("shm_producer", &["Hello, world!", name.as_str()]);
    assert_eq!(printed(&produced), format!("/dev/shm/{name}: 13 bytes, mode 600\n"));
    assert_eq!(Segment::open(&name).expect("it stays").mapping().len(), 13);
    let again = example("shm_producer", &["Hello again!", name.as_str()]);
    assert!(!again.status.success(), "one is there already");

    let consumed = example("shm_consumer", &[name.as_str()]);
    assert_eq!(printed(&consumed), "Hello, world!\n");
    let error = Segment::open(&name).expect_err("it is removed");
    assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
    assert!(!example("shm_consumer", &[name.as_str()]).status.success());
}

ipc_shm::shared! {
    /// As the example `shm_region` declares it, in a file of its own.
    struct Visits("ipc-shm-example.Visits/1") {
        total: AtomicU64,
        by_parity: [AtomicU64; 2],
    }
}

ipc_shm::shared! {
    /// The next version.
    struct NextVisits("ipc-shm-example.Visits/2") {
        total: AtomicU64,
        by_parity: [AtomicU64; 2],
    }
}

#[test]
fn a_program_that_was_built_apart_means_the_same_type() {
    // Programs that were built years ago have stored it.
    assert_eq!(Visits::IDENTITY.hash, 0xb547_7b95_3b41_bd15, "it must never change");
    let scope = Scope::new();

    // They create, we open.
    let name = segment_name(&scope);
    assert!(printed(&example("shm_region", &[name.as_str()])).contains("is visitor 1 of"));
    let visits = Region::<Visits>::open(&name).expect("the same type");
    assert_eq!(visits.total.load(Ordering::Relaxed), 1); // the process has ended
    let parities = visits.by_parity.each_ref().map(|count| count.load(Ordering::Relaxed));
    assert_eq!(parities.iter().sum::<u64>(), 1);

    // We create, they open.
    let name = segment_name(&scope);
    let initial = Visits { total: AtomicU64::new(41), by_parity: Default::default() };
    let visits = Region::create_new(&name, initial).expect("created");
    assert!(printed(&example("shm_region", &[name.as_str()])).contains("is visitor 42 of"));
    assert_eq!(visits.total.load(Ordering::Relaxed), 42);

    // And what is not the same is refused.
    let error = Region::<NextVisits>::open(&name).expect_err("another version");
    assert!(matches!(error.kind(), OpenErrorKind::Mismatch { what: "layout hash", .. }), "{error}");
}
