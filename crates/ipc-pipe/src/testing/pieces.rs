//! The oracle for the messages of many senders on one FIFO: long ones in tagged pieces, short ones, and
//! whatever a hostile sender writes, all mixed. A model that has all the bytes at hand says what the
//! receiver must answer. Leaves out the sending endpoint: the bytes are written by hand.
//!
//! The script's bytes say which senders come and go, what each writes, and when the receiver reads.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;

use ipc_core::Deadline;
use ipc_testing::Scope;
use ipc_testing::oracle::{Answer, Script};
use rustix::fs::OFlags;

use crate::frame::{ATOMIC_PAYLOAD, HEADER_LEN, Header};
use crate::unfinished::{SENDERS_MAX, TAG_LEN, UNFINISHED_MAX};
use crate::{Fifo, FifoReceiver, rendezvous};

/// At most so many senders at a time.
const SENDERS: usize = 4;
/// More than any message that is taken.
const ANY_LEN: usize = 64 * 1024;

/// Plays a script; panics where the receiver answers other than the model.
pub fn pieces(script: &[u8]) {
    let mut script = Script::new(script);
    let max_len = [5, 300, 5_000, 20_000][usize::from(script.byte() % 4)];
    let scope = Scope::new();
    let fifo = Fifo::create_new(scope.path("fifo")).expect("a new name");
    let receiver = fifo.open_receiver().expect("the only one").with_max_message_bytes(max_len);
    Play {
        fifo,
        receiver,
        model: Model { max_len, ..Model::default() },
        senders: Default::default(),
        last_tag: 0,
    }
    .run(script);
}

struct Play {
    fifo: Fifo,
    receiver: FifoReceiver,
    model: Model,
    /// Open write ends, and their tags.
    senders: [Option<(File, u32)>; SENDERS],
    last_tag: u32,
}

impl Play {
    fn run(mut self, mut script: Script<'_>) {
        while !script.is_over() {
            let sender = usize::from(script.byte()) % SENDERS;
            match script.byte() % 8 {
                0 => self.go(sender),
                1 => {
                    self.write(sender, script.take(20));
                }
                2 => {
                    let payload = payload(&mut script);
                    self.write(sender, &frame(Header::whole(payload.len()), &[], &payload));
                }
                3..=5 => self.write_piece(sender, &mut script),
                _ => {
                    self.compare(script.buffer_len(), Deadline::Now);
                }
            }
        }
        (0..SENDERS).for_each(|sender| self.go(sender));
        if self.model.has_had_sender {
            while self.compare(ANY_LEN, Deadline::Never) {}
            self.compare(0, Deadline::Never);
        }
    }

    /// Ends a sender.
    fn go(&mut self, sender: usize) {
        if let Some((_, tag)) = self.senders[sender].take() {
            self.model.tags.retain(|&other| other != tag);
        }
        self.model.has_sender = self.senders.iter().any(Option::is_some);
    }

    /// A sender's write end and tag; opened if it has none.
    fn sender(&mut self, sender: usize) -> &mut (File, u32) {
        let model = &mut self.model;
        let (fifo, last_tag) = (&self.fifo, &mut self.last_tag);
        self.senders[sender].get_or_insert_with(|| {
            let mut options = OpenOptions::new();
            let end = options.write(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
            let end = end.open(fifo.path()).expect("there is a receiver");
            *last_tag += 1;
            rendezvous::hold_tag(end.as_fd(), *last_tag).expect("a new one");
            model.tags.push(*last_tag);
            (model.has_sender, model.has_had_sender) = (true, true);
            (end, *last_tag)
        })
    }

    /// Writes a piece of a message: of the sender's own, or, if it is hostile, of another's.
    fn write_piece(&mut self, sender: usize, script: &mut Script<'_>) {
        let flags = script.byte();
        let own = self.sender(sender).1;
        // Of one of the last few, dead or alive.
        let other = |byte: u8| self.last_tag.saturating_sub(u32::from(byte % 4));
        let tag = if flags & 0x30 == 0x30 { other(script.byte()) } else { own };
        let payload = payload(script);
        let (continues, more) = (flags & 1 != 0, flags & 2 != 0);
        let header = Header { len: TAG_LEN + payload.len(), continues, more };
        self.write(sender, &frame(header, &tag.to_le_bytes(), &payload));
    }

    /// Writes bytes, all or, where the FIFO is full, none.
    fn write(&mut self, sender: usize, bytes: &[u8]) {
        match self.sender(sender).0.write(bytes) {
            Ok(len) => {
                assert_eq!(len, bytes.len(), "atomic");
                self.model.stream.extend(bytes);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
    }

    /// Receives once on both sides; whether there was a message.
    fn compare(&mut self, buffer_len: usize, deadline: Deadline) -> bool {
        let answer = Answer::of(&mut self.receiver, buffer_len, deadline);
        assert_eq!(answer, self.model.receive(buffer_len));
        matches!(answer, Answer::Message(_))
    }
}

fn frame(header: Header, tag: &[u8], payload: &[u8]) -> Vec<u8> {
    [&header.to_bytes(), tag, payload].concat()
}

/// What the documentation of the frames says, with all the bytes at hand.
#[derive(Default)]
struct Model {
    max_len: usize,
    /// Written and not yet looked at.
    stream: Vec<u8>,
    /// How many bytes were looked at.
    position: usize,
    /// The tags of those senders that live.
    tags: Vec<u32>,
    has_sender: bool,
    has_had_sender: bool,
    /// Messages under way.
    unfinished: Vec<Begun>,
    /// A message that is whole and waits for a buffer.
    whole: Option<Vec<u8>>,
    violated: bool,
}

struct Begun {
    tag: u32,
    bytes: Vec<u8>,
    /// Where the stream ended when the sender was found dead.
    ends_before: Option<usize>,
}

impl Model {
    fn receive(&mut self, buffer_len: usize) -> Answer {
        while self.whole.is_none() {
            if self.violated {
                return Answer::Violation;
            }
            match self.take_frame() {
                Err(()) => self.violated = true,
                Ok(true) => {}
                Ok(false) if self.has_sender || !self.has_had_sender => return Answer::Empty,
                Ok(false) => {
                    // What was not finished was never sent.
                    self.position += self.stream.len();
                    self.stream.clear();
                    self.unfinished.clear();
                    return Answer::Gone;
                }
            }
        }
        Answer::of_waiting(&mut self.whole, buffer_len)
    }

    /// Takes a frame out of the stream, if it is all there; an error if nobody may write it.
    fn take_frame(&mut self) -> Result<bool, ()> {
        let Some(header) = self.stream.first_chunk() else { return Ok(false) };
        let Header { len, continues, more } = Header::from_bytes(*header);
        let is_piece = continues || more;
        if len > ATOMIC_PAYLOAD || is_piece && len < TAG_LEN || !is_piece && len > self.max_len {
            return Err(());
        }
        let end = HEADER_LEN + len;
        if self.stream.len() < end {
            return Ok(false);
        }
        let payload = self.stream[HEADER_LEN..end].to_vec();
        if is_piece {
            let (tag, piece) = payload.split_at(TAG_LEN);
            let tag = u32::from_le_bytes(tag.try_into().expect("four bytes"));
            self.take_piece(tag, piece, continues, more)?;
        } else {
            self.whole = Some(payload);
        }
        self.stream.drain(..end);
        self.position += end;
        Ok(true)
    }

    fn take_piece(
        &mut self,
        tag: u32,
        piece: &[u8],
        continues: bool,
        more: bool,
    ) -> Result<(), ()> {
        if !continues {
            let written = self.position + self.stream.len();
            for begun in &mut self.unfinished {
                if begun.ends_before.is_none() && !self.tags.contains(&begun.tag) {
                    begun.ends_before = Some(written);
                }
            }
            let position = self.position;
            self.unfinished.retain(|begun| begun.ends_before.is_none_or(|end| position < end));
            self.unfinished.retain(|begun| begun.tag != tag);
        }
        let total: usize = self.unfinished.iter().map(|begun| begun.bytes.len()).sum();
        let index = self.unfinished.iter().position(|begun| begun.tag == tag);
        let before = index.map_or(0, |index| self.unfinished[index].bytes.len());
        if continues && index.is_none()
            || before + piece.len() > self.max_len
            || total + piece.len() > UNFINISHED_MAX * self.max_len
            || self.unfinished.len() > SENDERS_MAX
        {
            return Err(());
        }
        let index = index.unwrap_or_else(|| {
            self.unfinished.push(Begun { tag, bytes: Vec::new(), ends_before: None });
            self.unfinished.len() - 1
        });
        self.unfinished[index].bytes.extend(piece);
        if !more {
            self.whole = Some(self.unfinished.swap_remove(index).bytes);
        }
        Ok(())
    }
}

/// Bytes of a length that is likely to be an interesting one.
fn payload(script: &mut Script<'_>) -> Vec<u8> {
    let longest = ATOMIC_PAYLOAD - TAG_LEN;
    let len = match script.byte() {
        len @ 0..200 => usize::from(len % 50),
        200..230 => longest,
        len => longest - usize::from(len - 230) * 100,
    };
    vec![script.byte(); len]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fixed sequence of scripts; `cargo xtask fuzz pieces` searches on.
    #[test]
    fn the_receiver_answers_as_the_model_does() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..5_000 {
            // Small numbers say more to a script than others.
            let mask = if random() % 2 == 0 { 0x37 } else { 0xff };
            let len = random() % 400;
            let script: Vec<u8> = (0..len).map(|_| random() as u8 & mask).collect();
            pieces(&script);
        }
    }
}
