//! How soon a killed peer is seen. `cargo xtask crash --latency` prints the figures; asserted is only that
//! it is seen, after all that was committed. That nothing is lost at whatever instruction the peer dies is
//! `tests/crash`'s matter.

// Forks without exec, by a hook between the two.
#![allow(unsafe_code)]

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{child_of, is_child};
use ipc_core::{Deadline, Receiver, RecvError, SendError, Sender, WaitStrategy};
use ipc_ring::{Link, Options, RingReceiver, RingSender, pair};
use rustix::event::{PollFd, PollFlags};
use rustix::pipe::PipeFlags;

/// Deaths of each kind.
const DEATHS: usize = 50;
/// Messages that a sender has committed when it dies.
const COMMITTED: usize = 100;
const VARIABLE: &str = "IPC_RING_DEATH_LINK";

/// How a survivor waits when the peer dies.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Parked,
    Spinning,
    /// Calls that never block, one after the other.
    Polling,
}

const MANNERS: [Manner; 3] = [Manner::Parked, Manner::Spinning, Manner::Polling];

impl Manner {
    fn options(self) -> Options {
        let strategy = match self {
            Self::Parked => WaitStrategy::Park,
            Self::Spinning => WaitStrategy::Spin,
            Self::Polling => WaitStrategy::adaptive(),
        };
        Options::new().capacity_bytes(1 << 16).wait_strategy(strategy)
    }
}

/// A process that has one end of a link, and will be killed. The pipe that is its standard error is held
/// by nobody else: its hang-up is the moment at which the kernel has closed the process's descriptors.
struct Victim {
    child: Child,
    link: Link,
    witness: File,
}

impl Victim {
    /// This test anew. It says when it is ready.
    fn start(test: &str, options: &Options) -> Self {
        let mut victim = Self::start_unheard(test, options);
        assert_eq!(victim.hear(), b'!', "the victim says that it is ready");
        victim
    }

    /// It finds its end by [`Link::inherited`].
    fn start_unheard(test: &str, options: &Options) -> Self {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let (ours, theirs) = pair().expect("a pair");
        let mut command = child_of(test);
        command.stdin(Stdio::piped()).stderr(write);
        let given = theirs.give_to(&mut command, VARIABLE).expect("given");
        let child = command.spawn().expect("started");
        drop((given, command));
        let link = ours.join(options, Deadline::Never).expect("a link");
        Self { child, link, witness: File::from(read) }
    }

    fn hear(&mut self) -> u8 {
        let mut byte = [0];
        self.witness.read_exact(&mut byte).expect("the victim lives");
        byte[0]
    }

    /// Kills it as soon as `is_waiting`, from another thread, while `survive` runs: returns when the
    /// descriptors were closed.
    fn kill_during(
        self,
        is_waiting: impl Fn() -> bool + Send,
        survive: impl FnOnce(Link) -> Instant,
    ) -> Death {
        let Self { mut child, link, witness } = self;
        thread::scope(|scope| {
            let killer = scope.spawn(move || {
                while !is_waiting() {
                    thread::yield_now();
                }
                let killed = Instant::now();
                child.kill().expect("alive");
                let mut fds = [PollFd::new(&witness, PollFlags::empty())];
                rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, None)).expect("polled");
                let closed = Instant::now();
                child.wait().expect("reaped");
                (killed, closed)
            });
            let seen = survive(link);
            let (killed, closed) = killer.join().expect("no panic");
            Death { killed, closed, seen }
        })
    }
}

/// The three moments of a death.
struct Death {
    killed: Instant,
    closed: Instant,
    seen: Instant,
}

/// The victim's part: an end of a link, which it holds until it is killed.
fn be_victim(options: &Options, act: impl FnOnce(&mut Link)) -> ! {
    let mut link = Link::inherited(VARIABLE, options, Deadline::Never).expect("a link");
    act(&mut link);
    std::io::stderr().write_all(b"!").expect("heard");
    let _ = std::io::stdin().read(&mut [0]); // for ever: the pipe stays open
    unreachable!("killed before")
}

/// Whether the thread of this process sleeps, or for who does not, has looked often.
fn is_waiting(manner: Manner, thread: u32, looks: &AtomicU64) -> bool {
    if !matches!(manner, Manner::Parked) {
        return looks.load(Ordering::Relaxed) > 0 && has_run(thread);
    }
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).expect("there");
    looks.load(Ordering::Relaxed) > 0
        && stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
}

/// Whether it has used a millisecond since it said that it would wait.
fn has_run(thread: u32) -> bool {
    let used = || {
        let path = format!("/proc/self/task/{thread}/schedstat");
        let text = std::fs::read_to_string(path).expect("there");
        text.split(' ').next().expect("a field").parse::<u64>().expect("a number")
    };
    let start = used();
    while used() < start + 1_000_000 {
        thread::yield_now();
    }
    true
}

fn own_thread() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get() as u32
}

fn report(what: &str, manner: Manner, deaths: &[Death]) {
    let micros = |later: Instant, earlier: Instant| match later.checked_duration_since(earlier) {
        Some(late) => late.as_secs_f64() * 1e6,
        None => -(earlier - later).as_secs_f64() * 1e6,
    };
    let quantiles = |of: fn(&Death) -> (Instant, Instant)| {
        let mut all: Vec<_> = deaths.iter().map(of).map(|(a, b)| micros(a, b)).collect();
        all.sort_by(f64::total_cmp);
        (all[all.len() / 2], all[all.len() - 1])
    };
    let (p50, max) = quantiles(|death| (death.seen, death.closed));
    let (kill_p50, kill_max) = quantiles(|death| (death.seen, death.killed));
    println!(
        "{what:8}  {:8}  {:6}  {p50:9.0}  {max:9.0}  {kill_p50:9.0}  {kill_max:9.0}",
        format!("{manner:?}").to_lowercase(),
        deaths.len(),
    );
}

fn head() {
    println!("survivor  it is     deaths  seen p50/µs     max/µs   kill p50     max/µs");
}

#[test]
fn a_receiver_sees_the_senders_death_after_its_last_message() {
    let test = "a_receiver_sees_the_senders_death_after_its_last_message";
    if is_child() {
        be_victim(&Manner::Parked.options(), |link| {
            let sender = link.sender.as_mut().expect("a ring");
            (0..COMMITTED).for_each(|_| sender.try_send(b"committed").expect("room"));
        });
    }
    head();
    for manner in MANNERS {
        let deaths: Vec<_> = (0..DEATHS)
            .map(|_| {
                let (thread, looks) = (own_thread(), AtomicU64::new(0));
                Victim::start(test, &manner.options().receive_only()).kill_during(
                    || is_waiting(manner, thread, &looks),
                    |link| receive_until_gone(link.receiver.expect("a ring"), manner, &looks),
                )
            })
            .collect();
        report("receiver", manner, &deaths);
    }
}

fn receive_until_gone(mut receiver: RingReceiver, manner: Manner, looks: &AtomicU64) -> Instant {
    let mut buffer = [0; 16];
    let mut received = 0;
    loop {
        if received == COMMITTED {
            looks.store(1, Ordering::Relaxed);
        }
        let result = match manner {
            Manner::Parked | Manner::Spinning => receiver.recv(&mut buffer),
            Manner::Polling => receiver.try_recv(&mut buffer),
        };
        match result {
            Ok(_) => received += 1,
            Err(RecvError::Empty) => {}
            Err(RecvError::PeerGone { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let seen = Instant::now();
    assert_eq!(received, COMMITTED, "nothing that was committed is lost");
    seen
}

#[test]
fn a_sender_that_finds_no_room_sees_the_receivers_death() {
    let test = "a_sender_that_finds_no_room_sees_the_receivers_death";
    if is_child() {
        be_victim(&Manner::Parked.options().receive_only(), |_| {});
    }
    head();
    for manner in MANNERS {
        let deaths: Vec<_> = (0..DEATHS)
            .map(|_| {
                let (thread, looks) = (own_thread(), AtomicU64::new(0));
                Victim::start(test, &manner.options()).kill_during(
                    || is_waiting(manner, thread, &looks),
                    |link| send_until_gone(link.sender.expect("a ring"), manner, &looks),
                )
            })
            .collect();
        report("sender", manner, &deaths);
    }
}

fn send_until_gone(mut sender: RingSender, manner: Manner, looks: &AtomicU64) -> Instant {
    let message = b"nobody reads this";
    while sender.try_send(message).is_ok() {}
    looks.store(1, Ordering::Relaxed);
    loop {
        let result = match manner {
            Manner::Parked | Manner::Spinning => sender.send(message),
            Manner::Polling => sender.try_send(message),
        };
        match result {
            Err(SendError::Full) => {}
            Err(SendError::PeerGone { .. }) => return Instant::now(),
            other => panic!("{other:?}"),
        }
    }
}

/// What the documentation of the crate says of it.
#[test]
fn a_forked_copy_delays_the_hang_up_and_no_pidfd() {
    let test = "a_forked_copy_delays_the_hang_up_and_no_pidfd";
    if is_child() {
        be_victim(&Manner::Parked.options(), |_| {
            // In a thread, since it does not return: between fork and exec the copy holds all that this
            // process holds, until its standard input, which it shares with us, ends.
            thread::spawn(|| {
                let mut command = Command::new("/proc/self/exe");
                // SAFETY: between fork and exec it only makes system calls.
                unsafe {
                    command.pre_exec(|| {
                        let (input, says) = (std::io::stdin(), std::io::stderr());
                        rustix::io::write(&says, b"f")?;
                        while rustix::io::read(input.as_fd(), &mut [0])? > 0 {}
                        Err(std::io::ErrorKind::Interrupted.into())
                    });
                }
                command.spawn()
            });
        });
    }
    let mut victim = Victim::start_unheard(test, &Manner::Parked.options().receive_only());
    let mut said = [victim.hear(), victim.hear()];
    said.sort_unstable();
    assert_eq!(&said, b"!f", "it is ready, and its copy is there");
    let Victim { mut child, link, mut witness } = victim;
    let mut receiver = link.receiver.expect("a ring");
    let liveness = receiver.peer_liveness().expect("it lives");
    let input = child.stdin.take();
    child.kill().expect("alive");
    child.wait().expect("reaped");
    assert!(liveness.wait_gone(Deadline::Never).expect("polls"), "the process is dead");
    let waited = receiver.recv_timeout(&mut [], Duration::from_millis(20));
    assert!(matches!(waited, Err(RecvError::TimedOut)), "its copy holds the link: {waited:?}");
    drop(input);
    let gone = receiver.recv(&mut []);
    assert!(matches!(gone, Err(RecvError::PeerGone { .. })), "{gone:?}");
    witness.read_to_end(&mut Vec::new()).expect("the copy has ended too");
}
