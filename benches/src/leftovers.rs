//! What a session leaves in the system when it is killed, and its removal. Names of queues and of shared
//! memory outlive who made them; what is made of a session that ended well is nothing.
//!
//! The process that started a session removes them. Should it be killed itself (Ctrl-C, say), its **heir**
//! does: a process that sleeps on a pipe whose other end it and the session hold, until both are gone.

use std::fs;
use std::io::{self, BufRead, PipeWriter, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::Context;
use ipc_core::Name;
use ipc_testing::Scope;
use rustix::process::{Pid, WaitId, WaitIdOptions};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::session::SessionSpec;

/// The most names that a measurement makes: two links.
const NAMES_OF_SCOPE: usize = 2;

/// Removes what sessions leave behind, until it is dropped and beyond.
#[derive(Debug)]
pub(crate) struct Leftovers {
    /// Where sessions put their files. Removed before the heir looks for it.
    temporary: Option<TempDir>,
    /// Closed to let the heir go.
    line: Option<PipeWriter>,
    heir: Child,
}

/// Of which session the heir removes the names.
#[derive(Debug, Serialize, Deserialize)]
struct Session {
    pid: u32,
    scopes: usize,
}

impl Leftovers {
    /// Makes a directory for the files of sessions, and starts the heir.
    ///
    /// # Errors
    ///
    /// If either fails.
    pub(crate) fn watch() -> anyhow::Result<Self> {
        let temporary = tempfile::Builder::new().prefix("ipc-bench.").tempdir()?;
        let (read, line) = io::pipe()?;
        let heir = Command::new("/proc/self/exe")
            .arg("heir")
            .arg(temporary.path())
            .stdin(read)
            .stdout(Stdio::null())
            .process_group(0) // the terminal's Ctrl-C is not for it
            .spawn()
            .context("cannot start the heir")?;
        Ok(Self { temporary: Some(temporary), line: Some(line), heir })
    }

    /// Runs a session to its end, however it ends, and removes what it left.
    ///
    /// # Errors
    ///
    /// If it cannot be started, or the heir not be told.
    pub(crate) fn run(
        &self,
        mut command: Command,
        spec: &SessionSpec,
    ) -> anyhow::Result<ExitStatus> {
        let mut line = self.line.as_ref().context("the heir was let go")?;
        if let Some(temporary) = &self.temporary {
            command.env("TMPDIR", temporary.path());
        }
        // While it holds this, the heir waits for it too.
        let mut child =
            command.stdin(line.try_clone()?).spawn().context("cannot start a session")?;
        drop(command);
        let session = Session { pid: child.id(), scopes: spec.most_scopes() };
        writeln!(line, "{}", serde_json::to_string(&Some(&session))?)?;
        // As long as it is not reaped, nobody else has its number.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let pid = WaitId::Pid(Pid::from_child(&child));
        rustix::io::retry_on_intr(|| rustix::process::waitid(pid.clone(), options))?;
        session.remove_names();
        let status = child.wait()?;
        writeln!(line, "{}", serde_json::to_string(&None::<Session>)?)?;
        Ok(status)
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        self.temporary = None;
        self.line = None;
        let _ = self.heir.wait(); // it is our child, and has been let go
    }
}

/// The life of an heir: until those whose heir it is are gone.
///
/// # Errors
///
/// If what it is told cannot be read.
pub(crate) fn inherit(temporary: &Path) -> anyhow::Result<()> {
    let mut session: Option<Session> = None;
    for line in io::stdin().lock().lines() {
        // A line that was not finished is about a session that has not begun.
        if let Ok(told) = serde_json::from_str(&line?) {
            session = told;
        }
    }
    if let Some(session) = session {
        session.remove_names();
    }
    remove(temporary);
    Ok(())
}

impl Session {
    /// Removes the names that it has left. That there are none is the rule.
    fn remove_names(&self) {
        let prefix = Scope::prefix_of_process(self.pid);
        // The peers shorten theirs.
        let prefixes = [prefix.clone(), format!("i.{}.", self.pid)];
        for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            let name = entry.file_name();
            if prefixes.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                remove(&entry.path());
            }
        }
        // Queues cannot be listed where their file system is not mounted; but their names are known.
        for scope in 0..self.scopes {
            for name in 0..NAMES_OF_SCOPE {
                let name = Name::new(&format!("{prefix}{scope}.{name}"));
                let _ = ipc_mq::posix::unlink(&name.expect("made of allowed characters"));
            }
        }
    }
}

/// Removes a file, or a directory with what is in it, if it is there.
fn remove(path: &Path) {
    if fs::remove_file(path).is_err() {
        let _ = fs::remove_dir_all(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_carries_the_name_of_a_session_goes_and_nothing_else_does() {
        // Two children that live meanwhile, so that nobody else has their numbers.
        let children = [(); 2].map(|()| {
            let mut command = Command::new("cat");
            command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat starts")
        });
        let places = children.each_ref().map(|child| {
            let names =
                [format!("ipc-test.{}.0.0", child.id()), format!("i.{}.3_data", child.id())];
            names.map(|name| Path::new("/dev/shm").join(name))
        });
        for [directory, file] in &places {
            fs::create_dir(directory).expect("a directory in shared memory");
            fs::write(directory.join("inside"), "").expect("a file in it");
            fs::write(file, "").expect("a file in shared memory");
        }
        let left = || places.each_ref().map(|places| places.each_ref().map(|place| place.exists()));
        let sessions = children.each_ref().map(|child| Session { pid: child.id(), scopes: 3 });
        sessions[0].remove_names();
        assert_eq!(left(), [[false; 2], [true; 2]]);
        sessions[1].remove_names();
        assert_eq!(left(), [[false; 2]; 2]);
        for mut child in children {
            drop(child.stdin.take());
            child.wait().expect("it ends with its input");
        }
    }
}
