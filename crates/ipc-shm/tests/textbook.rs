//! The textbook's buffers, by the examples that show them: each in processes of its own, started as a reader
//! of the book starts them.

#[path = "../examples/textbook/mod.rs"]
mod textbook;

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use ipc_core::Name;
use ipc_shm::Segment;
use ipc_testing::Scope;
use textbook::unbounded;

/// The folder of the examples, once cargo has built them: it builds none for a single test.
fn examples() -> &'static PathBuf {
    static EXAMPLES: OnceLock<PathBuf> = OnceLock::new();
    EXAMPLES.get_or_init(|| {
        let test = std::env::current_exe().expect("the path of this test");
        let folder = test.ancestors().nth(2).expect("the folder of the profile");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "ipc-shm", "--examples", "--target-dir"]);
        cargo.arg(folder.parent().expect("the target folder"));
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo runs").success(), "the examples build");
        folder.join("examples")
    })
}

/// A segment for the examples of one test.
struct Book {
    name: Name,
    _scope: Scope,
}

impl Book {
    fn new() -> Self {
        let scope = Scope::new();
        let name = scope.name();
        scope.defer({
            let name = name.clone();
            move || drop(Segment::unlink_name(&name))
        });
        Self { name, _scope: scope }
    }

    fn command(&self, example: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(examples().join(example));
        command.args(arguments).env("TEXTBOOK_NAME", self.name.as_str());
        command
    }

    /// Starts an example that is to be directed.
    fn start(&self, example: &str, arguments: &[&str]) -> Running {
        let mut command = self.command(example, arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let enter = child.stdin.take().expect("piped");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        Running { child, enter, lines }
    }

    /// Runs an example to its end; what it printed.
    fn run(&self, example: &str, arguments: &[&str]) -> String {
        let output = self.command(example, arguments).output().expect("the example starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{example} {arguments:?}: {error}");
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }
}

/// An example that runs.
struct Running {
    child: Child,
    enter: ChildStdin,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }

    #[track_caller]
    fn says(&mut self, expected: &str) {
        assert_eq!(self.line(), expected);
    }

    /// Presses Enter.
    fn go_on(&mut self) {
        writeln!(self.enter).expect("it listens");
    }

    fn rest(mut self) -> Vec<String> {
        let lines = std::iter::from_fn(|| Some(self.line()).filter(|line| !line.is_empty()));
        let lines = lines.collect();
        assert!(self.child.wait().expect("our child").success());
        lines
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After a failure; else it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn ten_slots_hold_nine_items() {
    let book = Book::new();
    let mut producer = book.start("circular_producer", &["25"]);
    producer.says(&format!("made /dev/shm/{}", book.name));
    for item in 1..=9 {
        producer.says(&format!("produced item {item}"));
    }
    producer.says("full; waiting for the consumer");
    let consumed = book.run("circular_consumer", &[]);
    let expected: Vec<_> = (1..=25).map(|item| format!("consumed item {item}")).collect();
    assert_eq!(consumed, expected.join("\n"));
    let produced = producer.rest();
    assert_eq!(produced.last().map(String::as_str), Some("produced item 25"));
}

#[test]
fn an_unbounded_buffer_takes_what_no_consumer_has_asked_for() {
    let book = Book::new();
    // It ends without any consumer.
    assert_eq!(book.run("unbounded_producer", &["5000", "20"]), "produced 5000 items");
    assert_eq!(book.run("unbounded_consumer", &[]), "consumed 5000 items");
}

#[test]
fn an_unbounded_buffer_is_refused_memory_at_its_ceiling() {
    let book = Book::new();
    let said = book.run("unbounded_producer", &["5000", "5"]);
    let expected = "produced 2560 items, then: allocate 4096 bytes: all ";
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn chunks_come_back_as_they_are_emptied() {
    let book = Book::new();
    // The consumer is there from the beginning, so no more than a few chunks are ever in use, of a
    // hundred that pass.
    let heap = unbounded::create_new(&book.name, 4).expect("a free name");
    let buffer = unbounded::open(&heap).expect("room");
    let consumer = book.start("unbounded_consumer", &[]);
    for item in 1..=51_200 {
        while let Err(error) = buffer.put(&heap, item) {
            assert!(matches!(error, ipc_shm::HeapError::Full { .. }), "{error}");
            std::thread::yield_now();
        }
    }
    while buffer.put(&heap, u64::MAX).is_err() {
        std::thread::yield_now();
    }
    assert_eq!(consumer.rest(), ["consumed 51200 items"]);
}

/// Two processes that do something to the buffer which nothing guards.
fn two(book: &Book, action: [&[&str]; 2]) -> [Running; 2] {
    action.map(|arguments| {
        let mut process = book.start("four_failures", arguments);
        process.says("looked");
        process
    })
}

/// Lets both choose before either goes on: so each does what it would have done alone.
#[track_caller]
fn both_choose(mut both: [Running; 2], slot: &str) -> [Vec<String>; 2] {
    for process in &mut both {
        process.go_on();
        process.says(slot);
    }
    both.map(|mut process| {
        process.go_on();
        process.rest()
    })
}

/// Lets one go on to the end, and then the other, which has looked before.
fn one_after_the_other(both: [Running; 2]) -> [Vec<String>; 2] {
    both.map(|mut process| {
        process.go_on();
        let mut lines = vec![process.line()];
        process.go_on();
        lines.extend(process.rest());
        lines
    })
}

fn show(book: &Book) -> String {
    book.run("four_failures", &["show"])
}

#[test]
fn failure_unguarded_producers_share_one_slot() {
    let book = Book::new();
    let both = two(&book, [&["put", "1"], &["put", "2"]]);
    let said = both_choose(both, "chose slot 0");
    assert_eq!(said, [["put 1 into slot 0"], ["put 2 into slot 0"]]);
    assert_eq!(show(&book), "[2]", "1 is lost");
}

#[test]
fn failure_unguarded_consumers_share_one_slot() {
    let book = Book::new();
    assert_eq!(book.run("four_failures", &["fill", "2"]), "filled 2");
    let said = both_choose(two(&book, [&["take"], &["take"]]), "chose slot 0");
    assert_eq!(said, [["took 1 out of slot 0"], ["took 1 out of slot 0"]]);
    assert_eq!(show(&book), "[2]", "1 came twice");
}

#[test]
fn failure_unguarded_producers_overwrite_when_full() {
    let book = Book::new();
    assert_eq!(book.run("four_failures", &["fill", "8"]), "filled 8");
    // Each has seen that there is room for one.
    let said = one_after_the_other(two(&book, [&["put", "9"], &["put", "10"]]));
    assert_eq!(said[0], ["chose slot 8", "put 9 into slot 8"]);
    assert_eq!(said[1], ["chose slot 9", "put 10 into slot 9"]);
    assert_eq!(show(&book), "[]", "all ten are lost");
    assert_eq!(book.run("four_failures", &["fill", "1"]), "filled 1");
    assert_eq!(show(&book), "[1]", "over the first");
}

#[test]
fn failure_unguarded_consumers_read_when_empty() {
    let book = Book::new();
    assert_eq!(book.run("four_failures", &["fill", "1"]), "filled 1");
    // Each has seen that there is one.
    let said = one_after_the_other(two(&book, [&["take"], &["take"]]));
    assert_eq!(said[0], ["chose slot 0", "took 1 out of slot 0"]);
    assert_eq!(said[1], ["chose slot 1", "took 0 out of slot 1"], "which nobody has put in");
    assert_eq!(show(&book), "[0, 0, 0, 0, 0, 0, 0, 0, 1]", "nine items of none");
}
