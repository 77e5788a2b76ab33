//! The victim creates, opens or removes a segment or a region. Afterwards there is nothing in its place,
//! or a whole one; and the next creator succeeds.

use std::sync::atomic::{AtomicU64, Ordering};

use ipc_core::{OpenError, OpenErrorKind};
use ipc_shm::{Location, Region, Segment};
use ipc_testing::crash::{Fate, Scene, Survivor, Victim};

use crate::place::{Kind, files_at};

pub(crate) fn scenes() -> Vec<Scene> {
    let mut scenes = Vec::new();
    for kind in [Kind::Name, Kind::File] {
        scenes.push(making::<Bytes>(kind, "create_new", Bytes::create_new));
        scenes.push(making::<Bytes>(kind, "open_or_create", Bytes::open_or_create));
        scenes.push(making::<Words>(kind, "create_new", Words::create_new));
        scenes.push(making::<Words>(kind, "open_or_create", Words::open_or_create));
    }
    scenes.push(attaching::<Bytes>("open", Bytes::open));
    scenes.push(attaching::<Bytes>("open_or_create", Bytes::open_or_create));
    scenes.push(attaching::<Words>("open", Words::open));
    scenes.push(attaching::<Words>("open_or_create", Words::open_or_create));
    scenes.extend([unlinking::<Bytes>(), unlinking::<Words>()]);
    scenes
}

/// A kind of object in a place, always of the same content.
trait Object: Sized + 'static {
    const NAME: &'static str;

    fn create_new(place: &Location) -> Result<Self, OpenError>;
    fn open_or_create(place: &Location) -> Result<Self, OpenError>;
    fn open(place: &Location) -> Result<Self, OpenError>;
    fn segment(&self) -> &Segment;

    /// Nothing of it is missing.
    #[track_caller]
    fn assert_whole(&self);
}

type Make<O> = fn(&Location) -> Result<O, OpenError>;

/// A segment of bytes.
struct Bytes(Segment);

impl Bytes {
    /// More than a page, and not whole pages.
    const LEN: usize = 5000;
    const MODE: u32 = 0o640;
    const CONTENT: [u8; Self::LEN] = {
        let mut content = [0; Self::LEN];
        let mut index = 0;
        while index < Self::LEN {
            content[index] = (index % 251) as u8;
            index += 1;
        }
        content
    };
}

impl Object for Bytes {
    const NAME: &'static str = "segment";

    fn create_new(place: &Location) -> Result<Self, OpenError> {
        let options = Segment::options().mode(Self::MODE);
        let segment = options.create_new(place, Self::LEN, |memory| {
            memory.write_at(0, &Self::CONTENT);
            Ok(())
        });
        segment.map(Self)
    }

    fn open_or_create(place: &Location) -> Result<Self, OpenError> {
        let options = Segment::options().mode(Self::MODE);
        let segment = options.open_or_create(place, Self::LEN, |memory| {
            memory.write_at(0, &Self::CONTENT);
            Ok(())
        });
        segment.map(Self)
    }

    fn open(place: &Location) -> Result<Self, OpenError> {
        Segment::open(place).map(Self)
    }

    fn segment(&self) -> &Segment {
        &self.0
    }

    fn assert_whole(&self) {
        assert_eq!((self.0.mapping().len(), self.0.mode()), (Self::LEN, Self::MODE));
        let mut bytes = [0; Self::LEN];
        self.0.mapping().read_at(0, &mut bytes);
        assert!(bytes == Self::CONTENT, "half-made");
    }
}

/// A region of words.
struct Words(Region<[AtomicU64; 8]>);

impl Words {
    fn value() -> [AtomicU64; 8] {
        [const { AtomicU64::new(u64::MAX) }; 8]
    }
}

impl Object for Words {
    const NAME: &'static str = "region";

    fn create_new(place: &Location) -> Result<Self, OpenError> {
        Region::create_new(place, Self::value()).map(Self)
    }

    fn open_or_create(place: &Location) -> Result<Self, OpenError> {
        Region::open_or_create(place, Self::value).map(Self)
    }

    fn open(place: &Location) -> Result<Self, OpenError> {
        Region::open(place).map(Self)
    }

    fn segment(&self) -> &Segment {
        self.0.segment()
    }

    fn assert_whole(&self) {
        let is_set = |word: &AtomicU64| word.load(Ordering::Relaxed) == u64::MAX; // nobody writes
        assert!(self.0.iter().all(is_set), "half-made");
    }
}

/// The victim makes an object in a place where there is none.
fn making<O: Object>(kind: Kind, operation: &str, make: Make<O>) -> Scene {
    let victim = move |victim: &mut Victim| {
        let place = kind.own_place();
        victim.wait();
        let object = victim.operation(|| make(&place));
        object.expect("the place is free").assert_whole();
        victim.signal();
    };
    let survivor = move |survivor: &mut Survivor| {
        let pid = survivor.partner_pid();
        let place = kind.place(pid);
        kind.prepare(pid);
        survivor.signal();
        let fate = survivor.fate();
        let effect = look::<O>(&place);
        if fate == Fate::Stopped {
            survivor.acted();
            survivor.wait(); // until it is made
            assert_eq!(look::<O>(&place), 1, "it has come about");
        }
        succeed::<O>(&place);
        kind.clean_up(pid);
        effect
    };
    let state = format!("nothing there, {}", kind.text());
    Scene::new((format!("{}: {operation}", O::NAME), state), victim, survivor).takes_effect()
}

/// The victim attaches to an object.
fn attaching<O: Object>(operation: &str, attach: Make<O>) -> Scene {
    let victim = move |victim: &mut Victim| {
        let place = Kind::Name.own_place();
        victim.wait();
        let object = victim.operation(|| attach(&place));
        object.expect("it is there").assert_whole();
        victim.signal();
    };
    let survivor = |survivor: &mut Survivor| {
        let place = Kind::Name.place(survivor.partner_pid());
        Kind::Name.prepare(survivor.partner_pid());
        O::create_new(&place).expect("the place is free");
        survivor.signal();
        if survivor.fate() == Fate::Stopped {
            survivor.acted();
            survivor.wait(); // until it has attached
        }
        assert_eq!(look::<O>(&place), 1, "attaching removes nothing");
        succeed::<O>(&place);
        0
    };
    Scene::new((format!("{}: {operation}", O::NAME), "one is there"), victim, survivor)
}

/// The victim removes the name of an object to which it is attached.
fn unlinking<O: Object>() -> Scene {
    let victim = |victim: &mut Victim| {
        let place = Kind::Name.own_place();
        victim.wait();
        let object = O::open(&place).expect("it is there");
        victim.operation(|| object.segment().unlink()).expect("named so");
        victim.signal();
    };
    let survivor = |survivor: &mut Survivor| {
        let place = Kind::Name.place(survivor.partner_pid());
        Kind::Name.prepare(survivor.partner_pid());
        let attached = O::create_new(&place).expect("the place is free");
        survivor.signal();
        let fate = survivor.fate();
        let effect = 1 - look::<O>(&place);
        if fate == Fate::Stopped {
            survivor.acted();
            survivor.wait(); // until it is removed
            assert_eq!(look::<O>(&place), 0, "it is removed");
        }
        attached.assert_whole();
        succeed::<O>(&place);
        effect
    };
    Scene::new((format!("{}: unlink", O::NAME), "one is there"), victim, survivor).takes_effect()
}

/// How many objects are in the place: none, or a whole one. There is nothing else for it.
#[track_caller]
fn look<O: Object>(place: &Location) -> u64 {
    match O::open(place) {
        Ok(object) => {
            object.assert_whole();
            assert_eq!(files_at(place), 1, "something beside it");
            1
        }
        Err(error) => {
            assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
            assert_eq!(files_at(place), 0, "not found, but a file");
            0
        }
    }
}

/// Another object can be made in the place and removed, whatever the victim left.
#[track_caller]
fn succeed<O: Object>(place: &Location) {
    if let Ok(left) = O::open(place) {
        O::create_new(place).err().expect("there is one");
        left.segment().unlink().expect("named so");
    }
    let object = O::create_new(place).expect("the place is free");
    object.assert_whole();
    object.segment().unlink().expect("named so");
    assert_eq!(files_at(place), 0);
}
