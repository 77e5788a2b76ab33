//! The victim publishes in a snapshot cell, or claims or leaves it, or wakes who waits. Afterwards readers get
//! whole values, the latest that was complete; and another can be the writer if the victim is dead, and only
//! then.

use ipc_core::{Deadline, WaitStrategy};
use ipc_shm::{Bell, ClaimError, Segment, Snapshot, SnapshotReadError, SnapshotReader};
use ipc_testing::crash::{Fate, Scene, Survivor, Victim};

use crate::place::{free_name, own_name};

/// Values of these many bytes: copied by words and bytes, and by the string instruction.
type Short = [u8; 29];
type Long = [u8; 600];

const BELL_AT: usize = 64;
const CELL_AT: usize = 128;
const LEN: usize = 4096;

pub(crate) fn scenes() -> Vec<Scene> {
    let mut scenes = vec![claiming(), leaving(), ringing()];
    for before in [0, 1, 5] {
        scenes.push(publishing::<29>(before));
        scenes.push(publishing::<600>(before));
    }
    scenes
}

fn value<const N: usize>(version: u64) -> [u8; N] {
    std::array::from_fn(|index| (version as u8).wrapping_mul(31) ^ index as u8)
}

fn attach(survivor: &Survivor) -> Segment {
    let segment =
        Segment::create_new(&free_name(survivor.partner_pid()), LEN).expect("a free name");
    survivor.signal();
    survivor.wait(); // until the victim has it too
    segment.unlink().expect("named so");
    segment
}

fn join(victim: &Victim) -> Segment {
    victim.wait();
    let segment = Segment::open(&own_name()).expect("it is there");
    victim.signal();
    segment
}

/// The version, checked against the value.
#[track_caller]
fn read<const N: usize>(reader: SnapshotReader<'_, [u8; N]>) -> u64 {
    match reader.read_versioned() {
        Ok((version, found)) => {
            assert_eq!(found, value(version), "torn, or another version's");
            version
        }
        Err(error) => {
            assert_eq!(error, SnapshotReadError::Unpublished);
            0
        }
    }
}

/// Nobody but the victim can be the writer, if it lives. If not, another goes on after the last whole value.
#[track_caller]
fn succeed<const N: usize>(cell: &Snapshot<[u8; N]>, fate: Fate) {
    match (fate, cell.claim()) {
        (Fate::Stopped, Err(ClaimError::Taken { .. })) => {}
        (Fate::Killed, Ok(mut writer)) => {
            let before = read(cell.reader());
            // Once around the slots, the half-filled one too.
            for version in before + 1..before + 6 {
                assert_eq!(writer.publish(&value(version)), version);
                assert_eq!(read(cell.reader()), version);
            }
        }
        (fate, claim) => panic!("{fate:?}, {claim:?}"),
    }
}

/// The victim publishes a value after so many.
fn publishing<const N: usize>(before: u64) -> Scene {
    let victim = move |victim: &mut Victim| {
        let segment = join(victim);
        let cell = Snapshot::<[u8; N]>::at(segment.mapping(), CELL_AT);
        let mut writer = cell.claim().expect("nobody else");
        for version in 1..=before {
            writer.publish(&value(version));
        }
        let value = value(before + 1);
        victim.operation(|| writer.publish(&value));
        victim.signal();
        victim.wait();
    };
    let survivor = move |survivor: &mut Survivor| {
        let segment = attach(survivor);
        let cell = Snapshot::<[u8; N]>::at(segment.mapping(), CELL_AT);
        let fate = survivor.fate();
        let version = read(cell.reader());
        succeed(cell, fate);
        if fate == Fate::Stopped {
            survivor.acted();
            survivor.wait(); // until it is published
            assert_eq!(read(cell.reader()), before + 1);
            survivor.signal();
        }
        assert!((before..=before + 1).contains(&version), "{version} after {before}");
        version - before
    };
    let state = format!("{N} bytes, after {before} values");
    Scene::new(("snapshot: publish", state), victim, survivor).takes_effect()
}

/// The victim becomes the writer.
fn claiming() -> Scene {
    let victim = |victim: &mut Victim| {
        let segment = join(victim);
        let cell = Snapshot::<Short>::at(segment.mapping(), CELL_AT);
        let writer = victim.operation(|| cell.claim());
        victim.signal();
        victim.wait();
        drop(writer.expect("nobody else"));
    };
    let survivor = |survivor: &mut Survivor| {
        let segment = attach(survivor);
        let cell = Snapshot::<Short>::at(segment.mapping(), CELL_AT);
        match survivor.fate() {
            Fate::Killed => succeed(cell, Fate::Killed),
            Fate::Stopped => {
                survivor.acted();
                survivor.wait(); // until it has claimed
                succeed(cell, Fate::Stopped);
                survivor.signal();
            }
        }
        0
    };
    // It reads about itself, which is not the same text in each process.
    Scene::new(("snapshot: claim", "nobody has"), victim, survivor).varies()
}

/// The victim stops being the writer.
fn leaving() -> Scene {
    let victim = |victim: &mut Victim| {
        let segment = join(victim);
        let cell = Snapshot::<Long>::at(segment.mapping(), CELL_AT);
        let mut writer = cell.claim().expect("nobody else");
        writer.publish(&value(1));
        victim.operation(|| drop(writer));
        victim.signal();
        victim.wait();
    };
    let survivor = |survivor: &mut Survivor| {
        let segment = attach(survivor);
        let cell = Snapshot::<Long>::at(segment.mapping(), CELL_AT);
        if survivor.fate() == Fate::Stopped {
            survivor.acted();
            survivor.wait(); // until it has left
            survivor.signal();
        }
        assert_eq!(read(cell.reader()), 1);
        succeed(cell, Fate::Killed);
        0
    };
    Scene::new(("snapshot: drop the writer", "one value"), victim, survivor)
}

/// The victim publishes and rings, while the survivor sleeps. If it is killed before it has rung, the next ring
/// wakes; there is nobody else who could.
fn ringing() -> Scene {
    let victim = |victim: &mut Victim| {
        let segment = join(victim);
        let cell = Snapshot::<Short>::at(segment.mapping(), CELL_AT);
        let bell = Bell::at(segment.mapping(), BELL_AT);
        let mut writer = cell.claim().expect("nobody else");
        victim.wait_until_partner_parks();
        let value = value(1);
        victim
            .operation(|| {
                writer.publish(&value);
                bell.ring()
            })
            .expect("rung");
        victim.signal();
        victim.wait();
    };
    let survivor = |survivor: &mut Survivor| {
        let segment = attach(survivor);
        let reader = SnapshotReader::<Short>::at(segment.mapping(), CELL_AT);
        let bell = Bell::at(segment.mapping(), BELL_AT);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                reader.wait_changed(0, bell, WaitStrategy::Park, Deadline::Never).expect("no error")
            });
            let fate = survivor.fate();
            let version = read(reader);
            if fate == Fate::Stopped {
                survivor.acted();
                survivor.wait(); // until it has rung
                survivor.signal();
            } else {
                let cell = Snapshot::<Short>::at(segment.mapping(), CELL_AT);
                succeed(cell, fate);
                bell.ring().expect("rung");
            }
            assert!(waiter.join().expect("no panic"), "changed");
            version
        })
    };
    Scene::new(("snapshot: publish and ring", "somebody sleeps"), victim, survivor)
        .survivor_is("parked")
        .takes_effect()
}
