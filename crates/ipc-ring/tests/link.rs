//! Links without a name, between processes: over a socket, for a child, and what they cost and leave.

mod common;

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use common::{answer, ask, child_of, child_of_by, in_namespaces, is_child, open_descriptors};
use ipc_core::zero_copy::LoanSender;
use ipc_core::{Deadline, OpenErrorKind, Receiver, RecvError, SendError, Sender};
use ipc_ring::{Link, Options, PairEnd, PeerUser, pair};
use ipc_shm::{Backing, Segment};
use ipc_testing::process::wait_until_parked;
use ipc_testing::{Guest, Host, Invitation, Scope, between_processes};
use rustix::pipe::PipeFlags;

/// A pair whose other end goes to the guest.
fn invite(guest: &mut Guest) -> PairEnd {
    let (ours, theirs) = pair().expect("a pair");
    guest.invite(Invitation::of_descriptors(vec![theirs.into()]));
    ours
}

fn invited(host: &mut Host) -> OwnedFd {
    host.invitation().descriptors.remove(0)
}

fn join(end: PairEnd) -> Link {
    end.join(&Options::new(), Deadline::Never).expect("a link")
}

fn over(socket: OwnedFd) -> Link {
    Link::over(socket, &Options::new(), Deadline::Never).expect("a link")
}

#[test]
fn each_side_learns_who_takes_part_and_not_who_made_the_socket() {
    let us = rustix::process::geteuid().as_raw();
    between_processes!(
        |guest| {
            // This process makes both ends: the guest's socket names us at both ends of it.
            let end = invite(guest);
            // The guest's hello is there before this process asks for credentials.
            wait_until_parked(guest.pid());
            let mut link = join(end);
            let peer = link.peer();
            assert_eq!((peer.pid.map(u32::from), peer.uid), (Some(guest.pid()), us));
            assert_eq!(link.sender.as_ref().expect("a ring").peer(), peer);
            assert_eq!(link.receiver.as_ref().expect("a ring").peer(), peer);
            ask(&mut link, b"hello");
            guest.kill();
            let error = link.receiver.as_mut().expect("a ring").recv(&mut []).expect_err("gone");
            let name = format!("ring with process {} (uid {us})", guest.pid());
            assert!(error.to_string().contains(&name), "{error}");
        },
        |host| {
            let mut link = over(invited(host));
            assert_eq!(link.peer().pid.map(u32::from), Some(host.pid()));
            answer(&mut link);
        },
    );
}

#[test]
fn a_users_socket_is_left_as_it_was() {
    between_processes!(
        |guest| {
            let (ours, theirs) = rustix::net::socketpair(
                rustix::net::AddressFamily::UNIX,
                rustix::net::SocketType::STREAM,
                rustix::net::SocketFlags::CLOEXEC,
                None,
            )
            .expect("a pair");
            guest.invite(Invitation::of_descriptors(vec![theirs]));
            let mut link = Link::over(&ours, &Options::new(), Deadline::Never).expect("a link");
            assert_eq!(rustix::net::sockopt::socket_passcred(&ours), Ok(false));
            // Nothing of the handshake is left in it, so another one goes over it.
            let mut second = Link::over(&ours, &Options::new(), Deadline::Never).expect("a link");
            ask(&mut link, b"first");
            ask(&mut second, b"second");
        },
        |host| {
            let socket = invited(host);
            let mut link = Link::over(&socket, &Options::new(), Deadline::Never).expect("a link");
            let mut second = Link::over(&socket, &Options::new(), Deadline::Never).expect("one");
            thread::scope(|scope| {
                scope.spawn(|| answer(&mut link));
                answer(&mut second);
            });
        },
    );
}

#[test]
fn liveness_tells_death_and_not_a_stop() {
    between_processes!(
        |guest| {
            let link = join(invite(guest));
            let before = open_descriptors();
            let sender = link.sender.as_ref().expect("a ring");
            let liveness = sender.peer_liveness().expect("it lives");
            assert_eq!(open_descriptors(), before + 1);
            guest.stop();
            assert!(liveness.is_alive().expect("polls"), "a stopped process is not a dead one");
            guest.kill();
            assert!(liveness.wait_gone(Deadline::Never).expect("polls"));
            let error = link.receiver.as_ref().expect("a ring").peer_liveness().expect_err("dead");
            assert_eq!(error.source.raw_os_error(), Some(3), "{error}"); // ESRCH
            assert!(error.to_string().contains(&guest.pid().to_string()), "{error}");
        },
        |host| answer(&mut over(invited(host))),
    );
}

#[test]
fn a_process_that_closed_its_end_is_not_watched_although_it_lives() {
    between_processes!(
        |guest| {
            let mut link = join(invite(guest));
            let receiver = link.receiver.as_mut().expect("a ring");
            assert!(matches!(receiver.recv(&mut []), Err(RecvError::PeerGone { .. })));
            // Its number may soon mean another process.
            let error = receiver.peer_liveness().expect_err("closed");
            assert_eq!(error.source.raw_os_error(), Some(3), "{error}");
            guest.tell("done");
        },
        |host| {
            drop(over(invited(host)));
            assert_eq!(host.hear(), "done");
        },
    );
}

#[test]
fn an_end_of_a_duplex_link_holds_six_descriptors_and_of_a_one_way_link_three() {
    between_processes!(
        |guest| {
            let before = open_descriptors();
            let link = join(invite(guest));
            assert_eq!(open_descriptors(), before + 6);
            drop(link);
            assert_eq!(open_descriptors(), before);
            let link = invite(guest).join(&Options::new().receive_only(), Deadline::Never);
            assert_eq!(open_descriptors(), before + 3);
            assert!(link.expect("a link").sender.is_none());
            assert_eq!(open_descriptors(), before);
            guest.tell("done");
        },
        |host| {
            let before = open_descriptors();
            let duplex = over(invited(host));
            assert_eq!(open_descriptors(), before + 6);
            drop(duplex);
            let link = over(invited(host));
            assert_eq!(open_descriptors(), before + 3);
            assert!(link.receiver.is_none());
            assert_eq!(host.hear(), "done");
        },
    );
}

#[test]
fn a_peer_of_another_user_is_refused_where_the_options_say_so() {
    between_processes!(
        |guest| {
            let us = rustix::process::geteuid().as_raw();
            for user in [PeerUser::Same, PeerUser::Id(us)] {
                let options = Options::new().peer_user(user);
                invite(guest).join(&options, Deadline::Never).expect("of this user");
            }
            let options = Options::new().peer_user(PeerUser::Id(us + 1));
            let error = invite(guest).join(&options, Deadline::Never).expect_err("another user");
            assert!(matches!(error.kind(), OpenErrorKind::PermissionDenied(_)), "{error}");
            assert!(error.to_string().contains(&format!("user {}", us + 1)), "{error}");
            guest.tell("done");
        },
        |host| {
            for _ in 0..3 {
                let socket = invited(host);
                // The one that was refused may learn so now or later.
                let _ = Link::over(socket, &Options::new(), Deadline::Never);
            }
            assert_eq!(host.hear(), "done");
        },
    );
}

#[test]
fn a_child_of_another_user_is_named_and_can_be_refused() {
    const TEST: &str = "a_child_of_another_user_is_named_and_can_be_refused";
    const NOBODY_IN_PARTICULAR: u32 = 54_321;
    if is_child() {
        let _ = Link::inherited("LINK", &Options::new(), Deadline::Never);
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return ipc_testing::skip(TEST, "root, to start a process of another user");
    }
    for (wanted, is_let_in) in
        [(PeerUser::Any, true), (PeerUser::Id(NOBODY_IN_PARTICULAR), true), (PeerUser::Same, false)]
    {
        // The executable may lie where the other user cannot go: it is opened by the parent.
        let program = fs::File::open("/proc/self/exe").expect("opens");
        let program = rustix::io::dup(&program).expect("without close-on-exec");
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&program));
        let mut command = Command::new(path);
        common::become_child_of(TEST, &mut command);
        command.uid(NOBODY_IN_PARTICULAR).gid(NOBODY_IN_PARTICULAR);
        let (ours, theirs) = pair().expect("a pair");
        let given = theirs.give_to(&mut command, "LINK").expect("given");
        let mut child = command.spawn().expect("started");
        drop(given);
        let link = ours.join(&Options::new().peer_user(wanted), Deadline::Never);
        match link {
            Ok(link) => {
                assert!(is_let_in, "{wanted:?}");
                assert_eq!(link.peer().uid, NOBODY_IN_PARTICULAR);
                assert_eq!(link.peer().gid, Some(NOBODY_IN_PARTICULAR));
            }
            Err(error) => {
                assert!(!is_let_in, "{wanted:?}: {error}");
                assert!(matches!(error.kind(), OpenErrorKind::PermissionDenied(_)), "{error}");
            }
        }
        child.wait().expect("reaped");
    }
}

#[test]
fn a_peer_of_another_pid_namespace_has_no_process_id_and_is_watched_by_its_end() {
    const TEST: &str =
        "a_peer_of_another_pid_namespace_has_no_process_id_and_is_watched_by_its_end";
    if is_child() {
        let mut link = Link::inherited("LINK", &Options::new(), Deadline::Never).expect("a link");
        assert_eq!(link.peer().pid, None, "our parent has no number here");
        let receiver = link.receiver.as_ref().expect("a ring");
        let liveness = receiver.peer_liveness().expect("a watch on its end");
        assert!(liveness.is_alive().expect("polls"));
        answer(&mut link);
        assert!(liveness.wait_gone(Deadline::Never).expect("polls"));
        return;
    }
    let kinds = ["--pid", "--fork", "--kill-child"];
    let Some(launcher) = in_namespaces(TEST, &kinds) else { return };
    let mut command = child_of_by(TEST, launcher);
    let (ours, theirs) = pair().expect("a pair");
    let given = theirs.give_to(&mut command, "LINK").expect("given");
    let mut child = command.spawn().expect("started");
    drop(given);
    let mut link = join(ours);
    // As process 1 of its own namespace it has a number in all that contain it, this one among them.
    assert!(link.peer().pid.is_some_and(|pid| pid.get() != 1), "{:?}", link.peer());
    ask(&mut link, b"across namespaces");
    let liveness = link.sender.as_ref().expect("a ring").peer_liveness().expect("it lives");
    drop(link);
    assert!(liveness.wait_gone(Deadline::Never).expect("polls"));
    assert!(child.wait().expect("reaped").success());
}

#[test]
fn a_child_gets_its_end_by_inheritance() {
    if is_child() {
        let mut link = Link::inherited("LINK", &Options::new(), Deadline::Never).expect("a link");
        answer(&mut link);
        return;
    }
    let (ours, theirs) = pair().expect("a pair");
    let mut command = child_of("a_child_gets_its_end_by_inheritance");
    let given = theirs.give_to(&mut command, "LINK").expect("given");
    let mut child = command.spawn().expect("started");
    drop(given);
    let mut link = join(ours);
    assert_eq!(link.peer().pid.map(u32::from), Some(child.id()));
    let long: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    for message in [&b"abc"[..], b"", &long] {
        ask(&mut link, message);
    }
    // Although `command` still lives.
    drop(link.sender.take());
    let gone = link.receiver.as_mut().expect("a ring").recv(&mut [0; 8]);
    assert!(matches!(gone, Err(RecvError::PeerGone { .. })));
    assert!(child.wait().expect("reaped").success());
    drop(command);
}

#[test]
fn a_sibling_started_at_the_same_moment_inherits_nothing() {
    for round in 0..20 {
        let (ours, theirs) = pair().expect("a pair");
        let mut chosen = Command::new("cat");
        chosen.stdin(Stdio::piped()).stdout(Stdio::null());
        let given = theirs.give_to(&mut chosen, "LINK").expect("given");
        let (mut chosen, mut sibling) = thread::scope(|scope| {
            let sibling = scope.spawn(|| {
                let mut command = Command::new("cat");
                command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("started")
            });
            (chosen.spawn().expect("started"), sibling.join().expect("no panic"))
        });
        drop(given);
        chosen.kill().expect("killed");
        chosen.wait().expect("reaped");
        // The sibling lives, and does not keep the socket open.
        let error = ours.join(&Options::new(), Deadline::Never).expect_err("nobody holds it");
        assert!(matches!(error.kind(), OpenErrorKind::PeerGone), "round {round}: {error}");
        drop(sibling.stdin.take());
        sibling.wait().expect("reaped");
    }
}

#[test]
fn a_child_that_never_makes_its_side_is_a_typed_error() {
    let (ours, theirs) = pair().expect("a pair");
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let given = theirs.give_to(&mut command, "LINK").expect("given");
    let mut child = command.spawn().expect("started");
    drop(given);
    let deadline = Deadline::after(Duration::from_millis(20));
    let error = ours.join(&Options::new(), deadline).expect_err("cat knows nothing of it");
    assert!(matches!(error.kind(), OpenErrorKind::TimedOut), "{error}");
    drop(child.stdin.take());
    child.wait().expect("reaped");

    let (_ours, theirs) = pair().expect("a pair");
    let mut command = Command::new("true");
    drop(theirs.give_to(&mut command, "LINK").expect("given"));
    let error = command.spawn().expect_err("its end is gone");
    assert_eq!(error.raw_os_error(), Some(9), "{error}"); // EBADF
}

#[test]
fn what_was_not_inherited_is_a_typed_error() {
    if is_child() {
        let kind = |variable| {
            let link = Link::inherited(variable, &Options::new(), Deadline::Never);
            let error = link.expect_err("not given");
            assert!(error.to_string().contains(variable), "{error}");
            match error.kind() {
                OpenErrorKind::NotFound(_) => "not found",
                OpenErrorKind::InvalidOption { .. } => "invalid",
                OpenErrorKind::InUse(_) => "in use",
                _ => panic!("{error}"),
            }
        };
        assert_eq!(kind("UNSET"), "not found");
        assert_eq!(kind("NO_NUMBER"), "invalid");
        assert_eq!(kind("STANDARD_OUTPUT"), "invalid");
        assert_eq!(kind("CLOSED"), "invalid");
        assert_eq!(kind("PIPE"), "invalid");
        let mut link = Link::inherited("LINK", &Options::new(), Deadline::Never).expect("given");
        answer(&mut link);
        return;
    }
    let mut command = child_of("what_was_not_inherited_is_a_typed_error");
    let (ours, theirs) = pair().expect("a pair");
    let (read, _write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    let link = ipc_core::Resource::unnamed("pipe");
    let given = (
        theirs.give_to(&mut command, "LINK").expect("given"),
        ipc_core::handover::give(read, &mut command, "PIPE", &link).expect("given"),
    );
    command.env("NO_NUMBER", "seven").env("STANDARD_OUTPUT", "1").env("CLOSED", "1000");
    let mut child = command.spawn().expect("started");
    drop(given);
    let mut link = join(ours);
    ask(&mut link, b"checked");
    drop(link);
    assert!(child.wait().expect("reaped").success());
}

#[test]
fn two_threads_have_a_link_of_any_shape() {
    let duplex = Options::new().capacity_bytes(1 << 14);
    let one_way = Options::new().receive_only();
    let (mut here, mut there) = Link::between_threads(&duplex, &duplex).expect("a link");
    assert_eq!(here.peer().pid.map(u32::from), Some(std::process::id()));
    thread::scope(|scope| {
        scope.spawn(|| answer(&mut there));
        for length in [0, 1, 100, duplex.longest_message()] {
            ask(&mut here, &vec![7; length]);
        }
        drop(here);
    });
    for (ours, theirs) in [(duplex, one_way), (one_way, duplex), (one_way, one_way)] {
        let (here, there) = Link::between_threads(&ours, &theirs).expect("a link");
        let has = |options: &Options| options.longest_message() > 0;
        assert_eq!((here.sender.is_some(), here.receiver.is_some()), (has(&ours), has(&theirs)));
        assert_eq!((there.sender.is_some(), there.receiver.is_some()), (has(&theirs), has(&ours)));
    }
}

#[test]
fn capacities_that_cannot_be_are_refused_by_name() {
    for capacity_bytes in [1, 2048, 4097, 3 << 20, 1 << 33, usize::MAX] {
        let options = Options::new().capacity_bytes(capacity_bytes);
        let error = Link::between_threads(&Options::new(), &options).expect_err("no such ring");
        let is_named =
            matches!(error.kind(), OpenErrorKind::InvalidOption { option: "capacity", .. });
        assert!(is_named && error.to_string().contains(&capacity_bytes.to_string()), "{error}");
    }
}

#[test]
fn exhausted_descriptors_are_a_typed_error_and_none_is_lost() {
    between_processes!(
        |guest| {
            let before = open_descriptors();
            let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
            let room = || before as u64 + 2; // numbers 0 to before − 1 are taken, less a few
            // With every number of free descriptors until it works.
            for free in 0.. {
                assert!(free < 40, "a link needs no more");
                let end = invite(guest);
                let tight = rustix::process::Rlimit {
                    current: Some(room() + free),
                    maximum: limits.maximum,
                };
                rustix::process::setrlimit(rustix::process::Resource::Nofile, tight).expect("set");
                let link = end.join(&Options::new(), Deadline::Never);
                rustix::process::setrlimit(rustix::process::Resource::Nofile, limits).expect("set");
                match link {
                    Ok(_) if free > 0 => break,
                    Ok(_) => panic!("the limit did not hold"),
                    Err(error) => assert!(error.to_string().contains("RLIMIT_NOFILE"), "{error}"),
                }
                assert_eq!(open_descriptors(), before, "{free} free");
            }
            guest.tell("done");
            guest.kill();
        },
        |host| loop {
            let _ = Link::over(invited(host), &Options::new(), Deadline::Never);
        },
    );
}

/// Defines a test for each stage at which one side is killed: the other is left with an error, and with
/// nothing of the link.
macro_rules! killed {
    ($($test:ident: $stage:literal,)+) => {
        $(
            #[test]
            fn $test() {
                between_processes!(|guest| outlive(guest, $stage), |host| get_to(host, $stage));
            }
        )+
    };
}

killed! {
    killed_before_its_hello: "before hello",
    killed_after_its_hello: "after hello",
    killed_once_linked: "linked",
    killed_with_the_ring_full: "full",
    killed_while_it_waits: "waiting",
    killed_with_a_message_half_written: "loan",
}

/// The victim's part.
fn get_to(host: &mut Host, stage: &str) {
    let socket = invited(host);
    if stage == "before hello" {
        host.tell("here");
        host.hear();
    }
    let mut link = over(socket);
    let sender = link.sender.as_mut().expect("a ring");
    match stage {
        "full" => while sender.try_send(&[1; 1000]).is_ok() {},
        "waiting" => {
            host.tell("linked");
            let _ = link.receiver.as_mut().expect("a ring").recv(&mut []);
        }
        "loan" => {
            sender.send(b"committed").expect("sent");
            let mut loan = sender.loan(100, Deadline::Never).expect("room");
            loan.fill(3);
            host.tell("linked");
            host.hear();
        }
        _ => {}
    }
    host.tell("linked");
    host.hear();
}

/// The survivor's part.
fn outlive(guest: &mut Guest, stage: &str) {
    let before = open_descriptors();
    let end = invite(guest);
    match stage {
        "before hello" => {
            assert_eq!(guest.hear(), "here");
            guest.kill();
        }
        "after hello" => {
            wait_until_parked(guest.pid());
            guest.kill();
        }
        _ => {}
    }
    // A hello that was said before the death makes a link of which one end is dead.
    match end.join(&Options::new(), Deadline::Never) {
        Ok(link) => survive(link, guest, stage),
        Err(error) => {
            assert!(["before hello", "after hello"].contains(&stage), "{error}");
            assert!(matches!(error.kind(), OpenErrorKind::PeerGone), "{error}");
        }
    }
    assert_eq!(open_descriptors(), before, "{stage}");
    let maps = fs::read_to_string("/proc/self/maps").expect("procfs");
    assert!(!maps.contains("memfd:ipc-ring"), "{stage}: memory is still mapped");
}

fn survive(mut link: Link, guest: &mut Guest, stage: &str) {
    if stage != "after hello" {
        assert_eq!(guest.hear(), "linked");
        guest.kill();
    }
    let (sender, receiver) = (link.sender.as_mut(), link.receiver.as_mut());
    let (sender, receiver) = (sender.expect("a ring"), receiver.expect("a ring"));
    let mut messages = 0;
    let mut buffer = [0; 1000];
    let error = loop {
        match receiver.recv(&mut buffer) {
            Ok(_) => messages += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, RecvError::PeerGone { .. }), "{stage}: {error}");
    match stage {
        "full" => assert!(messages > 1000, "only {messages} messages of a full ring"),
        "loan" => assert_eq!(messages, 1, "the committed one"),
        _ => assert_eq!(messages, 0, "{stage}"),
    }
    let error = loop {
        match sender.send(&[2; 1000]) {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SendError::PeerGone { .. }), "{stage}: {error}");
}

/// Links need no shared-memory file system.
#[test]
fn a_link_is_made_where_dev_shm_is_tiny_or_absent() {
    const TEST: &str = "a_link_is_made_where_dev_shm_is_tiny_or_absent";
    if is_child() {
        return between_processes!(
            |guest| {
                // Named segments do not work here.
                let name = Scope::new().name();
                Segment::create_new(&name, 1 << 20).expect_err("no room in /dev/shm");
                let options = Options::new().backing(Backing::Reserved);
                let mut link = invite(guest).join(&options, Deadline::Never).expect("a link");
                for _ in 0..100 {
                    ask(&mut link, &vec![5; 100_000]);
                }
            },
            |host| answer(&mut over(invited(host))),
        );
    }
    let tiny = "mount -t tmpfs -o size=4k tmpfs /dev/shm";
    let absent = "mount -t tmpfs tmpfs /mnt && touch /mnt/null && mount --bind /dev/null /mnt/null && \
                  mount --rbind /mnt /dev && ! test -e /dev/shm";
    for way in [tiny, absent] {
        let Some(mut launcher) = in_namespaces(TEST, &["--mount"]) else { return };
        launcher.args(["sh", "-c", &format!(r#"{way} && exec "$@""#), "sh"]);
        let output = child_of_by(TEST, launcher).stderr(Stdio::piped()).output().expect("started");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{way}: {errors}");
    }
}
