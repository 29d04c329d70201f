//! The only `unsafe` of the lab: what must happen between fork and exec. Everything else goes through rustix.

use rustix::io::FdFlags;
use rustix::process::Signal;
use rustix::thread::CpuSet;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Lets the program inherit these descriptors under their numbers, and dies with the thread that starts it.
/// The descriptors must stay open until it was started.
pub(crate) fn inherit_and_die_with_parent(command: &mut Command, fds: &[&OwnedFd]) {
    let fds: Vec<RawFd> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
    let hook = move || {
        for fd in &fds {
            // SAFETY: the caller keeps these descriptors open until the program was started.
            let fd = unsafe { BorrowedFd::borrow_raw(*fd) };
            rustix::io::fcntl_setfd(fd, FdFlags::empty())?;
        }
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        Ok(())
    };
    // SAFETY: the hook makes system calls only (fcntl, prctl); it takes no lock and allocates nothing.
    unsafe { command.pre_exec(hook) };
}

/// Keeps the program, and all that it starts, on one processor.
pub(crate) fn stay_on(command: &mut Command, cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    // Where that processor is no longer to be had, any will do.
    let hook = move || {
        let _ = rustix::thread::sched_setaffinity(None, &set);
        Ok(())
    };
    // SAFETY: the hook makes one system call (sched_setaffinity); it takes no lock and allocates nothing.
    unsafe { command.pre_exec(hook) };
}

/// Makes the program the leader of a session; with `terminal`, its standard input becomes the controlling
/// terminal.
pub(crate) fn new_session(command: &mut Command, terminal: bool) {
    let hook = move || {
        rustix::process::setsid()?;
        if terminal {
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        Ok(())
    };
    // SAFETY: the hook makes system calls only (setsid, ioctl); it takes no lock and allocates nothing.
    unsafe { command.pre_exec(hook) };
}
