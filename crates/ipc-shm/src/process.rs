//! Which process something belongs to, as a word in shared memory, and whether that process still
//! lives. Leaves out what it owns.
//!
//! A process id alone would not do: the kernel gives it to another process one day. Together with the
//! moment at which the process started it is unique, as long as the system is up.

use std::fs::File;
use std::io::{self, Read};

use ipc_core::Liveness;
use rustix::io::Errno;

/// A process of this PID namespace, told from any later one of the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessToken(u64);

/// Bits of the process id: the kernel's own highest is 2²² (`PID_MAX_LIMIT`). The others hold when it
/// started, in ticks since the system came up, and last 1,400 years.
const ID_BITS: u32 = 22;

impl ProcessToken {
    /// That of this process.
    ///
    /// # Errors
    ///
    /// Those of reading `/proc/self/stat`.
    pub(crate) fn own() -> io::Result<Self> {
        let started = started_ticks("self")?;
        Ok(Self(started << ID_BITS | u64::from(std::process::id())))
    }

    /// The one that was stored as these bits, which anybody may have written; 0 is nobody.
    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        (bits != 0).then_some(Self(bits))
    }

    /// Never 0.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// Its process id, if the bits mean any.
    pub(crate) fn id(self) -> u32 {
        (self.0 & ((1 << ID_BITS) - 1)) as u32
    }

    /// Whether it is this process. A child that was forked from it is another.
    pub(crate) fn is_own(self) -> bool {
        self.id() == std::process::id()
    }

    /// Whether it lives, as the kernel tells. A stopped process lives, and so does one of which this
    /// process may see no more than that the id is in use (`hidepid` in `proc(5)`).
    ///
    /// # Errors
    ///
    /// Those of `pidfd_open(2)` that say nothing about the process: no descriptor left.
    pub(crate) fn is_alive(self) -> io::Result<bool> {
        let id = self.id();
        // It keeps whoever has the id now from being replaced meanwhile.
        let liveness = match Liveness::of_process(id) {
            Ok(liveness) => liveness,
            Err(error) => {
                return match Errno::from_io_error(&error) {
                    // Nobody, or bits that no process has.
                    Some(Errno::SRCH | Errno::INVAL) => Ok(false),
                    _ => Err(error),
                };
            }
        };
        let is_another =
            started_ticks(&id.to_string()).is_ok_and(|started| started != self.0 >> ID_BITS);
        Ok(!is_another && liveness.is_alive()?)
    }
}

/// When a process started, in clock ticks since the system came up. See `/proc/pid/stat` in `proc(5)`,
/// field 22.
fn started_ticks(process: &str) -> io::Result<u64> {
    // 22 fields and more, of at most 20 digits and 64 characters of the name; the file comes in one read.
    let mut stat = [0; 512];
    let len = File::open(format!("/proc/{process}/stat"))?.read(&mut stat)?;
    parse_started(&stat[..len]).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The 22nd field. By hand, since the crash tests try a kill at every instruction of it.
fn parse_started(stat: &[u8]) -> Option<u64> {
    /// The second field, a name in parentheses that may hold anything, ends before.
    const NAME_ENDS_BEFORE: usize = 80;

    let name = &stat[..stat.len().min(NAME_ENDS_BEFORE)];
    let after_name = name.iter().rposition(|&byte| byte == b')')? + 1;
    let field = stat[after_name..].split(|&byte| byte == b' ').nth(20)?;
    field.iter().try_fold(0_u64, |ticks, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        ticks.checked_mul(10)?.checked_add(digit.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_alive_until_it_ends_and_not_taken_for_another_of_its_id() {
        let own = ProcessToken::own().expect("proc is mounted");
        assert!(own.is_alive().expect("asked") && own.is_own());
        let earlier = ProcessToken::from_bits(own.bits() - (1 << ID_BITS)).expect("not 0");
        assert!(!earlier.is_alive().expect("asked"), "the same id, started earlier");

        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat starts");
        let started = started_ticks(&child.id().to_string()).expect("it is there");
        let token = ProcessToken(started << ID_BITS | u64::from(child.id()));
        assert!(token.is_alive().expect("asked") && !token.is_own());
        child.kill().expect("it is there");
        let gone = Liveness::of_process(child.id()).expect("not reaped yet");
        gone.wait_gone(ipc_core::Deadline::Never).expect("it ends");
        assert!(!token.is_alive().expect("asked"), "dead, and not reaped");
        child.wait().expect("reaped");
        assert!(!token.is_alive().expect("asked"), "reaped");
    }

    #[test]
    fn the_start_is_found_behind_any_name() {
        let rest = "S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 2200 23 24";
        for name in ["cat", "a) S 1 (b", ")))", &"long".repeat(16)] {
            let stat = format!("4194303 ({name}) {rest}\n");
            assert_eq!(parse_started(stat.as_bytes()), Some(2200), "{name}");
        }
        for broken in
            ["", "1 (cat", "1 (cat) S 2", &format!("1 (cat) {}", rest.replace("2200", "x"))]
        {
            assert_eq!(parse_started(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn bits_that_no_process_has_are_of_a_dead_one() {
        assert_eq!(ProcessToken::from_bits(0), None);
        for bits in [1 << ID_BITS, u64::MAX] {
            let token = ProcessToken::from_bits(bits).expect("not 0");
            assert!(!token.is_alive().expect("asked"), "{bits:x}");
        }
    }
}
