//! The pipe between the kernel and this process, and the thread on which the kernel's blocking call runs.

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

/// The largest pipe an unprivileged process gets on a Linux as it comes.
const PIPE_BYTES: usize = 1 << 20;

/// A pipe, read end first. Its size is set while it is empty: doing so later can lose data (openzfs #13232).
pub(crate) fn new() -> Result<(File, OwnedFd), i32> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(rustix::io::Errno::raw_os_error)?;
    // A user at the limit of /proc/sys/fs/pipe-user-pages-soft keeps the usual 64 KiB: slower, and right.
    let _ = fcntl_setpipe_size(&write, PIPE_BYTES);
    Ok((File::from(read), write))
}

/// Makes calls on this end return instead of waiting. The kernel's end is another open file and not concerned.
pub(crate) fn never_wait(end: &impl std::os::fd::AsFd) -> Result<(), i32> {
    let set = fcntl_getfl(end).and_then(|flags| fcntl_setfl(end, flags | OFlags::NONBLOCK));
    set.map_err(rustix::io::Errno::raw_os_error)
}

/// Waits until a call on this end would get on, or fail, without waiting: `false` when the time passed before, `None`
/// is any time. A signal may end it early.
pub(crate) fn wait(end: BorrowedFd<'_>, flags: PollFlags, time: Option<Duration>) -> io::Result<bool> {
    let time = time.map(|time| Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    });
    match poll(&mut [PollFd::from_borrowed_fd(end, flags)], time.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Starts a thread on which no signal is delivered.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, i32> {
    let work = || {
        crate::ffi::block_signals_in_this_thread();
        work()
    };
    Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| error.raw_os_error().unwrap_or(libc::EAGAIN))
}

/// The result of a thread. A panic goes on in the caller.
pub(crate) fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
