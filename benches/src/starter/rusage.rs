//! What the processes took that this one has waited for.

#![expect(unsafe_code, reason = "one system call that std does not have")]

use std::io;
use std::mem::MaybeUninit;

/// CPU time of all of them in seconds, and the most memory of one of them in bytes. See getrusage(2).
///
/// # Errors
/// Where the kernel refuses, which it has no reason to.
pub(crate) fn of_children() -> io::Result<(f64, u64)> {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the pointer is to a place of the right size, which lives until the call is over.
    if unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, and then it has filled everything in.
    let usage = unsafe { usage.assume_init() };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let peak = u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024;
    Ok((seconds(usage.ru_utime) + seconds(usage.ru_stime), peak))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_child_that_worked_is_counted_once_it_was_waited_for() {
        let (before, _) = of_children().expect("a usage");
        let work = "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done";
        assert!(Command::new("/bin/sh").args(["-c", work]).status().expect("a shell").success());
        let (after, peak) = of_children().expect("a usage");
        assert!(after > before && peak > 100_000, "{before} {after} {peak}");
    }
}
