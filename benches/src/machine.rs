//! The machine: which processors to measure on, and what to write about it into the record.

use std::fs;
use std::io;
use std::process::Command;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::report::schema::Machine;

/// Binds the calling thread, and the processes that it starts from now on, to one processor.
///
/// # Errors
///
/// Those of `sched_setaffinity(2)`: `EINVAL` for a processor that is not there or not allowed.
pub fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(rustix::io::Errno::INVAL.into());
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// Does something while the calling thread may run anywhere: so may the threads that it starts, for good.
///
/// # Errors
///
/// Those of `sched_setaffinity(2)`.
pub fn unpinned<T>(work: impl FnOnce() -> T) -> io::Result<T> {
    let pinned = sched_getaffinity(None)?;
    let mut all = CpuSet::new();
    // The kernel takes of it what is there and allowed.
    (0..CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
    sched_setaffinity(None, &all)?;
    let done = work();
    sched_setaffinity(None, &pinned)?;
    Ok(done)
}

/// The processors that this process may run on.
///
/// # Errors
///
/// Those of `sched_getaffinity(2)`.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Two processors to measure on: of different cores, and not the first core if there are more than
/// two, since the kernel likes to put its own work there. `None` if there is only one.
///
/// # Errors
///
/// Those of [`allowed_cpus`].
pub fn two_cpus() -> io::Result<Option<[usize; 2]>> {
    let allowed = allowed_cpus()?;
    // Hardware threads of one core have the same list; without the file each is a core of its own.
    let core_of = |cpu: usize| {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        fs::read_to_string(path).unwrap_or_else(|_| cpu.to_string())
    };
    let mut cores: Vec<(String, usize)> = Vec::new();
    for &cpu in &allowed {
        let core = core_of(cpu);
        if !cores.iter().any(|(known, _)| *known == core) {
            cores.push((core, cpu));
        }
    }
    let cpus: Vec<usize> = cores.into_iter().map(|(_, cpu)| cpu).collect();
    Ok(match (&cpus[..], &allowed[..]) {
        (&[_, first, second, ..], _) | (&[first, second], _) | (_, &[first, second, ..]) => {
            Some([first, second])
        }
        _ => None,
    })
}

/// What the record says about this machine.
pub fn describe(cpus: [usize; 2]) -> Machine {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        cpuinfo.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory_kb = meminfo.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    Machine {
        cpu: field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        arch: std::env::consts::ARCH.to_owned(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_mib: memory_kb.map(|kb| kb / 1024),
        virtual_machine: field("flags").map(|flags| flags.split(' ').any(|f| f == "hypervisor")),
        rustc: env!("IPC_BENCH_RUSTC").to_owned(),
        cpus,
    }
}

/// The kernel's release (uname(2)).
pub fn kernel() -> String {
    let uname = rustix::system::uname();
    format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy())
}

/// The commit of the sources that lie here, if this is a git checkout: `git describe`.
pub fn commit() -> Option<String> {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_that_is_not_there_is_refused() {
        assert!(pin(CpuSet::MAX_CPU - 1).is_err());
        assert!(pin(usize::MAX).is_err());
    }

    #[test]
    fn threads_that_are_started_unpinned_may_run_anywhere() {
        let all = allowed_cpus().expect("the kernel tells");
        pin(all[0]).expect("it is allowed");
        let there = || std::thread::spawn(|| allowed_cpus().expect("the kernel tells"));
        let elsewhere = unpinned(there).expect("allowed").join().expect("it ends");
        assert_eq!(elsewhere, all);
        assert_eq!(allowed_cpus().expect("the kernel tells"), [all[0]]);
    }

    #[test]
    fn this_machine_has_a_name_and_the_compiler_a_version() {
        let machine = describe([0, 1]);
        assert!(!machine.cpu.is_empty() && machine.cores > 0);
        assert!(machine.rustc.starts_with("rustc "), "{}", machine.rustc);
        assert!(kernel().starts_with("Linux "), "{}", kernel());
    }
}
