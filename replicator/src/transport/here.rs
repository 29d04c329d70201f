//! Commands of this machine, run as those of another one are: for what only the `zfs` command can do, and for a user
//! who works with the rights of another through sudo.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use super::Process;
use super::Timeouts;
use super::Transport;
use super::TransportError;
use super::system_ssh::process::Owner;
use super::system_ssh::process::SystemProcess;
use crate::cancel::Cancel;

/// A shell of this machine.
pub struct Here {
    cancel: Cancel,
    run: Cancel,
}

impl Here {
    /// With a flag that ends what waits.
    #[must_use]
    pub fn new(cancel: &Cancel) -> Self {
        Self { cancel: cancel.child(), run: cancel.clone() }
    }
}

const NAME: &str = "this machine";

impl Owner for Here {
    fn name(&self) -> &str {
        NAME
    }

    fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    fn idle(&self) -> Duration {
        Timeouts::default().idle
    }

    fn judge(&self, status: ExitStatus, phase: &'static str) -> Option<TransportError> {
        // One that was ended by a signal has no status of its own.
        let cause = format!("the command was ended ({status})");
        status.code().is_none().then(|| TransportError::Lost { peer: NAME.to_string(), phase, cause })
    }
}

impl Transport for Here {
    fn peer(&self) -> &str {
        NAME
    }

    fn start<'a>(&'a mut self, command_line: &str) -> Result<Box<dyn Process + 'a>, TransportError> {
        if self.cancel.is_cancelled() {
            return Err(TransportError::Cancelled);
        }
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(command_line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C in a terminal is for us, who end it in order.
        command.process_group(0);
        let child = command.spawn().map_err(|error| TransportError::Local {
            what: "cannot start a shell".to_string(),
            cause: error.to_string(),
        })?;
        Ok(Box::new(SystemProcess::of(self, child)?))
    }

    fn breaker(&self) -> Option<Cancel> {
        Some(self.cancel.clone())
    }

    fn another(&self) -> Result<Box<dyn Transport>, TransportError> {
        Ok(Box::new(Self::new(&self.run)))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn bytes_go_through_a_command_and_its_status_comes_back() {
        let mut here = Here::new(&Cancel::new());
        let mut process = here.start("cat; echo oops >&2; exit 3").expect("a shell");
        process.write(&Bytes::from_static(b"some bytes")).expect("written");
        let mut said = Vec::new();
        let exit = process.finish(&mut |bytes| {
            said.extend_from_slice(bytes);
            Ok(())
        });
        let exit = exit.expect("an end");
        assert_eq!((said.as_slice(), exit.status.clone()), (&b"some bytes"[..], Ok(3)));
        assert_eq!(exit.message(), "oops");
        let mut again = here.another().expect("another");
        assert!(again.start("true").expect("a shell").finish(&mut |_| Ok(())).expect("an end").success());
    }

    #[test]
    fn a_run_that_is_to_stop_starts_nothing() {
        let cancel = Cancel::new();
        let mut here = Here::new(&cancel);
        cancel.cancel();
        assert!(matches!(here.start("true").err(), Some(TransportError::Cancelled)));
    }
}
