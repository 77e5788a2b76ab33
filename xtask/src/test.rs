//! `cargo xtask test`: all that must hold before a change goes in, cheapest first, up to the first
//! failure. It needs a stable toolchain, and nothing else but the programs that
//! [`crate::skipped`] tells of.

use anyhow::Result;

use crate::crash;
use crate::loom;
use crate::residue::Residue;
use crate::run::{Steps, cargo, run};
use crate::skipped::Skipped;
use crate::workspace::target_dir;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fail where a test against a foreign program (cc, python3, socat, …) cannot run, instead of
    /// skipping it
    #[arg(long)]
    pub(crate) counterparts: bool,
}

pub(crate) fn test(args: &Args) -> Result<()> {
    let residue = Residue::watch()?;
    let skipped = Skipped::new(residue.folder(), args.counterparts)?;
    let mut steps = Steps::default();

    steps.step("format", || {
        run(&mut cargo(["fmt", "--all", "--check"]))?;
        run(&mut cargo(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))
    })?;
    // The rules of `tidy` are unit tests of this package.
    steps.step("tidy", || run(&mut cargo(["test", "--quiet", "--package", "xtask"])))?;
    steps.step("lints", || {
        let deny = ["--", "--deny", "warnings"];
        let all = ["clippy", "--workspace", "--all-targets", "--all-features"];
        run(cargo(all).args(deny))?;
        let fuzz = ["clippy", "--manifest-path", "fuzz/Cargo.toml", "--all-targets"];
        run(cargo(fuzz).arg("--target-dir").arg(target_dir("fuzz")).args(deny))
    })?;
    steps.step("tests", || {
        let mut command = cargo([
            "test",
            "--workspace",
            "--exclude",
            "xtask",
            "--all-features",
            "--no-fail-fast",
        ]);
        skipped.announce_to(&mut command);
        residue.announce_to(&mut command);
        run(&mut command)
    })?;
    steps.step("crashes", || {
        crash::quick(|command| {
            skipped.announce_to(command);
            residue.announce_to(command);
        })
    })?;
    // A wake-up that an unoptimised build would lose only now and then.
    steps.step("races", || {
        let mut command =
            cargo(["test", "--release", "--package", "ipc-ring", "--test", "asymmetric"]);
        residue.announce_to(&mut command);
        run(&mut command)
    })?;
    // The instructions that ship: those of the release profile.
    steps.step("instructions", || {
        let mut command =
            cargo(["test", "--release", "--package", "ipc-benches", "--test", "instructions"]);
        skipped.announce_to(&mut command);
        run(&mut command)
    })?;
    steps.step("nothing left behind", || residue.check())?;
    steps.step("docs", || {
        let mut command = cargo(["doc", "--workspace", "--all-features", "--no-deps"]);
        run(command.env("RUSTDOCFLAGS", "--deny warnings"))
    })?;
    steps.step("loom", loom::quick)?;
    steps.step("fuzz oracles", || {
        let mut command = cargo(["test", "--manifest-path", "fuzz/Cargo.toml"]);
        run(command.arg("--target-dir").arg(target_dir("fuzz")))
    })?;

    skipped.report()?;
    eprintln!("\n{}", steps.summary());
    Ok(())
}
