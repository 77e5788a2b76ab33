//! Objects in a heap between processes, at two addresses in one, and under garbage.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use ipc_core::{Deadline, Name, OpenErrorKind};
use ipc_shm::{Access, Heap, HeapError, HeapOptions, Link, Mapping, Memfd, Seals, Segment};
use ipc_testing::{Guest, Host, Invitation, Scope, between_processes};

ipc_shm::shared! {
    /// A node of a list.
    struct Node("test.Node/1") {
        number: AtomicU64,
        next: Link<Node>,
    }
}

ipc_shm::shared! {
    /// Where lists begin.
    struct Lists("test.Lists/1") {
        first: [Link<Node>; 4],
    }
}

const NEVER: Deadline = Deadline::Never;

fn options() -> HeapOptions {
    Heap::options().pool(64, 130).pool(1024, 3).processes(4).names(3)
}

/// A heap, and its memory to attach to once more or to write garbage to.
fn heap() -> (Heap, Memfd) {
    options().create_anonymous("test").expect("a heap")
}

fn duplicate(memfd: &Memfd) -> std::os::fd::OwnedFd {
    std::os::fd::AsFd::as_fd(memfd).try_clone_to_owned().expect("a descriptor")
}

fn attach(memfd: &Memfd) -> Heap {
    Heap::receive(duplicate(memfd), NEVER).expect("attached")
}

fn map(memfd: &Memfd) -> Mapping {
    let memfd = Memfd::receive(duplicate(memfd), Seals::SIZE, 1..=usize::MAX).expect("sealed");
    memfd.map(Access::ReadWrite).expect("mapped")
}

fn invite(guest: &mut Guest, memfd: &Memfd) {
    guest.invite(Invitation::of_descriptors(vec![duplicate(memfd)]));
}

fn join(host: &mut Host) -> Heap {
    Heap::receive(host.invitation().descriptors.remove(0), NEVER).expect("attached")
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn lists(heap: &Heap) -> &Lists {
    heap.names(NEVER).open_or_create::<Lists>(&name("lists"), |_| {}).expect("room")
}

/// Puts a number in front of a list.
fn push(heap: &Heap, link: &Link<Node>, number: u64) -> Result<(), HeapError> {
    let node = heap.allocate::<Node>()?;
    node.number.store(number, Ordering::Relaxed);
    // The old list hangs in the new node before that hangs in its place.
    if let Some(first) = link.load() {
        heap.take(first)?.publish(&node.next).map_err(|(_, error)| error)?;
    }
    node.publish(link).map(drop).map_err(|(_, error)| error)
}

/// The numbers of a list, from the first on.
fn numbers(heap: &Heap, link: &Link<Node>) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut next = link.load();
    while let Some(node) = next {
        let node = heap.get(node).expect("a list in order");
        numbers.push(node.number.load(Ordering::Relaxed));
        next = node.next.load();
    }
    numbers
}

#[track_caller]
fn assert_stale<T>(result: Result<T, HeapError>) {
    match result {
        Err(HeapError::Stale) => {}
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("not stale"),
    }
}

#[test]
fn a_list_made_by_one_process_is_read_and_freed_by_another() {
    between_processes!(
        |guest| {
            let (heap, memfd) = heap();
            for number in 0..20 {
                push(&heap, &lists(&heap).first[2], number).expect("room");
            }
            invite(guest, &memfd);
            guest.finish();
            // It has freed the first one; the others hung in that.
            assert_eq!(numbers(&heap, &lists(&heap).first[2]), []);
            assert_eq!(heap.recover(NEVER).expect("recovered").objects, 19);
            assert_eq!(heap.usage(), (133, 1), "the lists");
        },
        |host| {
            let heap = join(host);
            let link = &heap.names(NEVER).open::<Lists>(&name("lists")).expect("there").first[2];
            assert!(numbers(&heap, link).into_iter().eq((0..20).rev()));
            heap.free(link.load().expect("a first")).expect("kept");
        },
    );
}

#[test]
fn one_segment_at_two_addresses_is_one_heap() {
    let (here, memfd) = heap();
    let there = attach(&memfd);
    let (ours, theirs) = (lists(&here), lists(&there));
    assert_ne!(std::ptr::from_ref(ours), std::ptr::from_ref(theirs), "two addresses");
    push(&here, &ours.first[0], 1).expect("room");
    push(&there, &theirs.first[0], 2).expect("room");
    push(&here, &ours.first[0], 3).expect("room");
    for (heap, lists) in [(&here, ours), (&there, theirs)] {
        assert_eq!(numbers(heap, &lists.first[0]), [3, 2, 1]);
    }
    // An object that one of them owns is not for the other, nor a link of the other's for it.
    let node = here.allocate::<Node>().expect("room");
    assert_stale(there.get(node.handle()));
    let (node, error) = node.publish(&theirs.first[1]).expect_err("at another address");
    assert!(matches!(error, HeapError::NotInHeap), "{error}");
    node.publish(&ours.first[1]).expect("empty");
}

#[test]
fn many_processes_and_threads_allocate_and_free_and_nothing_is_lost() {
    fn work(heap: &Heap, seed: u64) {
        std::thread::scope(|scope| {
            for thread in 0..2 {
                scope.spawn(move || {
                    let link = &lists(heap).first[thread];
                    let mut owned = Vec::new();
                    for round in 0..20_000_u64 {
                        match heap.allocate::<Node>() {
                            Ok(node) => {
                                assert_eq!(node.number.swap(seed, Ordering::Relaxed), 0, "zeros");
                                owned.push(node);
                            }
                            Err(HeapError::Full { .. }) => owned.clear(),
                            Err(error) => panic!("{error}"),
                        }
                        match (round % 3, owned.pop(), link.load()) {
                            // Any of the others may be quicker.
                            (0, Some(node), _) => drop(node.publish(link)),
                            (1, _, Some(kept)) => drop(heap.free(kept)),
                            (_, Some(node), _) if round % 2 == 0 => owned.push(node),
                            _ => {}
                        }
                        for node in &owned {
                            assert_eq!(node.number.load(Ordering::Relaxed), seed, "another's");
                        }
                        owned.truncate(40);
                    }
                });
            }
        });
    }
    between_processes!(
        |guest| {
            let (heap, memfd) = heap();
            lists(&heap);
            invite(guest, &memfd);
            work(&heap, 1);
            guest.finish();
            for link in &lists(&heap).first {
                if let Some(node) = link.load() {
                    heap.free(node).expect("kept");
                }
            }
            heap.names(NEVER).remove(&name("lists")).expect("there");
            assert_eq!(heap.recover(NEVER).expect("recovered").objects, 0, "nothing was lost");
            assert_eq!(heap.usage(), (133, 0));
        },
        |host| work(&join(host), 2),
    );
}

#[test]
fn what_a_killed_process_owned_comes_back_and_what_a_stopped_one_owns_does_not() {
    between_processes!(
        |guest| {
            let (heap, memfd) = heap();
            lists(&heap);
            invite(guest, &memfd);
            assert_eq!(guest.hear(), "allocated");
            guest.stop();
            let none = ipc_shm::Recovered { processes: 0, objects: 0 };
            assert_eq!(heap.recover(NEVER).expect("recovered"), none);
            let error = heap.allocate::<Node>().expect_err("all taken");
            assert!(matches!(error, HeapError::Full { blocks: 133, .. }), "{error}");
            guest.kill();
            // Without being told to.
            let node = heap.allocate::<Node>().expect("recovered");
            assert_eq!(heap.usage().1, 3, "its list, the lists, and this one");
            drop(node);
            assert_eq!(numbers(&heap, &lists(&heap).first[0]), [7]);
        },
        |host| {
            let heap = join(host);
            push(&heap, &lists(&heap).first[0], 7).expect("room");
            let all: Vec<_> = std::iter::from_fn(|| heap.allocate::<Node>().ok()).collect();
            assert_eq!(all.len(), 131);
            host.tell("allocated");
            host.hear(); // never: killed
        },
    );
}

#[test]
fn a_place_is_free_again_once_its_process_is_gone() {
    between_processes!(
        |guest| {
            let (first, memfd) = heap();
            let more: Vec<_> = (0..2).map(|_| attach(&memfd)).collect();
            invite(guest, &memfd);
            assert_eq!(guest.hear(), "attached");
            let refused = || match Heap::receive(duplicate(&memfd), NEVER) {
                Err(error) => {
                    assert!(matches!(error.kind(), OpenErrorKind::Limit { .. }), "{error}")
                }
                Ok(_) => panic!("there were four places"),
            };
            refused();
            guest.kill();
            let fourth = attach(&memfd);
            refused();
            drop((first, more));
            drop([attach(&memfd), attach(&memfd)]);
            drop(fourth);
        },
        |host| {
            let _heap = join(host);
            host.tell("attached");
            host.hear(); // never: killed
        },
    );
}

#[test]
fn a_second_free_and_a_foreign_handle_are_errors() {
    let ((heap, _memfd), (other, _other_memfd)) = (self::heap(), self::heap());
    let lists = lists(&heap);
    push(&heap, &lists.first[0], 1).expect("room");
    let node = lists.first[0].load().expect("kept");
    assert_stale(other.get(node));
    assert_stale(other.free(node));
    heap.free(node).expect("kept");
    assert_stale(heap.free(node));
    assert_stale(heap.get(node));
    assert!(lists.first[0].load().is_none());
    // Neither is the block's next object taken for it.
    let blocks: Vec<_> = (0..130).filter_map(|_| heap.allocate::<Node>().ok()).collect();
    assert_stale(heap.get(node));
    assert_stale(heap.take(node));
    drop(blocks);
    // What was taken goes by another handle.
    push(&heap, &lists.first[0], 2).expect("room");
    let kept = lists.first[0].load().expect("kept");
    let taken = heap.take(kept).expect("kept");
    assert_stale(heap.take(kept));
    assert_eq!(heap.get(taken.handle()).expect("ours").number.load(Ordering::Relaxed), 2);
    assert_stale(heap.take(taken.handle()));
}

#[test]
fn a_link_holds_one_object_and_none_holds_itself() {
    let (heap, _memfd) = heap();
    let node = || heap.allocate::<Node>().expect("room");
    let (parent, child, other) = (node(), node(), node());
    child.publish(&parent.next).expect("empty");
    let (other, error) = other.publish(&parent.next).expect_err("occupied");
    assert!(matches!(error, HeapError::Occupied), "{error}");
    let next: *const Link<Node> = &raw const other.next;
    // SAFETY: the block stays mapped as long as the heap, and a link is valid whatever lies there.
    #[allow(unsafe_code)]
    let own = unsafe { &*next };
    let (_, error) = other.publish(own).expect_err("itself");
    assert!(matches!(error, HeapError::NotInHeap), "{error}");
    let on_the_stack = Link::new();
    let (_, error) = node().publish(&on_the_stack).expect_err("not in the heap");
    assert!(matches!(error, HeapError::NotInHeap), "{error}");
    drop(parent);
    assert_eq!(heap.recover(NEVER).expect("recovered").objects, 1, "the child");
}

#[test]
fn objects_go_to_the_smallest_block_that_is_left() {
    let (heap, _memfd) = heap();
    let large: Vec<_> =
        (0..3).map(|_| heap.allocate::<[AtomicU64; 128]>().expect("room")).collect();
    let small: Vec<_> = (0..130).map(|_| heap.allocate::<AtomicU8>().expect("room")).collect();
    let error = heap.allocate::<AtomicU8>().expect_err("full");
    assert!(matches!(error, HeapError::Full { size_bytes: 1, blocks: 133 }), "{error}");
    drop(large);
    let slices: Vec<_> =
        (0..3).map(|_| heap.allocate_slice::<AtomicU32>(5).expect("a large block")).collect();
    assert!(slices.iter().all(|slice| slice.len() == 256));
    drop(small);
    let error = heap.allocate::<[AtomicU8; 1025]>().expect_err("too large");
    assert!(
        matches!(error, HeapError::TooLarge { size_bytes: 1025, max_bytes: 1024, .. }),
        "{error}"
    );
    let error = heap.allocate_slice::<AtomicU64>(usize::MAX).expect_err("too large");
    assert!(matches!(error, HeapError::TooLarge { .. }), "{error}");
}

#[test]
fn names_have_one_object_of_one_type() {
    let (heap, memfd) = heap();
    let there = attach(&memfd);
    let (names, other_names) = (heap.names(NEVER), there.names(NEVER));
    let counter = names
        .create_new::<AtomicU64>(&name("a"), |counter| counter.store(7, Ordering::Relaxed))
        .expect("free");
    let same = other_names.open::<AtomicU64>(&name("a")).expect("there");
    assert_eq!(same.load(Ordering::Relaxed), 7);
    same.store(8, Ordering::Relaxed);
    assert_eq!(counter.load(Ordering::Relaxed), 8);

    let error = other_names.open::<AtomicU32>(&name("a")).expect_err("another type");
    assert!(matches!(error, HeapError::Mismatch { .. }), "{error}");
    let error = other_names.create_new::<AtomicU32>(&name("a"), |_| {}).expect_err("there is one");
    assert!(matches!(error, HeapError::AlreadyExists), "{error}");
    let error = other_names.open::<AtomicU32>(&name("b")).expect_err("there is none");
    assert!(matches!(error, HeapError::NotFound), "{error}");
    let longest = name(&"x".repeat(64));
    for name in [&name("b"), &longest] {
        other_names.open_or_create::<AtomicU32>(name, |_| {}).expect("free");
    }
    let error = names.create_new::<AtomicU32>(&name("c"), |_| {}).expect_err("three names");
    assert!(matches!(error, HeapError::NoNameLeft { names: 3 }), "{error}");
    let listed: Vec<_> = names.list().expect("listed").into_iter().map(|(name, _)| name).collect();
    assert_eq!(listed, [name("a"), name("b"), longest]);

    names.remove(&name("b")).expect("there");
    assert!(matches!(names.remove(&name("b")), Err(HeapError::NotFound)));
    // By its handle, which takes the name away.
    let handle = names.handle::<AtomicU64>(&name("a")).expect("there");
    there.free(handle).expect("there");
    assert!(matches!(names.open::<AtomicU64>(&name("a")), Err(HeapError::NotFound)));
    names.create_new::<AtomicU32>(&name("a"), |_| {}).expect("free again");
    assert_eq!(heap.usage().1, 2, "what was refused was freed");
}

/// Both begin at once, many times: one makes the object, and the other gets the same.
#[test]
fn two_who_open_or_create_get_one_object() {
    const ROUNDS: u64 = 500;
    fn race(heap: &Heap, step: &mut dyn FnMut()) {
        for round in 0..ROUNDS {
            step();
            let names = heap.names(NEVER);
            let counter = names.open_or_create::<AtomicU64>(&name("race"), |counter| {
                counter.fetch_add(1_000, Ordering::Relaxed);
            });
            counter.expect("one").fetch_add(1, Ordering::Relaxed);
            step();
            if round % 2 == 0 {
                let total = names.open::<AtomicU64>(&name("race")).expect("there");
                assert_eq!(total.load(Ordering::Relaxed), 1_002);
            }
            step();
            let _ = names.remove(&name("race")); // the other may be first
        }
    }
    between_processes!(
        |guest| {
            let (heap, memfd) = heap();
            invite(guest, &memfd);
            race(&heap, &mut || {
                guest.tell("step");
                guest.hear();
            });
        },
        |host| {
            let heap = join(host);
            race(&heap, &mut || {
                host.tell("step");
                host.hear();
            });
        },
    );
}

#[test]
fn a_heap_in_a_named_segment_outlives_its_processes() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let segment = scope.name();
            scope.defer({
                let name = segment.clone();
                move || drop(Segment::unlink_name(&name))
            });
            guest.tell(segment.as_str());
            guest.wait();
            let heap = Heap::open(&segment, NEVER).expect("still there");
            let will = heap.names(NEVER).open::<AtomicU64>(&name("will")).expect("kept");
            assert_eq!(will.load(Ordering::Relaxed), 42);
            assert_eq!(heap.usage().1, 1, "what it owned besides is recovered");
        },
        |host| {
            let segment = name(&host.hear());
            let heap = options().create_new(&segment).expect("a free name");
            let will = heap.names(NEVER).create_new::<AtomicU64>(&name("will"), |_| {});
            will.expect("free").store(42, Ordering::Relaxed);
            std::mem::forget(heap.allocate::<Node>().expect("room"));
            std::process::exit(0); // without detaching
        },
    );
}

#[test]
fn what_is_no_heap_of_ours_is_refused() {
    let (heap, memfd) = heap();
    drop(heap);
    let memory = map(&memfd);
    let refused = || match Heap::receive(duplicate(&memfd), NEVER).expect_err("refused").kind() {
        OpenErrorKind::Mismatch { what, .. } => *what,
        other => panic!("{other:?}"),
    };
    for (at, expected) in [
        (0, "magic number"),
        (8, "layout hash"),
        (16, "length in the header"),
        (24, "length by the numbers of blocks"),
        (64, "length by the numbers of blocks"),
    ] {
        let mut bytes = [0; 8];
        memory.read_at(at, &mut bytes);
        for garbage in [0, u64::MAX, u64::from_ne_bytes(bytes).swap_bytes()] {
            memory.write_at(at, &garbage.to_ne_bytes());
            assert_eq!(refused(), expected);
        }
        memory.write_at(at, &bytes);
    }
    attach(&memfd);
    for options in [
        Heap::options(),
        Heap::options().pool(64, 0),
        Heap::options().pool(1 << 33, 1),
        Heap::options().pool(64, 1 << 33),
        Heap::options().pool(64, u32::MAX as usize).pool(128, u32::MAX as usize),
        Heap::options().pool(64, 1).processes(0),
        (0..17).fold(Heap::options(), |options, index| options.pool(64 * (index + 1), 1)),
    ] {
        let error = options.create_anonymous("t").expect_err("impossible");
        assert!(matches!(error.kind(), OpenErrorKind::InvalidOption { .. }), "{error}");
    }
}

/// Whatever stands in the words, every operation ends with a result or an error.
#[test]
fn garbage_in_the_memory_is_an_error_and_nobody_hangs() {
    let (heap, memfd) = heap();
    let memory = map(&memfd);
    let lists = lists(&heap);
    for number in 0..5 {
        push(&heap, &lists.first[0], number).expect("room");
    }
    let garbage = [0, 1, u64::MAX, 1 << 32, (1 << 32) - 1, 0x8000_0000, 385, 4096, 4099];
    let header_len = 256; // never read again
    // The lock is left out: garbage there may say that a living process has it.
    let words = (header_len / 8..4096 / 8).filter(|word| word * 8 != 256).chain([512, 513]);
    for word in words {
        let at = word * 8;
        let mut before = [0; 8];
        memory.read_at(at, &mut before);
        for garbage in garbage {
            memory.write_at(at, &garbage.to_ne_bytes());
            let names = heap.names(Deadline::Now);
            let _ = names.open_or_create::<Lists>(&name("lists"), |_| {});
            let _ = names.create_new::<AtomicU64>(&name("new"), |_| {});
            let _ = names.list();
            let _ = push(&heap, &lists.first[1], 1);
            let mut next = lists.first[0].load();
            // A peer can make a ring of a list: who follows it counts.
            for _ in 0..10 {
                let Some(node) = next else { break };
                next = heap.get(node).ok().and_then(|node| node.next.load());
            }
            if let Some(node) = lists.first[1].load() {
                let _ = heap.free(node);
            }
            let _ = names.remove(&name("new"));
            let _ = heap.recover(Deadline::Now);
            let _ = attach(&memfd);
            let _ = heap.usage();
        }
        memory.write_at(at, &before);
    }
}

/// As above, everywhere at once.
#[test]
fn random_garbage_is_an_error_and_nobody_hangs() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for _ in 0..30 {
        let (heap, memfd) = heap();
        let memory = map(&memfd);
        let lists = lists(&heap);
        for _ in 0..100 {
            for at in (384..8192).step_by(8).filter(|_| next() % 8 == 0).collect::<Vec<_>>() {
                let mask = if next() % 2 == 0 { u64::MAX } else { 0xff };
                memory.write_at(at, &(next() & mask).to_ne_bytes());
            }
            let _ = push(&heap, &lists.first[0], 1);
            let _ = heap.names(Deadline::Now).create_new::<AtomicU64>(&name("new"), |_| {});
            let _ = heap.names(Deadline::Now).list();
            let _ = heap.recover(Deadline::Now);
            if let Some(node) = lists.first[0].load() {
                let _ = heap.free(node);
            }
        }
    }
}
