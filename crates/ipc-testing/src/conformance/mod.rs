//! The conformance suite: the list of cases, and how one is run. Leaves out the cases themselves, one
//! file for each theme, and what they are played with (`stage`).

mod death;
pub(crate) mod footprint;
mod full;
mod lengths;
mod message;
mod order;
mod partner;
mod peers;
mod script;
mod side;
mod signals;
mod stage;
mod wait_source;
mod waiting;

use std::time::Duration;

use crate::between::{self, Failure};
use crate::{TIMEOUT, Transport};
use script::Script;

/// Expands to a module of one `#[test]` per case of the suite, each run on a transport:
/// `conformance!(module_name, TransportExpression);`.
///
/// The expression is evaluated anew in each process of each test, and sees the names in scope where
/// the macro stands. Use it in a test binary with the usual harness.
#[macro_export]
macro_rules! conformance {
    ($module:ident, $transport:expr $(,)?) => {
        $crate::__for_each_case! { $crate::__conformance_tests, $module, $transport }
    };
}

/// The list of all cases, given to another macro. The tests, [`CASES`] and their documentation all
/// come from here.
#[doc(hidden)]
#[macro_export]
macro_rules! __for_each_case {
    ($callback:path $(, $argument:tt)*) => {
        $callback! { ($($argument),*)
            order {
                /// 10,000 messages of varied length arrive whole, in the declared order, each once.
                messages_keep_their_order,
                /// Messages that lie in the link together are received one by one.
                boundaries_are_kept,
                /// 1,000 requests are each answered, over two links in opposite directions. Where two
                /// processes have one link, one way, they get no other, and that one works on.
                requests_and_replies_alternate,
            }
            lengths {
                /// An empty message is received as one, and the link behind it is empty.
                an_empty_message_is_not_an_empty_link,
                /// Messages of the shortest, the longest and every odd length between arrive whole.
                the_shortest_and_the_longest_message_arrive_whole,
                /// A message that is too long is refused with both lengths; the link still works.
                a_message_too_long_is_refused,
                /// A message that is too short is refused with both lengths; the link still works.
                a_message_too_short_is_refused,
                /// A message that does not fit the buffer is reported with its length, and stays.
                a_message_stays_until_the_buffer_fits,
                /// A vector grows to the length of the message.
                a_vector_grows_to_the_message,
                /// Values of a plain type arrive where their size is carried; else it is an error.
                typed_messages_arrive,
            }
            full {
                /// A full link meets a send as declared, and delivers all that it accepted.
                a_full_link_does_as_declared,
                /// A send that times out on a full link is not early and has no effect.
                a_timed_send_on_a_full_link_has_no_effect,
                /// Of long messages sent with short time-outs, exactly the accepted ones arrive.
                a_send_that_timed_out_left_nothing,
                /// A sender that waits for room is woken by a receive.
                a_parked_sender_is_woken_by_a_receive,
                /// A signal neither shortens nor lengthens a sender's wait, nor is it an error.
                signals_do_not_change_a_senders_wait,
            }
            waiting {
                /// Receiving from an empty link without waiting says that it is empty.
                an_empty_link_says_so,
                /// A receive that times out is not early.
                a_receive_time_out_is_not_early,
                /// A signal neither shortens nor lengthens a receiver's wait, nor is it an error.
                signals_do_not_change_a_receivers_wait,
                /// Messages sent and received under a storm of signals arrive as ever.
                signals_do_not_disturb_a_transfer,
                /// A deadline in the past still tries once.
                a_past_deadline_still_tries_once,
                /// A receiver that waits for a message is woken by a send.
                a_parked_receiver_is_woken_by_a_send,
                /// An end works in another thread than the one that made it.
                an_end_moves_to_another_thread,
            }
            peers {
                /// Both ends describe the same link, and nothing in the description contradicts.
                both_ends_describe_the_same_link,
                /// Where links have priorities, the higher come first; else they are an error.
                higher_priorities_come_first,
                /// The sender of each message is who it was, as far as the link tells.
                the_sender_is_who_it_was,
                /// A synchronous send returns once the message is taken; else it is an error.
                a_synchronous_send_returns_when_the_message_is_taken,
                /// With messages unread and either end closed or dead, nothing is left behind.
                nothing_is_left_behind,
            }
            death {
                /// A receiver that calls after the sender's end learns of it, behind its messages.
                a_late_receiver_learns_that_the_sender_is_gone,
                /// A receiver that waits is woken by the sender's end.
                a_parked_receiver_learns_that_the_sender_is_gone,
                /// A receiver that polls learns of the sender's end.
                a_polling_receiver_learns_that_the_sender_is_gone,
                /// A sender that calls after the receiver's end learns of it.
                a_late_sender_learns_that_the_receiver_is_gone,
                /// A sender that waits for room is woken by the receiver's end.
                a_parked_sender_learns_that_the_receiver_is_gone,
                /// A sender that polls learns of the receiver's end.
                a_polling_sender_learns_that_the_receiver_is_gone,
                /// A stopped sender is not taken for a dead one.
                a_stopped_sender_is_not_dead,
                /// A stopped receiver is not taken for a dead one.
                a_stopped_receiver_is_not_dead,
            }
            wait_source {
                /// Through its wait source, a receiver misses no message, sent before or after.
                a_waiting_receiver_misses_no_message,
                /// Through its wait source, a sender learns of room.
                a_waiting_sender_learns_of_room,
                /// Through its wait source, a receiver learns of the sender's death.
                a_waiting_receiver_learns_of_death,
                /// Through its wait source, a sender learns of the receiver's death.
                a_waiting_sender_learns_of_death,
                /// The wait source of an empty or full link is not ready all the time.
                a_waiter_with_nothing_to_do_sleeps,
            }
        }
    };
}

/// From the list of cases to a module of tests.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    (
        ($module:ident, $transport:expr)
        $($theme:ident { $($(#[$claim:meta])+ $case:ident,)+ })+
    ) => {
        mod $module {
            #[allow(unused_imports)]
            use super::*;
            $($(
                $(#[$claim])+
                #[test]
                fn $case() {
                    $crate::run_case(&$transport, stringify!($case), module_path!());
                }
            )+)+
        }
    };
}

macro_rules! case_table {
    (() $($theme:ident { $($(#[doc = $claim:literal])+ $case:ident,)+ })+) => {
        /// All cases of the suite.
        pub const CASES: &[Case] = &[$($(
            Case {
                name: stringify!($case),
                theme: stringify!($theme),
                claim: concat!($($claim),+),
                script: $theme::$case,
            },
        )+)+];
    };
}
__for_each_case! { case_table }

/// One case of the suite: what it claims of a link.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Case {
    /// Its name, also that of the test.
    pub name: &'static str,
    /// What it belongs to, also the name of its source file.
    pub theme: &'static str,
    /// What it claims, in a sentence.
    pub claim: &'static str,
    script: fn() -> Script,
}

/// Runs a case on a transport: what the tests of [`conformance!`](crate::conformance!) call. Skips it
/// where the machine lacks what the transport needs.
///
/// `module_path` is that of the module in which the test of the case's name stands.
///
/// # Panics
///
/// If the transport fails the case. If there is no such case.
pub fn run_case<T: Transport>(transport: &T, case: &str, module_path: &str) {
    // The harness leaves the crate's name out.
    let module = module_path.split_once("::").map_or("", |(_crate, module)| module);
    let test = if module.is_empty() { case.to_owned() } else { format!("{module}::{case}") };
    if let Some(needs) = transport.missing() {
        return crate::skip(&test, &needs);
    }
    if let Err(failure) = play(transport, case, &test, TIMEOUT) {
        panic!("{failure}");
    }
}

/// Asserts that the suite catches the fault of a broken transport: that it fails a case, and that
/// `report` is in what is said of it.
///
/// `test` is the path of the test that this is called from, as `--exact` takes it; `timeout` is how
/// long the broken transport may hang. The test is entered again in processes made for it, which are
/// told apart by the transport's [`name`](Transport::name) and the case: give each fault its own
/// name, and do nothing else in the test.
///
/// # Panics
///
/// If the transport passes, or fails otherwise. If there is no such case.
#[track_caller]
pub fn assert_case_fails<T: Transport>(
    transport: &T,
    case: &str,
    test: &str,
    timeout: Duration,
    report: &str,
) {
    match play(transport, case, test, timeout) {
        Err(failure) => {
            let text = failure.to_string();
            assert!(text.contains(report), "expected a report of {report:?}, but:\n{text}");
        }
        // A process made for another call passes by this one.
        Ok(()) if !between::is_supervisor() => {}
        Ok(()) => panic!("{} passed {case}", transport.name()),
    }
}

fn play<T: Transport>(
    transport: &T,
    case: &str,
    test: &str,
    timeout: Duration,
) -> Result<(), Failure> {
    let found = CASES.iter().find(|known| known.name == case);
    let script = (found.unwrap_or_else(|| panic!("there is no case {case:?}")).script)();
    for take in script.takes() {
        let key = format!("{}: {case}, {take}", transport.name());
        between::run(
            test,
            &key,
            timeout,
            |guest| stage::play_host(transport, &script, take, guest),
            |host| stage::play_guest(transport, &script, take, host),
        )?;
    }
    Ok(())
}
