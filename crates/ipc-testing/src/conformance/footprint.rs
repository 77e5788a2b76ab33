//! What a process holds, and what a link leaves behind in the system.
//!
//! System V semaphores are left out: `/proc/sysvipc/sem` does not say whose they are.

use std::fs;
use std::path::Path;

/// What this process holds at one moment, as `/proc` tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// What each open descriptor refers to, sorted.
    descriptors: Vec<String>,
    /// What each shared mapping refers to, sorted.
    shared_mappings: Vec<String>,
    threads: usize,
    /// The signals that have a handler, are ignored, and are blocked in this thread.
    signals: Vec<String>,
}

impl Footprint {
    pub(crate) fn of_this_process() -> Self {
        Self {
            descriptors: descriptors(),
            shared_mappings: shared_mappings(),
            threads: threads(),
            signals: signal_lines(&["SigCgt", "SigIgn", "SigBlk"]),
        }
    }

    /// Asserts that the process holds exactly what it held then.
    #[track_caller]
    pub(crate) fn assert_unchanged(&self) {
        let now = Self::of_this_process();
        assert_eq!(&now, self, "process {} holds something else than before", std::process::id());
    }

    /// Asserts that there are no more threads than then, and the same signal handlers.
    #[track_caller]
    pub(super) fn assert_nothing_installed(&self) {
        let now = Self::of_this_process();
        assert_eq!(now.threads, self.threads, "threads: the link has started some");
        // The mask of this thread may be part of a link that is made of signals.
        assert_eq!(now.signals[..2], self.signals[..2], "the link has changed a signal's action");
    }
}

/// How many threads there are. One that has been joined may be listed for a moment, but its flags say that
/// it exits: the kernel sets that before it tells the joiner.
fn threads() -> usize {
    /// `PF_EXITING` of the kernel's `<linux/sched.h>`, in the ninth field of `stat` (proc_pid_stat(5)).
    const EXITING: u32 = 0x4;
    let stays = |stat: &String| {
        // The name, in parentheses, may itself hold spaces.
        let fields = stat.rsplit_once(')').expect("a name in parentheses").1;
        let flags = fields.split_whitespace().nth(6).and_then(|flags| flags.parse::<u32>().ok());
        flags.expect("the flags are a number") & EXITING == 0
    };
    let tasks = fs::read_dir("/proc/self/task").expect("/proc is mounted");
    // One whose file cannot be read has gone.
    let stats = tasks.flatten().flat_map(|task| fs::read_to_string(task.path().join("stat")));
    stats.filter(stays).count()
}

fn descriptors() -> Vec<String> {
    // Collected first: the listing itself opens a descriptor, which is gone when it is looked at.
    let entries: Vec<_> = fs::read_dir("/proc/self/fd").expect("/proc is mounted").collect();
    let mut targets: Vec<String> = entries
        .into_iter()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .collect();
    targets.sort();
    targets
}

fn shared_mappings() -> Vec<String> {
    let maps = fs::read_to_string("/proc/self/maps").expect("/proc is mounted");
    // Fields: addresses, permissions (the fourth letter is `s` for shared), offset, device, inode, path.
    let mut shared: Vec<String> = maps
        .lines()
        .map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>())
        .filter(|fields| fields[0].ends_with('s'))
        .map(|fields| fields[3..].join(" "))
        .collect();
    shared.sort();
    shared
}

fn signal_lines(names: &[&str]) -> Vec<String> {
    let status = fs::read_to_string("/proc/thread-self/status").expect("/proc is mounted");
    let find = |name: &&str| {
        let line = status.lines().find(|line| line.starts_with(*name));
        line.unwrap_or_else(|| panic!("no {name} in the status")).to_owned()
    };
    names.iter().map(find).collect()
}

/// Asserts that nothing in the system bears a name of the scope or was made by these processes.
#[track_caller]
pub(super) fn assert_no_residue(prefix: &str, directory: &Path, pids: &[u32]) {
    assert!(!directory.exists(), "{} is still there", directory.display());
    let parent = directory.parent().expect("a directory in another");
    // Names are the prefix, a dot and a number.
    let stem = format!("{prefix}.");
    for place in [parent, Path::new("/dev/shm"), Path::new("/dev/mqueue")] {
        // One that is not mounted, or may not be read, holds nothing of ours.
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.contains(&stem) {
                // Reported once is enough: other tests need not find it.
                let _ = fs::remove_file(entry.path());
                panic!("{name} is left in {}", place.display());
            }
        }
    }
    let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let left = sockets.lines().find(|line| line.contains(&stem));
    assert!(left.is_none(), "a bound socket is left: {left:?}");
    // The columns of the processes that made or last used it (proc_sysvipc(5)).
    for (table, columns) in [("msg", [5, 6]), ("shm", [4, 5])] {
        let objects = fs::read_to_string(format!("/proc/sysvipc/{table}")).unwrap_or_default();
        for object in objects.lines().skip(1) {
            let fields: Vec<&str> = object.split_whitespace().collect();
            let users = columns.map(|column| fields.get(column).and_then(|pid| pid.parse().ok()));
            let ours = users.iter().flatten().any(|pid| pids.contains(pid));
            assert!(!ours, "a System V object is left, /proc/sysvipc/{table}: {object}");
        }
    }
}
