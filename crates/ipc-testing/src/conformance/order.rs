//! Order, boundaries, and two links as a dialogue.

use ipc_core::RecvError;

use super::message;
use super::script::{OneWay, Script};
use super::side::{BothSides, PATIENCE};

const MESSAGES: u64 = 10_000;

pub(super) fn messages_keep_their_order() -> Script {
    Script::new(
        |sender| {
            for number in 0..MESSAGES {
                sender.put_numbered(number);
            }
            sender.partner.tell("sent");
        },
        |receiver| {
            receiver.take_numbered(0..MESSAGES);
            receiver.partner.expect("sent");
            if !receiver.link.lossy {
                receiver.assert_empty();
            }
        },
    )
}

pub(super) fn boundaries_are_kept() -> Script {
    Script::new(
        |sender| {
            for _ in 0..10 {
                // All of these lie in the link before the first is received.
                let accepted = sender.put_a_few();
                sender.partner.tell(&accepted.to_string());
                sender.partner.expect("received");
            }
        },
        |receiver| {
            for _ in 0..10 {
                let accepted = receiver.partner.hear_number();
                receiver.take_numbered(0..accepted);
                receiver.assert_empty();
                receiver.partner.tell("received");
            }
        },
    )
}

const REQUESTS: u64 = 1_000;

pub(super) fn requests_and_replies_alternate() -> Script {
    // A lossy link may lose a request or its reply: then the request is repeated, so that a reply to
    // an earlier one may come late.
    fn ask(both: &mut BothSides<'_>) {
        let mut buffer = message::buffer(&both.link);
        let wait = if both.link.lossy { PATIENCE / 100 } else { PATIENCE };
        for number in 0..REQUESTS {
            let request = message::numbered(number, &both.link);
            let reply = message::numbered(number + REQUESTS, &both.link);
            both.sender.send_timeout(&request, PATIENCE).expect("sends a request");
            loop {
                match both.receiver.recv_timeout(&mut buffer, wait) {
                    Ok(received) if buffer[..received.len] == reply => break,
                    Ok(_) if both.link.lossy => {}
                    Ok(received) => {
                        let which = format!("reply {number}");
                        message::assert_same(&buffer[..received.len], &reply, which);
                    }
                    Err(RecvError::TimedOut) if both.link.lossy => {
                        both.sender.send_timeout(&request, PATIENCE).expect("repeats a request");
                    }
                    Err(error) => panic!("waiting for reply {number}: {error:?}"),
                }
            }
        }
        both.partner.tell("that was all");
    }
    fn answer(both: &mut BothSides<'_>) {
        let mut buffer = message::buffer(&both.link);
        let mut due = 0;
        loop {
            // The last reply may be lost too, and is asked for again.
            let wait = if both.link.lossy { PATIENCE / 20 } else { PATIENCE };
            let len = match both.receiver.recv_timeout(&mut buffer, wait) {
                Ok(received) => received.len,
                Err(RecvError::TimedOut) if due == REQUESTS && both.link.lossy => break,
                Err(error) => panic!("waiting for request {due}: {error:?}"),
            };
            let asks = |number: &u64| buffer[..len] == message::numbered(*number, &both.link);
            let number = (due.saturating_sub(1)..=due).rev().find(asks);
            let number = number.expect("the request that is due, or the one before again");
            // One that came twice is answered twice, and whoever asked notices: if this side ended too,
            // the other could be at its next request, and find nobody instead.
            let reply = message::numbered(number + REQUESTS, &both.link);
            both.sender.send_timeout(&reply, PATIENCE).expect("sends a reply");
            due = number + 1;
            if due == REQUESTS && !both.link.lossy {
                break;
            }
        }
        both.partner.expect("that was all");
    }
    // Over the only link, the answers go another way.
    let alone = OneWay {
        host: |sender| {
            for number in 0..REQUESTS {
                sender.deliver(&message::numbered(number, &sender.link));
            }
        },
        guest: |receiver| {
            for number in 0..REQUESTS {
                receiver.collect(&message::numbered(number, &receiver.link));
            }
        },
    };
    Script::of_two_links(ask, answer, alone)
}
