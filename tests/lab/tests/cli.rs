//! The command line of `cargo lab`: streams, exit status, limits, and nothing left behind by a run that was
//! interrupted.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn lab(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    // The commands here need none of the release binaries.
    command.args(args).env("LAB_BIN_DIR", "/nonexistent").stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    lab(args).output().unwrap()
}

#[test]
fn streams_and_status_are_the_commands() {
    let output = run(&["exec", "--memory", "512", "--", "sh", "-c", "echo out; echo err >&2; exit 42"]);
    assert_eq!(output.status.code(), Some(42), "{output:?}");
    assert_eq!(output.stdout, b"out\n");
    assert_eq!(output.stderr, b"err\n");
    assert_eq!(
        run(&["exec", "--memory", "512", "--", "sh", "-c", "kill -TERM $$"]).status.code(),
        Some(128 + 15)
    );
}

#[test]
fn input_reaches_the_command() {
    let mut child = lab(&["exec", "--memory", "512", "--", "sha256sum"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&vec![b'x'; 1_000_000]).unwrap();
    let output = child.wait_with_output().unwrap();
    // As `head -c 1000000 /dev/zero | tr '\0' x | sha256sum` says.
    let expected = Command::new("sh")
        .args(["-c", "head -c 1000000 /dev/zero | tr '\\0' x | sha256sum"])
        .output()
        .unwrap();
    assert_eq!(output.stdout, expected.stdout);
}

#[test]
fn a_limit_ends_it_with_124() {
    let output = run(&["exec", "--memory", "512", "--timeout", "1", "--", "sleep", "1000"]);
    assert_eq!(output.status.code(), Some(124));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("sleep 1000") && text.contains("console"), "{text}");
}

#[test]
fn clocks_start_where_told() {
    let output =
        run(&["exec", "--memory", "512", "--node-time", "2031-05-06 07:08", "--", "date", "-u", "+%F %H"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2031-05-06 07\n");
    let bad = run(&["exec", "--node-time", "some day", "--", "true"]);
    assert!(!bad.status.success() && String::from_utf8_lossy(&bad.stderr).contains("some day"));
}

#[test]
fn mistakes_are_named() {
    for (args, said) in [
        (vec!["exec", "--nodes", "0", "--", "true"], "nodes"),
        (vec!["exec", "--memory", "999999999", "--", "true"], "memory"),
        (vec!["exec", "--share", "/no/such/folder", "--", "true"], "/no/such/folder"),
        (vec!["exec", "--zfs", "oldest", "--", "true"], "oldest"),
        (vec!["exec", "--", "/no/such/program"], "/no/such/program"),
        (vec!["path", "moon"], "moon"),
    ] {
        let output = run(&args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(said), "{args:?}: {text}");
    }
    if !PathBuf::from("/dev/zfs").exists() {
        let output = run(&["exec", "--host", "--", "true"]);
        assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("/dev/zfs"));
    }
}

/// Starts a node that waits, and returns with the folder of its cluster.
fn waiting() -> (Child, PathBuf) {
    let mut child = lab(&["exec", "--memory", "512", "--", "sh", "-c", "echo ready; sleep 1000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let cache = run(&["path", "cache"]);
    let run_dir = PathBuf::from(String::from_utf8_lossy(&cache.stdout).trim()).join("run");
    let folder = run_dir.join(format!("{}-0", child.id()));
    (child, folder)
}

fn kernel_of(folder: &std::path::Path) -> u32 {
    let mut text = String::new();
    std::fs::File::open(folder.join("node1/pid")).unwrap().read_to_string(&mut text).unwrap();
    text.parse().unwrap()
}

fn wait_gone(pid: u32) {
    let start = Instant::now();
    // A zombie has no command line either.
    while std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty()) {
        assert!(start.elapsed() < Duration::from_secs(30), "the node outlived its owner");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_interrupt_leaves_nothing() {
    let (mut child, folder) = waiting();
    let kernel = kernel_of(&folder);
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    wait_gone(kernel);
    assert!(!folder.exists());
}

#[test]
fn what_a_killed_run_left_is_removed_by_the_next() {
    let (mut child, folder) = waiting();
    let kernel = kernel_of(&folder);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_gone(kernel);
    assert!(folder.exists(), "nobody could remove it");
    assert!(run(&["exec", "--memory", "512", "--", "true"]).status.success());
    assert!(!folder.exists());
}
