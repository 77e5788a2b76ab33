//! The command line, and the parts that this executable plays when it starts itself anew.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};

use crate::check_framing;
use crate::check_plain;
use crate::check_signals;
use crate::check_splice;
use crate::check_sync;
use crate::clock::Clock;
use crate::leftovers;
use crate::machine;
use crate::matrix::{Extent, Plan};
use crate::measure::pattern;
use crate::mechanisms::Mechanism;
use crate::properties;
use crate::report::aside::Aside;
use crate::report::schema::{Record, SCHEMA};
use crate::report::{compare, html, markdown, summary, table};
use crate::runner::Runner;
use crate::session::{SessionSpec, guest, host};
use crate::spinner;

/// Measure every way of talking between two processes on this machine, beside its limits.
///
/// Each mechanism is measured between two processes pinned to two cores. Every byte of a message is copied
/// in and out; all are compared in a run before the timed one, in which a few words of each are. A round trip runs from before a send until the answer has come; "one-way" is
/// the time of a stream by its messages. Each figure is also a multiple of a limit measured in the
/// same run. "× limit": of the round trip of a cache line between processes that look, of a futex
/// between ones that sleep. "× ring": of the textbook's unchecked ring. "polls": the receiver's vain
/// looks for each message of the stream.
#[derive(Debug, Parser)]
#[command(name = "ipc-bench", version)]
struct Arguments {
    /// Only mechanisms whose name contains one of these; may be repeated.
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    only: Vec<String>,

    /// Sizes of message in bytes, at least 8 each [default: 8,64,1024,65536,1048576].
    #[arg(long, value_name = "BYTES", value_delimiter = ',')]
    sizes: Vec<usize>,

    /// Write the record here too, beside target/ipc-bench/<date>.json and latest.json.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write the page with the plots here too, beside target/ipc-bench/latest.html.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Show this record again, and measure nothing.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["only", "sizes", "quick", "full", "cpus"])]
    from: Option<PathBuf>,

    /// Say what is slower or faster than in this older record, by multiples of each run's limits.
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,

    /// Fail if something is slower than in the record that is compared with.
    #[arg(long, requires = "compare")]
    fail_on_regression: bool,

    /// With --from: print the README's figures instead of everything.
    #[arg(long, requires = "from")]
    markdown: bool,

    /// A first impression, within 30 seconds.
    #[arg(long, conflicts_with = "full")]
    quick: bool,

    /// All sizes from 8 B to 1 MiB by powers of two, for longer: about an hour.
    #[arg(long)]
    full: bool,

    /// The processors of the two processes [default: two of different cores].
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    cpus: Vec<usize>,

    /// Measure other libraries too: as `cargo xtask bench --peers`, which builds those that it can.
    #[arg(long)]
    peers: bool,

    /// List the mechanisms and their ways of waiting, and measure nothing.
    #[arg(long)]
    list: bool,

    /// Print what the links are like, as the README's table, and measure nothing.
    #[arg(long)]
    properties: bool,

    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Compare the textbook's ring with `rtrb` between two threads: it must be within 1.1 ×.
    CheckPlain,
    /// Compare our ends over real-time signals with a bare loop: they must be within 1.1 ×.
    CheckSignals,
    /// Receive for `check-signals`.
    #[command(hide = true)]
    SignalsReceiver { cpu: usize },
    /// Compare the locks in shared memory with libc's, and their hand-over with that of two futexes.
    CheckSync,
    /// Take the locks of `check-sync` in turn.
    #[command(hide = true)]
    SyncPartner { cpu: usize, same_core: String },
    /// Compare messages over pipes and Unix streams with plain reads and writes: at most 1.1 ×.
    CheckFraming {
        /// Be the receiving process.
        #[arg(long, hide = true)]
        guest: Option<String>,
    },
    /// Compare `splice`, `tee` and `vmsplice` with copying, at 64 KiB and 1 MiB.
    CheckSplice {
        /// Be another of its processes.
        #[arg(long, hide = true)]
        part: Option<String>,
    },
    /// Measure as the host.
    #[command(hide = true)]
    Session { spec: String },
    /// Answer a host.
    #[command(hide = true)]
    Guest { spec: String },
    /// Remove what a killed run leaves behind.
    #[command(hide = true)]
    Heir { temporary: PathBuf },
    /// Keep a core awake.
    #[command(hide = true)]
    Spinner { cpu: usize },
}

/// Runs the program with these mechanisms.
pub fn main(mechanisms: &[Mechanism]) -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.part {
        None if arguments.from.is_some() => again(&arguments),
        None => bench(&arguments, mechanisms),
        Some(Part::CheckPlain) => return check_plain::run(),
        Some(Part::CheckSignals) => return check_signals::run(),
        Some(Part::SignalsReceiver { cpu }) => check_signals::receive(*cpu),
        Some(Part::CheckSync) => return check_sync::run(),
        Some(Part::SyncPartner { cpu, same_core }) => check_sync::answer(*cpu, same_core == "true"),
        Some(Part::CheckFraming { guest }) => return check_framing::run(guest.as_deref()),
        Some(Part::CheckSplice { part }) => return check_splice::run(part.as_deref()),
        Some(Part::Session { spec }) => parse(spec).and_then(|spec| host::run(&spec, mechanisms)),
        Some(Part::Guest { spec }) => match parse(spec) {
            Ok(spec) => return guest::run(&spec, mechanisms),
            Err(error) => Err(error),
        },
        Some(Part::Heir { temporary }) => leftovers::inherit(temporary),
        Some(Part::Spinner { cpu }) => spinner::run(*cpu),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ipc-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn parse(spec: &str) -> anyhow::Result<SessionSpec> {
    serde_json::from_str(spec).context("what to measure was not understood")
}

fn bench(arguments: &Arguments, mechanisms: &[Mechanism]) -> anyhow::Result<()> {
    let wanted = |name: &str| {
        arguments.only.is_empty() || arguments.only.iter().any(|part| name.contains(part.as_str()))
    };
    ensure!(
        !arguments.peers || mechanisms.iter().any(|mechanism| mechanism.peer),
        "built without other libraries; `cargo xtask bench --peers` builds them"
    );
    if arguments.properties {
        print!("{}", properties::table(mechanisms)?);
        return Ok(());
    }
    if arguments.list {
        for mechanism in mechanisms.iter().filter(|m| !m.limit && wanted(m.name)) {
            let waits: Vec<_> = mechanism.waits.iter().map(|wait| wait.name()).collect();
            let when = if mechanism.on_request { "; with --only or --full" } else { "" };
            println!("{:<24} {}{when}", mechanism.name, waits.join(", "));
        }
        return Ok(());
    }
    ensure!(
        mechanisms.iter().any(|m| !m.limit && wanted(m.name)),
        "no mechanism contains {:?}; --list shows them all",
        arguments.only
    );
    let extent = match arguments {
        Arguments { quick: true, .. } => Extent::Quick,
        Arguments { full: true, .. } => Extent::Full,
        _ => Extent::Default,
    };
    let cpus = choose_cpus(&arguments.cpus)?;
    let two_cores = cpus[0] != cpus[1];
    if !two_cores {
        eprintln!("warning: only one processor: nothing that spins or needs two cores is measured");
    }
    let asked_for = arguments.full || !arguments.only.is_empty();
    let measured: Vec<_> =
        mechanisms.iter().copied().filter(|m| asked_for || !m.on_request).collect();
    let plan = Plan::new(extent, &measured, wanted, sizes(&arguments.sizes)?, two_cores);
    let runner = Runner { cpus, ns_per_tick: Clock::calibrate().ns_per_tick() };
    let mut findings = runner.run(&plan)?;
    // What the program that built this one left out, a line each.
    let notes = std::env::var("IPC_BENCH_NOTES").unwrap_or_default();
    findings.warnings.extend(notes.lines().map(str::to_owned));
    let record = summary::record(&findings, mechanisms, machine::describe(cpus));
    // Read before the new record is written: it may be the latest one.
    let old = arguments.compare.as_deref().map(read).transpose()?;
    print!("{}", table::render(&record, &Aside::new(&findings, mechanisms)));

    let directory = record_directory()?;
    let json = serde_json::to_string_pretty(&record)? + "\n";
    let page = html::page(&record);
    let written = keep(&directory, &json)?;
    write(&directory.join("latest.html"), &page)?;
    println!("written to {}", written.display());
    println!("the page with the plots: {}", directory.join("latest.html").display());
    if let Some(path) = &arguments.json {
        write(path, &json)?;
    }
    if let Some(path) = &arguments.html {
        write(path, &page)?;
    }
    ensure!(!record.results.is_empty(), "nothing was measured");
    old.map_or(Ok(()), |old| compared(arguments, &old, &record))
}

/// Shows a record again.
fn again(arguments: &Arguments) -> anyhow::Result<()> {
    let path = arguments.from.as_deref().context("no record is named")?;
    let record = read(path)?;
    if arguments.markdown {
        print!("{}", markdown::figures(&record));
        return Ok(());
    }
    if let Some(path) = &arguments.html {
        write(path, &html::page(&record))?;
    }
    match arguments.compare.as_deref() {
        Some(old) => compared(arguments, &read(old)?, &record),
        None if arguments.html.is_some() => Ok(()),
        None => {
            print!("{}", table::render(&record, &Aside::default()));
            Ok(())
        }
    }
}

/// Says what has changed since an older record.
fn compared(arguments: &Arguments, old: &Record, new: &Record) -> anyhow::Result<()> {
    let comparison = compare::compare(old, new);
    let name = arguments.compare.as_deref().unwrap_or(Path::new("another record"));
    print!("\n{}", compare::render(&comparison, &name.display().to_string()));
    let fails = arguments.fail_on_regression && comparison.has_regression();
    ensure!(!fails, "something has become slower than in {}", name.display());
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Record> {
    let text = fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let record: Record = serde_json::from_str(&text)
        .with_context(|| format!("{} is no record of this program", path.display()))?;
    ensure!(
        record.schema == SCHEMA,
        "{} has version {} of the schema; this program reads {SCHEMA}",
        path.display(),
        record.schema
    );
    Ok(record)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn sizes(asked: &[usize]) -> anyhow::Result<Option<Vec<usize>>> {
    let mut sizes = asked.to_vec();
    sizes.sort_unstable();
    sizes.dedup();
    let least = pattern::MIN_LEN;
    ensure!(sizes.iter().all(|&size| size >= least), "a size is below {least} bytes");
    ensure!(sizes.iter().all(|&size| size <= 1 << 28), "a size is above 256 MiB");
    Ok((!sizes.is_empty()).then_some(sizes))
}

fn choose_cpus(asked: &[usize]) -> anyhow::Result<[usize; 2]> {
    let allowed = machine::allowed_cpus()?;
    match *asked {
        [] => match machine::two_cpus()? {
            Some(cpus) => Ok(cpus),
            None => Ok([allowed.first().copied().context("no processor is allowed")?; 2]),
        },
        [first, second] => {
            for cpu in [first, second] {
                ensure!(
                    allowed.contains(&cpu),
                    "processor {cpu} is not among those allowed: {allowed:?}"
                );
            }
            Ok([first, second])
        }
        _ => anyhow::bail!("--cpus takes two processors: --cpus 0,1"),
    }
}

/// `ipc-bench` in the build folder that this executable lies in, or in `target` below the working
/// directory.
fn record_directory() -> io::Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let build = executable.ancestors().find(|path| path.join("CACHEDIR.TAG").exists());
    Ok(build.unwrap_or(Path::new("target")).join("ipc-bench"))
}

/// Writes a record under the present date and as the latest.
fn keep(directory: &Path, json: &str) -> anyhow::Result<PathBuf> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let path = directory.join(format!("{}.json", date(seconds)));
    let write = || {
        fs::create_dir_all(directory)?;
        fs::write(directory.join("latest.json"), json)?;
        fs::write(&path, json)
    };
    write().with_context(|| format!("cannot write into {}", directory.display()))?;
    Ok(path)
}

/// The date and time (UTC) of a Unix time, as a file name: `2026-11-20T10-45-00`.
fn date(unix_seconds: u64) -> String {
    let (days, second_of_day) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let (mut year, mut day) = (1970, days);
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if day < length {
            break;
        }
        day -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute, second) =
        (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}-{minute:02}-{second:02}", day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01T00-00-00");
        assert_eq!(date(951_782_400), "2000-02-29T00-00-00");
        assert_eq!(date(1_795_171_445), "2026-11-20T10-44-05");
    }

    #[test]
    fn sizes_that_cannot_carry_a_number_are_refused() {
        assert!(sizes(&[4]).is_err());
        assert!(sizes(&[1 << 40]).is_err());
        assert_eq!(sizes(&[64, 8, 64]).expect("good ones"), Some(vec![8, 64]));
        assert_eq!(sizes(&[]).expect("the default"), None);
    }

    #[test]
    fn processors_that_are_not_there_are_refused() {
        assert!(choose_cpus(&[0, 100_000]).is_err());
        assert!(choose_cpus(&[0]).is_err());
    }
}
