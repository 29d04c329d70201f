//! The shapes that Proxmox VE answers in: two files of pmxcfs, and two answers of `pvesh`. What is not there is an error
//! with its reason; nothing is read into it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::super::super::observation::Ha;
use super::super::super::observation::Quorum;

/// `.vmlist`: every guest of the cluster with its node.
#[derive(Deserialize)]
struct VmList {
    ids: BTreeMap<String, VmEntry>,
}

#[derive(Deserialize)]
struct VmEntry {
    node: String,
    #[serde(rename = "type")]
    kind: String,
}

/// `.members`: the cluster as this node sees it.
#[derive(Deserialize)]
struct Members {
    nodename: String,
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
struct Cluster {
    quorate: Value,
}

/// A guest in the list of resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Guest {
    /// Its node.
    pub(super) node: String,
    /// It is locked because it is being moved.
    pub(super) migrating: bool,
    /// HA manages it.
    pub(super) managed: bool,
}

/// What the HA stack says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HaStatus {
    /// Whether this node is in the majority.
    pub(super) quorum: Quorum,
    /// Whether nodes are fenced.
    pub(super) armed: Result<Ha, String>,
    /// The guest, if HA manages it.
    pub(super) service: Option<Service>,
}

/// A guest that HA manages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// The node on which HA has it.
    pub(super) node: Option<String>,
    /// It is on its way to another node, or has to be fetched from a dead one.
    pub(super) moving: bool,
}

/// The state of a guest that HA was told to leave alone.
const IGNORED: &str = "ignored";

/// States of a managed guest in which its node changes.
const MOVING: [&str; 4] = ["migrate", "relocate", "fence", "recovery"];

fn wrong(error: &serde_json::Error) -> String {
    format!("it is not of the known shape: {error}")
}

/// A yes or no, which is a number in most places and a word in some.
fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(yes) => Some(*yes),
        Value::Number(number) => match number.as_u64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.as_str() {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        },
        _ => None,
    }
}

fn quorum(value: &Value) -> Result<Quorum, String> {
    match flag(value) {
        Some(true) => Ok(Quorum::Quorate),
        Some(false) => Ok(Quorum::Lost),
        None => Err(format!("`quorate` is {}", cut(&value.to_string()))),
    }
}

/// What others wrote, for a message.
fn cut(text: &str) -> String {
    crate::transport::printable(text.as_bytes(), 80)
}

/// The node of a guest.
pub(super) fn vmlist(text: &[u8], guest: u32) -> Result<String, String> {
    let list: VmList = serde_json::from_slice(text).map_err(|error| wrong(&error))?;
    match list.ids.get(&guest.to_string()) {
        None => Err(format!("it has no guest {guest}")),
        Some(entry) if !matches!(entry.kind.as_str(), "lxc" | "qemu") => {
            Err(format!("the guest {guest} is of the unknown type {}", cut(&entry.kind)))
        }
        Some(entry) => node(&entry.node),
    }
}

/// The majority, where this node is called so.
pub(super) fn members(text: &[u8], here: &str) -> Result<Quorum, String> {
    let members: Members = serde_json::from_slice(text).map_err(|error| wrong(&error))?;
    if members.nodename != here {
        let found = cut(&members.nodename);
        return Err(format!(
            "this node is called {found} there, and {here} in the configuration: set `node`"
        ));
    }
    let cluster =
        members.cluster.ok_or("this machine is in no cluster, so nobody decides where a guest runs")?;
    quorum(&cluster.quorate)
}

/// A guest in the answer to `/cluster/resources`.
pub(super) fn resources(text: &[u8], guest: u32) -> Result<Guest, String> {
    let all: Vec<Value> = serde_json::from_slice(text).map_err(|error| wrong(&error))?;
    let mut found = all.iter().filter(|one| one.get("vmid").and_then(Value::as_u64) == Some(guest.into()));
    let one = found.next().ok_or_else(|| {
        format!("guest {guest} is not in it: it does not exist, or this user may not see it (VM.Audit)")
    })?;
    if found.next().is_some() {
        return Err(format!("guest {guest} is in it twice"));
    }
    let text = |key| one.get(key).and_then(Value::as_str);
    Ok(Guest {
        node: node(text("node").ok_or("the guest has no node")?)?,
        migrating: text("lock") == Some("migrate"),
        managed: text("hastate").is_some_and(|state| state != IGNORED),
    })
}

/// The answer to `/cluster/ha/status/current`.
pub(super) fn ha(text: &[u8], guest: u32) -> Result<HaStatus, String> {
    let all: Vec<Value> = serde_json::from_slice(text).map_err(|error| wrong(&error))?;
    let text = |one: &Value, key| one.get(key).and_then(Value::as_str).map(str::to_string);
    let of_type =
        |kind: &'static str| all.iter().filter(move |one| text(one, "type").as_deref() == Some(kind));
    let quorate =
        of_type("quorum").find_map(|one| one.get("quorate")).ok_or("it says nothing about a quorum")?;
    // Where nobody says so there is no way yet to disarm it.
    let armed = match all.iter().find_map(|one| text(one, "armed-state")).as_deref() {
        None | Some("armed") => Ok(Ha::Armed),
        Some("disarmed" | "disarming") => Ok(Ha::Disarmed),
        Some(other) => Err(format!("HA says that it is {}", cut(other))),
    };
    let ids = [format!("ct:{guest}"), format!("vm:{guest}")];
    let state = |one: &Value| text(one, "crm_state").or_else(|| text(one, "state")).unwrap_or_default();
    let service = of_type("service")
        .find(|one| text(one, "sid").is_some_and(|sid| ids.contains(&sid)))
        .filter(|one| state(one) != IGNORED);
    let service = service.map(|one| {
        let moving = MOVING.contains(&state(one).as_str());
        text(one, "node").map(|name| node(&name)).transpose().map(|node| Service { node, moving })
    });
    Ok(HaStatus { quorum: quorum(quorate)?, armed, service: service.transpose()? })
}

/// The name of a node, if it can be one.
fn node(name: &str) -> Result<String, String> {
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if name.is_empty() || name.len() > 63 || !name.chars().all(valid) {
        return Err(format!("\"{}\" is not the name of a node", cut(name)));
    }
    Ok(name.to_string())
}
