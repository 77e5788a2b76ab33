//! `cargo xtask ci`: CI's jobs, so that each can be run where one works. The workflows call these and
//! nothing else.

use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::run::run;
use crate::workspace::{crates, file_name, metadata, root, target_dir};
use crate::{fuzz, test};

/// Big-endian, with weaker memory ordering than x86-64, and emulated well.
const BIG_ENDIAN: &str = "s390x-unknown-linux-gnu";

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(value_enum, default_value_t = Job::Test)]
    job: Job,
}

#[derive(Clone, Copy, ValueEnum)]
enum Job {
    /// `cargo xtask test --counterparts`
    Test,
    /// Build the libraries with the oldest Rust that they promise to work with (needs rustup)
    Msrv,
    /// Unit tests of ipc-core and ipc-ring, and the fuzz oracles, under Miri (needs rustup, and nightly
    /// with miri and rust-src)
    Miri,
    /// The same on emulated s390x (needs rustup, its target, gcc-s390x-linux-gnu and qemu-user)
    BigEndian,
    /// Every fuzz target for ten minutes
    Fuzz,
}

pub(crate) fn ci(args: &Args) -> Result<()> {
    match args.job {
        Job::Test => test::test(&test::Args { counterparts: true }),
        Job::Msrv => msrv(),
        Job::Miri => miri(),
        Job::BigEndian => big_endian(),
        Job::Fuzz => fuzz::all(600),
    }
}

/// What runs without the kernel's interprocess facilities, and so under Miri and emulation too.
const PORTABLE: [&str; 5] = ["--package", "ipc-core", "--package", "ipc-ring", "--lib"];

/// The same of the fuzz targets' oracles, which drive the ring's protocol in memory of their own.
const ORACLES: [&str; 2] = ["--manifest-path", "fuzz/Cargo.toml"];

/// The promise is the `rust-version` in each library's manifest.
fn msrv() -> Result<()> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().context("metadata without packages")?;
    for folder in crates()? {
        let name = file_name(&folder);
        let version = packages
            .iter()
            .find(|package| package["name"] == *name)
            .and_then(|package| package["rust_version"].as_str())
            .with_context(|| format!("{name} states no rust-version"))?;
        run(rustup(version, "msrv").args([
            "check",
            "--all-features",
            "--lib",
            "--package",
            &name,
        ]))?;
    }
    Ok(())
}

/// Miri knows few system calls: the tests that need others are left to the other jobs.
fn miri() -> Result<()> {
    let miri = || {
        let mut command = rustup("nightly", "miri");
        command.args(["miri", "test"]).env("MIRIFLAGS", "-Zmiri-disable-isolation"); // files, clocks
        command
    };
    let skip = ["--", "--skip", "liveness::", "--skip", "poll::", "--skip", "futex::"];
    run(miri().args(PORTABLE).args(skip))?;
    run(miri().args(ORACLES))
}

fn big_endian() -> Result<()> {
    let linker = "s390x-linux-gnu-gcc";
    if Command::new(linker).arg("--version").output().is_err() {
        bail!("no {linker}: apt-get install gcc-s390x-linux-gnu qemu-user");
    }
    let variable =
        |what: &str| format!("CARGO_TARGET_{}_{what}", BIG_ENDIAN.to_uppercase().replace('-', "_"));
    let emulated = || {
        let mut command = rustup("stable", "big-endian");
        command.args(["test", "--target", BIG_ENDIAN]);
        command.env(variable("LINKER"), linker);
        command.env(variable("RUNNER"), "qemu-s390x -L /usr/s390x-linux-gnu");
        command
    };
    // The emulator leaves FUTEX_WAKE_OP's arithmetic to the host, in the host's order of bytes.
    run(emulated().args(PORTABLE).args(["--", "--skip", "futex::"]))?;
    run(emulated().args(ORACLES))
}

/// A `cargo` of another toolchain, with a build folder of its own.
fn rustup(toolchain: &str, purpose: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", toolchain, "cargo"]).current_dir(root());
    command.env("CARGO_TARGET_DIR", target_dir(purpose));
    command
}
