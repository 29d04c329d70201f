//! This machine's terminal, handed through to a command in a node.

use crate::command::Command;
use crate::control::{Event, NodeGone};
use crate::error::{Context, LabError, Result};
use crate::output::Status;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::{self, Read, Write};
use std::thread;
use std::time::Duration;

/// The terminal passes every key on until this is dropped.
#[derive(Debug)]
pub struct Raw(Termios);

impl Raw {
    /// Switches standard input's terminal.
    pub fn enter() -> Result<Self> {
        let old = tcgetattr(io::stdin()).context(|| "asking the terminal for its modes")?;
        let mut raw = old.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).context(|| "setting the terminal's modes")?;
        Ok(Self(old))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Runs a command with this terminal until it ends.
pub fn attach(command: Command) -> Result<Status> {
    let size = || tcgetwinsize(io::stdin()).map_or((24, 80), |w| (w.ws_row, w.ws_col));
    let mut shown = size();
    let handle = command.terminal(shown.0, shown.1).limit(None).start()?;
    let remote = handle.remote();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n) = io::stdin().read(&mut buffer) {
            if n == 0 || remote.stdin(&buffer[..n]).is_err() {
                return;
            }
        }
    });
    let mut out = io::stdout();
    loop {
        match handle.next(Some(Duration::from_millis(250))) {
            Ok(Some(Event::Stdout(data) | Event::Stderr(data))) => {
                out.write_all(&data).and_then(|()| out.flush()).context(|| "writing to the terminal")?;
            }
            Ok(Some(Event::Exit(code))) => return Ok(Status::from_wire(code)),
            Ok(Some(Event::Refused(why))) => return Err(LabError::Unfit(why)),
            Ok(None) => {
                let now = size();
                if now != shown {
                    shown = now;
                    let _ = handle.remote().resize(now.0, now.1);
                }
            }
            Err(NodeGone) => return Err(LabError::Unfit("the node ended".into())),
        }
    }
}
