//! What only `/proc` tells about processes and threads: masks, limits, whose a pidfd is
//! (`proc(5)`). Leaves out what to do about it.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::RealtimeSignal;

/// The first thread of this process that does not block `signal`, by its thread id; `None` if all
/// of them do.
///
/// This is a picture of the moment: a thread may change its mask at any time. Nor can it see through
/// the C library, which blocks everything in a thread for the few instructions in which that starts
/// another.
///
/// # Errors
///
/// Those of reading `/proc`; it may not be mounted.
pub(crate) fn thread_not_blocking(signal: RealtimeSignal) -> io::Result<Option<u32>> {
    // A thread that ends while we look may have started another that our list does not have: then
    // look again.
    'again: loop {
        for entry in fs::read_dir("/proc/self/task")? {
            let path = entry?.path();
            match fs::read_to_string(path.join("status")) {
                Ok(status) if is_exiting(&status) || blocks(&status, signal) => {}
                Ok(status) => return Ok(Some(number(&status, "Pid", 10).unwrap_or(0) as u32)),
                Err(error) if has_vanished(&error) => continue 'again,
                Err(error) => return Err(error),
            }
        }
        return Ok(None);
    }
}

/// How many signals may be queued for the user of process `pid`, as far as this process is
/// concerned; `None` if that cannot be read. `u64::MAX` means without limit.
pub(crate) fn pending_signals_max(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let (_queued, limit) = field(&status, "SigQ")?.split_once('/')?;
    limit.parse().ok()
}

/// The process behind a pidfd, in this PID namespace; `None` if it has ended or is in another.
pub(crate) fn process_of(pidfd: BorrowedFd<'_>) -> Option<u32> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    field(&info, "Pid")?.parse().ok().filter(|&pid| pid != 0) // -1 has ended, 0 is elsewhere
}

/// Whether a thread is past receiving signals: a zombie, or dead.
fn is_exiting(status: &str) -> bool {
    field(status, "State").is_some_and(|state| state.starts_with(['Z', 'X']))
}

fn blocks(status: &str, signal: RealtimeSignal) -> bool {
    number(status, "SigBlk", 16).is_some_and(|mask| mask >> (signal.number() - 1) & 1 == 1)
}

fn number(text: &str, name: &str, radix: u32) -> Option<u64> {
    u64::from_str_radix(field(text, name)?, radix).ok()
}

/// The value in a line `name:` of a status file.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.trim())
}

fn has_vanished(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tPid: 9\nState:\tS (sleeping)\nPid:\t17\nSigQ:\t2/96365\n\
                          SigBlk:\t0000000300000000\n";

    #[test]
    fn fields_are_found_by_their_whole_name_at_the_start_of_a_line() {
        assert_eq!(field(STATUS, "Pid"), Some("17"));
        assert_eq!(field(STATUS, "Sig"), None);
        assert!(!is_exiting(STATUS));
    }

    #[test]
    fn the_lowest_bit_of_a_mask_is_signal_1() {
        let lowest = RealtimeSignal::from_number(libc::SIGRTMIN()).expect("is one");
        let mask = |number: i32| format!("SigBlk:\t{:016x}\n", 1_u64 << (number - 1));
        assert!(blocks(&mask(lowest.number()), lowest));
        assert!(!blocks(&mask(lowest.number() + 1), lowest));
        assert!(!blocks("", lowest), "what is not known to be blocked may kill");
    }

    #[test]
    fn the_limit_of_this_process_is_that_of_getrlimit() {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Sigpending).current;
        assert_eq!(pending_signals_max(std::process::id()), Some(limit.unwrap_or(u64::MAX)));
    }
}
