//! Receivers that wait, and those that do not.

use std::time::{Duration, Instant};

use ipc_core::{Capacity, Deadline, RecvError, SendError};

use super::message::{self, numbered};
use super::script::Script;
use super::side::{BRIEF, PATIENCE, assert_error, assert_not_early};
use super::signals::Storm;

pub(super) fn an_empty_link_says_so() -> Script {
    Script::new(
        |sender| {
            for number in 0..3 {
                sender.partner.expect("empty");
                sender.deliver(&numbered(number, &sender.link));
            }
            sender.partner.expect("empty");
        },
        |receiver| {
            for number in 0..3 {
                for _ in 0..3 {
                    receiver.assert_empty();
                }
                receiver.partner.tell("empty");
                receiver.collect(&numbered(number, &receiver.link));
            }
            receiver.assert_empty();
            receiver.partner.tell("empty");
        },
    )
}

pub(super) fn a_receive_time_out_is_not_early() -> Script {
    Script::new(
        |sender| sender.deliver(&numbered(0, &sender.link)),
        |receiver| {
            let mut buffer = message::buffer(&receiver.link);
            for timeout in [Duration::ZERO, Duration::from_micros(1), BRIEF, BRIEF * 3] {
                assert_not_early(timeout, || {
                    assert_error!(
                        receiver.end().recv_timeout(&mut buffer, timeout),
                        RecvError::TimedOut
                    );
                });
            }
            receiver.collect(&numbered(0, &receiver.link));
        },
    )
}

pub(super) fn signals_do_not_change_a_receivers_wait() -> Script {
    Script::new(
        |sender| {
            sender.deliver_by(|side| {
                side.partner.wait_until_parked();
                side.put_numbered(0);
            });
        },
        |receiver| {
            let mut buffer = message::buffer(&receiver.link);
            let storm = Storm::upon_this_thread();
            storm.upon_a_wait(|timeout| {
                assert_not_early(timeout, || {
                    assert_error!(
                        receiver.end().recv_timeout(&mut buffer, timeout),
                        RecvError::TimedOut
                    );
                });
            });
            // And a wait without deadline ends with a message, not with a signal.
            receiver.collect(&numbered(0, &receiver.link));
        },
    )
}

pub(super) fn signals_do_not_disturb_a_transfer() -> Script {
    const MESSAGES: u64 = 3_000;
    Script::new(
        |sender| {
            let _storm = Storm::upon_this_thread();
            for number in 0..MESSAGES {
                sender.put_numbered(number);
            }
            sender.partner.expect("received");
        },
        |receiver| {
            let _storm = Storm::upon_this_thread();
            receiver.take_numbered(0..MESSAGES);
            receiver.partner.tell("received");
        },
    )
}

pub(super) fn a_past_deadline_still_tries_once() -> Script {
    fn past() -> Deadline {
        let now = Instant::now();
        Deadline::At(now.checked_sub(Duration::from_millis(1)).unwrap_or(now))
    }
    Script::new(
        |sender| {
            for number in 0..3 {
                let message = numbered(number, &sender.link);
                sender.deliver_by(|side| {
                    let patience = Deadline::after(PATIENCE);
                    loop {
                        match side.end().send_deadline(&message, past()) {
                            Ok(()) => break,
                            // A rendezvous needs the receiver at the same moment.
                            Err(SendError::TimedOut)
                                if side.link.capacity == Capacity::Zero
                                    && !patience.has_passed() => {}
                            Err(error) => panic!("there is room, but: {error:?}"),
                        }
                    }
                });
            }
        },
        |receiver| {
            for number in 0..3 {
                let expected = numbered(number, &receiver.link);
                let is_rendezvous = receiver.link.capacity == Capacity::Zero;
                receiver.collect_by(&expected, |end, deadline| {
                    let mut buffer = vec![0; expected.len()];
                    let patience = Deadline::after(PATIENCE);
                    loop {
                        let deadline = if is_rendezvous { deadline } else { past() };
                        match end.recv_deadline(&mut buffer, deadline) {
                            Ok(received) => {
                                return Ok((buffer[..received.len].to_vec(), received));
                            }
                            // It may not have come yet.
                            Err(RecvError::TimedOut) if !patience.has_passed() => {}
                            Err(error) => return Err(error),
                        }
                    }
                });
            }
        },
    )
}

pub(super) fn a_parked_receiver_is_woken_by_a_send() -> Script {
    const ROUNDS: u64 = 50;
    Script::new(
        |sender| {
            for number in 0..ROUNDS {
                sender.deliver_by(|side| {
                    side.partner.wait_until_parked();
                    side.put_numbered(number);
                });
            }
        },
        |receiver| {
            for number in 0..ROUNDS {
                receiver.collect(&numbered(number, &receiver.link));
            }
        },
    )
}

pub(super) fn an_end_moves_to_another_thread() -> Script {
    Script::new(
        |sender| {
            sender.deliver(&numbered(0, &sender.link));
            std::thread::scope(|scope| {
                let there = scope.spawn(|| sender.deliver(&numbered(1, &sender.link)));
                there.join().expect("sends from another thread");
            });
            sender.deliver(&numbered(2, &sender.link));
        },
        |receiver| {
            receiver.collect(&numbered(0, &receiver.link));
            std::thread::scope(|scope| {
                let there = scope.spawn(|| receiver.collect(&numbered(1, &receiver.link)));
                there.join().expect("receives in another thread");
            });
            receiver.collect(&numbered(2, &receiver.link));
        },
    )
}
