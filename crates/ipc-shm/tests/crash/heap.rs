//! The victim allocates, frees, hangs an object in a link or takes it out, makes or removes a name, attaches or
//! recovers. Afterwards everything is somebody's: what hung somewhere hangs there whole, or is free again once
//! the dead are recovered; and a stopped victim has lost nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use ipc_core::{Deadline, Name};
use ipc_shm::{Heap, HeapError, Link, Owned, Segment};
use ipc_testing::crash::{Fate, Scene, Survivor, Victim};

use crate::place::{free_name, own_name};

ipc_shm::shared! {
    struct Root("crash.Root/1") {
        first: Link<Node>,
    }
}

ipc_shm::shared! {
    struct Node("crash.Node/1") {
        number: AtomicU64,
        next: Link<Node>,
    }
}

const NEVER: Deadline = Deadline::Never;
/// Blocks of the heap.
const BLOCKS: usize = 6;
/// What is written into each node.
const NUMBER: u64 = 0x0123_4567_89ab_cdef;

pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        scene("allocate and free", "empty", nothing, |segment, act| {
            let heap = attach(segment);
            act(&mut || drop(heap.allocate::<Node>().expect("room")));
        }),
        scene("publish", "an empty link", nothing, |segment, act| {
            let heap = attach(segment);
            let (root, mut first) = (root(&heap), Some(node(&heap)));
            act(&mut || hang(first.take().expect("once"), &root.first));
        })
        .takes_effect(),
        scene("take and free", "a list of two", a_list, |segment, act| {
            let heap = attach(segment);
            let first = root(&heap).first.load().expect("a list");
            act(&mut || heap.free(first).expect("kept"));
        })
        .takes_effect(),
        scene("create a name", "no such name", nothing, |segment, act| {
            let heap = attach(segment);
            act(&mut || a_name(&heap, segment));
        })
        .takes_effect(),
        scene("remove a name", "it is there", a_name, |segment, act| {
            let heap = attach(segment);
            let names = heap.names(NEVER);
            act(&mut || names.remove(&named()).expect("there"));
        })
        .takes_effect(),
        scene("detach", "with an object forgotten", a_list, |segment, act| {
            let heap = attach(segment);
            std::mem::forget(node(&heap));
            let mut heap = Some(heap);
            act(&mut || drop(heap.take()));
        }),
        scene("attach", "a list", a_list, |segment, act| {
            let mut heap = None;
            act(&mut || heap = Some(attach(segment)));
        })
        .varies(),
        scene("attach", "a dead process's objects, and orphans", remains, |segment, act| {
            let mut heap = None;
            act(&mut || heap = Some(attach(segment)));
        })
        .varies(),
        scene("recover", "orphans", orphans, |segment, act| {
            let heap = attach(segment);
            act(&mut || {
                let recovered = heap.recover(NEVER).expect("recovered");
                // The survivor may have been first, and leaves an orphan of its own.
                assert!(recovered.objects <= 2);
            });
        })
        .varies(),
    ]
}

/// The victim's part: it makes ready, and hands what is to be tried to a function.
type Attempt = fn(&Name, &mut dyn FnMut(&mut dyn FnMut()));

/// The survivor makes a heap and prepares it; the victim does something there.
fn scene(operation: &str, state: &str, prepare: fn(&Heap, &Name), attempt: Attempt) -> Scene {
    let victim = move |victim: &mut Victim| {
        victim.wait();
        attempt(&own_name(), &mut |act| {
            victim.operation(act);
            victim.signal();
            victim.wait();
        });
        victim.signal();
    };
    let survivor = move |survivor: &mut Survivor| {
        let segment = free_name(survivor.partner_pid());
        let options = Heap::options().pool(64, BLOCKS).processes(3).names(3);
        let heap = options.create_new(&segment).expect("a free name");
        heap.names(NEVER).create_new::<Root>(&root_name(), |_| {}).expect("free");
        prepare(&heap, &segment);
        let before = look(&heap);
        survivor.signal();
        let mut effect = 0;
        match survivor.fate() {
            Fate::Killed => {
                // As it is before anything is recovered.
                effect = look(&heap).abs_diff(before);
                heap.recover(NEVER).expect("recovered");
                assert_eq!(look(&heap).abs_diff(before), effect, "a recovery takes nothing");
            }
            Fate::Stopped => {
                // The victim may have the lock. The others allocate nevertheless.
                hang(node(&heap), &node(&heap).next);
                match heap.recover(Deadline::Now) {
                    Ok(_) | Err(HeapError::TimedOut) => {}
                    Err(error) => panic!("{error}"),
                }
                survivor.acted();
                survivor.wait(); // until it is done
                look(&heap);
                survivor.signal();
                survivor.wait(); // until it has detached
            }
        }
        Segment::unlink_name(&segment).expect("named so");
        assert_all_comes_back(&heap);
        effect
    };
    Scene::new((format!("heap: {operation}"), state), victim, survivor)
}

/// How many objects hang in the list and under the names, all of them whole.
#[track_caller]
fn look(heap: &Heap) -> u64 {
    let names = heap.names(NEVER);
    let whole = |node: &Node| assert_eq!(node.number.load(Ordering::Relaxed), NUMBER, "half-made");
    let mut objects = 0;
    let mut next = root(heap).first.load();
    while let Some(node) = next {
        // What a dead process has almost hung there does not hang there.
        let Ok(node) = heap.get(node) else { break };
        whole(node);
        objects += 1;
        next = node.next.load();
    }
    match names.open::<Node>(&named()) {
        Ok(node) => {
            whole(node);
            objects += 1;
        }
        Err(error) => assert!(matches!(error, HeapError::NotFound), "{error}"),
    }
    objects
}

/// Once all names are removed and what hung there is recovered, every block can be had.
#[track_caller]
fn assert_all_comes_back(heap: &Heap) {
    let names = heap.names(NEVER);
    // The list can be used again, whatever was left in the link.
    heap.recover(NEVER).expect("recovered");
    if let Some(first) = root(heap).first.load() {
        heap.free(first).expect("kept");
    }
    hang(node(heap), &root(heap).first);
    for (name, _) in names.list().expect("listed") {
        names.remove(&name).expect("there");
    }
    let recovered = heap.recover(NEVER).expect("recovered");
    assert_eq!(recovered.processes, 0, "they were recovered before");
    assert_eq!(heap.usage(), (BLOCKS, 0));
    let all: Vec<_> = (0..BLOCKS).map(|_| node(heap)).collect();
    assert!(matches!(heap.allocate::<Node>(), Err(HeapError::Full { .. })));
    drop(all);
    for _ in 0..3 {
        names.create_new::<Node>(&named(), |_| {}).expect("free");
        names.remove(&named()).expect("there");
    }
}

fn attach(segment: &Name) -> Heap {
    Heap::open(segment, NEVER).expect("there")
}

fn root_name() -> Name {
    Name::new("root").expect("a name")
}

fn named() -> Name {
    Name::new("named").expect("a name")
}

fn root(heap: &Heap) -> &Root {
    heap.names(NEVER).open::<Root>(&root_name()).expect("there")
}

fn node(heap: &Heap) -> Owned<'_, Node> {
    let node = heap.allocate::<Node>().expect("room");
    node.number.store(NUMBER, Ordering::Relaxed);
    node
}

#[track_caller]
fn hang(node: Owned<'_, Node>, link: &Link<Node>) {
    node.publish(link).map_err(|(_, error)| error).expect("empty");
}

fn nothing(_: &Heap, _: &Name) {}

fn a_list(heap: &Heap, _: &Name) {
    let first = node(heap);
    hang(node(heap), &first.next);
    hang(first, &root(heap).first);
}

fn a_name(heap: &Heap, _: &Name) {
    let initialise = |node: &Node| node.number.store(NUMBER, Ordering::Relaxed);
    heap.names(NEVER).create_new(&named(), initialise).expect("free");
}

/// What is left of a list whose first node is gone.
fn orphans(heap: &Heap, segment: &Name) {
    a_list(heap, segment);
    heap.free(root(heap).first.load().expect("a list")).expect("kept");
}

/// An orphan, and two objects of a process that is gone: as if it had had the second place, and a process id
/// that there cannot be.
fn remains(heap: &Heap, segment: &Name) {
    const PROCESSES_AT: usize = 384;
    const ENTRIES_AT: usize = 768;
    /// What an entry says of the first and the second place.
    const PLACES: [u32; 2] = [1, 2];

    orphans(heap, segment);
    std::mem::forget([node(heap), node(heap)]);
    let segment = Segment::open(segment).expect("there");
    let word = |at| segment.mapping().atomic_u64(at);
    word(PROCESSES_AT + 8).store(0x3f_ffff, Ordering::Relaxed);
    let entries = (0..BLOCKS).map(|index| word(ENTRIES_AT + 16 * index));
    let ours = entries.filter(|entry| entry.load(Ordering::Relaxed) as u32 == PLACES[0]);
    let changed = ours.map(|entry| {
        entry.fetch_add(u64::from(PLACES[1] - PLACES[0]), Ordering::Relaxed);
    });
    assert_eq!(changed.count(), 2);
}
