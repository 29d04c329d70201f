//! A command of the user's: 0 says that the service is here, 1 that it is on the other node, and anything else that it
//! does not know. What it prints is only repeated where it does not know. No shell runs it.

use std::path::PathBuf;
use std::time::Duration;

use super::super::ask::Question;
use super::super::ask::ask;
use super::super::decide::Names;
use super::super::observation::Owner;
use super::super::observation::Reading;
use super::super::observation::Seen;
use super::Source;
use crate::cancel::Cancel;

/// Runs it.
pub(super) struct Command {
    argv: Vec<String>,
    names: Names,
    timeout: Duration,
}

impl Command {
    pub(super) fn new(argv: Vec<String>, names: Names, timeout: Duration) -> Self {
        Self { argv, names, timeout }
    }

    fn owner(&self, cancel: &Cancel) -> Result<Owner, String> {
        let (program, arguments) = self.argv.split_first().ok_or("there is no command")?;
        let path = PathBuf::from(program);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let question = Question { program: &path, arguments: &arguments };
        let answer = ask(&[question], self.timeout, cancel).pop().ok_or("nobody was asked")?;
        let answer = answer.map_err(|why| format!("{program}: {why}"))?;
        match answer.status.code() {
            Some(0) => Ok(Owner::Here),
            Some(1) => Ok(Owner::Node(self.names.peer.clone())),
            _ => Err(answer.good().map_or_else(|why| format!("{program}: {why}"), |_| String::new())),
        }
    }
}

impl Source for Command {
    fn observe(&mut self, cancel: &Cancel) -> Reading {
        Reading::of_owner(Seen::from(self.owner(cancel)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(line: &str, timeout: u64) -> Seen<Owner> {
        let names = Names { here: "a".to_string(), peer: "b".to_string() };
        let argv = ["/bin/sh", "-c", line].map(str::to_string).to_vec();
        Command::new(argv, names, Duration::from_secs(timeout)).observe(&Cancel::new()).owner
    }

    #[test]
    fn only_two_statuses_mean_anything() {
        assert_eq!(says("exit 0", 60), Seen::Known(Owner::Here));
        assert_eq!(says("exit 1", 60), Seen::Known(Owner::Node("b".to_string())));
        for line in ["echo why >&2; exit 2", "exit 127", "kill -9 $$"] {
            assert!(says(line, 60).known().is_none(), "{line}");
        }
        assert!(says("echo why >&2; exit 2", 60).why().is_some_and(|why| why.ends_with("status 2: why")));
        assert!(says("sleep 1000", 1).why().is_some_and(|why| why.ends_with("did not answer in 1 s")));
        let names = Names { here: "a".to_string(), peer: "b".to_string() };
        for argv in [vec![], vec!["/no/such/program".to_string()]] {
            let mut command = Command::new(argv, names.clone(), Duration::from_secs(60));
            assert!(command.observe(&Cancel::new()).owner.known().is_none());
        }
    }
}
