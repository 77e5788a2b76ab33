//! What our frames cost on a stream of bytes: messages over a pipe and a Unix stream, between two
//! processes, beside a plain loop of `write` and `read` of the same sizes, which knows without a frame
//! how long each message is. Framing should take at most 1.1 × as long. Not a test, since other work
//! on the machine can fail it.
//!
//! A second plain loop moves as many bytes as a frame has, four more. Where they begin a page of the pipe
//! (at 4, 8 and 16 KiB; at 512 B, too, of which a page holds eight, but only seven frames), that is what
//! they cost by themselves, whoever writes them. Each line ends with these pages. Messages of one length go
//! over a pipe without headers, and so beat that bound; those of two lengths in turn, which are not judged, do
//! not.
//!
//! Some processors copy between places that lie unluckily in their pages 30 times as slowly as elsewhere
//! (`record/2026-11-28-pipe-experiments.md`). So what is judged lies where this strikes neither loop, and
//! rows for comparison lie at the beginning of a page, and where large blocks of `malloc` do.
//!
//! Each sample is a stream of messages, timed from before the first send until the other process has
//! said that it has them all. Samples alternate within one pair of processes, and of the ratios of
//! neighbours the median counts, since the machine's moods last longer than one pair of samples.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, ensure};
use ipc_core::{Receiver, Resource, Sender, WaitStrategy, handover};
use ipc_pipe::{PipeReceiver, PipeSender};
use ipc_socket::{StreamReceiver, StreamSender, UnixOptions};

use crate::machine;
use crate::report::summary::median;

/// The most that framing may take, in multiples of the plain loop.
const ALLOWED: f64 = 1.1;
const SIZES: [usize; 11] = [8, 64, 512, 4000, 4096, 8000, 8192, 16_384, 65_536, 262_144, 1 << 20];
/// Bytes of a frame's header.
const HEADER_LEN: usize = 4;
/// Where in their pages the message of the host and the buffer of the guest lie.
#[derive(Clone, Copy)]
struct Places {
    message: usize,
    buffer: usize,
}

impl Places {
    /// Where no copy stumbles.
    const GOOD: Self = Self { message: 1024, buffer: 2048 };
    /// Where a page begins, and where a large block of `malloc` does.
    const USUAL: [Self; 2] =
        [Self { message: 0, buffer: 2048 }, Self { message: 1024, buffer: 16 }];
}

/// Bytes at a place in their pages.
#[derive(Default)]
struct Placed {
    storage: Vec<u8>,
    from: usize,
    len: usize,
}

impl Placed {
    fn new(len: usize, place: usize) -> Self {
        const PAGE_BYTES: usize = 4096;
        let storage = vec![0x5a; len + PAGE_BYTES];
        let from = place.wrapping_sub(storage.as_ptr() as usize) % PAGE_BYTES;
        Self { storage, from, len }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.storage[self.from..][..self.len]
    }
}

/// Pairs of samples.
const PAIRS: usize = 21;
/// How often to try before giving up.
const ATTEMPTS: usize = 4;
/// What a sample moves, in bytes and in messages.
const SAMPLE_BYTES: usize = 32 << 20;
const SAMPLE_MESSAGES: usize = 20_000;

/// What the guest is told: a mode, and four numbers of eight bytes.
const ORDER_LEN: usize = 1 + 4 * 8;

/// Names of environment variables by which the guest finds its ends.
const CONTROL: &str = "IPC_BENCH_CONTROL";
const FRAMED: &str = "IPC_BENCH_FRAMED";
const PLAIN: &str = "IPC_BENCH_PLAIN";

/// Compares on both kinds of stream; fails if framing was never cheap enough. In the guest, which has
/// the name of a stream, reads what the host sends.
pub fn run(guest_of: Option<&str>) -> ExitCode {
    let result = match guest_of {
        None => host(),
        Some("pipe") => guest(PipeReceiver::inherited(FRAMED)),
        Some("adaptive pipe") => guest(
            PipeReceiver::inherited(FRAMED).map(|end| end.with_strategy(WaitStrategy::adaptive())),
        ),
        Some(_) => guest(inherited_socket().map(|(_, receiver)| receiver)),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("check-framing: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn host() -> anyhow::Result<bool> {
    let cpus = machine::two_cpus()?.context("it takes two processors")?;
    println!("messages by plain reads and writes, one way between processes (at most {ALLOWED} ×)");
    let mut good = true;
    for size in SIZES {
        good &= compare("pipe", size, Places::GOOD, 0, || Pair::over_pipes("pipe", cpus))?;
    }
    for size in SIZES {
        good &= compare("Unix stream", size, Places::GOOD, 0, || Pair::over_sockets(cpus))?;
    }
    println!(
        "not judged: messages in turn of this length and 8 bytes less, so that each has a header"
    );
    for size in [64, 512, 4096, 8192, 16_384, 65_536] {
        compare("pipe", size, Places::GOOD, 8, || Pair::over_pipes("pipe", cpus))?;
    }
    println!("not judged: a receiver that looks before it sleeps");
    for size in [64, 4096, 65_536] {
        compare("pipe", size, Places::GOOD, 0, || Pair::over_pipes("adaptive pipe", cpus))?;
    }
    for places in Places::USUAL {
        let Places { message, buffer } = places;
        println!("not judged: sent from byte {message} of a page, received to byte {buffer}");
        for size in [4096, 16_384, 65_536] {
            compare("pipe", size, places, 0, || Pair::over_pipes("pipe", cpus))?;
            compare("Unix stream", size, places, 0, || Pair::over_sockets(cpus))?;
        }
    }
    Ok(good)
}

fn compare<S: Sender>(
    name: &str,
    size: usize,
    places: Places,
    cut: usize,
    make: impl Fn() -> anyhow::Result<Pair<S>>,
) -> anyhow::Result<bool> {
    let mut best = f64::INFINITY;
    let mut figures = [0.0; 3];
    for _ in 0..ATTEMPTS {
        let mut pair = make()?;
        (pair.places, pair.cut) = (places, cut);
        let count = (SAMPLE_BYTES / size).clamp(16, SAMPLE_MESSAGES);
        let (mut framed, mut plain) = (Vec::new(), Vec::new());
        let (mut ratios, mut of_frame) = (Vec::new(), Vec::new());
        for _ in 0..=PAIRS {
            let sample = [pair.framed(size, count)?, pair.plain(size, count)?];
            framed.push(sample[0]);
            plain.push(sample[1]);
            ratios.push(sample[0] / sample[1]);
            of_frame.push(sample[0] / pair.plain(size + HEADER_LEN, count)?);
        }
        // The first pair has warmed up.
        let median_of = |values: Vec<f64>| median(values.into_iter().skip(1)).unwrap_or(f64::NAN);
        let ratio = median_of(ratios);
        if ratio < best {
            best = ratio;
            figures = [median_of(framed), median_of(plain), median_of(of_frame)];
        }
        pair.end()?;
        if best <= ALLOWED {
            break;
        }
    }
    let verdict = if best <= ALLOWED { "" } else { "  TOO SLOW" };
    println!(
        "{name:<12} {size:>8} B  framed {:>10.0} ns  plain {:>10.0} ns  {best:.2} ×  \
         of its bytes {:.2} ×  {}{verdict}",
        figures[0],
        figures[1],
        figures[2],
        if name == "pipe" { pages(size) } else { String::new() },
    );
    Ok(best <= ALLOWED)
}

/// How many pages of a pipe a message takes in a stream of them, without and with a header. With what exceeds
/// whole pages the kernel fills up the last page, if all of that fits and the pipe is not empty.
fn pages(size: usize) -> String {
    const PAGE_BYTES: usize = 4096;
    let of = |len: usize| match (len / PAGE_BYTES, len % PAGE_BYTES) {
        (whole, 0) => whole as f64,
        (0, rest) => 1.0 / (PAGE_BYTES / rest) as f64,
        // The next one's rest goes there, too, and its whole pages follow.
        (whole, rest) if 2 * rest <= PAGE_BYTES => whole as f64 + 0.5,
        (whole, _) => whole as f64 + 1.0,
    };
    format!("pages {:.3}, with a header {:.3}", of(size), of(size + HEADER_LEN))
}

/// The host's ends, and its guest.
struct Pair<S> {
    framed: S,
    plain: std::fs::File,
    control: UnixStream,
    child: Child,
    message: Placed,
    places: Places,
    /// By how much every other message is shorter, in bytes.
    cut: usize,
}

impl Pair<PipeSender> {
    fn over_pipes(name: &str, cpus: [usize; 2]) -> anyhow::Result<Self> {
        let (framed, theirs) = ipc_pipe::pipe()?;
        let (plain_theirs, plain) = std::io::pipe()?;
        let mut command = guest_command(name)?;
        let given = theirs.give_to(&mut command, FRAMED)?;
        let (control, child) = start(command, plain_theirs.into(), cpus)?;
        drop(given);
        Ok(Self::new(framed, OwnedFd::from(plain).into(), control, child))
    }
}

impl Pair<StreamSender> {
    fn over_sockets(cpus: [usize; 2]) -> anyhow::Result<Self> {
        let link = Resource::unnamed("Unix stream");
        let (ours, theirs) = UnixStream::pair()?;
        let (plain, plain_theirs) = UnixStream::pair()?;
        let framed = UnixOptions::new().adopt_stream(ours.into())?.sender;
        let mut command = guest_command("socket")?;
        let given = handover::give(theirs.into(), &mut command, FRAMED, &link)?;
        let (control, child) = start(command, plain_theirs.into(), cpus)?;
        drop(given);
        Ok(Self::new(framed, OwnedFd::from(plain).into(), control, child))
    }
}

fn guest_command(name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["check-framing", "--guest", name]);
    Ok(command)
}

fn start(
    mut command: Command,
    plain: OwnedFd,
    cpus: [usize; 2],
) -> anyhow::Result<(UnixStream, Child)> {
    let link = Resource::unnamed("end of a plain stream");
    let (control, theirs) = UnixStream::pair()?;
    let given = [
        handover::give(plain, &mut command, PLAIN, &link)?,
        handover::give(theirs.into(), &mut command, CONTROL, &link)?,
    ];
    // The guest inherits the processor that it is bound to.
    machine::pin(cpus[1])?;
    let child = command.spawn().context("the guest does not start")?;
    machine::pin(cpus[0])?;
    drop(given);
    Ok((control, child))
}

impl<S: Sender> Pair<S> {
    fn new(framed: S, plain: std::fs::File, control: UnixStream, child: Child) -> Self {
        let (message, places) = (Placed::default(), Places::GOOD);
        Self { framed, plain, control, child, message, places, cut: 0 }
    }

    /// Nanoseconds for each of `count` messages in frames.
    fn framed(&mut self, size: usize, count: usize) -> anyhow::Result<f64> {
        self.announce(b'f', size, count)?;
        let start = Instant::now();
        for index in 0..count {
            self.framed.send(&self.message.bytes()[index % 2 * self.cut..])?;
        }
        self.until_received(start, count)
    }

    /// The same without frames.
    fn plain(&mut self, size: usize, count: usize) -> anyhow::Result<f64> {
        self.announce(b'p', size, count)?;
        let start = Instant::now();
        for index in 0..count {
            self.plain.write_all(&self.message.bytes()[index % 2 * self.cut..])?;
        }
        self.until_received(start, count)
    }

    fn announce(&mut self, mode: u8, size: usize, count: usize) -> anyhow::Result<()> {
        self.message = Placed::new(size, self.places.message);
        let mut order = [0; ORDER_LEN];
        order[0] = mode;
        let numbers = [size, count, self.places.buffer, self.cut];
        for (field, number) in order[1..].chunks_mut(8).zip(numbers) {
            field.copy_from_slice(&(number as u64).to_le_bytes());
        }
        self.control.write_all(&order)?;
        self.control.read_exact(&mut [0]).context("the guest is not ready")?;
        Ok(())
    }

    fn until_received(&mut self, start: Instant, count: usize) -> anyhow::Result<f64> {
        self.control.read_exact(&mut [0]).context("the guest did not receive")?;
        Ok(start.elapsed().as_nanos() as f64 / count as f64)
    }

    fn end(mut self) -> anyhow::Result<()> {
        drop(self.control);
        ensure!(self.child.wait()?.success(), "the guest failed");
        Ok(())
    }
}

fn inherited(name: &'static str) -> Result<OwnedFd, ipc_core::OpenError> {
    handover::take(name, &Resource::unnamed(name), |_| Ok(()))
}

fn inherited_socket() -> Result<(StreamSender, StreamReceiver), ipc_core::OpenError> {
    let connection = UnixOptions::new().adopt_stream(inherited(FRAMED)?)?;
    Ok((connection.sender, connection.receiver))
}

/// Receives what the host announces, until it goes.
fn guest<R: Receiver>(framed: Result<R, ipc_core::OpenError>) -> anyhow::Result<bool> {
    let mut framed = framed?;
    let mut plain = std::fs::File::from(inherited(PLAIN)?);
    let mut control = UnixStream::from(inherited(CONTROL)?);
    let mut order = [0; ORDER_LEN];
    while control.read_exact(&mut order).is_ok() {
        let number = |index: usize| {
            let bytes = order[1..].chunks(8).nth(index).and_then(|bytes| bytes.try_into().ok());
            usize::from_le_bytes(bytes.unwrap_or_default())
        };
        let (size, count, place, cut) = (number(0), number(1), number(2), number(3));
        let mut buffer = Placed::new(size, place);
        let buffer = buffer.bytes();
        control.write_all(b".")?;
        for index in 0..count {
            let len = size - index % 2 * cut;
            if order[0] == b'f' {
                ensure!(framed.recv(buffer)?.len == len, "a message of another length");
            } else {
                plain.read_exact(&mut buffer[..len])?;
            }
        }
        control.write_all(b".")?;
    }
    Ok(true)
}
