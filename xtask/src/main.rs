//! The project's own commands, run as `cargo xtask COMMAND`: everything that a developer or CI does
//! beyond plain `cargo build`. Each command is a file; the workflows only call them.

mod bench;
mod ci;
mod crash;
mod fuzz;
mod loom;
mod residue;
mod run;
mod skipped;
mod test;
#[cfg(test)]
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check format, lints, tests, doctests, docs, crashes, loom models, fuzz oracles, and what is left behind
    Test(test::Args),
    /// Measure every mechanism between real processes (arguments go to ipc-bench; try --help)
    #[command(disable_help_flag = true)]
    Bench(bench::Args),
    /// Run the loom models of one crate, or of all that have any
    Loom(loom::Args),
    /// Kill processes at every instruction of the operations that must survive it
    Crash(crash::Args),
    /// Fuzz a target with libFuzzer on the stable toolchain
    Fuzz(fuzz::Args),
    /// Run one of CI's jobs here
    Ci(ci::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Test(args) => test::test(&args),
        Command::Bench(args) => bench::bench(&args),
        Command::Loom(args) => loom::loom(&args),
        Command::Crash(args) => crash::crash(&args),
        Command::Fuzz(args) => fuzz::fuzz(&args),
        Command::Ci(args) => ci::ci(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}"); // without the backtrace that `Result` would print
            ExitCode::FAILURE
        }
    }
}
