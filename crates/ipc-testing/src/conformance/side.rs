//! One side of a case: its end of the link, and the moves that several cases make with it.

use std::collections::HashSet;
use std::ops::Range;
use std::time::{Duration, Instant};

use ipc_core::{
    Carrier, Deadline, Lifetime, LinkProperties, Order, Received, Receiver, RecvError, SendError,
    Sender, WhenFull,
};
use rustix::process::Signal;

use super::message;
use super::partner::Partner;

/// How long anything may take that should come at once, on however loaded a machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A wait that is to run out.
pub(super) const BRIEF: Duration = Duration::from_millis(50);

/// How long to wait for a message that a lossy link may have lost.
const LOST_AFTER: Duration = Duration::from_millis(500);

/// Asserts that a call failed with an error of this pattern.
macro_rules! assert_error {
    ($result:expr, $pattern:pat $(if $guard:expr)?) => {
        match $result {
            Err($pattern) $(if $guard)? => {}
            other => panic!(
                "{} should fail with {}, but gave {other:?}",
                stringify!($result),
                stringify!($pattern $(if $guard)?)
            ),
        }
    };
}
pub(super) use assert_error;

/// One side of a case over one link.
pub(super) struct Side<'a, E: ?Sized> {
    pub(super) end: Option<Box<E>>,
    pub(super) partner: Partner<'a>,
    pub(super) link: LinkProperties,
    pub(super) variant: &'static str,
}

/// One side of a case over two links.
pub(super) struct BothSides<'a> {
    pub(super) sender: Box<dyn Sender>,
    pub(super) receiver: Box<dyn Receiver>,
    pub(super) partner: Partner<'a>,
    pub(super) link: LinkProperties,
}

impl<'a, E: ?Sized> Side<'a, E> {
    pub(super) fn new(
        end: Box<E>,
        link: LinkProperties,
        partner: Partner<'a>,
        variant: &'static str,
    ) -> Self {
        Self { end: Some(end), partner, link, variant }
    }

    /// Our end of the link.
    #[track_caller]
    pub(super) fn end(&mut self) -> &mut E {
        self.end.as_deref_mut().expect("the end has not been closed")
    }

    /// Whether this process is the guest.
    pub(super) fn is_guest(&self) -> bool {
        matches!(self.partner, Partner::Host(_))
    }

    /// Ends this guest as the variant says: `close` closes the end and stays until the host says
    /// "done"; `exit` and `kill` do not return.
    pub(super) fn die(&mut self) {
        match self.variant {
            "close" => {
                self.end = None;
                self.partner.tell("closed");
                self.partner.expect("done");
            }
            "exit" => std::process::exit(0),
            "kill" => {
                rustix::process::kill_process(rustix::process::getpid(), Signal::KILL)
                    .expect("a process may kill itself");
                unreachable!("nobody survives SIGKILL");
            }
            other => panic!("no such way to die: {other}"),
        }
    }

    /// In the host: waits until the guest has ended as the variant says.
    #[track_caller]
    pub(super) fn wait_for_death(&mut self) {
        match self.variant {
            "close" => self.partner.expect("closed"),
            _ => {
                self.partner.guest().wait();
            }
        }
    }

    /// In the host: lets a guest that only closed its end go.
    pub(super) fn release(&mut self) {
        if self.variant == "close" {
            self.partner.tell("done");
        }
    }
}

impl Side<'_, dyn Sender> {
    /// Whether the link tells its sender that the receiver went as the variant says. One to a process
    /// is not ended by closing what the process receives with.
    pub(super) fn learns_of_the_end(&self) -> bool {
        let is_no_end = self.variant == "close" && self.link.lifetime == Lifetime::Process;
        self.link.death_notice.reaches_sender() && !is_no_end
    }

    /// Sends a message, with patience; where the link refuses when full, again and again.
    #[track_caller]
    pub(super) fn put(&mut self, message: &[u8]) {
        let deadline = Deadline::after(PATIENCE);
        loop {
            match self.end().send_deadline(message, deadline) {
                Ok(()) => return,
                Err(error) if self.refuses(&error) && !deadline.has_passed() => {
                    std::thread::yield_now();
                }
                Err(error) => panic!("sending {} bytes: {error:?}", message.len()),
            }
        }
    }

    /// Sends message `number`.
    #[track_caller]
    pub(super) fn put_numbered(&mut self, number: u64) {
        self.put(&message::numbered(number, &self.link));
    }

    /// Whether this error is how the link says that it is full, whatever the deadline.
    fn refuses(&self, error: &SendError) -> bool {
        self.link.when_full == WhenFull::Refuses
            && matches!(error, SendError::Full | SendError::Limit(_))
    }

    /// Whether this error says that there is no room, as this link may say it of a call that was to
    /// wait (`waited`) or not.
    pub(super) fn is_no_room(&self, error: &SendError, waited: bool) -> bool {
        match error {
            SendError::Full if !waited => true,
            SendError::TimedOut if waited => self.link.when_full == WhenFull::Waits,
            _ => self.refuses(error),
        }
    }

    /// Sends messages from number `first` on until there is no room for the next, which is not only
    /// so for the moment. Returns how many were accepted. A link that drops when full gets 2,000.
    #[track_caller]
    pub(super) fn fill(&mut self, first: u64) -> u64 {
        let mut accepted = 0;
        let mut wait = false;
        // TCP goes on moving bytes to the other side's kernel for up to 400 ms after it said "full".
        let settled_after = if self.link.carrier == Carrier::Network { BRIEF * 10 } else { BRIEF };
        loop {
            if self.link.when_full == WhenFull::Drops && accepted == 2_000 {
                return accepted;
            }
            let message = message::numbered(first + accepted, &self.link);
            let deadline = if wait { Deadline::after(settled_after) } else { Deadline::Now };
            match self.end().send_deadline(&message, deadline) {
                Ok(()) => accepted += 1,
                Err(error) if self.is_no_room(&error, wait) => {
                    assert!(self.link.when_full != WhenFull::Drops, "declared to drop: {error:?}");
                    if wait {
                        return accepted;
                    }
                    wait = true;
                }
                Err(error) => panic!("filling the link, message {accepted}: {error:?}"),
            }
        }
    }

    /// Sends up to 3 messages, as many as there is room for, and returns how many.
    #[track_caller]
    pub(super) fn put_a_few(&mut self) -> u64 {
        for number in 0..3 {
            let message = message::numbered(number, &self.link);
            match self.end().try_send(&message) {
                Ok(()) => {}
                Err(error) if self.is_no_room(&error, false) => return number,
                Err(error) => panic!("sending without waiting: {error:?}"),
            }
        }
        3
    }

    /// Sends a message that the other side [`collect`](Side::collect)s; again if a lossy link lost it.
    #[track_caller]
    pub(super) fn deliver(&mut self, message: &[u8]) {
        self.deliver_by(|side| side.put(message));
    }

    /// As [`deliver`](Self::deliver), in the caller's own way of sending.
    #[track_caller]
    pub(super) fn deliver_by(&mut self, mut send: impl FnMut(&mut Self)) {
        for _ in 0..20 {
            self.partner.expect("ready");
            send(self);
            match self.partner.hear().as_str() {
                "got it" => return,
                "again" => assert!(self.link.lossy, "a message was lost on a reliable link"),
                other => panic!("the other side said {other:?}"),
            }
        }
        panic!("20 messages were lost, one after the other");
    }
}

impl Side<'_, dyn Receiver> {
    /// Receives a message of the other side's [`deliver`](Side::deliver), waiting without deadline
    /// where the link does not lose messages, and compares it.
    #[track_caller]
    pub(super) fn collect(&mut self, expected: &[u8]) -> Received {
        let mut buffer = vec![0; expected.len().max(8)];
        self.collect_by(expected, |end, deadline| {
            let received = end.recv_deadline(&mut buffer, deadline)?;
            Ok((buffer[..received.len].to_vec(), received))
        })
    }

    /// As [`collect`](Self::collect), in the caller's own way of receiving.
    #[track_caller]
    pub(super) fn collect_by(
        &mut self,
        expected: &[u8],
        mut receive: impl FnMut(&mut dyn Receiver, Deadline) -> Result<(Vec<u8>, Received), RecvError>,
    ) -> Received {
        loop {
            self.partner.tell("ready");
            let (lossy, patience) = (self.link.lossy, self.patience());
            match receive(self.end(), patience) {
                Ok((bytes, received)) => {
                    message::assert_same(&bytes, expected, "the message");
                    self.partner.tell("got it");
                    return received;
                }
                Err(RecvError::TimedOut) if lossy => self.partner.tell("again"),
                Err(error) => panic!("receiving {} bytes: {error:?}", expected.len()),
            }
        }
    }

    /// As [`collect_by`](Self::collect_by), for a typed value whose receiver has the end.
    #[track_caller]
    pub(super) fn collect_value(
        &mut self,
        expected: u64,
        mut receive: impl FnMut(Deadline) -> Result<u64, RecvError>,
    ) {
        loop {
            self.partner.tell("ready");
            match receive(self.patience()) {
                Ok(value) => {
                    assert_eq!(value, expected, "the value");
                    return self.partner.tell("got it");
                }
                Err(RecvError::TimedOut) if self.link.lossy => self.partner.tell("again"),
                Err(error) => panic!("receiving a value: {error:?}"),
            }
        }
    }

    /// How long to wait for a message that was sent, or is about to be.
    fn patience(&self) -> Deadline {
        if self.link.lossy { Deadline::after(LOST_AFTER) } else { Deadline::Never }
    }

    /// Receives the messages of these numbers, as the link promises: all of them, once, in order; on
    /// an unordered link, in any order; on a lossy one, as many as come, until none comes any more.
    #[track_caller]
    pub(super) fn take_numbered(&mut self, numbers: Range<u64>) {
        let mut buffer = message::buffer(&self.link);
        if self.link.lossy || self.link.order == Order::Unordered {
            return self.take_unsteady(numbers, &mut buffer);
        }
        for number in numbers.clone() {
            let received = self.end().recv_timeout(&mut buffer, PATIENCE);
            let received = received
                .unwrap_or_else(|error| panic!("message {number} of {numbers:?}: {error:?}"));
            let expected = message::numbered(number, &self.link);
            message::assert_same(&buffer[..received.len], &expected, format!("message {number}"));
        }
    }

    /// [`take_numbered`](Self::take_numbered) on a link that loses or reorders.
    fn take_unsteady(&mut self, numbers: Range<u64>, buffer: &mut [u8]) {
        let count = numbers.end - numbers.start;
        let mut seen = HashSet::new();
        let mut latest = None;
        let patience = if self.link.lossy { LOST_AFTER } else { PATIENCE };
        while self.link.lossy || (seen.len() as u64) < count {
            let received = match self.end().recv_timeout(buffer, patience) {
                Ok(received) => received,
                Err(RecvError::TimedOut) if self.link.lossy => break,
                Err(error) => panic!("with {} of {numbers:?} received: {error:?}", seen.len()),
            };
            let number = message::number_of(&buffer[..received.len]);
            assert!(numbers.contains(&number), "message {number} is none of {numbers:?}");
            let expected = message::numbered(number, &self.link);
            message::assert_same(&buffer[..received.len], &expected, format!("message {number}"));
            let is_new = seen.insert(number);
            assert!(is_new || self.link.lossy, "message {number} came twice");
            if self.link.order == Order::Fifo {
                assert!(latest <= Some(number), "message {number} came after {latest:?}");
            }
            latest = Some(number);
        }
        assert!(numbers.is_empty() || !seen.is_empty(), "no message of {numbers:?} arrived");
    }

    /// Asserts that nothing is in the link, without learning of a death.
    #[track_caller]
    pub(super) fn assert_empty(&mut self) {
        let mut buffer = message::buffer(&self.link);
        assert_error!(self.end().try_recv(&mut buffer), RecvError::Empty);
    }
}

/// Runs `wait` and asserts that it took no less than `least`.
#[track_caller]
pub(super) fn assert_not_early<T>(least: Duration, wait: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = wait();
    let elapsed = start.elapsed();
    assert!(elapsed >= least, "a wait of {least:?} ended after {elapsed:?}");
    result
}
