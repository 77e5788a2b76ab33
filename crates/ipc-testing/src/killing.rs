//! Senders that are killed at all sorts of moments, by the thousand: nothing that a link accepted is lost,
//! nothing hangs, no descriptor is left. Leaves out how links of a mechanism are made.

use std::panic::Location;

use ipc_core::{Deadline, Receiver, RecvError, SendError, Sender};

use crate::process::{Forked, SharedNumber, wait_until_parked};

/// How many descriptors this process has open.
///
/// # Panics
///
/// If proc(5) is not mounted.
pub fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("proc is mounted").count()
}

/// The ends of a link that the survivor has.
pub struct Survivors {
    /// Receives what the victim sends.
    pub receiver: Box<dyn Receiver>,
    /// Sends to the victim, where the link goes both ways.
    pub sender: Option<Box<dyn Sender>>,
}

/// When a victim is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// At once, perhaps before it has connected.
    Born,
    /// After its first message, before we have taken the connection up.
    Heard,
    /// Sending, after some messages.
    Busy,
    /// Sending, while we receive.
    Received,
    /// Asleep, since the link is full.
    Full,
    /// Sending, with messages of ours unread.
    Unheard,
}

const MOMENTS: [Moment; 6] =
    [Moment::Born, Moment::Heard, Moment::Busy, Moment::Received, Moment::Full, Moment::Unheard];

/// Makes a link to a new process, has it send without end, and kills it; so many times (`cycles`), with each
/// of six moments and, where the mechanism carries them, long messages too. Each time all that the link
/// had accepted must be received, in order, and then the news that the peer is gone; at the end as many
/// descriptors must be open as before.
///
/// `prepare` is called before the process is forked, and its result is there twice: `victim` makes the
/// sender of it in the new process, and `survive` our ends in this one; `None` if until the deadline no
/// link has been made. Before the process may die, `meet` is called with its process id, and what that
/// returns is for `survive`.
///
/// # Panics
///
/// If something is lost, wrong or left; see [`Forked::start`] on what the caller must be.
#[track_caller]
pub fn kill_senders<L, P, S: Sender>(
    cycles: u32,
    longest_len: usize,
    mut prepare: impl FnMut() -> L,
    victim: impl Fn(L) -> S,
    meet: impl Fn(u32) -> P,
    mut survive: impl FnMut(L, P, Deadline) -> Option<Survivors>,
) {
    let before = open_descriptors();
    let accepted = SharedNumber::new();
    let mut lost_in_birth = 0;
    for cycle in 0..cycles {
        let moment = MOMENTS[cycle as usize % MOMENTS.len()];
        let len = |number| message_len(cycle, number, longest_len);
        accepted.set(0);
        let mut link = Some(prepare());
        let mut process = Forked::start(|| {
            let mut sender = victim(link.take().expect("our copy"));
            for number in 0.. {
                sender.send(&message(number, len(number))).expect("it is there until we die");
                accepted.set(number + 1);
            }
        });
        let context = Context { cycle, moment, caller: Location::caller() };
        let pid = process.pid();
        let mut met = Some(meet(pid));
        let mut survive =
            |deadline| survive(link.take().expect("ours"), met.take().expect("once"), deadline);
        let mut ends = None;
        let wait_for = |count| {
            while accepted.get() < count {
                std::thread::yield_now(); // it cannot end but by our hand
            }
        };
        // Not the same number of messages nor the same instruction each time.
        let some = u64::from(cycle % 7);
        let mut next = 0;
        match moment {
            Moment::Born => (0..cycle % 512 * 16).for_each(|_| std::hint::spin_loop()),
            Moment::Heard => wait_for(1),
            Moment::Busy => wait_for_or_park(&accepted, pid, some),
            Moment::Received => {
                ends = survive(Deadline::Never);
                let receiver = &mut ends.as_mut().expect("it connects").receiver;
                for number in 0..=some {
                    context.receive(&mut **receiver, number, len(number));
                    next = number + 1;
                }
            }
            Moment::Full => wait_until_parked(pid),
            Moment::Unheard => {
                ends = survive(Deadline::Never);
                if let Some(sender) = &mut ends.as_mut().expect("it connects").sender {
                    (0..3_u8).for_each(|number| sender.send(&[number; 8]).expect("room for three"));
                }
            }
        }
        process.kill();
        let accepted = accepted.get();
        let Some(mut ends) = ends.or_else(|| survive(Deadline::Now)) else {
            assert_eq!(accepted, 0, "{context}: accepted, and no link");
            lost_in_birth += 1;
            continue;
        };
        context.receive_legacy(&mut *ends.receiver, next, accepted, len);
        if let Some(sender) = &mut ends.sender {
            let error = sender.send(b"anybody?").expect_err("it is dead");
            assert!(matches!(error, SendError::PeerGone { .. }), "{context}: {error}");
        }
    }
    // Only those that are killed at once may have none.
    assert!(lost_in_birth <= cycles / 3 + 1, "{lost_in_birth} of {cycles} had no link");
    // A mechanism may remember the last link that ended until the next is made.
    let after = open_descriptors();
    assert!(after <= before + 1, "{after} descriptors after {cycles} cycles, {before} before");
}

/// Waits until so many messages are accepted, or the link is full with fewer.
fn wait_for_or_park(accepted: &SharedNumber, pid: u32, count: u64) {
    while accepted.get() < count {
        wait_until_parked(pid);
        if accepted.get() > 0 {
            return;
        }
    }
}

/// Which cycle it was, for who must look into a failure.
struct Context {
    cycle: u32,
    moment: Moment,
    caller: &'static Location<'static>,
}

impl Context {
    /// Receives a message and insists that it is this one.
    fn receive(&self, receiver: &mut dyn Receiver, number: u64, len: usize) {
        let mut buffer = vec![0; len];
        let received = receiver.recv(&mut buffer).unwrap_or_else(|error| panic!("{self}: {error}"));
        assert!(buffer[..received.len] == message(number, len), "{self}: message {number}");
    }

    /// Receives from message `next` on until the end, which must not come before all that was accepted.
    fn receive_legacy(
        &self,
        receiver: &mut dyn Receiver,
        mut next: u64,
        accepted: u64,
        len: impl Fn(u64) -> usize,
    ) {
        let mut received = Vec::new();
        loop {
            match receiver.recv_to_vec(&mut received, Deadline::Never) {
                Ok(_) => assert!(received == message(next, len(next)), "{self}: message {next}"),
                Err(RecvError::PeerGone { .. }) => break,
                Err(error) => panic!("{self}: after {next} messages: {error}"),
            }
            next += 1;
        }
        // One more may have been sent and not yet counted.
        assert!(
            next == accepted || next == accepted + 1,
            "{self}: {next} messages of {accepted} that were accepted"
        );
    }
}

impl std::fmt::Display for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, cycle {}, killed when {:?}", self.caller, self.cycle, self.moment)
    }
}

/// Every eighth round of the moments has long messages, and short ones between.
fn message_len(cycle: u32, number: u64, longest_len: usize) -> usize {
    let is_long = cycle as usize / MOMENTS.len() % 8 == 7 && number % 2 == 1;
    if is_long { longest_len } else { 8 + (number % 5) as usize * 100 }
}

fn message(number: u64, len: usize) -> Vec<u8> {
    let mut message = vec![number as u8; len];
    message[..8].copy_from_slice(&number.to_le_bytes());
    message
}
