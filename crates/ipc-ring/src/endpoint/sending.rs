//! The sending endpoint: claims room, or waits for it.

use ipc_core::sync::spin_loop;
use ipc_core::{Deadline, OsError, Resource, SendError, SpinBudget, WaitStrategy};

use super::lookout::Lookout;
use super::looks::Looks;
use crate::bell::{Bell, Heard};
use crate::protocol::memory::Memory;
use crate::protocol::producer::{Claim, Producer, Purpose, Ring, Sleeper};
use crate::protocol::sleep::{Intent, wants_bell};
use crate::protocol::{Violation, longest_message};

/// Bytes of records between two looks at whether the receiver lives, where it shows no sign of sleeping.
const LOOK_BYTES: u64 = 64 << 10;

/// A sender with its doorbells.
pub(crate) struct Sending<M, B> {
    producer: Producer<M>,
    pub(crate) bell: B,
    budget: SpinBudget,
    longest: usize,
    lookout: Lookout,
    /// Position of the ring at the last look at whether the receiver lives.
    looked_at: u64,
    state: State,
    link: Resource,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    ReceiverGone,
    Poisoned(&'static str),
}

impl<M: Memory, B: Bell> Sending<M, B> {
    pub(crate) fn new(
        producer: Producer<M>,
        bell: B,
        strategy: WaitStrategy,
        link: Resource,
    ) -> Self {
        let longest = longest_message(producer.memory().capacity());
        let state = State::Open;
        let position = producer.tail();
        let budget = SpinBudget::new(strategy);
        Self {
            producer,
            bell,
            budget,
            longest,
            lookout: Lookout::default(),
            looked_at: position,
            state,
            link,
        }
    }

    pub(crate) fn memory(&self) -> &M {
        self.producer.memory()
    }

    /// How the receiver said that it goes to sleep.
    pub(crate) fn sleeper(&self) -> Sleeper {
        self.producer.sleeper()
    }

    /// The longest message, in bytes.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// See [`ipc_core::Sender::send_deadline`].
    ///
    /// What is not done here is done by calls that end it, so that no register need be saved for them.
    #[inline(always)] // the hot path
    pub(crate) fn send(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        match self.producer.send_plain(message) {
            Some(sleep) if wants_bell(sleep) => self.wake(sleep),
            Some(_) => Ok(()),
            None => self.send_another(message, deadline),
        }
    }

    #[inline(never)]
    fn send_another(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let claim = self.write(message, deadline)?;
        self.commit(claim, message.len(), false);
        Ok(())
    }

    /// Wakes the receiver, whose sleep word this is, after a message was sent.
    #[inline(never)]
    fn wake(&mut self, sleep: u64) -> Result<(), SendError> {
        let ring = self.producer.ring_for(sleep);
        self.tell(ring);
        Ok(())
    }

    /// Sends as many of `messages` as there is room for, at least one, and makes them visible
    /// together. Waits for room for the first only. Returns how many.
    #[inline] // where the messages' length is a constant, the copies have no loops
    pub(crate) fn send_batch<'a>(
        &mut self,
        messages: impl IntoIterator<Item = &'a [u8]>,
        deadline: Deadline,
    ) -> Result<usize, SendError> {
        let mut sent = 0;
        for message in messages {
            if self.producer.stage_plain(message) {
                sent += 1;
                continue;
            }
            let patience = if sent == 0 { deadline } else { Deadline::Now };
            match self.write(message, patience) {
                Ok(claim) => {
                    self.producer.stage(claim, message.len(), false);
                    sent += 1;
                }
                Err(_) if sent > 0 => break, // the next call meets it again
                Err(error) => return Err(error),
            }
        }
        let ring = self.producer.publish();
        self.tell(ring);
        Ok(sent)
    }

    /// See [`ipc_core::Sender::send_synchronous`].
    pub(crate) fn send_synchronous(
        &mut self,
        message: &[u8],
        deadline: Deadline,
    ) -> Result<(), SendError> {
        let claim = self.write(message, deadline)?;
        self.commit(claim, message.len(), true);
        let position = self.producer.tail();
        match self.wait_until(message.len(), deadline, |producer| producer.is_taken(position)) {
            Err(SendError::Full | SendError::TimedOut) => Err(SendError::NotTaken),
            // It took the message before it went. The next send tells that it is gone.
            Err(SendError::PeerGone { .. }) if self.producer.is_taken(position) == Ok(true) => {
                Ok(())
            }
            other => other,
        }
    }

    /// Claims room for a message of `len` bytes, waiting until `deadline`.
    #[inline(always)] // the hot path
    pub(crate) fn claim(
        &mut self,
        len: usize,
        purpose: Purpose,
        deadline: Deadline,
    ) -> Result<Claim, SendError> {
        match self.producer.claim_plain(len) {
            Some(claim) => Ok(claim),
            None => self.claim_another(len, purpose, deadline),
        }
    }

    /// Claims with a closer look, also at whether the receiver lives.
    #[inline(never)] // it would take registers from the path of plain messages
    fn claim_another(
        &mut self,
        len: usize,
        purpose: Purpose,
        deadline: Deadline,
    ) -> Result<Claim, SendError> {
        if self.state != State::Open || len > self.longest {
            return Err(self.refusal(len));
        }
        if let Ok(Some(claim)) = self.producer.claim(len, purpose) {
            let position = self.producer.tail();
            if position.wrapping_sub(self.looked_at) < LOOK_BYTES {
                return Ok(claim);
            }
            self.looked_at = position;
            if self.bell.is_hung_up() {
                // This one counts as accepted; the next send says that it was in vain.
                self.state = State::ReceiverGone;
                self.producer.end_with(claim, len);
            }
            return Ok(claim);
        }
        self.claim_slowly(len, purpose, deadline)
    }

    #[inline(always)] // the hot path
    fn write(&mut self, message: &[u8], deadline: Deadline) -> Result<Claim, SendError> {
        let claim = self.claim(message.len(), Purpose::Copy, deadline)?;
        self.producer.memory().write(claim.message_position(), message);
        Ok(claim)
    }

    /// Makes the message that was written to a claim visible, and wakes the receiver if it sleeps.
    #[inline]
    pub(crate) fn commit(&mut self, claim: Claim, len: usize, urgent: bool) {
        let ring = self.producer.commit(claim, len, urgent);
        self.tell(ring);
    }

    #[inline(always)] // the hot path
    fn tell(&mut self, ring: Ring) {
        match ring {
            Ring::NotNeeded => {}
            Ring::Now => self.bell.ring(),
            // It is on its way, or dead.
            Ring::AlreadyRung => self.look_for_receiver(),
        }
    }

    #[cold]
    fn look_for_receiver(&mut self) {
        if self.bell.is_hung_up() {
            // What was just sent counts as accepted; the next send says that it was in vain.
            self.fail(State::ReceiverGone);
        }
    }

    #[cold]
    fn claim_slowly(
        &mut self,
        len: usize,
        purpose: Purpose,
        deadline: Deadline,
    ) -> Result<Claim, SendError> {
        // The receiver may have to read what is staged before there is room.
        let ring = self.producer.publish();
        self.tell(ring);
        if self.state != State::Open {
            return Err(self.refusal(len)); // it was just found to be gone
        }
        let mut claimed = None;
        self.wait_until(len, deadline, |producer| {
            claimed = producer.claim(len, purpose)?;
            Ok(claimed.is_some())
        })?;
        Ok(claimed.expect("waited until it was"))
    }

    /// Waits until `ready`, which is asked again whenever the receiver may have got on. The wait is for the
    /// sake of a message of `len` bytes.
    fn wait_until(
        &mut self,
        len: usize,
        deadline: Deadline,
        mut ready: impl FnMut(&mut Producer<M>) -> Result<bool, Violation>,
    ) -> Result<(), SendError> {
        loop {
            // Look for a while.
            let mut looks = Looks::new(self.budget.begin(), len as u64);
            loop {
                if ready(&mut self.producer).map_err(|violation| self.poison(violation))? {
                    if !looks.is_first() {
                        self.budget.found();
                    }
                    return Ok(());
                }
                if deadline == Deadline::Now {
                    if self.lookout.is_due() && self.bell.is_hung_up() {
                        return Err(self.receiver_gone());
                    }
                    return Err(SendError::Full);
                }
                if looks.is_check_due() {
                    if self.bell.is_hung_up() {
                        return Err(self.receiver_gone());
                    }
                    if deadline.has_passed() {
                        return Err(SendError::no_room(deadline));
                    }
                }
                if !looks.go_on() {
                    break;
                }
                spin_loop();
            }
            // Announce, look once more, sleep.
            self.budget.slept();
            self.producer.announce(Intent::Sleep);
            let looked = ready(&mut self.producer);
            let heard = match looked {
                Ok(false) => self.bell.wait(deadline),
                _ => Ok(Heard::Ring),
            };
            self.producer.awake();
            if looked.map_err(|violation| self.poison(violation))? {
                return Ok(());
            }
            match heard.map_err(|source| OsError::new("read", &self.link, source))? {
                // A peer that rings without end does not outlast the deadline.
                Heard::Ring if deadline.has_passed() => {
                    let is_ready = ready(&mut self.producer).map_err(|what| self.poison(what))?;
                    return if is_ready { Ok(()) } else { Err(SendError::no_room(deadline)) };
                }
                Heard::Ring => {}
                Heard::Silence => return Err(SendError::no_room(deadline)),
                Heard::HangUp => return Err(self.receiver_gone()),
            }
        }
    }

    /// Begins to wait in a set: true if there is room for the longest message already.
    pub(crate) fn arm(&mut self) -> bool {
        if self.state != State::Open {
            return true;
        }
        self.producer.announce(Intent::Arm);
        // A violation is ready too: the send that follows reports it.
        let ready = !matches!(self.producer.claim(self.longest, Purpose::Loan), Ok(None));
        if ready {
            self.producer.awake();
        }
        ready
    }

    /// Ends waiting in a set.
    pub(crate) fn disarm(&mut self) {
        self.producer.awake();
        self.bell.quiet();
    }

    #[cold]
    fn refusal(&self, len: usize) -> SendError {
        match self.state {
            State::Poisoned(what) => SendError::violation(what, &self.link),
            State::ReceiverGone => SendError::peer_gone(&self.link),
            State::Open => SendError::too_long(len, self.longest, &self.link),
        }
    }

    fn fail(&mut self, state: State) {
        self.state = state;
        self.producer.fail();
    }

    #[cold]
    fn poison(&mut self, Violation(what): Violation) -> SendError {
        self.fail(State::Poisoned(what));
        SendError::violation(what, &self.link)
    }

    #[cold]
    fn receiver_gone(&mut self) -> SendError {
        self.fail(State::ReceiverGone);
        SendError::peer_gone(&self.link)
    }
}
