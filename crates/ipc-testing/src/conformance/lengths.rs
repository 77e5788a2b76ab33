//! Short, long, empty, fixed and unfitting messages, and buffers that they do not fit.

use ipc_core::{OpenErrorKind, RecvError, SendError, TypedReceiver, TypedSender};

use super::message::{content, longest_tried, numbered, of_about};
use super::script::Script;
use super::side::{BRIEF, assert_error};

pub(super) fn an_empty_message_is_not_an_empty_link() -> Script {
    Script::new(
        |sender| {
            if sender.link.message_length.min > 0 {
                assert_error!(
                    sender.end().send_timeout(&[], BRIEF),
                    SendError::TooShort(e) if e.len == 0
                );
                return sender.deliver(&numbered(0, &sender.link));
            }
            for _ in 0..3 {
                sender.deliver(&[]);
                sender.partner.expect("empty again");
            }
            sender.deliver(&numbered(0, &sender.link));
        },
        |receiver| {
            if receiver.link.message_length.min == 0 {
                for _ in 0..3 {
                    receiver.collect_by(&[], |end, deadline| {
                        // An empty message fits an empty buffer.
                        let received = end.recv_deadline(&mut [], deadline)?;
                        Ok((vec![0; received.len], received))
                    });
                    receiver.assert_empty();
                    receiver.partner.tell("empty again");
                }
            }
            receiver.collect(&numbered(0, &receiver.link));
        },
    )
}

/// The shortest, the longest, and lengths around the powers of two between them, where buffers wrap
/// and words end.
fn interesting_lengths(link: &ipc_core::LinkProperties) -> Vec<usize> {
    let (min, max) = (link.message_length.min, longest_tried(link));
    let powers = (0..usize::BITS).map(|bit| 1_usize << bit).take_while(|&power| power <= max);
    let around = powers.flat_map(|power| [power - 1, power, power + 1]);
    let mut lengths: Vec<usize> = around.filter(|len| (min..=max).contains(len)).collect();
    lengths.extend([min, max, max]);
    lengths
}

pub(super) fn the_shortest_and_the_longest_message_arrive_whole() -> Script {
    Script::new(
        |sender| {
            for (number, len) in interesting_lengths(&sender.link).into_iter().enumerate() {
                sender.deliver(&content(number as u64, len));
            }
        },
        |receiver| {
            for (number, len) in interesting_lengths(&receiver.link).into_iter().enumerate() {
                receiver.collect(&content(number as u64, len));
            }
        },
    )
}

pub(super) fn a_message_too_long_is_refused() -> Script {
    /// More is not tried: there may not be the memory for such a message.
    const LONGEST_BUFFER: usize = 1 << 30;
    Script::new(
        |sender| {
            let longest = sender.link.message_length.max;
            for excess in [1, 1_000] {
                if longest < LONGEST_BUFFER {
                    // Untouched zeros take no memory: the length alone is to be looked at.
                    let message = vec![0; longest + excess];
                    assert_error!(
                        sender.end().try_send(&message),
                        SendError::TooLong(e) if e.len == longest + excess && e.max == longest
                    );
                    assert_error!(
                        sender.end().send_timeout(&message, BRIEF),
                        SendError::TooLong(e) if e.len == longest + excess && e.max == longest
                    );
                }
                sender.deliver(&numbered(1, &sender.link));
            }
        },
        |receiver| {
            for _ in 0..2 {
                receiver.collect(&numbered(1, &receiver.link));
            }
        },
    )
}

pub(super) fn a_message_too_short_is_refused() -> Script {
    Script::new(
        |sender| {
            let shortest = sender.link.message_length.min;
            for short in [shortest.saturating_sub(1), 0] {
                if shortest > 0 {
                    let message = vec![0; short];
                    assert_error!(
                        sender.end().try_send(&message),
                        SendError::TooShort(e) if e.len == short && e.min == shortest
                    );
                }
                sender.deliver(&of_about(1, shortest, &sender.link));
            }
        },
        |receiver| {
            let shortest = receiver.link.message_length.min;
            for _ in 0..2 {
                receiver.collect(&of_about(1, shortest, &receiver.link));
            }
        },
    )
}

pub(super) fn a_message_stays_until_the_buffer_fits() -> Script {
    const LENGTHS: [usize; 4] = [8, 1, 100, 3_000];
    Script::new(
        |sender| {
            for (number, len) in (0..).zip(LENGTHS) {
                sender.deliver(&of_about(number, len, &sender.link));
            }
        },
        |receiver| {
            for (number, len) in (0..).zip(LENGTHS) {
                let expected = of_about(number, len, &receiver.link);
                let whole = expected.len();
                receiver.collect_by(&expected, |end, deadline| {
                    let mut buffer = vec![0; whole];
                    for small in [whole - 1, 0, whole / 2] {
                        match end.recv_deadline(&mut buffer[..small], deadline) {
                            Err(RecvError::BufferTooSmall(e)) => {
                                assert_eq!(
                                    (e.needed, e.len),
                                    (whole, small),
                                    "lengths in the error"
                                );
                            }
                            Err(error) => return Err(error),
                            Ok(received) => panic!("{whole} bytes fit {small}: {received:?}"),
                        }
                    }
                    // It is there: no more waiting.
                    let received = end.try_recv(&mut buffer)?;
                    Ok((buffer[..received.len].to_vec(), received))
                });
            }
        },
    )
}

pub(super) fn a_vector_grows_to_the_message() -> Script {
    const LENGTHS: [usize; 4] = [1, 3_000, 8, 1_000];
    Script::new(
        |sender| {
            for (number, len) in (0..).zip(LENGTHS) {
                sender.deliver(&of_about(number, len, &sender.link));
            }
        },
        |receiver| {
            let mut vector = Vec::new();
            for (number, len) in (0..).zip(LENGTHS) {
                let expected = of_about(number, len, &receiver.link);
                receiver.collect_by(&expected, |end, deadline| {
                    let received = end.recv_to_vec(&mut vector, deadline)?;
                    assert_eq!(received.len, vector.len(), "the vector ends with the message");
                    Ok((vector.clone(), received))
                });
            }
        },
    )
}

pub(super) fn typed_messages_arrive() -> Script {
    const VALUES: [u64; 3] = [0, u64::MAX, 0x0123_4567_89ab_cdef];
    Script::new(
        |sender| {
            let lengths = sender.link.message_length;
            let end = sender.end.take().expect("open");
            if !(lengths.min..=lengths.max).contains(&8) {
                let error = TypedSender::<u64, _>::new(end).err().expect("8 bytes are not carried");
                assert!(matches!(error.kind(), OpenErrorKind::InvalidOption { .. }), "{error}");
                return;
            }
            let mut typed = TypedSender::<u64, _>::new(end).expect("8 bytes are carried");
            for value in VALUES {
                sender.deliver_by(|_| typed.send(&value).expect("sends a value"));
            }
        },
        |receiver| {
            let lengths = receiver.link.message_length;
            let end = receiver.end.take().expect("open");
            if !(lengths.min..=lengths.max).contains(&8) {
                let error =
                    TypedReceiver::<u64, _>::new(end).err().expect("8 bytes are not carried");
                assert!(matches!(error.kind(), OpenErrorKind::InvalidOption { .. }), "{error}");
                return;
            }
            let mut typed = TypedReceiver::<u64, _>::new(end).expect("8 bytes are carried");
            for value in VALUES {
                receiver.collect_value(value, |deadline| typed.recv_deadline(deadline));
            }
        },
    )
}
