//! Named segments between processes. Every test removes its names even when it fails: see `Scope`.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use ipc_core::{Name, OpenError, OpenErrorKind};
use ipc_shm::testing::segment_name as name;
use ipc_shm::{Access, Backing, BoundedBuffer, Segment};
use ipc_testing::{Scope, between_processes};
use rustix::io::Errno;

fn path(name: &Name) -> PathBuf {
    PathBuf::from(format!("/dev/shm/{name}"))
}

#[track_caller]
fn assert_kind<T: std::fmt::Debug>(
    result: Result<T, OpenError>,
    name: &Name,
    is_expected: impl Fn(&OpenErrorKind) -> bool,
) {
    let error = result.expect_err("refused");
    assert!(is_expected(error.kind()), "{error:?}");
    assert!(error.to_string().contains(&format!("shared memory segment \"/{name}\"")), "{error}");
}

#[test]
fn two_processes_see_each_others_bytes_and_the_size_is_found() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let name = name(&scope);
            let segment = Segment::create_new(&name, 12_345).expect("created");
            segment.mapping().write_at(12_000, b"from the host");
            guest.tell(name.as_str());
            assert_eq!(guest.hear(), "written");
            let mut bytes = [0; 14];
            segment.mapping().read_at(100, &mut bytes);
            assert_eq!(&bytes, b"from the guest");
        },
        |host| {
            let name = Name::new(&host.hear()).expect("a name");
            let segment = Segment::open(&name).expect("opened");
            assert_eq!(segment.mapping().len(), 12_345);
            assert_eq!(segment.owner_uid(), rustix::process::geteuid().as_raw());
            let mut bytes = [0; 13];
            segment.mapping().read_at(12_000, &mut bytes);
            assert_eq!(&bytes, b"from the host");
            segment.mapping().write_at(100, b"from the guest");
            host.tell("written");
        },
    );
}

#[test]
fn nobody_sees_a_segment_before_it_is_initialised_and_a_killed_creator_leaves_nothing() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let name = name(&scope);
            guest.tell(name.as_str());
            assert_eq!(guest.hear(), "initialising");
            assert_kind(Segment::open(&name), &name, |kind| {
                matches!(kind, OpenErrorKind::NotFound(_))
            });
            assert!(guest.kill().code().is_none(), "killed in the middle of it");
            assert_kind(Segment::open(&name), &name, |kind| {
                matches!(kind, OpenErrorKind::NotFound(_))
            });
            let ours = std::fs::read_dir("/dev/shm").expect("listed").flatten();
            let ours = ours.filter(|it| it.file_name().to_string_lossy().contains(name.as_str()));
            assert_eq!(ours.count(), 0);
            Segment::create_new(&name, 1).expect("the name is free");
        },
        |host| {
            let name = Name::new(&host.hear()).expect("a name");
            let result = Segment::options().create_new(&name, 100_000, |memory| {
                memory.write_at(0, b"half");
                host.tell("initialising");
                host.hear(); // the kill
                Ok(())
            });
            panic!("not killed: {result:?}");
        },
    );
}

#[test]
fn of_two_creators_the_later_one_is_told() {
    let scope = Scope::new();
    let name = name(&scope);
    let exists = |kind: &OpenErrorKind| matches!(kind, OpenErrorKind::AlreadyExists(_));
    // The other creator comes while this one initialises: the link decides.
    let late =
        Segment::options().create_new(&name, 10, |_| Segment::create_new(&name, 20).map(drop));
    assert_kind(late, &name, exists);
    assert_eq!(Segment::open(&name).expect("the first one's").mapping().len(), 20);
    // It is there from the start: nobody initialises in vain.
    let late = Segment::options().create_new(&name, 10, |_| panic!("called in vain"));
    assert_kind(late, &name, exists);
}

#[test]
fn an_initialiser_that_fails_leaves_nothing() {
    let scope = Scope::new();
    let name = name(&scope);
    let refused = Segment::options()
        .create_new(&name, 10, |_| Err(Segment::open(&name).expect_err("not there yet")));
    assert_kind(refused, &name, |kind| matches!(kind, OpenErrorKind::NotFound(_)));
    assert!(!path(&name).exists());
}

#[test]
fn detaching_removes_nothing_and_unlinking_leaves_the_attached_alone() {
    let scope = Scope::new();
    let name = name(&scope);
    let not_found = |kind: &OpenErrorKind| matches!(kind, OpenErrorKind::NotFound(_));
    let first = Segment::create_new(&name, 8).expect("created");
    first.mapping().write_at(0, b"kept");
    drop(first);
    let second = Segment::open(&name).expect("still there");
    second.unlink().expect("named so");
    assert_kind(Segment::open(&name), &name, not_found);
    assert_kind(second.unlink(), &name, not_found);
    assert_kind(Segment::unlink_name(&name), &name, not_found);
    let mut bytes = [0; 4];
    second.mapping().read_at(0, &mut bytes);
    assert_eq!(&bytes, b"kept");
    // A successor of the same name is not ours to remove.
    let successor = Segment::create_new(&name, 8).expect("the name is free");
    assert_kind(second.unlink(), &name, not_found);
    successor.unlink().expect("its own name");
}

#[test]
fn the_mode_is_exactly_the_one_asked_for() {
    let scope = Scope::new();
    for mode in [0o600, 0o666, 0o640] {
        let name = name(&scope);
        let segment = Segment::options().mode(mode).create_new(&name, 1, |_| Ok(()));
        assert_eq!(segment.expect("created").mode(), mode);
        let opened = Segment::options().trust_writers().open(&name);
        assert_eq!(opened.expect("opened").mode(), mode);
    }
    let name = name(&scope);
    let refused = Segment::options().mode(0o1600).create_new(&name, 1, |_| Ok(()));
    assert_kind(refused, &name, |kind| {
        matches!(kind, OpenErrorKind::InvalidOption { option: "mode", .. })
    });
}

#[test]
fn a_read_only_attachment_reads_and_cannot_be_written() {
    let scope = Scope::new();
    let name = name(&scope);
    let initialised = Segment::options().read_only().create_new(&name, 4, |memory| {
        memory.write_at(0, b"data");
        Ok(())
    });
    let opened = Segment::options().read_only().open(&name);
    for segment in [initialised.expect("created"), opened.expect("opened")] {
        assert_eq!(segment.mapping().access(), Access::ReadOnly);
        let mut bytes = [0; 4];
        segment.mapping().read_at(0, &mut bytes);
        assert_eq!(&bytes, b"data");
        let write = std::panic::AssertUnwindSafe(|| segment.mapping().write_at(0, b"x"));
        std::panic::catch_unwind(write).expect_err("refused");
    }
}

#[test]
fn without_permission_opening_and_unlinking_are_refused() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let name = name(&scope);
            Segment::create_new(&name, 8).expect("created");
            guest.tell(name.as_str());
            guest.hear();
        },
        |host| {
            let name = Name::new(&host.hear()).expect("a name");
            // Somebody else, and no superuser. Without the right to change, we are no superuser, and
            // a mode that refuses everybody does as well.
            let denied = |kind: &OpenErrorKind| matches!(kind, OpenErrorKind::PermissionDenied(_));
            if rustix::process::geteuid().is_root() {
                let nobody = rustix::process::Uid::from_raw(65_534);
                rustix::thread::set_thread_uid(nobody).expect("root may");
                assert_kind(Segment::unlink_name(&name), &name, denied);
            } else {
                std::fs::set_permissions(path(&name), PermissionsExt::from_mode(0o000))
                    .expect("ours");
            }
            assert_kind(Segment::open(&name), &name, denied);
            assert_kind(Segment::options().read_only().open(&name), &name, denied);
            assert_kind(BoundedBuffer::open(&name), &name, denied);
            host.tell("done");
        },
    );
}

#[test]
fn what_is_no_segment_does_not_open() {
    let scope = Scope::new();
    let not_regular =
        |kind: &OpenErrorKind| matches!(kind, OpenErrorKind::Mismatch { what: "file type", .. });
    // A FIFO, which would block; a link, which could lead anywhere; a directory; an empty file.
    let fifo = name(&scope);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path(&fifo),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .expect("a FIFO");
    assert_kind(Segment::options().read_only().open(&fifo), &fifo, not_regular);

    let link = name(&scope);
    std::os::unix::fs::symlink("/etc/passwd", path(&link)).expect("a link");
    assert_kind(Segment::options().read_only().open(&link), &link, |kind| {
        let is_loop = |error| rustix::io::Errno::from_io_error(error) == Some(Errno::LOOP);
        matches!(kind, OpenErrorKind::Os(error) if is_loop(error))
    });

    let empty = name(&scope);
    std::fs::write(path(&empty), b"").expect("a file");
    assert_kind(Segment::open(&empty), &empty, |kind| {
        matches!(kind, OpenErrorKind::Mismatch { what: "size in bytes", .. })
    });
}

#[test]
fn more_memory_than_there_is_is_an_error_at_creation_that_names_the_limit() {
    let scope = Scope::new();
    let name = name(&scope);
    let whole = rustix::fs::statvfs("/dev/shm").expect("mounted");
    let len = usize::try_from(whole.f_blocks * whole.f_frsize).expect("64 bits") + 4096;
    let limit = |kind: &OpenErrorKind| matches!(kind, OpenErrorKind::Limit { setting, .. } if setting.contains("/dev/shm"));
    assert_kind(Segment::create_new(&name, len), &name, limit);
    assert!(!path(&name).exists());
    for len in [0, usize::MAX] {
        assert_kind(Segment::create_new(&name, len), &name, |kind| {
            matches!(kind, OpenErrorKind::InvalidOption { option: "length", .. })
        });
    }
}

#[test]
fn the_limit_on_files_is_an_error_and_not_a_signal() {
    between_processes!(|_guest| {}, |_host| {
        let scope = Scope::new();
        let name = name(&scope);
        let fsize = rustix::process::Resource::Fsize;
        let mut limits = rustix::process::getrlimit(fsize);
        limits.current = Some(8192);
        rustix::process::setrlimit(fsize, limits).expect("lower");
        let limit = |kind: &OpenErrorKind| matches!(kind, OpenErrorKind::Limit { setting, .. } if setting.contains("FSIZE"));
        assert_kind(Segment::create_new(&name, 8193), &name, limit);
        Segment::create_new(&name, 8192).expect("just within");
    },);
}

#[test]
fn exhausted_descriptors_are_an_error_that_names_the_limit() {
    between_processes!(|_guest| {}, |_host| {
        let scope = Scope::new();
        let name = name(&scope);
        let nofile = rustix::process::Resource::Nofile;
        let mut limits = rustix::process::getrlimit(nofile);
        limits.current = Some(0);
        rustix::process::setrlimit(nofile, limits).expect("lower");
        let limit = |kind: &OpenErrorKind| matches!(kind, OpenErrorKind::Limit { setting, .. } if setting.contains("NOFILE"));
        assert_kind(Segment::create_new(&name, 1), &name, limit);
        assert_kind(Segment::open(&name), &name, limit);
        let error = ipc_shm::Memfd::create("test", 1, Backing::Lazy).expect_err("refused");
        assert!(limit(error.kind()), "{error}");
    },);
}
