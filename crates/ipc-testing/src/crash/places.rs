//! Which function and line an address belongs to, as `addr2line` (of binutils) tells.

use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Stdio};

/// The functions and lines of addresses in one file.
#[derive(Debug, Default)]
pub(super) struct Places(HashMap<u64, Vec<Frame>>);

/// A function, and where in it; or one that was inlined there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Frame {
    function: String,
    /// `file.rs:12`, with the whole path that the compiler was given.
    line: String,
}

impl Places {
    /// Looks addresses up. Where there is no `addr2line`, nothing is found.
    pub(super) fn look_up(file: &str, offsets: impl Iterator<Item = u64>) -> Self {
        let mut asked: Vec<u64> = offsets.collect();
        asked.sort_unstable();
        asked.dedup();
        Self(ask(file, &asked).map(|text| parse(&text)).unwrap_or_default())
    }

    /// For people: functions, lines, and the address itself; or how to look it up.
    pub(super) fn describe(&self, file: &str, offset: u64) -> String {
        let name = file.rsplit('/').next().unwrap_or(file);
        match self.0.get(&offset) {
            Some(frames) => {
                // Innermost first; that and where it was called from is enough.
                let frames: Vec<_> = frames.iter().take(3).map(Frame::brief).collect();
                format!("{} ({name}+{offset:#x})", frames.join(", inlined in "))
            }
            None if file.starts_with('[') => format!("{name}+{offset:#x}"), // the vDSO is in no file
            None => {
                format!("{name}+{offset:#x} (look it up: addr2line -f -C -i -e {file} {offset:#x})")
            }
        }
    }

    /// The innermost function that is not the standard library's or another package's, with its file.
    pub(super) fn function(&self, offset: u64) -> Option<String> {
        let is_ours = |frame: &&Frame| {
            let others = ["/rustc/", "/rustlib/", "/registry/"];
            !others.iter().any(|part| frame.line.contains(part))
        };
        let frame = self.0.get(&offset)?.iter().find(is_ours)?;
        let path = frame.path();
        let file = path.rsplit_once(':').map_or(path, |(file, _line)| file);
        Some(format!("{file}: {}", bare_name(&frame.function)))
    }
}

impl Frame {
    fn brief(&self) -> String {
        format!("{} at {}", self.function, self.path())
    }

    /// From the package on: what is before is the machine's.
    fn path(&self) -> &str {
        let line = &self.line;
        let Some(source) = line.rfind("/src/").or_else(|| line.rfind("/tests/")) else {
            return line;
        };
        line[..source].rfind('/').map_or(line, |package| &line[package + 1..])
    }
}

/// A function's own name: without module, type, and the arguments of what is generic, so that it has
/// one line in the report.
fn bare_name(function: &str) -> &str {
    let name = function.rsplit(">::").next().unwrap_or(function);
    let name = name.split('<').next().unwrap_or(name);
    name.rsplit("::").next().unwrap_or(name)
}

fn ask(file: &str, offsets: &[u64]) -> Option<String> {
    let mut command = Command::new("addr2line");
    command.args(["--addresses", "--functions", "--demangle", "--inlines", "--exe", file]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let mut stdin = child.stdin.take()?;
    let questions: String = offsets.iter().map(|offset| format!("{offset:#x}\n")).collect();
    // In a thread: it answers before all is asked, and pipes are only so deep.
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(questions.as_bytes()));
        let output = child.wait_with_output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    })
}

/// Answers are an address, then two lines for each frame: function, and file and line.
fn parse(text: &str) -> HashMap<u64, Vec<Frame>> {
    let mut places: HashMap<u64, Vec<Frame>> = HashMap::new();
    let mut current = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(Ok(offset)) = line.strip_prefix("0x").map(|hex| u64::from_str_radix(hex, 16)) {
            current = Some(offset);
            continue;
        }
        let (Some(offset), Some(place)) = (current, lines.next()) else { break };
        if line != "??" {
            let frame = Frame { function: line.to_owned(), line: place.to_owned() };
            places.entry(offset).or_default().push(frame);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bare() {
        assert_eq!(bare_name("claim<ring::mapped::Mapped>"), "claim");
        assert_eq!(bare_name("ring::Consumer<M>::peek"), "peek");
        assert_eq!(bare_name("<ring::Loan as core::ops::Drop>::drop"), "drop");
        assert_eq!(bare_name("{closure#0}<a::b, c>"), "{closure#0}");
    }

    #[test]
    fn an_answer_is_taken_apart() {
        let text = "0x10\ncore::add\n/rustc/1/core/src/num.rs:1\nring::send<u8>\n/a/b/ring/src/send.rs:7\n\
                    0x20\n??\n??:0\n";
        let places = Places(parse(text));
        assert_eq!(places.function(0x10).as_deref(), Some("ring/src/send.rs: send"));
        assert_eq!(
            places.describe("/x/crash", 0x10),
            "core::add at core/src/num.rs:1, inlined in ring::send<u8> at ring/src/send.rs:7 \
             (crash+0x10)"
        );
        let unknown = places.describe("/x/crash", 0x20);
        assert!(unknown.ends_with("addr2line -f -C -i -e /x/crash 0x20)"), "{unknown}");
    }
}
