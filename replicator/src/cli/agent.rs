//! `replicator agent`.

use std::fs::File;
use std::io::IsTerminal;

use zfs_core::Zfs;
use zfs_core::name::DatasetName;
use zfs_core::name::PropertyName;

use super::Failure;
use super::Outcome;
use crate::agent::Class;
use crate::agent::DEFAULT_CLASSES;
use crate::agent::Limits;
use crate::agent::Listen;
use crate::agent::ServeError;
use crate::agent::serve;
use crate::codes::Code;
use crate::host::local::Local;
use crate::pair::NodeName;

const HELP: &str = "\
What the agent may do is decided here and by nothing that comes over the connection. On the target of backups, in
~/.ssh/authorized_keys of a user with rights on tank/backup:

  restrict,command=\"replicator agent --root tank/backup\" ssh-ed25519 AAAA… backup@source

With that, the key can list what is in tank/backup, receive into it, make bookmarks there, and throw away what a receive
that broke off has kept; it cannot destroy, roll back, rename or read out anything, nor start a shell. `replicator setup
receiver` writes such a line, with set-properties allowed as well, for a user without rights of its own, and gives it those
that a receiver needs. A source that another machine pulls from:

  restrict,command=\"replicator agent --root tank/data --allow list,send,bookmark\" ssh-ed25519 AAAA… backup@target

A target on which the copies of datasets that the source does not have any more are removed (replicate
--remove-gone-after) also needs --allow remove-gone, and one on which properties follow the source after a dataset was
made, --allow set-properties. One whose files are compared with the source's (compare --content) needs --allow read: sums of
files go over the connection, and their names, and nothing else that is in them. holds --release needs --allow release.

Properties that are set along with a receive are refused, except for those that can do no harm, such as readonly=on,
canmount=noauto, canmount=off, mountpoint=none, compression and recordsize; --property allows more, and --everywhere
with --allow all allows each.

Whatever is allowed, a dataset that belongs to a pair is only changed for the node that was promoted last, and never while
this node has it itself; it lets go of it only when the other one was promoted after it, and nothing is here alone.

Examples:
  replicator agent --root tank/backup
  replicator agent --root tank/data --allow list,send,bookmark";

/// Answer another replicator over standard input and output.
///
/// Started by the other machine over ssh. It starts no program and no shell, takes no notice of what the other machine
/// wanted to start, and writes nothing but answers.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// A dataset that may be asked for, with everything below it; may be given several times.
    #[arg(long = "root", value_name = "DATASET", required_unless_present = "everywhere")]
    roots: Vec<DatasetName>,
    /// Every dataset may be asked for.
    #[arg(long, conflicts_with = "roots")]
    everywhere: bool,
    /// What may be asked for.
    #[arg(long, value_name = "WHAT", value_delimiter = ',', default_values_t = DEFAULT_CLASSES.to_vec())]
    allow: Vec<Class>,
    /// A property that may be set to any value; may be given several times.
    #[arg(long = "property", value_name = "NAME")]
    properties: Vec<PropertyName>,
    /// Where it may listen for a TLS connection of the machine that started it, if that asks for one; without it nowhere.
    #[arg(long, value_name = "[ADDRESS:]PORT[-PORT]")]
    listen: Option<Listen>,
    /// The name of this node in pairs: what the other node wants of a node of another name is refused. Without it, it is
    /// the name that the other node has for this one.
    #[arg(long, value_name = "NAME")]
    node: Option<NodeName>,
}

impl Arguments {
    fn limits(&self) -> Limits {
        let limits = if self.everywhere { Limits::everywhere() } else { Limits::within(self.roots.clone()) };
        let properties = self.properties.iter().map(|name| name.as_str().to_string()).collect();
        let limits = limits.allowing(self.allow.clone()).with_properties(properties);
        let limits = limits.listening(self.listen.clone());
        match &self.node {
            Some(node) => limits.as_node(node.clone()),
            None => limits,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let (input, output) = (std::io::stdin(), std::io::stdout());
    if input.is_terminal() || output.is_terminal() {
        let message = "the agent talks to another replicator, not to a terminal";
        return Err(Failure::new(Outcome::Usage, message).hinted(
            "it is started over ssh; `replicator agent --help` shows how to allow that".to_string(),
        ));
    }
    // The unbuffered descriptors: what is read ahead is known to the agent, and a frame is written at once.
    let copy = |copied: rustix::io::Result<std::os::fd::OwnedFd>| {
        copied.map(File::from).map_err(|errno| {
            Failure::new(Code::Local, format!("cannot use standard input and output: {errno}"))
        })
    };
    let (input, output) = (copy(rustix::io::dup(&input))?, copy(rustix::io::dup(&output))?);
    let mut host = Local::new(Zfs::open()?);
    match serve(input, output, &mut host, &arguments.limits()) {
        Ok(()) => Ok(Outcome::Success),
        Err(error @ ServeError::Version { .. }) => Err(Failure::new(Outcome::Usage, error.to_string())),
        Err(error) => Err(Failure::new(Outcome::Connection, error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(line: &[&str]) -> Result<Arguments, clap::Error> {
        Line::try_parse_from(["agent"].iter().chain(line)).map(|line| line.arguments)
    }

    #[test]
    fn what_it_is_for_must_be_said() {
        assert!(parse(&[]).is_err());
        assert!(parse(&["--everywhere", "--root", "tank"]).is_err());
        for root in ["tank@x", "tank#x", "tank/", "tank/../x", "", "tank/%recv"] {
            assert!(parse(&["--root", root]).is_err(), "{root:?}");
        }
        assert_eq!(parse(&["--root", "tank/a", "--root", "tank/b"]).expect("two roots").roots.len(), 2);
        assert!(parse(&["--everywhere"]).expect("everywhere").everywhere);
    }

    #[test]
    fn nothing_is_taken_away_unless_it_is_said() {
        let arguments = parse(&["--root", "tank"]).expect("a root");
        assert_eq!(arguments.allow, [Class::List, Class::Receive, Class::Discard, Class::Bookmark]);
        let arguments = parse(&["--root", "tank", "--allow", "list,send"]).expect("two kinds");
        assert_eq!(arguments.allow, [Class::List, Class::Send]);
        assert!(parse(&["--root", "tank", "--allow", "list,everything"]).is_err());
        assert!(parse(&["--root", "tank", "--property", "a b"]).is_err());
    }

    #[test]
    fn what_the_asking_end_starts_is_a_command_line_of_ours() {
        let command = crate::host::agent::AgentCommand::default();
        let line: Vec<_> = command.arguments.iter().map(String::as_str).collect();
        assert_eq!(line[0], "agent");
        let arguments = parse(&line[1..]).expect("ours");
        assert!(arguments.everywhere && arguments.allow == [Class::All]);
    }
}
