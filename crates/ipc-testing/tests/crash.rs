//! The crash kit on small protocols in shared memory: honest ones pass, and of the broken ones each is
//! caught, for the right reason. Without the usual harness: the kit starts this program again.

// Maps shared memory.
#![allow(unsafe_code)]

use std::hint::black_box;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ipc_testing::crash::{
    Blow, Cue, Effort, Fate, PATIENCE, Report, Scene, Suite, Survivor, Victim,
};
use rustix::fs::MemfdFlags;
use rustix::mm::{MapFlags, ProtFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

/// What the kit must say of a scene.
enum Verdict {
    /// Nothing.
    Passes,
    /// A failure with this in its text, by this blow; `None`: while recording.
    Fails(Option<Blow>, &'static str),
}
use Verdict::{Fails, Passes};

/// Of each scene, at most. Without optimisation there are hundreds.
const POINTS: usize = 64;

type Case = (Scene, Verdict);

fn main() -> ExitCode {
    let (scenes, verdicts): (Vec<Scene>, Vec<Verdict>) = cases().into_iter().unzip();
    let suite = Suite::start(scenes);
    let report = match suite.explore(|_| true, Effort::Sample(POINTS)) {
        Ok(report) => report,
        // Says that it is skipped, in the way of all tests.
        Err(_) => return suite.run(),
    };
    let mut is_right = true;
    for (index, verdict) in verdicts.iter().enumerate() {
        if let Err(why) = judge(&report, index, verdict) {
            is_right = false;
            println!("FAILED {}: {why}", report.scenes[index].operation);
        }
    }
    if is_right {
        println!("crash kit: what is honest passed, what is broken was caught");
    } else {
        println!("{report}");
    }
    ExitCode::from(u8::from(!is_right))
}

/// Whether the kit said of a scene what it must.
fn judge(report: &Report, index: usize, verdict: &Verdict) -> Result<(), String> {
    let scene = &report.scenes[index];
    let said: Vec<String> = scene.failures.iter().map(ToString::to_string).collect();
    match verdict {
        Passes if !said.is_empty() => Err(format!("an honest protocol failed:\n{}", said[0])),
        Passes if [scene.kills_survived, scene.stops_survived] != [scene.points.min(POINTS); 2] => {
            Err(format!("{} kills, {} stops", scene.kills_survived, scene.stops_survived))
        }
        Passes => Ok(()),
        Fails(blow, part) => {
            let caught = scene
                .failures
                .iter()
                .any(|failure| failure.blow == *blow && failure.to_string().contains(part));
            if caught { Ok(()) } else { Err(format!("{part:?} was not said, but {said:?}")) }
        }
    }
}

fn cases() -> Vec<Case> {
    vec![
        (message("a flag after the message", true), Passes),
        // Between the flag and the last word.
        (message("a flag before the message", false), Fails(Some(Blow::Kill), "torn")),
        (effect_that_shrinks(), Fails(Some(Blow::Kill), "the effect is 0, and was 1")),
        (no_effect(), Fails(Some(Blow::Kill), "took no effect")),
        (lock_of_nobody(), Fails(Some(Blow::Kill), "held by nobody")),
        (lock_taken_from_the_stopped(), Fails(Some(Blow::Stop), "the lock was broken")),
        (socket("a message by a system call").takes_effect(), Passes),
        (asleep(), Passes),
        (busy(), Passes),
        (late(), Fails(Some(Blow::Kill), "also when tried again")),
        (leak(), Fails(None, "holds something else than before")),
        (panic_of_the_victim(), Fails(Some(Blow::Stop), "the victim: ")),
        // At once, since the victim is told: not because its time is up.
        (panic_before_the_operation(), Fails(None, "the partner is gone")),
        (panic_before_the_operation(), Fails(None, "the state cannot be made")),
    ]
}

/// Sixteen words that two processes share.
struct Words(*const AtomicU64);

impl Words {
    const BYTES: usize = 4096;

    fn map(memory: &OwnedFd) -> Self {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let address = unsafe {
            let null = std::ptr::null_mut();
            rustix::mm::mmap(null, Self::BYTES, protection, MapFlags::SHARED, memory, 0)
        };
        Self(address.expect("a mapping").cast())
    }

    /// The victim makes them.
    fn make(victim: &mut Victim) -> Self {
        let memory = rustix::fs::memfd_create("words", MemfdFlags::CLOEXEC).expect("a memfd");
        rustix::fs::ftruncate(&memory, Self::BYTES as u64).expect("its size");
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors = [memory.as_fd()];
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let parts = [IoSlice::new(b"!")];
        rustix::net::sendmsg(victim.socket(), &parts, &mut ancillary, SendFlags::empty())
            .expect("sent");
        Self::map(&memory)
    }

    /// The survivor gets them.
    fn get(survivor: &mut Survivor) -> Self {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let mut parts = [IoSliceMut::new(&mut byte)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        rustix::net::recvmsg(survivor.socket(), &mut parts, &mut ancillary, flags)
            .expect("received");
        let memory = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
            _ => None,
        });
        Self::map(&memory.expect("a descriptor"))
    }

    fn at(&self, index: usize) -> &AtomicU64 {
        assert!(index < 16);
        // SAFETY: inside the mapping.
        let word = unsafe { self.0.add(index) };
        // SAFETY: aligned, mapped as long as `self`, and only ever accessed as atomic words.
        unsafe { &*word }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: mapped in `map`; nothing borrows from `self` any more.
        unsafe { rustix::mm::munmap(self.0.cast_mut().cast(), Self::BYTES) }.expect("ours");
    }
}

/// A message of eight words and a flag; whether the flag comes after them.
fn message(name: &str, is_honest: bool) -> Scene {
    let victim = move |victim: &mut Victim| {
        let words = Words::make(victim);
        victim.operation(|| {
            if !is_honest {
                words.at(0).store(1, Ordering::Release);
            }
            for index in 1..9 {
                words.at(index).store(7, Ordering::Release);
            }
            if is_honest {
                words.at(0).store(1, Ordering::Release);
            }
        });
    };
    let survivor = |survivor: &mut Survivor| {
        let words = Words::get(survivor);
        let fate = survivor.fate();
        let flag = words.at(0).load(Ordering::Acquire);
        let is_whole = (1..9).all(|index| words.at(index).load(Ordering::Relaxed) == 7);
        assert!(flag == 0 || is_whole, "a torn message");
        if fate == Fate::Stopped {
            survivor.acted();
        }
        flag
    };
    Scene::new((name, "zeros"), victim, survivor)
}

fn effect_that_shrinks() -> Scene {
    let victim = |victim: &mut Victim| {
        let words = Words::make(victim);
        victim.operation(|| {
            words.at(0).store(1, Ordering::Release);
            words.at(0).store(0, Ordering::Release);
        });
    };
    let survivor = |survivor: &mut Survivor| {
        let words = Words::get(survivor);
        if survivor.fate() == Fate::Stopped {
            survivor.acted();
        }
        words.at(0).load(Ordering::Acquire)
    };
    Scene::new(("taking back what was seen", "zeros"), victim, survivor)
}

fn lock(word: &AtomicU64) -> bool {
    let end = Instant::now() + 2 * PATIENCE;
    while word.swap(1, Ordering::Acquire) != 0 {
        if Instant::now() > end {
            return false;
        }
    }
    true
}

/// A lock that does not know who holds it.
fn lock_of_nobody() -> Scene {
    let victim = |victim: &mut Victim| {
        let words = Words::make(victim);
        victim.operation(|| {
            assert!(lock(words.at(0)));
            words.at(1).store(1, Ordering::Relaxed);
            words.at(0).store(0, Ordering::Release);
        });
    };
    let survivor = |survivor: &mut Survivor| {
        let words = Words::get(survivor);
        if survivor.fate() == Fate::Stopped {
            survivor.acted(); // and wait
        }
        assert!(lock(words.at(0)), "the lock is held by nobody");
        0
    };
    Scene::new(("a lock of nobody", "free"), victim, survivor)
}

/// Who is slow is not dead: a lock that is taken from its holder after a while.
fn lock_taken_from_the_stopped() -> Scene {
    let victim = |victim: &mut Victim| {
        let words = Words::make(victim);
        victim.operation(|| {
            assert!(lock(words.at(0)));
            // A black box, or the two become one instruction.
            let count = black_box(words.at(1).load(Ordering::Relaxed));
            words.at(1).store(count + 1, Ordering::Relaxed);
            words.at(0).store(0, Ordering::Release);
        });
        victim.wait();
        assert_eq!(words.at(1).load(Ordering::Relaxed), 2, "the lock was broken");
    };
    let survivor = |survivor: &mut Survivor| {
        let words = Words::get(survivor);
        let fate = survivor.fate();
        // Whoever holds it is taken for dead.
        words.at(0).store(1, Ordering::Relaxed);
        let count = words.at(1).load(Ordering::Relaxed);
        words.at(1).store(count + 1, Ordering::Relaxed);
        words.at(0).store(0, Ordering::Release);
        if fate == Fate::Stopped {
            survivor.acted();
            survivor.signal();
        }
        count
    };
    Scene::new(("a lock taken from the stopped", "free"), victim, survivor)
}

fn socket(name: &str) -> Scene {
    let victim = |victim: &mut Victim| {
        let socket = victim.socket();
        victim.operation(|| rustix::io::write(&socket, b"hello")).expect("sent");
    };
    let survivor = |survivor: &mut Survivor| {
        let socket = survivor.socket();
        if survivor.fate() == Fate::Stopped {
            survivor.acted();
        }
        let mut buffer = [0; 5];
        let len = rustix::io::read(&socket, &mut buffer).expect("a message or the end");
        assert!(len == 0 || &buffer == b"hello", "torn");
        u64::from(len > 0)
    };
    Scene::new((name, "empty"), victim, survivor)
}

/// The victim sleeps until the survivor, who hears of it, wakes it.
fn asleep() -> Scene {
    let victim = |victim: &mut Victim| {
        let socket = victim.socket();
        let mut buffer = [0; 2];
        victim.operation(|| rustix::io::read(&socket, &mut buffer)).expect("received");
        assert_eq!(&buffer, b"up", "what the survivor sent");
    };
    let survivor = |survivor: &mut Survivor| {
        let socket = survivor.socket();
        // Also when it is stopped before it sleeps, or in its sleep.
        let cue = survivor.cue();
        if cue != Cue::Fate(Fate::Killed) {
            rustix::io::write(&socket, b"up").expect("sent");
        }
        if survivor.fate() == Fate::Stopped {
            survivor.acted();
        }
        u64::from(cue == Cue::Asleep)
    };
    Scene::new(("sleeping", "empty"), victim, survivor).cued()
}

/// The survivor sleeps meanwhile.
fn busy() -> Scene {
    let victim = |victim: &mut Victim| {
        let socket = victim.socket();
        victim.wait();
        victim.wait_until_partner_parks();
        victim.operation(|| rustix::io::write(&socket, b"hello")).expect("sent");
    };
    let survivor = |survivor: &mut Survivor| {
        let socket = survivor.socket();
        survivor.signal();
        let mut buffer = [0; 5];
        let len = rustix::io::read(&socket, &mut buffer).expect("a message or the end");
        assert!(survivor.fate() == Fate::Killed || len == 5, "stopped, it sends in the end");
        u64::from(len > 0)
    };
    Scene::new(("a message by a system call", "awaited"), victim, survivor)
        .survivor_is("parked")
        .busy()
}

fn nothing(victim: &mut Victim) {
    victim.operation(|| ());
}

fn no_effect() -> Scene {
    let survivor = |survivor: &mut Survivor| {
        if survivor.fate() == Fate::Stopped {
            survivor.acted();
        }
        7
    };
    Scene::new(("nothing", "something is expected"), nothing, survivor).takes_effect()
}

fn late() -> Scene {
    let survivor = |survivor: &mut Survivor| {
        if survivor.fate() == Fate::Stopped {
            survivor.acted();
        }
        let start = Instant::now();
        while start.elapsed() < PATIENCE + Duration::from_millis(20) {
            std::thread::yield_now();
        }
        0
    };
    Scene::new(("nothing", "late"), nothing, survivor)
}

fn leak() -> Scene {
    let survivor = |survivor: &mut Survivor| {
        std::mem::forget(survivor.socket());
        if survivor.fate() == Fate::Stopped {
            survivor.acted();
        }
        0
    };
    Scene::new(("nothing", "a descriptor left open"), nothing, survivor)
}

fn panic_of_the_victim() -> Scene {
    let victim = |victim: &mut Victim| {
        victim.operation(|| ());
        panic!("after it was stopped");
    };
    let survivor = |survivor: &mut Survivor| {
        if survivor.fate() == Fate::Stopped {
            survivor.acted();
        }
        0
    };
    Scene::new(("nothing", "and then a panic"), victim, survivor)
}

/// The victim would wait for ever. What the survivor has to say must not be lost.
fn panic_before_the_operation() -> Scene {
    let victim = |victim: &mut Victim| {
        victim.wait();
        victim.operation(|| ());
    };
    let survivor = |_: &mut Survivor| panic!("the state cannot be made");
    Scene::new(("nothing", "never made"), victim, survivor)
}
