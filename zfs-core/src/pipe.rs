//! The pipe between the kernel and this process, and the thread on which the kernel's blocking call runs.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::thread::{Builder, JoinHandle};

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
