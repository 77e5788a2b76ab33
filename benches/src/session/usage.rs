//! What a process holds of the system: descriptors and resident memory.

use std::io;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_and_a_megabyte_more_are_seen() {
        let before = Usage::of_this_process().expect("proc is mounted");
        let _file = std::fs::File::open("/dev/null").expect("it is there");
        let memory = std::hint::black_box(vec![1u8; 8 << 20]);
        let after = Usage::of_this_process().expect("proc is mounted");
        // Other tests of this process open and close too: so not exactly one.
        assert!(after.fds > 0 && before.fds > 0);
        assert!(after.resident_kb >= before.resident_kb + 4096, "{before:?} {after:?}");
        drop(memory);
    }
}
