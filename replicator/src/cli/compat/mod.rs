//! The programs that this one stands in for: called by their name, through a link, it takes their options, reads their
//! configuration and gives their outputs and exit statuses. What they do wrong is not copied: `docs/migration.md` lists
//! each difference.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

mod getopt;
pub(super) mod sanoid;
pub(super) mod syncoid;

/// Runs a front end, if the program was called by the name of one.
pub(super) fn run_by_name(arguments: &[OsString]) -> Option<ExitCode> {
    let (program, arguments) = arguments.split_first()?;
    match Path::new(program).file_name().and_then(OsStr::to_str) {
        Some("sanoid") => Some(sanoid::main(arguments)),
        Some("syncoid") => Some(syncoid::main(arguments)),
        _ => None,
    }
}
