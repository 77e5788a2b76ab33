//! What `/proc` tells of another process: whether it sleeps, and how long it has run.

use std::fs;

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
