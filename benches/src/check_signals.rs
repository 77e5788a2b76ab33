//! Whether real-time signals through our ends cost what they cost without: a million values from one
//! process to another must take at most 1.1 × as long as in a bare loop of `sigqueue` and `sigwaitinfo`.
//! Not a test, since other work on the machine can fail it.
//!
//! Runs alternate between the same two processes, and each pair of runs gives one ratio; the median
//! counts. Every value is checked. Both loops meet a full queue by letting the other side run.

// The bare loop is made of C functions that take pointers.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::process::ExitCode;
use std::ptr;

use anyhow::{Context, bail, ensure};
use ipc_core::{Receiver, SendError, Sender};
use ipc_signal::testing::prepare_process;
use ipc_signal::{RealtimeSignal, SignalReceiver, SignalSender, SigwaitReceiver};
use ipc_testing::{Guest, Host};

use crate::clock::monotonic_ns;
use crate::machine;
use crate::report::summary::median;

/// The most that our ends may take, in multiples of the bare loop.
const ALLOWED: f64 = 1.1;
/// Values of one run.
const COUNT: u64 = 1_000_000;
/// Alternating runs of each kind.
const RUNS: usize = 9;
/// What the host asks the guest to receive with.
const WAYS: [&str; 3] = ["sigwaitinfo", "SignalReceiver", "SigwaitReceiver"];
const OVER: &str = "over";

/// The host: sends, and compares.
pub fn run() -> ExitCode {
    match compare() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("check-signals: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare() -> anyhow::Result<bool> {
    let cpus = machine::two_cpus()?.context("it takes two processors")?;
    let arguments = ["signals-receiver".to_owned(), cpus[1].to_string()];
    let mut guest = Guest::start(arguments, [("", ""); 0])?;
    machine::pin(cpus[0])?;
    println!("{COUNT} real-time signals with values, {RUNS} runs each; ns for one, and refusals");
    let mut ratios = [const { Vec::new() }; WAYS.len()];
    for _ in 0..RUNS {
        let mut bare_ns = f64::NAN;
        for (way, ratios) in WAYS.iter().zip(&mut ratios) {
            let (ns, refusals) = measure(way, &mut guest)?;
            if *way == WAYS[0] {
                bare_ns = ns;
            }
            ratios.push(ns / bare_ns);
            print!("{way} {ns:.0} ({refusals})   ");
        }
        println!();
    }
    guest.tell(OVER);
    guest.finish();
    let mut good = true;
    for (way, ratios) in WAYS.iter().zip(ratios).skip(1) {
        let ratio = median(ratios).expect("some runs");
        good &= ratio <= ALLOWED;
        let verdict = if ratio <= ALLOWED { "good" } else { "TOO SLOW" };
        println!(
            "{way}: median {ratio:.2} × sigqueue and sigwaitinfo (at most {ALLOWED}): {verdict}"
        );
    }
    Ok(good)
}

/// One run: nanoseconds for each value, and how often the queue was full.
fn measure(way: &str, guest: &mut Guest) -> anyhow::Result<(f64, u64)> {
    guest.tell(way);
    ensure!(guest.hear() == "open", "the guest is out of step");
    let pid = guest.pid();
    let signal = signal();
    let began_ns = monotonic_ns();
    let mut refusals = 0;
    if way == WAYS[0] {
        for value in 0..COUNT {
            while !bare_send(pid, signal.number(), value)? {
                refusals += 1;
                std::thread::yield_now();
            }
        }
    } else {
        let mut sender = SignalSender::open(pid, signal)?;
        for value in 0..COUNT {
            while let Err(error) = sender.try_send(&value.to_ne_bytes()) {
                ensure!(matches!(error, SendError::Full), "{error}");
                refusals += 1;
                std::thread::yield_now();
            }
        }
    }
    let ended_ns: u64 = guest.hear().parse()?;
    Ok(((ended_ns - began_ns) as f64 / COUNT as f64, refusals))
}

/// The guest: receives as it is told, and tells when it has all.
///
/// # Errors
///
/// If a value is not the one that it should be.
pub fn receive(cpu: usize) -> anyhow::Result<()> {
    let mut host = Host::from_stdin()?;
    prepare_process()?;
    machine::pin(cpu)?;
    loop {
        match host.hear().as_str() {
            OVER => return Ok(()),
            "sigwaitinfo" => {
                let set = bare_set();
                host.tell("open");
                expect_all(|| bare_receive(&set))?;
            }
            "SignalReceiver" => {
                let mut receiver = SignalReceiver::open(signal())?;
                host.tell("open");
                expect_all(|| receive_with(&mut receiver))?;
            }
            "SigwaitReceiver" => {
                let mut receiver = SigwaitReceiver::open(signal())?;
                host.tell("open");
                expect_all(|| receive_with(&mut receiver))?;
            }
            other => bail!("there is no way called {other:?}"),
        }
        host.tell(&monotonic_ns().to_string());
    }
}

fn signal() -> RealtimeSignal {
    RealtimeSignal::from_offset(1).expect("there are more")
}

fn expect_all(mut next: impl FnMut() -> anyhow::Result<u64>) -> anyhow::Result<()> {
    for expected in 0..COUNT {
        let value = next()?;
        ensure!(value == expected, "{value} came in place of {expected}");
    }
    Ok(())
}

fn receive_with(receiver: &mut impl Receiver) -> anyhow::Result<u64> {
    let mut value = [0; 8];
    receiver.recv(&mut value)?;
    Ok(u64::from_ne_bytes(value))
}

/// `sigqueue(3)`; false if the queue is full.
fn bare_send(pid: u32, signo: i32, value: u64) -> io::Result<bool> {
    let value = libc::sigval { sival_ptr: ptr::without_provenance_mut(value as usize) };
    // SAFETY: nothing but numbers; the pointer is one that nobody follows.
    if unsafe { libc::sigqueue(pid.cast_signed(), signo, value) } == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        error => Err(error),
    }
}

fn bare_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: writes the whole set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: written by the call above.
    let mut set = unsafe { set.assume_init() };
    // SAFETY: the set is initialised.
    unsafe { libc::sigaddset(&mut set, signal().number()) };
    set
}

/// `sigwaitinfo(2)`.
fn bare_receive(set: &libc::sigset_t) -> anyhow::Result<u64> {
    let mut info = MaybeUninit::<libc::siginfo_t>::uninit();
    // SAFETY: the set is initialised, and `info` writable.
    let result = unsafe { libc::sigwaitinfo(set, info.as_mut_ptr()) };
    ensure!(result > 0, "sigwaitinfo: {}", io::Error::last_os_error());
    // SAFETY: written by the call above.
    let info = unsafe { info.assume_init() };
    // SAFETY: it was sent by sigqueue.
    let value = unsafe { info.si_value() };
    Ok(value.sival_ptr.addr() as u64)
}
