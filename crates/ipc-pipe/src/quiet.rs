//! Writing to a pipe whose reader may be gone, without the signal `SIGPIPE` that would end the
//! process. Leaves out frames.
//!
//! Rust's start-up code ignores `SIGPIPE`, but a library may live in a program where it has its
//! default action: one that restored it, or whose `main` is C. We neither install a handler nor change
//! the action, which belong to the program, but keep this one signal from reaching this thread:
//!
//! - A short message, where the program ignores `SIGPIPE`, is a plain `write(2)`. Any call that could
//!   ask for no signal takes a vector, which alone costs a third of a short write more
//!   (`benches/record/2026-11-28-pipe-experiments.md`). How the signal stands is looked at once in each tick of
//!   the coarse clock (1 to 10 ms): a program that ceases to ignore it is taken at its word one tick later.
//!   A call that sleeps in `write(2)` at that moment is not protected either.
//! - Where the kernel can (`RWF_NOSIGNAL`, Linux 6.18), the write itself asks for no signal.
//! - Elsewhere the write is between two changes of the thread's signal mask: `SIGPIPE` is blocked, and
//!   one that the write raised is taken back before the mask is restored. It is raised for the thread
//!   that writes (signal(7)), so no other thread can be hit or can take it. Two system calls more.

// Signal masks are not in rustix; libc's functions take pointers.
#![allow(unsafe_code)]

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::ptr;

use rustix::io::{Errno, ReadWriteFlags};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// `RWF_NOSIGNAL` of `<linux/fs.h>`, which rustix does not know yet.
const NOSIGNAL: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x100);

/// Writes without `SIGPIPE`, and remembers which way this kernel and this program allow.
#[derive(Debug)]
pub(crate) struct QuietWrites {
    flag_works: bool,
    /// Whether the program ignored the signal at `looked_at`, a tick of the coarse clock.
    is_ignored: bool,
    looked_at: Option<Timespec>,
}

impl QuietWrites {
    pub(crate) const fn new() -> Self {
        Self { flag_works: true, is_ignored: false, looked_at: None }
    }

    /// `write(2)`, for what is short. Never `EINTR`; `EPIPE` comes without the signal.
    pub(crate) fn write_short(
        &mut self,
        descriptor: BorrowedFd<'_>,
        bytes: &[u8],
    ) -> rustix::io::Result<usize> {
        if self.is_ignored() {
            rustix::io::retry_on_intr(|| rustix::io::write(descriptor, bytes))
        } else {
            self.write(descriptor, &[IoSlice::new(bytes)])
        }
    }

    /// Whether the program ignores the signal, so that a plain `write(2)` is quiet.
    pub(crate) fn is_ignored(&mut self) -> bool {
        let now = Some(clock_gettime(ClockId::MonotonicCoarse)); // no system call
        if self.looked_at != now {
            self.is_ignored = sigpipe_is_ignored();
            self.looked_at = now;
        }
        self.is_ignored
    }

    /// `writev(2)`. Never `EINTR`; `EPIPE` comes without the signal.
    pub(crate) fn write(
        &mut self,
        descriptor: BorrowedFd<'_>,
        parts: &[IoSlice<'_>],
    ) -> rustix::io::Result<usize> {
        loop {
            let result = if self.flag_works {
                // This offset stands for the file's own position; a pipe has no other.
                match rustix::io::pwritev2(descriptor, parts, u64::MAX, NOSIGNAL) {
                    // EOPNOTSUPP is the kernel's word for an unknown flag, the others a sandbox's.
                    Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM) => {
                        self.flag_works = false;
                        continue;
                    }
                    other => other,
                }
            } else {
                without_sigpipe(|| rustix::io::writev(descriptor, parts))
            };
            if result != Err(Errno::INTR) {
                return result;
            }
        }
    }
}

/// Makes a call that may raise `SIGPIPE` for this thread, and takes that signal back.
pub(crate) fn without_sigpipe(
    call: impl FnOnce() -> rustix::io::Result<usize>,
) -> rustix::io::Result<usize> {
    let sigpipe = SignalSet::of(libc::SIGPIPE);
    let before = sigpipe.block();
    // One that waits already is the program's own, which it had blocked; it must stay.
    let waited_before =
        before.contains(libc::SIGPIPE) && SignalSet::pending().contains(libc::SIGPIPE);
    let result = call();
    if result == Err(Errno::PIPE) && !waited_before {
        sigpipe.take_pending();
    }
    before.set_as_mask();
    result
}

/// Whether the program, as Rust's start-up code has it do, ignores `SIGPIPE`.
fn sigpipe_is_ignored() -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: no new action is given, and the old one is written to memory of its size.
    if unsafe { libc::sigaction(libc::SIGPIPE, ptr::null(), action.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: the call has succeeded, and so filled it.
    unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// A `sigset_t`.
struct SignalSet(libc::sigset_t);

impl SignalSet {
    fn of(signal: libc::c_int) -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: `sigemptyset` initialises the set that it is given.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: the set is initialised, and `sigaddset` only changes it.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
        // SAFETY: `sigemptyset` has initialised it; it cannot fail.
        Self(unsafe { set.assume_init() })
    }

    /// The signals that wait for this thread or its process.
    fn pending() -> Self {
        let mut set = Self::of(libc::SIGPIPE);
        // SAFETY: `set.0` is a valid signal set to be overwritten.
        unsafe { libc::sigpending(&mut set.0) };
        set
    }

    fn contains(&self, signal: libc::c_int) -> bool {
        // SAFETY: `self.0` is an initialised signal set.
        unsafe { libc::sigismember(&self.0, signal) == 1 }
    }

    /// Adds these signals to the mask of this thread, and returns the mask as it was.
    fn block(&self) -> Self {
        let mut before = Self(self.0);
        // SAFETY: both are valid signal sets; only this thread's mask is changed.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &self.0, &mut before.0) };
        before
    }

    /// Makes this the mask of this thread.
    fn set_as_mask(&self) {
        // SAFETY: `self.0` is a valid signal set; the old mask is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, ptr::null_mut()) };
    }

    /// Takes one of these signals, if one waits, without its action. They must be blocked.
    fn take_pending(&self) {
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        loop {
            // SAFETY: the set and the time are valid; no information on the signal is asked for.
            let taken = unsafe { libc::sigtimedwait(&self.0, ptr::null_mut(), &at_once) };
            if taken != -1 || std::io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::process::Command;

    /// An exit status that a test harness never has.
    const REACHED_THE_END: i32 = 77;

    /// Runs `part` in a process of its own in which SIGPIPE has its default action: death.
    fn where_sigpipe_kills(test: &str, part: impl FnOnce()) {
        if std::env::var_os("IPC_PIPE_TEST").is_some_and(|name| name == test) {
            // SAFETY: restores the default action; no handler is installed.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
            part();
            std::process::exit(REACHED_THE_END);
        }
        let status = Command::new("/proc/self/exe")
            .args(["--exact", &format!("quiet::tests::{test}"), "--test-threads=1"])
            .env("IPC_PIPE_TEST", test)
            .status()
            .expect("the test binary starts");
        assert_eq!(status.code(), Some(REACHED_THE_END), "{status}");
    }

    fn without_the_flag() -> QuietWrites {
        QuietWrites { flag_works: false, ..QuietWrites::new() }
    }

    fn write_to_nobody(mut writes: QuietWrites) {
        let (reader, writer) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
        drop(reader);
        let result = writes.write(writer.as_fd(), &[IoSlice::new(b"x")]);
        assert_eq!(result, Err(Errno::PIPE));
        let result = writes.write_short(writer.as_fd(), b"x");
        assert_eq!(result, Err(Errno::PIPE));
    }

    #[test]
    fn a_broken_pipe_is_an_error_and_not_death() {
        where_sigpipe_kills("a_broken_pipe_is_an_error_and_not_death", || {
            write_to_nobody(QuietWrites::new());
        });
    }

    #[test]
    fn a_program_that_ceases_to_ignore_the_signal_is_safe_a_tick_later() {
        let name = "a_program_that_ceases_to_ignore_the_signal_is_safe_a_tick_later";
        where_sigpipe_kills(name, || {
            let mut writes = QuietWrites::new();
            // SAFETY: ignores the signal; no handler is installed.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
            assert!(writes.is_ignored());
            // SAFETY: restores the default action.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
            let tick = writes.looked_at;
            while writes.is_ignored() {
                assert_eq!(writes.looked_at, tick, "a new tick is a new look");
            }
            write_to_nobody(writes);
        });
    }

    #[test]
    fn so_it_is_on_a_kernel_without_the_flag() {
        where_sigpipe_kills("so_it_is_on_a_kernel_without_the_flag", || {
            write_to_nobody(without_the_flag());
            assert!(!SignalSet::pending().contains(libc::SIGPIPE), "taken back");
            let mask = SignalSet::of(libc::SIGUSR1).block();
            assert!(!mask.contains(libc::SIGPIPE), "the mask is as it was");
        });
    }

    #[test]
    fn a_signal_that_the_program_holds_back_stays() {
        where_sigpipe_kills("a_signal_that_the_program_holds_back_stays", || {
            let sigpipe = SignalSet::of(libc::SIGPIPE);
            sigpipe.block();
            // SAFETY: sends a blocked signal to this thread.
            unsafe { libc::raise(libc::SIGPIPE) };
            write_to_nobody(without_the_flag());
            assert!(SignalSet::pending().contains(libc::SIGPIPE), "it is the program's");
            sigpipe.take_pending();
            write_to_nobody(without_the_flag());
            assert!(!SignalSet::pending().contains(libc::SIGPIPE), "that one was ours");
        });
    }
}
