//! Direct communication where one sends to everyone, and each receiver names whom it listens to.

mod common;

use std::time::{Duration, Instant};

use ipc_core::{Deadline, OpenErrorKind, RecvError, SendError};
use ipc_socket::direct::{Direct, DirectError, SentToAll};
use ipc_testing::{Guest, Host, between_processes};

use common::{another, part, peer};

/// Listens to the processes whose ids it is told, one at a time, until it is told no more.
fn listening(host: &mut Host) -> Direct {
    let mut me = Direct::open().expect("opens");
    loop {
        let word = host.hear();
        let Ok(pid) = word.parse() else { return me };
        me.listen_to(&peer(pid), Deadline::Never).expect("links");
        me.listen_to(&peer(pid), Deadline::Never).expect("it listens already");
        host.tell("listening");
    }
}

fn make_listen(listener: &mut Guest, pids: &[u32]) {
    for pid in pids {
        listener.tell(&pid.to_string());
        assert_eq!(listener.hear(), "listening");
    }
    listener.tell("that is all");
}

fn send(me: &mut Direct, message: &[u8], deadline: Deadline) -> SentToAll {
    me.send_to_all(message, deadline).expect("sends")
}

#[test]
fn each_receiver_names_the_sender_that_it_listens_to() {
    const TEST: &str = "each_receiver_names_the_sender_that_it_listens_to";
    const LISTENERS: usize = 3;
    if let Some((part, mut host)) = part() {
        let mut me = listening(&mut host);
        let [first, second] = [(); 2].map(|()| peer(host.hear().parse().expect("a process id")));
        host.hear(); // all was sent
        let mut buffer = [0; 32];
        // What the other said to everyone earlier waits meanwhile.
        for it in [&second, &first] {
            let received = me.receive_from(it, &mut buffer, Deadline::Never).expect("heard");
            let expected = format!("from {}", it.pid());
            assert_eq!(&buffer[..received.len], expected.as_bytes(), "listener {part}");
            assert_eq!(received.sender.expect("named").pid(), Some(it.pid()));
        }
        let error = me.receive_any(&mut buffer, Deadline::Now).expect_err("each heard it once");
        assert!(matches!(error, DirectError::Receive(RecvError::Empty)), "{error}");
        return host.tell("heard both");
    }
    between_processes!(
        |guest| {
            let mut me = Direct::open().expect("opens");
            assert_eq!(send(&mut me, b"nobody", Deadline::Never).reached, 0);
            guest.tell("open too");
            guest.hear();
            let pids = [std::process::id(), guest.pid()];
            let mut listeners: Vec<_> = (0..LISTENERS).map(|part| another(TEST, part)).collect();
            for listener in &mut listeners {
                make_listen(listener, &pids);
                pids.iter().for_each(|pid| listener.tell(&pid.to_string()));
            }
            let sent = send(&mut me, format!("from {}", pids[0]).as_bytes(), Deadline::Never);
            assert_eq!((sent.reached, sent.missed.len()), (LISTENERS, 0));
            guest.tell("your turn");
            assert_eq!(guest.hear(), "3");
            // It is open, and listens to nobody.
            let error = me.receive_any(&mut [0; 8], Deadline::Now).expect_err("not for us");
            assert!(matches!(error, DirectError::Receive(RecvError::Empty)), "{error}");
            for mut listener in listeners {
                listener.tell("all was sent");
                assert_eq!(listener.hear(), "heard both");
                listener.finish();
            }
        },
        |host| {
            host.hear();
            let mut me = Direct::open().expect("opens");
            host.tell("opened");
            host.hear();
            let message = format!("from {}", std::process::id());
            let sent = send(&mut me, message.as_bytes(), Deadline::Never);
            assert!(sent.missed.is_empty());
            host.tell(&sent.reached.to_string());
        },
    );
}

#[test]
fn a_full_listener_keeps_no_other_waiting_and_a_dead_one_is_told_once() {
    const TEST: &str = "a_full_listener_keeps_no_other_waiting_and_a_dead_one_is_told_once";
    const LAST: [u8; 8] = [0xff; 8];
    if let Some((_, mut host)) = part() {
        let _me = listening(&mut host);
        host.hear(); // never reads
        return;
    }
    between_processes!(
        |guest| {
            let mut me = Direct::open().expect("opens");
            let mut idle = another(TEST, 0);
            make_listen(&mut idle, &[std::process::id()]);
            make_listen(guest, &[std::process::id()]);
            let (reader, idle_pid) = (peer(guest.pid()), idle.pid());
            let mut number = 0_u64;
            let mut send = |me: &mut Direct, deadline| {
                let mut message = [0; 1000];
                message[..8].copy_from_slice(&number.to_le_bytes());
                let sent = send(me, &message, deadline);
                // The other one reads whatever becomes of the first.
                let mut answer = [0; 8];
                me.receive_from(&reader, &mut answer, Deadline::Never).expect("answers");
                assert_eq!(u64::from_le_bytes(answer), number);
                number += 1;
                sent
            };
            let full = loop {
                let mut sent = send(&mut me, Deadline::Now);
                assert_eq!(sent.reached + sent.missed.len(), 2);
                if let Some(missed) = sent.missed.pop() {
                    break missed;
                }
            };
            assert_eq!(full.0.pid(), idle_pid);
            assert!(matches!(full.1, SendError::Full), "{}", full.1);

            let began = Instant::now();
            let patience = Duration::from_millis(30);
            let sent = send(&mut me, Deadline::after(patience));
            assert!(began.elapsed() >= patience);
            let [(who, SendError::TimedOut)] = &sent.missed[..] else { panic!("{sent:?}") };
            assert_eq!((sent.reached, who.pid()), (1, idle_pid));

            idle.tell("end");
            idle.finish();
            let sent = send(&mut me, Deadline::Never);
            let [(who, SendError::PeerGone { .. })] = &sent.missed[..] else { panic!("{sent:?}") };
            assert_eq!((sent.reached, who.pid()), (1, idle_pid));
            let sent = send(&mut me, Deadline::Never);
            assert_eq!((sent.reached, sent.missed.len()), (1, 0));
            me.send(&reader, &LAST, Deadline::Never).expect("sends");
            guest.finish();
        },
        |host| {
            let mut me = listening(host);
            let mut message = [0; 1000];
            loop {
                let (who, _) = me.receive_any(&mut message, Deadline::Never).expect("heard");
                if message[..8] == LAST {
                    return;
                }
                me.send(&who, &message[..8], Deadline::Never).expect("the sender listens");
            }
        },
    );
}

#[test]
fn a_message_that_nobody_may_have_is_sent_to_nobody() {
    between_processes!(
        |guest| {
            let mut me = Direct::open().expect("opens");
            make_listen(guest, &[std::process::id()]);
            let error = me.send_to_all(&vec![1; 1 << 20], Deadline::Never).expect_err("too long");
            assert!(matches!(error, DirectError::Send(SendError::TooLong(_))), "{error}");
            let error = me.send_to_all(&[], Deadline::Never).expect_err("none is empty");
            assert!(matches!(error, DirectError::Send(SendError::TooShort(_))), "{error}");
            assert_eq!(send(&mut me, b"x", Deadline::Never).reached, 1);
            assert_eq!(guest.hear(), "1 byte");
        },
        |host| {
            let mut me = listening(host);
            let (_, received) = me.receive_any(&mut [0; 8], Deadline::Never).expect("heard");
            host.tell(&format!("{} byte", received.len));
        },
    );
}

#[test]
fn who_only_sends_and_who_has_taken_the_ends_is_left_out() {
    between_processes!(
        |guest| {
            let mut me = Direct::open().expect("opens");
            let it = peer(guest.pid());
            guest.tell("opened");
            me.receive_from(&it, &mut [0; 8], Deadline::Never)
                .expect("over a link that leads here");
            let sent = send(&mut me, b"?", Deadline::Never);
            assert_eq!((sent.reached, sent.missed.len()), (0, 0));
            guest.tell("sent");
            guest.hear();
            let ends = me.take_ends(&it, Deadline::Never).expect("a link both ways");
            let sent = send(&mut me, b"?", Deadline::Never);
            assert_eq!((sent.reached, sent.missed.len()), (0, 0));
            drop(ends);
            guest.tell("done");
        },
        |host| {
            host.hear();
            let mut me = Direct::open().expect("opens");
            let it = peer(host.pid());
            me.link_one_way(&it, Deadline::Never).expect("links");
            me.send(&it, b"hi", Deadline::Never).expect("sends");
            let error = me.listen_to(&it, Deadline::Never).expect_err("it only sends");
            assert!(matches!(error.kind(), OpenErrorKind::Unsupported(_)), "{error}");
            host.hear();
            drop(me);
            let mut me = Direct::open().expect("opens again");
            me.listen_to(&it, Deadline::Never).expect("a link both ways");
            host.tell("listening");
            host.hear();
            let error = me.receive_any(&mut [0; 8], Deadline::Now).expect_err("nothing came");
            assert!(matches!(error, DirectError::Receive(RecvError::Empty)), "{error}");
        },
    );
}
