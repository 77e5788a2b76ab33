//! `cargo xtask bench`: builds the benchmark optimised and becomes it; with `--peers`, the one in
//! `benches/peers`, which has other libraries too. The measuring, and the help on its arguments, are in
//! `benches/`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::run::{cargo, output, run};
use crate::workspace::target_dir;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Passed on to ipc-bench as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Returns only if the benchmark could not be built or started.
pub(crate) fn bench(args: &Args) -> Result<()> {
    let (program, left_out) = if args.args.iter().any(|arg| arg == "--peers") {
        build_with_peers()?
    } else {
        run(&mut cargo(["build", "--release", "--package", "ipc-benches", "--bin", "ipc-bench"]))?;
        (target_dir("release").join("ipc-bench"), Vec::new())
    };
    let mut command = Command::new(&program);
    if !left_out.is_empty() {
        command.env(NOTES, left_out.join("\n")); // said again below the tables
    }
    let error = command.args(&args.args).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

/// What ipc-bench shall say beside its own warnings, a line each.
const NOTES: &str = "IPC_BENCH_NOTES";

const PEERS_MANIFEST: &str = "benches/peers/Cargo.toml";

/// Builds the benchmark with every library that builds on this machine. Returns the program, and a
/// line for each library that does not.
fn build_with_peers() -> Result<(PathBuf, Vec<String>)> {
    let program = target_dir("release").join("ipc-bench-peers");
    let all = peers()?;
    if build(&all).status().is_ok_and(|status| status.success()) {
        return Ok((program, Vec::new()));
    }
    eprintln!("\nNot everything builds on this machine. What does, is found out one by one:");
    let (mut good, mut left_out) = (Vec::new(), Vec::new());
    for peer in all {
        let built = build(std::slice::from_ref(&peer))
            .arg("--quiet")
            .output()
            .context("cannot run cargo")?;
        if built.status.success() {
            good.push(peer);
        } else {
            let reason = reason(&String::from_utf8_lossy(&built.stderr));
            left_out.push(format!("without {peer}: {reason}"));
            eprintln!("{}", left_out[left_out.len() - 1]);
        }
    }
    run(&mut build(&good))?;
    Ok((program, left_out))
}

/// The other libraries: the default features of their package.
fn peers() -> Result<Vec<String>> {
    let json = output(&mut cargo([
        "metadata",
        "--format-version=1",
        "--no-deps",
        "--manifest-path",
        PEERS_MANIFEST,
    ]))?;
    let metadata: Value = serde_json::from_str(&json).context("cargo metadata printed no JSON")?;
    let features = metadata["packages"][0]["features"]["default"].as_array();
    let features = features.with_context(|| format!("no default features in {PEERS_MANIFEST}"))?;
    Ok(features.iter().filter_map(|feature| feature.as_str().map(str::to_owned)).collect())
}

/// Builds the benchmark with these libraries, into the same folder as everything else, where its
/// records lie.
fn build(peers: &[String]) -> Command {
    let mut command = cargo(["build", "--release", "--bin", "ipc-bench-peers"]);
    command.args(["--manifest-path", PEERS_MANIFEST]).arg("--target-dir").arg(target_dir(""));
    command.args(["--no-default-features", "--features", &peers.join(",")]);
    command
}

/// What stands in the output of a build that fails for want of something, and what has it.
const WANTING: &[(&str, &str)] = &[
    ("Unable to find libclang", "the Debian package libclang-dev has it"),
    ("fatal error: boost/", "the Debian package libboost-dev has it"),
    ("failed to find tool \"c++\"", "the Debian package g++ has it"),
    ("linker `cc` not found", "the Debian package gcc has it"),
    ("is `cmake` not installed?", "the package cmake of Debian 13, or of PyPI, has it"),
    (
        " or higher is required.  You are running",
        "the package cmake of Debian 13, or of PyPI, has it",
    ),
];

/// Why a build failed, in one line, from what it printed. What a compiler of C++ complains of, cargo
/// prints as warnings of the package (`warning: zmq-sys@0.12.0: …`), or as its build script does.
fn reason(printed: &str) -> String {
    let wanting = WANTING.iter().find(|(what, _)| printed.contains(what));
    let is_telling = |line: &&str| match wanting {
        Some((what, _)) => line.contains(what),
        None => line.starts_with("error") || line.contains(" error: "),
    };
    let line = printed.lines().find(is_telling).unwrap_or("it does not say why").trim();
    let line = match line.strip_prefix("warning: ").and_then(|rest| rest.split_once(": ")) {
        Some((_package, complaint)) => complaint,
        None => line.trim_start_matches("cargo:warning="),
    };
    match wanting {
        Some((_, who_has_it)) => format!("{line} ({who_has_it})"),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_header_is_named_with_its_package() {
        let printed = "warning: peers@0.1.0: q.cpp:5:10: fatal error: boost/q.hpp: No such file or \
                       directory\nerror: failed to run custom build command for `peers`\n";
        assert_eq!(
            reason(printed),
            "q.cpp:5:10: fatal error: boost/q.hpp: No such file or directory (the Debian package \
             libboost-dev has it)"
        );
    }

    #[test]
    fn a_tool_that_is_too_old_is_named_with_its_version() {
        let printed = "error: failed to run custom build command for `driver`\n  --- stderr\n  CMake \
                       Error at CMakeLists.txt:16 (cmake_minimum_required):\n    CMake 3.30 or higher \
                       is required.  You are running version 3.25.1\n";
        assert_eq!(
            reason(printed),
            "CMake 3.30 or higher is required.  You are running version 3.25.1 (the package cmake of \
             Debian 13, or of PyPI, has it)"
        );
    }

    #[test]
    fn any_other_failure_is_told_by_its_first_error() {
        let printed = "   Compiling a\nwarning: b\nerror[E0308]: mismatched types\nerror: c\n";
        assert_eq!(reason(printed), "error[E0308]: mismatched types");
        assert_eq!(reason(""), "it does not say why");
    }

    #[test]
    fn each_peer_is_a_feature() {
        let peers = peers().expect("the package is there");
        assert!(peers.iter().any(|peer| peer == "iceoryx2"), "{peers:?}");
    }
}
