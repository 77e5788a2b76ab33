//! Signals as the cases use them: a storm upon one thread, and a SIGPIPE that kills.

// Changing the action of a signal is unsafe; the only handler here counts.
#![allow(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction, signal};

/// Lets SIGPIPE end this process, as it does any that was not started by Rust's run-time: so that an
/// endpoint which leaves it to that to ignore the signal is found out.
pub(super) fn let_sigpipe_kill() {
    // SAFETY: the default action runs no code of this process.
    let former = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    former.expect("a valid signal");
}

/// How many signals the handler has seen. Only a tally: no other memory depends on it.
static SEEN: AtomicU32 = AtomicU32::new(0);

/// Sends SIGALRM to the thread that made it, about a thousand times a second, until it is dropped.
///
/// The handler does nothing, and is installed without `SA_RESTART`: so every system call that a
/// signal can interrupt fails with `EINTR`.
pub(super) struct Storm {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    former: SigAction,
}

impl Storm {
    pub(super) fn upon_this_thread() -> Self {
        let handler = SigHandler::Handler(count);
        let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
        // SAFETY: `count` only adds to an atomic, which is async-signal-safe, and stays for ever.
        let former = unsafe { sigaction(Signal::SIGALRM, &action) }.expect("a valid signal");
        let over = Arc::new(AtomicBool::new(false));
        let target = pthread_self();
        let storm = {
            let over = Arc::clone(&over);
            move || {
                SigSet::all().thread_block().expect("a valid set");
                while !over.load(Ordering::Relaxed) {
                    // The target joins this thread before it ends.
                    pthread_kill(target, Signal::SIGALRM).expect("the thread is there");
                    std::thread::sleep(Duration::from_millis(1)); // the rate, not an order of events
                }
            }
        };
        let thread = Some(std::thread::spawn(storm));
        Self { over, thread, former }
    }

    /// How many signals have come in all.
    pub(super) fn seen() -> u32 {
        SEEN.load(Ordering::Relaxed)
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // SAFETY: this puts back the action that was there before.
        let restored = unsafe { sigaction(Signal::SIGALRM, &self.former) };
        restored.expect("the former action was valid");
    }
}

extern "C" fn count(_signal: nix::libc::c_int) {
    SEEN.fetch_add(1, Ordering::Relaxed);
}
