//! Processes that are forks of the test's own: quicker than a new program, and what has been mapped stays
//! mapped. They also show that it may be used in one.

// Forks, and ends the child without running destructors.
#![allow(unsafe_code)]
#![allow(dead_code, reason = "each test uses some of it")]

use ipc_testing::process::wait_until_parked;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

/// A forked process; a zombie at last if nobody waits for it.
pub(crate) struct Child(Pid);

impl Child {
    /// Forks a process that runs `part` and ends: well, unless that panics.
    pub(crate) fn fork(part: impl FnOnce()) -> Self {
        // SAFETY: the other thread of this process only waits for the test to end and holds no lock; the
        // child leaves by a signal or by `_exit`.
        match unsafe { libc::fork() } {
            0 => {
                let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
                let run = std::panic::AssertUnwindSafe(part);
                let status = i32::from(std::panic::catch_unwind(run).is_err());
                // SAFETY: ends the child without running the parent's destructors.
                unsafe { libc::_exit(status) }
            }
            pid => Self(Pid::from_raw(pid).expect("fork works")),
        }
    }

    /// Forks a process that runs `part`, and waits until it sleeps in it.
    pub(crate) fn asleep_in(part: impl FnOnce()) -> Self {
        let child = Self::fork(part);
        child.wait_until_parked();
        child
    }

    pub(crate) fn wait_until_parked(&self) {
        wait_until_parked(self.id());
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits until the process stops by itself; tells how it did.
    pub(crate) fn wait_stopped(&self) -> WaitStatus {
        self.wait(WaitOptions::UNTRACED)
    }

    /// Stops it; it is on return.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        assert!(self.wait_stopped().stopped(), "it has ended");
    }

    pub(crate) fn cont(&self) {
        self.signal(Signal::CONT);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.0, signal).expect("our child");
    }

    /// Kills a process that should be running.
    #[track_caller]
    pub(crate) fn kill(self) {
        self.signal(Signal::KILL);
        let status = self.wait(WaitOptions::empty());
        assert_eq!(status.terminating_signal(), Some(9), "it failed before it was killed");
    }

    /// Waits for it to end, and insists that it ends well.
    #[track_caller]
    pub(crate) fn finish(self) {
        let status = self.wait(WaitOptions::empty());
        assert_eq!(status.exit_status(), Some(0), "the child failed");
    }

    fn wait(&self, options: WaitOptions) -> WaitStatus {
        let changed = rustix::io::retry_on_intr(|| rustix::process::waitpid(Some(self.0), options));
        changed.expect("our child").expect("a change").1
    }
}
