//! Programs that are not ours, socat and Python, speak the documented frames over our FIFOs.

use std::io::Write;

use ipc_core::{Deadline, Receiver, RecvError, Sender};
use ipc_pipe::Fifo;
use ipc_testing::{Scope, start_program as start};

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_le_bytes(), message].concat()
}

#[test]
fn socat_writes_to_our_fifo() {
    let scope = Scope::new();
    let fifo = Fifo::create_new(scope.path("fifo")).expect("made");
    let mut receiver = fifo.open_receiver().expect("opened");
    let address = format!("OPEN:{},wronly", fifo.path().display());
    let arguments = ["-u", "-", &address];
    let Some(mut socat) = start("socat_writes_to_our_fifo", "socat", "socat", &arguments) else {
        return;
    };
    socat.stdin.take().expect("piped").write_all(&framed(b"from socat")).expect("written");
    let mut buffer = [0; 64];
    let received = receiver.recv(&mut buffer).expect("received");
    assert_eq!(&buffer[..received.len], b"from socat");
    assert!(socat.wait().expect("it ends").success());
    let error = receiver.recv(&mut buffer).expect_err("it is gone");
    assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
}

#[test]
fn socat_reads_from_our_fifo() {
    let scope = Scope::new();
    let fifo = Fifo::create_new(scope.path("fifo")).expect("made");
    let address = format!("OPEN:{},rdonly", fifo.path().display());
    let arguments = ["-u", &address, "-"];
    let Some(socat) = start("socat_reads_from_our_fifo", "socat", "socat", &arguments) else {
        return;
    };
    let mut sender = fifo.open_sender(Deadline::Never).expect("it comes");
    sender.send(b"to socat").expect("sent");
    drop(sender);
    let output = socat.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, framed(b"to socat"));
}

/// Sends short messages and one long one as the documentation of the frames says, tag and all, and reads
/// the answers.
const CLIENT: &str = r#"
import fcntl, os, struct, sys
to, back = sys.argv[1:]
w = os.open(to, os.O_WRONLY)
def send(m):
    os.write(w, struct.pack("<I", len(m)) + m)
def send_long(m, tag):
    fcntl.lockf(w, fcntl.LOCK_EX, 1, tag)
    pieces = [m[i:i + 4088] for i in range(0, len(m), 4088)]
    for i, piece in enumerate(pieces):
        flags = (1 << 30 if i > 0 else 0) | (1 << 31 if i < len(pieces) - 1 else 0)
        os.write(w, struct.pack("<II", len(piece) + 4 | flags, tag) + piece)
for n in (0, 1, 100, 4092):
    send(bytes(n))
send_long(b"x" * 50000, 77)
os.close(w)
r = os.fdopen(os.open(back, os.O_RDONLY), "rb")
(length,) = struct.unpack("<I", r.read(4))
assert r.read(length) == b"thanks"
assert r.read() == b""
"#;

#[test]
fn python_speaks_both_kinds_of_frame() {
    let scope = Scope::new();
    let to = Fifo::create_new(scope.path("to")).expect("made");
    let back = Fifo::create_new(scope.path("back")).expect("made");
    let mut receiver = to.open_receiver().expect("opened");
    let path = |fifo: &Fifo| fifo.path().to_str().expect("UTF-8").to_owned();
    let arguments = ["-c", CLIENT, &path(&to), &path(&back)];
    let Some(python) = start("python_speaks_both_kinds_of_frame", "python3", "python3", &arguments)
    else {
        return;
    };
    let mut message = Vec::new();
    for len in [0, 1, 100, 4092] {
        receiver.recv_to_vec(&mut message, Deadline::Never).expect("received");
        assert!(message == vec![0; len], "{len} bytes");
    }
    receiver.recv_to_vec(&mut message, Deadline::Never).expect("received");
    assert!(message == [b'x'; 50_000]);
    let mut sender = back.open_sender(Deadline::Never).expect("it comes");
    sender.send(b"thanks").expect("sent");
    drop(sender);
    let output = python.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
}
