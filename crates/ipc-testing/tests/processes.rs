//! The process helpers: two processes that talk, die, stop and hang.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use ipc_testing::process::wait_until_parked;
use ipc_testing::{Invitation, Watchdog, between_processes};

#[test]
fn host_and_guest_tell_each_other_things() {
    between_processes!(
        |guest| {
            guest.tell("");
            guest.tell("one\ntwo");
            assert_eq!(guest.hear(), "heard one\ntwo");
        },
        |host| {
            assert_eq!(host.hear(), "");
            let text = host.hear();
            host.tell(&format!("heard {text}"));
        },
    );
}

#[test]
fn descriptors_travel_with_an_invitation() {
    between_processes!(
        |guest| {
            let (reader, writer) =
                rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
            let mut reader = File::from(reader);
            let descriptors = vec![writer, File::open("/dev/null").expect("opens").into()];
            guest.invite(Invitation { text: "name 7".into(), descriptors });
            let mut text = String::new();
            reader.read_to_string(&mut text).expect("until the guest closes");
            assert_eq!(text, "from the guest");
        },
        |host| {
            let Invitation { text, mut descriptors } = host.invitation();
            assert_eq!((text.as_str(), descriptors.len()), ("name 7", 2));
            let flags = rustix::io::fcntl_getfd(&descriptors[0]).expect("open");
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            File::from(descriptors.remove(0)).write_all(b"from the guest").expect("writes");
        },
    );
}

#[test]
#[should_panic = "it ended with exit status: 7"]
fn hearing_a_guest_that_has_exited_tells_its_status() {
    between_processes!(
        |guest| {
            guest.hear();
        },
        |_host| std::process::exit(7),
    );
}

#[test]
#[should_panic = "the guest's own words"]
fn a_panic_in_the_guest_fails_the_test_with_its_text() {
    between_processes!(|_guest| {}, |_host| panic!("the guest's own words"));
}

#[test]
fn what_a_guest_said_before_it_died_is_still_heard() {
    between_processes!(
        |guest| {
            guest.tell("never read");
            let status = guest.wait();
            assert_eq!(status.signal(), Some(9));
            assert_eq!(guest.hear(), "last words");
        },
        |host| {
            host.tell("last words");
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                .expect("dies");
        },
    );
}

#[test]
fn a_stopped_guest_goes_on_when_it_is_continued() {
    between_processes!(
        |guest| {
            guest.stop();
            guest.tell("go on");
            guest.cont();
            assert_eq!(guest.hear(), "went on");
        },
        |host| {
            host.hear();
            host.tell("went on");
        },
    );
}

#[test]
fn a_guest_dies_with_its_host() {
    // The test ends only when nobody has its standard error open any more.
    between_processes!(
        |guest| {
            guest.hear();
            std::process::exit(0);
        },
        |host| {
            host.tell("ready");
            loop {
                std::thread::park();
            }
        },
    );
}

#[test]
fn the_watchdog_ends_what_hangs() {
    between_processes!(
        |guest| assert_eq!(guest.wait().signal(), Some(nix::libc::SIGABRT)),
        |_host| {
            let _watchdog = Watchdog::start("a hanging test", Duration::from_millis(10));
            loop {
                std::thread::park();
            }
        },
    );
}

#[test]
fn a_dropped_watchdog_lets_the_process_live() {
    between_processes!(
        |guest| {
            drop(Watchdog::start("a quick test", Duration::from_millis(10)));
            guest.tell("still here");
        },
        |host| assert_eq!(host.hear(), "still here"),
    );
}

#[test]
fn a_sleeping_and_a_busy_process_are_both_recognised() {
    between_processes!(
        |guest| {
            // Returns, which is the claim.
            wait_until_parked(guest.pid());
            guest.tell("be busy");
            wait_until_parked(guest.pid());
            guest.kill();
        },
        |host| {
            host.hear();
            loop {
                std::hint::spin_loop();
            }
        },
    );
}
