//! `cargo xtask bench`: builds the benchmark optimised and becomes it. The measuring, and the help on
//! its arguments, are in `benches/`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::run::{cargo, run};
use crate::workspace::target_dir;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Passed on to ipc-bench as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Returns only if the benchmark could not be built or started.
pub(crate) fn bench(args: &Args) -> Result<()> {
    run(&mut cargo(["build", "--release", "--package", "ipc-benches", "--bin", "ipc-bench"]))?;
    let program = target_dir("release").join("ipc-bench");
    let error = Command::new(&program).args(&args.args).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}
