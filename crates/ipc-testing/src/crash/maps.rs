//! Where the files of a process lie in its memory, so that points can be named without regard to
//! where the kernel has put them this time.

use std::fs;
use std::io;

/// A point in the code: a file and the distance from where it is mapped, which for an executable is the
/// address that the debugger's tables have.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct CodeAddress {
    /// Index into the files of the recording.
    pub(super) file: usize,
    pub(super) offset: u64,
}

/// The mappings of one process.
#[derive(Debug)]
pub(super) struct Maps {
    executable: String,
    ranges: Vec<Range>,
}

#[derive(Debug)]
struct Range {
    start: u64,
    end: u64,
    is_code: bool,
    path: String,
}

impl Maps {
    /// Those of a process.
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let executable = fs::read_link(format!("/proc/{pid}/exe"))?.to_string_lossy().into_owned();
        let text = fs::read_to_string(format!("/proc/{pid}/maps"))?;
        Ok(Self { executable, ranges: text.lines().filter_map(range).collect() })
    }

    /// The path of the program.
    pub(super) fn executable(&self) -> &str {
        &self.executable
    }

    /// The file that an address lies in, and how far from where that begins.
    pub(super) fn locate(&self, address: u64) -> Option<(&str, u64)> {
        let range = self.ranges.iter().find(|it| (it.start..it.end).contains(&address))?;
        let base = self.base(&range.path)?;
        Some((&range.path, address - base))
    }

    /// Where a file is mapped.
    pub(super) fn base(&self, path: &str) -> Option<u64> {
        self.ranges.iter().filter(|range| range.path == path).map(|range| range.start).min()
    }

    /// Whether this is code of the program itself.
    pub(super) fn is_own_code(&self, address: u64) -> bool {
        let mut code = self.ranges.iter().filter(|it| it.is_code && it.path == self.executable);
        code.any(|range| (range.start..range.end).contains(&address))
    }
}

/// A line of `/proc/<pid>/maps` (proc_pid_maps(5)), if it is of a file or of the vDSO.
fn range(line: &str) -> Option<Range> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let permissions = fields.next()?;
    let path = fields.nth(3)?.trim_start();
    let number = |text| u64::from_str_radix(text, 16).ok();
    (!path.is_empty()).then_some(Range {
        start: number(start)?,
        end: number(end)?,
        is_code: permissions.contains('x'),
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_of_ours_is_own_code_and_one_of_libc_is_not() {
        let maps = Maps::of(std::process::id()).expect("/proc is mounted");
        let own = range as *const () as u64;
        assert!(maps.is_own_code(own));
        let (path, offset) = maps.locate(own).expect("mapped");
        assert_eq!(path, maps.executable());
        assert_eq!(maps.base(path).expect("mapped") + offset, own);

        let library = nix::libc::getpid as *const () as u64;
        assert!(!maps.is_own_code(library));
        assert!(maps.locate(library).is_some());
    }

    #[test]
    fn anonymous_memory_is_nowhere() {
        assert!(range("7f00-7f01 rw-p 00000000 00:00 0 ").is_none());
        let line = "7f00-7f01 r-xp 00001000 fe:00 17         /a path/with spaces";
        assert_eq!(range(line).expect("a file").path, "/a path/with spaces");
    }
}
