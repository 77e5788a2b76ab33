//! Tries every point of every scene, several at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::places::Places;
use super::recording::{Point, Recording, Turn};
use super::report::{Blow, Failure, FunctionReport, Report, SceneReport};
use super::trial::{Outcome, Trouble, Worker};
use super::watch::{TRIAL_TIMEOUT, Watch};
use super::{Effort, PATIENCE, Scene, Unsupported};

/// How often a late survivor or a missed point is tried again.
const ATTEMPTS: usize = 5;

/// Tries these scenes, given by their numbers.
pub(super) fn explore(
    scenes: &[Scene],
    chosen: &[usize],
    effort: Effort,
) -> Result<Report, Unsupported> {
    let start = Instant::now();
    let watch = Watch::new(TRIAL_TIMEOUT);
    let (over, is_over) = mpsc::channel();
    let mut report = thread::scope(|scope| {
        let (watch, _over) = (&watch, over); // which is dropped at the end
        scope.spawn(move || watch.keep(&is_over));
        let pool = Pool { scenes, watch };
        let recordings = pool.run("recording", chosen, |worker, &scene| {
            record(worker, scene, scenes[scene].varies)
        })?;
        let trials = plan(&recordings, chosen, effort);
        let tried = pool.run("trying", &trials, |worker, trial| {
            Ok(trial.run(worker, &recordings[trial.recording]))
        })?;
        Ok(sum_up(scenes, chosen, &recordings, &trials, tried))
    })?;
    report.elapsed = start.elapsed();
    Ok(report)
}

/// A scene, recorded.
struct Recorded {
    recording: Recording,
    repeats_itself: bool,
    /// Why there is no recording.
    failure: Option<String>,
    busy: Duration,
}

fn record(worker: &mut Worker<'_>, scene: usize, varies: bool) -> Result<Recorded, Unsupported> {
    let start = Instant::now();
    let mut recordings = Vec::new();
    for _ in 0..2 {
        match worker.record(scene) {
            Ok(recording) => recordings.push(recording),
            Err(Trouble::Unsupported(why)) => return Err(why),
            Err(Trouble::Missed) => {
                return Ok(Recorded::failed("the victim does not come to the end".into(), start));
            }
            Err(Trouble::Failed(why)) => return Ok(Recorded::failed(why, start)),
        }
    }
    let repeats_itself = recordings[0] == recordings[1] && !varies;
    let recording = Recording::union(recordings);
    Ok(Recorded { recording, repeats_itself, failure: None, busy: start.elapsed() })
}

impl Recorded {
    fn failed(why: String, start: Instant) -> Self {
        let recording = Recording::default();
        Self { recording, repeats_itself: false, failure: Some(why), busy: start.elapsed() }
    }
}

/// One point to be tried in one way.
struct Trial {
    recording: usize,
    scene: usize,
    point: usize,
    blow: Blow,
}

/// What came of it.
struct Tried {
    /// `None`: no victim came by.
    result: Result<Option<Outcome>, String>,
    late: bool,
    busy: Duration,
}

fn plan(recordings: &[Recorded], chosen: &[usize], effort: Effort) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (recording, &scene) in chosen.iter().enumerate() {
        for point in sample(recordings[recording].recording.points.len(), effort) {
            let blows = [Blow::Kill, Blow::Stop];
            trials.extend(blows.map(|blow| Trial { recording, scene, point, blow }));
        }
    }
    trials
}

fn sample(count: usize, effort: Effort) -> Vec<usize> {
    match effort {
        Effort::Sample(0) => Vec::new(),
        Effort::Sample(most) if most < count => {
            let last = count - 1;
            let steps = (most - 1).max(1);
            (0..most).map(|step| step * last / steps).collect()
        }
        _ => (0..count).collect(),
    }
}

impl Trial {
    fn run(&self, worker: &mut Worker<'_>, recorded: &Recorded) -> Tried {
        let start = Instant::now();
        let point = &recorded.recording.points[self.point];
        let mut late = false;
        let mut result = Ok(None);
        for attempt in 1..=ATTEMPTS {
            result = match worker.strike(self.scene, &recorded.recording, point, self.blow) {
                Ok(it) if self.blow == Blow::Kill && it.elapsed > PATIENCE => {
                    late = true;
                    if attempt == ATTEMPTS {
                        let ms = it.elapsed.as_millis();
                        Err(format!("the survivor took {ms} ms, also when tried again"))
                    } else {
                        continue;
                    }
                }
                Ok(outcome) => Ok(Some(outcome)),
                Err(Trouble::Missed) if attempt < ATTEMPTS => continue,
                Err(Trouble::Missed) if recorded.repeats_itself => {
                    Err("no victim came by this point".into())
                }
                Err(Trouble::Missed) => Ok(None),
                Err(Trouble::Failed(why)) => Err(why),
                Err(Trouble::Unsupported(why)) => Err(why.to_string()),
            };
            break;
        }
        Tried { result, late, busy: start.elapsed() }
    }
}

fn sum_up(
    scenes: &[Scene],
    chosen: &[usize],
    recordings: &[Recorded],
    trials: &[Trial],
    tried: Vec<Tried>,
) -> Report {
    let mut reports: Vec<_> = chosen
        .iter()
        .zip(recordings)
        .map(|(&scene, recorded)| SceneReport::begin(&scenes[scene], recorded))
        .collect();
    let places = Places::look_up(&executable(recordings), own_offsets(trials, recordings));
    let mut functions: BTreeMap<String, (FunctionReport, BTreeSet<&str>)> = BTreeMap::new();
    // In the order of points, of scenes that repeat themselves: what each kill left.
    let mut effects: BTreeMap<usize, Vec<(usize, u64)>> = BTreeMap::new();
    for (trial, tried) in trials.iter().zip(tried) {
        let report = &mut reports[trial.recording];
        let recorded = &recordings[trial.recording];
        report.busy += tried.busy;
        report.late_once += usize::from(tried.late && tried.result.is_ok());
        if let Ok(Some(_)) = tried.result {
            let address = &recorded.recording.points[trial.point].address;
            let name = if address.file == 0 { places.function(address.offset) } else { None };
            let name = name.unwrap_or_else(|| "other packages and the C library".into());
            let (function, states) = functions.entry(name).or_default();
            function.count(trial.blow);
            states.insert(&scenes[trial.scene].state);
        }
        match tried.result {
            Ok(Some(outcome)) if trial.blow == Blow::Kill => {
                report.kills_survived += 1;
                report.slowest = report.slowest.max(outcome.elapsed);
                if recorded.repeats_itself {
                    let effects = effects.entry(trial.recording).or_default();
                    effects.push((trial.point, outcome.effect));
                }
            }
            Ok(Some(_)) => report.stops_survived += 1,
            Ok(None) => report.missed += 1,
            Err(what) => {
                report.trials_failed += 1;
                report.failures.push(Failure {
                    scene: scenes[trial.scene].name(),
                    blow: Some(trial.blow),
                    point: trial.point,
                    place: place(&places, &recorded.recording, trial.point),
                    what,
                });
            }
        }
    }
    for (recording, effects) in effects {
        let scene = &scenes[chosen[recording]];
        let recorded = &recordings[recording].recording;
        reports[recording].judge_effects(scene, &effects, recorded, &places);
    }
    let named = |(name, (report, states)): (_, (_, BTreeSet<_>))| FunctionReport {
        name,
        states: states.len(),
        ..report
    };
    let functions = functions.into_iter().map(named).collect();
    Report { scenes: reports, functions, elapsed: Duration::ZERO }
}

fn executable(recordings: &[Recorded]) -> String {
    let first = recordings.iter().find_map(|it| it.recording.files.first());
    first.cloned().unwrap_or_default()
}

/// The addresses in the executable that were tried.
fn own_offsets(trials: &[Trial], recordings: &[Recorded]) -> impl Iterator<Item = u64> {
    trials
        .iter()
        .map(|trial| &recordings[trial.recording].recording.points[trial.point].address)
        .filter(|address| address.file == 0)
        .map(|address| address.offset)
}

impl FunctionReport {
    fn count(&mut self, blow: Blow) {
        match blow {
            Blow::Kill => self.kills_survived += 1,
            Blow::Stop => self.stops_survived += 1,
        }
    }
}

impl SceneReport {
    fn begin(scene: &Scene, recorded: &Recorded) -> Self {
        let failure = recorded.failure.iter().map(|what| Failure {
            scene: scene.name(),
            blow: None,
            point: 0,
            place: String::new(),
            what: what.clone(),
        });
        Self {
            operation: scene.operation.clone(),
            state: scene.state.clone(),
            survivor_is: scene.survivor_is.clone(),
            points: recorded.recording.points.len(),
            repeats_itself: recorded.repeats_itself,
            busy: recorded.busy,
            failures: failure.collect(),
            ..Self::default()
        }
    }

    /// The effect may only grow. If it grows once, the place is worth knowing.
    fn judge_effects(
        &mut self,
        scene: &Scene,
        effects: &[(usize, u64)],
        recording: &Recording,
        places: &Places,
    ) {
        let mut growths = Vec::new();
        for pair in effects.windows(2) {
            let [(last, before), (point, after)] = [pair[0], pair[1]];
            if after < before {
                self.failures.push(Failure {
                    scene: scene.name(),
                    blow: Some(Blow::Kill),
                    point,
                    place: place(places, recording, point),
                    what: format!("the effect is {after}, and was {before} when killed before"),
                });
            } else if after > before {
                growths.push((last, point));
            }
        }
        if let (Some(last), true, true) = (effects.last(), scene.takes_effect, growths.is_empty()) {
            self.failures.push(Failure {
                scene: scene.name(),
                blow: Some(Blow::Kill),
                point: last.0,
                place: place(places, recording, last.0),
                what: "the operation took no effect".into(),
            });
        }
        if let [(last, next)] = growths[..] {
            // Of a sample, two points need not be neighbours.
            let is_exact = next == last + 1;
            self.takes_effect_at = is_exact.then(|| place(places, recording, last));
        }
    }
}

fn place(places: &Places, recording: &Recording, point: usize) -> String {
    let Some(Point { address, hit, turn }) = recording.points.get(point) else {
        return String::new();
    };
    let file = &recording.files[address.file];
    // Others than the executable's are not looked up.
    let known = if address.file == 0 { places } else { &Places::default() };
    let place = known.describe(file, address.offset);
    match turn {
        Turn::Before(0) => format!("before {place}, pass {hit}"),
        Turn::Before(turns) => format!("after {turns} turns of {place}, pass {hit}"),
        Turn::Asleep => format!("asleep in {place}"),
    }
}

/// Threads that share the work. Each traces the victims that it starts: `ptrace(2)` is by thread.
struct Pool<'a> {
    scenes: &'a [Scene],
    watch: &'a Watch,
}

impl Pool<'_> {
    /// Does all jobs; the results in their order. The first refusal ends it.
    fn run<J: Sync, R: Send>(
        &self,
        what: &str,
        jobs: &[J],
        job: impl Fn(&mut Worker<'_>, &J) -> Result<R, Unsupported> + Sync,
    ) -> Result<Vec<R>, Unsupported> {
        let next = AtomicUsize::new(0);
        let refused = AtomicBool::new(false);
        let results: Mutex<Vec<(usize, Result<R, Unsupported>)>> = Mutex::default();
        let progress = Progress::new(what, jobs.len());
        let work = |number| {
            let mut worker = Worker::new(number, self.scenes, self.watch);
            // Relaxed, both: each number is handed out once, and a late sight costs one job more.
            while !refused.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(it) = jobs.get(index) else { break };
                let result = job(&mut worker, it);
                if result.is_err() {
                    refused.store(true, Ordering::Relaxed);
                }
                results.lock().expect("no worker panics with it").push((index, result));
                progress.show(index);
            }
        };
        // A trial has two processes that take turns, and waits for both at times.
        let threads = thread::available_parallelism().map_or(2, |cpus| cpus.get() + 1);
        thread::scope(|scope| {
            for number in 0..threads {
                let work = &work;
                scope.spawn(move || work(number));
            }
        });
        progress.end();
        let mut results = results.into_inner().expect("no worker panics with it");
        results.sort_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
    }
}

/// One line on a terminal.
struct Progress<'a> {
    what: &'a str,
    total: usize,
    start: Instant,
    is_shown: bool,
}

impl<'a> Progress<'a> {
    fn new(what: &'a str, total: usize) -> Self {
        Self { what, total, start: Instant::now(), is_shown: std::io::stderr().is_terminal() }
    }

    fn show(&self, done: usize) {
        if self.is_shown && done % 32 == 0 {
            let seconds = self.start.elapsed().as_secs();
            eprint!("\r{} {done} of {}, {seconds} s ", self.what, self.total);
        }
    }

    fn end(&self) {
        if self.is_shown {
            eprint!("\r\x1b[K");
        }
    }
}
