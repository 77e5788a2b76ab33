//! Programs that are not ours, socat and Python, speak the documented frames with our endpoints: over Unix
//! streams, Unix datagrams, and TCP.

use std::io::Write;
use std::process::Child;

use ipc_core::{Deadline, Receiver, RecvError, Sender};
use ipc_socket::{TcpListener, UnixOptions, UnixStreamListener};
use ipc_testing::{Scope, start_program as start};

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_le_bytes(), message].concat()
}

/// Receives what socat relays from its input, answers, and sees what it relays to its output.
fn talk_to_socat(mut socat: Child, receiver: &mut dyn Receiver, sender: impl Sender + 'static) {
    let mut input = socat.stdin.take().expect("piped");
    input.write_all(&framed(b"from socat")).expect("written");
    input.write_all(&framed(b"")).expect("written");
    let mut buffer = [0; 64];
    assert_eq!(receiver.recv(&mut buffer).expect("received").len, 10);
    assert_eq!(&buffer[..10], b"from socat");
    assert_eq!(receiver.recv(&mut buffer).expect("received").len, 0);
    let mut sender = sender;
    sender.send(b"to socat").expect("sent");
    drop(sender);
    drop(input);
    let error = receiver.recv(&mut buffer).expect_err("its input has ended");
    assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
    let output = socat.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, framed(b"to socat"));
}

#[test]
fn socat_talks_to_our_unix_stream() {
    let scope = Scope::new();
    let path = scope.path("socket");
    let listener = UnixStreamListener::bind(path.as_path()).expect("listens");
    let address = format!("UNIX-CONNECT:{}", path.display());
    let Some(socat) =
        start("socat_talks_to_our_unix_stream", "socat", "socat", &["-t5", "-", &address])
    else {
        return;
    };
    let mut connection = listener.accept(Deadline::Never).expect("accepts");
    talk_to_socat(socat, &mut connection.receiver, connection.sender);
}

#[test]
fn socat_talks_to_our_tcp() {
    let listener = TcpListener::bind(&"127.0.0.1:0".parse().expect("good")).expect("listens");
    let address = format!("TCP:{}", listener.local_addr());
    let Some(socat) = start("socat_talks_to_our_tcp", "socat", "socat", &["-t5", "-", &address])
    else {
        return;
    };
    let mut connection = listener.accept(Deadline::Never).expect("accepts");
    talk_to_socat(socat, &mut connection.receiver, connection.sender);
}

#[test]
fn socat_sends_our_receiver_datagrams() {
    let scope = Scope::new();
    let path = scope.path("socket");
    let mut receiver = UnixOptions::new().bind_datagram(path.as_path()).expect("binds");
    let address = format!("UNIX-SENDTO:{}", path.display());
    let Some(mut socat) =
        start("socat_sends_our_receiver_datagrams", "socat", "socat", &["-u", "-", &address])
    else {
        return;
    };
    socat.stdin.take().expect("piped").write_all(b"one packet").expect("written");
    let mut buffer = [0; 64];
    let received = receiver.recv(&mut buffer).expect("received");
    assert_eq!(&buffer[..received.len], b"one packet");
    assert!(socat.wait().expect("it ends").success());
}

/// A client of either kind of stream: sends messages of all sorts of lengths, and checks that each comes
/// back in capitals.
const CLIENT: &str = r#"
import socket, struct, sys
kind, where = sys.argv[1:]
if kind == "unix":
    s = socket.socket(socket.AF_UNIX)
    s.connect(where)
else:
    host, port = where.rsplit(":", 1)
    s = socket.create_connection((host, int(port)))
def read(n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more: raise EOFError
        data += more
    return data
for n in (0, 1, 5, 4096, 16384, 16385, 65537, 300000):
    m = bytes(97 + i % 26 for i in range(n))
    s.sendall(struct.pack("<I", n) + m)
    (length,) = struct.unpack("<I", read(4))
    assert read(length) == m.upper(), n
s.shutdown(socket.SHUT_WR)
try:
    read(1)
    sys.exit("expected the end")
except EOFError:
    pass
"#;

fn serve_python(python: Child, receiver: &mut dyn Receiver, sender: impl Sender) {
    let mut sender = sender;
    let mut message = Vec::new();
    loop {
        match receiver.recv_to_vec(&mut message, Deadline::Never) {
            Ok(_) => sender.send(&message.to_ascii_uppercase()).expect("sent"),
            Err(RecvError::PeerGone { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    drop(sender);
    let output = python.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn python_talks_to_our_unix_stream() {
    let scope = Scope::new();
    let path = scope.path("socket");
    let listener = UnixStreamListener::bind(path.as_path()).expect("listens");
    let arguments = ["-c", CLIENT, "unix", path.to_str().expect("UTF-8")];
    let Some(python) = start("python_talks_to_our_unix_stream", "python3", "python3", &arguments)
    else {
        return;
    };
    let mut connection = listener.accept(Deadline::Never).expect("accepts");
    serve_python(python, &mut connection.receiver, connection.sender);
}

#[test]
fn python_talks_to_our_tcp() {
    let listener = TcpListener::bind(&"127.0.0.1:0".parse().expect("good")).expect("listens");
    let address = listener.local_addr().to_string();
    let arguments = ["-c", CLIENT, "tcp", &address];
    let Some(python) = start("python_talks_to_our_tcp", "python3", "python3", &arguments) else {
        return;
    };
    let mut connection = listener.accept(Deadline::Never).expect("accepts");
    serve_python(python, &mut connection.receiver, connection.sender);
}
