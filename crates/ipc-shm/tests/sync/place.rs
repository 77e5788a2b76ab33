//! Where the locks of these tests lie, and what several of them need.

// Refers to a shared type in mapped memory.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use ipc_core::Deadline;
use ipc_shm::{Access, Backing, Mapping, Memfd, Shared};
use rustix::process::Signal;

use crate::fork::Child;

/// A value in zeroed memory that this process shares with its forks, and with others by the descriptor. Stays
/// as long as the process.
pub(crate) fn shared<T: Shared>() -> &'static T {
    let memory = memory::<T>().0;
    at(Box::leak(Box::new(memory)))
}

/// Memory for a value, and its descriptor.
pub(crate) fn memory<T: Shared>() -> (Mapping, OwnedFd) {
    let memfd = Memfd::create("sync", size_of::<T>().max(1), Backing::Reserved).expect("a memfd");
    let mapping = memfd.map(Access::ReadWrite).expect("mapped");
    (mapping, memfd.into_fd())
}

/// The value in such memory.
pub(crate) fn at<T: Shared>(memory: &Mapping) -> &T {
    assert!(size_of::<T>() <= memory.len() && memory.access() == Access::ReadWrite);
    // SAFETY: mapped as long as the reference lives, long enough, aligned since it begins at a page; any
    // bytes are a value of a shared type.
    unsafe { &*memory.as_ptr().cast::<T>() }
}

/// Lets `wait`, which waits until a deadline for what does not come, run while signals hail down on it: it
/// must not return before the deadline.
pub(crate) fn assert_waits_through_signals(wait: impl FnOnce(Deadline)) {
    // SAFETY: the handler does nothing at all.
    unsafe {
        libc::signal(libc::SIGUSR1, pass as extern "C" fn(libc::c_int) as libc::sighandler_t)
    };
    let waiter = std::process::id();
    let pid = rustix::process::Pid::from_raw(waiter as i32).expect("not zero");
    let storm = Child::fork(|| {
        loop {
            let _ = rustix::process::kill_process(pid, Signal::USR1);
            std::thread::yield_now();
        }
    });
    let until = Instant::now() + Duration::from_millis(200);
    wait(Deadline::At(until));
    assert!(Instant::now() >= until, "it came back too early");
    storm.kill();
}

extern "C" fn pass(_: libc::c_int) {}

/// Whether a process has become another program.
pub(crate) fn has_become(pid: u32, program: &str) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).expect("the process is there");
    name.trim_end() == program
}

/// Becomes the program `cat`, which reads from `input` until its end.
pub(crate) fn become_cat(input: File) -> ! {
    use std::os::unix::process::CommandExt;
    let error = std::process::Command::new("cat").stdin(input).exec();
    panic!("{error}");
}
