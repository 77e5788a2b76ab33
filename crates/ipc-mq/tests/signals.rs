//! A signal whose handler does not restart system calls neither ends nor lengthens a wait.
#![allow(unsafe_code)] // installs a signal handler

mod common;

use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::{TestQueue, told_name};
use ipc_core::{Deadline, Receiver, RecvError, SendError, Sender};
use ipc_mq::posix::{QueueReceiver, QueueSender};
use ipc_testing::{Guest, Host, between_processes, process::wait_until_parked};

static CAUGHT: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_signal: libc::c_int) {
    CAUGHT.fetch_add(1, Ordering::Relaxed); // it is read by the thread that adds
}

/// Has SIGUSR1 interrupt system calls (`EINTR`) from now on.
fn interrupt_on_sigusr1() {
    let handler: extern "C" fn(libc::c_int) = count;
    // SAFETY: a sigaction holds integers and pointers that may be null; zero is a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as libc::sighandler_t; // and no SA_RESTART among the flags
    // SAFETY: the handler does nothing but an atomic addition, which is async-signal-safe.
    let result = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()) };
    assert_eq!(result, 0);
}

/// The thread of the host that waits: a signal to the process could go to another.
struct Waiter {
    pid: u32,
    tid: i32,
}

impl Waiter {
    /// In the host: tells the guest which thread this is.
    fn introduce(guest: &mut Guest) {
        guest.tell(&rustix::thread::gettid().as_raw_nonzero().to_string());
    }

    /// In the guest: what the host told.
    fn meet(host: &mut Host) -> Self {
        Self { pid: host.pid(), tid: host.hear().parse().expect("a thread id") }
    }

    fn signal(&self) {
        let pid = libc::pid_t::try_from(self.pid).expect("a process id");
        // SAFETY: the call takes numbers only.
        let result = unsafe { libc::syscall(libc::SYS_tgkill, pid, self.tid, libc::SIGUSR1) };
        assert_eq!(result, 0, "the host is there");
    }

    /// Interrupts it where it waits, several times.
    fn interrupt(&self) {
        for _ in 0..20 {
            wait_until_parked(self.pid);
            self.signal();
        }
        wait_until_parked(self.pid);
    }
}

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn interrupted_waits_go_on_until_there_is_a_message_or_room() {
    between_processes!(
        |guest| {
            interrupt_on_sigusr1();
            let queue = TestQueue::new();
            let mut options = queue.options();
            options.capacity_messages(1);
            let mut receiver = options.open_receiver(&queue.name).expect("created");
            guest.tell(queue.name.as_str());
            Waiter::introduce(guest);
            for deadline in [Deadline::Never, Deadline::after(LONG)] {
                guest.tell("receiving");
                assert_eq!(receiver.recv_deadline(&mut [0; 64], deadline).expect("goes on").len, 4);
            }
            let mut sender = QueueSender::open(&queue.name).expect("opened");
            sender.try_send(b"fills it").expect("there is room");
            for deadline in [Deadline::Never, Deadline::after(LONG)] {
                guest.tell("sending");
                sender.send_deadline(b"more", deadline).expect("goes on");
            }
            guest.finish();
            assert!(CAUGHT.load(Ordering::Relaxed) > 0, "no signal came, nothing is proven");
        },
        |host| {
            let name = told_name(host);
            let mut sender = QueueSender::open(&name).expect("opened");
            let mut receiver = QueueReceiver::open(&name).expect("opened");
            let waiter = Waiter::meet(host);
            for _ in 0..2 {
                assert_eq!(host.hear(), "receiving");
                waiter.interrupt();
                sender.try_send(b"come").expect("it was empty");
            }
            for _ in 0..2 {
                assert_eq!(host.hear(), "sending");
                waiter.interrupt();
                receiver.try_recv(&mut [0; 64]).expect("it was full");
            }
        },
    );
}

#[test]
fn interrupted_waits_end_at_their_deadline_and_not_before() {
    between_processes!(
        |guest| {
            interrupt_on_sigusr1();
            let queue = TestQueue::new();
            let mut receiver = queue.options().open_receiver(&queue.name).expect("created");
            let mut sender = QueueSender::open(&queue.name).expect("opened");
            let timeout = Duration::from_millis(100);
            Waiter::introduce(guest);

            let start = Instant::now();
            let result = receiver.recv_timeout(&mut [0; 64], timeout);
            assert!(matches!(result, Err(RecvError::TimedOut)), "{result:?}");
            assert!(start.elapsed() >= timeout);

            for _ in 0..4 {
                sender.try_send(b"fills it").expect("there is room");
            }
            let start = Instant::now();
            let result = sender.send_timeout(b"more", timeout);
            assert!(matches!(result, Err(SendError::TimedOut)), "{result:?}");
            assert!(start.elapsed() >= timeout);
            assert!(CAUGHT.load(Ordering::Relaxed) > 0, "no signal came, nothing is proven");
            guest.kill();
        },
        |host| {
            let waiter = Waiter::meet(host);
            // A signal at every moment, until the host has what it wants and kills us.
            loop {
                waiter.signal();
                std::thread::yield_now();
            }
        },
    );
}
