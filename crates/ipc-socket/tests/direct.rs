//! Direct communication between processes that name each other by process id.

mod common;

use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use ipc_core::{
    Count, Deadline, Direction, OpenError, OpenErrorKind, PeerId, Receiver, RecvError, SendError,
    Sender,
};
use ipc_socket::direct::{Direct, DirectError, DirectOptions, Peer};
use ipc_testing::killing::open_descriptors;
use ipc_testing::process::wait_until_parked;
use ipc_testing::{Guest, Host, between_processes};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use common::{another, part, peer};

#[test]
fn each_names_the_other_and_the_link_is_made_on_first_use() {
    between_processes!(
        |guest| {
            let mut me = Direct::open().expect("opens");
            guest.tell("opened");
            let it = peer(guest.pid());
            let mut buffer = [0; 64];
            // It has not turned to us yet.
            let error = me.receive_from(&it, &mut buffer, Deadline::Now).expect_err("nothing");
            assert!(matches!(error, DirectError::Receive(RecvError::Empty)), "{error}");
            guest.tell("go on");
            let received = me.receive_from(&it, &mut buffer, Deadline::Never).expect("receives");
            assert_eq!(&buffer[..received.len], b"good morning");
            assert_eq!(received.sender.expect("named").pid(), Some(guest.pid()));
            me.send(&it, b"and to you", Deadline::Never).expect("sends over the same link");
            assert_eq!(me.peers().count(), 1);
            guest.finish();
            let error = me.receive_from(&it, &mut buffer, Deadline::Never).expect_err("gone");
            assert!(error.is_gone(), "{error}");
            let error = me.send(&it, b"?", Deadline::Never).expect_err("gone");
            assert!(error.is_gone(), "{error}");
        },
        |host| {
            host.hear();
            let mut me = Direct::open().expect("opens");
            host.hear();
            let it = peer(host.pid());
            me.send(&it, b"good morning", Deadline::Never).expect("sends");
            let mut buffer = [0; 64];
            let received = me.receive_from(&it, &mut buffer, Deadline::Never).expect("receives");
            assert_eq!(&buffer[..received.len], b"and to you");
            assert_eq!(me.peers().count(), 1);
        },
    );
}

#[test]
fn receive_any_tells_who_it_was_and_hears_all_in_turn() {
    const TEST: &str = "receive_any_tells_who_it_was_and_hears_all_in_turn";
    const SENDERS: usize = 5;
    const MESSAGES: usize = 200;
    if let Some((part, mut host)) = part() {
        let mut me = Direct::open().expect("opens");
        host.hear();
        let it = peer(host.pid());
        for number in 0..MESSAGES {
            let message = [part as u8, number as u8];
            me.send(&it, &message, Deadline::Never).expect("sends");
        }
        host.hear(); // the last ones are still read after its end
        return;
    }
    between_processes!(
        |guest| {
            let mut me = Direct::open().expect("opens");
            let mut senders: Vec<_> = (0..SENDERS).map(|part| another(TEST, part)).collect();
            senders.iter_mut().for_each(|sender| sender.tell("go"));
            let mut counts = [0; SENDERS];
            let mut buffer = [0; 16];
            for _ in 0..SENDERS * MESSAGES {
                let (who, received) = me.receive_any(&mut buffer, Deadline::Never).expect("one");
                let part = usize::from(buffer[0]);
                assert_eq!(who.pid(), senders[part].pid());
                assert_eq!(received.sender.expect("named").pid(), Some(who.pid()));
                assert_eq!((received.len, buffer[1]), (2, counts[part] as u8));
                counts[part] += 1;
            }
            senders.iter_mut().for_each(|sender| sender.tell("done"));
            senders.iter_mut().for_each(Guest::finish);
            let start = Instant::now();
            let deadline = Deadline::after(Duration::from_millis(30));
            let error = me.receive_any(&mut buffer, deadline).expect_err("nobody");
            assert!(matches!(error, DirectError::Receive(RecvError::TimedOut)), "{error}");
            assert!(start.elapsed() >= Duration::from_millis(30));
            assert_eq!(me.peers().count(), 0, "ended links are dropped");
            guest.finish();
        },
        |_host| {},
    );
}

#[test]
fn two_that_turn_to_each_other_at_once_have_one_link() {
    const ROUNDS: usize = 300;
    fn play(mut tell: impl FnMut(&str), mut hear: impl FnMut() -> String, it: u32) {
        let it = peer(it);
        for round in 0..ROUNDS {
            let mut me = Direct::open().expect("opens");
            tell("open");
            hear();
            let message = round.to_le_bytes();
            me.send(&it, &message, Deadline::Never).expect("sends");
            let mut buffer = [0; 16];
            let received = me.receive_from(&it, &mut buffer, Deadline::Never).expect("receives");
            assert_eq!(&buffer[..received.len], message, "round {round}");
            assert_eq!(me.peers().count(), 1, "round {round}");
            // Descriptors: ours, and one socket for the pair.
            tell(&me.peers().count().to_string());
            assert_eq!(hear(), "1");
            drop(me);
            tell("closed");
            hear();
        }
    }
    between_processes!(
        |guest| {
            let pid = guest.pid();
            let guest = std::cell::RefCell::new(guest);
            play(|text| guest.borrow_mut().tell(text), || guest.borrow_mut().hear(), pid);
            let before = open_descriptors();
            drop(Direct::open().expect("opens"));
            assert_eq!(open_descriptors(), before);
        },
        |host| {
            let pid = host.pid();
            let host = std::cell::RefCell::new(host);
            play(|text| host.borrow_mut().tell(text), || host.borrow_mut().hear(), pid);
        },
    );
}

#[test]
fn what_was_sent_before_a_death_is_received_even_from_one_never_accepted() {
    between_processes!(
        |guest| {
            let mut me = Direct::open().expect("opens");
            let it = peer(guest.pid());
            guest.tell("opened");
            guest.finish(); // dead and reaped before we have looked
            let mut buffer = [0; 64];
            for number in 0..3 {
                let (who, received) =
                    me.receive_any(&mut buffer, Deadline::Now).expect("accepted by the link");
                assert_eq!((who.pid(), &buffer[..received.len]), (guest.pid(), &[number; 5][..]));
            }
            let error = me.receive_from(&it, &mut buffer, Deadline::Never).expect_err("gone");
            assert!(error.is_gone(), "{error}");
        },
        |host| {
            host.hear();
            let mut me = Direct::open().expect("opens");
            for number in 0..3 {
                me.send(&peer(host.pid()), &[number; 5], Deadline::Never).expect("sends");
            }
        },
    );
}

/// Waits for a message of a guest that kills itself meanwhile.
fn wait_for_the_dying(guest: &mut Guest, is_linked: bool) {
    let mut me = Direct::open().expect("opens");
    guest.tell("opened");
    let it = peer(guest.pid());
    let mut buffer = [0; 8];
    if is_linked {
        me.receive_from(&it, &mut buffer, Deadline::Never).expect("receives");
    }
    guest.tell("die when I am parked");
    let error = me.receive_from(&it, &mut buffer, Deadline::Never).expect_err("killed");
    assert!(error.is_gone(), "{error}");
    assert!(!guest.wait().success(), "killed");
}

fn die(host: &mut Host, is_linked: bool) {
    host.hear();
    let mut me = Direct::open().expect("opens");
    if is_linked {
        me.send(&peer(host.pid()), b"linked", Deadline::Never).expect("sends");
    }
    host.hear();
    wait_until_parked(host.pid());
    let itself = rustix::process::getpid();
    rustix::process::kill_process(itself, rustix::process::Signal::KILL).expect("we may");
}

#[test]
fn a_waiting_receiver_hears_of_the_death_of_one_with_a_link() {
    between_processes!(|guest| wait_for_the_dying(guest, true), |host| die(host, true));
}

#[test]
fn a_waiting_receiver_hears_of_the_death_of_one_without_a_link() {
    between_processes!(|guest| wait_for_the_dying(guest, false), |host| die(host, false));
}

#[test]
fn a_dead_process_and_one_that_never_was_are_typed_errors() {
    let mut child = Command::new("true").spawn().expect("starts");
    let named = Peer::of(child.id());
    let pid = child.id();
    child.wait().expect("reaped");
    let error = Peer::of(pid).expect_err("reaped");
    assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
    assert!(error.to_string().contains(&format!("process {pid}")), "{error}");
    for pid in [0, u32::MAX] {
        let error = Peer::of(pid).expect_err("no process has it");
        assert!(matches!(error.kind(), OpenErrorKind::InvalidOption { .. }), "{error}");
    }
    // A name from before its death, which a reused number cannot revive.
    if let Ok(named) = named {
        assert!(!named.is_alive().expect("polls"));
        assert!(named.wait_gone(Deadline::Never).expect("polls"));
    }
}

#[test]
fn a_process_that_is_not_open_refuses_and_one_cannot_name_itself() {
    between_processes!(
        |guest| {
            let mut me = Direct::open().expect("opens");
            let error = me
                .send(&peer(guest.pid()), b"x", Deadline::Never)
                .expect_err("it has not opened itself");
            let DirectError::Link(error) = error else { panic!("{error}") };
            assert!(matches!(error.kind(), OpenErrorKind::Refused(_)), "{error}");
            let error =
                me.send(&peer(std::process::id()), b"x", Deadline::Never).expect_err("itself");
            let DirectError::Link(error) = error else { panic!("{error}") };
            assert!(matches!(error.kind(), OpenErrorKind::InvalidOption { .. }), "{error}");
            let error = Direct::open().expect_err("it is open already");
            assert!(matches!(error.kind(), OpenErrorKind::InUse(_)), "{error}");
            guest.tell("done");
        },
        |host| drop(host.hear()),
    );
}

#[test]
fn a_process_of_another_user_is_refused_on_both_sides_unless_both_agree() {
    if !rustix::process::geteuid().is_root() {
        return ipc_testing::skip(
            "a_process_of_another_user_is_refused_on_both_sides_unless_both_agree",
            "root, to become another user",
        );
    }
    between_processes!(
        |guest| {
            let it = peer(guest.pid());
            let mut me = Direct::open().expect("opens");
            guest.tell("opened");
            guest.hear();
            let error = me.send(&it, b"x", Deadline::Never).expect_err("another user's");
            let DirectError::Link(error) = error else { panic!("{error}") };
            assert!(matches!(error.kind(), OpenErrorKind::PermissionDenied(_)), "{error}");
            assert!(error.to_string().contains("65534"), "{error}");
            let error = me.receive_any(&mut [0; 8], Deadline::Now).expect_err("not heard");
            assert!(matches!(error, DirectError::Receive(RecvError::Empty)), "{error}");
            drop(me);
            let mut me = DirectOptions::new().any_user(true).open().expect("opens");
            guest.tell("opened to all");
            let (who, received) = me.receive_any(&mut [0; 8], Deadline::Never).expect("heard");
            assert_eq!(who.pid(), guest.pid());
            let sender = received.sender.expect("named");
            assert!(matches!(sender, PeerId::Process(process) if process.uid == 65534));
            guest.tell("heard");
        },
        |host| {
            let nobody = rustix::process::Uid::from_raw(65534);
            let it = peer(host.pid());
            rustix::thread::set_thread_uid(nobody).expect("root");
            let mut me = DirectOptions::new().any_user(true).open().expect("opens");
            host.hear();
            // The other side turns us away, after the kernel has connected us.
            let _ = me.send(&it, b"x", Deadline::Never);
            host.tell("tried");
            host.hear();
            // The old link ends with the old endpoint.
            while me.send(&it, b"hello", Deadline::Never).is_err() {}
            host.hear();
        },
    );
}

#[test]
fn a_one_way_link_carries_one_way() {
    between_processes!(
        |guest| {
            let mut me = Direct::open().expect("opens");
            guest.tell("opened");
            let it = peer(guest.pid());
            let mut buffer = [0; 8];
            me.receive_from(&it, &mut buffer, Deadline::Never).expect("receives");
            let error = me.send(&it, b"no", Deadline::Never).expect_err("against the direction");
            assert!(matches!(error, DirectError::Send(SendError::Unsupported(_))), "{error}");
            guest.tell("more");
            let received = me.receive_from(&it, &mut buffer, Deadline::Never).expect("receives");
            assert_eq!(&buffer[..received.len], b"two");
        },
        |host| {
            host.hear();
            let mut me = Direct::open().expect("opens");
            let it = peer(host.pid());
            me.link_one_way(&it, Deadline::Never).expect("links");
            let error = me.link_one_way(&it, Deadline::Never).expect_err("there is one");
            assert!(matches!(error.kind(), OpenErrorKind::InUse(_)), "{error}");
            me.send(&it, b"one", Deadline::Never).expect("sends");
            host.hear();
            let error = me.receive_from(&it, &mut [0; 8], Deadline::Now).expect_err("only to send");
            let DirectError::Link(error) = error else { panic!("{error}") };
            assert!(matches!(error.kind(), OpenErrorKind::Unsupported(_)), "{error}");
            me.send(&it, b"two", Deadline::Never).expect("sends");
        },
    );
}

#[test]
fn the_ends_of_a_one_way_link_are_its_ends_alone() {
    between_processes!(
        |guest| {
            let mut me = Direct::open().expect("opens");
            guest.tell("opened");
            let it = peer(guest.pid());
            let mut receiver = me.take_receiver(&it, Deadline::Never).expect("takes");
            assert_eq!(receiver.properties().direction, Direction::OneWay);
            assert_eq!(receiver.properties().links_per_pair, Count::One);
            let in_use = [
                me.take_receiver(&it, Deadline::Now).map(drop).expect_err("taken"),
                me.take_ends(&it, Deadline::Now).map(drop).expect_err("taken"),
                me.take_sender(&it, Deadline::Now)
                    .map(drop)
                    .expect_err("it is the pair's only link"),
            ];
            for error in in_use {
                assert!(matches!(error.kind(), OpenErrorKind::InUse(_)), "{error}");
            }
            assert_eq!(receiver.recv(&mut [0; 8]).expect("receives").len, 4);
            guest.tell("received");
            let gone = receiver.recv(&mut [0; 8]).expect_err("its sender is dropped");
            assert!(matches!(gone, RecvError::PeerGone { .. }), "{gone}");
            drop(receiver);
            guest.tell("dropped");
            // Now there is room for a link that this process makes, the other way round.
            me.link_one_way(&it, Deadline::Never).expect("makes its own");
            me.send(&it, b"back", Deadline::Never).expect("sends");
        },
        |host| {
            host.hear();
            let mut me = Direct::open().expect("opens");
            let it = peer(host.pid());
            let mut sender = me.take_sender(&it, Deadline::Never).expect("takes");
            assert_eq!(sender.properties().direction, Direction::OneWay);
            let error = me.take_sender(&it, Deadline::Now).map(drop).expect_err("taken");
            assert!(matches!(error.kind(), OpenErrorKind::InUse(_)), "{error}");
            let wrong_way = [
                me.take_receiver(&it, Deadline::Never).map(drop).expect_err("it only sends"),
                me.take_ends(&it, Deadline::Never).map(drop).expect_err("it only sends"),
            ];
            for error in wrong_way {
                assert!(matches!(error.kind(), OpenErrorKind::Unsupported(_)), "{error}");
            }
            sender.send(b"ping").expect("sends");
            host.hear();
            drop(sender);
            host.hear();
            let mut buffer = [0; 8];
            let received = me.receive_from(&it, &mut buffer, Deadline::Never).expect("receives");
            assert_eq!(&buffer[..received.len], b"back");
        },
    );
}

#[test]
fn ends_that_were_taken_are_the_pairs_only_link() {
    between_processes!(
        |guest| {
            let mut me = Direct::open().expect("opens");
            guest.tell("opened");
            let it = peer(guest.pid());
            me.wait_for_link(&it, Deadline::Never).expect("it comes");
            let (mut sender, mut receiver) = me.take_ends(&it, Deadline::Never).expect("takes");
            for error in [
                me.send(&it, b"x", Deadline::Now).expect_err("taken"),
                me.receive_from(&it, &mut [0; 8], Deadline::Now).expect_err("taken"),
            ] {
                let DirectError::Link(error) = error else { panic!("{error}") };
                assert!(matches!(error.kind(), OpenErrorKind::InUse(_)), "{error}");
            }
            assert_eq!(receiver.recv(&mut [0; 8]).expect("receives").len, 4);
            sender.send(b"pong").expect("sends");
            drop((sender, receiver));
            guest.tell("dropped");
            guest.finish();
        },
        |host| {
            host.hear();
            let mut me = Direct::open().expect("opens");
            let it = peer(host.pid());
            me.send(&it, b"ping", Deadline::Never).expect("sends");
            me.receive_from(&it, &mut [0; 8], Deadline::Never).expect("receives");
            host.hear();
            let error = me.receive_from(&it, &mut [0; 8], Deadline::Never).expect_err("closed");
            assert!(error.is_gone(), "{error}");
        },
    );
}

#[test]
fn a_message_that_does_not_fit_stays_and_is_first_again() {
    between_processes!(
        |guest| {
            let mut me = Direct::open().expect("opens");
            guest.tell("opened");
            guest.hear();
            let error = me.receive_any(&mut [0; 2], Deadline::Never).expect_err("does not fit");
            assert!(
                matches!(&error, DirectError::Receive(RecvError::BufferTooSmall(e)) if e.needed == 9),
                "{error}"
            );
            let mut buffer = [0; 16];
            let (_, received) = me.receive_any(&mut buffer, Deadline::Now).expect("it stayed");
            assert_eq!(&buffer[..received.len], b"too large");
            guest.tell("done");
        },
        |host| {
            host.hear();
            let mut me = Direct::open().expect("opens");
            me.send(&peer(host.pid()), b"too large", Deadline::Never).expect("sends");
            host.tell("sent");
            host.hear();
        },
    );
}

/// The abstract name that a pair meets at, as `rendezvous.rs` documents it.
fn name_of_pair(one: u32, other: u32) -> SocketAddrUnix {
    let namespace = std::fs::metadata("/proc/self/ns/pid").expect("proc is mounted").ino();
    let name = format!("ipc-direct.{namespace}.{}-{}", one.min(other), one.max(other));
    SocketAddrUnix::new_abstract_name(name.as_bytes()).expect("it fits")
}

fn link_error(result: Result<(), DirectError>) -> OpenError {
    match result.expect_err("the name is a stranger's") {
        DirectError::Link(error) => error,
        error => panic!("{error}"),
    }
}

#[test]
fn a_stranger_at_the_pairs_name_delays_nobody_beyond_the_deadline() {
    const TEST: &str = "a_stranger_at_the_pairs_name_delays_nobody_beyond_the_deadline";
    if let Some((_, mut host)) = part() {
        let pids = [host.hear(), host.hear()].map(|pid| pid.parse().expect("a number"));
        let kind = SocketType::SEQPACKET;
        let squatter = rustix::net::socket(AddressFamily::UNIX, kind, None).expect("a socket");
        rustix::net::bind(&squatter, &name_of_pair(pids[0], pids[1])).expect("nobody has it");
        host.tell("bound");
        host.hear();
        rustix::net::listen(&squatter, 1).expect("listens");
        host.tell("listens");
        host.hear();
        return;
    }
    between_processes!(
        |guest| {
            let mut me = Direct::open().expect("opens");
            guest.hear();
            let it = peer(guest.pid());
            let mut squatter = another(TEST, 0);
            squatter.tell(&guest.pid().to_string());
            squatter.tell(&std::process::id().to_string());
            squatter.hear();
            let start = Instant::now();
            let patience = Duration::from_millis(50);
            for deadline in [Deadline::after(patience), Deadline::Now] {
                let error = link_error(me.send(&it, b"x", deadline));
                assert!(matches!(error.kind(), OpenErrorKind::TimedOut), "{error}");
                assert!(start.elapsed() >= patience);
            }
            squatter.tell("listen");
            squatter.hear();
            let error = link_error(me.send(&it, b"x", Deadline::Never)); // the kernel tells who it is
            assert!(matches!(error.kind(), OpenErrorKind::InUse(_)), "{error}");
            // It has made no link, so the other can still make it once the name is free.
            squatter.tell("go");
            squatter.finish();
            me.send(&it, b"at last", Deadline::Never).expect("the name is free");
            guest.tell("sent");
        },
        |host| {
            let mut me = Direct::open().expect("opens");
            host.tell("opened");
            let mut buffer = [0; 16];
            let (who, received) = me.receive_any(&mut buffer, Deadline::Never).expect("receives");
            assert_eq!((who.pid(), &buffer[..received.len]), (host.pid(), &b"at last"[..]));
            host.hear();
        },
    );
}

/// A process that has this process id, which is free; `None` where we may not choose the next one.
fn start_as(pid: u32) -> Option<Child> {
    for _ in 0..1000 {
        // The kernel gives the number after this one, unless it has given that meanwhile.
        std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).ok()?;
        let mut child = Command::new("sleep").arg("1000").spawn().expect("starts");
        if child.id() == pid {
            return Some(child);
        }
        child.kill().expect("killed");
        child.wait().expect("reaped");
    }
    panic!("others start processes all the time");
}

#[test]
fn a_reused_process_id_is_not_the_process_that_was_named() {
    let mut me = Direct::open().expect("opens");
    let mut first = Command::new("sleep").arg("1000").spawn().expect("starts");
    let named = peer(first.id());
    first.kill().expect("killed");
    first.wait().expect("reaped");
    let Some(mut successor) = start_as(named.pid()) else {
        let test = "a_reused_process_id_is_not_the_process_that_was_named";
        return ipc_testing::skip(test, "the right to write /proc/sys/kernel/ns_last_pid");
    };
    assert!(!named.is_alive().expect("polls"), "another process has its number");
    let error = me.send(&named, b"x", Deadline::Never).expect_err("it is dead");
    assert!(error.is_gone(), "{error}");
    let error = me.receive_from(&named, &mut [0; 8], Deadline::Never).expect_err("it is dead");
    assert!(error.is_gone(), "{error}");
    successor.kill().expect("killed");
    successor.wait().expect("reaped");
}
