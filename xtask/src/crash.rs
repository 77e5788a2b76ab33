//! `cargo xtask crash`: kills processes at every instruction of the operations that must survive it.
//! Nothing may be left behind in the system by that. The scenes are the tests named `crash` of the
//! crates, the kit is `ipc_testing::crash`.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Result, bail};

use crate::residue::Residue;
use crate::run::{cargo, run};
use crate::workspace::{crates, file_name};

/// Where a crate has its scenes.
const SCENES: &str = "tests/crash/main.rs";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Some points of each scene, evenly spread: a minute instead of several
    #[arg(long)]
    quick: bool,
    /// The crate whose scenes to try; without it, each that has any
    #[arg(long, value_name = "CRATE")]
    package: Option<String>,
    /// Also where each scene takes effect
    #[arg(long)]
    verbose: bool,
    /// The scenes' names, and no more
    #[arg(long)]
    list: bool,
    /// How soon a survivor learns of a death, instead
    #[arg(long, conflicts_with_all = ["quick", "verbose", "list", "filter"])]
    latency: bool,
    /// Only scenes with this in their name (operation / state / survivor)
    filter: Option<OsString>,
}

pub(crate) fn crash(args: &Args) -> Result<()> {
    if args.latency {
        return latency(args.package.as_deref());
    }
    let mut packages = packages(SCENES)?;
    if let Some(package) = &args.package {
        let all = packages.join(", ");
        packages.retain(|it| it == package);
        if packages.is_empty() {
            bail!("crate {package:?} has no crash test; these have: {all}");
        }
    }
    let residue = Residue::watch()?;
    for package in packages {
        let mut command = command(&package);
        residue.announce_to(&mut command);
        let options = [("--quick", args.quick), ("--verbose", args.verbose), ("--list", args.list)];
        command.args(options.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name));
        run(command.args(&args.filter))?;
    }
    residue.check()
}

/// The crash tests as a step of the tests; `announce` gives them the run's environment.
pub(crate) fn quick(announce: impl Fn(&mut Command)) -> Result<()> {
    for package in packages(SCENES)? {
        let mut command = command(&package);
        announce(&mut command);
        run(command.arg("--quick"))?;
    }
    Ok(())
}

/// The tests named `death`, which print what they measure. One at a time: they use both cores.
fn latency(only: Option<&str>) -> Result<()> {
    let packages = packages("tests/death.rs")?;
    for package in packages.iter().filter(|it| only.is_none_or(|only| only == *it)) {
        run(test(package, "death").args(["--nocapture", "--test-threads=1"]))?;
    }
    Ok(())
}

/// Finds the crates with this test by looking. The kit's own test tries the kit, not a crate.
fn packages(test: &str) -> Result<Vec<String>> {
    let crates = crates()?;
    let with_it = crates.iter().filter(|folder| folder.join(test).is_file());
    Ok(with_it.map(|folder| file_name(folder)).collect())
}

fn command(package: &str) -> Command {
    test(package, "crash")
}

/// The instructions that ship: those of the release profile.
fn test(package: &str, name: &str) -> Command {
    let features = ["--all-features", "--test", name, "--"];
    let mut command = cargo(["test", "--quiet", "--release", "--package", package]);
    command.args(features);
    command
}
