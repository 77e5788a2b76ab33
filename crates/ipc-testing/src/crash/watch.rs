//! Ends trials that hang: a thread that kills the processes of those whose time is up, one after the
//! other, and says where they were.

use std::collections::HashMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::observe;

/// How long one trial may take before it counts as one that hangs.
pub(super) const TRIAL_TIMEOUT: Duration = Duration::from_secs(20);

/// The trials that run, by the thread that runs them.
#[derive(Debug)]
pub(super) struct Watch {
    timeout: Duration,
    trials: Mutex<HashMap<usize, Trial>>,
}

/// A process of a trial, and which part it plays.
pub(super) type Part = (&'static str, u32);

#[derive(Debug)]
struct Trial {
    until: Instant,
    parts: Vec<Part>,
    hung: Vec<String>,
}

impl Watch {
    /// For trials that take no longer, from [`begin`](Self::begin) to `begin` or [`end`](Self::end).
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, trials: Mutex::default() }
    }

    /// A thread begins a trial with these processes, or goes on with fewer. When its time is up the first
    /// one is killed, which may let the next one speak; when it is up again, the next.
    pub(super) fn begin(&self, worker: usize, parts: &[Part]) {
        let until = Instant::now() + self.timeout;
        let mut trials = self.trials();
        // What hung at first is not forgotten when the rest goes on.
        let hung = trials.remove(&worker).map_or_else(Vec::new, |before| before.hung);
        trials.insert(worker, Trial { until, parts: parts.to_vec(), hung });
    }

    /// It has ended, and the processes may be reaped now; how it hung, if it did.
    pub(super) fn end(&self, worker: usize) -> Vec<String> {
        self.trials().remove(&worker).map_or_else(Vec::new, |trial| trial.hung)
    }

    /// Watches until the other end of `over` is dropped.
    pub(super) fn keep(&self, over: &mpsc::Receiver<()>) {
        while over.recv_timeout(Duration::from_millis(200)) == Err(RecvTimeoutError::Timeout) {
            let now = Instant::now();
            for trial in self.trials().values_mut().filter(|it| now > it.until) {
                trial.kill_next(self.timeout);
                trial.until = now + self.timeout;
            }
        }
    }

    fn trials(&self) -> MutexGuard<'_, HashMap<usize, Trial>> {
        self.trials.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Trial {
    fn kill_next(&mut self, timeout: Duration) {
        let Some(&(name, pid)) = self.parts.first() else { return };
        let places = self.parts.iter().map(|&(name, pid)| {
            let place = observe::whereabouts(pid);
            format!("{name} {pid}: {place}")
        });
        let places = places.collect::<Vec<_>>().join(", ");
        self.hung.push(format!("hung for {timeout:?} ({places}), and the {name} was killed"));
        self.parts.remove(0);
        // Not reaped before `end`, so that it is still theirs.
        let pid = Pid::from_raw(pid as i32).expect("a process");
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command};

    #[test]
    fn who_hangs_is_described_and_killed_one_after_the_other() {
        let _watchdog = crate::Watchdog::start("watch", Duration::from_secs(60));
        let sleep = || Command::new("sleep").arg("1000").spawn().expect("a process");
        let killed = |child: &mut Child| {
            assert_eq!(child.wait().expect("our child").signal(), Some(Signal::KILL.as_raw()));
        };
        let watch = Watch::new(Duration::ZERO);
        std::thread::scope(|scope| {
            let (_over, is_over) = mpsc::channel(); // dropped at the end, also of a panic
            let watch = &watch;
            scope.spawn(move || watch.keep(&is_over));
            let (mut victim, mut survivor) = (sleep(), sleep());
            watch.begin(7, &[("victim", victim.id()), ("survivor", survivor.id())]);
            killed(&mut victim);
            watch.begin(7, &[("survivor", survivor.id())]);
            killed(&mut survivor);
            let hung = watch.end(7);
            let [first, second] = &hung[..] else { panic!("{hung:?}") };
            let [victim, survivor] = [victim, survivor].map(|it| format!("thread {}: ", it.id()));
            assert!(first.contains(&victim) && first.contains(&survivor), "{first}");
            assert!(first.ends_with("the victim was killed"), "{first}");
            assert!(second.contains(&survivor) && !second.contains("victim"), "{second}");
            assert!(watch.end(7).is_empty(), "told once");
        });
    }
}
