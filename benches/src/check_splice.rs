//! What `splice`, `tee` and `vmsplice` gain over copying, at 64 KiB and 1 MiB, between processes: the sender
//! fills every message anew, and the receiver reads and adds up every byte. Not a test, since other work on
//! the machine can change it.
//!
//! - **send**: a message from memory, by `write`, read by pieces or, before any of it is added up, as a
//!   whole; as a message of `PipeSender`, which is received as a whole; by `vmsplice` of two buffers in turn, each as large as
//!   the pipe, so that what is changed has left it; by `vmsplice` of pages made for each message, given away
//!   and unmapped, which nobody can change.
//! - **relay**: a third process passes the stream on, by `read` and `write` or by `splice`.
//! - **double**: it passes it on to two pipes, by `read` and two `write`, or by `tee` and `splice`.
//!
//! `vmsplice` puts the sender's own pages into the pipe. They must not change before the last reader, and
//! whoever that passes them on to by `splice`, has done with them, and no reader tells when that is: so no
//! safe function could offer the first way. The second is safe, and pays for new pages each time.

// Mapping memory, and `vmsplice` itself.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode};
use std::ptr;
use std::time::Instant;

use anyhow::{Context, ensure};
use ipc_core::{Receiver, Resource, handover};
use ipc_pipe::{PipeReader, PipeReceiver, PipeSender, PipeWriter};
use rustix::mm::{MapFlags, ProtFlags};
use rustix::pipe::{IoSliceRaw, SpliceFlags};

use crate::machine;
use crate::report::summary::median;

const SIZES: [usize; 2] = [64 * 1024, 1 << 20];
const SAMPLES: usize = 15;
const SAMPLE_BYTES: usize = 64 << 20;
/// What a pipe holds, and what is passed on at a time, in bytes.
const CHUNK_LEN: usize = 64 * 1024;

/// Ways to send, as orders to the processes name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Plain = b'w' as isize,
    PlainWhole = b'p' as isize,
    Message = b'm' as isize,
    Vmsplice = b'v' as isize,
    Gift = b'g' as isize,
    RelayCopy = b'c' as isize,
    RelaySplice = b's' as isize,
    DoubleCopy = b'd' as isize,
    DoubleTee = b't' as isize,
}

const GROUPS: [(&str, &[(&str, Way)]); 3] = [
    (
        "send",
        &[
            ("write", Way::Plain),
            ("write, read as a whole", Way::PlainWhole),
            ("message", Way::Message),
            ("vmsplice", Way::Vmsplice),
            ("vmsplice of new pages", Way::Gift),
        ],
    ),
    ("relay", &[("read and write", Way::RelayCopy), ("splice", Way::RelaySplice)]),
    ("double", &[("read and two writes", Way::DoubleCopy), ("tee and splice", Way::DoubleTee)]),
];

/// Measures, or plays the part of another process.
pub fn run(part: Option<&str>) -> ExitCode {
    let result = match part {
        None => host(),
        Some("relay") => relay(),
        Some(_) => guest(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("check-splice: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn host() -> anyhow::Result<()> {
    let mut processes = Processes::start()?;
    for size in SIZES {
        for (group, ways) in GROUPS {
            let mut times = vec![Vec::new(); ways.len()];
            for _ in 0..=SAMPLES {
                for (times, (_, way)) in times.iter_mut().zip(ways) {
                    times.push(processes.sample(*way, size)?);
                }
            }
            // The first of each has warmed up.
            let medians: Vec<f64> = times
                .iter()
                .map(|times| median(times.iter().skip(1).copied()).unwrap_or(f64::NAN))
                .collect();
            for ((name, _), time) in ways.iter().zip(&medians) {
                let ratio = time / medians[0];
                println!("{group:<7} {size:>8} B  {name:<22} {:>8.1} µs  {ratio:.2} ×", time / 1e3);
            }
        }
    }
    processes.end()
}

/// The names of environment variables by which the other processes find their ends.
const CONTROL: &str = "IPC_BENCH_CONTROL";
const INPUTS: [&str; 3] = ["IPC_BENCH_DIRECT", "IPC_BENCH_FIRST", "IPC_BENCH_SECOND"];
const MESSAGES: &str = "IPC_BENCH_MESSAGES";

struct Processes {
    /// To the guest, and to the relay.
    direct: File,
    messages: PipeSender,
    relayed: File,
    controls: [UnixStream; 2],
    children: [Child; 2],
    buffers: [Pages; 2],
    number: u8,
}

impl Processes {
    fn start() -> anyhow::Result<Self> {
        let cpus = machine::two_cpus()?.context("it takes two processors")?;
        let link = Resource::unnamed("end of a stream");
        let (direct_theirs, direct) = std::io::pipe()?;
        let (relay_theirs, relayed) = std::io::pipe()?;
        let (messages, messages_theirs) = ipc_pipe::pipe()?;
        let mut messages_theirs = Some(messages_theirs);
        let (first_reader, first) = std::io::pipe()?;
        let (second_reader, second) = std::io::pipe()?;
        let mut start = |part: &str, ends: Vec<OwnedFd>, cpu| -> anyhow::Result<_> {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["check-splice", "--part", part]);
            let (control, theirs) = UnixStream::pair()?;
            let mut given = vec![handover::give(theirs.into(), &mut command, CONTROL, &link)?];
            for (end, name) in ends.into_iter().zip(INPUTS) {
                given.push(handover::give(end, &mut command, name, &link)?);
            }
            if let Some(end) = messages_theirs.take() {
                given.push(end.give_to(&mut command, MESSAGES)?); // to the guest, which is first
            }
            machine::pin(cpu)?;
            let child = command.spawn().context("a process does not start")?;
            Ok((control, child))
        };
        let readers = vec![direct_theirs.into(), first_reader.into(), second_reader.into()];
        let relays = vec![relay_theirs.into(), first.into(), second.into()];
        let (guest_control, guest) = start("guest", readers, cpus[1])?;
        // The relay shares the sender's processor: the receiver is the busiest.
        let (relay_control, relay) = start("relay", relays, cpus[0])?;
        machine::pin(cpus[0])?;
        let len = SIZES[1].max(CHUNK_LEN);
        Ok(Self {
            direct: OwnedFd::from(direct).into(),
            messages,
            relayed: OwnedFd::from(relayed).into(),
            controls: [guest_control, relay_control],
            children: [guest, relay],
            buffers: [Pages::new(len)?, Pages::new(len)?],
            number: 0,
        })
    }

    /// Nanoseconds for each message, from before the first until the guest has read them all.
    fn sample(&mut self, way: Way, size: usize) -> anyhow::Result<f64> {
        let count = SAMPLE_BYTES / size;
        let mut order = [0; 17];
        order[0] = way as u8;
        order[1..9].copy_from_slice(&(size as u64).to_le_bytes());
        order[9..].copy_from_slice(&(count as u64).to_le_bytes());
        for control in &mut self.controls {
            control.write_all(&order)?;
            control.read_exact(&mut [0]).context("a process is not ready")?;
        }
        let start = Instant::now();
        let mut sum = 0u64;
        for _ in 0..count {
            self.number = self.number.wrapping_add(1);
            sum += u64::from(self.number) * size as u64;
            self.send(way, size)?;
        }
        let mut answer = [0; 8];
        self.controls[0].read_exact(&mut answer).context("the guest did not receive")?;
        let elapsed = start.elapsed().as_nanos() as f64 / count as f64;
        ensure!(u64::from_le_bytes(answer) == sum, "{way:?}: other bytes than were sent");
        self.controls[1].read_exact(&mut [0]).context("the relay did not end")?;
        Ok(elapsed)
    }

    fn send(&mut self, way: Way, size: usize) -> anyhow::Result<()> {
        let number = self.number;
        if way == Way::Gift {
            let mut pages = Pages::new(size)?;
            pages.bytes_mut(size).fill(number);
            return vmsplice(&self.direct, pages.bytes_mut(size), SpliceFlags::GIFT);
        }
        let bytes = self.buffers[usize::from(number % 2)].bytes_mut(size);
        bytes.fill(number);
        match way {
            Way::Plain | Way::PlainWhole => self.direct.write_all(bytes)?,
            Way::Message => ipc_core::Sender::send(&mut self.messages, bytes)?,
            Way::Vmsplice => vmsplice(&self.direct, bytes, SpliceFlags::empty())?,
            _ => self.relayed.write_all(bytes)?,
        }
        Ok(())
    }

    fn end(self) -> anyhow::Result<()> {
        drop((self.controls, self.direct, self.messages, self.relayed));
        for mut child in self.children {
            ensure!(child.wait()?.success(), "a process failed");
        }
        Ok(())
    }
}

fn vmsplice(pipe: &File, bytes: &[u8], flags: SpliceFlags) -> anyhow::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let slice = [IoSliceRaw::from_slice(rest)];
        // SAFETY: the bytes are mapped. They are changed only when as many as the pipe holds have
        // followed them, so that they have left it; or never, where the pages were made for them.
        let len = unsafe { rustix::pipe::vmsplice(pipe.as_fd(), &slice, flags) }?;
        rest = &rest[len..];
    }
    Ok(())
}

/// Memory of whole pages.
struct Pages {
    start: *mut u8,
    len: usize,
}

impl Pages {
    fn new(len: usize) -> anyhow::Result<Self> {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: new memory at an address of the kernel's choice.
        let start = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), len, access, flags) }?;
        Ok(Self { start: start.cast(), len })
    }

    fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        assert!(len <= self.len, "{len} of {} bytes", self.len);
        // SAFETY: mapped by `new`, as long as this is borrowed; nobody else writes to it.
        unsafe { std::slice::from_raw_parts_mut(self.start, len) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length, and borrowed no more.
        let _ = unsafe { rustix::mm::munmap(self.start.cast(), self.len) };
    }
}

/// What an order says.
fn orders() -> anyhow::Result<impl FnMut() -> Option<(u8, usize, usize, UnixStream)>> {
    let control = handover::take(CONTROL, &Resource::unnamed(CONTROL), |_| Ok(()))?;
    let mut control = UnixStream::from(control);
    Ok(move || {
        let mut order = [0; 17];
        control.read_exact(&mut order).ok()?;
        let number =
            |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default()) as usize;
        let answers = control.try_clone().ok()?;
        (&answers).write_all(b".").ok()?;
        Some((order[0], number(&order[1..9]), number(&order[9..]), answers))
    })
}

fn guest() -> anyhow::Result<()> {
    let mut next = orders()?;
    let mut inputs: Vec<PipeReader> = Vec::new();
    for name in INPUTS {
        inputs.push(PipeReceiver::inherited(name)?.into_stream()?);
    }
    let mut messages = PipeReceiver::inherited(MESSAGES)?;
    let mut buffer = vec![0; CHUNK_LEN];
    let mut message = Vec::new();
    let sum_of = |bytes: &[u8]| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    while let Some((way, size, count, mut answers)) = next() {
        if matches!(way, b'm' | b'p') {
            message.resize(size, 0);
            let mut sum = 0;
            for _ in 0..count {
                if way == b'm' {
                    let received = messages.recv(&mut message)?;
                    ensure!(received.len == size, "a message of another length");
                } else {
                    inputs[0].read_exact(&mut message)?;
                }
                sum += sum_of(&message);
            }
            answers.write_all(&sum.to_le_bytes())?;
            continue;
        }
        let used = match way {
            b'w' | b'v' | b'g' => 0..1,
            b'c' | b's' => 1..2,
            _ => 1..3,
        };
        let doubled = used.len() as u64;
        let mut sum = 0u64;
        for _ in 0..size * count / CHUNK_LEN {
            for input in &mut inputs[used.clone()] {
                input.read_exact(&mut buffer)?;
                sum += sum_of(&buffer);
            }
        }
        answers.write_all(&(sum / doubled).to_le_bytes())?;
    }
    Ok(())
}

fn relay() -> anyhow::Result<()> {
    let mut next = orders()?;
    let mut input = PipeReceiver::inherited(INPUTS[0])?.into_stream()?;
    let mut outputs: Vec<PipeWriter> = Vec::new();
    for name in &INPUTS[1..] {
        outputs.push(PipeSender::inherited(name)?.into_stream()?);
    }
    let mut buffer = vec![0; CHUNK_LEN];
    while let Some((way, size, count, mut answers)) = next() {
        let mut left = if matches!(way, b'c' | b's' | b'd' | b't') { size * count } else { 0 };
        while left > 0 {
            let most = left.min(CHUNK_LEN);
            left -= match way {
                b's' => input.splice_to(&outputs[0], most)?,
                b't' => {
                    let len = input.tee_to(&mut outputs[0], most)?;
                    let mut moved = 0;
                    while moved < len {
                        moved += input.splice_to(&outputs[1], len - moved)?;
                    }
                    len
                }
                _ => {
                    let len = input.read(&mut buffer[..most])?;
                    let copies = if way == b'd' { 2 } else { 1 };
                    for output in &mut outputs[..copies] {
                        output.write_all(&buffer[..len])?;
                    }
                    len
                }
            };
        }
        answers.write_all(b".")?;
    }
    Ok(())
}
