//! `replicator pair resource-agent`: what Pacemaker calls, as a script on standard output, and what the script cannot find
//! out by another verb: whether this node has the service.

use std::path::PathBuf;

use zfs_core::name::DatasetName;

use super::Failure;
use super::Outcome;
use super::setup::Setup;
use super::setup::named;
use crate::cancel::Cancel;
use crate::cli;
use crate::cli::config::From;
use crate::codes::Code;
use crate::pair::NodeName;
use crate::pair::verbs::Mount;
use crate::pair::verbs::Node;
use crate::pair::verbs::Refused;
use crate::pair::verbs::look::Root;
use crate::pair::verbs::look::glance;

/// The script.
const SCRIPT: &str = include_str!("pair.sh");

/// Print an OCF resource agent for Pacemaker, by which a cluster promotes and demotes the nodes of a pair.
///
/// Its start promotes this node, or is refused with the reason, so that the cluster tries the other one; its stop demotes
/// it. Group it with the service that uses the datasets, which has to start after it and to stop before it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The pair, as the configuration calls it; with --monitor.
    #[arg(value_name = "PAIR", requires = "monitor")]
    pair: Option<String>,

    /// Print nothing, and tell by the status whether this node has the service: 0 if all datasets are writable and mounted
    /// here, 9 if none is, 1 if something in between.
    #[arg(long, requires = "pair")]
    monitor: bool,

    #[command(flatten)]
    from: From,
}

const EXAMPLES: &str = "\
Examples:
  mkdir -p /usr/lib/ocf/resource.d/replicator
  replicator pair resource-agent > /usr/lib/ocf/resource.d/replicator/pair
  chmod 755 /usr/lib/ocf/resource.d/replicator/pair
  pcs resource create nfs-data ocf:replicator:pair pair=nfs
  replicator pair resource-agent nfs --monitor";

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    if !arguments.monitor {
        cli::print(SCRIPT)?;
        return Ok(Outcome::Success);
    }
    let (config, _) = arguments.from.usable()?;
    let pair = named(&config, arguments.pair.as_deref())?.clone();
    let mut setup = Setup::of(config.folders.state.clone(), pair, cancel)?;
    let side = glance(setup.node.host(), setup.name.as_str(), &setup.pair.roots)?;
    let mounts = setup.node.mounts()?;
    let mut states = Vec::new();
    for root in &side.roots {
        let state = state(root, &mounts, &setup.name)
            .map_err(|refused| Failure::new(Code::NotMounted, refused.to_string()).hinted(refused.hint()))?;
        states.push(state);
    }
    Ok(match states.as_slice() {
        all if all.iter().all(|one| *one == State::Up) => Outcome::Success,
        all if all.iter().all(|one| *one == State::Down) => Outcome::NoRole,
        _ => {
            let one = |(root, state): (&Root, &State)| format!("{} is {}", root.name, state.word());
            let all: Vec<_> = side.roots.iter().zip(&states).map(one).collect();
            return Err(Failure::new(Code::NotMounted, all.join(", ")));
        }
    })
}

/// How a root is on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Promoted, writable and mounted.
    Up,
    /// Nothing of it can be written to.
    Down,
    Between,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Up => "active here",
            Self::Down => "not active here",
            Self::Between => "neither wholly active here nor not at all",
        }
    }
}

fn state(root: &Root, mounts: &[Mount], node: &NodeName) -> Result<State, Refused> {
    let held = root.epoch().is_some_and(|epoch| epoch.holder == *node);
    let places = root.places_by_properties()?;
    let is_there = |(dataset, at): (&DatasetName, &PathBuf)| {
        let on_top = mounts.iter().rev().find(|mount| mount.at == *at);
        on_top.is_some_and(|mount| mount.dataset == *dataset && mount.writable)
    };
    let writable = !root.properties.is_empty() && root.value(&root.name, "readonly") != "on";
    if held && writable && places.iter().all(is_there) {
        return Ok(State::Up);
    }
    let any = mounts.iter().any(|mount| mount.writable && mount.dataset.is_within(&root.name));
    Ok(if any { State::Between } else { State::Down })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Command;

    use zfs_core::Guid;

    use super::*;
    use crate::host::Properties;
    use crate::host::Property;
    use crate::host::PropertySource;
    use crate::pair::Belief;
    use crate::pair::Epoch;

    /// What the agent does: its status, what it prints, and what it had done.
    fn call(folder: &Path, action: &str, status: u8, settings: &[(&str, &str)]) -> (i32, String, String) {
        let (agent, binary, log) = (folder.join("pair"), folder.join("replicator"), folder.join("log"));
        std::fs::write(&agent, SCRIPT).expect("written");
        let fake = format!("#!/bin/sh\necho \"$@\" >> {}\nexit {status}\n", log.display());
        std::fs::write(&binary, fake).expect("written");
        std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).expect("set");
        let _ = std::fs::remove_file(&log);
        let mut command = Command::new("/bin/sh");
        command.arg(&agent).arg(action).env("OCF_RESKEY_binary", &binary).envs(settings.iter().copied());
        let output = command.output().expect("sh");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().expect("a status"), said, std::fs::read_to_string(&log).unwrap_or_default())
    }

    #[test]
    fn the_agent_calls_the_verbs_and_answers_as_pacemaker_understands_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let pair = [("OCF_RESKEY_pair", "nfs")];
        for (action, status, expected, done) in [
            ("start", 0, 0, "pair promote nfs\n"),
            // Refused: the cluster tries the other node.
            ("start", 3, 1, "pair promote nfs\n"),
            ("start", 7, 1, "pair promote nfs\n"),
            ("stop", 0, 0, "pair demote nfs\n"),
            ("stop", 5, 1, "pair demote nfs\n"),
            ("monitor", 0, 0, "pair resource-agent nfs --monitor\n"),
            ("monitor", 9, 7, "pair resource-agent nfs --monitor\n"),
            // What is not known is not stopped.
            ("monitor", 1, 1, "pair resource-agent nfs --monitor\n"),
            ("monitor", 7, 1, "pair resource-agent nfs --monitor\n"),
            ("validate-all", 0, 0, ""),
            ("promote", 0, 3, ""),
        ] {
            let (code, _, log) = call(folder.path(), action, status, &pair);
            assert_eq!((code, log.as_str()), (expected, done), "{action} {status}");
        }
        let named = [("OCF_RESKEY_pair", "nfs"), ("OCF_RESKEY_config", "/srv/a b.toml")];
        let (_, _, log) = call(folder.path(), "start", 0, &named);
        assert_eq!(log, "pair promote nfs --config /srv/a b.toml\n");
        assert_eq!(call(folder.path(), "start", 0, &[]).0, 6, "no pair is named");
        let missing = [("OCF_RESKEY_pair", "nfs"), ("OCF_RESKEY_binary", "/no/such/program")];
        assert_eq!(call(folder.path(), "start", 0, &missing).0, 5);
    }

    /// A root with a child, a volume, and what was set aside.
    fn root(epoch: Belief, readonly: &str) -> Root {
        let property = |value: &str, source| Property { value: value.to_string(), source };
        let one = |dataset: &str, of: &[(&str, &str)]| {
            let of =
                of.iter().map(|(name, value)| (name.to_string(), property(value, PropertySource::Local)));
            (dataset.parse().expect("a name"), of.collect())
        };
        Root {
            name: "tank/a".parse().expect("a name"),
            pool: Guid(1),
            tree: None,
            properties: Properties::from([
                one("tank/a", &[("mountpoint", "/a"), ("readonly", readonly)]),
                one("tank/a/x", &[("mountpoint", "/x")]),
                one("tank/a/off", &[("canmount", "off")]),
                one("tank/a/vol", &[("volsize", "1048576")]),
                one("tank/a/x-divergent-1", &[("mountpoint", "/x")]),
            ]),
            belief: epoch,
            above: None,
        }
    }

    #[test]
    fn a_node_has_the_service_where_all_is_mounted_and_can_be_written_to() {
        let mount = |dataset: &str, at: &str, writable| Mount {
            dataset: dataset.parse().expect("a name"),
            at: at.into(),
            writable,
        };
        let held = |holder: &str| {
            let holder = holder.parse().expect("a name");
            Belief::Known(Epoch { number: 3, holder, pool: Guid(1) })
        };
        let both = |writable| vec![mount("tank/a", "/a", writable), mount("tank/a/x", "/x", writable)];
        let hidden = [both(true), vec![mount("other", "/x", false)]].concat();
        let foreign = vec![mount("tank/b", "/b", true)];
        let absent = Root { properties: Properties::new(), ..root(Belief::None, "off") };
        for (root, mounts, expected) in [
            (root(held("a"), "off"), both(true), State::Up),
            (root(held("a"), "off"), both(true)[..1].to_vec(), State::Between),
            (root(held("a"), "off"), hidden, State::Between),
            // As after a power cut.
            (root(held("a"), "off"), vec![], State::Down),
            (root(held("a"), "on"), both(false), State::Down),
            (root(held("b"), "on"), foreign, State::Down),
            // Somebody mounted it on the standby.
            (root(held("b"), "off"), both(true), State::Between),
            (root(Belief::None, "off"), vec![], State::Down),
            (absent, vec![], State::Down),
        ] {
            let name = "a".parse().expect("a name");
            assert_eq!(state(&root, &mounts, &name).expect("known"), expected, "{root:?} {mounts:?}");
        }
    }

    #[test]
    fn the_agent_describes_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let (code, said, log) = call(folder.path(), "meta-data", 1, &[]);
        assert_eq!((code, log.as_str()), (0, ""));
        for piece in ["<resource-agent name=\"pair\"", "<parameter name=\"pair\"", "</resource-agent>"] {
            assert!(said.contains(piece), "{piece}");
        }
        for action in ["start", "stop", "monitor", "validate-all", "meta-data"] {
            assert!(said.contains(&format!("<action name=\"{action}\"")), "{action}");
        }
        // Each element that is opened is closed.
        let opened = said.matches('<').count() - said.matches("</").count() - said.matches("<?").count();
        let opened = opened - said.matches("<!").count() - said.matches("/>").count();
        assert_eq!(opened, said.matches("</").count());
    }
}
