//! Where things are in the workspace, and what cargo says of its packages.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::run::{cargo, output};

/// The folder of the root `Cargo.toml`.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}

/// Cargo's build folder for `purpose`. Builds with flags of their own get a folder of their own, so
/// that neither they nor the ordinary builds start from nothing each time.
pub(crate) fn target_dir(purpose: &str) -> PathBuf {
    static TARGET: LazyLock<PathBuf> =
        LazyLock::new(|| match std::env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => root().join(folder),
            None => root().join("target"),
        });
    TARGET.join(purpose)
}

/// `path` as seen from the root of the workspace, where it lies under it.
pub(crate) fn relative(path: &Path) -> &Path {
    path.strip_prefix(root()).unwrap_or(path)
}

/// The library crates (the folders of `crates/`), in alphabetical order.
pub(crate) fn crates() -> Result<Vec<PathBuf>> {
    let mut crates: Vec<_> = root()
        .join("crates")
        .read_dir()
        .context("cannot read the folder crates/")?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    crates.retain(|folder| folder.join("Cargo.toml").is_file());
    crates.sort();
    Ok(crates)
}

/// The name of a crate or file: the last part of its path.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// `cargo metadata` for this machine's target, with all features. It takes from the network only what
/// building the workspace would take too.
pub(crate) fn metadata() -> Result<Value> {
    let target = host_target()?;
    let json = output(&mut cargo([
        "metadata",
        "--format-version=1",
        "--all-features",
        "--filter-platform",
        &target,
    ]))?;
    serde_json::from_str(&json).context("cargo metadata printed no JSON")
}

/// This machine's target triple, such as `x86_64-unknown-linux-gnu`.
pub(crate) fn host_target() -> Result<String> {
    let version = output(rustc().arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

/// The compiler that cargo would use.
pub(crate) fn rustc() -> Command {
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
    command.current_dir(root());
    command
}
