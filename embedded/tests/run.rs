//! Tests of `plaudit-embedded run -- COMMAND…`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn run(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plaudit-embedded"));
    command.args(arguments).stdin(Stdio::null());
    command
}

#[test]
fn it_ends_with_the_status_of_its_command() {
    let check =
        r#"test -n "$EMBEDDED_DATABASE_URL" && test -n "$EMBEDDED_KAFKA_BROKERS" && exit 7"#;
    let status = run(&["run", "--", "sh", "-c", check]).status().unwrap();
    assert_eq!(status.code(), Some(7));
}

#[test]
fn it_says_how_it_is_used() {
    for arguments in [&[][..], &["run"], &["run", "--"], &["walk", "--", "true"]] {
        let output = run(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8(output.stderr).unwrap().starts_with("usage:"));
    }
}

/// Shorter than the command's sleep, and longer than a busy machine takes to start and stop two
/// servers.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// Returns true if the process has a handler for SIGTERM. Without one, the signal just ends it.
fn catches_sigterm(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << 14) != 0 // signal 15
}

#[test]
fn a_signal_reaches_the_command_and_what_that_started() {
    let mut owner = run(&["run", "--", "sh", "-c", "sleep 600; true"]).spawn().unwrap();
    let begun = Instant::now();
    // From then on a signal ends everything, during the start as well as later.
    while !catches_sigterm(owner.id()) {
        assert!(begun.elapsed() < WAIT_MAX, "it never listened to SIGTERM");
        std::thread::sleep(Duration::from_millis(5));
    }
    let terminated =
        Command::new("kill").args(["-TERM", &owner.id().to_string()]).status().unwrap();
    assert!(terminated.success());
    assert_eq!(owner.wait().unwrap().code(), Some(143));
    assert!(begun.elapsed() < WAIT_MAX, "it waited for the command's own end");
}
