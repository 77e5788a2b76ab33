//! Where a victim goes in the operation: every instruction of its own code, and both sides of every
//! system call; and how to bring another victim there.

use std::collections::{BTreeMap, HashMap};

use super::maps::{CodeAddress, Maps};
use super::marker::{BEGIN, END};
use super::tracee::{Halt, Instruction, Tracee};

/// A moment of the operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Point {
    pub(super) address: CodeAddress,
    /// How often it has come to this address, this time included.
    pub(super) hit: u32,
    pub(super) turn: Turn,
}

/// Which moment of one instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Turn {
    /// Before it, or of one that repeats itself, after this many turns.
    Before(u32),
    /// Asleep in the kernel: a system call.
    Asleep,
}

/// One recorded operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recording {
    /// In the order of time, the end included.
    pub(super) points: Vec<Point>,
    /// The paths that addresses refer to. The first is the executable.
    pub(super) files: Vec<String>,
}

/// Why a victim did not come where it should.
#[derive(Debug)]
pub(super) enum Lost {
    /// It ended.
    Ended,
    /// The operation ended before the point.
    Missed,
    /// The system refused something.
    Os(nix::errno::Errno),
}

impl From<nix::errno::Errno> for Lost {
    fn from(error: nix::errno::Errno) -> Self {
        Self::Os(error)
    }
}

/// More steps than any operation needs.
const MAX_STEPS: u32 = 10_000_000;

/// Waits until the victim is at the beginning of the operation.
pub(super) fn arrive(victim: &Tracee) -> Result<(), Lost> {
    match victim.wait()? {
        Halt::Trap if victim.rax()? == BEGIN => Ok(()),
        Halt::Trap | Halt::Stopped | Halt::Sleeps(_) => Err(Lost::Missed),
        Halt::Ended => Err(Lost::Ended),
    }
}

/// Called when the victim sleeps in the operation, each time.
pub(super) type Sleeps<'a> = Option<&'a mut dyn FnMut()>;

/// Steps through the operation.
pub(super) fn record(
    victim: &mut Tracee,
    maps: &Maps,
    mut sleeps: Sleeps<'_>,
) -> Result<Recording, Lost> {
    let mut recording = Recorder::new(maps);
    let mut follows_call = false;
    for _ in 0..MAX_STEPS {
        let pc = victim.pc()?;
        let instruction = victim.instruction(pc)?;
        let is_call = instruction == Instruction::SystemCall;
        let is_end = instruction == Instruction::Trap;
        if maps.is_own_code(pc) || is_call || follows_call || is_end {
            recording.note(maps, pc, instruction);
        }
        follows_call = is_call;
        victim.step()?;
        let mut note = || {
            recording.note_sleep(maps, pc);
            if let Some(sleeps) = &mut sleeps {
                sleeps();
            }
        };
        // Nothing else can sleep.
        let halt = wait(victim, if is_call { Some(&mut note) } else { None })?;
        match halt {
            Halt::Trap if is_end && victim.rax()? == END => return Ok(recording.finish()),
            Halt::Trap if !is_end => {}
            Halt::Ended => return Err(Lost::Ended),
            _ => return Err(Lost::Missed),
        }
    }
    Err(Lost::Missed)
}

/// Waits until the victim stops or ends.
fn wait(victim: &Tracee, sleeps: Sleeps<'_>) -> nix::Result<Halt> {
    let Some(sleeps) = sleeps else { return victim.wait() };
    let mut known = None;
    loop {
        match victim.wait_or_sleep(known)? {
            Halt::Sleeps(sleep) => {
                known = Some(sleep);
                sleeps();
            }
            halt => return Ok(halt),
        }
    }
}

/// Puts a recording together.
struct Recorder {
    recording: Recording,
    hits: HashMap<CodeAddress, u32>,
    /// Of an instruction that repeats itself: its address, and turns seen.
    repeating: Option<(u64, u32)>,
}

impl Recorder {
    fn new(maps: &Maps) -> Self {
        let files = vec![maps.executable().to_owned()];
        let recording = Recording { points: Vec::new(), files };
        Self { recording, hits: HashMap::new(), repeating: None }
    }

    fn note(&mut self, maps: &Maps, pc: u64, instruction: Instruction) {
        match &mut self.repeating {
            Some((address, turns)) if *address == pc => {
                *turns += 1;
                return;
            }
            _ => self.end_repeating(),
        }
        if instruction == Instruction::Repeats {
            self.repeating = Some((pc, 0));
        }
        let Some(address) = self.address(maps, pc) else { return };
        let hit = self.hits.entry(address.clone()).or_default();
        *hit += 1;
        self.recording.points.push(Point { address, hit: *hit, turn: Turn::Before(0) });
    }

    /// Of the moments between two turns, the middle one and the last one are points too.
    fn end_repeating(&mut self) {
        let Some((_, turns)) = self.repeating.take() else { return };
        let Some(first) = self.recording.points.last().cloned() else { return };
        let mut moments = vec![turns / 2, turns];
        moments.retain(|turn| *turn > 0);
        moments.dedup();
        let points =
            moments.into_iter().map(|turn| Point { turn: Turn::Before(turn), ..first.clone() });
        self.recording.points.extend(points);
    }

    fn note_sleep(&mut self, maps: &Maps, pc: u64) {
        let Some(address) = self.address(maps, pc) else { return };
        let hit = self.hits.get(&address).copied().unwrap_or(1);
        self.recording.points.push(Point { address, hit, turn: Turn::Asleep });
    }

    /// `None` for code in no file, which nobody can come back to.
    fn address(&mut self, maps: &Maps, pc: u64) -> Option<CodeAddress> {
        let (path, offset) = maps.locate(pc)?;
        let known = self.recording.files.iter().position(|file| file == path);
        let file = known.unwrap_or_else(|| {
            self.recording.files.push(path.to_owned());
            self.recording.files.len() - 1
        });
        Some(CodeAddress { file, offset })
    }

    fn finish(mut self) -> Recording {
        self.end_repeating();
        self.recording
    }
}

impl Recording {
    /// The points of several recordings, each once. In the order of time as far as they agree.
    pub(super) fn union(recordings: Vec<Self>) -> Self {
        let mut recordings = recordings.into_iter();
        let mut all = recordings.next().unwrap_or_default();
        for other in recordings {
            // Files are numbered as they are met, which may differ.
            let mut numbers = BTreeMap::new();
            for (number, path) in other.files.iter().enumerate() {
                let known = all.files.iter().position(|file| file == path);
                numbers.insert(number, known.unwrap_or(all.files.len()));
                if known.is_none() {
                    all.files.push(path.clone());
                }
            }
            let seen: std::collections::HashSet<_> = all.points.iter().cloned().collect();
            for mut point in other.points {
                point.address.file = numbers[&point.address.file];
                if !seen.contains(&point) {
                    all.points.push(point);
                }
            }
        }
        all
    }
}

/// Brings a victim that is at the beginning of the operation to a point, where it stays.
pub(super) fn bring(
    victim: &mut Tracee,
    maps: &Maps,
    recording: &Recording,
    point: &Point,
    sleeps: Sleeps<'_>,
) -> Result<(), Lost> {
    let path = recording.files.get(point.address.file).ok_or(Lost::Missed)?;
    let address = maps.base(path).ok_or(Lost::Missed)? + point.address.offset;
    let mut way = Way { victim, sleeps };
    let mut hits = 0;
    loop {
        let breakpoint = way.victim.set_breakpoint(address)?;
        way.run(Tracee::resume)?;
        if way.victim.pc()? != address + 1 {
            return Err(Lost::Missed); // the end of the operation
        }
        way.victim.clear(&breakpoint)?;
        way.victim.set_pc(address)?;
        hits += 1;
        if hits == point.hit {
            break;
        }
        // Past it: all turns of it.
        while way.victim.pc()? == address {
            way.run(Tracee::step)?;
        }
    }
    match point.turn {
        Turn::Before(turns) => {
            for _ in 0..turns {
                way.run(Tracee::step)?;
            }
            Ok(())
        }
        Turn::Asleep => {
            way.victim.resume()?;
            match way.victim.wait_or_sleep(None)? {
                Halt::Sleeps(_) => Ok(()),
                Halt::Ended => Err(Lost::Ended),
                Halt::Trap | Halt::Stopped => Err(Lost::Missed),
            }
        }
    }
}

/// A victim on its way to a point.
struct Way<'a, 'b> {
    victim: &'a Tracee,
    sleeps: Sleeps<'b>,
}

impl Way<'_, '_> {
    /// Lets it go, until it stops.
    fn run(&mut self, go: impl Fn(&Tracee) -> nix::Result<()>) -> Result<(), Lost> {
        go(self.victim)?;
        let sleeps: Sleeps<'_> = match &mut self.sleeps {
            Some(sleeps) => Some(&mut **sleeps),
            None => None,
        };
        match wait(self.victim, sleeps)? {
            Halt::Trap => Ok(()),
            Halt::Ended => Err(Lost::Ended),
            Halt::Stopped | Halt::Sleeps(_) => Err(Lost::Missed),
        }
    }
}
