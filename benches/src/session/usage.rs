//! What a process holds of the system: descriptors and resident memory.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

/// What this process holds at the moment.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Usage {
    /// Open descriptors.
    pub(super) fds: usize,
    /// Resident memory in KiB without that of files (the program itself): of pages that n processes
    /// share, one n-th counts (`Pss_Anon` and `Pss_Shmem`).
    pub(super) resident_kb: usize,
}

impl Usage {
    /// Asks the kernel (proc_pid_fd(5), proc_pid_smaps_rollup(5)).
    pub(super) fn of_this_process() -> io::Result<Self> {
        let fds = std::fs::read_dir("/proc/self/fd")?.count();
        let rollup = std::fs::read_to_string("/proc/self/smaps_rollup")?;
        let field = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()
        };
        let resident_kb = field("Pss_Anon:")
            .zip(field("Pss_Shmem:"))
            .map(|(private, shared)| private + shared)
            .ok_or_else(|| io::Error::other("/proc/self/smaps_rollup lacks Pss_Anon, Pss_Shmem"))?;
        Ok(Self { fds, resident_kb })
    }
}

/// The blocks of the files in memory (memfds) of this label that this process maps, in KiB: also those
/// that are reserved and untouched. `None` if the kernel lets only others look (proc_pid_map_files(5)).
pub(super) fn memfd_kb(label: &str) -> Option<f64> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let path = format!("/memfd:{label} (deleted)");
    let mut blocks = BTreeMap::new();
    for line in maps.lines().filter(|line| line.ends_with(&path)) {
        let range = line.split(' ').next()?;
        let file = std::fs::metadata(format!("/proc/self/map_files/{range}")).ok()?;
        blocks.insert(file.ino(), file.blocks());
    }
    Some(blocks.values().sum::<u64>() as f64 * 512.0 / 1024.0)
}

/// The CPU time of another process of one thread, in nanoseconds, as the scheduler counts it
/// (`/proc/<pid>/schedstat`). `None` if it does not.
pub(super) fn cpu_ns_of(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    stat.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_and_megabytes_more_are_seen() {
        let before = Usage::of_this_process().expect("proc is mounted");
        let _file = std::fs::File::open("/dev/null").expect("it is there");
        let memory = std::hint::black_box(vec![1u8; 64 << 20]);
        let after = Usage::of_this_process().expect("proc is mounted");
        // Other tests of this process open and close, take and give back too: so not exactly these.
        assert!(after.fds > 0 && before.fds > 0);
        assert!(after.resident_kb >= before.resident_kb + 32 * 1024, "{before:?} {after:?}");
        drop(memory);
    }
}
