//! The oracle for messages in a stream of bytes: a receiver reads whatever a hostile or dying sender
//! wrote, and a model that has all the bytes at hand says what it must answer.
//!
//! The script's bytes say what the sender writes and when the receiver reads. Everything goes
//! through a real pipe or socket of this process, and through the public receiver.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use ipc_core::{Deadline, Receiver, RecvError};
use ipc_pipe::PipeReceiver;
use ipc_socket::UnixOptions;

/// The most that a script may write, so that it never blocks. A pipe has 16 pages, and a write that
/// does not fit the last begun page begins another: half of each may be wasted.
const MAX_WRITTEN_BYTES: usize = 24 * 1024;

/// A Unix stream's frames: length in 32 bits.
pub fn socket(script: &[u8]) {
    let mut script = Script(script);
    let max_len = script.max_len();
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let options = UnixOptions::new().max_message_len(max_len);
    let connection = options.adopt_stream(ours.into()).expect("a connected stream");
    play(script, theirs, connection.receiver, Model::new(max_len, 32));
}

/// A pipe's frames: length in 30 bits, and the flags of messages that go on.
pub fn pipe(script: &[u8]) {
    let mut script = Script(script);
    let max_len = script.max_len();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let receiver = PipeReceiver::try_from(OwnedFd::from(reader)).expect("a read end");
    let receiver = receiver.with_max_message_bytes(max_len);
    play(script, writer, receiver, Model::new(max_len, 30));
}

/// Plays a script, and compares every answer of the receiver with the model's.
fn play(mut script: Script, writer: impl Write, mut receiver: impl Receiver, mut model: Model) {
    let mut writer = Some(writer);
    let mut written = 0;
    while !script.0.is_empty() {
        let bytes = match script.byte() % 4 {
            0 => {
                let len = usize::from(script.byte());
                script.take(len)
            }
            1 => script.frame(),
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
    let mut buffer = vec![0; buffer_len];
    let answer = match receiver.recv_deadline(&mut buffer, deadline) {
        Ok(received) => Answer::Message(buffer[..received.len].to_vec()),
        Err(RecvError::BufferTooSmall { needed, .. }) => Answer::TooSmall(needed),
        Err(RecvError::Empty) => Answer::Empty,
        Err(RecvError::PeerGone { .. }) => Answer::Gone,
        Err(RecvError::Violation { .. }) => Answer::Violation,
        Err(other) => panic!("an answer that cannot be: {other}"),
    };
    assert_eq!(answer, model.receive(buffer_len));
    matches!(answer, Answer::Message(_))
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Message(Vec<u8>),
    TooSmall(usize),
    Empty,
    Gone,
    Violation,
}

/// What the documentation of the frames says, with all the bytes at hand.
struct Model {
    max_len: usize,
    /// How many bits of a header's word are the length. Above them: the frame continues a message;
    /// the message goes on.
    len_bits: u32,
    /// Written and not yet taken.
    stream: Vec<u8>,
    /// The frames so far of a message of several.
    begun: Option<Vec<u8>>,
    /// A message that is whole and waits for a buffer.
    whole: Option<Vec<u8>>,
    ended: bool,
    violated: bool,
}

impl Model {
    fn new(max_len: usize, len_bits: u32) -> Self {
        let (stream, begun, whole) = (Vec::new(), None, None);
        Self { max_len, len_bits, stream, begun, whole, ended: false, violated: false }
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
        match self.whole.take_if(|message| message.len() <= buffer_len) {
            Some(message) => Answer::Message(message),
            None => Answer::TooSmall(self.whole.as_ref().map_or(0, Vec::len)),
        }
    }

    /// Takes one frame out of the stream, if it is all there.
    fn take_frame(&mut self) -> bool {
        let Some(header) = self.stream.first_chunk() else { return false };
        let word = u64::from(u32::from_le_bytes(*header));
        let len = (word & ((1 << self.len_bits) - 1)) as usize;
        let flags = word >> self.len_bits;
        let (continues, more) = (flags & 1 != 0, flags & 2 != 0);
        if !continues {
            self.begun = None; // given up by its sender
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
        *(if more { &mut self.begun } else { &mut self.whole }) = Some(message);
        true
    }
}

/// Reads numbers from the fuzzer's bytes; zeros when they are used up.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or_default()
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        self.0.split_off(..len.min(self.0.len())).unwrap_or_default().to_vec()
    }

    fn max_len(&mut self) -> usize {
        [0, 16, 300, 20_000][usize::from(self.byte() % 4)]
    }

    fn buffer_len(&mut self) -> usize {
        usize::from(self.byte()) << (self.byte() % 8)
    }

    /// A header, and as many bytes behind it as it says, or nearly: up to 16 KiB.
    fn frame(&mut self) -> Vec<u8> {
        let len = u32::from(self.byte()) << (self.byte() % 7);
        let flags = u32::from(self.byte() % 4) << 30;
        let cut = usize::from(self.byte() / 64);
        let mut frame = (len | flags).to_le_bytes().to_vec();
        frame.extend((0..len).map(|index| (index % 251) as u8));
        frame.truncate(frame.len() - cut.min(frame.len()));
        frame
    }
}
