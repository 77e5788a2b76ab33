//! The receiving endpoint: takes the next message, or waits for one.

use std::io;

use ipc_core::sync::spin_loop;
use ipc_core::{Deadline, OsError, RecvError, Resource, SpinBudget, WaitStrategy};

use super::LOOKS_PER_CHECK;
use super::lookout::Lookout;
use super::looks::Looks;
use super::pace::{Pace, look_away};
use crate::batch::Batch;
use crate::bell::{Bell, Heard};
use crate::protocol::Violation;
use crate::protocol::consumer::{Consumer, Message};
use crate::protocol::memory::{Memory, SHORT_MAX};
use crate::protocol::sleep::Intent;

/// A receiver with its doorbells.
pub(crate) struct Receiving<M, B> {
    consumer: Consumer<M>,
    pub(crate) bell: B,
    strategy: WaitStrategy,
    budget: SpinBudget,
    /// Whether the sender leaves the fence between its publishing and its look to this side.
    bars: bool,
    poisoned: Option<&'static str>,
    /// The sender hung up; what it left is still received.
    sender_gone: bool,
    pace: Pace,
    lookout: Lookout,
    link: Resource,
}

impl<M: Memory, B: Bell> Receiving<M, B> {
    pub(crate) fn new(
        consumer: Consumer<M>,
        bell: B,
        strategy: WaitStrategy,
        bars: bool,
        link: Resource,
    ) -> Self {
        let budget = SpinBudget::new(strategy);
        Self {
            consumer,
            bell,
            strategy,
            budget,
            bars,
            poisoned: None,
            sender_gone: false,
            pace: Pace::new(),
            lookout: Lookout::default(),
            link,
        }
    }

    pub(crate) fn memory(&self) -> &M {
        self.consumer.memory()
    }

    /// Whether this receiver ever sleeps: it told the sender at the handshake.
    pub(crate) fn may_sleep(&self) -> bool {
        self.strategy != WaitStrategy::Spin
    }

    /// Whether it bars when it sleeps, so that the sender publishes without a fence.
    pub(crate) fn bars(&self) -> bool {
        self.bars
    }

    /// See [`ipc_core::Receiver::recv_deadline`]. Returns the length of the message.
    #[inline(always)] // the hot path
    pub(crate) fn recv(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<usize, RecvError> {
        match self.consumer.usual() {
            Some(message) if message.len() <= buffer.len().min(SHORT_MAX) => {
                let buffer = &mut buffer[..message.len()];
                self.consumer.take_usual(buffer);
                Ok(buffer.len())
            }
            _ => self.recv_another(buffer, deadline),
        }
    }

    #[inline(never)] // it would take registers from the path of usual, short messages
    fn recv_another(&mut self, buffer: &mut [u8], deadline: Deadline) -> Result<usize, RecvError> {
        if let Some(message) = self.consumer.usual().or_else(|| self.ready()) {
            let buffer = self.fitting(message, buffer)?;
            self.consumer.read(message, buffer);
            self.release(message);
            return Ok(message.len());
        }
        let message = self.wait(deadline)?;
        let buffer = self.fitting(message, buffer)?;
        self.consumer.memory().read_in_order(message.position, buffer);
        self.release(message);
        Ok(message.len())
    }

    #[inline]
    fn fitting<'a>(
        &self,
        message: Message,
        buffer: &'a mut [u8],
    ) -> Result<&'a mut [u8], RecvError> {
        let len = buffer.len();
        buffer.get_mut(..message.len()).ok_or_else(|| self.too_small(message.len(), len))
    }

    /// Waits for a message until `deadline`, then receives what is there, as far as `batch` has room.
    pub(crate) fn recv_batch(
        &mut self,
        batch: &mut Batch,
        deadline: Deadline,
    ) -> Result<usize, RecvError> {
        batch.clear();
        if batch.is_full() {
            return Ok(0);
        }
        let mut next = Some(self.next(deadline)?);
        while let Some(message) = next {
            let Some(buffer) = batch.push(message.len()) else {
                if batch.is_empty() {
                    return Err(self.too_small(message.len(), batch.max_bytes()));
                }
                break;
            };
            self.consumer.read(message, buffer);
            self.release(message);
            if !self.take_usual_ones(batch) {
                break;
            }
            // What else may be there (a violation, the end) the next call tells.
            next = self.peek().ok().flatten();
        }
        Ok(batch.len())
    }

    /// Receives short messages that [`Consumer::usual`] returns, as far as `batch` has room. Returns whether it may
    /// have more.
    #[inline]
    fn take_usual_ones(&mut self, batch: &mut Batch) -> bool {
        while !batch.is_full() {
            let Some(message) = self.consumer.usual() else { return true };
            if message.len() > SHORT_MAX {
                return true;
            }
            let Some(buffer) = batch.push(message.len()) else { return false };
            self.consumer.take_usual(buffer);
        }
        false
    }

    /// Receives a message of exactly the buffer's length.
    #[inline(always)] // the hot path; where the caller's length is a constant, the copy has no loop
    pub(crate) fn recv_exactly(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<(), RecvError> {
        if self.take_usual_exactly(buffer) {
            return Ok(());
        }
        self.recv_another_exactly(buffer, deadline)
    }

    /// Receives a short message that [`Consumer::usual`] returns, if it has the buffer's length.
    #[inline(always)] // the hot path
    fn take_usual_exactly(&mut self, buffer: &mut [u8]) -> bool {
        match self.consumer.usual() {
            Some(message) if message.len() == buffer.len() && buffer.len() <= SHORT_MAX => {
                self.consumer.take_usual(buffer);
                true
            }
            _ => false,
        }
    }

    #[inline(never)] // as `recv_another`
    fn recv_another_exactly(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<(), RecvError> {
        let message = self.next(deadline)?;
        self.take_exactly(message, buffer)
    }

    /// As [`recv_batch`](Self::recv_batch), where each message has exactly the length of its buffer.
    #[inline]
    pub(crate) fn recv_exactly_batch<'a>(
        &mut self,
        buffers: impl IntoIterator<Item = &'a mut [u8]>,
        deadline: Deadline,
    ) -> Result<usize, RecvError> {
        let mut received = 0;
        for buffer in buffers {
            if self.take_usual_exactly(buffer) {
                received += 1;
                continue;
            }
            let message = if received == 0 { Some(self.next(deadline)?) } else { self.another() };
            let Some(message) = message else { break };
            match self.take_exactly(message, buffer) {
                Ok(()) => received += 1,
                Err(error) if received == 0 => return Err(error),
                Err(_) => break, // it poisons the link: the next call tells
            }
        }
        Ok(received)
    }

    #[inline]
    fn take_exactly(&mut self, message: Message, buffer: &mut [u8]) -> Result<(), RecvError> {
        if message.len() != buffer.len() {
            return Err(self.poison(Violation("a message of another length than the type has")));
        }
        self.consumer.read(message, buffer);
        self.release(message);
        Ok(())
    }

    /// The message after another one of the same batch, if it is there. What else may be there (a
    /// violation, the end) the next call tells.
    #[inline]
    fn another(&mut self) -> Option<Message> {
        match self.consumer.usual() {
            None => self.peek().ok().flatten(),
            message => message,
        }
    }

    /// The next message, which stays in the ring until it is [`release`](Self::release)d.
    #[inline(always)] // the hot path
    pub(crate) fn next(&mut self, deadline: Deadline) -> Result<Message, RecvError> {
        match self.consumer.usual() {
            Some(message) => Ok(message),
            None => self.another_or_wait(deadline),
        }
    }

    #[inline(never)]
    fn another_or_wait(&mut self, deadline: Deadline) -> Result<Message, RecvError> {
        match self.ready() {
            Some(message) => Ok(message),
            None => self.wait(deadline),
        }
    }

    /// The next message, if it is there at the first look.
    #[inline]
    fn ready(&mut self) -> Option<Message> {
        if self.poisoned.is_some() {
            return None;
        }
        self.consumer.peek_fast()
    }

    #[inline]
    fn wait(&mut self, deadline: Deadline) -> Result<Message, RecvError> {
        if deadline == Deadline::Now {
            return self.poll();
        }
        match self.look_briefly() {
            Some(message) => Ok(message),
            None => self.wait_for_message(deadline),
        }
    }

    /// Looks once, and now and then at the link itself.
    #[inline(never)]
    fn poll(&mut self) -> Result<Message, RecvError> {
        if let Some(what) = self.poisoned {
            return Err(RecvError::violation(what, &self.link));
        }
        if let Some(message) = self.peek()? {
            return Ok(message);
        }
        self.consumer.caught_up();
        if self.consumer.settle() {
            self.bell.ring();
        }
        if self.sender_gone || (self.lookout.is_due() && self.bell.is_hung_up()) {
            return self.last_messages();
        }
        Err(RecvError::Empty)
    }

    /// The first looks of a wait, which find the message while both sides are busy: nothing else is
    /// done between them.
    #[inline(never)]
    fn look_briefly(&mut self) -> Option<Message> {
        if self.poisoned.is_some() || self.budget.is_spent() {
            return None;
        }
        if !self.consumer.is_empty() {
            return self.consumer.peek_fast();
        }
        self.consumer.caught_up();
        if self.consumer.settle() {
            self.bell.ring();
        }
        if let Some(pause) = self.pace.pause(self.consumer.head(), self.consumer.usual_bytes()) {
            look_away(pause);
        }
        for _ in 0..LOOKS_PER_CHECK {
            // Whatever is there ends the looking: what is not a message is looked at more closely.
            if !self.consumer.is_empty() {
                return self.consumer.peek_fast();
            }
            spin_loop();
        }
        None
    }

    /// Gives the room of a message back, and wakes the sender if it waits for room.
    #[inline]
    pub(crate) fn release(&mut self, message: Message) {
        if self.consumer.release(message) {
            self.bell.ring();
        }
    }

    #[cold]
    fn wait_for_message(&mut self, deadline: Deadline) -> Result<Message, RecvError> {
        if let Some(what) = self.poisoned {
            return Err(RecvError::violation(what, &self.link));
        }
        if self.consumer.settle() {
            self.bell.ring();
        }
        loop {
            // Look for a while.
            let mut looks = Looks::new(self.budget.begin(), self.consumer.usual_bytes());
            loop {
                if let Some(message) = self.peek()? {
                    if !looks.is_first() {
                        self.budget.found();
                    }
                    return Ok(message);
                }
                if looks.is_check_due() {
                    if self.sender_gone || self.bell.is_hung_up() {
                        return self.last_messages();
                    }
                    if deadline.has_passed() {
                        return Err(RecvError::no_message(deadline));
                    }
                }
                if !looks.go_on() {
                    break;
                }
                spin_loop();
            }
            // Announce, look once more, sleep.
            self.budget.slept();
            self.consumer.caught_up();
            self.announce(Intent::Sleep)
                .map_err(|source| OsError::new("membarrier", &self.link, source))?;
            let looked = self.consumer.peek();
            let heard = match looked {
                Ok(None) => self.bell.wait(deadline),
                _ => Ok(Heard::Ring),
            };
            self.consumer.awake();
            if let Some(message) = looked.map_err(|violation| self.poison(violation))? {
                return Ok(message);
            }
            match heard.map_err(|source| OsError::new("read", &self.link, source))? {
                // A peer that rings without end does not outlast the deadline.
                Heard::Ring if deadline.has_passed() => {
                    return self.peek()?.ok_or_else(|| RecvError::no_message(deadline));
                }
                Heard::Ring => {}
                Heard::Silence => return Err(RecvError::no_message(deadline)),
                Heard::HangUp => return self.last_messages(),
            }
        }
    }

    /// The sender is gone; what it committed before is there to be seen.
    fn last_messages(&mut self) -> Result<Message, RecvError> {
        self.sender_gone = true;
        self.peek()?.ok_or_else(|| RecvError::peer_gone(&self.link))
    }

    fn peek(&mut self) -> Result<Option<Message>, RecvError> {
        self.consumer.peek().map_err(|violation| self.poison(violation))
    }

    /// Tells the sender that this side will wait. What is looked for after this call is either there, or
    /// will be rung for.
    fn announce(&mut self, intent: Intent) -> io::Result<()> {
        self.consumer.announce(intent);
        #[cfg(not(ipc_loom))] // loom's senders have their fences
        if self.bars {
            // Without the barrier a wake-up may be lost, so that a wait must not begin.
            crate::membarrier::bar().inspect_err(|_| self.consumer.awake())?;
        }
        Ok(())
    }

    /// Begins to wait in a set: true if there is a message already.
    pub(crate) fn arm(&mut self) -> io::Result<bool> {
        if self.poisoned.is_some() {
            return Ok(true);
        }
        self.announce(Intent::Arm)?;
        // A violation is ready too: the receive that follows reports it.
        let ready = !matches!(self.peek(), Ok(None));
        if ready {
            self.consumer.awake();
        }
        Ok(ready)
    }

    /// Ends waiting in a set.
    pub(crate) fn disarm(&mut self) {
        self.consumer.awake();
        self.bell.quiet();
    }

    #[cold]
    fn too_small(&self, needed: usize, len: usize) -> RecvError {
        RecvError::buffer_too_small(needed, len, &self.link)
    }

    #[cold]
    fn poison(&mut self, Violation(what): Violation) -> RecvError {
        self.poisoned = Some(what);
        self.consumer.fail();
        RecvError::violation(what, &self.link)
    }
}
