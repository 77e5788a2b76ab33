//! What `/proc` tells of another process: whether it sleeps, how long it has run, and where it is.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Whether it sleeps in the kernel. One that is stopped, or at a point, does not.
pub(super) fn sleeps(pid: u32) -> bool {
    state(pid) == Some('S')
}

/// Waits until it has used some 100 µs of processor time, or stands still: asleep, stopped, or gone.
/// One that is traced only pauses.
pub(super) fn let_go_on(pid: u32) {
    let Some(start) = used_ns(pid) else { return };
    while matches!(state(pid), Some('R' | 't'))
        && used_ns(pid).is_some_and(|now| now < start + 100_000)
    {
        std::thread::yield_now();
    }
}

/// Where each thread of a process is, for the report on one that hangs: its state, the function of the
/// kernel that it sleeps in, its system call with the arguments, and the word if that is a futex. As far
/// as the system tells.
pub(super) fn whereabouts(pid: u32) -> String {
    let mut text = String::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let path = task.path();
        let read = |file| fs::read_to_string(path.join(file)).unwrap_or_default();
        let status = read("status");
        let state = status.lines().find_map(|line| line.strip_prefix("State:\t"));
        let (thread, wchan, call) = (task.file_name(), read("wchan"), read("syscall"));
        let _ = write!(
            text,
            "[thread {}: {}, in {wchan}, system call {}",
            thread.to_string_lossy(),
            state.unwrap_or("gone"),
            call.trim(),
        );
        if let Some(word) = futex_word(&path, &call) {
            let _ = write!(text, ", futex word {word:#x}");
        }
        text.push(']');
    }
    if text.is_empty() { "gone".into() } else { text }
}

/// The word that a thread sleeps on whose line in `/proc` this is (proc_pid_syscall(5)).
fn futex_word(task: &Path, call: &str) -> Option<u32> {
    let (number, arguments) = call.split_once(' ')?;
    if number.parse() != Ok(nix::libc::SYS_futex) {
        return None;
    }
    let address = arguments.split(' ').next()?.strip_prefix("0x")?;
    let address = u64::from_str_radix(address, 16).ok()?;
    let mut word = [0; 4];
    File::open(task.join("mem")).ok()?.read_exact_at(&mut word, address).ok()?;
    Some(u32::from_ne_bytes(word))
}

/// The letter of proc_pid_stat(5).
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may itself hold parentheses and spaces.
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Time on a processor: the first field of `schedstat`.
fn used_ns(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    text.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc_core::{Deadline, futex, sync::AtomicU32, sync::Ordering};

    #[test]
    fn the_word_on_which_a_thread_sleeps_is_told() {
        let _watchdog = crate::Watchdog::start("whereabouts", std::time::Duration::from_secs(60));
        let word = AtomicU32::new(0x1234_5678);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while word.load(Ordering::Relaxed) != 0 {
                    futex::wait(&word, 0x1234_5678, Deadline::Never).expect("an ordinary word");
                }
            });
            while !whereabouts(std::process::id()).contains("futex word 0x12345678") {
                std::thread::yield_now();
            }
            futex::store_and_wake_all(&word, 0).expect("an ordinary word");
        });
    }

    #[test]
    fn a_process_that_is_gone_is_said_to_be() {
        // More than the kernel gives out.
        assert_eq!(whereabouts(1 << 30), "gone");
    }
}
