//! The oracle for messages in a stream of bytes: a receiver reads whatever a hostile or dying sender
//! wrote, and a model that has all the bytes at hand says what it must answer.
//!
//! The script's bytes say what the sender writes and when the receiver reads. Everything goes
//! through a real pipe or socket of this process, and through the public receiver.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use ipc_core::{Deadline, Receiver};
use ipc_pipe::PipeReceiver;
use ipc_socket::UnixOptions;
use ipc_testing::oracle::{Answer, Script};

/// The most that a script may write, so that it never blocks. A pipe has 16 pages, and a write that
/// does not fit the last begun page begins another: half of each may be wasted.
const MAX_WRITTEN_BYTES: usize = 24 * 1024;

/// The word before and after a run of messages without headers, on a pipe.
const MARK: [u8; 4] = [0xe3, 0x9d, 0xa6, 0xf1];

/// A Unix stream's frames: length in 32 bits.
pub fn socket(script: &[u8]) {
    let mut script = Script::new(script);
    let max_len = max_len(&mut script);
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let options = UnixOptions::new().max_message_len(max_len);
    let connection = options.adopt_stream(ours.into()).expect("a connected stream");
    play(script, theirs, connection.receiver, Model::of_socket(max_len));
}

/// A pipe's frames: length in 30 bits, and the flags of messages that go on; and runs of messages without.
pub fn pipe(script: &[u8]) {
    let mut script = Script::new(script);
    let max_len = max_len(&mut script);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let receiver = PipeReceiver::try_from(OwnedFd::from(reader)).expect("a read end");
    let receiver = receiver.with_max_message_bytes(max_len);
    play(script, writer, receiver, Model::of_pipe(max_len));
}

/// Plays a script, and compares every answer of the receiver with the model's.
fn play(mut script: Script<'_>, writer: impl Write, mut receiver: impl Receiver, mut model: Model) {
    let mut writer = Some(writer);
    let mut written = 0;
    let mut last_len = 0;
    while !script.is_over() {
        let bytes = match script.byte() % 8 {
            0 => {
                let len = usize::from(script.byte());
                script.take(len).to_vec()
            }
            1 | 2 => {
                let frame = frame(&mut script);
                last_len = frame.len().saturating_sub(4);
                frame
            }
            3 => MARK.to_vec(),
            // As in a run, if one is under way.
            4 => vec![script.byte(); last_len],
            _ => {
                let len = script.buffer_len();
                compare(&mut receiver, &mut model, len, Deadline::Now);
                continue;
            }
        };
        written += bytes.len();
        if written > MAX_WRITTEN_BYTES {
            break;
        }
        writer.as_mut().expect("still open").write_all(&bytes).expect("there is room");
        model.stream.extend(&bytes);
    }
    // The sender's end, whole or amid a frame. Then everything must come out, and come to an end.
    drop(writer.take());
    model.ended = true;
    while compare(&mut receiver, &mut model, MAX_WRITTEN_BYTES, Deadline::Never) {}
    compare(&mut receiver, &mut model, 0, Deadline::Never);
}

/// Receives once on both sides; whether there was a message.
fn compare(
    receiver: &mut impl Receiver,
    model: &mut Model,
    buffer_len: usize,
    deadline: Deadline,
) -> bool {
    let answer = Answer::of(receiver, buffer_len, deadline);
    assert_eq!(answer, model.receive(buffer_len));
    matches!(answer, Answer::Message(_))
}

/// What the documentation of the frames says, with all the bytes at hand.
struct Model {
    max_len: usize,
    /// How many bits of a header's word are the length. Above them: the frame continues a message;
    /// the message goes on.
    len_bits: u32,
    has_runs: bool,
    run: Run,
    /// Written and not yet taken.
    stream: Vec<u8>,
    /// The frames so far of a message of several.
    begun: Option<Vec<u8>>,
    /// A message that is whole and waits for a buffer.
    whole: Option<Vec<u8>>,
    ended: bool,
    violated: bool,
}

/// Where the stream is in a run.
#[derive(Clone, Copy)]
enum Run {
    None,
    /// Its first message comes, with a header.
    Begins,
    /// Messages of this length come, without headers.
    Of(usize),
}

impl Model {
    fn of_socket(max_len: usize) -> Self {
        Self {
            max_len,
            len_bits: 32,
            has_runs: false,
            run: Run::None,
            stream: Vec::new(),
            begun: None,
            whole: None,
            ended: false,
            violated: false,
        }
    }

    fn of_pipe(max_len: usize) -> Self {
        Self { len_bits: 30, has_runs: true, ..Self::of_socket(max_len) }
    }

    fn receive(&mut self, buffer_len: usize) -> Answer {
        while self.whole.is_none() {
            if self.violated {
                return Answer::Violation;
            }
            if !self.take_frame() && !self.violated {
                if self.ended {
                    self.stream.clear(); // a torn message was never sent
                    return Answer::Gone;
                }
                return Answer::Empty;
            }
        }
        Answer::of_waiting(&mut self.whole, buffer_len)
    }

    /// Takes one frame out of the stream, if it is all there.
    fn take_frame(&mut self) -> bool {
        let Some(header) = self.stream.first_chunk() else { return false };
        if self.has_runs && *header == MARK {
            self.run = match self.run {
                Run::None => Run::Begins,
                Run::Of(_) => Run::None,
                Run::Begins => {
                    self.violated = true;
                    return false;
                }
            };
            self.stream.drain(..4);
            return true;
        }
        if let Run::Of(len) = self.run {
            if self.stream.len() >= len {
                self.whole = Some(self.stream.drain(..len).collect());
            }
            return self.whole.is_some();
        }
        let word = u64::from(u32::from_le_bytes(*header));
        let len = (word & ((1 << self.len_bits) - 1)) as usize;
        let flags = word >> self.len_bits;
        let (continues, more) = (flags & 1 != 0, flags & 2 != 0);
        if !continues {
            self.begun = None; // given up by its sender
        }
        let begins_run = matches!(self.run, Run::Begins);
        if begins_run && (continues || more || len < 4) {
            self.violated = true;
            return false;
        }
        let before = self.begun.as_ref().map_or(0, Vec::len);
        if before + len > self.max_len || (continues && self.begun.is_none()) {
            self.violated = true;
            return false;
        }
        if self.stream.len() < 4 + len {
            return false;
        }
        let mut message = self.begun.take().unwrap_or_default();
        message.extend(self.stream.drain(..4 + len).skip(4));
        if begins_run {
            self.run = Run::Of(len);
        }
        *(if more { &mut self.begun } else { &mut self.whole }) = Some(message);
        true
    }
}

fn max_len(script: &mut Script<'_>) -> usize {
    [0, 16, 300, 20_000][usize::from(script.byte() % 4)]
}

/// A header, and as many bytes behind it as it says, or nearly: up to 16 KiB.
fn frame(script: &mut Script<'_>) -> Vec<u8> {
    let len = u32::from(script.byte()) << (script.byte() % 7);
    let flags = u32::from(script.byte() % 4) << 30;
    let cut = usize::from(script.byte() / 64);
    let mut frame = (len | flags).to_le_bytes().to_vec();
    frame.extend((0..len).map(|index| (index % 251) as u8));
    frame.truncate(frame.len() - cut.min(frame.len()));
    frame
}
