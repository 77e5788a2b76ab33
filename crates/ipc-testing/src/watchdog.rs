//! Ends a test process that hangs, and says which test it was.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Aborts this process if it is not dropped in time; guests die with it.
///
/// It is a thread, with every signal blocked so that it takes none from the code under test. The
/// tests of the kit need none: each of their processes has a supervisor in another process.
///
/// ```
/// let _watchdog = ipc_testing::Watchdog::start("doctest", std::time::Duration::from_secs(60));
/// ```
#[derive(Debug)]
pub struct Watchdog {
    alive: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts to watch: after `timeout` the process aborts, with `name` on standard error.
    ///
    /// # Panics
    ///
    /// If no thread can be started.
    #[must_use = "the watch ends when it is dropped"]
    pub fn start(name: &str, timeout: Duration) -> Self {
        let name = name.to_owned();
        let (alive, dropped) = mpsc::channel();
        let watch = move || {
            nix::sys::signal::SigSet::all().thread_block().expect("a valid set");
            if dropped.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout) {
                eprintln!("watchdog: {name} did not end within {timeout:?}; aborting");
                std::process::abort();
            }
        };
        let thread = std::thread::Builder::new().name("watchdog".into()).spawn(watch);
        Self { alive: Some(alive), thread: Some(thread.expect("a thread for the watchdog")) }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.alive.take());
        if let Some(thread) = self.thread.take() {
            // It cannot panic, and waiting for it leaves no thread behind.
            let _ = thread.join();
        }
    }
}
