//! The victim creates, opens or removes a named segment. Afterwards there is no such name, or a whole
//! segment; and the next creator succeeds.

use ipc_core::{Name, OpenError, OpenErrorKind};
use ipc_shm::{Mapping, Segment};
use ipc_testing::crash::{Fate, Scene, Survivor, Victim};

use crate::place::{files_of, name, own_name};

/// Of every segment here, in bytes: more than a page, and not whole pages.
const LEN: usize = 5000;
const MODE: u32 = 0o640;

pub(crate) fn scenes() -> Vec<Scene> {
    vec![creating(), opening(), unlinking()]
}

/// The victim makes a segment of a name that is free.
fn creating() -> Scene {
    let victim = |victim: &mut Victim| {
        let name = own_name();
        let content = content();
        victim.wait();
        let segment = victim.operation(|| create(&name, &content));
        assert!(segment.is_ok(), "{segment:?}");
        victim.signal();
    };
    let survivor = |survivor: &mut Survivor| {
        let name = name(survivor.partner_pid());
        survivor.signal();
        let fate = survivor.fate();
        let effect = look(&name);
        if fate == Fate::Stopped {
            survivor.acted();
            survivor.wait(); // until it is made
            assert_eq!(look(&name), 1, "it has come about");
        }
        succeed(&name);
        effect
    };
    Scene::new(("segment: create_new", "no such name"), victim, survivor).takes_effect()
}

/// The victim attaches to a segment.
fn opening() -> Scene {
    let victim = |victim: &mut Victim| {
        let name = own_name();
        victim.wait();
        let segment = victim.operation(|| Segment::open(&name));
        assert_whole(&segment.expect("it is there"));
        victim.signal();
    };
    let survivor = |survivor: &mut Survivor| {
        let name = name(survivor.partner_pid());
        create(&name, &content()).expect("the name is free");
        survivor.signal();
        if survivor.fate() == Fate::Stopped {
            survivor.acted();
            survivor.wait(); // until it has attached
        }
        assert_eq!(look(&name), 1, "attaching removes nothing");
        succeed(&name);
        0
    };
    Scene::new(("segment: open", "it is there"), victim, survivor)
}

/// The victim removes the name of its segment.
fn unlinking() -> Scene {
    let victim = |victim: &mut Victim| {
        let name = own_name();
        victim.wait();
        let segment = Segment::open(&name).expect("it is there");
        victim.operation(|| segment.unlink()).expect("named so");
        victim.signal();
    };
    let survivor = |survivor: &mut Survivor| {
        let name = name(survivor.partner_pid());
        let attached = create(&name, &content()).expect("the name is free");
        survivor.signal();
        let fate = survivor.fate();
        let effect = 1 - look(&name);
        if fate == Fate::Stopped {
            survivor.acted();
            survivor.wait(); // until it is removed
            assert_eq!(look(&name), 0, "it is removed");
        }
        assert_whole(&attached);
        succeed(&name);
        effect
    };
    Scene::new(("segment: unlink", "it is there"), victim, survivor).takes_effect()
}

fn create(name: &Name, content: &[u8]) -> Result<Segment, OpenError> {
    Segment::options().mode(MODE).create_new(name, LEN, |memory| {
        memory.write_at(0, content);
        Ok(())
    })
}

fn content() -> Vec<u8> {
    (0..LEN).map(|index| (index % 251) as u8).collect()
}

/// How many segments have the name: none, or a whole one. There is nothing else that is named so.
#[track_caller]
fn look(name: &Name) -> u64 {
    match Segment::open(name) {
        Ok(segment) => {
            assert_whole(&segment);
            assert_eq!(files_of(name), 1, "nothing beside it");
            1
        }
        Err(error) => {
            assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
            assert_eq!(files_of(name), 0, "no name, but a file");
            0
        }
    }
}

#[track_caller]
fn assert_whole(segment: &Segment) {
    assert_eq!((segment.mapping().len(), segment.mode()), (LEN, MODE));
    assert_eq!(bytes_of(segment.mapping()), content(), "half-made");
}

fn bytes_of(mapping: &Mapping) -> Vec<u8> {
    let mut bytes = vec![0; mapping.len()];
    mapping.read_at(0, &mut bytes);
    bytes
}

/// A new segment of the name can be made and removed, whatever the victim left.
#[track_caller]
fn succeed(name: &Name) {
    if look(name) == 1 {
        Segment::unlink_name(name).expect("named so");
    }
    let segment = create(name, &content()).expect("the name is free");
    assert_whole(&segment);
    segment.unlink().expect("named so");
    assert_eq!(files_of(name), 0);
}
