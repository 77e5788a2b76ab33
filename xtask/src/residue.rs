//! What a test run leaves behind in the system: it must be nothing.
//!
//! The run gets a temporary folder of its own, which must be empty at its end; the objects that have
//! no folder (`/dev/shm`, POSIX queues, System V objects) are compared before and after. Objects
//! that belong to a process that still runs, and is none of this run's, are somebody else's.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::{Dir, Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use tempfile::TempDir;

/// How long the kernel may take to finish with processes that were killed at the end of a test.
const PATIENCE: Duration = Duration::from_secs(10);

/// Watches one run.
pub(crate) struct Residue {
    folder: TempDir,
    before: BTreeSet<String>,
}

impl Residue {
    /// Notes what is there already.
    pub(crate) fn watch() -> Result<Self> {
        // A short path, because the path of a Unix socket has 107 bytes at most.
        let folder = TempDir::with_prefix("ipc-").context("cannot make a temporary folder")?;
        let watch = Self { folder, before: objects() };
        // For everybody, as the system's is: some tests give up the privileges of root.
        let open_to_all =
            |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
        fs::create_dir(watch.temporary())
            .and_then(|()| open_to_all(watch.folder(), 0o755))
            .and_then(|()| open_to_all(&watch.temporary(), 0o1777))
            .context("cannot make a temporary folder")?;
        Ok(watch)
    }

    /// A folder that vanishes with this value, for what the command itself needs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Gives the processes of `command` the temporary folder that is watched.
    pub(crate) fn announce_to(&self, command: &mut Command) {
        command.env("TMPDIR", self.temporary());
    }

    /// Fails with a list if the run has left anything.
    pub(crate) fn check(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            let left = self.left()?;
            if left.is_empty() {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                bail!("the tests have left behind:\n    {}", left.join("\n    "));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn left(&self) -> Result<Vec<String>> {
        let mut left = processes_with(&format!("TMPDIR={}", self.temporary().display()));
        for entry in fs::read_dir(self.temporary())? {
            left.push(format!("file {}", entry?.path().display()));
        }
        left.extend(objects().difference(&self.before).cloned());
        Ok(left)
    }

    fn temporary(&self) -> PathBuf {
        self.folder.path().join("t")
    }
}

/// The kernel's objects that outlive processes, each as a line for a person.
fn objects() -> BTreeSet<String> {
    let mut objects = BTreeSet::new();
    for name in entries(Path::new("/dev/shm")).into_iter().flatten() {
        if !maker(&name).is_some_and(runs) {
            objects.insert(format!("shared memory /dev/shm/{name}"));
        }
    }
    match queues() {
        Ok(names) => {
            let orphans = names.into_iter().filter(|name| !maker(name).is_some_and(runs));
            objects.extend(orphans.map(|name| format!("POSIX queue /{name}")));
        }
        Err(error) => warn_once(&format!("POSIX queues are not checked: {error}")),
    }
    for kind in ["shm", "sem", "msg"] {
        let table = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
        objects.extend(system_v(kind, &table));
    }
    objects
}

/// The process that made a name of the test kit (`ipc-test.PID.…`).
fn maker(name: &str) -> Option<u32> {
    name.strip_prefix("ipc-test.")?.split('.').next()?.parse().ok()
}

fn runs(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// The objects of a table of `/proc/sysvipc` (a heading; then key, id and more per line), without
/// those whose maker still runs, where the kernel tells the maker: in the column `cpid` of `shm`.
fn system_v(kind: &str, table: &str) -> Vec<String> {
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let heading = lines.next().unwrap_or_default();
    let maker_column = heading.iter().position(|column| *column == "cpid");
    let theirs = |line: &[&str]| {
        let maker = maker_column.and_then(|index| line.get(index)?.parse().ok());
        maker.is_some_and(runs)
    };
    lines
        .filter(|line| !theirs(line))
        .filter_map(|line| Some(format!("System V {kind} {} of key {}", line.get(1)?, line[0])))
        .collect()
}

/// The processes with this variable in their environment.
fn processes_with(variable: &str) -> Vec<String> {
    let mut found = Vec::new();
    for pid in entries(Path::new("/proc")).into_iter().flatten() {
        let Ok(pid) = pid.parse::<u32>() else { continue };
        // A process may end while it is looked at, and those of others cannot be read: neither counts.
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { continue };
        if environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes()) {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            found.push(format!("process {pid}: {command}"));
        }
    }
    found
}

/// The names of the POSIX queues, which exist also where `/dev/mqueue` is not mounted: a mount that
/// is attached nowhere shows them to a privileged user.
fn queues() -> io::Result<Vec<String>> {
    let unattached = || {
        let context = rustix::mount::fsopen("mqueue", FsOpenFlags::FSOPEN_CLOEXEC)?;
        rustix::mount::fsconfig_create(&context)?;
        rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
    };
    let Ok(mount) = unattached() else {
        return entries(Path::new("/dev/mqueue"));
    };
    // The mount's own descriptor is one of a path, which cannot be listed.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let names = Dir::new(rustix::fs::openat(mount, ".", flags, Mode::empty())?)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    Ok(names.into_iter().filter(|name| name != "." && name != "..").collect())
}

fn entries(folder: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

fn warn_once(text: &str) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| eprintln!("{text}"));
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_system_v_object_is_reported_unless_its_maker_runs() {
        let table = format!(
            "       key      shmid perms       size  cpid\n 5 17 600 4096 {}\n 6 18 600 4096 {}\n",
            std::process::id(),
            u32::MAX
        );
        assert_eq!(system_v("shm", &table), ["System V shm 18 of key 6"]);

        let table = "       key      msqid perms\n 7 19 600\n";
        assert_eq!(system_v("msg", table), ["System V msg 19 of key 7"]);
    }

    #[test]
    fn a_name_of_the_kit_tells_its_maker() {
        assert_eq!(maker("ipc-test.17.0.1"), Some(17));
        assert_eq!(maker("orders"), None);
    }

    #[test]
    fn a_file_and_a_process_left_behind_are_found() {
        let watch = Residue::watch().expect("a watch");
        assert_eq!(
            watch.left().expect("a list").iter().find(|line| line.starts_with("file")),
            None
        );

        fs::write(watch.temporary().join("forgotten"), "").expect("a file");
        let mut command = Command::new("cat");
        watch.announce_to(&mut command);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cat starts");
        // It runs once it answers: before, its environment may not be readable yet.
        let mut answer = [0];
        let asked = child.stdin.as_mut().expect("piped").write_all(b"?");
        let answered = child.stdout.as_mut().expect("piped").read_exact(&mut answer);
        asked.and(answered).expect("cat answers");
        let left = watch.left().expect("a list").join("\n");
        child.kill().and_then(|()| child.wait()).expect("cat dies");

        assert!(left.contains("/t/forgotten"), "{left}");
        assert!(left.contains(&format!("process {}: cat", child.id())), "{left}");
    }

    #[test]
    fn shared_memory_left_behind_is_found() {
        // No maker of this number runs: process ids end at 2^22.
        let name = format!("ipc-test.{}.{}", u32::MAX, std::process::id());
        let path = Path::new("/dev/shm").join(&name);
        fs::write(&path, "").expect("/dev/shm takes a file");
        let found = objects();
        fs::remove_file(&path).expect("it is ours");
        assert!(found.contains(&format!("shared memory /dev/shm/{name}")), "{found:?}");
    }

    #[test]
    fn a_queue_left_behind_is_found() {
        let name = format!("ipc-test.{}.{}", u32::MAX, std::process::id());
        let name = ipc_core::Name::new(&name).expect("a name");
        let mut options = ipc_mq::posix::OpenOptions::new();
        let queue = options.create_new(true).open_receiver(&name).expect("a queue");
        let found = objects();
        ipc_mq::posix::unlink(&name).expect("it is ours");
        drop(queue);
        assert!(found.contains(&format!("POSIX queue /{name}")), "{found:?}");
    }
}
