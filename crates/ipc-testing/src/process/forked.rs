//! A process forked from this one, and a number to share with it: for tests that make processes by the
//! thousand. Leaves out other programs: a new program is [`crate::Guest`]'s.

// `fork(2)` is an unsafe call, and so is using memory that was mapped for two processes.
#![allow(unsafe_code)]

use std::fmt;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::unistd::ForkResult;
use rustix::mm::{MapFlags, ProtFlags};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

/// A child that runs on from here. Dropping it kills and reaps it.
pub struct Forked {
    pid: Pid,
    reaped: bool,
}

/// The exit status of a forked process whose part panicked.
const PANICKED: i32 = 101;

impl Forked {
    /// Forks this process. The child, which has copies of everything, descriptors too, runs `child` and
    /// exits with status 0, or 101 if that panics.
    ///
    /// The child dies with the thread that made it.
    ///
    /// # Panics
    ///
    /// If this process has more than two threads: the child lacks the others, and would wait for ever for
    /// locks that they held. The test harness's main thread, which waits for the test, holds none.
    pub fn start(child: impl FnOnce()) -> Self {
        let threads = fs::read_dir("/proc/self/task").expect("proc is mounted").count();
        assert!(threads <= 2, "one of {threads} threads forks, without the others' locks");
        let parent = rustix::process::getpid();
        // SAFETY: no other thread is at work, so that the child is whole and may do what it likes.
        match unsafe { nix::unistd::fork() }.expect("fork") {
            ForkResult::Parent { child } => {
                let pid = Pid::from_raw(child.as_raw()).expect("a child's id is not 0");
                Self { pid, reaped: false }
            }
            ForkResult::Child => {
                let result = panic::catch_unwind(AssertUnwindSafe(|| {
                    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
                        .expect("a valid signal");
                    // It may have died before that.
                    if rustix::process::getppid() == Some(parent) {
                        child();
                    }
                }));
                // SAFETY: ends this process at once. Its exit handlers are its parent's.
                unsafe { nix::libc::_exit(if result.is_ok() { 0 } else { PANICKED }) }
            }
        }
    }

    /// Its process id. Stays its own until this handle is dropped or it is waited for.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Kills it (`SIGKILL`) and reaps it.
    ///
    /// # Panics
    ///
    /// If it had ended by itself, or had been reaped.
    #[track_caller]
    pub fn kill(&mut self) {
        assert!(!self.reaped, "process {} was reaped before", self.pid());
        rustix::process::kill_process(self.pid, Signal::KILL).expect("it is not reaped");
        let status = self.wait();
        let signal = status.terminating_signal();
        assert_eq!(signal, Some(Signal::KILL.as_raw()), "it ended before it was killed");
    }

    /// Waits until it has ended, and reaps it.
    ///
    /// # Panics
    ///
    /// If it has been reaped before.
    #[track_caller]
    pub fn wait(&mut self) -> WaitStatus {
        let wait = || rustix::process::waitpid(Some(self.pid), WaitOptions::empty());
        let (_, status) = rustix::io::retry_on_intr(wait).expect("our child").expect("it waits");
        self.reaped = true;
        status
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = rustix::process::kill_process(self.pid, Signal::KILL);
            let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::empty());
        }
    }
}

impl fmt::Debug for Forked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forked").field("pid", &self.pid()).field("reaped", &self.reaped).finish()
    }
}

/// A number that this process and those that it forks from then on share.
#[derive(Debug)]
pub struct SharedNumber(NonNull<AtomicU64>);

impl SharedNumber {
    /// 0.
    ///
    /// # Panics
    ///
    /// If there is no memory.
    pub fn new() -> Self {
        let len = size_of::<AtomicU64>();
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: new memory at an address of the kernel's choice.
        let memory = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), len, access, flags) };
        Self(NonNull::new(memory.expect("a page").cast()).expect("never at 0"))
    }

    /// Its value. What its setter did before is seen after (pairs with the Release of [`set`](Self::set)).
    pub fn get(&self) -> u64 {
        self.number().load(Ordering::Acquire)
    }

    /// Changes it, after all that this thread did before (see [`get`](Self::get)).
    pub fn set(&self, value: u64) {
        self.number().store(value, Ordering::Release);
    }

    fn number(&self) -> &AtomicU64 {
        // SAFETY: the page is mapped as long as `self` lives, is aligned to more than eight bytes, was
        // zero at first, and is only ever used as this atomic number, in each process.
        unsafe { self.0.as_ref() }
    }
}

impl Default for SharedNumber {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for SharedNumber {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; nobody refers to it any more.
        let _ = unsafe { rustix::mm::munmap(self.0.as_ptr().cast(), size_of::<AtomicU64>()) };
    }
}
