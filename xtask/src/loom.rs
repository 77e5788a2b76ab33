//! `cargo xtask loom`: the models of the protocols, run through every interleaving by loom. They exist
//! under `--cfg ipc_loom` only: in a crate's `tests/loom.rs`, or in its `src/models.rs` where they
//! look at what the crate does not show.

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
    let mut models = models()?;
    if let Some(package) = &args.package {
        let all: Vec<_> = models.iter().map(|it| it.package.clone()).collect();
        models.retain(|it| it.package == *package);
        if models.is_empty() {
            bail!("crate {package:?} has no loom models; these have: {}", all.join(", "));
        }
    }
    for models in models {
        let mut command = models.command(args.model.as_deref());
        command.arg("--nocapture"); // a failing interleaving is told by what it printed on its way
        run(&mut command)?;
    }
    Ok(())
}

/// The models as a step of the tests: bounded to interleavings with at most two preemptions, which
/// nearly all mistakes need no more than, unless the caller has set another bound.
pub(crate) fn quick() -> Result<()> {
    for models in models()? {
        let mut command = models.command(None);
        if std::env::var_os("LOOM_MAX_PREEMPTIONS").is_none() {
            command.env("LOOM_MAX_PREEMPTIONS", "2");
        }
        run(&mut command)?;
    }
    Ok(())
}

/// The models of one crate in one place.
struct Models {
    package: String,
    /// What makes cargo test that place.
    cargo_args: &'static [&'static str],
    /// What all their names begin with.
    prefix: &'static str,
}

/// Finds them by looking.
fn models() -> Result<Vec<Models>> {
    let mut models = Vec::new();
    for folder in crates()? {
        let package = file_name(&folder);
        if folder.join("tests/loom.rs").is_file() {
            models.push(Models {
                package: package.clone(),
                cargo_args: &["--test", "loom"],
                prefix: "",
            });
        }
        if folder.join("src/models.rs").is_file() || folder.join("src/models").is_dir() {
            models.push(Models { package, cargo_args: &["--lib"], prefix: "models::" });
        }
    }
    Ok(models)
}

impl Models {
    /// Runs them, or those with `only` in their names.
    fn command(&self, only: Option<&str>) -> Command {
        let mut command = cargo(["test", "--package", &self.package, "--profile", "loom"]);
        let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
        command.env("RUSTFLAGS", format!("{flags} --cfg ipc_loom").trim_start());
        command.arg("--target-dir").arg(target_dir("loom")).args(self.cargo_args).arg("--");
        // Cargo's test runner takes several filters for alternatives: one is all there can be.
        command.args(only.or(Some(self.prefix)).filter(|filter| !filter.is_empty()));
        command
    }
}
