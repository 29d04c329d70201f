//! Pacemaker: the node on which a resource runs, or is promoted, by `crm_mon`, which knows the majority as well, and by
//! `crm_resource`. Both answer in XML, whose schema Pacemaker keeps. Where nodes are not managed, as in maintenance, and
//! where the cluster goes on without a majority, a location proves nothing.

use std::path::PathBuf;
use std::time::Duration;

use roxmltree::Document;
use roxmltree::Node;

use super::super::ask::Answer;
use super::super::ask::Question;
use super::super::ask::ask;
use super::super::decide::Names;
use super::super::observation::Glance;
use super::super::observation::Ha;
use super::super::observation::Owner;
use super::super::observation::Quorum;
use super::super::observation::Reading;
use super::super::observation::Seen;
use super::Source;
use crate::cancel::Cancel;

/// Where a resource of a pair is.
pub(super) struct Pacemaker {
    resource: String,
    crm_mon: PathBuf,
    crm_resource: PathBuf,
    names: Names,
    timeout: Duration,
}

impl Pacemaker {
    pub(super) fn new(resource: String, names: Names, timeout: Duration) -> Self {
        let (crm_mon, crm_resource) = (PathBuf::from("crm_mon"), PathBuf::from("crm_resource"));
        Self { resource, crm_mon, crm_resource, names, timeout }
    }

    /// The whole state, with resources that run nowhere.
    fn state(&self) -> Question<'_> {
        Question { program: &self.crm_mon, arguments: &["--output-as=xml", "--inactive"] }
    }

    fn read(&self, state: Result<Answer, String>) -> Reading {
        let text = state.and_then(Answer::good).and_then(|text| parsed(text, "crm_mon"));
        let read = text.and_then(|text| with(&text, |root| reading(root, &self.resource, &self.names)));
        read.unwrap_or_else(|why| Reading::unknown(&format!("crm_mon: {why}")))
    }
}

fn parsed(text: Vec<u8>, what: &str) -> Result<String, String> {
    String::from_utf8(text).map_err(|_| format!("the answer of {what} is no text"))
}

/// Looks at a document whose outermost element says that the command succeeded.
fn with<T>(text: &str, look: impl FnOnce(Node<'_, '_>) -> Result<T, String>) -> Result<T, String> {
    let document = Document::parse(text).map_err(|error| format!("the answer is no XML: {error}"))?;
    let root = document.root_element();
    let status = child(root, "status").ok_or("the answer says nothing about its success")?;
    if status.attribute("code") != Some("0") {
        return Err(format!("it failed: {}", status.attribute("message").unwrap_or("without a reason")));
    }
    look(root)
}

impl Source for Pacemaker {
    fn observe(&mut self, cancel: &Cancel) -> Reading {
        let arguments = ["--output-as=xml", "--locate", "--resource", &self.resource];
        let locate = Question { program: &self.crm_resource, arguments: &arguments };
        let answers = ask(&[self.state(), locate], self.timeout, cancel);
        let lost = || Err("it was not asked".to_string());
        let [state, located] = answers.try_into().unwrap_or_else(|_| [lost(), lost()]);
        let mut reading = self.read(state);
        let located = located.and_then(Answer::good).and_then(|text| parsed(text, "crm_resource"));
        let located = located.and_then(|text| with(&text, |root| self::located(root, &self.names)));
        let located = Seen::from(located.map_err(|why| format!("crm_resource: {why}")));
        reading.owner = reading.owner.and(located, |one: &Owner, two: &Owner| {
            format!("crm_mon says that the resource is {one}, and crm_resource says {two}")
        });
        reading
    }

    fn glance(&mut self, cancel: &Cancel) -> Glance {
        let answer = ask(&[self.state()], self.timeout, cancel).pop();
        self.read(answer.unwrap_or_else(|| Err("it was not asked".to_string()))).into()
    }
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn yes(node: Node<'_, '_>, key: &str) -> bool {
    node.attribute(key) == Some("true")
}

/// The one node of a list, which may be empty.
fn only(names: &Names, nodes: &[&str]) -> Result<Owner, String> {
    match nodes {
        [] => Ok(Owner::Nowhere),
        [one] => Ok(names.owner(one)),
        many => Err(format!("the resource is on more than one node: {}", many.join(", "))),
    }
}

/// What `crm_mon` says.
fn reading(root: Node<'_, '_>, resource: &str, names: &Names) -> Result<Reading, String> {
    let summary = child(root, "summary").ok_or("the cluster is not running here")?;
    let options =
        child(summary, "cluster_options").ok_or("it says nothing about the options of the cluster")?;
    let nodes = child(root, "nodes").ok_or("it lists no nodes")?;
    let here = nodes.children().find(|node| node.attribute("name") == Some(&names.here));
    let here = here.ok_or_else(|| format!("it lists no node {}: set `node`", names.here))?;
    let quorum = match child(summary, "current_dc").filter(|dc| yes(*dc, "present")) {
        None => Seen::unknown("the cluster has no coordinator at the moment"),
        Some(dc) if yes(dc, "with_quorum") => Seen::Known(Quorum::Quorate),
        Some(_) => Seen::Known(Quorum::Lost),
    };
    let resources = child(root, "resources").ok_or("it lists no resources")?;
    let found: Vec<_> = resources
        .descendants()
        .filter(|node| node.has_tag_name("resource") && node.attribute("id") == Some(resource))
        .collect();
    if found.is_empty() {
        return Err(format!("it lists no resource {resource}"));
    }
    let unmanaged = found.iter().any(|one| one.attribute("managed") != Some("true"));
    let ha = if unmanaged || yes(options, "maintenance-mode") || yes(here, "maintenance") {
        Seen::Known(Ha::Disarmed)
    } else if options.attribute("no-quorum-policy") == Some("ignore") {
        Seen::unknown(
            "no-quorum-policy is \"ignore\": both halves of a cluster that is cut would run the resource",
        )
    } else {
        Seen::Known(Ha::Armed)
    };
    let moving = found.iter().any(|one| {
        let role = one.attribute("role").unwrap_or_default();
        let pending = one.attribute("pending").is_some_and(|what| what != "Monitoring");
        pending || matches!(role, "Starting" | "Stopping" | "Migrating" | "Promoting" | "Demoting")
    });
    let owner = if yes(here, "unclean") {
        Err("this node is to be fenced".to_string())
    } else {
        running(&found, names)
    };
    Ok(Reading { owner: owner.into(), moving: Seen::Known(moving), quorum, ha })
}

/// Where a resource runs. Of one that runs on several nodes and is promoted on one, it is there.
fn running(found: &[Node<'_, '_>], names: &Names) -> Result<Owner, String> {
    if let Some(one) = found.iter().find(|one| yes(**one, "failed") || yes(**one, "blocked")) {
        let role = one.attribute("role").unwrap_or_default();
        return Err(format!("the resource has failed, or is blocked ({role})"));
    }
    let is = |roles: &'static [&str]| {
        move |one: &&Node<'_, '_>| one.attribute("role").is_some_and(|role| roles.contains(&role))
    };
    let promotable = found.iter().any(|one| is(&["Promoted", "Unpromoted", "Master", "Slave"])(&one));
    let counted: Vec<_> = if promotable {
        found.iter().filter(is(&["Promoted", "Master"])).collect()
    } else {
        found.iter().filter(|one| !is(&["Stopped"])(one)).collect()
    };
    let mut nodes: Vec<&str> = counted
        .iter()
        .flat_map(|one| one.children().filter(|node| node.has_tag_name("node")))
        .filter_map(|node| node.attribute("name"))
        .collect();
    nodes.sort_unstable();
    nodes.dedup();
    only(names, &nodes)
}

/// What `crm_resource --locate` says.
fn located(root: Node<'_, '_>, names: &Names) -> Result<Owner, String> {
    let list = child(root, "nodes").ok_or("it says nothing about nodes")?;
    let nodes: Vec<_> = list.children().filter(|node| node.has_tag_name("node")).collect();
    let promoted: Vec<_> = nodes.iter().filter(|node| node.attribute("state") == Some("promoted")).collect();
    let counted = if promoted.is_empty() { nodes.iter().collect() } else { promoted };
    let names_of: Vec<_> = counted.iter().filter_map(|node| node.text()).map(str::trim).collect();
    only(names, &names_of)
}

#[cfg(test)]
mod tests;
