//! The command line of a crash test, and what it prints.

use std::cell::Cell;
use std::env;
use std::process::ExitCode;

use super::{Effort, Report, Scene, Suite, Unsupported};
use crate::skipping;

const HELP: &str = "\
Kills a process at every instruction of an operation, and looks at what the other makes of it.

Usage: [OPTIONS] [FILTER]

  FILTER      only scenes with this in their name (operation / state / survivor)
  --quick     some points of each scene, evenly spread
  --list      the scenes' names, and no more
  --verbose   also where each scene takes effect";

/// Points of a scene that `--quick` tries.
const QUICK_POINTS: usize = 12;
/// Without optimisation, points of a scene that are tried: to see that the scenes work.
const DEBUG_POINTS: usize = 2;
/// Without optimisation, and unless some are asked for, one of so many scenes is tried.
const DEBUG_SCENES: usize = 7;

/// At most this many failures are printed; the rest are counted.
const MAX_SHOWN: usize = 20;

impl Suite {
    /// Tries what the command line asks for, prints a table, and fails if anything did not pass.
    ///
    /// Where `ptrace(2)` is not permitted it says "skipped", also in the file that the environment
    /// variable `IPC_TEST_SKIPPED_FILE` names, and fails if `IPC_TEST_COUNTERPARTS` is `require`.
    pub fn run(&self) -> ExitCode {
        let mut effort =
            if cfg!(debug_assertions) { Effort::Sample(DEBUG_POINTS) } else { Effort::Whole };
        let (mut filter, mut list, mut verbose) = (String::new(), false, false);
        for argument in env::args().skip(1) {
            match argument.as_str() {
                "--quick" if !cfg!(debug_assertions) => effort = Effort::Sample(QUICK_POINTS),
                "--list" => list = true,
                "--verbose" => verbose = true,
                "--help" | "-h" => {
                    println!("{HELP}");
                    return ExitCode::SUCCESS;
                }
                // Cargo hands its test runner's options to every test.
                option if option.starts_with('-') => {}
                _ => filter = argument,
            }
        }
        if list {
            self.scenes.iter().for_each(|scene| println!("{}: crash", scene.name()));
            return ExitCode::SUCCESS;
        }
        let some = cfg!(debug_assertions) && filter.is_empty();
        let number = Cell::new(0);
        let selected = |scene: &Scene| {
            let turn = number.replace(number.get() + 1) % DEBUG_SCENES == 0;
            scene.name().contains(&filter) && (turn || !some)
        };
        match self.explore(selected, effort) {
            Ok(report) => {
                print(&report, verbose);
                if cfg!(debug_assertions) {
                    println!("built without optimisation: that was a sample; use --release");
                }
                ExitCode::from(u8::from(report.failures().count() > 0))
            }
            Err(why) => skip(&why),
        }
    }
}

fn print(report: &Report, verbose: bool) {
    if report.scenes.is_empty() {
        println!("no scene has that in its name: nothing was tried");
        return;
    }
    println!("{report}");
    for scene in report.scenes.iter().filter(|_| verbose) {
        let name = format!("{} / {} / {}", scene.operation, scene.state, scene.survivor_is);
        let effect = scene.takes_effect_at.as_deref().unwrap_or("no single place");
        let repeats = if scene.repeats_itself { "" } else { "; recordings differ" };
        println!("{name}: {} points; takes effect: {effect}{repeats}", scene.points);
    }
    for failure in report.failures().take(MAX_SHOWN) {
        println!("FAILED {failure}");
    }
    let more = report.failures().count().saturating_sub(MAX_SHOWN);
    if more > 0 {
        println!("FAILED and {more} more");
    }
}

/// The way of all tests that need something which a machine may lack.
fn skip(why: &Unsupported) -> ExitCode {
    // Set by cargo.
    let package = env::var("CARGO_PKG_NAME").unwrap_or_default();
    if skipping::programs_are_required() {
        eprintln!("{package} crash: {why}");
        return ExitCode::FAILURE;
    }
    // "needs" a machine on which it is not so.
    skipping::skip(&format!("{package} crash"), &format!("a machine without this: {why}"));
    ExitCode::SUCCESS
}
