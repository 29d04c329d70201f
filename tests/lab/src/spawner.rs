//! Starts programs from one thread that lives as long as the process: a node asks to be killed when its
//! parent dies, and the kernel takes the parent to be the thread that started it, which in a test may end
//! long before the node.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

type Job = Box<dyn FnOnce() + Send>;

/// Starts the program. Whatever the command keeps open is closed afterwards.
pub(crate) fn spawn(mut command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, queue) = channel::<Job>();
        thread::spawn(move || queue.into_iter().for_each(|job| job()));
        jobs
    });
    let (answer, result) = channel();
    let job: Job = Box::new(move || {
        let _ = answer.send(command.spawn());
    });
    spawner.send(job).map_err(|_| io::Error::other("the thread that starts nodes is gone"))?;
    result.recv().map_err(|_| io::Error::other("the thread that starts nodes is gone"))?
}
