//! Signals as the cases use them: a storm upon one thread, and a SIGPIPE that kills.

// Changing the action of a signal is unsafe; the only handler here counts.
#![allow(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction, signal};
use rustix::time::ClockId;

/// Lets SIGPIPE end this process, as it does any that was not started by Rust's run-time: so that an
/// endpoint which leaves it to that to ignore the signal is found out.
pub(super) fn let_sigpipe_kill() {
    // SAFETY: the default action runs no code of this process.
    let former = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    former.expect("a valid signal");
}

/// When the handler ran last, by the monotonic clock, and the longest time without it since
/// [`Tally::begin`], in nanoseconds. Only the thread upon which the storm falls writes them.
static TALLY: Tally = Tally { last_ns: AtomicU64::new(0), lull_ns: AtomicU64::new(0) };

struct Tally {
    last_ns: AtomicU64,
    lull_ns: AtomicU64,
}

impl Tally {
    fn begin(&self) {
        self.lull_ns.store(0, Ordering::Relaxed);
        self.last_ns.store(now_ns(), Ordering::Relaxed);
        // A signal between the two was before the beginning.
        self.lull_ns.store(0, Ordering::Relaxed);
    }

    /// A signal has come, or the end: the time since the one before counts.
    fn count(&self) {
        let now_ns = now_ns();
        let lull_ns = now_ns.saturating_sub(self.last_ns.swap(now_ns, Ordering::Relaxed));
        self.lull_ns.fetch_max(lull_ns, Ordering::Relaxed);
    }
}

/// Sends SIGALRM to the thread that made it, about a thousand times a second, until it is dropped.
///
/// The handler only counts, and is installed without `SA_RESTART`: so every system call that a
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
        // SAFETY: `count` reads a clock and changes atomics, which is async-signal-safe, and stays for
        // ever.
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

    /// Has `wait` wait for as long as it is told, here under the storm, until a wait was one that signals
    /// would have shortened or lengthened if they could.
    ///
    /// That is one without a lull as long as the wait: it was interrupted, and had it begun anew at each
    /// signal, it would not have ended. On a machine so busy that the storm makes such lulls, the waits
    /// get longer.
    pub(super) fn upon_a_wait(&self, mut wait: impl FnMut(Duration)) {
        let mut timeout = Duration::from_millis(100);
        loop {
            TALLY.begin();
            wait(timeout);
            TALLY.count();
            if u128::from(TALLY.lull_ns.load(Ordering::Relaxed)) < timeout.as_nanos() {
                return;
            }
            timeout *= 2;
        }
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
    TALLY.count();
}

fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64 // it counts up from the start of the machine
}
