//! What only `/proc` tells about processes and threads: masks, limits, whose a pidfd is
//! (`proc(5)`). Leaves out what to do about it.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use ipc_core::Deadline;
use rustix::io::Errno;

use crate::Signal;

/// A thread of this process that a signal could kill.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exposed {
    /// Its thread id.
    pub(crate) thread: u32,
    /// What it does to the signal: a verb phrase that the signal's name follows.
    pub(crate) what: &'static str,
}

/// How long to wait for threads to leave the C library. They do so in microseconds of processor time,
/// which a busy machine was seen to keep from one for more than a second.
const SETTLING_TIME: Duration = Duration::from_secs(10);

/// The first thread of this process that does not block `signal`; `None` if all of them do.
///
/// This is a picture of the moment: a thread may change its mask at any time.
///
/// While a thread starts another (or a process), glibc blocks *all* signals in both, and then puts
/// back the mask that the program knows. A preempted thread was seen to stay there for 12 ms. It
/// cannot be told what such a thread will block, so we let it go on and look again.
///
/// # Errors
///
/// Those of reading `/proc`; it may not be mounted.
pub(crate) fn exposed_thread(signal: Signal) -> io::Result<Option<Exposed>> {
    let deadline = Deadline::after(SETTLING_TIME);
    loop {
        match look_at_threads(signal)? {
            Look::AllBlock => return Ok(None),
            Look::Exposed(thread) => {
                return Ok(Some(Exposed { thread, what: "does not block" }));
            }
            Look::Unsettled(thread) if deadline.has_passed() => {
                let what = "is inside the C library, and outside it may not block";
                return Ok(Some(Exposed { thread, what }));
            }
            Look::Unsettled(_) | Look::Changed => std::thread::yield_now(),
        }
    }
}

/// What one look at all threads has shown.
enum Look {
    AllBlock,
    /// This one does not.
    Exposed(u32),
    /// This one is where the mask is not the program's.
    Unsettled(u32),
    /// A thread has ended since the list was made, and may have started another that is not in it.
    Changed,
}

fn look_at_threads(signal: Signal) -> io::Result<Look> {
    let mut look = Look::AllBlock;
    for entry in fs::read_dir("/proc/self/task")? {
        let status = match fs::read_to_string(entry?.path().join("status")) {
            Ok(status) => status,
            Err(error) if has_vanished(&error) => return Ok(Look::Changed),
            Err(error) => return Err(error),
        };
        let thread = field(&status, "Pid").and_then(|id| id.parse().ok()).unwrap_or(0);
        match mask_of(&status) {
            Mask::Exiting => {}
            Mask::CLibrarys => look = Look::Unsettled(thread),
            Mask::Programs(mask) if has(mask, signal.number()) => {}
            Mask::Programs(_) => return Ok(Look::Exposed(thread)),
        }
    }
    Ok(look)
}

/// Whose mask a thread has at the moment.
#[derive(Debug, PartialEq, Eq)]
enum Mask {
    /// That of the program: bit 0 is signal 1.
    Programs(u64),
    /// That with which the C library protects itself: it alone can block its own signals, 32 and 33.
    CLibrarys,
    /// None that matters: the thread is past receiving signals.
    Exiting,
}

fn mask_of(status: &str) -> Mask {
    if field(status, "State").is_some_and(|state| state.starts_with(['Z', 'X'])) {
        return Mask::Exiting; // a zombie, or dead
    }
    // What is not known to be blocked may kill.
    let mask = field(status, "SigBlk").and_then(|mask| u64::from_str_radix(mask, 16).ok());
    match mask.unwrap_or(0) {
        mask if has(mask, 32) && has(mask, 33) => Mask::CLibrarys,
        mask => Mask::Programs(mask),
    }
}

fn has(mask: u64, signal_number: i32) -> bool {
    mask >> (signal_number - 1) & 1 == 1
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

    #[test]
    fn fields_are_found_by_their_whole_name_at_the_start_of_a_line() {
        let status = "Name:\tPid: 9\nPid:\t17\nSigQ:\t2/96365\n";
        assert_eq!(field(status, "Pid"), Some("17"));
        assert_eq!(field(status, "Sig"), None);
    }

    #[test]
    fn the_lowest_bit_of_a_mask_is_signal_1() {
        assert!(has(1, 1) && !has(1, 2));
        assert!(has(1 << 63, 64) && !has(1 << 63, 63));
    }

    #[test]
    fn a_mask_with_the_c_librarys_own_signals_is_not_the_programs() {
        let status = |state, mask| format!("State:\t{state}\nSigBlk:\t{mask}\n");
        let everything = "fffffffffffbfeff"; // as glibc leaves it while it starts a thread
        assert_eq!(mask_of(&status("R (running)", everything)), Mask::CLibrarys);
        assert_eq!(mask_of(&status("Z (zombie)", "0")), Mask::Exiting);
        let filled = 0xffff_fffe_7ffb_feff_u64; // `sigfillset`, as the program may
        let text = format!("{filled:016x}");
        assert_eq!(mask_of(&status("S (sleeping)", &text)), Mask::Programs(filled));
        assert_eq!(mask_of(""), Mask::Programs(0));
    }

    #[test]
    fn the_limit_of_this_process_is_that_of_getrlimit() {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Sigpending).current;
        assert_eq!(pending_signals_max(std::process::id()), Some(limit.unwrap_or(u64::MAX)));
    }
}
