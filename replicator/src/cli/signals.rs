//! Ctrl-C and its relatives. Work runs on a thread of its own; the first signal asks it to stop, which leaves a
//! resumable part on the target, and a second one ends the process at once.

use std::io::Write;

use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

use super::Failure;
use super::Outcome;
use crate::cancel::Cancel;
use crate::codes::Code;

/// Runs `work` on a thread, and turns SIGINT, SIGTERM and SIGHUP into a cancellation.
pub(super) fn run<T: Send + 'static>(
    cancel: &Cancel,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let internal = |error: std::io::Error| Failure::new(Code::Local, format!("cannot start: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(internal)?;
    let result = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(internal)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(internal)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(internal)?;
        let mut work = tokio::task::spawn_blocking(work);
        loop {
            tokio::select! {
                done = &mut work => {
                    return done.unwrap_or_else(|panic| {
                        Err(Failure::new(Code::Defect, format!("a defect of this program: {panic}")))
                    });
                }
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            if cancel.is_cancelled() {
                std::process::exit(i32::from(Outcome::Interrupted as u8));
            }
            cancel.cancel();
            let _ = writeln!(std::io::stderr(), "stopping (once more to stop at once)");
        }
    });
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_as_a_defect() {
        let failure =
            run(&Cancel::new(), || -> Result<(), Failure> { panic!("on purpose") }).expect_err("a defect");
        assert_eq!((failure.code, failure.outcome), (Code::Defect, Outcome::Failed));
    }
}
