//! Typed regions between processes: what is refused, who wins a race, and what an opener sees.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;

use ipc_core::{Name, OpenError, OpenErrorKind};
use ipc_shm::testing::segment_name;
use ipc_shm::{Access, Backing, Location, Mapping, Memfd, Region, Seals, Segment, Shared};
use ipc_testing::{Invitation, Scope, between_processes};

/// So many that it takes a while to write them: who looks too early sees it.
const WORDS: usize = 8192;

ipc_shm::shared! {
    /// Words that say whether they are whole.
    struct Words("ipc-shm.test.Words/1") {
        words: [AtomicU64; WORDS],
    }
}

impl Words {
    /// All of one number, which is not 0.
    fn of(number: u64) -> Self {
        assert_ne!(number, 0);
        Self { words: [const { AtomicU64::new(0) }; WORDS].map(|_| AtomicU64::new(number)) }
    }

    /// The number, of which all must be.
    #[track_caller]
    fn number(&self) -> u64 {
        // Relaxed: what made the region visible made them so too. The last word is written last.
        let number = self.words[WORDS - 1].load(Ordering::Relaxed);
        assert_ne!(number, 0, "seen before it was made");
        assert!(self.words.iter().all(|word| word.load(Ordering::Relaxed) == number), "half-made");
        number
    }
}

/// The same size, another meaning.
type Others = [AtomicU64; WORDS];

/// What differs, what was expected, what was found.
#[track_caller]
fn mismatch<T>(result: Result<T, OpenError>) -> (&'static str, u64, u64) {
    let error = result.err().expect("refused");
    match error.kind() {
        OpenErrorKind::Mismatch { what, expected, found } => (what, *expected, *found),
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_process_finds_the_creators_value_by_name_in_a_file_and_in_a_memfd() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let name = segment_name(&scope);
            let file = scope.path("region");
            let by_name = Region::create_new(&name, Words::of(1)).expect("created");
            guest.tell(name.as_str());
            let in_file = Region::create_new(&file, Words::of(2)).expect("created");
            guest.tell(file.to_str().expect("UTF-8"));
            let (in_memfd, memfd) =
                Region::create_memfd("test", Words::of(3), Seals::SIZE).expect("created");
            guest.invite(Invitation::of_descriptors(vec![memfd.into_fd()]));
            assert_eq!(guest.hear(), "added");
            let last = |words: &Words| words.words[WORDS - 1].load(Ordering::Relaxed);
            assert_eq!((last(&by_name), last(&in_file), last(&in_memfd)), (101, 102, 103));
        },
        |host| {
            let add = |words: &Words| {
                let number = words.number();
                words.words[WORDS - 1].fetch_add(100, Ordering::Relaxed); // told by a socket
                number
            };
            let name = Name::new(&host.hear()).expect("a name");
            let by_name = Region::<Words>::open(&name).expect("opened");
            let file = PathBuf::from(host.hear());
            let in_file = Region::<Words>::open(&file).expect("opened");
            let memfd = host.invitation().descriptors.pop().expect("a memfd");
            let in_memfd = Region::<Words, _>::receive(memfd).expect("received");
            assert_eq!((add(&by_name), add(&in_file), add(&in_memfd)), (1, 2, 3));
            host.tell("added");
        },
    );
}

#[test]
fn what_is_no_region_of_this_type_is_refused_with_what_was_found() {
    let scope = Scope::new();
    let name = segment_name(&scope);
    let file = scope.path("region");
    for location in [Location::from(&name), Location::from(&file)] {
        let region = Region::create_new(&location, Words::of(1)).expect("created");
        let len = Region::<Words>::LEN as u64;
        assert_eq!(len, 64 + 8 * WORDS as u64);
        let (ours, others) = (Words::IDENTITY, Others::IDENTITY);

        assert_eq!(
            mismatch(Region::<Others>::open(&location)),
            ("layout hash", others.hash, ours.hash)
        );
        assert_eq!(
            mismatch(Region::<AtomicU32>::open(&location)),
            ("size of the type in bytes", 4, 8 * WORDS as u64)
        );
        // Opening or creating does not make another one of what is there.
        assert_eq!(
            mismatch(Region::open_or_create(&location, || AtomicU32::new(0))),
            ("size of the type in bytes", 4, 8 * WORDS as u64)
        );

        let bytes = fs::read(location.path()).expect("readable");
        let refused = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut changed = bytes.clone();
            change(&mut changed);
            fs::write(location.path(), &changed).expect("writable");
            mismatch(Region::<Words>::open(&location))
        };
        let u64_of = |bytes: &[u8; 8]| u64::from_be_bytes(*bytes);
        let magic = u64_of(b"ipc-rgn\0");
        assert_eq!(
            refused(&|file| file[..8].copy_from_slice(b"SQLite f")),
            ("magic number", magic, u64_of(b"SQLite f"))
        );
        assert_eq!(refused(&|file| file.fill(0)), ("magic number", magic, 0));
        assert_eq!(
            refused(&|file| file[8..12].reverse()),
            ("byte order", 0x0102_0304, 0x0403_0201)
        );
        assert_eq!(
            refused(&|file| file[12..16].copy_from_slice(&2_u32.to_ne_bytes())),
            ("version of the header", 1, 2)
        );
        assert_eq!(refused(&|file| file.push(0)), ("length in the header", len + 1, len));
        assert_eq!(
            refused(&|file| file.truncate(file.len() - 1)),
            ("length in the header", len - 1, len)
        );
        assert_eq!(refused(&|file| file.truncate(64)), ("length in the header", 64, len));
        assert_eq!(refused(&|file| file.truncate(63)), ("size in bytes", len, 63));
        assert_eq!(refused(&|file| file.truncate(1)), ("size in bytes", len, 1));
        assert_eq!(refused(&Vec::clear), ("size in bytes", 1, 0));

        fs::write(location.path(), &bytes).expect("writable");
        assert_eq!(Region::<Words>::open(&location).expect("as it was").number(), 1);
        region.segment().unlink().expect("its name");
        let error = Region::<Words>::open(&location).expect_err("it is gone");
        assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
    }
}

#[test]
fn a_memfd_that_is_no_region_or_not_sealed_is_refused() {
    let memfd = Memfd::create("test", 5000, Backing::Lazy).expect("created");
    let (what, ..) = mismatch(Region::<Words, Mapping>::attach(&memfd));
    assert_eq!(what, "set of seals");
    memfd.seal_size().expect("sealable");
    let (what, _, found) = mismatch(Region::<Words, Mapping>::attach(&memfd));
    assert_eq!((what, found), ("magic number", 0));

    // With one writer, the others look only.
    let (ours, memfd) =
        Region::create_memfd("test", Words::of(5), Seals::ONE_WRITER).expect("created");
    let error = Region::<Words, Mapping>::attach(&memfd).expect_err("there is a writer");
    assert!(matches!(error.kind(), OpenErrorKind::PermissionDenied(_)), "{error}");
    #[allow(unsafe_code)] // what the function promises for
    // SAFETY: the words are only loaded.
    let theirs = unsafe { Region::<Words, Mapping>::attach_read_only(&memfd) }.expect("attached");
    ours.words.iter().for_each(|word| word.store(6, Ordering::Relaxed)); // by the same thread
    assert_eq!(theirs.number(), 6);
}

#[test]
fn a_region_to_look_at_only_takes_a_promise() {
    let scope = Scope::new();
    let name = segment_name(&scope);
    Region::create_new(&name, Words::of(9)).expect("created");
    let options = Segment::options().read_only();
    let is_option = |error: OpenError| {
        matches!(error.kind(), OpenErrorKind::InvalidOption { option: "read_only", .. })
    };
    assert!(is_option(options.open_region::<Words>(&name).expect_err("a store would be a fault")));
    assert!(is_option(options.create_new_region(&name, Words::of(9)).expect_err("likewise")));
    #[allow(unsafe_code)] // what the function promises for
    // SAFETY: the words are only loaded.
    let region = unsafe { options.open_region_read_only::<Words>(&name) }.expect("opened");
    assert_eq!(region.number(), 9);
    assert_eq!(region.segment().mapping().access(), Access::ReadOnly);
}

#[test]
fn a_large_value_can_begin_as_zeros() {
    type Large = [AtomicU64; 8 << 20]; // 64 MiB, which no stack holds
    let scope = Scope::new();
    let name = segment_name(&scope);
    let options = Segment::options().backing(Backing::Lazy);
    let region = options.create_new_zeroed_region::<Large>(&name).expect("created");
    region[(8 << 20) - 1].store(7, Ordering::Relaxed); // by the same thread
    let other = Region::<Large>::open(&name).expect("opened");
    assert_eq!(other[(8 << 20) - 1].load(Ordering::Relaxed), 7);
    assert_eq!(other[0].load(Ordering::Relaxed), 0);
}

ipc_shm::shared! {
    /// Where racers meet before and after each round.
    struct Meeting("ipc-shm.test.Meeting/1") {
        arrived: AtomicU64,
        winners: AtomicU64,
        agreed: AtomicU64,
        seen: AtomicU64,
        over: AtomicU32,
        failed: AtomicU32,
    }
}

/// Threads in each of the two processes.
const THREADS: u64 = 2;
const RACERS: u64 = 2 * THREADS;
const ROUNDS: u64 = 400;

impl Meeting {
    fn new() -> Self {
        Self {
            arrived: AtomicU64::new(0),
            winners: AtomicU64::new(0),
            agreed: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            over: AtomicU32::new(0),
            failed: AtomicU32::new(0),
        }
    }

    /// Waits until all racers have come for the `number`th time, from 1 on.
    fn meet(&self, number: u64) {
        // Acquire and release: what each has done before is seen by all after.
        self.arrived.fetch_add(1, Ordering::AcqRel);
        while self.arrived.load(Ordering::Acquire) < number * RACERS {
            assert_eq!(self.failed.load(Ordering::Relaxed), 0, "another one failed"); // no more than a hint
            thread::yield_now();
        }
    }

    /// The rounds of one racer, of which the first also judges.
    fn race(&self, name: &Name, racer: u64) {
        let _tell = TellFailure(self);
        for round in 0..ROUNDS {
            let own = 1 + round * RACERS + racer;
            self.meet(3 * round + 1);
            let region = if round % 2 == 0 {
                // Exactly one creates it; the others are told, and find it whole.
                match Region::create_new(name, Words::of(own)) {
                    Ok(region) => {
                        self.winners.fetch_add(1, Ordering::AcqRel);
                        region
                    }
                    Err(error) => {
                        let exists = matches!(error.kind(), OpenErrorKind::AlreadyExists(_));
                        assert!(exists, "{error}");
                        Region::open(name).expect("the winner's is there")
                    }
                }
            } else {
                Region::open_or_create(name, || Words::of(own)).expect("there is one for all")
            };
            let number = region.number();
            let (first, rest) = (Ordering::AcqRel, Ordering::Acquire);
            if let Err(agreed) = self.agreed.compare_exchange(0, number, first, rest) {
                assert_eq!(number, agreed, "two regions of one name");
            }
            self.meet(3 * round + 2);
            if racer == 0 {
                let winners = self.winners.swap(0, Ordering::AcqRel);
                assert_eq!(winners, if round % 2 == 0 { 1 } else { 0 });
                assert_ne!(self.agreed.swap(0, Ordering::AcqRel), 0);
                region.segment().unlink().expect("its name");
            }
            self.meet(3 * round + 3);
        }
    }

    /// Looks again and again: what is there is whole.
    fn watch(&self, name: &Name) {
        let _tell = TellFailure(self);
        while self.over.load(Ordering::Acquire) == 0 && self.failed.load(Ordering::Relaxed) == 0 {
            match Region::<Words>::open(name) {
                Ok(region) => {
                    region.number();
                    self.seen.fetch_add(1, Ordering::AcqRel);
                }
                Err(error) => {
                    assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
                    thread::yield_now();
                }
            }
        }
    }
}

/// Lets nobody wait for one that has panicked.
struct TellFailure<'a>(&'a Meeting);

impl Drop for TellFailure<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.failed.store(1, Ordering::Relaxed); // no more than a hint
        }
    }
}

/// Two processes of two racers each, and one who looks; many rounds.
#[test]
fn of_racing_creators_one_wins_all_agree_and_nobody_sees_it_half_made() {
    fn part(meeting: &Meeting, name: &Name, first: u64) {
        thread::scope(|scope| {
            for racer in first..first + THREADS {
                scope.spawn(move || meeting.race(name, racer));
            }
        });
    }
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let name = segment_name(&scope);
            let (meeting, memfd) =
                Region::create_memfd("meeting", Meeting::new(), Seals::SIZE).expect("created");
            let invitation =
                Invitation { text: name.to_string(), descriptors: vec![memfd.into_fd()] };
            guest.invite(invitation);
            part(&meeting, &name, 0);
            meeting.over.store(1, Ordering::Release);
            guest.finish();
            assert!(meeting.seen.load(Ordering::Acquire) > 0, "it never saw one");
        },
        |host| {
            let mut invitation = host.invitation();
            let memfd = invitation.descriptors.pop().expect("a memfd");
            let meeting = Region::<Meeting, _>::receive(memfd).expect("received");
            let name = Name::new(&invitation.text).expect("a name");
            thread::scope(|scope| {
                scope.spawn(|| meeting.watch(&name));
                part(&meeting, &name, THREADS);
            });
        },
    );
}
