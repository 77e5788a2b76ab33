//! Named POSIX semaphores between our own processes. (With C and Python: the test `counterparts`.)

use ipc_core::{Deadline, Name, OpenErrorKind};
use ipc_shm::NamedSemaphore;
use ipc_testing::{Scope, between_processes};

use crate::place::assert_waits_through_signals;

fn scope_and_name() -> (Scope, Name) {
    let scope = Scope::new();
    let name = scope.name();
    scope.defer({
        let name = name.clone();
        move || drop(NamedSemaphore::unlink(&name))
    });
    (scope, name)
}

#[test]
fn two_processes_take_turns() {
    between_processes!(
        |guest| {
            let (_scope, name) = scope_and_name();
            let semaphore = NamedSemaphore::create_new(&name, 0, 0o600).expect("created");
            guest.tell(name.as_str());
            for _ in 0..1_000 {
                assert!(semaphore.acquire(Deadline::Never).expect("no error"));
            }
            assert!(!semaphore.try_acquire().expect("no error"));
        },
        |host| {
            let name = Name::new(&host.hear()).expect("a name");
            let semaphore = NamedSemaphore::open(&name).expect("it is there");
            for _ in 0..1_000 {
                semaphore.release().expect("far from the highest count");
            }
        },
    );
}

#[test]
fn a_name_is_created_once_opened_while_it_is_there_and_unlinked_once() {
    let (_scope, name) = scope_and_name();
    let kind = |result: Result<_, ipc_core::OpenError>| -> String {
        format!("{:?}", result.expect_err("refused").kind())
    };
    assert!(kind(NamedSemaphore::open(&name)).starts_with("NotFound"));
    let first = NamedSemaphore::create_new(&name, 3, 0o600).expect("created");
    assert!(kind(NamedSemaphore::create_new(&name, 1, 0o600)).starts_with("AlreadyExists"));
    let other = NamedSemaphore::open(&name).expect("it is there");
    assert!(other.try_acquire().expect("no error"));
    assert_eq!(first.count().expect("no error"), 2);
    NamedSemaphore::unlink(&name).expect("it is there");
    assert!(kind(NamedSemaphore::open(&name)).starts_with("NotFound"));
    // Those who have it keep it.
    assert!(first.try_acquire().expect("no error"));
    assert_eq!(other.count().expect("no error"), 1);
    let error = NamedSemaphore::unlink(&name).expect_err("unlinked already");
    assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
    let error = NamedSemaphore::create_new(&name, 1 << 31, 0o600).expect_err("too many");
    assert!(matches!(error.kind(), OpenErrorKind::InvalidOption { option: "count", .. }));
}

#[test]
fn the_highest_count_is_not_exceeded() {
    let (_scope, name) = scope_and_name();
    let semaphore = NamedSemaphore::create_new(&name, NamedSemaphore::MAX, 0o600).expect("created");
    let error = semaphore.release().expect_err("one too many");
    assert_eq!(error.source.raw_os_error(), Some(libc::EOVERFLOW));
    assert!(error.to_string().contains(name.as_str()), "{error}");
}

#[test]
fn a_deadline_ends_the_wait_and_signals_do_not() {
    between_processes!(
        |_guest| {
            let (_scope, name) = scope_and_name();
            let semaphore = NamedSemaphore::create_new(&name, 0, 0o600).expect("created");
            assert_waits_through_signals(|deadline| {
                assert!(!semaphore.acquire(deadline).expect("no error"));
            });
        },
        |_host| {},
    );
}
