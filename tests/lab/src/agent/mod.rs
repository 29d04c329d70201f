//! The program that runs a node from inside: started by the root's `/init`, it sets the node up, then serves
//! commands over the second console. Process 1 only starts that server and collects orphans, because a server
//! that waited for all processes would steal each other's results.

mod command;
mod serve;
mod setup;

use rustix::process::{WaitOptions, wait};
use rustix::system::{RebootCommand, reboot};
use std::process::{Command, ExitCode};

/// `lab node-agent [serve]`: never called by people.
pub fn main(args: &[String]) -> ExitCode {
    match args.first().map(String::as_str) {
        None => init(),
        Some("serve") => match serve::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => {
                eprintln!("lab: the agent ends: {e}");
                ExitCode::FAILURE
            }
        },
        Some(other) => {
            eprintln!("lab: node-agent has no mode {other:?}");
            ExitCode::FAILURE
        }
    }
}

fn init() -> ExitCode {
    if !rustix::process::getpid().is_init() {
        eprintln!("node-agent is the first program of a lab node and does nothing anywhere else");
        return ExitCode::FAILURE;
    }
    let served = setup::run().and_then(|()| Command::new("/lab/agent").args(["node-agent", "serve"]).spawn());
    match served {
        Ok(server) => {
            while let Ok(Some((pid, _))) = wait(WaitOptions::empty()) {
                if pid.as_raw_nonzero().get() == server.id() as i32 {
                    break;
                }
            }
        }
        Err(e) => eprintln!("lab: the node cannot be set up: {e}"),
    }
    power_off();
    ExitCode::FAILURE
}

/// Ends the node.
fn power_off() {
    let _ = std::io::Write::flush(&mut std::io::stderr());
    rustix::fs::sync();
    let _ = reboot(RebootCommand::PowerOff);
}
