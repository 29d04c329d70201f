//! The front end `syncoid` beside the real syncoid 2.3, on equal pools: the same snapshots, bookmarks, holds, clones and
//! statuses, but for the mistakes that are mended.

mod alike;
mod case;
mod far;
mod fixes;
mod options;

use lab::Cluster;
use lab::Node;

pub(crate) use crate::support::sh;

/// The real one, by its path.
pub(crate) const REAL: &str = "/opt/sanoid/usr/sbin/syncoid";

/// The two pools, each with the program that works on it.
pub(crate) const BOTH: [(&str, &str); 2] = [("ours", "syncoid"), ("real", REAL)];

/// A node with the pool `ours` and the pool `real`.
pub(crate) fn pools() -> Cluster {
    let cluster = Cluster::boot(1).expect("a node boots");
    for (pool, disk) in [("ours", "/dev/ubdb"), ("real", "/dev/ubdc")] {
        sh(cluster.node(1), &format!("zpool create -O mountpoint=none {pool} {disk}"));
    }
    cluster
}

/// All that is in a dataset and below it: names without the time of syncoid's own snapshots, and which of them have the
/// same GUID, origins, holds, receives that broke off, and properties that were set or received.
pub(crate) fn state(node: &Node, pool: &str, dataset: &str) -> Vec<String> {
    let script = format!(
        "zfs list -Hp -s createtxg -t filesystem,volume,snapshot,bookmark \
             -o name,type,guid,origin,receive_resume_token -r {pool}/{dataset} | sed 's/^/L\\t/'
         zfs list -Hp -t snapshot -o userrefs,name -r {pool}/{dataset} | grep -v '^0' | cut -f 2 |
         while IFS= read -r s; do zfs holds -H \"$s\" | cut -f 1,2 | sed 's/^/H\\t/'; done
         zfs get -Hp -s local,received -t filesystem,volume -o name,property,value,source -r all {pool}/{dataset} |
         sed 's/^/P\\t/'"
    );
    let output = node.sh(&script).and_then(lab::Output::ok).expect("listed").out();
    // Where only the time makes two names differ, their order does.
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    let mut short = std::collections::BTreeMap::<String, String>::new();
    let mut rows = Vec::new();
    for line in output.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        match fields[..] {
            ["L", name, kind, guid, origin, token] => {
                let masked = mask(name.strip_prefix(pool).expect("of the pool"));
                let count = seen.entry(masked.clone()).or_default();
                *count += 1;
                let unique = format!("{masked} {count}");
                short.insert(name.to_string(), unique.clone());
                rows.push((unique, kind.to_string(), guid.to_string(), origin.to_string(), token.len() > 1));
            }
            ["H" | "P", ..] => {}
            _ => panic!("{line:?}"),
        }
    }
    rows.sort();
    let mut classes = std::collections::BTreeMap::<String, String>::new();
    let mut all: Vec<String> = rows
        .iter()
        .map(|(name, kind, guid, origin, partial)| {
            let same = classes.entry(guid.clone()).or_insert_with(|| name.clone());
            let origin = short.get(origin).map_or("-", String::as_str);
            let partial = if *partial { " partial" } else { "" };
            format!("{name} {kind} = {same} of {origin}{partial}")
        })
        .collect();
    for line in output.lines().filter_map(|line| line.strip_prefix("H\t")) {
        let (name, tag) = line.split_once('\t').expect("a tag");
        all.push(format!("{} held by {tag}", short.get(name).expect("listed")));
    }
    for line in output.lines().filter_map(|line| line.strip_prefix("P\t")) {
        let (name, set) = line.split_once('\t').expect("a property");
        let (property, value) = set.split_once('\t').expect("a value");
        let value = value.replace(pool, "POOL").replace('\t', " ");
        all.push(format!("{} {property}={value}", short.get(name).expect("listed")));
    }
    all.sort();
    all
}

/// What was told with `INFO`, without what differs from pool to pool, and without our own lines.
pub(crate) fn told(pool: &str, out: &str) -> Vec<String> {
    let ours = ["rolling back to", "destroying "];
    let lines = out.lines().filter(|line| line.starts_with("INFO: "));
    let lines = lines.filter(|line| !ours.iter().any(|one| line.contains(one)));
    // The real one tries to resume what it cannot, and then throws it away as ours does.
    let lines = lines.filter(|line| !line.contains("(~ UNKNOWN remaining)"));
    // What it dumps has a form of its own.
    let lines = lines.filter(|line| !line.starts_with("INFO: $VAR1"));
    let mut told: Vec<String> = lines
        .map(|line| {
            let line = line.replace(&format!("{pool}/"), "POOL/");
            // How much it is: both ask ZFS, and round in their own way.
            let line = match (line.find("(~ "), line.rfind(')')) {
                (Some(from), Some(to)) if from < to => format!("{}(SIZE){}", &line[..from], &line[to + 1..]),
                _ => line,
            };
            let words =
                line.split(' ').map(|word| match word.rfind("_20").filter(|_| word.contains("syncoid_")) {
                    Some(at) => format!("{}_TIME", &word[..at]),
                    None => word.to_string(),
                });
            words.collect::<Vec<_>>().join(" ")
        })
        .collect();
    // It announces once more what it tries again.
    told.dedup();
    told
}

/// Without the time of a snapshot that syncoid took.
fn mask(name: &str) -> String {
    let Some((head, short)) = name.split_once(['@', '#']) else { return name.to_string() };
    let sign = &name[head.len()..=head.len()];
    match short.rfind("_20").filter(|_| short.starts_with("syncoid_") && !short.contains("other")) {
        // What follows the time of a bookmark are digits of its GUID.
        Some(at) => format!("{head}{sign}{}_TIME", &short[..at]),
        None if sign == "#" => format!("{head}{sign}{}", without_digits(short)),
        None => name.to_string(),
    }
}

/// A bookmark whose name was taken has six digits more.
fn without_digits(short: &str) -> String {
    match short.len().checked_sub(6).filter(|at| *at > 1 && short.is_char_boundary(*at)) {
        Some(at) if short[at..].bytes().all(|c| c.is_ascii_digit()) => format!("{}GUID", &short[..at]),
        _ => short.to_string(),
    }
}
