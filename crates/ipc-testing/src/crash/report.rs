//! What was tried and what came of it, for people.

use std::fmt;
use std::time::Duration;

/// What is done to a victim at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blow {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and later SIGCONT.
    Stop,
}

/// The report on a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One for each scene, in their order.
    pub scenes: Vec<SceneReport>,
    /// Functions of the program's own code, with the points in them that were survived; where
    /// `addr2line` (of binutils) is there to tell.
    pub functions: Vec<FunctionReport>,
    /// Wall-clock time of the whole.
    pub elapsed: Duration,
}

/// What was tried in one function, over all scenes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionReport {
    /// File and name: of code that was inlined, the innermost of the project's own.
    pub name: String,
    /// Points at which the victim was killed, and the survivor passed.
    pub kills_survived: usize,
    /// Points at which the victim was stopped, and both passed.
    pub stops_survived: usize,
    /// In how many states an operation was begun that came here.
    pub states: usize,
}

/// The report on one scene.
#[derive(Clone, Debug, Default)]
pub struct SceneReport {
    /// The operation.
    pub operation: String,
    /// The state that it was begun in.
    pub state: String,
    /// What the survivor did meanwhile.
    pub survivor_is: String,
    /// Points of the operation; all of them, also where only some were tried.
    pub points: usize,
    /// Whether two recordings were the same, and the scene does not say that they may differ.
    pub repeats_itself: bool,
    /// Points at which the victim was killed, and the survivor passed.
    pub kills_survived: usize,
    /// Points at which the victim was stopped, and both passed.
    pub stops_survived: usize,
    /// Trials in which no victim came by the point, of operations that do not repeat themselves.
    pub missed: usize,
    /// Trials that did not pass.
    pub trials_failed: usize,
    /// Trials in which the survivor was late, and in time when tried again.
    pub late_once: usize,
    /// The longest that a survivor took from the kill to its last check, at the attempt that counts.
    pub slowest: Duration,
    /// Time of all trials together; several run at once.
    pub busy: Duration,
    /// Where the operation took effect, if one point can be named: the last instruction before it did.
    pub takes_effect_at: Option<String>,
    /// What did not pass.
    pub failures: Vec<Failure>,
}

/// One trial that did not pass.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The scene's name.
    pub scene: String,
    /// What was done; `None` if recording failed already.
    pub blow: Option<Blow>,
    /// The point's number within the scene, from 0.
    pub point: usize,
    /// Symbol, line and address.
    pub place: String,
    /// What went wrong.
    pub what: String,
}

impl Report {
    /// All failures.
    pub fn failures(&self) -> impl Iterator<Item = &Failure> {
        self.scenes.iter().flat_map(|scene| &scene.failures)
    }

    fn write_functions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.functions.is_empty() {
            return Ok(());
        }
        let names = self.functions.iter().map(|it| it.name.chars().count());
        let width = names.max().unwrap_or(0);
        writeln!(f, "\n{:width$}  states   kills   stops", "function")?;
        for FunctionReport { name, kills_survived, stops_survived, states } in &self.functions {
            writeln!(f, "{name:width$}  {states:6}  {kills_survived:6}  {stops_survived:6}")?;
        }
        writeln!(f)
    }

    /// Points at which a victim was killed, and stopped, and nothing was wrong.
    pub fn survived(&self) -> (usize, usize) {
        self.scenes.iter().fold((0, 0), |(kills, stops), scene| {
            (kills + scene.kills_survived, stops + scene.stops_survived)
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.scene)?;
        match self.blow {
            Some(Blow::Kill) => write!(f, "killed at point {}: ", self.point)?,
            Some(Blow::Stop) => write!(f, "stopped at point {}: ", self.point)?,
            None => write!(f, "recording: ")?,
        }
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.what)
    }
}

/// Two tables: a line for each operation and state, over all kinds of survivors; and one for each
/// function of the program's own code.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<Line> = Vec::new();
        for scene in &self.scenes {
            let known = lines
                .iter_mut()
                .find(|line| line.operation == scene.operation && line.state == scene.state);
            match known {
                Some(line) => line.add(scene),
                None => lines.push(Line::of(scene)),
            }
        }
        let width = |column: fn(&Line) -> usize, heading: &str| {
            lines.iter().map(column).max().unwrap_or(0).max(heading.len())
        };
        let first = width(|line| line.operation.chars().count(), "operation");
        let second = width(|line| line.state.chars().count(), "state");
        writeln!(
            f,
            "{:first$}  {:second$}  survivors  points   tried   kills   stops  missed  slowest/ms  seconds",
            "operation", "state"
        )?;
        let mut total = Line::default();
        for line in &lines {
            line.write(f, first, second)?;
            total.take(line);
        }
        total.operation = "total".into();
        total.write(f, first, second)?;
        self.write_functions(f)?;
        write!(
            f,
            "{} kills and {} stops survived in {:.1} s (seconds in the table are of all processes); \
             {} trials failed, {} were late once",
            total.kills,
            total.stops,
            self.elapsed.as_secs_f64(),
            self.failures().count(),
            total.late_once,
        )
    }
}

#[derive(Default)]
struct Line {
    operation: String,
    state: String,
    survivors: usize,
    points: usize,
    kills: usize,
    stops: usize,
    missed: usize,
    failed: usize,
    late_once: usize,
    slowest: Duration,
    busy: Duration,
}

impl Line {
    fn of(scene: &SceneReport) -> Self {
        let (operation, state) = (scene.operation.clone(), scene.state.clone());
        let mut line = Self { operation, state, ..Self::default() };
        line.add(scene);
        line
    }

    fn add(&mut self, scene: &SceneReport) {
        self.survivors += 1;
        self.points += scene.points;
        self.kills += scene.kills_survived;
        self.stops += scene.stops_survived;
        self.missed += scene.missed;
        self.failed += scene.trials_failed;
        self.late_once += scene.late_once;
        self.slowest = self.slowest.max(scene.slowest);
        self.busy += scene.busy;
    }

    fn take(&mut self, line: &Self) {
        self.survivors += line.survivors;
        self.points += line.points;
        self.kills += line.kills;
        self.stops += line.stops;
        self.missed += line.missed;
        self.failed += line.failed;
        self.late_once += line.late_once;
        self.slowest = self.slowest.max(line.slowest);
        self.busy += line.busy;
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, first: usize, second: usize) -> fmt::Result {
        writeln!(
            f,
            "{:first$}  {:second$}  {:9}  {:6}  {:6}  {:6}  {:6}  {:6}  {:10.2}  {:7.1}",
            self.operation,
            self.state,
            self.survivors,
            self.points,
            self.kills + self.stops + self.missed + self.failed,
            self.kills,
            self.stops,
            self.missed,
            self.slowest.as_secs_f64() * 1e3,
            self.busy.as_secs_f64(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_one_line_for_an_operation_in_a_state() {
        let scene = |survivor: &str| SceneReport {
            operation: "send".into(),
            state: "empty".into(),
            survivor_is: survivor.into(),
            points: 10,
            kills_survived: 9,
            ..SceneReport::default()
        };
        let report = Report { scenes: vec![scene("idle"), scene("parked")], ..Report::default() };
        let text = report.to_string();
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(
            text.contains("send       empty          2      20      18      18       0"),
            "{text}"
        );
    }
}
