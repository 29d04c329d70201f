//! `zfs-bench-starter NOTE PROGRAM ARGUMENT…`: runs a program, notes what it took, and ends as it did. A process of its own
//! waits for it, so that the kernel's sums over "all children" are those of this program alone; and a small one, because to
//! the kernel a new process has had the memory of the one that started it.
#![deny(unsafe_code)]

mod rusage;

use std::ffi::OsStr;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [note, program, arguments @ ..] = arguments.as_slice() else {
        eprintln!("zfs-bench-starter: it takes a file for its note, and a program");
        return ExitCode::FAILURE;
    };
    match run(note, program, arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("zfs-bench-starter: {}: {error}", program.display());
            ExitCode::FAILURE
        }
    }
}

fn run(note: &OsStr, program: &OsStr, arguments: &[OsString]) -> io::Result<u8> {
    let began = Instant::now();
    let status = Command::new(program).args(arguments).status()?;
    let seconds = began.elapsed().as_secs_f64();
    let (cpu, peak) = rusage::of_children()?;
    std::fs::write(note, format!("{{\"seconds\":{seconds},\"cpu\":{cpu},\"peak\":{peak}}}\n"))?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}
