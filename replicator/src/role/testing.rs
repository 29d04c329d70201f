//! What tests of roles share.

use std::path::Path;
use std::process::Command;

/// Writes a program. Another process does: a file that is open for writing here is open in whatever another thread starts
/// just then, and would be busy.
pub(super) fn script(path: &Path, text: &str) {
    let write = Command::new("/bin/sh")
        .args(["-c", "printf '%s' \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", text])
        .arg(path)
        .status();
    assert!(write.expect("a shell").success());
}
