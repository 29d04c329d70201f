//! The runner cargo is told to start test binaries with: runs one as root in a fresh node that sees the
//! checkout and the binary's folder at the same paths, and hands its output and exit status through.

use super::{exit_code, stream_out};
use lab::workspace;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Of the environment, what a test may rely on.
const PASSED: &[&str] = &["CARGO", "LAB_", "RUST", "PROPTEST", "OUT_DIR", "TERM"];

/// How long all tests of a binary may take together, unless `LAB_TEST_LIMIT` names other seconds.
const LIMIT: u64 = 45 * 60;

/// The same with the long campaigns (`LAB_LONG`), of which the model against the kernel alone takes an hour.
const LONG_LIMIT: u64 = 6 * 60 * 60;

/// The node's memory in MB, unless `LAB_MEMORY` names other: room for pools on files in /tmp.
const MEMORY: u64 = 3072;

pub(crate) fn run(binary: &Path, args: &[OsString]) -> lab::Result<ExitCode> {
    let number =
        |name: &str, default: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let binary = std::path::absolute(binary).unwrap_or_else(|_| binary.to_owned());
    let cwd = std::env::current_dir().unwrap_or_else(|_| workspace::root());
    let root = workspace::root();
    let mut builder = lab::Cluster::builder().memory(number("LAB_MEMORY", MEMORY)).mount(&root, &root, false);
    let folder = writable_folder(&binary);
    builder = builder.mount(&folder, &folder, true);
    let cluster = builder.boot()?;
    let usual = if std::env::var_os("LAB_LONG").is_some() { LONG_LIMIT } else { LIMIT };
    let limit = Duration::from_secs(number("LAB_TEST_LIMIT", usual));
    let mut command = cluster.node(1).command(&binary).args(args).cwd(cwd).limit(limit);
    for (name, value) in std::env::vars_os() {
        if name.to_str().is_some_and(|n| PASSED.iter().any(|p| n.starts_with(p))) {
            command = command.env(name, value);
        }
    }
    stream_out(command).map(exit_code)
}

/// Cargo's target folder, when the binary is in it (tests write to its `tmp`); the binary's own folder for
/// others, such as doctests.
fn writable_folder(binary: &Path) -> PathBuf {
    let target = workspace::target_dir();
    if binary.starts_with(&target) {
        return target;
    }
    binary.parent().unwrap_or(Path::new("/")).to_owned()
}
