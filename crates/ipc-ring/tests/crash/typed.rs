//! The victim sends or receives values.

use ipc_core::{Deadline, Identified, RecvError, SendError};
use ipc_ring::{Link, LinkOptions};
use ipc_testing::crash::{Fate, Scene, Stage, Survivor, Victim};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::link::{Manner, VICTIM};

/// A value that betrays whatever happens to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Value {
    number: u64,
    square: u64,
}

impl Identified for Value {
    const NAME: &'static str = "ipc-ring.crash.Value/1";
}

impl Value {
    const fn nth(number: u64) -> Self {
        Self { number, square: number * number }
    }
}

/// Values that lie in the ring beforehand.
const BEFORE: u64 = 5;

pub(crate) fn scenes() -> Vec<Scene> {
    let mut scenes: Vec<_> = [1, 3].map(sending).into();
    scenes.extend([1, 3].map(receiving));
    scenes
}

fn link<O: LinkOptions>(stage: &mut Stage, options: &O) -> O::Link {
    Link::over(stage.socket(), options, Deadline::Never).expect("a link")
}

/// The victim sends so many values at once.
fn sending(count: u64) -> Scene {
    let survivor = |survivor: &mut Survivor| {
        let link = link(survivor, &Manner::Parked.receiving().typed::<(), Value>());
        let mut receiver = link.receiver.expect("the victim has a ring");
        let fate = survivor.fate();
        if fate == Fate::Stopped {
            survivor.acted();
        }
        let mut next = 0;
        loop {
            match receiver.recv() {
                Ok(value) => assert_eq!(value, Value::nth(next), "lost, altered, or twice"),
                Err(RecvError::PeerGone { .. }) => break,
                Err(error) => panic!("{error}"),
            }
            next += 1;
        }
        assert!(next >= BEFORE, "what was committed is lost");
        if fate == Fate::Stopped { 0 } else { next }
    };
    let victim = move |victim: &mut Victim| {
        let link = link(victim, &VICTIM.sending().typed::<Value, ()>());
        let mut sender = link.sender.expect("made with a ring");
        (0..BEFORE).for_each(|number| sender.try_send(&Value::nth(number)).expect("room"));
        let values: Vec<_> = (BEFORE..BEFORE + count).map(Value::nth).collect();
        victim.operation(|| match &values[..] {
            [value] => sender.try_send(value).expect("room"),
            values => assert_eq!(sender.send_batch(values, Deadline::Now).expect("room"), 3),
        });
    };
    let name = if count == 1 { "send a value" } else { "send_batch of values" };
    Scene::new((name, "some values"), victim, survivor).takes_effect()
}

/// The victim receives at most so many values at once.
fn receiving(count: u64) -> Scene {
    let survivor = |survivor: &mut Survivor| {
        let link = link(survivor, &Manner::Parked.sending().typed::<Value, ()>());
        let mut sender = link.sender.expect("made with a ring");
        (0..BEFORE).for_each(|number| sender.try_send(&Value::nth(number)).expect("room"));
        survivor.signal();
        if survivor.fate() == Fate::Stopped {
            survivor.acted();
            sender.send(&Value::nth(BEFORE)).expect("a stop is no death");
            survivor.wait(); // until it has come
        }
        loop {
            match sender.send(&Value::default()) {
                Ok(()) => {}
                Err(SendError::PeerGone { .. }) => return 0,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let victim = move |victim: &mut Victim| {
        let link = link(victim, &VICTIM.receiving().typed::<(), Value>());
        let mut receiver = link.receiver.expect("the partner has a ring");
        victim.wait();
        let mut values = vec![Value::default(); count as usize];
        victim.operation(|| match &mut values[..] {
            [value] => *value = receiver.try_recv().expect("a value"),
            values => assert_eq!(receiver.recv_batch(values, Deadline::Now).expect("values"), 3),
        });
        values.extend((count..=BEFORE).map(|_| receiver.recv().expect("a value")));
        let expected: Vec<_> = (0..=BEFORE).map(Value::nth).collect();
        assert_eq!(values, expected, "lost, altered, or twice");
        victim.signal();
    };
    let name = if count == 1 { "receive a value" } else { "recv_batch of values" };
    Scene::new((name, "some values"), victim, survivor)
}
