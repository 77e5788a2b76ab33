//! The sender's half of the protocol: claim room, write, commit (or stage, and publish together). Leaves out waiting.

use ipc_core::sync::{AtomicU64, Ordering};

use super::memory::{LINE_BYTES, Memory, SHORT_MAX};
use super::order::{announce, look_at_one_that_bars, publish_then_look};
use super::record::{self, HEADER_BYTES, MessageHeader, record_bytes};
use super::sleep::{Episodes, Intent, wants_bell};
use super::{Violation, longest_message};

/// From this size on, in bytes, a record is put at the beginning of an empty ring; see
/// benches/record. To know that the ring is empty costs the transfer of a cache line. loom's rings are
/// small, and so are its long messages.
pub(crate) const REWIND_BYTES: u64 = if cfg!(ipc_loom) { 24 } else { 128 << 10 };

/// The most bytes of records between two closer looks of the sender, at which it also sees to what need
/// not be seen to with every message.
const PLAIN_BYTES: u64 = 32 << 10;

/// How far ahead of a short record the sender asks for the lines that it will write to, in bytes. Its
/// stores are many and small: the processor can hold those of only a few lines back until these have come
/// from the other core. Longer messages are stored by wide stores, few for a line.
const FETCH_AHEAD_BYTES: u64 = 12 * LINE_BYTES;

/// The sender's own state. Nothing that it trusts lies in memory that the receiver can write.
#[derive(Debug)]
pub(crate) struct Producer<M> {
    memory: M,
    /// Bytes of the ring less one, for reducing positions to offsets.
    mask: u64,
    /// Position of the next record. Positions count bytes since the link began, wrap at 2⁶⁴, and are
    /// multiples of eight.
    tail: u64,
    /// The receiver's head when last seen: `tail - head` is at most the capacity.
    head: u64,
    /// Position up to which records may reach without a closer look: the end of the ring, or of what
    /// the receiver has freed, less the word behind the record; or where a closer look is due anyway
    /// ([`PLAIN_BYTES`]). Never before `tail`.
    plain_until: u64,
    /// The first word of what is written but not published: its position and value.
    staged: Option<(u64, u64)>,
    /// What the receiver said at the handshake.
    sleeper: Sleeper,
    /// The receiver's sleep word for which the bell was last rung.
    rung_for: u64,
    episodes: Episodes,
}

/// How the receiver goes to sleep, and so what a sender does who might have to wake it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sleeper {
    /// It never does.
    Never,
    /// With a fence, which takes another one between the sender's publishing and its look.
    Fences,
    /// With a barrier in this process too, which spares the sender its own.
    Bars,
}

/// What a claim is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A message to be copied in whole: a long one goes where the last one lay.
    Copy,
    /// A loan, of which the caller may touch little: not worth asking whether the ring is empty.
    Loan,
}

/// Whether the receiver must be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ring {
    /// It is awake.
    NotNeeded,
    /// It sleeps.
    Now,
    /// It slept when the bell was rung for it, and has not been seen awake since.
    AlreadyRung,
}

/// Room for one record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    /// Position of the record's header.
    position: u64,
}

impl Claim {
    /// Position of the message.
    #[inline(always)] // the hot path of every send
    pub(crate) fn message_position(&self) -> u64 {
        self.position.wrapping_add(HEADER_BYTES)
    }
}

impl<M: Memory> Producer<M> {
    /// The sender of a ring whose positions begin at `start`, a multiple of eight; the ring's words
    /// there are zero.
    pub(crate) fn new(memory: M, start: u64, sleeper: Sleeper) -> Self {
        let mask = memory.capacity() - 1;
        Self {
            memory,
            mask,
            tail: start,
            head: start,
            plain_until: start,
            staged: None,
            sleeper,
            rung_for: 0,
            episodes: Episodes::default(),
        }
    }

    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    pub(crate) fn sleeper(&self) -> Sleeper {
        self.sleeper
    }

    /// Position after everything that was staged or published.
    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    /// Claims room for a message of `len` bytes in the case that nearly all messages of a stream are: there
    /// is room, no wrap comes before it, and no closer look is due. `None` where it takes one; the message
    /// may even be too long. A claim costs nothing to forget.
    #[inline(always)] // the hot path of every send
    pub(crate) fn claim_plain(&self, len: usize) -> Option<Claim> {
        let room = self.plain_until.wrapping_sub(self.tail);
        (record_bytes(len) <= room).then_some(Claim { position: self.tail })
    }

    /// Sends a short message in the case that nearly all messages of a stream are; see
    /// [`claim_plain`](Self::claim_plain). `None` where it takes a closer look, or the message is long. Returns the
    /// receiver's sleep word, or 0 if it never sleeps; for one that wants the bell, see
    /// [`ring_for`](Self::ring_for).
    #[inline(always)] // the hot path of every send
    pub(crate) fn send_plain(&mut self, message: &[u8]) -> Option<u64> {
        if self.staged.is_some() {
            return None;
        }
        let (position, header) = self.write_plain(message)?;
        Some(self.store_and_look(self.memory.word(position), header))
    }

    /// Stages a short message behind others, in the same case. Returns whether it did.
    #[inline(always)] // the hot path of batches
    pub(crate) fn stage_plain(&mut self, message: &[u8]) -> bool {
        if self.staged.is_none() {
            return false;
        }
        let Some((position, header)) = self.write_plain(message) else { return false };
        // Relaxed: the store in `store_and_look` orders everything staged before it.
        self.memory.word(position).store(header, Ordering::Relaxed);
        true
    }

    /// Writes the record of a short message, in the same case, but for the header. Returns that, and its
    /// position.
    #[inline(always)] // the hot path of every send
    fn write_plain(&mut self, message: &[u8]) -> Option<(u64, u64)> {
        let len = message.len();
        if len > SHORT_MAX {
            return None;
        }
        let begin = self.claim_plain(len)?.position;
        self.fetch_ahead_of(begin, len);
        self.clear_behind(begin, len);
        self.memory.write_short(begin, message);
        self.tail = begin.wrapping_add(record_bytes(len));
        Some((begin, MessageHeader::new(len, false).word()))
    }

    /// After the message of `len` bytes that `claim` is for, every one takes a closer look.
    pub(crate) fn end_with(&mut self, claim: Claim, len: usize) {
        if claim.position == self.tail {
            self.plain_until = self.tail.wrapping_add(record_bytes(len));
        }
    }

    /// From now on every message takes a closer look. No claim may be open.
    pub(crate) fn fail(&mut self) {
        self.plain_until = self.tail;
    }

    /// Claims room for a message of `len` bytes, at most [`longest_message`]. `None` if there is none
    /// now. A claim costs nothing to forget.
    pub(crate) fn claim(
        &mut self,
        len: usize,
        purpose: Purpose,
    ) -> Result<Option<Claim>, Violation> {
        debug_assert!(len <= longest_message(self.mask + 1));
        let bytes = record_bytes(len);
        let may_rewind = purpose == Purpose::Copy && bytes >= REWIND_BYTES;
        let offset = self.tail & self.mask;
        let to_end = self.mask + 1 - offset;
        // A record lies in one piece: if the rest of the ring is too short, it is skipped. It is also
        // skipped for a long message in an empty ring, which then lies where the last one lay, in both
        // processors' caches, instead of where nothing has been for a whole turn of the ring.
        let rewinds = may_rewind && bytes + HEADER_BYTES <= offset && {
            self.refresh_head()?;
            self.head == self.tail
        };
        let skipped = if bytes > to_end || rewinds { to_end } else { 0 };
        // The word behind the record is cleared with it, so it must be free too.
        let needed = skipped + bytes + HEADER_BYTES;
        if needed > self.free() {
            self.refresh_head()?;
            if needed > self.free() {
                return Ok(None);
            }
        }
        self.plain_until = self.tail;
        if skipped == 0 {
            let longest = (self.mask + 1) / 4 - HEADER_BYTES; // nothing longer is ever plain
            let room = to_end.min(self.free() - HEADER_BYTES);
            let plain = room.min(longest).min(PLAIN_BYTES).max(bytes);
            self.plain_until = self.tail.wrapping_add(plain);
        }
        Ok(Some(Claim { position: self.tail.wrapping_add(skipped) }))
    }

    #[inline]
    fn free(&self) -> u64 {
        self.mask + 1 - self.tail.wrapping_sub(self.head)
    }

    fn refresh_head(&mut self) -> Result<(), Violation> {
        // pairs with the SeqCst store in `Consumer::publish`: the receiver's reads of the records
        // before its head come before our writes over them
        let head = self.memory.head().load(Ordering::Acquire);
        // Loaded once. It may only move on from where it was, to at most our tail.
        let in_use = self.tail.wrapping_sub(head);
        if in_use > self.tail.wrapping_sub(self.head) || head % 8 != 0 {
            return Err(Violation("the receiver's position is not one that it can have reached"));
        }
        self.head = head;
        Ok(())
    }

    /// Whether the receiver has taken everything before `position`.
    pub(crate) fn is_taken(&mut self, position: u64) -> Result<bool, Violation> {
        self.refresh_head()?;
        let outstanding = self.tail.wrapping_sub(position);
        Ok(self.tail.wrapping_sub(self.head) <= outstanding)
    }

    /// Finishes the record of `claim` with a message of `len` bytes, which were written at its
    /// [`message_position`](Claim::message_position), and makes it visible to the receiver, with whatever
    /// was staged before.
    #[inline]
    pub(crate) fn commit(&mut self, claim: Claim, len: usize, urgent: bool) -> Ring {
        if self.staged.is_some() {
            self.stage(claim, len, urgent);
            return self.publish();
        }
        let (position, value) = self.finish(claim, len, urgent);
        self.publish_word(position, value)
    }

    /// As [`commit`](Self::commit), but the receiver sees it only after [`publish`](Self::publish).
    #[inline]
    pub(crate) fn stage(&mut self, claim: Claim, len: usize, urgent: bool) {
        let (position, value) = self.finish(claim, len, urgent);
        if self.staged.is_none() {
            self.staged = Some((position, value));
        } else {
            // Relaxed: the store in `store_and_look` orders everything staged before it.
            self.memory.word(position).store(value, Ordering::Relaxed);
        }
    }

    /// Makes everything staged visible to the receiver, in one store.
    #[inline]
    pub(crate) fn publish(&mut self) -> Ring {
        match self.staged.take() {
            Some((position, value)) => self.publish_word(position, value),
            None => Ring::NotNeeded,
        }
    }

    /// Completes a record but for one word; returns the word's position and value.
    #[inline]
    fn finish(&mut self, claim: Claim, len: usize, urgent: bool) -> (u64, u64) {
        if len <= SHORT_MAX {
            self.fetch_ahead_of(claim.position, len);
        }
        let next = self.clear_behind(claim.position, len);
        let header = MessageHeader::new(len, urgent).word();
        let begin = std::mem::replace(&mut self.tail, next);
        if claim.position == begin {
            return (begin, header);
        }
        self.plain_until = next;
        // Relaxed: the store in `store_and_look` comes after.
        self.memory.word(claim.position).store(header, Ordering::Relaxed);
        (begin, record::WRAP)
    }

    /// Asks for the lines that the records after this short one will be written to.
    #[inline(always)] // the hot path of every send
    fn fetch_ahead_of(&self, position: u64, len: usize) {
        let bytes = record_bytes(len);
        let soon = position.wrapping_add(bytes + FETCH_AHEAD_BYTES);
        self.memory.fetch_for_writing(soon);
        if bytes > LINE_BYTES + HEADER_BYTES {
            self.memory.fetch_for_writing(soon.wrapping_add(LINE_BYTES));
        }
    }

    /// Clears the word behind the record of a message of `len` bytes at `position`. Returns the word's
    /// position.
    #[inline(always)] // the hot path of every send
    fn clear_behind(&self, position: u64, len: usize) -> u64 {
        let next = position.wrapping_add(record_bytes(len));
        // What lies there is an old message, which must not be taken for a header. Relaxed: the store in
        // `store_and_look` comes after.
        self.memory.word(next).store(record::EMPTY, Ordering::Relaxed);
        next
    }

    #[inline]
    fn publish_word(&mut self, position: u64, value: u64) -> Ring {
        let sleep = self.store_and_look(self.memory.word(position), value);
        if wants_bell(sleep) { self.ring_for(sleep) } else { Ring::NotNeeded }
    }

    /// Publishes by a word of the ring, and returns the receiver's sleep word, or 0 if it never sleeps.
    #[inline(always)] // the hot path of every send
    fn store_and_look(&self, word: &AtomicU64, value: u64) -> u64 {
        if self.sleeper == Sleeper::Fences {
            return publish_then_look(word, value, self.memory.receiver_sleep());
        }
        // pairs with the Acquire load in `Consumer::header`: the record's other words come first
        word.store(value, Ordering::Release);
        if self.sleeper == Sleeper::Never {
            0
        } else {
            look_at_one_that_bars(self.memory.receiver_sleep())
        }
    }

    /// Whether to ring for a receiver whose sleep word says that it wants the bell.
    pub(crate) fn ring_for(&mut self, sleep: u64) -> Ring {
        if sleep == self.rung_for {
            return Ring::AlreadyRung;
        }
        self.rung_for = sleep;
        Ring::Now
    }

    /// Tells the receiver that the sender will wait for room: look for it once more, then sleep.
    pub(crate) fn announce(&mut self, intent: Intent) {
        announce(self.memory.sender_sleep(), self.episodes.begin(intent));
    }

    /// Tells the receiver that the sender is awake.
    pub(crate) fn awake(&mut self) {
        // Relaxed: a late sight of it costs the peer one needless ring of the bell.
        self.memory.sender_sleep().store(self.episodes.end(), Ordering::Relaxed);
    }
}
