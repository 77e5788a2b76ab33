//! Passing bytes on between pipes, files and sockets without copying them, between processes.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;

use ipc_pipe::{PipeReader, PipeWriter, SpliceError};
use ipc_testing::Scope;

fn streams() -> (PipeWriter, PipeReader) {
    let (sender, receiver) = ipc_pipe::pipe().expect("a pipe");
    (sender.into_stream().expect("nothing was sent"), receiver.into_stream().expect("nor received"))
}

/// More than a pipe holds.
fn pattern() -> Vec<u8> {
    (0..1_000_000_u32).map(|n| (n / 7 * 31) as u8).collect()
}

#[test]
fn a_stream_passes_from_a_file_through_a_child_into_a_socket() {
    let scope = Scope::new();
    let mut file = File::create_new(scope.path("file")).expect("made");
    file.write_all(&pattern()).expect("written");
    let file = File::open(scope.path("file")).expect("to read");

    // The child is another process, and knows nothing of us.
    let (to_child, its_input) = ipc_pipe::pipe().expect("a pipe");
    let (its_output, from_child) = ipc_pipe::pipe().expect("a pipe");
    let mut command = Command::new("cat");
    command.stdin(its_input.into_stdio().expect("blocking"));
    command.stdout(its_output.into_stdio().expect("blocking"));
    let mut child = command.spawn().expect("started");
    drop(command);
    let mut writer = to_child.into_stream().expect("nothing was sent");
    let mut reader = from_child.into_stream().expect("nothing was received");

    let (socket, mut other) = UnixStream::pair().expect("a pair");
    let received = thread::scope(|scope| {
        scope.spawn(move || while writer.splice_from(&file, usize::MAX).expect("moved") > 0 {});
        scope.spawn(move || while reader.splice_to(&socket, 100_000).expect("moved") > 0 {});
        let mut received = Vec::new();
        other.read_to_end(&mut received).expect("read");
        received
    });
    assert!(received == pattern());
    assert!(child.wait().expect("reaped").success());
}

#[test]
fn tee_shows_the_same_bytes_to_two_readers() {
    let (mut writer, mut reader) = streams();
    let (mut to_log, mut log) = streams();
    let sent = pattern();
    let (mut read, mut logged) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&sent).expect("written");
            drop(writer);
        });
        scope.spawn(|| log.read_to_end(&mut logged).expect("read"));
        loop {
            let len = reader.tee_to(&mut to_log, 10_000).expect("copied");
            if len == 0 {
                break;
            }
            let from = read.len();
            read.resize(from + len, 0);
            reader.read_exact(&mut read[from..]).expect("they are still there");
        }
        drop(to_log);
    });
    assert!(read == sent);
    assert!(logged == sent);
}

#[test]
fn nobody_at_the_other_end_is_an_error_and_no_signal() {
    let (mut writer, reader) = streams();
    drop(reader);
    let zeros = File::open("/dev/zero").expect("opened");
    let error = writer.splice_from(&zeros, 10).expect_err("nobody reads");
    assert!(matches!(error, SpliceError::PeerGone { operation: "splice", .. }), "{error}");
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::BrokenPipe);

    let (mut source, mut reader) = streams();
    source.write_all(b"for nobody").expect("written");
    let error = reader.tee_to(&mut writer, 10).expect_err("nobody reads");
    assert!(matches!(error, SpliceError::PeerGone { operation: "tee", .. }), "{error}");
    let (socket, other) = UnixStream::pair().expect("a pair");
    drop(other);
    let error = reader.splice_to(&socket, 10).expect_err("nobody reads");
    assert!(matches!(error, SpliceError::PeerGone { .. }), "{error}");
    // Nothing was lost.
    let mut text = [0; 10];
    reader.read_exact(&mut text).expect("it is still there");
    assert_eq!(&text, b"for nobody");
}

#[test]
fn what_cannot_be_spliced_is_a_typed_error() {
    let scope = Scope::new();
    let file = File::options().append(true).create(true).open(scope.path("log")).expect("made");
    let (mut writer, mut reader) = streams();
    writer.write_all(b"x").expect("written");
    let error = reader.splice_to(&file, 10).expect_err("it appends");
    assert!(matches!(error, SpliceError::Unsupported(_)), "{error}");
    assert_eq!(reader.read(&mut [0; 8]).expect("it is still there"), 1);
}

#[test]
fn a_splice_waits_for_both_sides() {
    let mut child = Command::new("sh");
    child.args(["-c", "read line; echo late"]).stdin(Stdio::piped());
    let (writer, mut reader) = streams();
    let (to_us, mut from_us) = streams();
    child.stdout(std::os::fd::OwnedFd::from(writer));
    let mut running = child.spawn().expect("started");
    drop(child); // it holds the write end, too
    thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            let len = reader.splice_to(&to_us, 100).expect("moved");
            assert_eq!(reader.splice_to(&to_us, 100).expect("the end"), 0);
            len
        });
        running.stdin.take().expect("piped").write_all(b"go\n").expect("written");
        assert_eq!(waiting.join().expect("no panic"), 5);
    });
    let mut text = String::new();
    from_us.read_to_string(&mut text).expect("read");
    assert_eq!(text, "late\n");
    running.wait().expect("reaped");
}
