//! `[pair.NAME]` of a TOML file: two nodes, who decides between them, and how carefully.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use zfs_core::name::DatasetName;

use super::super::job::FarEnd;
use super::super::job::Job;
use super::super::job::Limits;
use super::super::job::Link;
use super::super::key::Kind;
use super::super::pair::Decider;
use super::super::pair::Guards;
use super::super::pair::Pair;
use super::super::pair::Peer;
use super::super::pair::Watch;
use super::super::problem::Problems;
use super::super::problem::Severity;
use super::super::problem::shown;
use super::super::value::Command;
use super::super::value::Value;
use super::jobs::limits;
use super::jobs::link;
use super::policies::of_name;
use super::policies::patterns;
use super::reader::Field;
use super::reader::Fields;
use crate::endpoint::Endpoint;
use crate::endpoint::Machine;
use crate::plan::Options;
use crate::role::Role;

/// The longest name of a pair: it is in the names of files.
const LONGEST: usize = 40;

/// The words for those who decide.
const DECIDERS: [&str; 5] = ["proxmox", "pacemaker", "etcd", "command", "fixed"];

/// All pairs of a file.
pub(super) fn pairs(field: &Field<'_, '_>) -> Vec<Pair> {
    let Some(pairs) = field.table("[pair]") else { return Vec::new() };
    let mut all = Vec::new();
    for field in pairs.each() {
        let name = field.key.clone();
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > LONGEST || !name.chars().all(valid) {
            field.reader.error(
                &field.key_span,
                format!("\"{}\" is not the name of a pair", shown(&name)),
                format!("write 1 to {LONGEST} letters, digits, - and _; the same on both nodes"),
            );
            continue;
        }
        if let Some(fields) = field.table(format!("[pair.{name}]")) {
            all.extend(pair(name, fields));
        }
    }
    all
}

fn pair(name: String, fields: Fields<'_, '_>) -> Option<Pair> {
    let roots = roots(&fields);
    let node = node(&fields, "node");
    let peer = peer(&fields);
    if let (Some(here), Some(peer)) = (&node, &peer)
        && *here == peer.node
    {
        fields.error(
            format!("this node and its peer are both called {here}"),
            "write the other node's name as `node` of its `peer`",
        );
    }
    let decider = decider(&fields);
    let watch = watch(&fields);
    let guards = guards(&fields);
    let final_send = time(&fields, "final_send", 0, 86_400).unwrap_or(Duration::from_secs(60));
    let limits = limits(&fields, Limits::default());
    let datasets = patterns(&fields, None, "exclude");
    let place = fields.reader.place(&fields.span);
    fields.finish();
    let options = Options { recursive: true, datasets: datasets?, pair: true, ..Options::default() };
    Some(Pair {
        name,
        place,
        roots: roots?,
        node,
        peer: peer?,
        decider: decider?,
        watch,
        guards,
        final_send,
        options,
        limits,
    })
}

/// The roots, none of them in another.
fn roots(fields: &Fields<'_, '_>) -> Option<Vec<DatasetName>> {
    if fields.get("roots").is_none() {
        fields.error("the pair has no datasets", "add `roots = [\"POOL/DATASET\"]`, the same on both nodes");
        return None;
    }
    let texts = fields.texts("roots");
    let mut all: Vec<DatasetName> = Vec::new();
    let mut good = !texts.is_empty();
    for (text, span) in texts {
        let Some(name) = of_name(fields, text, &span) else {
            good = false;
            continue;
        };
        if let Some(other) = all.iter().find(|other| name.is_within(other) || other.is_within(&name)) {
            let (message, fix) = if *other == name {
                (format!("{name} is a root twice"), "remove one of the two")
            } else {
                (
                    format!("of the roots {other} and {name} one is in the other"),
                    "remove the inner one: a root is replicated with all that is below it",
                )
            };
            fields.reader.error(&span, message, fix);
            good = false;
        }
        all.push(name);
    }
    good.then_some(all)
}

/// The name of a node, as clusters write it.
fn node(fields: &Fields<'_, '_>, key: &'static str) -> Option<String> {
    let fix = "write the name alone, without a domain, as the cluster lists it";
    fields.parsed(key, fix, |text| {
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if text.contains('.') {
            return Err("it has a domain".to_string());
        }
        if text.is_empty() || text.len() > 63 || !text.chars().all(valid) {
            return Err("it is not the name of a node".to_string());
        }
        Ok(text.to_string())
    })
}

fn peer(fields: &Fields<'_, '_>) -> Option<Peer> {
    let Some(field) = fields.get("peer") else {
        fields
            .error("the pair has no other node", "add `peer = { node = \"NAME\", host = \"root@ADDRESS\" }`");
        return None;
    };
    let inner = field.table(format!("`peer` of {}", fields.name))?;
    if inner.get("node").is_none() {
        inner.error("the peer has no name", "add `node = \"NAME\"`, as the cluster lists it");
    }
    let node = node(&inner, "node");
    let host = inner.parsed("host", "write HOST or USER@HOST", |text| {
        text.parse::<Machine>().map_err(|error| error.to_string())
    });
    let given = inner.get("host").is_some();
    let base = Link { far_end: FarEnd::Agent, ..Link::default() };
    let link = link(&inner, &base, "ssh");
    if link.far_end != FarEnd::Agent {
        inner.error(
            "a pair needs our agent on both nodes, and `far_end` says something else",
            "remove `far_end`, and install the program there too",
        );
    }
    inner.finish();
    let node = node?;
    let machine = match host {
        Some(machine) => machine,
        None if given => return None,
        None => Machine { user: None, host: node.clone() },
    };
    Some(Peer { node, machine, link })
}

/// Who decides: one of the five.
fn decider(fields: &Fields<'_, '_>) -> Option<Decider> {
    let named: Vec<_> = DECIDERS.into_iter().filter(|word| fields.get(word).is_some()).collect();
    match named[..] {
        ["proxmox"] => proxmox(fields),
        ["pacemaker"] => pacemaker(fields),
        ["etcd"] => etcd(fields),
        ["command"] => command(fields),
        ["fixed"] => {
            let roles = [("active", Role::Active), ("standby", Role::Standby)];
            fields.choice("fixed", &roles).map(Decider::Fixed)
        }
        [] => {
            fields.error(
                "nobody decides which node has the service",
                "add one of `proxmox`, `pacemaker`, `etcd`, `command` and `fixed`, such as `proxmox = { guest = 103 }`",
            );
            None
        }
        _ => {
            let list: Vec<_> = named.iter().map(|word| format!("`{word}`")).collect();
            fields.error(
                format!("more than one decides which node has the service: {}", list.join(", ")),
                "keep one of them",
            );
            None
        }
    }
}

fn inner<'r, 't>(fields: &Fields<'r, 't>, key: &'static str) -> Option<Fields<'r, 't>> {
    fields.get(key)?.table(format!("`{key}` of {}", fields.name))
}

fn proxmox(fields: &Fields<'_, '_>) -> Option<Decider> {
    let inner = inner(fields, "proxmox")?;
    if inner.get("guest").is_none() {
        inner.error("no guest is named", "add `guest = 103`, the number of the container or virtual machine");
    }
    let guest = inner.number("guest", 100, 999_999_999);
    let files = path(&inner, "files").unwrap_or_else(|| PathBuf::from("/etc/pve"));
    let pvesh = path(&inner, "pvesh").unwrap_or_else(|| PathBuf::from("/usr/bin/pvesh"));
    inner.finish();
    Some(Decider::Proxmox { guest: guest?, files, pvesh })
}

fn path(fields: &Fields<'_, '_>, key: &'static str) -> Option<PathBuf> {
    fields.parsed(key, "write the path from the root on", |text| {
        if !text.starts_with('/') || text.contains('\0') {
            return Err("it is not an absolute path".to_string());
        }
        Ok(PathBuf::from(text))
    })
}

/// A text that becomes an argument of a program, or a key.
fn word(fields: &Fields<'_, '_>, key: &'static str, what: &str, fix: &str) -> Option<String> {
    if fields.get(key).is_none() {
        fields.error(format!("no {what} is named"), fix);
    }
    fields.parsed(key, fix, |text| {
        if text.is_empty() || text.len() > 200 || text.starts_with('-') || text.chars().any(char::is_control)
        {
            return Err(format!("it is not the name of a {what}"));
        }
        Ok(text.to_string())
    })
}

fn pacemaker(fields: &Fields<'_, '_>) -> Option<Decider> {
    let inner = inner(fields, "pacemaker")?;
    let resource = word(&inner, "resource", "resource", "add `resource = \"NAME\"`, as crm_mon lists it");
    inner.finish();
    Some(Decider::Pacemaker { resource: resource? })
}

fn etcd(fields: &Fields<'_, '_>) -> Option<Decider> {
    let inner = inner(fields, "etcd")?;
    let fix = "write the address and port of each member, such as [\"192.0.2.1:2379\"]; it is asked over plain HTTP";
    if inner.get("endpoints").is_none() {
        inner.error("no member of etcd is named", format!("add `endpoints`: {fix}"));
    }
    let texts = inner.texts("endpoints");
    let mut endpoints = Vec::new();
    for (text, span) in &texts {
        match text.parse::<SocketAddr>() {
            Ok(address) => endpoints.push(address),
            Err(_) => {
                inner.reader.error(span, format!("\"{}\" is not an address with a port", shown(text)), fix);
            }
        }
    }
    let key = word(&inner, "key", "key", "add `key = \"replicator/NAME\"`, the same on both nodes");
    let ttl = time(&inner, "ttl", 30, 7 * 86_400).unwrap_or(Duration::from_secs(1800));
    inner.finish();
    let whole = !endpoints.is_empty() && endpoints.len() == texts.len();
    whole.then_some(Decider::Etcd { endpoints, key: key?, ttl })
}

fn command(fields: &Fields<'_, '_>) -> Option<Decider> {
    let field = fields.get("command")?;
    match field.setting(Kind::Command)? {
        Value::Command(Command::Program(argv)) => Some(Decider::Command { argv }),
        _ => {
            field.reader.error(
                &field.value.span(),
                "`command` is run without a shell",
                "write a list, such as [\"/usr/local/bin/who-is-active\", \"nfs\"]",
            );
            None
        }
    }
}

fn watch(fields: &Fields<'_, '_>) -> Watch {
    let base = Watch::default();
    let Some(inner) = inner(fields, "watch") else { return base };
    let made = Watch {
        times: inner.number("times", 1, 20).unwrap_or(base.times),
        distance: time(&inner, "distance", 0, 600).unwrap_or(base.distance),
        timeout: time(&inner, "timeout", 1, 60).unwrap_or(base.timeout),
    };
    inner.finish();
    made
}

fn guards(fields: &Fields<'_, '_>) -> Guards {
    let base = Guards::default();
    let Some(inner) = inner(fields, "guards") else { return base };
    let percent = |key, base: u8| {
        inner.number(key, 0, 100).and_then(|number| u8::try_from(number).ok()).unwrap_or(base)
    };
    let made = Guards {
        source_below: percent("source_below", base.source_below),
        drift: percent("drift", base.drift),
        // "0" is any age, as everywhere.
        promote_age: inner.age("promote_age").filter(|age| *age > 0).map(Duration::from_secs),
    };
    inner.finish();
    made
}

/// A length of time within bounds, in seconds.
fn time(fields: &Fields<'_, '_>, key: &'static str, least: u64, most: u64) -> Option<Duration> {
    let seconds = fields.age(key)?;
    if (least..=most).contains(&seconds) {
        return Some(Duration::from_secs(seconds));
    }
    let span = fields.get(key).map_or(fields.span.clone(), |field| field.value.span());
    out_of_range(fields, &span, key, least, most);
    None
}

fn out_of_range(fields: &Fields<'_, '_>, span: &Range<usize>, key: &str, least: u64, most: u64) {
    fields.reader.error(
        span,
        format!("`{key}` is out of range"),
        format!("write something from \"{least}s\" to \"{most}s\""),
    );
}

/// What only shows when all pairs and jobs are seen together.
pub(super) fn across(pairs: &[Pair], jobs: &[Job], problems: &mut Problems) {
    let mut error = |pair: &Pair, message: String, fix: &str| {
        problems.at_place(Severity::Error, &pair.place, message, fix.to_string());
    };
    for (at, pair) in pairs.iter().enumerate() {
        if let Some(first) = pairs[..at].iter().find(|other| other.name == pair.name) {
            let message = format!("there is a pair `{}` already, at {}", pair.name, first.place);
            error(pair, message, "give one of the two another name");
        }
        for root in &pair.roots {
            let others = pairs[..at].iter().flat_map(|other| other.roots.iter().map(move |one| (other, one)));
            let mut meets = others.filter(|(_, one)| root.is_within(one) || one.is_within(root));
            if let Some((other, one)) = meets.next() {
                let message = format!("the root {root} meets the root {one} of the pair `{}`", other.name);
                error(pair, message, "keep each dataset in one pair");
            }
        }
    }
    for job in jobs {
        for pair in pairs {
            for message in meets(job, pair) {
                problems.at_place(
                    Severity::Error,
                    &job.place,
                    message,
                    "remove the job: a pair replicates its roots by itself, and only where its node is active".to_string(),
                );
            }
        }
    }
}

/// Where a job sends what a pair does, or sends into it.
fn meets(job: &Job, pair: &Pair) -> Vec<String> {
    let recursive = job.options.recursive;
    let ours = |end: &Endpoint| match &end.machine {
        None => true,
        Some(machine) => machine.host == pair.peer.machine.host || machine.host == pair.peer.node,
    };
    let root = |end: &Endpoint| {
        let within =
            |root: &&DatasetName| end.dataset.is_within(root) || (recursive && root.is_within(&end.dataset));
        pair.roots.iter().find(within).filter(|_| ours(end))
    };
    let mut all = Vec::new();
    if let Some(root) = root(&job.source) {
        let (name, pair) = (shown(&job.name), &pair.name);
        all.push(format!("the job `{name}` sends {root}, which is a root of the pair `{pair}`"));
    }
    for target in &job.targets {
        if let Some(root) = root(&target.endpoint) {
            let (name, pair) = (shown(&job.name), &pair.name);
            all.push(format!("the job `{name}` sends into {root}, which is a root of the pair `{pair}`"));
        }
    }
    all
}
