//! Fault reports of supervised children: each fault that a program can make, for real, in a process of
//! its own, which is this test binary started anew.

// The faults themselves: bad addresses and instructions, and a division that the compiler must not see.
#![allow(unsafe_code)]

use std::arch::asm;
use std::env;
use std::io::Read;
use std::process::{Command, Stdio};

use ipc_core::{Deadline, OpenErrorKind, RecvError};
use ipc_signal::{ChildChange, ChildReport, Fault, FaultCause, Signal, SupervisedChild};

/// Tells a process of this test binary which fault it is to make.
const WHICH: &str = "IPC_SIGNAL_TEST_FAULT";

/// Runs a fault of this name in a child, supervised.
fn supervise(which: &str) -> SupervisedChild {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", "make_a_fault", "--nocapture", "--test-threads=1"]);
    command.env(WHICH, which).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    SupervisedChild::spawn(command).expect("it starts")
}

fn report(which: &str) -> ChildReport {
    supervise(which).wait(Deadline::Never).expect("it ends")
}

#[track_caller]
fn fault(which: &str, signal: Signal, cause: FaultCause) -> Fault {
    let report = report(which);
    assert!(
        matches!(report.end, ChildChange::Killed { signal: end, .. } if end == signal),
        "{report}"
    );
    let fault = report.fault.unwrap_or_else(|| panic!("no fault: {report}"));
    assert_eq!((fault.signal, fault.cause), (signal, cause), "{report}");
    fault
}

/// An address that is never mapped: in the first page.
const NOWHERE: usize = 0x10;

/// The part of the child; as a test by itself it does nothing.
#[test]
fn make_a_fault() {
    let Ok(which) = env::var(WHICH) else { return };
    // The harness's own thread is not the main one: so all of these are faults of another thread.
    match which.as_str() {
        "division" => divide_by_zero(),
        "read" => {
            // SAFETY: none; that is the point.
            unsafe { std::ptr::with_exposed_provenance::<u8>(NOWHERE).read_volatile() };
        }
        "write" => {
            let text: &'static str = "read-only";
            // SAFETY: none.
            unsafe { text.as_ptr().cast_mut().write_volatile(0) };
        }
        "bus" => read_beyond_the_end_of_a_file(),
        "instruction" => illegal_instruction(),
        "abort" => std::process::abort(),
        "handled" => handle_a_fault_and_exit(),
        "exit" => {}
        other => panic!("no such fault: {other}"),
    }
    std::process::exit(7);
}

fn divide_by_zero() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: none; the quotient is never used.
    unsafe {
        asm!("div {zero:e}", zero = in(reg) 0_u32, inout("eax") 1 => _, inout("edx") 0 => _);
    }
    // Elsewhere division by zero is no fault; the signal is sent as one.
    #[cfg(not(target_arch = "x86_64"))]
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::FPE).unwrap();
}

fn illegal_instruction() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: none.
    unsafe {
        asm!("ud2");
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: none.
    unsafe {
        asm!("udf #0");
    }
}

fn read_beyond_the_end_of_a_file() {
    let file = rustix::fs::memfd_create("empty", rustix::fs::MemfdFlags::CLOEXEC).expect("a file");
    let (protection, flags) = (rustix::mm::ProtFlags::READ, rustix::mm::MapFlags::SHARED);
    // SAFETY: a new mapping; reading it is the fault.
    let map = unsafe {
        rustix::mm::mmap(std::ptr::null_mut(), 4096, protection, flags, &file, 0).expect("mapped")
    };
    // SAFETY: none.
    unsafe { map.cast::<u8>().read_volatile() };
}

/// A program that survives its own fault, as run-time systems do.
fn handle_a_fault_and_exit() {
    extern "C" fn handler(_: libc::c_int) {
        // SAFETY: async-signal-safe, and does not return.
        unsafe { libc::_exit(9) };
    }
    let handler: extern "C" fn(libc::c_int) = handler;
    // SAFETY: the handler only exits.
    unsafe { libc::signal(libc::SIGSEGV, handler as libc::sighandler_t) };
    // SAFETY: none.
    unsafe { std::ptr::with_exposed_provenance::<u8>(NOWHERE).read_volatile() };
}

#[test]
fn a_division_by_zero_is_reported_with_its_instruction() {
    let fault = if cfg!(target_arch = "x86_64") {
        fault("division", Signal::FPE, FaultCause::IntegerDivision)
    } else {
        fault("division", Signal::FPE, FaultCause::Aborted)
    };
    if cfg!(target_arch = "x86_64") {
        assert!(fault.address.is_some_and(|address| address != 0), "{fault}");
        assert_eq!(fault.address, fault.instruction, "the address is that of the instruction");
    }
    assert_ne!(fault.thread, 0);
}

#[test]
fn a_bad_address_is_reported_with_the_address_and_the_instruction() {
    let fault = fault("read", Signal::SEGV, FaultCause::NotMapped);
    assert_eq!(fault.address, Some(NOWHERE as u64), "{fault}");
    assert_eq!(fault.code, 1, "SEGV_MAPERR");
    if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        assert!(fault.instruction.is_some_and(|address| address > 4096), "{fault}");
    }
    assert!(fault.to_string().contains("no memory there, address 0x10"), "{fault}");
}

#[test]
fn a_write_to_read_only_memory_is_told_apart_from_one_to_none() {
    let fault = fault("write", Signal::SEGV, FaultCause::NotPermitted);
    assert!(fault.address.is_some_and(|address| address > 4096), "{fault}");
}

#[test]
fn a_read_beyond_the_end_of_a_mapped_file_is_a_bus_error_with_its_address() {
    let fault = fault("bus", Signal::BUS, FaultCause::NothingBehind);
    assert!(fault.address.is_some_and(|address| address % 4096 == 0), "{fault}");
}

#[test]
fn an_illegal_instruction_is_reported_with_its_address() {
    let fault = fault("instruction", Signal::ILL, FaultCause::IllegalInstruction);
    assert!(fault.address.is_some_and(|address| address > 4096), "{fault}");
    assert_eq!(fault.address, fault.instruction);
}

#[test]
fn an_abort_is_reported_as_the_programs_own_doing() {
    let fault = fault("abort", Signal::ABRT, FaultCause::Aborted);
    assert_eq!(fault.address, None);
}

#[test]
fn a_child_that_is_killed_has_no_fault() {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped());
    let mut child = SupervisedChild::spawn(command).expect("it starts");
    // Held open beside the handle, which closes it to wait.
    let _input = child.stdin.take();
    assert!(matches!(child.wait(Deadline::Now), Err(RecvError::Empty)));
    child.signal(Signal::KILL).expect("it is ours");
    let report = child.wait(Deadline::Never).expect("it ends");
    let end = ChildChange::Killed { signal: Signal::KILL, core_dumped: false };
    assert_eq!((report.end, report.fault), (end, None));
    assert_eq!(child.wait(Deadline::Now).expect("known"), report);
    child.signal(Signal::KILL).expect("too late is no error");
}

#[test]
fn a_fault_signal_that_another_process_sends_is_told_apart() {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped());
    let mut child = SupervisedChild::spawn(command).expect("it starts");
    child.signal(Signal::SEGV).expect("it is ours");
    let fault = child.wait(Deadline::Never).expect("it ends").fault.expect("by that signal");
    assert_eq!(fault.cause, FaultCause::Sent { by: std::process::id() });
    assert_eq!(fault.address, None);
}

#[test]
fn a_program_that_handles_its_fault_goes_on() {
    let report = report("handled");
    assert_eq!((report.end, report.fault), (ChildChange::Exited(9), None));
}

#[test]
fn a_program_without_a_fault_is_as_it_would_be() {
    let report = report("exit");
    assert_eq!((report.end, report.fault), (ChildChange::Exited(7), None));
    let mut command = Command::new("sh");
    command.args(["-c", "trap 'echo caught' TERM; kill -TERM $$; sh -c 'kill -SEGV $$'; exit 3"]);
    let mut child = {
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        SupervisedChild::spawn(command).expect("it starts")
    };
    let mut output = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut output).expect("read");
    assert_eq!(output, "caught\n", "its signals reach it");
    let report = child.wait(Deadline::Never).expect("it ends");
    assert_eq!((report.end, report.fault), (ChildChange::Exited(3), None), "not its child's");
}

#[test]
fn a_stopped_child_stays_stopped_until_it_is_continued() {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped());
    let mut child = SupervisedChild::spawn(command).expect("it starts");
    child.signal(Signal::STOP).expect("it is ours");
    // Traced and stopped, or stopped: the kernel's letter for it is T or t.
    let state = || {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("it is there");
        stat.rsplit_once(") ").expect("a state").1.chars().next()
    };
    while !matches!(state(), Some('T' | 't')) {
        std::thread::yield_now();
    }
    child.signal(Signal::CONT).expect("it is ours");
    let report = child.wait(Deadline::Never).expect("its input has ended");
    assert_eq!(report.end, ChildChange::Exited(0));
}

#[test]
fn a_child_that_is_dropped_is_killed_and_reaped() {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped());
    let child = SupervisedChild::spawn(command).expect("it starts");
    let watch = ipc_core::Liveness::of_process(child.id()).expect("it is there");
    drop(child);
    assert!(!watch.is_alive().expect("poll works"));
}

#[test]
fn a_program_that_is_not_there_is_not_found() {
    for _ in 0..20 {
        let error = SupervisedChild::spawn(Command::new("/no/such/program")).expect_err("none");
        assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
        assert!(error.to_string().contains("start program \"/no/such/program\""), "{error}");
    }
}
