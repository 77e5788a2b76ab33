//! The textbook's four failures, looked for in the bounded buffer: the victim is stopped, or killed, at every
//! instruction of sending or receiving, the survivor sends or receives then, and the victim goes on. What happens
//! to a buffer that nothing guards under that schedule is shown in `tests/textbook.rs`.

use std::sync::atomic::Ordering;

use ipc_core::{Name, Receiver, RecvError, SendError, Sender, WaitStrategy};
use ipc_shm::{BoundedBuffer, Segment};
use ipc_testing::crash::{Fate, Scene, Survivor, Victim};

use crate::place::{free_name, own_name};

const SLOTS: usize = 3;
/// What the two send.
const VICTIMS: u64 = 100;
const SURVIVORS: u64 = 200;
/// In the journal, where the victim writes what came of its operation: nothing yet; no room or no message.
const NOT_YET: u64 = 0;
const REFUSED: u64 = u64::MAX;

pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        sending("two producers, one slot", 0),
        sending("overwriting when full", SLOTS as u64 - 1),
        receiving("two consumers, one slot", 2),
        receiving("reading when empty", 1),
    ]
}

/// A buffer that holds messages 1 to `messages`, and the journal.
struct Stage {
    buffer: BoundedBuffer,
    journal: Segment,
}

impl Stage {
    fn journal_name(name: &Name) -> Name {
        Name::new(&format!("{name}.journal")).expect("allowed characters")
    }

    fn prepare(survivor: &Survivor, messages: u64) -> Self {
        let name = free_name(survivor.partner_pid());
        let options = BoundedBuffer::options().slots(SLOTS).slot_bytes(8);
        let buffer = options.create_new(&name).expect("a free name");
        let journal = Segment::create_new(&Self::journal_name(&name), 8).expect("a free name");
        let stage = Self { buffer, journal };
        for message in 1..=messages {
            assert!(stage.send(message));
        }
        survivor.signal();
        survivor.wait(); // until the victim has it too
        Segment::unlink_name(&name).expect("named so");
        stage.journal.unlink().expect("named so");
        stage
    }

    fn join(victim: &Victim) -> Self {
        victim.wait();
        let name = own_name();
        let buffer = BoundedBuffer::open(&name).expect("it is there");
        let journal = Segment::open(&Self::journal_name(&name)).expect("it is there");
        let stage = Self { buffer, journal };
        victim.signal();
        stage
    }

    /// Whether there was room. A process that has stopped inside makes it say that there is none.
    fn send(&self, message: u64) -> bool {
        let mut sender = self.buffer.sender().with_strategy(WaitStrategy::Park);
        match sender.try_send(&message.to_ne_bytes()) {
            Ok(()) => true,
            Err(SendError::Full) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// A message, if there is one.
    fn receive(&self) -> Option<u64> {
        let mut message = [0; 8];
        let mut receiver = self.buffer.receiver().with_strategy(WaitStrategy::Park);
        match receiver.try_recv(&mut message) {
            Ok(_) => Some(u64::from_ne_bytes(message)),
            Err(RecvError::Empty) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn write_down(&self, result: Option<u64>) {
        self.journal.mapping().atomic_u64(0).store(result.unwrap_or(REFUSED), Ordering::Relaxed);
    }

    fn written_down(&self) -> Option<u64> {
        let result = self.journal.mapping().atomic_u64(0).load(Ordering::Relaxed);
        assert_ne!(result, NOT_YET);
        Some(result).filter(|&result| result != REFUSED)
    }

    /// All that is left, in order.
    fn drain(&self) -> Vec<u64> {
        let left = std::iter::from_fn(|| self.receive()).collect();
        // All slots are there.
        assert!((0..SLOTS).all(|_| self.send(1)) && !self.send(1));
        left
    }
}

/// Both send.
fn sending(failure: &str, messages: u64) -> Scene {
    let victim = |victim: &mut Victim| {
        let stage = Stage::join(victim);
        let mut sender = stage.buffer.sender().with_strategy(WaitStrategy::Park);
        let sent = victim.operation(|| sender.try_send(&VICTIMS.to_ne_bytes()));
        stage.write_down(sent.is_ok().then_some(VICTIMS));
        victim.signal();
    };
    let survivor = move |survivor: &mut Survivor| {
        let stage = Stage::prepare(survivor, messages);
        let fate = survivor.fate();
        let ours = stage.send(SURVIVORS);
        let mut theirs = None;
        if fate == Fate::Stopped {
            survivor.acted();
            survivor.wait(); // until it is done
            theirs = stage.written_down();
        }
        let left = stage.drain();
        let effect = left.contains(&VICTIMS);
        let mut sent: Vec<u64> = (1..=messages).collect();
        let mut more: Vec<u64> = ours.then_some(SURVIVORS).into_iter().collect();
        match fate {
            Fate::Stopped => more.extend(theirs),
            // Before the commit it never was, after it it is whole.
            Fate::Killed => more.extend(effect.then_some(VICTIMS)),
        }
        assert!(!more.is_empty(), "one of them had room");
        assert!(sent.len() + more.len() <= SLOTS, "{more:?} in {SLOTS} slots");
        // Whoever came first.
        if left.get(sent.len()) != more.first() {
            more.reverse();
        }
        sent.append(&mut more);
        assert_eq!(left, sent, "lost, doubled or overwritten");
        u64::from(effect)
    };
    Scene::new(("buffer: both send", failure), victim, survivor).takes_effect()
}

/// Both receive.
fn receiving(failure: &str, messages: u64) -> Scene {
    let victim = |victim: &mut Victim| {
        let stage = Stage::join(victim);
        let mut receiver = stage.buffer.receiver().with_strategy(WaitStrategy::Park);
        let mut message = [0; 8];
        let received = victim.operation(|| receiver.try_recv(&mut message));
        stage.write_down(received.is_ok().then(|| u64::from_ne_bytes(message)));
        victim.signal();
    };
    let survivor = move |survivor: &mut Survivor| {
        let stage = Stage::prepare(survivor, messages);
        let fate = survivor.fate();
        let ours = stage.receive();
        let mut theirs = None;
        if fate == Fate::Stopped {
            survivor.acted();
            survivor.wait(); // until it is done
            theirs = stage.written_down();
        }
        let mut left = stage.drain();
        let missing = messages as usize - left.len() - usize::from(ours.is_some());
        match fate {
            Fate::Stopped => assert_eq!(missing, usize::from(theirs.is_some())),
            Fate::Killed => assert!(missing <= 1),
        }
        // With what the dead took, if it had: the first one.
        let dead = (fate == Fate::Killed && missing == 1).then_some(1);
        left.extend([ours, theirs, dead].into_iter().flatten());
        left.sort_unstable();
        assert!(left.into_iter().eq(1..=messages), "lost, doubled, or never sent");
        missing as u64
    };
    Scene::new(("buffer: both receive", failure), victim, survivor).takes_effect()
}
