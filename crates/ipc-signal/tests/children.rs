//! News of children: exits, stops and continuations of those that are watched, and of no others.

use std::process::{Child, Command, Stdio};

use ipc_core::{Deadline, OpenErrorKind, RecvError, WaitSource};
use ipc_signal::{
    ChildChange, ChildEvent, ChildListener, MaskGuard, Signal, SignalFlag, SignalTarget,
};
use ipc_testing::{Guest, Host, between_processes};

fn blocked() -> MaskGuard {
    MaskGuard::block([Signal::CHLD]).expect("a mask")
}

/// A child that waits for its input to end.
fn cat() -> Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat starts")
}

fn shell(script: &str) -> Child {
    Command::new("sh").args(["-c", script]).stdin(Stdio::null()).spawn().expect("a shell")
}

fn send(child: &Child, signal: Signal) {
    SignalTarget::process(child.id()).expect("it is there").send(signal).expect("sent");
}

#[track_caller]
fn expect(children: &mut ChildListener, child: &Child, change: ChildChange) {
    let event = children.wait(Deadline::Never).expect("news");
    let ChildEvent { pid, change: happened, .. } = event;
    assert_eq!((pid, happened), (child.id(), change));
}

/// The guest is there to have a process of its own whose children nobody else waits for.
fn nothing(guest: &mut Guest) {
    guest.finish();
}

#[test]
fn stop_continuation_and_end_of_a_child_are_told_in_turn() {
    let _mask = blocked();
    between_processes!(nothing, |_: &mut Host| {
        let mut children = ChildListener::open().expect("all threads block it");
        let mut child = cat();
        children.watch(child.id()).expect("our child");
        assert!(matches!(children.wait(Deadline::Now), Err(RecvError::Empty)));
        send(&child, Signal::STOP);
        expect(&mut children, &child, ChildChange::Stopped(Signal::STOP));
        send(&child, Signal::CONT);
        expect(&mut children, &child, ChildChange::Continued);
        send(&child, Signal::KILL);
        let killed = ChildChange::Killed { signal: Signal::KILL, core_dumped: false };
        expect(&mut children, &child, killed);
        assert_eq!(children.watched(), 0);
        assert!(matches!(children.wait(Deadline::Never), Err(RecvError::PeerGone { .. })));
        // It was only looked at.
        assert!(!child.wait().expect("still ours to reap").success());
    },);
}

#[test]
fn the_status_of_a_child_that_is_not_watched_is_not_taken() {
    let _mask = blocked();
    between_processes!(nothing, |_: &mut Host| {
        let mut children = ChildListener::open().expect("all threads block it");
        let mut others: Vec<_> = (0..20).map(|status| shell(&format!("exit {status}"))).collect();
        let mut watched = shell("exit 42");
        children.watch(watched.id()).expect("our child");
        expect(&mut children, &watched, ChildChange::Exited(42));
        for (status, other) in (0..).zip(&mut others) {
            assert_eq!(other.wait().expect("nobody has reaped it").code(), Some(status));
        }
        assert_eq!(watched.wait().expect("nor this one").code(), Some(42));
    },);
}

#[test]
fn of_many_children_that_end_together_none_is_missed() {
    const COUNT: i32 = 50;
    let _mask = blocked();
    between_processes!(nothing, |_: &mut Host| {
        let mut children = ChildListener::open().expect("all threads block it");
        // Their signals coalesce: they all end before anybody looks.
        let mut all: Vec<_> = (0..COUNT).map(|status| shell(&format!("exit {status}"))).collect();
        for child in &all {
            children.watch(child.id()).expect("our child");
        }
        let mut seen = Vec::new();
        while let Ok(event) = children.wait(Deadline::Never) {
            let status = all.iter().position(|child| child.id() == event.pid).expect("one of them");
            assert_eq!(event.change, ChildChange::Exited(status as i32));
            seen.push(status);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..COUNT as usize).collect::<Vec<_>>());
        for child in &mut all {
            child.wait().expect("reaped");
        }
    },);
}

#[test]
fn a_child_that_somebody_else_reaps_is_forgotten() {
    let _mask = blocked();
    between_processes!(nothing, |_: &mut Host| {
        let mut children = ChildListener::open().expect("all threads block it");
        let mut reaped = shell("exit 1");
        let mut other = shell("exit 2");
        for child in [&reaped, &other] {
            children.watch(child.id()).expect("our child");
        }
        reaped.wait().expect("reaped");
        expect(&mut children, &other, ChildChange::Exited(2));
        other.wait().expect("reaped");
        let error = children.watch(reaped.id()).expect_err("it is gone");
        assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
    },);
}

#[test]
fn a_forged_sigchld_is_no_event() {
    let _mask = blocked();
    between_processes!(
        |guest| {
            assert_eq!(guest.hear(), "watching");
            let target = SignalTarget::process(guest.pid()).expect("it is there");
            target.send(Signal::CHLD).expect("sent");
            guest.tell("sent");
        },
        |host| {
            let mut children = ChildListener::open().expect("all threads block it");
            let mut child = cat();
            children.watch(child.id()).expect("our child");
            host.tell("watching");
            assert_eq!(host.hear(), "sent");
            assert!(matches!(children.wait(Deadline::Now), Err(RecvError::Empty)));
            drop(child.stdin.take());
            expect(&mut children, &child, ChildChange::Exited(0));
            child.wait().expect("reaped");
        },
    );
}

#[test]
fn news_ring_the_descriptor() {
    let _mask = blocked();
    between_processes!(nothing, |_: &mut Host| {
        let mut children = ChildListener::open().expect("all threads block it");
        let mut child = shell("exit 0");
        children.watch(child.id()).expect("our child");
        if children.arm().expect("never fails") == ipc_core::Armed::Waiting {
            let (descriptor, interest) = children.descriptor();
            ipc_core::poll::wait_ready(descriptor, interest, Deadline::Never).expect("poll works");
        }
        children.disarm();
        expect(&mut children, &child, ChildChange::Exited(0));
        child.wait().expect("reaped");
    },);
}

#[test]
fn who_is_no_child_or_watched_already_is_refused() {
    let _mask = blocked();
    between_processes!(
        |guest| {
            let mut children = ChildListener::open().expect("all threads block it");
            children.watch(guest.pid()).expect("our child");
            let twice = children.watch(guest.pid()).expect_err("it is");
            assert!(matches!(twice.kind(), OpenErrorKind::InUse(_)), "{twice}");
        },
        |host| {
            let mut children = ChildListener::open().expect("all threads block it");
            let error = children.watch(host.pid()).expect_err("it is our parent");
            assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
            assert!(error.to_string().contains(&format!("child {}", host.pid())), "{error}");
        },
    );
}

#[test]
fn a_listener_refuses_to_start_while_a_thread_leaves_sigchld_unblocked() {
    between_processes!(nothing, |_: &mut Host| {
        let _mask = blocked(); // in this thread alone, not in the harness's
        let error = ChildListener::open().expect_err("the main thread does not block it");
        assert!(error.to_string().contains("SIGCHLD, which would be lost"), "{error}");
    },);
}

#[test]
fn a_handler_of_sigchld_does_not_keep_it_from_a_listener() {
    let _mask = blocked();
    between_processes!(nothing, |_: &mut Host| {
        let flag = SignalFlag::install(Signal::CHLD).expect("it can be handled");
        let mut children = ChildListener::open().expect("all threads block it");
        let mut child = shell("exit 5");
        children.watch(child.id()).expect("our child");
        expect(&mut children, &child, ChildChange::Exited(5));
        assert!(!flag.is_raised(), "it is blocked");
        child.wait().expect("reaped");
    },);
}
