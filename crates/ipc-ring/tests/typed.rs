//! Rings of values, between processes: what arrives, and what becomes of sides that disagree.

mod common;

use std::fmt::Debug;
use std::time::Duration;

use common::open_descriptors;
use ipc_core::{
    Deadline, Identified, MessageLength, OpenError, OpenErrorKind, RecvError, SendError,
};
use ipc_ring::{Address, Link, LinkOptions, Options, TypedLink, connect, listen, pair};
use ipc_shm::{Access, Backing, Memfd};
use ipc_socket::{recv_with_descriptors, send_with_credentials};
use ipc_testing::{Guest, Host, Invitation, Scope, between_processes};
use rustix::pipe::PipeFlags;
use std::os::fd::{AsFd, OwnedFd};
use zerocopy::{FromBytes, Immutable, IntoBytes};

#[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Order {
    item: u32,
    count: u32,
    price: f64,
}

impl Identified for Order {
    const NAME: &'static str = "shop.Order/1";
}

impl Order {
    fn nth(n: u32) -> Self {
        Self { item: n, count: n.rotate_left(7), price: f64::from(n) / 7.0 }
    }
}

/// The same fields under another name: a later version, whose bytes mean something else.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct LaterOrder(u32, u32, f64);

impl Identified for LaterOrder {
    const NAME: &'static str = "shop.Order/2";
}

fn over<O: LinkOptions>(socket: OwnedFd, options: &O) -> Result<O::Link, OpenError> {
    Link::over(socket, options, Deadline::Never)
}

fn invite<O: LinkOptions>(guest: &mut Guest, options: &O) -> Result<O::Link, OpenError> {
    let (ours, theirs) = pair().expect("a pair");
    guest.invite(Invitation::of_descriptors(vec![theirs.into()]));
    ours.join(options, Deadline::Never)
}

fn invited(host: &mut Host) -> OwnedFd {
    host.invitation().descriptors.remove(0)
}

#[test]
fn values_arrive_as_they_were_sent_in_every_way_of_sending() {
    const COUNT: u32 = 10_000;
    let capacity = Options::new().capacity_bytes(4096); // full, and wrapped, again and again
    between_processes!(
        |guest| {
            let options = capacity.typed::<Order, u64>();
            let TypedLink { sender, receiver, .. } = invite(guest, &options).expect("a link");
            let (mut sender, mut receiver) = (sender.expect("a ring"), receiver.expect("a ring"));
            assert_eq!(sender.properties().message_length, MessageLength::fixed(16));
            assert_eq!(receiver.properties().message_length, MessageLength::fixed(8));
            let mut sent = 0;
            while sent < COUNT {
                match sent % 4 {
                    0 => sender.send(&Order::nth(sent)).expect("sent"),
                    1 => {
                        let minute = Duration::from_secs(60);
                        sender.send_timeout(&Order::nth(sent), minute).expect("sent");
                    }
                    2 => match sender.try_send(&Order::nth(sent)) {
                        Err(SendError::Full) => continue,
                        outcome => outcome.expect("sent"),
                    },
                    _ => {
                        let most: Vec<_> = (sent..COUNT.min(sent + 50)).map(Order::nth).collect();
                        let count = sender.send_batch(&most, Deadline::Never).expect("sent");
                        assert!(count > 0);
                        sent += count as u32 - 1;
                    }
                }
                sent += 1;
            }
            sender.send_synchronous(&Order::nth(COUNT), Deadline::Never).expect("taken");
            let sum = receiver.recv().expect("received");
            assert_eq!(sum, (0..=u64::from(COUNT)).sum());
        },
        |host| {
            let options = capacity.typed::<u64, Order>();
            let link = over(invited(host), &options).expect("a link");
            let (mut sender, mut receiver) = (link.sender.expect("a ring"), link.receiver);
            let receiver = receiver.as_mut().expect("a ring");
            let mut values = [Order::nth(0); 20];
            let mut received = 0;
            while received <= COUNT {
                let count = match received % 3 {
                    0 => receiver.recv_batch(&mut values, Deadline::Never).expect("received"),
                    1 => {
                        let value = receiver.recv_timeout(Duration::from_secs(60));
                        values[0] = value.expect("received");
                        1
                    }
                    _ => match receiver.try_recv() {
                        Err(RecvError::Empty) => 0,
                        value => {
                            values[0] = value.expect("received");
                            1
                        }
                    },
                };
                for value in &values[..count] {
                    assert_eq!(*value, Order::nth(received));
                    received += 1;
                }
            }
            sender.send(&(0..=u64::from(COUNT)).sum()).expect("sent");
            assert!(matches!(receiver.recv(), Err(RecvError::PeerGone { .. })));
        },
    );
}

/// Insists on an error about `what`.
#[track_caller]
fn is_mismatch<L: Debug>(outcome: Result<L, OpenError>, what: &str) {
    let error = outcome.expect_err("of another type");
    assert!(matches!(error.kind(), OpenErrorKind::Mismatch { .. }), "{error}");
    assert!(error.to_string().contains(what), "{error}");
}

#[test]
fn another_type_is_the_same_typed_error_on_both_sides() {
    const OURS: Options = Options::new();
    between_processes!(
        |guest| {
            let before = open_descriptors();
            let orders = OURS.typed::<Order, u64>();
            // The guest receives something else than we send, or sends something else.
            for what in [
                "hash of the type that the peer receives",
                "hash of the type that the peer receives",
                "size in bytes of the type that the peer receives is 24, expected 16",
                "size in bytes of the type that the peer sends is 4, expected 8",
                "hash of the type that the peer sends",
                "size in bytes of the type that the peer receives is 0, expected 16",
            ] {
                is_mismatch(invite(guest, &orders), what);
                assert_eq!(open_descriptors(), before, "{what}: left open");
            }
            is_mismatch(
                invite(guest, &OURS),
                "size in bytes of the type that the peer receives is 16",
            );
            invite(guest, &orders).expect("of the same types");
            guest.tell("done");
        },
        |host| {
            let other = "of the type that the peer";
            is_mismatch(over(invited(host), &OURS.typed::<u64, LaterOrder>()), other);
            is_mismatch(over(invited(host), &OURS.typed::<u64, [u64; 2]>()), other);
            is_mismatch(over(invited(host), &OURS.typed::<u64, [u64; 3]>()), other);
            is_mismatch(over(invited(host), &OURS.typed::<u32, Order>()), other);
            is_mismatch(over(invited(host), &OURS.typed::<i64, Order>()), other);
            is_mismatch(over(invited(host), &OURS), "that the peer receives is 8, expected 0");
            is_mismatch(
                over(invited(host), &OURS.typed::<u64, Order>()),
                "receives is 0, expected 8",
            );
            over(invited(host), &OURS.typed::<u64, Order>()).expect("of the same types");
            assert_eq!(host.hear(), "done");
        },
    );
}

#[test]
fn a_client_of_another_type_learns_why_it_is_turned_away_and_the_listener_lives_on() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let path = scope.path("orders");
            let mut listener = listen(path.as_path()).expect("listens");
            guest.tell(path.to_str().expect("text"));
            let options = Options::new().typed::<(), Order>();
            let what = "hash of the type that the peer sends";
            is_mismatch(listener.accept(&options, Deadline::Never), what);
            let link = listener.accept(&options, Deadline::Never).expect("of the same type");
            assert_eq!(link.peer().pid.map(u32::from), Some(guest.pid()));
            let mut receiver = link.receiver.expect("a ring");
            assert_eq!(receiver.recv().expect("received"), Order::nth(7));
        },
        |host| {
            let address = Address::path(host.hear());
            let options = Options::new().typed::<LaterOrder, ()>();
            let what = "hash of the type that the peer receives";
            is_mismatch(connect(&address, &options, Deadline::Never), what);
            let options = Options::new().typed::<Order, ()>();
            let link = connect(&address, &options, Deadline::Never).expect("of the same type");
            link.sender.expect("a ring").send(&Order::nth(7)).expect("sent");
        },
    );
}

#[test]
fn the_type_of_a_ring_that_is_not_there_does_not_matter() {
    between_processes!(
        |guest| {
            let options = Options::new().typed::<Order, i8>();
            let link = invite(guest, &options).expect("a link");
            assert!(link.receiver.is_none());
            let mut sender = link.sender.expect("a ring");
            sender.send_synchronous(&Order::nth(3), Deadline::Never).expect("taken");
        },
        |host| {
            let options = Options::new().receive_only().typed::<u64, Order>();
            let link = over(invited(host), &options).expect("a link");
            assert!(link.sender.is_none());
            assert_eq!(link.receiver.expect("a ring").recv().expect("received"), Order::nth(3));
        },
    );
}

#[test]
fn a_ring_that_is_too_small_for_its_type_is_refused() {
    let options = Options::new().capacity_bytes(4096);
    let longest = options.longest_message();
    assert_eq!(longest, 1008);
    let error = Link::between_threads(
        &options.typed::<[u8; 1009], ()>(),
        &options.receive_only().typed::<(), [u8; 1009]>(),
    )
    .expect_err("too small");
    let kind = error.kind();
    assert!(matches!(kind, OpenErrorKind::InvalidOption { option: "capacity", .. }), "{error}");
    assert!(error.to_string().contains("up to 1008, values of the type have 1009"), "{error}");
    Link::between_threads(
        &options.typed::<[u8; 1008], ()>(),
        &options.receive_only().typed::<(), [u8; 1008]>(),
    )
    .expect("it just fits");
}

/// A peer that agreed on a type, and then sends messages of these lengths.
fn send_lengths(socket: &OwnedFd, lengths: &[u64]) {
    const CAPACITY: usize = 1 << 16;
    // What our own code says first, to be said again with memory that we write as we like.
    let mut hello = [0; 64];
    let (here, there) = pair().expect("a pair");
    let options = Options::new().capacity_bytes(CAPACITY).typed::<Order, ()>();
    here.join(&options, Deadline::Now).expect_err("nobody answers");
    let there = OwnedFd::from(there);
    recv_with_descriptors(there.as_fd(), &mut hello, 8, Deadline::Now).expect("it said it");

    let memory = Memfd::create("hostile", 4096 + CAPACITY, Backing::Lazy).expect("a memfd");
    let mapping = memory.map(Access::ReadWrite).expect("mapped");
    memory.seal_for_peer().expect("sealed");
    let mut offset = 4096;
    for len in lengths {
        mapping.write_at(offset, &(0x4d << 56 | len).to_ne_bytes());
        offset += 8 + len.next_multiple_of(8) as usize;
    }
    let bells = [(); 2].map(|()| rustix::pipe::pipe_with(PipeFlags::CLOEXEC).expect("a pipe"));
    let descriptors = [memory.as_fd(), bells[0].0.as_fd(), bells[1].0.as_fd()];
    send_with_credentials(socket.as_fd(), &hello, &descriptors, Deadline::Never).expect("sent");
}

#[test]
fn a_message_of_another_length_than_the_type_has_poisons_the_link() {
    between_processes!(
        |guest| {
            let options = Options::new().receive_only().typed::<(), Order>();
            let is_violation = |outcome: Result<Order, RecvError>| {
                let error = outcome.expect_err("no value");
                assert!(matches!(error, RecvError::Violation(_)), "{error}");
                assert!(error.to_string().contains("another length than the type"), "{error}");
            };
            for _ in 0..4 {
                let link = invite(guest, &options).expect("its hello is as it should be");
                let mut receiver = link.receiver.expect("a ring");
                receiver.recv().expect("of the right length");
                is_violation(receiver.recv());
                is_violation(receiver.recv());
            }
            // A batch ends before it, and the next one tells.
            let link = invite(guest, &options).expect("its hello is as it should be");
            let mut receiver = link.receiver.expect("a ring");
            let mut values = [Order::nth(0); 8];
            assert_eq!(receiver.recv_batch(&mut [], Deadline::Never).expect("nothing"), 0);
            assert_eq!(receiver.recv_batch(&mut values, Deadline::Never).expect("two"), 2);
            is_violation(receiver.recv_batch(&mut values, Deadline::Never).map(|_| values[0]));
            guest.tell("done");
        },
        |host| {
            let mut kept = Vec::new();
            for wrong in [0, 15, 17, 16_000] {
                kept.push(invited(host));
                send_lengths(kept.last().expect("pushed"), &[16, wrong, 16]);
            }
            kept.push(invited(host));
            send_lengths(kept.last().expect("pushed"), &[16, 16, 8, 16]);
            assert_eq!(host.hear(), "done");
        },
    );
}
