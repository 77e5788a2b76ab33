//! Names, paths and abstract names between processes: who gets one, who is let in, and what is left.

mod common;

use std::fs::{self, Permissions};
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

use common::{answer, ask, become_child_of, child_of, is_child, open_descriptors};
use ipc_core::{Deadline, Interest, Name, OpenError, OpenErrorKind, poll};
use ipc_ring::{Address, Link, ListenOptions, Listener, Options, PeerUser, connect, listen};
use ipc_socket::UnixSeqpacketConnection;
use ipc_testing::{Scope, between_processes};

fn accept(listener: &mut Listener) -> Link {
    listener.accept(&Options::new(), Deadline::Never).expect("a link")
}

fn call(address: &Address) -> Result<Link, OpenError> {
    connect(address, &Options::new(), Deadline::Never)
}

/// An address of each kind, for this test alone.
fn addresses(scope: &Scope) -> [Address; 3] {
    [
        Address::name(scope.name()),
        Address::path(scope.path("ring")),
        Address::abstract_name(scope.name()),
    ]
}

/// An address as a text for the guest, and back.
fn tell(address: &Address) -> String {
    match address.to_string() {
        path if path.starts_with('/') => path,
        text => match text.rsplit_once('/') {
            Some((_, name)) => format!("@{name}"),
            None => text,
        },
    }
}

fn told(text: &str) -> Address {
    let name = |text| Name::new(text).expect("a name");
    match text.strip_prefix('@') {
        Some(text) => Address::abstract_name(name(text)),
        None if text.starts_with('/') => Address::path(text),
        None => Address::name(name(text)),
    }
}

fn is_in_use(error: &OpenError) -> bool {
    matches!(error.kind(), OpenErrorKind::InUse(_))
}

#[test]
fn two_processes_meet_at_every_kind_of_address() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            for address in addresses(&scope) {
                let mut listener = listen(&address).expect("listens");
                guest.tell(&tell(&address));
                let mut link = accept(&mut listener);
                assert_eq!(link.peer().pid.map(u32::from), Some(guest.pid()));
                ask(&mut link, b"hello");
            }
            guest.tell("enough");
        },
        |host| {
            loop {
                match host.hear().as_str() {
                    "enough" => return,
                    address => {
                        let mut link = call(&told(address)).expect("a link");
                        assert_eq!(link.peer().pid.map(u32::from), Some(host.pid()));
                        answer(&mut link);
                    }
                }
            }
        },
    );
}

#[test]
fn a_live_listener_keeps_its_address() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            for address in addresses(&scope) {
                let mut listener = listen(&address).expect("listens");
                guest.tell(&tell(&address));
                assert_eq!(guest.hear(), "refused");
                // Even while it is stopped it is not dead; and it is found where it was.
                ask(&mut accept(&mut listener), b"still here");
            }
            guest.tell("enough");
        },
        |host| {
            loop {
                match host.hear().as_str() {
                    "enough" => return,
                    text => {
                        let address = told(text);
                        let error = listen(&address).expect_err("it is taken");
                        assert!(is_in_use(&error), "{error}");
                        let name = text.trim_start_matches('@');
                        assert!(error.to_string().contains(name), "{error}");
                        host.tell("refused");
                        answer(&mut call(&address).expect("a link"));
                    }
                }
            }
        },
    );
}

#[test]
fn a_stopped_listener_keeps_its_address_and_a_killed_one_leaves_it_to_the_next() {
    between_processes!(
        |guest| {
            let address = told(&guest.hear());
            guest.stop();
            let error = listen(&address).expect_err("a stopped process is not a dead one");
            assert!(is_in_use(&error), "{error}");
            guest.kill();
            let error = call(&address).expect_err("nobody listens");
            assert!(matches!(error.kind(), OpenErrorKind::Refused(_)), "{error}");
            let listener = listen(&address).expect("the name of a dead listener is free");
            assert!(is_in_use(&listen(&address).expect_err("it is ours now")));
            drop(listener);
            let error = call(&address).expect_err("given back");
            assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
            drop(listen(&address).expect("a name is used again"));
        },
        |host| {
            let scope = Scope::new();
            let address = Address::name(scope.name());
            let _listener = listen(&address).expect("listens");
            host.tell(&tell(&address));
            host.hear();
        },
    );
}

#[test]
fn an_abstract_name_is_gone_with_its_listener() {
    between_processes!(
        |guest| {
            let address = told(&guest.hear());
            assert!(is_in_use(&listen(&address).expect_err("it lives")));
            guest.kill();
            let error = call(&address).expect_err("nobody listens");
            assert!(matches!(error.kind(), OpenErrorKind::Refused(_)), "{error}");
            assert!(error.to_string().contains("@ipc-ring/"), "{error}");
            listen(&address).expect("free");
        },
        |host| {
            let address = Address::abstract_name(Scope::new().name());
            let _listener = listen(&address).expect("listens");
            host.tell(&tell(&address));
            host.hear();
        },
    );
}

#[test]
fn of_two_racing_listeners_one_wins_and_is_found() {
    const ROUNDS: usize = 200;
    // What is told between the two is the start of a round and how it ended.
    fn race(
        round: usize,
        path: &Path,
        mut exchange: impl FnMut(&str) -> String,
    ) -> Option<Listener> {
        if round % 2 == 0 {
            // A dead socket's file lies in the way.
            let _ = std::os::unix::net::UnixListener::bind(path);
        }
        exchange("ready");
        let outcome = listen(path);
        let ours = if outcome.is_ok() { "won" } else { "lost" };
        let theirs = exchange(ours);
        assert_ne!(ours, theirs, "round {round}");
        match outcome {
            Ok(listener) => Some(listener),
            Err(error) => {
                assert!(is_in_use(&error), "{error}");
                None
            }
        }
    }
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let path = scope.path("ring");
            guest.tell(path.to_str().expect("text"));
            for round in 0..ROUNDS {
                let listener = race(round, &path, |word| {
                    guest.tell(word);
                    guest.hear()
                });
                match listener {
                    Some(mut listener) => ask(&mut accept(&mut listener), b"won"),
                    None => answer(&mut call(&path.as_path().into()).expect("the winner")),
                }
                // So that the next round begins when the name is given back.
                guest.tell("over");
                guest.hear();
            }
            assert!(!path.exists());
        },
        |host| {
            let path = std::path::PathBuf::from(host.hear());
            for round in 0..ROUNDS {
                let listener = race(round, &path, |word| {
                    let theirs = host.hear();
                    host.tell(word);
                    theirs
                });
                match listener {
                    Some(mut listener) => ask(&mut accept(&mut listener), b"won"),
                    None => answer(&mut call(&path.as_path().into()).expect("the winner")),
                }
                host.hear();
                host.tell("over");
            }
        },
    );
}

#[test]
fn seventy_silent_clients_delay_no_other() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let path = scope.path("ring");
            let mut listener = listen(path.as_path()).expect("listens");
            let before = open_descriptors();
            guest.tell(path.to_str().expect("text"));
            assert_eq!(guest.hear(), "70 connected");
            let mut link = accept(&mut listener);
            ask(&mut link, b"not delayed");
            drop(link);
            // The listener keeps some of the silent ones, not all.
            assert!(open_descriptors() - before <= 64, "{} open", open_descriptors() - before);
            // One of those that it keeps finds its voice.
            guest.tell("speak");
            ask(&mut accept(&mut listener), b"at last");
            guest.tell("go");
            assert_eq!(guest.hear(), "gone");
            let error = listener.accept(&Options::new(), Deadline::Now).expect_err("nobody");
            assert!(matches!(error.kind(), OpenErrorKind::TimedOut), "{error}");
            assert_eq!(open_descriptors(), before, "those that went are forgotten");
        },
        |host| {
            let path = host.hear();
            let connect_silently = |_| {
                UnixSeqpacketConnection::connect(path.as_str(), Deadline::Never).expect("connects")
            };
            let mut silent: Vec<_> = (0..70).map(connect_silently).collect();
            host.tell("70 connected");
            answer(&mut call(&Address::path(&path)).expect("served at once"));
            assert_eq!(host.hear(), "speak");
            // Those that had been silent for longest were turned away.
            let hung_up = |client: &UnixSeqpacketConnection| {
                let socket = client.receiver.as_fd();
                poll::wait_ready(socket, Interest::Readable, Deadline::Now).expect("polls")
            };
            let turned_away = silent.iter().take_while(|client| hung_up(client)).count();
            assert!((1..=7).contains(&turned_away), "{turned_away} were turned away");
            assert!(!silent[turned_away..].iter().any(hung_up), "a younger one was, too");
            let last = silent.pop().expect("there are many");
            let link = Link::over(last.receiver.as_fd(), &Options::new(), Deadline::Never);
            answer(&mut link.expect("a link"));
            assert_eq!(host.hear(), "go");
            drop((silent, last));
            host.tell("gone");
        },
    );
}

#[test]
fn a_listener_waits_no_longer_than_its_deadline() {
    let scope = Scope::new();
    let path = scope.path("ring");
    let mut listener = listen(path.as_path()).expect("listens");
    for deadline in [Deadline::Now, Deadline::after(Duration::from_millis(20))] {
        let error = listener.accept(&Options::new(), deadline).expect_err("nobody comes");
        assert!(matches!(error.kind(), OpenErrorKind::TimedOut), "{error}");
        assert!(deadline.has_passed());
        assert!(error.to_string().contains("accept ring listener"), "{error}");
    }
    // Nor does a client whose listener never accepts.
    let deadline = Deadline::after(Duration::from_millis(20));
    let error = connect(path.as_path(), &Options::new(), deadline).expect_err("nobody answers");
    assert!(matches!(error.kind(), OpenErrorKind::TimedOut), "{error}");
    assert!(error.to_string().contains(path.to_str().expect("text")), "{error}");
}

#[test]
fn a_client_that_was_killed_in_the_queue_is_passed_over() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let path = scope.path("ring");
            let mut listener = listen(path.as_path()).expect("listens");
            let before = open_descriptors();
            guest.tell(path.to_str().expect("text"));
            assert_eq!(guest.hear(), "connected");
            guest.kill();
            let error = listener.accept(&Options::new(), Deadline::Now).expect_err("it is dead");
            assert!(matches!(error.kind(), OpenErrorKind::TimedOut), "{error}");
            assert_eq!(open_descriptors(), before);
        },
        |host| {
            let path = host.hear();
            let _client = UnixSeqpacketConnection::connect(path.as_str(), Deadline::Never);
            host.tell("connected");
            host.hear();
        },
    );
}

#[test]
fn the_file_has_the_mode_that_was_asked_for() {
    let scope = Scope::new();
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let path = scope.path("closed");
    let _closed = listen(path.as_path()).expect("listens");
    assert_eq!(mode(&path), 0o600);
    let path = scope.path("open");
    let _open = ListenOptions::new().mode(0o666).listen(path.as_path()).expect("listens");
    assert_eq!(mode(&path), 0o666);
    let error = ListenOptions::new().mode(0o1777).listen(path.as_path()).expect_err("no mode");
    assert!(matches!(error.kind(), OpenErrorKind::InvalidOption { option: "mode", .. }), "{error}");
}

/// A user other than the one who runs the tests.
const STRANGER: u32 = 54_321;

/// What a stranger is told at each address, as a child of `test`: the first word of the error.
fn as_stranger(test: &str, addresses: &[&Address]) -> Option<std::process::Child> {
    if !rustix::process::geteuid().is_root() {
        ipc_testing::skip(test, "root, to start a process of another user");
        return None;
    }
    // The executable may lie where the stranger cannot go: it is opened here.
    let program = fs::File::open("/proc/self/exe").expect("opens");
    let program = rustix::io::dup(&program).expect("without close-on-exec");
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&program));
    let mut command = std::process::Command::new(path);
    become_child_of(test, &mut command);
    for (index, address) in addresses.iter().enumerate() {
        command.env(format!("ADDRESS_{index}"), address.to_string());
    }
    Some(command.uid(STRANGER).gid(STRANGER).spawn().expect("started"))
}

#[test]
fn a_stranger_is_let_in_where_the_mode_says_so_and_nowhere_else() {
    const TEST: &str = "a_stranger_is_let_in_where_the_mode_says_so_and_nowhere_else";
    if is_child() {
        let path = |index| std::env::var(format!("ADDRESS_{index}")).expect("given");
        let error = call(&Address::path(path(0))).expect_err("of mode 600");
        assert!(matches!(error.kind(), OpenErrorKind::PermissionDenied(_)), "{error}");
        // The listener that lets in this user only hangs up.
        let error = call(&Address::path(path(1))).expect_err("not welcome");
        assert!(matches!(error.kind(), OpenErrorKind::PeerGone), "{error}");
        let mut link = call(&Address::path(path(1))).expect("welcome now");
        assert_eq!(link.peer().uid, 0);
        answer(&mut link);
        // A listener that is not of the user that one wants is refused.
        let options = Options::new().peer_user(PeerUser::Same);
        let error = connect(Address::path(path(1)), &options, Deadline::Never).expect_err("root");
        assert!(matches!(error.kind(), OpenErrorKind::PermissionDenied(_)), "{error}");
        return;
    }
    let scope = Scope::new();
    let closed = Address::path(scope.path("closed"));
    let open = Address::path(scope.path("open"));
    let everybody = Permissions::from_mode(0o755);
    fs::set_permissions(scope.path("").as_path(), everybody).expect("ours");
    let _closed = listen(&closed).expect("listens");
    let mut listener = ListenOptions::new().mode(0o666).listen(&open).expect("listens");
    let Some(mut child) = as_stranger(TEST, &[&closed, &open]) else { return };
    let ours_only = Options::new().peer_user(PeerUser::Same);
    let error = listener.accept(&ours_only, Deadline::Never).expect_err("a stranger");
    assert!(matches!(error.kind(), OpenErrorKind::PermissionDenied(_)), "{error}");
    assert!(error.to_string().contains(&format!("uid {STRANGER}")), "{error}");
    let mut link = accept(&mut listener);
    assert_eq!(link.peer().uid, STRANGER);
    ask(&mut link, b"welcome");
    drop(link);
    accept(&mut listener);
    assert!(child.wait().expect("reaped").success());
}

#[test]
fn at_an_abstract_name_both_sides_see_to_it_that_the_other_is_of_their_user() {
    const TEST: &str = "at_an_abstract_name_both_sides_see_to_it_that_the_other_is_of_their_user";
    if is_child() {
        // The stranger knows the socket's real name, which holds our user id.
        let name = std::env::var("ADDRESS_0").expect("given");
        let address = ipc_socket::UnixAddress::abstract_name(&name[1..]);
        let client = UnixSeqpacketConnection::connect(&address, Deadline::Never);
        let client = client.expect("nothing keeps it from connecting");
        let error = Link::over(client.receiver.as_fd(), &Options::new(), Deadline::Never);
        let error = error.expect_err("not welcome");
        assert!(matches!(error.kind(), OpenErrorKind::PeerGone), "{error}");
        // It takes the name that another listener of ours would have had.
        let name = std::env::var("ADDRESS_1").expect("given");
        let address = ipc_socket::UnixAddress::abstract_name(&name[1..]);
        let usurper = ipc_socket::UnixSeqpacketListener::bind(&address).expect("it is free");
        let client = usurper.accept(Deadline::Never).expect("ours comes");
        let _ = Link::over(client.receiver.as_fd(), &Options::new(), Deadline::Never);
        return;
    }
    let scope = Scope::new();
    let ours = Address::abstract_name(scope.name());
    let usurped = Address::abstract_name(scope.name());
    let mut listener = listen(&ours).expect("listens");
    let Some(mut child) = as_stranger(TEST, &[&ours, &usurped]) else { return };
    let error = listener.accept(&Options::new(), Deadline::Never).expect_err("a stranger");
    assert!(matches!(error.kind(), OpenErrorKind::PermissionDenied(_)), "{error}");
    let error = loop {
        match call(&usurped) {
            // Not yet usurped.
            Err(error) if matches!(error.kind(), OpenErrorKind::Refused(_)) => {}
            other => break other.expect_err("a stranger"),
        }
    };
    assert!(matches!(error.kind(), OpenErrorKind::PermissionDenied(_)), "{error}");
    assert!(error.to_string().contains(&format!("uid {STRANGER}")), "{error}");
    assert!(child.wait().expect("reaped").success());
}

#[test]
fn a_directory_that_others_may_write_is_refused() {
    const TEST: &str = "a_directory_that_others_may_write_is_refused";
    if is_child() {
        let expected = std::env::var("EXPECTED").expect("given");
        let directory = std::env::var("XDG_RUNTIME_DIR").expect("given");
        let outcome = listen(&Scope::new().name());
        let found = match &outcome {
            Ok(_) => "listens",
            Err(error) => {
                assert!(error.to_string().contains(&directory), "{error}");
                match error.kind() {
                    OpenErrorKind::PermissionDenied(_) => "permission denied",
                    OpenErrorKind::NotFound(_) => "not found",
                    _ => panic!("{error}"),
                }
            }
        };
        assert_eq!(found, expected);
        return;
    }
    let scope = Scope::new();
    let attempt = |directory: &str, expected| {
        let mut command = child_of(TEST);
        command.env("XDG_RUNTIME_DIR", scope.path(directory)).env("EXPECTED", expected);
        assert!(command.status().expect("started").success(), "{directory}");
    };
    let make = |path: &str, mode| {
        let path = scope.path(path);
        fs::create_dir_all(&path).expect("made");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("ours");
    };
    attempt("missing", "not found");
    make("fresh", 0o700);
    attempt("fresh", "listens");
    attempt("fresh", "listens"); // with the directory that the first has made
    assert_eq!(fs::read_dir(scope.path("fresh/ipc-ring")).expect("made").count(), 0);
    for mode in [0o777, 0o750, 0o701] {
        make("open/ipc-ring", mode);
        attempt("open", "permission denied");
    }
    make("linked", 0o700);
    symlink(scope.path("fresh/ipc-ring"), scope.path("linked/ipc-ring")).expect("linked");
    attempt("linked", "permission denied");
    make("file", 0o700);
    fs::write(scope.path("file/ipc-ring"), "").expect("written");
    attempt("file", "permission denied");
}
