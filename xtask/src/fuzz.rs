//! `cargo xtask fuzz`: libFuzzer on the stable toolchain, without cargo-fuzz.
//!
//! What makes that possible, tried with Rust 1.95:
//!
//! - Coverage: LLVM's pass `sancov-module` and its options are reached by `-Cpasses` and
//!   `-Cllvm-args`, which are stable flags. libFuzzer then sees edges (`inline-8bit-counters`, with
//!   `pc-table` to name them) and compared values (`trace-compares`). The standard library comes
//!   compiled, so that what happens inside it is not seen, but what is inlined from it is.
//! - AddressSanitizer: `-Zsanitizer=address` is not stable, but the stable toolchain has it and its
//!   runtime, and takes the flag under `RUSTC_BOOTSTRAP=1`. The overflows, uses after free and leaks
//!   of instrumented code are found. It costs a factor of about six in speed.
//! - libFuzzer itself is C++ that the crate `libfuzzer-sys` carries and compiles.
//!
//! `--target` keeps the flags from build scripts and procedural macros. Debug assertions and overflow
//! checks are switched on by the release profile of `fuzz/`.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::run::{cargo, run};
use crate::workspace::{self, host_target, relative, rustc, target_dir};

const COVERAGE_FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to fuzz
    #[arg(required_unless_present = "list")]
    target: Option<String>,
    /// Print the targets
    #[arg(long)]
    list: bool,
    /// How long to go on; inputs that reach new code stay in fuzz/corpus for the next time
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What to build in that finds bad memory accesses [default: address, if it works here]
    #[arg(long)]
    sanitizer: Option<Sanitizer>,
    /// Run this one input instead, such as a crash in fuzz/artifacts
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Passed on to libFuzzer, such as -max_len=65536 (all of them: -help=1)
    #[arg(last = true)]
    libfuzzer_args: Vec<OsString>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sanitizer {
    None,
    Address,
}

pub(crate) fn fuzz(args: &Args) -> Result<()> {
    let targets = targets()?;
    let Some(target) = args.target.as_ref().filter(|_| !args.list) else {
        println!("{}", targets.join("\n"));
        return Ok(());
    };
    if !targets.contains(target) {
        bail!("no fuzz target {target:?}; there are: {}", targets.join(", "));
    }
    let binary = build(target, args.sanitizer)?;
    if let Some(input) = &args.input {
        return run(Command::new(binary).arg(input).args(&args.libfuzzer_args));
    }
    Campaign::new(target, args.sanitizer)?.run(&binary, args.seconds, &args.libfuzzer_args)
}

/// Fuzzes each target for so many seconds.
pub(crate) fn all(seconds: u64) -> Result<()> {
    for target in targets()? {
        let binary = build(&target, None)?;
        Campaign::new(&target, None)?.run(&binary, seconds, &[])?;
    }
    Ok(())
}

/// The targets: one per file of `fuzz/fuzz_targets`.
fn targets() -> Result<Vec<String>> {
    let folder = fuzz_folder("fuzz_targets");
    let mut targets = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("no folder {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            targets.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    targets.sort();
    Ok(targets)
}

fn fuzz_folder(name: &str) -> PathBuf {
    workspace::root().join("fuzz").join(name)
}

/// Builds a target with coverage, and its sanitizer; its binary.
fn build(target: &str, sanitizer: Option<Sanitizer>) -> Result<PathBuf> {
    need_cpp_compiler()?;
    let triple = host_target()?;
    let mut flags = COVERAGE_FLAGS.to_vec();
    let mut command = cargo(["build", "--release", "--manifest-path", "fuzz/Cargo.toml"]);
    command.args(["--features", "libfuzzer", "--bin", target, "--target", &triple]);
    if sanitizer
        .map_or_else(|| address_sanitizer_works(&triple), |it| Ok(it == Sanitizer::Address))?
    {
        flags.push("-Zsanitizer=address");
        command.env("RUSTC_BOOTSTRAP", "1");
    }
    let own_flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    command.env("RUSTFLAGS", format!("{own_flags} {}", flags.join(" ")).trim_start());
    command.arg("--target-dir").arg(target_dir("fuzz"));
    run(&mut command)?;
    Ok(target_dir("fuzz").join(triple).join("release").join(target))
}

/// libfuzzer-sys would fail with a page of the C++ compiler's arguments.
fn need_cpp_compiler() -> Result<()> {
    let compiler = std::env::var("CXX").unwrap_or("c++".into());
    let found = Command::new(&compiler).arg("--version").stdout(Stdio::null()).status();
    if found.is_err() {
        bail!(
            "libFuzzer is written in C++, and there is no compiler {compiler:?} here: install one \
             (apt-get install g++), or name one in the variable CXX"
        );
    }
    Ok(())
}

/// Whether a program with AddressSanitizer builds and runs here.
fn address_sanitizer_works(triple: &str) -> Result<bool> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let source = folder.path().join("probe.rs");
    let program = folder.path().join("probe");
    fs::write(&source, "fn main() {}")?;
    let mut compile = rustc();
    compile.env("RUSTC_BOOTSTRAP", "1").args(["-Zsanitizer=address", "--target", triple]);
    let compiled =
        compile.arg("-o").arg(&program).arg(&source).output().context("cannot run rustc")?;
    let works = compiled.status.success()
        && Command::new(&program).output().is_ok_and(|output| output.status.success());
    if !works {
        eprintln!("AddressSanitizer does not work here: fuzzing without it");
    }
    Ok(works)
}

/// One run of libFuzzer on one target.
struct Campaign<'a> {
    target: &'a str,
    sanitizer: Option<Sanitizer>,
    corpus: PathBuf,
    artifacts: PathBuf,
    seeds: PathBuf,
}

impl<'a> Campaign<'a> {
    fn new(target: &'a str, sanitizer: Option<Sanitizer>) -> Result<Self> {
        let make = |kind| -> Result<PathBuf> {
            let folder = fuzz_folder(kind).join(target);
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
            Ok(folder)
        };
        let (corpus, artifacts) = (make("corpus")?, make("artifacts")?);
        Ok(Self { target, sanitizer, corpus, artifacts, seeds: fuzz_folder("seeds").join(target) })
    }

    /// Prints what libFuzzer prints, and a summary. Fails if an input made the target fail.
    fn run(&self, binary: &Path, seconds: u64, libfuzzer_args: &[OsString]) -> Result<()> {
        let mut command = Command::new(binary);
        command
            .current_dir(workspace::root())
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/", self.artifacts.display()))
            .arg("-print_final_stats=1")
            .arg("-timeout=10") // seconds for one input: a target that hangs has failed
            .args(libfuzzer_args)
            .arg(&self.corpus)
            .args(self.seeds.is_dir().then_some(&self.seeds))
            .stderr(Stdio::piped());
        let mut child =
            command.spawn().with_context(|| format!("cannot run {}", binary.display()))?;
        let mut outcome = Outcome::default();
        for line in BufReader::new(child.stderr.take().expect("it is piped")).split(b'\n') {
            let line = line.context("cannot read what libFuzzer prints")?;
            let line = String::from_utf8_lossy(&line);
            eprintln!("{line}");
            outcome.note(&line);
        }
        let status = child.wait().context("cannot wait for libFuzzer")?;
        eprintln!("\n{}: {}", self.target, outcome.summary());
        if status.success() {
            return Ok(());
        }
        bail!("the target failed ({status}). {}", self.advice(&outcome));
    }

    /// How to see the failure again.
    fn advice(&self, outcome: &Outcome) -> String {
        let Some(artifact) = &outcome.artifact else {
            return "It left no input; what it printed above tells why".into();
        };
        let sanitizer = match self.sanitizer {
            None => "",
            Some(Sanitizer::None) => " --sanitizer none",
            Some(Sanitizer::Address) => " --sanitizer address",
        };
        format!(
            "Reproduce it with:\n    cargo xtask fuzz {}{sanitizer} --input {}\n\
             Once it is fixed, keep the input as a seed: move it to {}/",
            self.target,
            relative(Path::new(artifact)).display(),
            relative(&self.seeds).display(),
        )
    }
}

/// What libFuzzer's lines tell.
#[derive(Default)]
struct Outcome {
    executions: Option<u64>,
    executions_per_second: Option<u64>,
    /// The latest `cov: 32 ft: 68 corp: 42/432b`.
    coverage: Option<String>,
    /// The file with the input that failed.
    artifact: Option<String>,
}

impl Outcome {
    fn note(&mut self, line: &str) {
        if let Some((name, value)) = line.strip_prefix("stat::").and_then(|it| it.split_once(':')) {
            match name {
                "number_of_executed_units" => self.executions = value.trim().parse().ok(),
                "average_exec_per_sec" => self.executions_per_second = value.trim().parse().ok(),
                _ => {}
            }
        } else if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.artifact = Some(path.trim().to_owned());
        } else if let Some(start) = line.find(" cov: ").filter(|_| line.starts_with('#')) {
            let end = line.find(" lim: ").or_else(|| line.find(" exec/s: ")).unwrap_or(line.len());
            self.coverage = line.get(start..end).map(|text| text.trim().to_owned());
        }
    }

    fn summary(&self) -> String {
        let number =
            |it: Option<u64>| it.map_or("an unknown number of".into(), |it| it.to_string());
        format!(
            "{} executions, {} per second, coverage: {} (cov: edges, ft: edges by how often, corp: inputs kept)",
            number(self.executions),
            number(self.executions_per_second),
            self.coverage.as_deref().unwrap_or("unknown"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_prints_is_understood() {
        let mut outcome = Outcome::default();
        for line in [
            "#2\tINITED cov: 7 ft: 8 corp: 1/1b exec/s: 0 rss: 27Mb",
            "#23095359\tDONE   cov: 32 ft: 68 corp: 42/432b lim: 4096 exec/s: 2099578 rss: 27Mb",
            "stat::number_of_executed_units: 23095359",
            "stat::average_exec_per_sec:     2099578",
            "artifact_prefix='./'; Test unit written to ./crash-7e0d",
        ] {
            outcome.note(line);
        }
        assert_eq!(outcome.executions, Some(23_095_359));
        assert_eq!(outcome.executions_per_second, Some(2_099_578));
        assert_eq!(outcome.coverage.as_deref(), Some("cov: 32 ft: 68 corp: 42/432b"));
        assert_eq!(outcome.artifact.as_deref(), Some("./crash-7e0d"));
    }
}
