//! Running other programs: as one step of several, with its seconds, and with a command to repeat it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// A `cargo` of the same toolchain, run at the root of the workspace.
pub(crate) fn cargo<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(args).current_dir(workspace::root());
    command
}

/// Runs a command with this terminal; fails with what repeats it.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = shell_line(command);
    let status = command.status().with_context(|| format!("cannot run: {line}"))?;
    if !status.success() {
        bail!("{status}. Repeat it with:\n    {line}");
    }
    Ok(())
}

/// Runs a command quietly; what it printed to its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = shell_line(command);
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot run: {line}"))?;
    if !output.status.success() {
        bail!("{}: {line}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("the output is not UTF-8: {line}"))
}

/// The steps of one command: each announced, timed, and the last to run if it fails.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<(&'static str, Duration)>,
}

impl Steps {
    /// Runs one step.
    pub(crate) fn step(
        &mut self,
        name: &'static str,
        act: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let result = act();
        let elapsed = start.elapsed();
        result.with_context(|| format!("{name} failed after {:.1} s", elapsed.as_secs_f64()))?;
        eprintln!("== {name}: passed in {:.1} s", elapsed.as_secs_f64());
        self.done.push((name, elapsed));
        Ok(())
    }

    /// One line: how many steps passed, and the seconds that each took.
    pub(crate) fn summary(&self) -> String {
        let total: Duration = self.done.iter().map(|(_, elapsed)| *elapsed).sum();
        let each: Vec<_> = self
            .done
            .iter()
            .map(|(name, time)| format!("{name} {:.1}", time.as_secs_f64()))
            .collect();
        format!(
            "all {} steps passed in {:.1} s ({})",
            self.done.len(),
            total.as_secs_f64(),
            each.join(", ")
        )
    }
}

/// Set for one run only: what they name is gone when it is over.
const EPHEMERAL: [&str; 2] = ["TMPDIR", "IPC_TEST_SKIPPED_FILE"];

/// The command as one would type it at the root of the workspace, to have the same again.
fn shell_line(command: &Command) -> String {
    let program = match Path::new(command.get_program()) {
        path if path.ends_with("cargo") => "cargo".into(), // not the path within the toolchain
        path => quoted(&path.to_string_lossy()),
    };
    let lasting = command.get_envs().filter(|(key, _)| !EPHEMERAL.iter().any(|it| key == it));
    let environment = lasting.filter_map(|(key, value)| {
        Some(format!("{}={}", key.to_string_lossy(), quoted(&value?.to_string_lossy())))
    });
    let args = command.get_args().map(|arg| quoted(&arg.to_string_lossy()));
    environment.chain([program]).chain(args).collect::<Vec<_>>().join(" ")
}

/// In single quotes if a shell would take it apart otherwise.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+%@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_line_repeats_environment_and_quotes() {
        let mut command = Command::new("/some/bin/cargo");
        command.args(["test", "it's"]).env("RUSTFLAGS", "--cfg ipc_loom").env("TMPDIR", "/gone");
        assert_eq!(shell_line(&command), r"RUSTFLAGS='--cfg ipc_loom' cargo test 'it'\''s'");
    }

    #[test]
    fn a_failing_command_says_how_to_repeat_it() {
        let error = run(Command::new("false").arg("x")).expect_err("false fails");
        assert!(error.to_string().contains("false x"), "{error}");
    }

    #[test]
    fn a_failing_step_is_named_and_not_counted() {
        let mut steps = Steps::default();
        steps.step("one", || Ok(())).expect("it passes");
        let error = steps.step("two", || bail!("why")).expect_err("it fails");
        assert!(format!("{error:#}").starts_with("two failed after"), "{error:#}");
        assert!(steps.summary().starts_with("all 1 steps passed"), "{}", steps.summary());
    }
}
