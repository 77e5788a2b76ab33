//! Kills a process at every instruction of an operation, and looks at what the other one makes of it.
//! Leaves out what is tested: the scenes.
//!
//! A protocol in shared memory must outlive the death of either side at any instruction. This kit
//! finds the instructions and tries each. You describe **scenes**: two processes, a **victim** and a
//! **survivor**, bring a link into a state; the victim begins one operation; the survivor checks what
//! is left. For each scene the kit
//!
//! 1. *records*: single-steps the victim through the operation and notes where it was in the program's
//!    own code, in order, and around each system call, wherever it was made;
//! 2. *kills*: for each noted point starts a fresh victim, brings it there by a breakpoint, and ends it
//!    with SIGKILL. The survivor must then finish, with all its checks, within [`PATIENCE`];
//! 3. *stops*: the same with SIGSTOP. The survivor acts meanwhile, the victim goes on (SIGCONT), and
//!    both must finish: a stopped process is not a dead one.
//!
//! **When not to use it:** for code whose state dies with the process anyway; on other processors than
//! x86-64; where `ptrace(2)` is not permitted ([`Unsupported`] tells why).
//!
//! # Example
//!
//! A test without the usual harness: in `Cargo.toml` a `[[test]]` with `harness = false`, and
//!
//! ```no_run
//! use ipc_testing::crash::{Fate, Scene, Suite};
//!
//! fn main() -> std::process::ExitCode {
//!     let send = Scene::new(
//!         ("send", "empty"),
//!         |victim| {
//!             let socket = victim.socket(); // the other end is the survivor's: make your link over it
//!             victim.wait(); // until the survivor is there too
//!             // Every instruction in here is a point.
//!             victim.operation(|| rustix::io::write(&socket, b"hello")).expect("sent");
//!             // Only a victim that was stopped and continued comes here.
//!         },
//!         |survivor| {
//!             let socket = survivor.socket();
//!             survivor.signal();
//!             if survivor.fate() == Fate::Stopped {
//!                 // Do here what must be possible meanwhile. Then let the victim go on.
//!                 survivor.acted();
//!             }
//!             let mut buffer = [0; 5];
//!             let len = rustix::io::read(&socket, &mut buffer).expect("a message or the end");
//!             assert!(len == 0 || &buffer == b"hello", "all or nothing");
//!             u64::from(len > 0) // how much of the operation took effect
//!         },
//!     );
//!     Suite::start(vec![send]).run()
//! }
//! ```
//!
//! (`no_run`: the kit starts the program again, which in a doctest is another one.)
//!
//! # What it checks
//!
//! - The survivor's own assertions. Give messages a number and a checksum, so that a torn, lost or
//!   repeated one is seen.
//! - The number that the survivor returns, the **effect** of the operation: from point to point it may
//!   only grow. What is visible if the victim dies at one instruction is so at each later one. With
//!   [`Scene::takes_effect`] it must grow.
//! - The survivor holds the same descriptors, shared mappings, threads and signal actions as before.
//! - Time. A survivor that needs longer than [`PATIENCE`] fails, unless it is quick at one of four more
//!   attempts at the same point: on a busy machine anybody may be late once.
//!
//! The kit's process holds no descriptor of the link while the operation runs: a death must be seen as
//! it would be without the kit.
//!
//! # Points
//!
//! A point is an address and how often it has been passed, so that loops are tried in every turn. Own
//! code is the text of the executable, with what is linked into it, the standard library too; of shared
//! libraries and the kernel's vDSO only the moments before and after a system call count. A `rep`
//! instruction is tried before its first, middle and last turn. Where the victim slept during the
//! recording, it is also killed and stopped asleep.
//!
//! Two recordings are made. If they differ, because the operation reads a clock or looks at what
//! another process does meanwhile, the points of both are tried, the effect is not required to grow,
//! and points that a victim does not come by in five attempts are counted as **missed**, in a column
//! of their own: of a victim that spins, the last turns of its loop, which end when they end. [`Scene::varies`] says beforehand that it is so. To keep recordings the same, let the
//! survivor be asleep or idle while the victim runs. Beware of a survivor that goes on after it has woken
//! the victim ([`Stage::partner_sleeps`] tells): the two then run a race, which a victim that is stepped
//! always loses, and one that runs to a breakpoint wins now and then.
//!
//! # The survivor during the operation
//!
//! | it is | how |
//! |---|---|
//! | idle | it calls [`Survivor::fate`], which returns when the victim is dead or stopped |
//! | in an operation of its own: parked, spinning, polling | [`Scene::busy`], and it asks for the fate afterwards |
//! | to act each time the victim sleeps, so that the operation can end | [`Scene::cued`], and [`Survivor::cue`] |
//!
//! # Running
//!
//! [`Suite::run`] understands `--quick` (some points of each scene, evenly spread), `--list`, `--verbose`
//! (also where each scene takes effect), and FILTER (part of a scene's name). It prints what was tried and
//! survived by operation and state, and by function. Build with `--release`: those are the instructions
//! that ship. A build without optimisation tries two points of some scenes, to see that they work.

mod command;
#[cfg(target_arch = "x86_64")]
mod explore;
#[cfg(target_arch = "x86_64")]
mod maps;
#[cfg(target_arch = "x86_64")]
mod marker;
mod observe;
mod part;
#[cfg(target_arch = "x86_64")]
mod places;
#[cfg(target_arch = "x86_64")]
mod recording;
mod report;
mod scene;
mod suite;
#[cfg(target_arch = "x86_64")]
mod tracee;
#[cfg(target_arch = "x86_64")]
mod trial;
#[cfg(target_arch = "x86_64")]
mod watch;

pub use part::{Cue, Fate, Stage, Survivor, Victim};
pub use report::{Blow, Failure, FunctionReport, Report, SceneReport};
pub use scene::Scene;
pub use suite::{Effort, Suite};

use std::fmt;
use std::time::Duration;

/// How long a survivor may take from the blow to the end of its checks.
pub const PATIENCE: Duration = Duration::from_millis(100);

/// Why nothing can be tried here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// The processor is not an x86-64.
    Processor,
    /// The system refuses `ptrace(2)`: a container's seccomp profile, or yama
    /// (`/proc/sys/kernel/yama/ptrace_scope`).
    NotPermitted(String),
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Processor => write!(f, "single-stepping is written for x86-64 only"),
            Self::NotPermitted(why) => write!(f, "ptrace not permitted: {why}"),
        }
    }
}

impl std::error::Error for Unsupported {}
