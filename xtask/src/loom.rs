//! `cargo xtask loom`: the models of the protocols, run through every interleaving by loom. The
//! models are the crates' `tests/loom.rs`, which compile under `--cfg ipc_loom` only.

use std::process::Command;

use anyhow::{Result, bail};

use crate::run::{cargo, run};
use crate::workspace::{crates, file_name, target_dir};

/// Loom's own variables pass through: `LOOM_MAX_PREEMPTIONS` (a bound makes a big model quick),
/// `LOOM_MAX_DURATION`, `LOOM_CHECKPOINT_FILE`, `LOOM_LOCATION=1 LOOM_LOG=trace` (what happened).
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The crate whose models to run; without it, each that has any
    #[arg(value_name = "CRATE")]
    package: Option<String>,
    /// Run only the models whose name contains this
    #[arg(long)]
    model: Option<String>,
}

pub(crate) fn loom(args: &Args) -> Result<()> {
    let all = crates_with_models()?;
    let chosen = match &args.package {
        None => all,
        Some(package) if all.contains(package) => vec![package.clone()],
        Some(package) => {
            bail!("crate {package:?} has no tests/loom.rs; these have: {}", all.join(", "))
        }
    };
    if chosen.is_empty() {
        eprintln!("no crate has a tests/loom.rs yet");
    }
    for package in chosen {
        let mut command = models_of(&package);
        // A failing interleaving is told by what the model printed on its way.
        command.args(["--", "--nocapture"]).args(&args.model);
        run(&mut command)?;
    }
    Ok(())
}

/// The models as a step of the tests: bounded to interleavings with at most two preemptions, which
/// nearly all mistakes need no more than, unless the caller has set another bound.
pub(crate) fn quick() -> Result<()> {
    for package in crates_with_models()? {
        let mut command = models_of(&package);
        if std::env::var_os("LOOM_MAX_PREEMPTIONS").is_none() {
            command.env("LOOM_MAX_PREEMPTIONS", "2");
        }
        run(&mut command)?;
    }
    Ok(())
}

fn crates_with_models() -> Result<Vec<String>> {
    let mut crates = crates()?;
    crates.retain(|folder| folder.join("tests/loom.rs").is_file());
    Ok(crates.iter().map(|folder| file_name(folder)).collect())
}

fn models_of(package: &str) -> Command {
    let mut command = cargo(["test", "--package", package, "--profile", "loom", "--test", "loom"]);
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    command.env("RUSTFLAGS", format!("{flags} --cfg ipc_loom").trim_start());
    command.arg("--target-dir").arg(target_dir("loom"));
    command
}
