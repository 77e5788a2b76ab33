//! The receiver's half of the protocol: look at the next record, read it, release it. Leaves out
//! waiting.

use ipc_core::sync::Ordering;

use super::Violation;
use super::memory::{LINE_BYTES, Memory};
use super::order::{announce, publish_then_look};
use super::producer::REWIND_BYTES;
use super::record::{self, EMPTY, HEADER_BYTES, Header, MessageHeader, record_bytes};
use super::sleep::{Episodes, Intent, wants_bell};

/// How far ahead of a record that it copies the receiver asks for the lines that it will read, in bytes. Without
/// this it has no more of them under way than belong to the few records that the processor can hold at a
/// time; half as many do not suffice.
const FETCH_AHEAD_BYTES: u64 = 40 * LINE_BYTES;
/// How many bytes of records must have come without a wait before the receiver asks. One that keeps up with the
/// sender would ask for lines that the sender is about to write, and has got hold of.
const BEHIND_BYTES: u64 = 64 << 10;
/// The longest records, in bytes, that ask: the copies of longer ones see to it.
const LONGEST_FETCHING_BYTES: u64 = record_bytes(8 << 10);

/// The receiver's own state. Nothing that it trusts lies in memory that the sender can write.
#[derive(Debug)]
pub(crate) struct Consumer<M> {
    memory: M,
    /// Bytes of the ring less one.
    mask: u64,
    /// Position of the next record to read. See [`super::producer::Producer`] for positions.
    head: u64,
    /// The head that the sender was told.
    published: u64,
    /// Up to which position messages may be received without a closer look: the end of the ring, or
    /// where the sender must be told of room. Never before `head`, and equal to it once the link has failed.
    plain_until: u64,
    /// The header of the last message. None that is urgent.
    usual: MessageHeader,
    /// The bytes of a record with that header.
    usual_bytes: u64,
    /// From which position on the receiver asks for lines ahead, unless it has to wait before.
    fetching_from: u64,
    /// The sender's sleep word for which the bell was last rung.
    rung_for: u64,
    episodes: Episodes,
}

/// A committed message, still in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Position of its bytes.
    pub(crate) position: u64,
    header: MessageHeader,
}

impl Message {
    /// Its length in bytes.
    #[inline]
    pub(crate) fn len(self) -> usize {
        self.header.len()
    }
}

impl<M: Memory> Consumer<M> {
    /// The receiver of a ring whose positions begin at `start`.
    pub(crate) fn new(memory: M, start: u64) -> Self {
        let mask = memory.capacity() - 1;
        Self {
            memory,
            mask,
            head: start,
            published: start,
            plain_until: start,
            usual: MessageHeader::new(0, false),
            usual_bytes: record_bytes(0),
            fetching_from: start.wrapping_add(BEHIND_BYTES),
            rung_for: 0,
            episodes: Episodes::default(),
        }
    }

    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    /// Position of the next record.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// The bytes of the last record.
    pub(crate) fn usual_bytes(&self) -> u64 {
        self.usual_bytes
    }

    /// The next message in the case that nearly all messages of a stream are: it is there, has the header
    /// that the one before it had, and the sender need not be told of its room yet. `None` where it takes a
    /// closer look.
    ///
    /// That the header is compared as a whole, by a branch that the processor predicts, lets it go on to
    /// the next record while this one's header is still on its way from the sender's core.
    #[inline(always)] // the hot path of every receive
    pub(crate) fn usual(&self) -> Option<Message> {
        let room = self.plain_until.wrapping_sub(self.head);
        if self.header(self.head) != self.usual.word() || self.usual_bytes > room {
            return None;
        }
        Some(Message { position: self.head.wrapping_add(HEADER_BYTES), header: self.usual })
    }

    /// Copies out and releases the message that [`usual`](Self::usual) returned: a short one, of the buffer's
    /// length.
    #[inline(always)] // the hot path of every receive
    pub(crate) fn take_usual(&mut self, buffer: &mut [u8]) {
        self.fetch_ahead(self.usual_bytes);
        self.memory.read_short(self.head, buffer);
        self.release_usual();
    }

    /// Copies out a message that was there at the first look, so that there may be more.
    #[inline]
    pub(crate) fn read(&self, message: Message, buffer: &mut [u8]) {
        self.fetch_ahead(record_bytes(message.len()));
        self.memory.read(message.position, buffer);
    }

    /// Asks for as many of the lines to come as a record has, if it is likely that they are written.
    #[inline(always)] // the hot path of every receive
    fn fetch_ahead(&self, record_bytes: u64) {
        let is_behind = self.head.wrapping_sub(self.fetching_from) < u64::MAX / 2;
        if !is_behind || record_bytes > LONGEST_FETCHING_BYTES {
            return;
        }
        for line in 0..(record_bytes / LINE_BYTES).max(1) {
            let soon = self.head.wrapping_add(FETCH_AHEAD_BYTES + line * LINE_BYTES);
            self.memory.fetch_for_reading(soon);
        }
    }

    /// Releases the message that [`usual`](Self::usual) returned.
    #[inline(always)] // the hot path of every receive
    pub(crate) fn release_usual(&mut self) {
        self.head = self.head.wrapping_add(self.usual_bytes);
    }

    /// From now on every message takes a closer look.
    pub(crate) fn fail(&mut self) {
        self.plain_until = self.head;
    }

    /// The next message, if one is committed. It stays until [`release`](Self::release).
    pub(crate) fn peek(&mut self) -> Result<Option<Message>, Violation> {
        let offset = self.head & self.mask;
        match record::decode(self.header(self.head)) {
            Header::Empty => Ok(None),
            Header::Message(header) => self.message_at(self.head, header).map(Some),
            // Followed, it would lead here again, for ever.
            Header::Wrap if offset == 0 => Err(Violation("a wrap at the beginning of the ring")),
            Header::Wrap => {
                self.head = self.head.wrapping_add(self.mask + 1 - offset);
                self.plain_until = self.head;
                match record::decode(self.header(self.head)) {
                    Header::Message(header) => self.message_at(self.head, header).map(Some),
                    _ => Err(Violation("a wrap that leads to no message")),
                }
            }
            Header::Invalid => Err(Violation("a header that no sender writes")),
        }
    }

    /// As [`peek`](Self::peek), for the most frequent case: `None` where it takes a closer look.
    #[inline]
    pub(crate) fn peek_fast(&self) -> Option<Message> {
        let header = MessageHeader::from_word(self.header(self.head))?;
        self.message_at(self.head, header).ok()
    }

    /// The receiver has nothing to do but wait: it is not behind.
    pub(crate) fn caught_up(&mut self) {
        self.fetching_from = self.head.wrapping_add(BEHIND_BYTES);
    }

    /// Whether the sender has written nothing at the next position.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.header(self.head) == EMPTY
    }

    #[inline(always)]
    fn header(&self, position: u64) -> u64 {
        // pairs with the store in `Producer::store_and_look`, which everything of the record precedes
        self.memory.word(position).load(Ordering::Acquire)
    }

    #[inline]
    fn message_at(&self, position: u64, header: MessageHeader) -> Result<Message, Violation> {
        if record_bytes(header.len()) <= self.mask + 1 - (position & self.mask) {
            Ok(Message { position: position.wrapping_add(HEADER_BYTES), header })
        } else {
            Err(Violation("a message that runs over the end of the ring"))
        }
    }

    /// Gives the room of the message that [`peek`](Self::peek) returned back to the sender, now or
    /// with later ones. Tells whether the bell must be rung.
    #[inline]
    pub(crate) fn release(&mut self, message: Message) -> bool {
        let is_usual = message.header == self.usual;
        if is_usual && self.usual_bytes <= self.plain_until.wrapping_sub(self.head) {
            self.release_usual();
            return false;
        }
        self.release_another(message)
    }

    #[inline(never)]
    fn release_another(&mut self, message: Message) -> bool {
        let bytes = record_bytes(message.len());
        self.head = self.head.wrapping_add(bytes);
        // A sender waits only while more than half of the ring is taken (see `longest_message`), of
        // which at most three eighths are what we owe: so there are always messages left to read, whose
        // release will tell it. Until then its line stays with the core that writes it. An eighth is
        // enough to tell where more messages are there; where none is, `settle` does it while it waits.
        let owed = self.head.wrapping_sub(self.published);
        let is_urgent = message.header.is_urgent();
        let must_tell =
            is_urgent || owed > self.mask / 8 * 3 || (owed > self.mask / 8 && !self.is_empty());
        let wants_bell = must_tell && self.publish();
        if !is_urgent {
            (self.usual, self.usual_bytes) = (message.header, bytes);
        }
        let to_end = self.mask + 1 - (self.head & self.mask);
        let to_telling = (self.mask / 8).saturating_sub(self.head.wrapping_sub(self.published));
        self.plain_until = self.head.wrapping_add(to_end.min(to_telling));
        wants_bell
    }

    /// Tells the sender of what it is owed, if that is worth a word. To be called when the ring is
    /// found empty, so that the sender of long messages finds that out too. Tells whether the bell
    /// must be rung.
    pub(crate) fn settle(&mut self) -> bool {
        self.head.wrapping_sub(self.published) >= REWIND_BYTES && self.publish()
    }

    #[cold]
    fn publish(&mut self) -> bool {
        self.published = self.head;
        let sleep = publish_then_look(self.memory.head(), self.head, self.memory.sender_sleep());
        if !wants_bell(sleep) || sleep == self.rung_for {
            return false;
        }
        self.rung_for = sleep;
        true
    }

    /// Tells the sender that the receiver will wait: bar, if that was agreed (see `order.rs`), look for a
    /// message once more, then sleep.
    pub(crate) fn announce(&mut self, intent: Intent) {
        announce(self.memory.receiver_sleep(), self.episodes.begin(intent));
    }

    /// Tells the sender that the receiver is awake.
    pub(crate) fn awake(&mut self) {
        // Relaxed: a late sight of it costs the peer one needless ring of the bell.
        self.memory.receiver_sleep().store(self.episodes.end(), Ordering::Relaxed);
    }
}
