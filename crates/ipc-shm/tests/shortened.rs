//! Files that another process shortens, punches holes into, or scribbles on: what is an error, what the
//! kernel forbids, what is refused, and where a mapping's fault cannot be excluded.

use std::fs::OpenOptions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use ipc_core::{Name, OpenErrorKind};
use ipc_shm::testing::segment_name;
use ipc_shm::{Access, Backing, Location, Mapping, Memfd, Region, Seals, Segment, UnmappedError};
use ipc_testing::{Invitation, Scope, between_processes};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

const LEN: usize = 3 * 4096;

/// Sets the size of a file, as any process can that may write to it.
fn shorten(path: &Path, len: u64) {
    let file = OpenOptions::new().write(true).open(path).expect("writable");
    file.set_len(len).expect("no seal of a file with a name");
}

/// Asks for a hole through a mapping that can be written.
fn punch_first_page(mapping: &Mapping) -> rustix::io::Result<()> {
    let advice = rustix::mm::Advice::LinuxRemove;
    #[allow(unsafe_code)] // a system call on memory
    // SAFETY: the page is mapped; a hole in it reads as zeros, which the bytes of a mapping may become.
    unsafe {
        rustix::mm::madvise(mapping.as_mut_ptr().cast(), 4096, advice)
    }
}

#[test]
fn a_sealed_memfd_cannot_be_shortened_and_with_one_writer_has_no_holes() {
    between_processes!(
        |guest| {
            for seals in [Seals::SIZE, Seals::ONE_WRITER] {
                let memory = Memfd::create("test", LEN, Backing::Reserved).expect("created");
                let mapping = memory.map(Access::ReadWrite).expect("mapped");
                mapping.write_at(0, &[7; LEN]);
                if seals == Seals::SIZE { memory.seal_size() } else { memory.seal_for_peer() }
                    .expect("sealed");
                if seals == Seals::ONE_WRITER {
                    assert_eq!(punch_first_page(&mapping), Err(Errno::PERM), "nor can the writer");
                }
                guest.invite(Invitation::of_descriptors(vec![memory.into_fd()]));
                let punched = guest.hear();
                let mut bytes = [0; LEN];
                mapping.read_at(0, &mut bytes); // whatever the other did
                let hole = if seals == Seals::SIZE { ("a hole", 0) } else { ("no hole", 7) };
                assert_eq!((punched.as_str(), bytes[4096]), hole);
                assert_eq!((bytes[0], bytes[LEN - 1]), (7, 7));
            }
        },
        |host| {
            for _ in 0..2 {
                let file = host.invitation().descriptors.pop().expect("a memfd");
                for len in [0, 1, LEN as u64 - 1, LEN as u64 + 1] {
                    assert_eq!(rustix::fs::ftruncate(&file, len), Err(Errno::PERM));
                }
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                let punched = rustix::fs::fallocate(&file, flags, 4096, 4096);
                host.tell(if punched.is_ok() { "a hole" } else { "no hole" });
            }
        },
    );
}

#[test]
fn without_a_mapping_a_shortened_segment_is_an_error_to_read_and_to_write() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let name = segment_name(&scope);
            let file = scope.path("segment");
            for location in [Location::from(&name), Location::from(&file)] {
                let segment = Segment::create_new(&location, LEN).expect("created");
                let unmapped = Segment::options().open_unmapped(&location).expect("opened");
                let mut bytes = [0; 5];
                segment.mapping().write_at(LEN - 5, b"hello");
                unmapped.read_at(LEN - 5, &mut bytes).expect("it is there");
                assert_eq!(&bytes, b"hello", "as soon as it is written");
                unmapped.write_at(LEN - 5, b"world").expect("it is there");
                segment.mapping().read_at(LEN - 5, &mut bytes);
                assert_eq!(&bytes, b"world", "as soon as it is written");

                guest.tell(segment.path().to_str().expect("UTF-8"));
                assert_eq!(guest.hear(), "shortened");
                let shortened = |result| match result {
                    Err(UnmappedError::Shortened { len, expected, .. }) => (len, expected),
                    other => panic!("{other:?}"),
                };
                let expected = (5000, LEN as u64);
                assert_eq!(shortened(unmapped.check_len()), expected);
                assert_eq!(shortened(unmapped.read_at(LEN - 5, &mut bytes)), expected);
                assert_eq!(shortened(unmapped.read_at(4998, &mut bytes)), expected, "in part");
                assert_eq!(shortened(unmapped.write_at(LEN - 5, b"x")), expected);
                assert_eq!(segment.path().metadata().expect("there").len(), 5000, "not undone");
                unmapped.read_at(0, &mut bytes).expect("that is still there");
                segment.unlink().expect("ours");
            }
        },
        |host| {
            for _ in 0..2 {
                shorten(Path::new(&host.hear()), 5000);
                host.tell("shortened");
            }
        },
    );
}

#[test]
fn a_segment_that_users_of_others_could_shorten_opens_only_on_trust() {
    let scope = Scope::new();
    let name = segment_name(&scope);
    let segment = Segment::create_new(&name, LEN).expect("created");
    let assert_refused = |state: &str| {
        for options in [Segment::options(), Segment::options().read_only()] {
            let error = options.open(&name).expect_err("others could shorten it");
            assert!(matches!(error.kind(), OpenErrorKind::PermissionDenied(_)), "{state}: {error}");
            assert!(error.to_string().contains("trust_writers"), "{state}: {error}");
            options.trust_writers().open(&name).expect("they are trusted");
            options.open_unmapped(&name).expect("it does not matter");
        }
    };
    for mode in [0o620, 0o602, 0o666] {
        std::fs::set_permissions(segment.path(), PermissionsExt::from_mode(mode)).expect("ours");
        assert_refused(&format!("mode {mode:o}"));
    }
    std::fs::set_permissions(segment.path(), PermissionsExt::from_mode(0o644)).expect("ours");
    Segment::open(&name).expect("nobody else may write");
    if rustix::process::geteuid().is_root() {
        chown(segment.path(), Some(65_534), None).expect("root may");
        assert_refused("somebody else's");
    }
    segment.unlink().expect("its name");

    // What the creator's mode lets in, it trusts; who opens it has to say so too.
    let options = Segment::options().mode(0o666);
    options.open_or_create(&name, LEN, |_| Ok(())).expect("created");
    options.open_or_create(&name, LEN, |_| Ok(())).expect_err("it is there, and not trusted");
    options.trust_writers().open_or_create(&name, LEN, |_| Ok(())).expect("opened");
}

/// The other process changes the file as fast as it can: sizes, holes, the header. Attaching either works
/// or says why not; it never faults.
#[test]
fn attaching_while_another_process_changes_the_file_never_faults() {
    /// How often this process attaches in each way.
    const ATTEMPTS: usize = 2_000;

    between_processes!(
        |guest| {
            let scope = Scope::new();
            let name = segment_name(&scope);
            let region = Region::create_new(&name, [const { AtomicU64::new(0) }; 1000]);
            region.expect("created");
            guest.tell(name.as_str());
            guest.hear(); // it has begun
            let (mut attached, mut refused) = (0, 0);
            for attempt in 0..ATTEMPTS {
                let mut options = Segment::options();
                if attempt % 2 == 1 {
                    options = options.prefault();
                }
                if attempt % 8 == 1 {
                    options = options.lock();
                }
                let segment = options.open(&name).map(drop);
                let region = options.open_region::<[AtomicU64; 1000]>(&name).map(drop);
                for result in [segment, region] {
                    match result {
                        Ok(()) => attached += 1,
                        Err(error) => {
                            assert_is_about_the_file(error.kind());
                            refused += 1;
                        }
                    }
                }
            }
            guest.kill();
            assert!(attached > 0 && refused > 0, "{attached} attached, {refused} refused");
        },
        |host| {
            let path = format!("/dev/shm/{}", host.hear());
            let file = OpenOptions::new().read(true).write(true).open(path).expect("writable");
            let mut header = [0; 64];
            rustix::io::pread(&file, &mut header, 0).expect("a header");
            host.tell("begun");
            let whole = 64 + 8 * 1000;
            for round in 0_u64.. {
                // Mostly right, and now and then wrong in each way.
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                rustix::fs::fallocate(&file, flags, 0, 4096).expect("punched");
                rustix::fs::ftruncate(&file, round * 37 % whole).expect("shortened");
                rustix::fs::ftruncate(&file, whole).expect("lengthened");
                let mut wrong = header;
                wrong[round as usize % 64] ^= round as u8;
                rustix::io::pwrite(&file, &wrong, 0).expect("written");
                rustix::io::pwrite(&file, &header, 0).expect("written");
            }
        },
    );
}

#[track_caller]
fn assert_is_about_the_file(kind: &OpenErrorKind) {
    let is_fault = |error: &std::io::Error| {
        // What populating says of a page that is not there (any more).
        Errno::from_io_error(error) == Some(Errno::FAULT)
    };
    match kind {
        OpenErrorKind::Mismatch { .. } => {}
        OpenErrorKind::Os(error) if is_fault(error) => {}
        // Shortened in the moment between populating and locking.
        OpenErrorKind::Limit { setting, .. } if setting.contains("MEMLOCK") => {}
        other => panic!("{other:?}"),
    }
}

/// What `Segment` says cannot be promised: it is so, and a signal, and not undefined.
#[test]
fn a_mapping_that_ones_own_user_shortens_ends_in_sigbus() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let name = segment_name(&scope);
            let segment = Segment::create_new(&name, LEN).expect("created");
            guest.tell(name.as_str());
            assert_eq!(guest.hear(), "attached");
            shorten(segment.path(), 4096);
            guest.tell("shortened");
            assert_eq!(guest.wait().signal(), Some(rustix::process::Signal::BUS.as_raw()));
        },
        |host| {
            let name = Name::new(&host.hear()).expect("a name");
            let segment = Segment::open(&name).expect("opened");
            host.tell("attached");
            host.hear();
            // No core file.
            let core = rustix::process::Resource::Core;
            let mut limits = rustix::process::getrlimit(core);
            limits.current = Some(0);
            rustix::process::setrlimit(core, limits).expect("lower");
            segment.mapping().read_at(4095, &mut [0]);
            segment.mapping().read_at(4096, &mut [0]);
            panic!("no fault");
        },
    );
}
