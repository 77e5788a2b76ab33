//! Ends trials that hang: a thread that kills the processes of those whose time is up.

use std::collections::HashMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// How long one trial may take before it counts as one that hangs.
pub(super) const TRIAL_TIMEOUT: Duration = Duration::from_secs(20);

/// The trials that run, by the thread that runs them.
#[derive(Debug, Default)]
pub(super) struct Watch {
    trials: Mutex<HashMap<usize, Trial>>,
}

#[derive(Debug)]
struct Trial {
    until: Instant,
    pids: Vec<u32>,
    hung: bool,
}

impl Watch {
    /// A thread begins a trial with these processes, or goes on with fewer.
    pub(super) fn begin(&self, worker: usize, pids: Vec<u32>) {
        let until = Instant::now() + TRIAL_TIMEOUT;
        self.trials().insert(worker, Trial { until, pids, hung: false });
    }

    /// It has ended, and the processes may be reaped now; whether it hung.
    pub(super) fn end(&self, worker: usize) -> bool {
        self.trials().remove(&worker).is_some_and(|trial| trial.hung)
    }

    /// Watches until the other end of `over` is dropped.
    pub(super) fn keep(&self, over: &mpsc::Receiver<()>) {
        while over.recv_timeout(Duration::from_millis(200)) == Err(RecvTimeoutError::Timeout) {
            let now = Instant::now();
            for trial in self.trials().values_mut().filter(|it| !it.hung && now > it.until) {
                trial.hung = true;
                for &pid in &trial.pids {
                    // Not reaped before `end`, so that it is still theirs.
                    let pid = Pid::from_raw(pid as i32).expect("a process");
                    let _ = rustix::process::kill_process(pid, Signal::KILL);
                }
            }
        }
    }

    fn trials(&self) -> MutexGuard<'_, HashMap<usize, Trial>> {
        self.trials.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
