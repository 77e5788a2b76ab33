//! What it costs to hand a lock to another process that waits for it, and to get one back.
//!
//! Two processes take turns by three mutexes. Each holds one, or two: the one that the other waits for is
//! released, then the next one is waited for, which the other holds.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, ensure};
use ipc_core::{Deadline, WaitStrategy};
use ipc_shm::{MutexGuard, Value};
use ipc_testing::{Guest, Host, Invitation};

use super::place::{Locks, Place};
use super::pthread::PthreadMutex;
use super::{ATTEMPTS, Samples};
use crate::limits::futex;
use crate::machine;
use crate::shared::Board;

/// The most that a hand-over and back may take, in multiples of the round trip of two futexes.
const ALLOWED: f64 = 1.2;
/// Hand-overs of a sample: a multiple of the number of mutexes, so that each begins as the last ended.
const ROUNDS: u32 = 3_000;
const SAMPLES: usize = 7;
const NEVER: Deadline = Deadline::Never;

/// What is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// The limit: two bare futexes.
    Futex,
    /// `Mutex::lock`.
    Mutex,
    /// The same, asleep at once.
    MutexParked,
    /// libc's robust shared mutex.
    PthreadRobust,
    /// libc's shared mutex.
    PthreadShared,
    /// Two semaphores, one for each side's turn.
    Semaphores,
    /// The same of libc.
    PosixSemaphores,
    /// Two events.
    Events,
    /// A turn under a mutex, and a condition variable.
    Condvar,
    /// The same of libc.
    PthreadCondvar,
}

impl What {
    const ALL: [Self; 10] = [
        Self::Futex,
        Self::Mutex,
        Self::MutexParked,
        Self::PthreadRobust,
        Self::PthreadShared,
        Self::Semaphores,
        Self::PosixSemaphores,
        Self::Events,
        Self::Condvar,
        Self::PthreadCondvar,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Futex => "two futexes",
            Self::Mutex => "mutex",
            Self::MutexParked => "mutex, parked",
            Self::PthreadRobust => "pthread robust",
            Self::PthreadShared => "pthread shared",
            Self::Semaphores => "semaphores",
            Self::PosixSemaphores => "sem_t",
            Self::Events => "events",
            Self::Condvar => "condvar",
            Self::PthreadCondvar => "pthread condvar",
        }
    }

    /// Whether it is ours, and has a limit.
    fn is_ours(self) -> bool {
        matches!(self, Self::Mutex | Self::MutexParked)
    }
}

/// Compares each with the limit.
pub(super) fn compare(cpus: [usize; 2]) -> anyhow::Result<bool> {
    let same_core = cpus[0] == cpus[1];
    let cores = if same_core { "on one core" } else { "on two cores" };
    println!("handed to another process and back, {cores}, in ns (ours: at most {ALLOWED} ×)");
    let mut good = false;
    for _ in 0..ATTEMPTS {
        let samples = sample(cpus)?;
        good = true;
        for (index, what) in What::ALL.into_iter().enumerate() {
            let ratio = samples.ratio(index, 0);
            let is_good = !what.is_ours() || ratio <= ALLOWED;
            good &= is_good;
            let verdict = if is_good { "" } else { "  TOO SLOW" };
            println!("{:<18} {:>8.0}  {ratio:.2} ×{verdict}", what.name(), samples.ns(index));
        }
        if good {
            break;
        }
    }
    Ok(good)
}

fn sample(cpus: [usize; 2]) -> anyhow::Result<Samples<{ What::ALL.len() }>> {
    let same_core = cpus[0] == cpus[1];
    machine::pin(cpus[0])?;
    let (board, board_descriptor) = Board::create()?;
    let (place, place_descriptor) = Place::create()?;
    let arguments = ["sync-partner".to_owned(), cpus[1].to_string(), same_core.to_string()];
    let mut guest = Guest::start(arguments, [("", ""); 0])?;
    guest.invite(Invitation::of_descriptors(vec![board_descriptor, place_descriptor]));
    let mut samples = Vec::new();
    for _ in 0..=SAMPLES {
        let mut sample = [f64::NAN; What::ALL.len()];
        for (what, ns) in What::ALL.into_iter().zip(&mut sample) {
            guest.tell(what.name());
            *ns = play(what, place.locks(), &board, same_core, true)?;
        }
        samples.push(sample);
    }
    guest.tell("");
    guest.finish();
    samples.remove(0); // has warmed up
    Ok(Samples(samples))
}

/// The guest: answers as it is told.
///
/// # Errors
///
/// If the host does not say what it should.
pub fn answer(cpu: usize, same_core: bool) -> anyhow::Result<()> {
    let mut host = Host::from_stdin()?;
    machine::pin(cpu)?;
    let descriptors: Result<[OwnedFd; 2], _> = host.invitation().descriptors.try_into();
    let [board, place] = descriptors.ok().context("two descriptors")?;
    let board = Board::join(board.as_fd())?;
    let place = Place::join(place.as_fd())?;
    loop {
        let name = host.hear();
        if name.is_empty() {
            return Ok(());
        }
        let what = What::ALL.into_iter().find(|what| what.name() == name).context("unknown")?;
        play(what, place.locks(), &board, same_core, false)?;
    }
}

/// One side's part of a sample; nanoseconds for a hand-over and back.
fn play(
    what: What,
    locks: &Locks,
    board: &Board,
    same_core: bool,
    is_host: bool,
) -> anyhow::Result<f64> {
    ensure!(ROUNDS.is_multiple_of(3), "each sample begins as the last one ended");
    let ns = match what {
        What::Futex if is_host => futex::ping(board, ROUNDS, same_core)?,
        What::Futex => {
            futex::pong(board, ROUNDS, same_core)?;
            f64::NAN
        }
        What::Mutex => take_turns(board, is_host, &mut Ours::new(locks, None)),
        What::MutexParked => {
            take_turns(board, is_host, &mut Ours::new(locks, Some(WaitStrategy::Park)))
        }
        What::PthreadRobust => {
            take_turns(board, is_host, &mut locks.robust.each_ref().map(|it| &**it))
        }
        What::PthreadShared => {
            take_turns(board, is_host, &mut locks.plain.each_ref().map(|it| &**it))
        }
        What::Semaphores => {
            let pass = |side: usize| locks.semaphores[side].release().expect("below the highest");
            let wait = |side: usize| {
                assert!(
                    locks.semaphores[side].acquire(WaitStrategy::Park, NEVER).expect("no error")
                );
            };
            pass_and_wait(board, is_host, pass, wait)
        }
        What::PosixSemaphores => {
            let pass = |side: usize| locks.posix_semaphores[side].post();
            let wait = |side: usize| locks.posix_semaphores[side].wait();
            pass_and_wait(board, is_host, pass, wait)
        }
        What::Events => {
            let pass = |side: usize| locks.events[side].set().expect("no error");
            let wait = |side: usize| {
                assert!(locks.events[side].wait(WaitStrategy::Park, NEVER).expect("no error"));
            };
            pass_and_wait(board, is_host, pass, wait)
        }
        What::Condvar => {
            let pass = |side: usize| {
                locks.turn.lock().expect("nobody dies").set(&(side as u32));
                locks.turned.notify_one();
            };
            let wait = |side: usize| {
                let guard = locks.turn.lock().expect("nobody dies");
                let other = |turn: &Value<u32>| turn.load() != side as u32;
                drop(locks.turned.wait_while(guard, NEVER, other).expect("nobody dies"));
            };
            pass_and_wait(board, is_host, pass, wait)
        }
        What::PthreadCondvar => {
            let (mutex, turn) = &*locks.pthread_turn;
            let pass = |side: usize| {
                mutex.lock();
                turn.store(side as u32, Ordering::Relaxed); // under the mutex
                mutex.unlock();
                locks.pthread_turned.signal();
            };
            let wait = |side: usize| {
                mutex.lock();
                while turn.load(Ordering::Relaxed) != side as u32 {
                    locks.pthread_turned.wait(mutex);
                }
                mutex.unlock();
            };
            pass_and_wait(board, is_host, pass, wait)
        }
    };
    Ok(ns)
}

/// The host gives the turn to the guest, and waits for it to come back.
fn pass_and_wait(board: &Board, is_host: bool, pass: impl Fn(usize), wait: impl Fn(usize)) -> f64 {
    const HOST: usize = 0;
    const GUEST: usize = 1;
    board.rendezvous();
    let began = Instant::now();
    for _ in 0..ROUNDS {
        if is_host {
            pass(GUEST);
            wait(HOST);
        } else {
            wait(GUEST);
            pass(HOST);
        }
    }
    let ns = began.elapsed().as_nanos() as f64 / f64::from(ROUNDS);
    board.rendezvous();
    ns
}

/// Three mutexes.
trait Three {
    fn lock(&mut self, index: usize);
    fn unlock(&mut self, index: usize);
}

/// The host holds mutexes 0 and 2 when its part begins, the guest 1; and so it is again at the end.
fn take_turns(board: &Board, is_host: bool, mutexes: &mut impl Three) -> f64 {
    let first: &[usize] = if is_host { &[0, 2] } else { &[1] };
    first.iter().for_each(|&index| mutexes.lock(index));
    board.rendezvous();
    let began = Instant::now();
    for round in 0..ROUNDS as usize {
        let (hosts, guests) = (2 * round % 3, (2 * round + 1) % 3);
        if is_host {
            mutexes.unlock(hosts);
            mutexes.lock(guests);
        } else {
            mutexes.lock(hosts);
            mutexes.unlock(guests);
        }
    }
    let ns = began.elapsed().as_nanos() as f64 / f64::from(ROUNDS);
    board.rendezvous();
    // The guest has taken the first one once more than it has released it.
    let last: &[usize] = if is_host { &[0, 2] } else { &[1] };
    last.iter().for_each(|&index| mutexes.unlock(index));
    board.rendezvous();
    ns
}

struct Ours<'a> {
    locks: &'a Locks,
    guards: [Option<MutexGuard<'a, ()>>; 3],
    strategy: Option<WaitStrategy>,
}

impl<'a> Ours<'a> {
    fn new(locks: &'a Locks, strategy: Option<WaitStrategy>) -> Self {
        Self { locks, guards: [None, None, None], strategy }
    }
}

impl Three for Ours<'_> {
    fn lock(&mut self, index: usize) {
        let mutex = &self.locks.mutexes[index];
        let guard = match self.strategy {
            None => mutex.lock(),
            Some(strategy) => mutex.lock_with(strategy, Deadline::Never),
        };
        self.guards[index] = Some(guard.expect("nobody dies"));
    }

    fn unlock(&mut self, index: usize) {
        self.guards[index] = None;
    }
}

impl Three for [&PthreadMutex; 3] {
    fn lock(&mut self, index: usize) {
        self[index].lock();
    }

    fn unlock(&mut self, index: usize) {
        self[index].unlock();
    }
}
