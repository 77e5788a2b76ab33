//! The suite fails on transports that break the contract: each case catches at least one fault.

mod reference;

use std::time::Duration;

use ipc_core::MessageLength;
use ipc_testing::{CASES, TIMEOUT, assert_case_fails};
use reference::Fault::{self, *};
use reference::Reference;

/// How long a transport that is to hang does so before that counts.
const HANG: Duration = Duration::from_secs(4);

/// Defines a test for each line, that this case catches these faults with this in its report; and one
/// that no case is without a fault to catch.
macro_rules! cases_catch {
    ($($case:ident { $($fault:ident => $report:literal,)+ })+) => {
        $(
            #[test]
            fn $case() {
                $(assert_caught(stringify!($case), $fault, $report);)+
            }
        )+

        #[test]
        fn every_case_catches_a_fault() {
            let catching = [$(stringify!($case)),+];
            let idle: Vec<_> =
                CASES.iter().map(|case| case.name).filter(|name| !catching.contains(name)).collect();
            assert!(idle.is_empty(), "cases that catch nothing: {idle:?}");
        }
    };
}

fn assert_caught(case: &str, fault: Fault, report: &str) {
    let name: &'static str = format!("with a fault: {fault:?}").leak();
    let mut transport = Reference { name, fault: Some(fault), ..Reference::HONEST };
    if fault == TakesShortMessages {
        transport.length = MessageLength { min: 8, max: 64 };
    }
    let hangs = report == "hung" || fault == RefusesPastDeadlines; // one side waits for the other
    let timeout = if hangs { HANG } else { TIMEOUT };
    assert_case_fails(&transport, case, case, timeout, report);
}

cases_catch! {
    messages_keep_their_order {
        LosesEveryHundredth => "message 99",
        SwapsTwoMessages => "message 49",
        RepeatsAMessage => "message 50",
        CorruptsAByte => "first difference at Some(7)",
    }
    boundaries_are_kept {
        MergesWaitingMessages => "message 0",
    }
    requests_and_replies_alternate {
        LosesEveryHundredth => "hung",
        RepeatsAMessage => "reply 50",
        ClaimsToBeTheOnlyLink => "a second link",
    }
    an_empty_message_is_not_an_empty_link {
        TakesEmptyForTheEnd => "PeerGone",
    }
    the_shortest_and_the_longest_message_arrive_whole {
        CutsLongMessages => "5000 bytes received",
    }
    a_message_too_long_is_refused {
        ReportsAWrongMax => "max: 65535",
    }
    a_message_too_short_is_refused {
        TakesShortMessages => "but gave Ok",
    }
    a_message_stays_until_the_buffer_fits {
        DropsWhatDoesNotFit => "hung",
        UnderstatesTheNeededLength => "lengths in the error",
    }
    a_vector_grows_to_the_message {
        UnderstatesTheNeededLength => "BufferTooSmall",
    }
    typed_messages_arrive {
        CorruptsAByte => "the value",
    }
    a_full_link_does_as_declared {
        CallsFullTimedOut => "TimedOut",
        LosesEveryHundredth => "message 99",
    }
    a_timed_send_on_a_full_link_has_no_effect {
        SendTimesOutEarly => "a wait of 50ms ended after",
        SendsAfterTheTimeOut => "should fail with RecvError::Empty",
    }
    a_send_that_timed_out_left_nothing {
        SendsAfterTheTimeOut => "only what was accepted arrives",
    }
    a_parked_sender_is_woken_by_a_receive {
        SleepsThroughRoom => "hung",
    }
    signals_do_not_change_a_senders_wait {
        SurfacesInterrupts => "Interrupted",
        RestartsItsWaitOnInterrupts => "hung",
        SendTimesOutEarly => "a wait of 100ms ended after",
    }
    an_empty_link_says_so {
        CallsEmptyTimedOut => "should fail with RecvError::Empty",
    }
    a_receive_time_out_is_not_early {
        RecvTimesOutEarly => "a wait of",
    }
    signals_do_not_change_a_receivers_wait {
        SurfacesInterrupts => "Interrupted",
        RestartsItsWaitOnInterrupts => "hung",
    }
    signals_do_not_disturb_a_transfer {
        SurfacesInterrupts => "Interrupted",
    }
    a_past_deadline_still_tries_once {
        RefusesPastDeadlines => "there is room, but",
    }
    a_parked_receiver_is_woken_by_a_send {
        SleepsThroughMessages => "hung",
    }
    an_end_moves_to_another_thread {
        IsBoundToItsThread => "another thread",
    }
    both_ends_describe_the_same_link {
        DescribesItsEndsDifferently => "describe the link differently",
        StartsAThread => "the link has started some",
    }
    higher_priorities_come_first {
        IgnoresPriorities => "but gave Ok",
    }
    the_sender_is_who_it_was {
        NamesAnotherSender => "the sender's process",
    }
    a_synchronous_send_returns_when_the_message_is_taken {
        AcceptsSynchronousSends => "but gave Ok",
    }
    nothing_is_left_behind {
        LeaksADescriptor => "holds something else than before",
        LeavesASignalBlocked => "holds something else than before",
        LeavesAFile => "is left in /dev/shm",
    }
    a_late_receiver_learns_that_the_sender_is_gone {
        ForgetsTheLegacy => "0 of 3, then PeerGone",
        TakesTheEndForEmptiness => "after the sender's end: TimedOut",
        TellsOfTheEndOnce => "should fail with RecvError::PeerGone",
    }
    a_parked_receiver_learns_that_the_sender_is_gone {
        TakesTheEndForEmptiness => "TimedOut",
    }
    a_polling_receiver_learns_that_the_sender_is_gone {
        TakesTheEndForEmptiness => "hung",
        TellsOfTheEndOnce => "should fail with RecvError::PeerGone",
    }
    a_late_sender_learns_that_the_receiver_is_gone {
        RaisesSigpipe => "SIGPIPE",
        DoesNotKnowABrokenPipe => "after the receiver's end",
    }
    a_parked_sender_learns_that_the_receiver_is_gone {
        DoesNotKnowABrokenPipe => "a sender that waited for room",
    }
    a_polling_sender_learns_that_the_receiver_is_gone {
        DoesNotKnowABrokenPipe => "after the receiver's end",
    }
    a_stopped_sender_is_not_dead {
        TakesAStoppedPeerForDead => "PeerGone",
    }
    a_stopped_receiver_is_not_dead {
        TakesAStoppedPeerForDead => "PeerGone",
    }
    a_waiting_receiver_misses_no_message {
        NeverWakesAWaiter => "hung",
    }
    a_waiting_sender_learns_of_room {
        NeverWakesAWaiter => "hung",
    }
    a_waiting_receiver_learns_of_death {
        WakesForMessagesOnly => "hung",
    }
    a_waiting_sender_learns_of_death {
        NeverWakesAWaiter => "hung",
    }
    a_waiter_with_nothing_to_do_sleeps {
        WakesWithoutEnd => "always ready",
    }
}
