//! What a node is after an event: its role by its own judgement, and its datasets with their epochs and snapshots.

use std::collections::BTreeMap;
use std::time::Duration;

use lab::Node;

use super::mask::mask;

/// A dataset of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dataset {
    /// Epoch, writable or not, mounted or not, in words.
    said: String,
    /// Names and GUIDs of its snapshots, oldest first.
    pub(super) snapshots: Vec<(String, String)>,
}

/// A node that is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) role: String,
    pub(super) reasons: String,
    pub(super) datasets: BTreeMap<String, Dataset>,
}

/// A node may be slow, and how long an answer takes is not the matter of these tests.
const PATIENCE: Duration = Duration::from_secs(600);

/// Both nodes, by their names in the cluster; nothing for one that is off.
pub(super) type Both = BTreeMap<String, Option<Seen>>;

/// A line for each of these properties of each dataset and snapshot.
const LIST: &str = "zfs get -Hp -r -t filesystem,volume,snapshot -o name,property,value,source \
     readonly,mounted,keystatus,guid,createtxg,replicator:epoch zpool1";

/// Its role by its own judgement, and why.
pub(super) fn role(node: &Node) -> (String, String) {
    let script = node.script("replicator pair role nfs --once --json");
    let output = script.limit(PATIENCE).run().expect("the node answers");
    let json: serde_json::Value = serde_json::from_str(&output.out())
        .unwrap_or_else(|error| panic!("{error}: {}{}", output.out(), output.err()));
    let found = &json["pairs"][0];
    let word = found["role"].as_str().expect("a role").to_string();
    let sure = ["active", "standby"].contains(&word.as_str());
    assert_eq!(output.code(), if sure { 0 } else { 9 }, "{word}: {}", output.err());
    let reasons = found["reasons"].as_array().expect("reasons").iter();
    let reasons: Vec<_> = reasons.map(|one| mask(one["text"].as_str().expect("a text"))).collect();
    (word, reasons.join("; "))
}

/// Looks at the datasets of a node.
pub(super) fn datasets(node: &Node) -> BTreeMap<String, Dataset> {
    let list = node.script(LIST).limit(PATIENCE).check().expect("the pool is listed");
    read(&list.out())
}

fn read(text: &str) -> BTreeMap<String, Dataset> {
    let mut all: BTreeMap<&str, BTreeMap<&str, (&str, &str)>> = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let [name, property, value, source] = fields.as_slice() else { panic!("what is {line:?}?") };
        all.entry(name).or_default().insert(property, (value, source));
    }
    let mut found = BTreeMap::new();
    let is_dataset = |name: &&str| name.contains('/') && !name.contains('@');
    for name in all.keys().filter(|name| is_dataset(name)) {
        let value = |property: &str| all[name].get(property).map_or("-", |(value, _)| *value);
        let mut said = vec![if value("readonly") == "on" { "read-only" } else { "writable" }];
        said.extend((value("mounted") == "yes").then_some("mounted"));
        said.extend((value("keystatus") == "unavailable").then_some("no key"));
        let mut snapshots: Vec<(u64, String, String)> = all
            .iter()
            .filter_map(|(snapshot, values)| {
                let (dataset, short) = snapshot.split_once('@').filter(|(dataset, _)| dataset == name)?;
                assert!(!dataset.is_empty());
                let number = values["createtxg"].0.parse().expect("a number");
                Some((number, short.to_string(), values["guid"].0.to_string()))
            })
            .collect();
        snapshots.sort_unstable();
        let snapshots = snapshots.into_iter().map(|(_, short, guid)| (short, guid)).collect();
        let epoch =
            all[name].get("replicator:epoch").filter(|(_, source)| ["local", "received"].contains(source));
        let epoch = epoch.map_or_else(String::new, |(value, source)| {
            let mut parts = value.split(':').skip(1);
            let (number, holder) = (parts.next().unwrap_or("?"), parts.next().unwrap_or("?"));
            let strange = if *source == "local" { "" } else { " (received)" };
            format!("epoch {number} of {holder}{strange}, ")
        });
        let said = format!("{epoch}{}", said.join(", "));
        found.insert((*name).to_string(), Dataset { said, snapshots });
    }
    found
}

impl Seen {
    /// Whether its epochs, or who may write, are others than these.
    pub(super) fn differs(&self, datasets: &BTreeMap<String, Dataset>) -> bool {
        let said = |all: &BTreeMap<String, Dataset>| {
            all.iter().map(|(name, one)| (name.clone(), one.said.clone())).collect::<Vec<_>>()
        };
        said(&self.datasets) != said(datasets)
    }

    /// For the log.
    pub(super) fn lines(&self, name: &str) -> Vec<String> {
        let mut lines = vec![format!("{name}: {} ({})", self.role, self.reasons)];
        for (dataset, found) in &self.datasets {
            lines.push(format!("  {dataset}: {}{}", found.said, shown(&found.snapshots)));
        }
        lines
    }
}

/// Names that are alike without their times are counted.
fn shown(snapshots: &[(String, String)]) -> String {
    let mut groups: Vec<(String, usize)> = Vec::new();
    for (short, _) in snapshots {
        let short = mask(short);
        match groups.last_mut().filter(|(last, _)| *last == short) {
            Some((_, count)) => *count += 1,
            None => groups.push((short, 1)),
        }
    }
    let word = |(short, count): &(String, usize)| match count {
        1 => format!(" @{short}"),
        count => format!(" @{short} x {count}"),
    };
    groups.iter().map(word).collect()
}
