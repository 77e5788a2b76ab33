//! Tests against programs that are not ours (a C compiler, Python, socat): which of them did not run
//! because the program is missing.
//!
//! The protocol between this command and the tests is two environment variables:
//!
//! - `IPC_TEST_COUNTERPARTS=require`: a test whose program is missing must fail instead of skipping.
//! - `IPC_TEST_SKIPPED_FILE=PATH`: a test that skips appends one line to this file, with one `write`
//!   to a file opened for appending, so that processes do not mix their lines:
//!   `TEST: needs PROGRAM (Debian package PACKAGE)`. It prints the same line; where the variable is
//!   not set (plain `cargo test`), printing is all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// Where the tests of one run tell what they skipped.
pub(crate) struct Skipped {
    file: PathBuf,
    required: bool,
}

impl Skipped {
    /// Makes the file in `folder`. With `required`, a missing program is a failure.
    pub(crate) fn new(folder: &Path, required: bool) -> Result<Self> {
        let file = folder.join("skipped-tests");
        fs::write(&file, "").with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self { file, required })
    }

    /// Tells the tests that `command` runs.
    pub(crate) fn announce_to(&self, command: &mut Command) {
        command.env("IPC_TEST_SKIPPED_FILE", &self.file);
        if self.required {
            command.env("IPC_TEST_COUNTERPARTS", "require");
        }
    }

    /// Prints what was skipped, and how to have it run.
    pub(crate) fn report(&self) -> Result<()> {
        let text = fs::read_to_string(&self.file)
            .with_context(|| format!("cannot read {}", self.file.display()))?;
        let lines: BTreeSet<_> = text.lines().filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            return Ok(());
        }
        eprintln!("\n{} tests were skipped, for want of programs that are not ours:", lines.len());
        for line in &lines {
            eprintln!("    {line}");
        }
        let packages: BTreeSet<_> = lines.iter().filter_map(|line| package(line)).collect();
        if !packages.is_empty() {
            let packages: Vec<_> = packages.into_iter().collect();
            eprintln!("to have them run: apt-get install {}", packages.join(" "));
        }
        Ok(())
    }
}

/// The Debian package that a line names.
fn package(line: &str) -> Option<&str> {
    let (_, rest) = line.rsplit_once("(Debian package ")?;
    Some(rest.strip_suffix(')')?.trim()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_its_package() {
        assert_eq!(package("c_opens_our_queue: needs cc (Debian package gcc)"), Some("gcc"));
        assert_eq!(package("a line without one"), None);
        assert_eq!(package("empty (Debian package )"), None);
    }
}
