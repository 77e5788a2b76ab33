//! The bounded buffer, with a process killed at every step.

use ipc_core::Deadline;
use loom::sync::Arc;

use super::{PARK, Watched, model, spawn};
use crate::buffer::{Control, Refusal};
use crate::death;
use crate::spin::Patience;
use crate::sync::robust::set_thread_id;

const SLOTS: u32 = 1;
/// The points between the steps of one operation; see `Control::pass`.
const POINTS: u32 = 5;
/// Those of them before the commit.
const UNCOMMITTED: u32 = 3;

/// A buffer of one slot, which holds a number.
struct Buffer {
    control: Control,
    slot: Watched,
}

impl Buffer {
    fn new() -> Arc<Self> {
        Arc::new(Self { control: Control::new(SLOTS), slot: Watched::new(0) })
    }

    fn put(&self, patience: Patience, number: u32) -> Result<(), Refusal<()>> {
        self.control.put(SLOTS, patience, |_| {
            self.slot.set(number);
            Ok(())
        })
    }

    fn take(&self, patience: Patience) -> Result<u32, Refusal<()>> {
        self.control.take(SLOTS, patience, |_| Ok(self.slot.get()))
    }

    /// What is left in it; none of the waits may be in vain.
    fn drain(&self) -> Vec<u32> {
        let now = Patience { deadline: Deadline::Now, ..PARK };
        let left = std::iter::from_fn(|| self.take(now).ok()).collect();
        self.control.assert_settled(SLOTS, 0);
        left
    }
}

#[test]
fn messages_pass_through_one_slot_in_order() {
    model(3, || {
        let buffer = Buffer::new();
        let sender = spawn(1, &buffer, |buffer| {
            for number in [11, 12] {
                buffer.put(PARK, number).expect("room in the end");
            }
        });
        set_thread_id(2);
        let received = [(); 2].map(|()| buffer.take(PARK).expect("a message in the end"));
        assert_eq!(received, [11, 12]);
        sender.join().expect("no panic");
        assert_eq!(buffer.drain(), []);
    });
}

/// One sender dies, another one lives. The receiver gets what was committed, once.
#[test]
fn a_sender_dies_at_every_step() {
    for point in 0..POINTS {
        model(2, move || {
            let buffer = Buffer::new();
            let doomed = spawn(1, &buffer, move |buffer| {
                death::die_after(point);
                buffer.put(PARK, 11).expect_err("dies");
            });
            let receiver = spawn(2, &buffer, move |buffer| {
                // Sleeps for ever, which loom notices, if nobody tells of the commit.
                (point >= UNCOMMITTED).then(|| buffer.take(PARK).expect("what was committed"))
            });
            doomed.join().expect("no panic");
            let received = receiver.join().expect("no panic");
            assert_eq!(received, (point >= UNCOMMITTED).then_some(11), "point {point}");
            set_thread_id(3);
            // The whole capacity is there.
            let now = Patience { deadline: Deadline::Now, ..PARK };
            buffer.put(now, 12).expect("room");
            assert_eq!(buffer.drain(), [12]);
        });
    }
}

/// One receiver dies, another one lives. A message that the dead one had not committed to have taken
/// goes to the living one, who may have been asleep since before.
#[test]
fn a_receiver_dies_at_every_step() {
    for point in 0..POINTS {
        model(2, move || {
            let buffer = Buffer::new();
            set_thread_id(3);
            buffer.put(PARK, 11).expect("room");
            let doomed = spawn(1, &buffer, move |buffer| {
                death::die_after(point);
                buffer.take(PARK).expect_err("dies, or is too late");
            });
            let other = spawn(2, &buffer, move |buffer| {
                if point < UNCOMMITTED {
                    assert_eq!(buffer.take(PARK).expect("still there"), 11, "point {point}");
                } else {
                    // Waits for the room that the dead one has made.
                    buffer.put(PARK, 12).expect("room");
                }
            });
            other.join().expect("no panic");
            if point < UNCOMMITTED {
                // The doomed one may have come second: give it something to die of.
                buffer.put(PARK, 12).expect("room");
            }
            doomed.join().expect("no panic");
            assert_eq!(buffer.drain(), [12], "point {point}");
        });
    }
}
