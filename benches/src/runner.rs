//! Runs the sessions of a plan one after another, and collects what they find.
//!
//! The repetitions of a figure are far apart: each pass goes through all cells in a new order, so that
//! a minute in which the machine was busy falls on all alike. This process sleeps while a session
//! runs; it does not even read what the session prints before it has ended.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Instant;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::Signal;

use crate::leftovers::Leftovers;
use crate::matrix::{Cell, Plan};
use crate::progress::Progress;
use crate::session::{Cores, Finding, LimitSample, LinkSample, Sample, SessionSpec};

/// Everything that the sessions of a run found.
#[derive(Debug, Default)]
pub struct Findings {
    /// By cell and size, one sample for each pass.
    pub samples: BTreeMap<(Cell, usize), Vec<Sample>>,
    /// By where, one sample for each pass.
    pub limits: BTreeMap<Cores, Vec<LimitSample>>,
    /// By mechanism and whether the memory was reserved, one sample for each pass.
    pub links: BTreeMap<(&'static str, bool), Vec<LinkSample>>,
    /// Sizes that mechanisms do not carry, and why.
    pub unfit: BTreeMap<(&'static str, usize), String>,
    /// What failed, and how.
    pub failures: BTreeMap<(Cell, Option<usize>), String>,
    /// What the reader of the figures must know.
    pub warnings: BTreeSet<String>,
    /// How often everything was measured; the time may have ended within a further pass.
    pub whole_passes: u32,
}

/// How to run sessions: what does not differ between them.
#[derive(Clone, Copy, Debug)]
pub struct Runner {
    /// The two processors; the same one twice where there is only one.
    pub cpus: [usize; 2],
    /// The calibrated clock.
    pub ns_per_tick: Option<f64>,
}

impl Runner {
    /// Runs a plan.
    ///
    /// # Errors
    ///
    /// If sessions cannot be started at all. A session that fails is among the findings.
    pub fn run(&self, plan: &Plan) -> anyhow::Result<Findings> {
        let leftovers = Leftovers::watch()?;
        let mut findings = Findings::default();
        let sessions = (1..=plan.passes).map(|pass| plan.cells_of_pass(pass).len()).sum();
        let progress = Progress::new(sessions);
        let mut order = Shuffle::new();
        let until = plan.time_limit.map(|limit| Instant::now() + limit);
        let course = Course { plan, leftovers: &leftovers, until };
        'passes: for pass in 1..=plan.passes {
            progress.pass(pass, plan.passes);
            let mut cells = plan.cells_of_pass(pass);
            order.shuffle(&mut cells);
            if pass == 1 {
                // The limits first: without them nothing has a multiple, should the time end early.
                cells.sort_by_key(|cell| cell.subject.is_some());
            }
            for cell in &cells {
                if course.time_is_up() {
                    break 'passes;
                }
                progress.session(&cell.to_string());
                self.run_cell(&course, *cell, pass, &mut findings)?;
                progress.session_done();
            }
            findings.whole_passes = pass;
        }
        if findings.whole_passes == 0 {
            let warning = "the time was up before everything was measured once";
            findings.warnings.insert(warning.into());
        }
        progress.finish();
        Ok(findings)
    }

    /// Runs one cell: a session, and another for the sizes after one that failed.
    fn run_cell(
        &self,
        course: &Course<'_>,
        cell: Cell,
        pass: u32,
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        let plan = course.plan;
        let mut sizes_bytes = plan.sizes_bytes.clone();
        if let Some((name, _)) = cell.subject {
            sizes_bytes.retain(|&size| {
                !findings.unfit.contains_key(&(name, size))
                    && !findings.failures.contains_key(&(cell, Some(size)))
                    && cell.manner.suits(size)
            });
        }
        let has_sizes = cell.has_sizes();
        if !has_sizes {
            // Without limits there are no multiples: they get another chance.
            findings.failures.remove(&(cell, None));
        }
        while !has_sizes || !sizes_bytes.is_empty() {
            let spec = SessionSpec {
                subject: cell.subject.map(|(name, wait)| (name.to_owned(), wait)),
                manner: cell.manner,
                cores: cell.cores,
                cpus: if cell.cores == Cores::One { [self.cpus[0]; 2] } else { self.cpus },
                sizes_bytes: sizes_bytes.clone(),
                rtt_ms: plan.rtt_ms,
                oneway_ms: plan.oneway_ms,
                paced: plan.paced_in(cell),
                patience_s: plan.patience_s,
                ns_per_tick: self.ns_per_tick,
            };
            let (found, failure) = run_session(&spec, course.leftovers)?;
            let mut reported = HashSet::new();
            for finding in found {
                reported.extend(findings.add(cell, pass, finding));
            }
            let Some(failure) = failure else { break };
            sizes_bytes.retain(|size| !reported.contains(size));
            let failed_size = sizes_bytes.first().copied().filter(|_| has_sizes);
            findings.failures.insert((cell, failed_size), failure);
            if !has_sizes || sizes_bytes.is_empty() || course.time_is_up() {
                break;
            }
            sizes_bytes.remove(0);
        }
        Ok(())
    }
}

/// What all sessions of a run have in common.
struct Course<'a> {
    plan: &'a Plan,
    leftovers: &'a Leftovers,
    until: Option<Instant>,
}

impl Course<'_> {
    fn time_is_up(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() > until)
    }
}

impl Findings {
    /// Keeps a finding of a pass; returns the size that it is about.
    fn add(&mut self, cell: Cell, pass: u32, finding: Finding) -> Option<usize> {
        match finding {
            Finding::Measured(sample) => {
                let size = sample.size_bytes;
                self.samples.entry((cell, size)).or_default().push(Sample { pass, ..*sample });
                Some(size)
            }
            Finding::Unfit { size_bytes, reason } => {
                let (name, _) = cell.subject?;
                self.unfit.insert((name, size_bytes), reason);
                Some(size_bytes)
            }
            Finding::Limits(sample) => {
                self.limits.entry(cell.cores).or_default().push(LimitSample { pass, ..sample });
                None
            }
            Finding::Link(sample) => {
                let (name, _) = cell.subject?;
                self.links.entry((name, sample.reserved)).or_default().push(sample);
                None
            }
            Finding::Properties(_) => None,
            Finding::Warning(text) => {
                self.warnings.insert(text);
                None
            }
        }
    }
}

/// Runs one session to its end; returns what it found, and
/// why it failed if it did.
pub(crate) fn run_session(
    spec: &SessionSpec,
    leftovers: &Leftovers,
) -> anyhow::Result<(Vec<Finding>, Option<String>)> {
    // Files in memory, not pipes: nobody has to wake up to empty them.
    let file = |name| memfd_create(name, MemfdFlags::CLOEXEC).map(File::from);
    let (mut output, mut errors) = (file("findings")?, file("errors")?);
    let mut session = Command::new("/proc/self/exe");
    session
        .args(["session", &serde_json::to_string(spec)?])
        .stdout(output.try_clone()?)
        .stderr(errors.try_clone()?);
    let status = leftovers.run(session, spec)?;
    let lines = read_all(&mut output)?;
    // A line that a killed session did not finish is no finding.
    let found = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let failure = (!status.success()).then(|| {
        let text = read_all(&mut errors).unwrap_or_default();
        let text = text.trim();
        if status.signal() == Some(Signal::ALARM.as_raw()) {
            // What the guest says is that the host was gone.
            "took too long, and was ended (is the machine busy?)".to_owned()
        } else if text.is_empty() {
            format!("ended with {status}")
        } else {
            text.replace('\n', "; ")
        }
    });
    Ok((found, failure))
}

fn read_all(file: &mut File) -> std::io::Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// A source of random orders, different in each run.
struct Shuffle(u64);

impl Shuffle {
    fn new() -> Self {
        Self(crate::clock::monotonic_ns() | 1)
    }

    /// Fisher and Yates, with Marsaglia's xorshift.
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            items.swap(last, (self.0 % (last as u64 + 1)) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_keeps_everything_and_changes_the_order() {
        let mut items: Vec<u32> = (0..50).collect();
        let mut order = Shuffle::new();
        order.shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
