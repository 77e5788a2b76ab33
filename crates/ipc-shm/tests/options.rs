//! What the options of segments do: open or create, prefault, lock, huge pages, files on disk.

use std::fs;
use std::path::Path;

use ipc_core::{OpenError, OpenErrorKind};
use ipc_shm::testing::segment_name;
use ipc_shm::{Backing, HugePages, Location, Mapping, Memfd, Segment, SegmentOptions};
use ipc_testing::{Scope, between_processes};

const LEN: usize = 1 << 20;

#[test]
fn the_second_who_opens_or_creates_gets_the_first_ones() {
    let scope = Scope::new();
    let name = segment_name(&scope);
    let file = scope.path("segment");
    for location in [Location::from(&name), Location::from(&file)] {
        let options = Segment::options().mode(0o640);
        let created = options.open_or_create(&location, 100, |memory| {
            memory.write_at(0, b"first");
            Ok(())
        });
        let created = created.expect("created");
        let opened = options.open_or_create(&location, 100, |_| panic!("it is there"));
        let opened = opened.expect("opened");
        let mut bytes = [0; 5];
        opened.mapping().read_at(0, &mut bytes);
        assert_eq!((&bytes, opened.mode()), (b"first", 0o640));
        let other = options.open_or_create(&location, 99, |_| panic!("it is there"));
        let error = other.expect_err("of another size");
        let (expected, found) = match error.kind() {
            OpenErrorKind::Mismatch { what: "size in bytes", expected, found } => {
                (*expected, *found)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!((expected, found), (99, 100));
        created.unlink().expect("its name");
        assert!(!location.path().exists());
    }
}

/// What `/proc/self/smaps` says of a mapping, in KiB.
fn smaps_kib(mapping: &Mapping, field: &str) -> usize {
    let smaps = fs::read_to_string("/proc/self/smaps").expect("readable");
    let start = format!("{:x}-", mapping.as_ptr() as usize);
    let of_this = smaps.lines().skip_while(|line| !line.starts_with(&start)).skip(1);
    let line = of_this.map(str::trim).find(|line| line.starts_with(&format!("{field}:")));
    let words = line.expect("the field is there").split_whitespace();
    words.rev().nth(1).expect("a number before the unit").parse().expect("a number")
}

/// A named segment, opened with these options, and a memfd, mapped with them.
fn mapped_both_ways(options: SegmentOptions) -> Result<[Mapping; 2], OpenError> {
    let scope = Scope::new();
    let name = segment_name(&scope);
    Segment::create_new(&name, LEN).expect("created");
    let memfd = Memfd::create("test", LEN, Backing::Reserved).expect("created");
    Ok([options.open(&name)?.into_mapping(), memfd.map_with(options)?])
}

#[test]
fn prefaulted_pages_are_all_in_the_page_table_and_others_are_not() {
    for options in [Segment::options(), Segment::options().read_only()] {
        for mapping in mapped_both_ways(options).expect("mapped") {
            assert_eq!(smaps_kib(&mapping, "Rss"), 0);
        }
        for mapping in mapped_both_ways(options.prefault()).expect("mapped") {
            assert_eq!(smaps_kib(&mapping, "Rss"), LEN / 1024);
        }
    }
    let scope = Scope::new();
    let created = Segment::options().prefault().create_new(&segment_name(&scope), LEN, |_| Ok(()));
    assert_eq!(smaps_kib(created.expect("created").mapping(), "Rss"), LEN / 1024);
}

#[test]
fn locked_pages_are_locked_and_the_limit_is_named() {
    between_processes!(|_guest| {}, |_host| {
        // Root has no limit: be nobody. One who has less than is locked here is refused anyway.
        if rustix::process::geteuid().is_root() {
            for mapping in mapped_both_ways(Segment::options().lock()).expect("mapped") {
                assert_eq!(smaps_kib(&mapping, "Locked"), LEN / 1024);
            }
            let nobody = rustix::process::Uid::from_raw(65_534);
            rustix::thread::set_thread_uid(nobody).expect("root may");
        }
        for (limit, len) in [(LEN as u64 / 2, LEN), (0, 4096)] {
            let memlock = rustix::process::Resource::Memlock;
            let mut limits = rustix::process::getrlimit(memlock);
            limits.current = Some(limit);
            rustix::process::setrlimit(memlock, limits).expect("lower");
            let memfd = Memfd::create("test", len, Backing::Lazy).expect("created");
            let error = memfd.map_with(Segment::options().lock()).expect_err("beyond the limit");
            assert!(matches!(error.kind(), OpenErrorKind::Limit { .. }), "{error}");
            assert!(error.to_string().contains("RLIMIT_MEMLOCK"), "{error}");
        }
    });
}

/// The number after a word in a file such as `/proc/meminfo`.
fn number(file: &str, word: &str) -> usize {
    let text = fs::read_to_string(file).expect("readable");
    let rest = text.split_once(word).expect("the word is there").1;
    rest.split_whitespace().next().expect("a number").parse().expect("a number")
}

#[test]
fn huge_pages_of_the_pool_are_there_or_the_setting_is_named() {
    let options = Segment::options().huge_pages(HugePages::Pool);
    let page = number("/proc/meminfo", "Hugepagesize:") * 1024;
    let error = options.create_memfd("test", page + 4096).expect_err("no whole pages");
    assert!(
        matches!(error.kind(), OpenErrorKind::InvalidOption { option: "length", .. }),
        "{error}"
    );
    // More than anybody has.
    let error = options.create_memfd("test", page << 20).expect_err("too many");
    assert!(matches!(error.kind(), OpenErrorKind::Limit { .. }), "{error}");
    assert!(error.to_string().contains("nr_hugepages"), "{error}");
    let lazy = options.backing(Backing::Lazy).create_memfd("test", page << 20).expect("not yet");
    let error = lazy.map_with(Segment::options()).expect_err("too many");
    assert!(error.to_string().contains("nr_hugepages"), "{error}");

    match options.create_memfd("test", page) {
        Ok(memfd) => {
            let mapping = memfd.map_with(options.prefault()).expect("there is one");
            mapping.write_at(page - 5, b"hello");
            assert_eq!(smaps_kib(&mapping, "KernelPageSize") * 1024, page);
            hand_over(memfd, page);
            let lazy =
                options.backing(Backing::Lazy).create_memfd("test", page).expect("there is one");
            lazy.seal_for_peer().expect("sealed");
            let refused = Memfd::receive(lazy.into_fd(), ipc_shm::Seals::ONE_WRITER, page..=page);
            refused.expect_err("the page may not be there");
        }
        Err(error) => {
            assert!(error.to_string().contains("nr_hugepages"), "{error}");
            assert_eq!(number("/proc/meminfo", "HugePages_Free:"), 0, "{error}");
        }
    }

    let scope = Scope::new();
    let error = options.create_new(&segment_name(&scope), page, |_| Ok(())).expect_err("no name");
    assert!(matches!(error.kind(), OpenErrorKind::Unsupported(_)), "{error}");
}

/// A page that could be missing is a fault: only what is whole and can have no holes is received.
fn hand_over(memfd: Memfd, len: usize) {
    use ipc_shm::Seals;
    use std::os::fd::AsFd;
    let copy = || memfd.as_fd().try_clone_to_owned().expect("a copy");
    Memfd::receive(copy(), Seals::NONE, len..=len).expect_err("not sealed");
    memfd.seal_for_peer().expect("sealed");
    let received = Memfd::receive(copy(), Seals::ONE_WRITER, len..=len).expect("sealed");
    let mut bytes = [0; 5];
    let mapping = received.map(ipc_shm::Access::ReadOnly).expect("mapped");
    mapping.read_at(len - 5, &mut bytes);
    assert_eq!(&bytes, b"hello");
}

#[test]
fn transparent_huge_pages_are_asked_for_or_the_setting_is_named() {
    let options = Segment::options().huge_pages(HugePages::Transparent);
    let scope = Scope::new();
    let memfd = Memfd::create("test", 4 << 20, Backing::Lazy).expect("created");
    let named = options.create_new(&segment_name(&scope), LEN, |_| Ok(()));
    let results = [
        (memfd.map_with(options), "/sys/kernel/mm/transparent_hugepage/shmem_enabled"),
        (named.map(Segment::into_mapping), "mount -o remount,huge=advise /dev/shm"),
    ];
    for (result, setting) in results {
        match result {
            // "hg": MADV_HUGEPAGE.
            Ok(mapping) => assert!(flags(&mapping).contains(" hg"), "{}", flags(&mapping)),
            Err(error) => {
                assert!(matches!(error.kind(), OpenErrorKind::Limit { .. }), "{error}");
                assert!(error.to_string().contains(setting), "{error}");
            }
        }
    }
    let ordinary = memfd.map_with(Segment::options()).expect("mapped");
    assert!(!flags(&ordinary).contains(" hg"));
}

/// The kernel's flags of a mapping.
fn flags(mapping: &Mapping) -> String {
    let smaps = fs::read_to_string("/proc/self/smaps").expect("readable");
    let start = format!("{:x}-", mapping.as_ptr() as usize);
    let of_this = smaps.lines().skip_while(|line| !line.starts_with(&start)).skip(1);
    of_this.map(str::to_owned).find(|line| line.starts_with("VmFlags:")).expect("flags")
}

#[test]
fn what_is_flushed_to_a_file_is_not_dirty_any_more_and_another_process_reads_it() {
    between_processes!(
        |guest| {
            // Where builds are is a disk, as a rule; the folder of tests may be memory, which never gets clean.
            let folder =
                tempfile::TempDir::with_prefix_in("ipc-test.", env!("CARGO_TARGET_TMPDIR"));
            let folder = folder.expect("a folder");
            let path = folder.path().join("ledger");
            let segment = Segment::create_new(&path, LEN).expect("created");
            let mapping = segment.mapping();
            let dirty =
                |mapping| smaps_kib(mapping, "Shared_Dirty") + smaps_kib(mapping, "Private_Dirty");
            for range in [0..LEN, 300_000..300_001] {
                mapping.write_at(range.start, &vec![7; range.len()]);
                assert!(dirty(mapping) > 0, "written and not flushed");
                mapping.flush_async(range.clone()).expect("begun");
                mapping.flush(range).expect("flushed");
                assert_eq!(dirty(mapping), if is_memory(&path) { dirty(mapping) } else { 0 });
            }
            mapping.flush(..).expect("flushed");

            // To look only, which may flush too: what others have changed.
            let looking = Segment::options().read_only().open(&path).expect("opened");
            mapping.write_at(0, b"changed");
            looking.mapping().flush(..).expect("flushed");
            let mut bytes = [0; 7];
            looking.mapping().read_at(0, &mut bytes);
            assert_eq!(&bytes, b"changed");

            guest.tell(path.to_str().expect("UTF-8"));
            assert_eq!(guest.hear(), "read");
            segment.unlink().expect("its file");
            assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0);
        },
        |host| {
            let path = host.hear();
            let bytes = fs::read(&path).expect("an ordinary file");
            assert_eq!((bytes.len(), &bytes[..8]), (LEN, &b"changed\x07"[..]));
            let segment = Segment::open(Path::new(&path)).expect("opened");
            let mut byte = [0];
            segment.mapping().read_at(LEN - 1, &mut byte);
            assert_eq!(byte, [7]);
            host.tell("read");
        },
    );
}

/// Whether a file is in a tmpfs.
fn is_memory(path: &Path) -> bool {
    rustix::fs::statfs(path).expect("there").f_type == 0x0102_1994
}

#[test]
#[should_panic(expected = "outside a mapping")]
fn a_flush_out_of_bounds_panics() {
    let memfd = Memfd::create("test", LEN, Backing::Lazy).expect("created");
    let mapping = memfd.map(ipc_shm::Access::ReadWrite).expect("mapped");
    mapping.flush(LEN..LEN + 1).expect("not reached");
}
