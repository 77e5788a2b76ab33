//! The snapshot cell between processes.

use std::time::Duration;

use ipc_core::{Deadline, WaitStrategy};
use ipc_shm::{
    Access, Backing, Bell, ClaimError, Mapping, Memfd, Seals, Snapshot, SnapshotReadError,
    SnapshotReader,
};
use ipc_testing::{Guest, Host, Invitation, between_processes};

/// Large enough that copies take long, and odd, so that a copy ends in bytes.
type Large = [u8; 65_537];
type Small = [u64; 3];

/// Where things lie in a mapping.
const BELL_AT: usize = 64;
const CELL_AT: usize = 128;

fn memfd(len: usize) -> Memfd {
    Memfd::create("snapshot", len, Backing::Reserved).expect("a memfd")
}

fn invite(guest: &mut Guest, memfd: &Memfd) {
    let descriptor = std::os::fd::AsFd::as_fd(memfd).try_clone_to_owned().expect("a descriptor");
    guest.invite(Invitation::of_descriptors(vec![descriptor]));
}

fn join(host: &mut Host, seals: Seals, access: Access) -> Mapping {
    let descriptor = host.invitation().descriptors.remove(0);
    let memfd = Memfd::receive(descriptor, seals, 1..=1 << 20).expect("as agreed");
    memfd.map(access).expect("mapped")
}

/// Memory that both processes can write.
fn shared_with(guest: &mut Guest, len: usize) -> Mapping {
    let memfd = memfd(len);
    memfd.seal_size().expect("sealed");
    invite(guest, &memfd);
    memfd.map(Access::ReadWrite).expect("mapped")
}

/// Value `number` has the same byte everywhere.
fn large(number: u64) -> Box<Large> {
    Box::new([number as u8; size_of::<Large>()])
}

/// One process writes as fast as it can, the other reads through memory that the kernel does not let it
/// write: each value is whole, and none is older than the one before.
#[test]
fn readers_of_sealed_memory_see_whole_values_in_order() {
    const VALUES: u64 = 20_000;
    between_processes!(
        |guest| {
            let memfd = memfd(size_of::<Snapshot<Large>>());
            let mapping = memfd.map(Access::ReadWrite).expect("mapped");
            memfd.seal_for_peer().expect("sealed");
            invite(guest, &memfd);
            let mut writer = Snapshot::<Large>::at(&mapping, 0).claim().expect("nobody else");
            assert_eq!(guest.hear(), "ready");
            for number in 1..=VALUES {
                assert_eq!(writer.publish(&large(number)), number);
            }
        },
        |host| {
            let mapping = join(host, Seals::ONE_WRITER, Access::ReadOnly);
            let reader = SnapshotReader::<Large>::at(&mapping, 0);
            assert_eq!(reader.version(), 0);
            host.tell("ready");
            let mut value = large(0);
            let mut last = 0;
            while last < VALUES {
                match reader.read_deadline(&mut value, Deadline::Never) {
                    Ok(version) => {
                        assert!(version >= last, "{version} after {last}");
                        assert!(value.iter().all(|&byte| byte == version as u8), "torn {version}");
                        last = version;
                    }
                    Err(error) => assert_eq!(error, SnapshotReadError::Unpublished),
                }
            }
        },
    );
}

#[test]
fn who_waits_with_a_bell_gets_every_value_that_is_waited_for() {
    const VALUES: u64 = 2_000;
    for strategy in [WaitStrategy::Park, WaitStrategy::adaptive()] {
        between_processes!(
            |guest| {
                let mapping = shared_with(guest, 4096);
                let question = Snapshot::<Small>::at(&mapping, CELL_AT);
                let answer = Snapshot::<u64>::at(&mapping, 1024).reader();
                let (bell, answered) = (Bell::at(&mapping, BELL_AT), Bell::at(&mapping, 0));
                let mut writer = question.claim().expect("nobody else");
                for number in 1..=VALUES {
                    writer.publish(&[number; 3]);
                    bell.ring().expect("rung");
                    assert!(
                        answer
                            .wait_changed(number - 1, answered, strategy, Deadline::Never)
                            .expect("no error")
                    );
                    assert_eq!(answer.read(), Ok(number));
                }
            },
            |host| {
                let mapping = join(host, Seals::SIZE, Access::ReadWrite);
                let question = SnapshotReader::<Small>::at(&mapping, CELL_AT);
                let (bell, answered) = (Bell::at(&mapping, BELL_AT), Bell::at(&mapping, 0));
                let mut writer = Snapshot::<u64>::at(&mapping, 1024).claim().expect("nobody else");
                for number in 1..=VALUES {
                    assert!(
                        question
                            .wait_changed(number - 1, bell, strategy, Deadline::Never)
                            .expect("no error")
                    );
                    assert_eq!(question.read(), Ok([number; 3]));
                    writer.publish(&number);
                    answered.ring().expect("rung");
                }
            },
        );
    }
}

#[test]
fn a_cell_has_one_writer_until_it_lets_go_or_dies() {
    between_processes!(
        |guest| {
            let mapping = shared_with(guest, 4096);
            let cell = Snapshot::<u64>::at(&mapping, CELL_AT);
            let reader = cell.reader();
            assert_eq!(reader.read(), Err(SnapshotReadError::Unpublished));
            assert!(!reader.has_writer().expect("asked"));
            assert_eq!(guest.hear(), "ready");
            let taken = |by: u32| match cell.claim() {
                Err(ClaimError::Taken { process_id }) => assert_eq!(process_id, by),
                other => panic!("{other:?}"),
            };
            taken(guest.pid());
            guest.stop();
            taken(guest.pid());
            assert!(reader.has_writer().expect("asked"), "a stopped one is one");
            assert_eq!(reader.read_versioned(), Ok((1, 11)));
            guest.kill();
            assert!(!reader.has_writer().expect("asked"));
            assert_eq!(reader.read_versioned(), Ok((1, 11)), "its value stays");

            let mut writer = cell.claim().expect("the last one is dead");
            taken(std::process::id());
            assert_eq!(writer.publish(&12), 2);
            drop(writer);
            assert_eq!(cell.claim().expect("free").publish(&13), 3);
            assert_eq!(reader.read_versioned(), Ok((3, 13)));
        },
        |host| {
            let mapping = join(host, Seals::SIZE, Access::ReadWrite);
            let mut writer = Snapshot::<u64>::at(&mapping, CELL_AT).claim().expect("the first");
            writer.publish(&11);
            host.tell("ready");
            host.hear(); // never: killed
        },
    );
}

/// Whatever stands in the words, a reader gets some value or an error, and a claim too; nobody hangs.
#[test]
fn garbage_in_the_memory_is_some_value_or_an_error() {
    let memfd = memfd(4096);
    let mapping = memfd.map(Access::ReadWrite).expect("mapped");
    let cell = Snapshot::<Small>::at(&mapping, CELL_AT);
    for version in [0, 1, 5, u64::MAX - 1, u64::MAX, 1 << 63] {
        for writer in [1, u64::MAX, 1 << 22, 42 << 22] {
            mapping.write_at(CELL_AT, &version.to_ne_bytes());
            mapping.write_at(CELL_AT + 8, &writer.to_ne_bytes());
            mapping.write_at(CELL_AT + 16, &[0xaa; 96]);
            let reader = cell.reader();
            let expected = match version {
                0 => Err(SnapshotReadError::Unpublished),
                _ => Ok([0xaaaa_aaaa_aaaa_aaaa; 3]),
            };
            assert_eq!(reader.read(), expected);
            reader.has_writer().expect("an answer");
            // Process 1 lives, so the id 1 alone may not be told from it; all others are nobody.
            if let Ok(mut writer) = cell.claim() {
                writer.publish(&[7; 3]);
                if writer.version() != 0 {
                    assert_eq!(reader.read(), Ok([7; 3]), "version {version:x}");
                }
            } else {
                assert_eq!(writer & 0x3f_ffff, 1, "{writer:x}");
            }
        }
    }
}

/// A writer that does all it can to make attempts fail, with versions that no honest one would write.
#[test]
fn a_hostile_writer_cannot_keep_a_reader() {
    between_processes!(
        |guest| {
            let mapping = shared_with(guest, size_of::<Snapshot<Large>>());
            let version = mapping.atomic_u64(0);
            guest.tell("go");
            let alive = ipc_core::Liveness::of_process(guest.pid()).expect("our child");
            while alive.is_alive().expect("polled") {
                for _ in 0..100_000 {
                    version.fetch_add(0x1_0001, std::sync::atomic::Ordering::Relaxed);
                }
            }
        },
        |host| {
            let mapping = join(host, Seals::SIZE, Access::ReadWrite);
            let reader = SnapshotReader::<Large>::at(&mapping, 0);
            let mut value = large(0);
            assert_eq!(host.hear(), "go");
            while reader.version() == 0 {}
            for _ in 0..100 {
                let results = [
                    reader.read_into(&mut value),
                    reader.read_deadline(&mut value, Deadline::Now),
                    reader.read_deadline(&mut value, Deadline::after(Duration::from_millis(1))),
                ];
                for result in results {
                    assert_ne!(result, Err(SnapshotReadError::Unpublished));
                }
            }
        },
    );
}

#[test]
#[should_panic(expected = "outside a mapping")]
fn a_cell_out_of_bounds_is_refused() {
    let mapping = memfd(4096).map(Access::ReadWrite).expect("mapped");
    SnapshotReader::<[u8; 1_000]>::at(&mapping, 128);
}

#[test]
#[should_panic(expected = "the mapping is read-only")]
fn a_read_only_cell_has_no_writer() {
    let mapping = memfd(4096).map(Access::ReadOnly).expect("mapped");
    Snapshot::<u64>::at(&mapping, 0);
}
