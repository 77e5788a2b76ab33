//! Named semaphores: they create and we open, we create and they open, and each waits for the other.

use std::process::Command;

use ipc_core::{Deadline, Name, OpenErrorKind};
use ipc_shm::NamedSemaphore;
use ipc_testing::{Scope, printed};

use crate::programs::{c_program, python_with_posix_ipc};

/// A fresh name, removed at the end of the scope if it is still there.
fn fresh_name(scope: &Scope) -> Name {
    let name = scope.name();
    let removed = name.clone();
    scope.defer(move || drop(NamedSemaphore::unlink(&removed)));
    name
}

/// Both ways, with the program that `start` makes.
fn share(start: &dyn Fn() -> Command) {
    const TIMES: u32 = 500;
    let scope = Scope::new();
    let name = fresh_name(&scope);
    let call = |verb: &str, number: u32| {
        let mut command = start();
        command.args([verb, &format!("/{name}"), &number.to_string()]);
        command
    };
    let run = |verb, number| printed(&call(verb, number).output().expect("it starts"));

    run("create", 2);
    let exists = NamedSemaphore::create_new(&name, 0, 0o600).expect_err("theirs");
    assert!(matches!(exists.kind(), OpenErrorKind::AlreadyExists(_)), "{exists}");
    let semaphore = NamedSemaphore::open(&name).expect("their semaphore");
    assert_eq!(semaphore.count().expect("no error"), 2);
    for _ in 0..2 {
        assert!(semaphore.try_acquire().expect("no error"));
    }
    assert!(!semaphore.try_acquire().expect("no error"));

    // They give, and we wait for it.
    let mut giver = call("post", TIMES).spawn().expect("it starts");
    for _ in 0..TIMES {
        assert!(semaphore.acquire(Deadline::Never).expect("no error"));
    }
    assert!(giver.wait().expect("our child").success());
    NamedSemaphore::unlink(&name).expect("they do not remove what they only open");

    // We give, and they wait for it.
    let semaphore = NamedSemaphore::create_new(&name, 3, 0o600).expect("the name is free");
    assert_eq!(run("value", 0), "3\n");
    let mut taker = call("wait", TIMES + 3).spawn().expect("it starts");
    ipc_testing::process::wait_until_parked(taker.id());
    for _ in 0..TIMES {
        semaphore.release().expect("far from the highest count");
    }
    assert!(taker.wait().expect("our child").success());
    assert_eq!(semaphore.count().expect("no error"), 0);
    run("unlink", 0);
    let gone = NamedSemaphore::open(&name).expect_err("removed by them");
    assert!(matches!(gone.kind(), OpenErrorKind::NotFound(_)), "{gone}");
}

#[test]
fn a_c_program_shares_semaphores_with_us() {
    let test = "a_c_program_shares_semaphores_with_us";
    if let Some(program) = c_program(test, "semaphore.c") {
        share(&|| program.command());
    }
}

#[test]
fn pythons_posix_ipc_shares_semaphores_with_us() {
    let test = "pythons_posix_ipc_shares_semaphores_with_us";
    let script = "posix_semaphore.py";
    if python_with_posix_ipc(test, script).is_some() {
        share(&|| python_with_posix_ipc(test, script).expect("there is one"));
    }
}
