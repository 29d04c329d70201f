//! What happens when the lab is interrupted: the folders of running clusters go away at once (their nodes die
//! with this process). Without it, or after SIGKILL, the next start of the lab removes them.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Watches for signals from now on.
pub fn handle() {
    let Ok(mut signals) = Signals::new([SIGHUP, SIGINT, SIGTERM]) else { return };
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // Held until the end: nobody may start another cluster now.
            let folders = lock();
            for folder in folders.iter() {
                let _ = fs::remove_dir_all(folder);
            }
            std::process::exit(128 + signal);
        }
    });
}

/// Remembers a cluster's folder.
pub(crate) fn add(folder: &Path) {
    lock().push(folder.to_owned());
}

/// Forgets it.
pub(crate) fn remove(folder: &Path) {
    lock().retain(|f| f != folder);
}

fn lock() -> MutexGuard<'static, Vec<PathBuf>> {
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}
