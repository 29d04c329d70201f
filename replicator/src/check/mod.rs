//! What would go wrong before it does: for each job and target whether both sides can be reached, what may be done
//! there, whether the versions and features of ZFS fit, whether there is room, and what the clocks say. Each finding
//! says what to do. Hosts are asked and nothing is changed; how they are connected is not decided here.

use serde::Serialize;
use serde_json::Value;
use serde_json::json;
use zfs_core::name::DatasetName;

use crate::config::job::Job;
use crate::config::job::Target;
use crate::engine;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Inventory;

mod judge;
#[cfg(test)]
mod tests;

/// How good something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Ok,
    /// It works, and somebody should look.
    Warn,
    /// A run will fail.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What of it: `reach`, `dataset`, `rights`, `version`, `clock`, `plan` and so on.
    pub aspect: &'static str,
    /// How good it is.
    pub grade: Grade,
    /// What was found.
    pub text: String,
    /// What to do about it.
    pub fix: Option<String>,
}

impl Finding {
    /// Something that is as it should be.
    #[must_use]
    pub fn ok(aspect: &'static str, text: impl Into<String>) -> Self {
        Self { aspect, grade: Grade::Ok, text: text.into(), fix: None }
    }

    /// Something to look at.
    #[must_use]
    pub fn warn(aspect: &'static str, text: impl Into<String>, fix: impl Into<Option<String>>) -> Self {
        Self { aspect, grade: Grade::Warn, text: text.into(), fix: fix.into() }
    }

    /// Something that will fail.
    #[must_use]
    pub fn fail(aspect: &'static str, text: impl Into<String>, fix: impl Into<Option<String>>) -> Self {
        Self { aspect, grade: Grade::Fail, text: text.into(), fix: fix.into() }
    }

    fn error(aspect: &'static str, error: &HostError) -> Self {
        // That a pool is away is a matter of whether the target is there.
        let aspect = if matches!(error, HostError::NoPool { .. }) { "reach" } else { aspect };
        Self::fail(aspect, error.to_string(), error.hint())
    }

    /// For a target that may be away: that it cannot be reached is something to look at and no failure.
    pub fn may_be_away(&mut self) {
        if self.aspect == "reach" && self.grade == Grade::Fail {
            self.grade = Grade::Warn;
            self.text.push_str("; it is optional");
        }
    }
}

/// Findings about one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// What they are about: this machine, a job, a target.
    pub subject: String,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl Section {
    /// About this.
    #[must_use]
    pub fn new(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), findings: Vec::new() }
    }

    /// The worst grade of all.
    #[must_use]
    pub fn grade(&self) -> Grade {
        self.findings.iter().map(|one| one.grade).max().unwrap_or(Grade::Ok)
    }
}

/// For people: a line for each finding, and below those that are not good what to do.
#[must_use]
pub fn text(sections: &[Section]) -> String {
    let mut text = String::new();
    for section in sections {
        text.push_str(&format!("{}\n", section.subject));
        for one in &section.findings {
            let word = match one.grade {
                Grade::Ok => "ok",
                Grade::Warn => "WARN",
                Grade::Fail => "FAIL",
            };
            text.push_str(&format!("  {word:<4} {}: {}\n", one.aspect, one.text));
            if let Some(fix) = &one.fix {
                text.push_str(&format!("       -> {fix}\n"));
            }
        }
    }
    let count =
        |grade| sections.iter().flat_map(|one| &one.findings).filter(|one| one.grade == grade).count();
    let (fail, warn) = (count(Grade::Fail), count(Grade::Warn));
    text.push_str(&match (fail, warn) {
        (0, 0) => "all is good\n".to_string(),
        (0, warn) => format!("it works; {warn} to look at\n"),
        (fail, warn) => format!("{fail} will fail, {warn} to look at\n"),
    });
    text
}

/// The same as JSON.
#[must_use]
pub fn to_json(sections: &[Section]) -> Value {
    let worst = sections.iter().map(Section::grade).max().unwrap_or(Grade::Ok);
    json!({ "grade": worst, "sections": sections })
}

/// The clocks and how long the question took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// This machine's before the question, in seconds since 1970.
    pub before: i64,
    /// And after it.
    pub after: i64,
}

/// Looks at one side. `needed` are the permissions without which nothing works, `wanted` those for everything else.
pub fn side(
    host: &mut dyn Host,
    dataset: &DatasetName,
    needed: &[&str],
    wanted: &[&str],
    clock: &mut dyn FnMut() -> i64,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    match host.about(dataset.pool()) {
        Ok(about) => findings.push(judge::version(host.label(), &about)),
        Err(error) => findings.push(Finding::error("version", &error)),
    }
    let before = clock();
    match host.standing(dataset) {
        Ok(standing) => {
            let clocks = Clocks { before, after: clock() };
            findings.push(judge::rights(host.label(), dataset, &standing.rights, needed, wanted));
            if host.is_far() {
                findings.push(judge::clock(host.label(), standing.clock, clocks));
            }
        }
        Err(error) => findings.push(Finding::error("rights", &error)),
    }
    findings
}

/// Looks at the source of a job.
pub fn source(host: &mut dyn Host, job: &Job, clock: &mut dyn FnMut() -> i64) -> Vec<Finding> {
    let root = &job.source.dataset;
    let mut findings = vec![Finding::ok("reach", format!("{} answers", host.label()))];
    match host.inventory(root, Depth::One) {
        Ok(Inventory::Present(_)) => findings.push(Finding::ok("dataset", format!("{root} exists"))),
        Ok(Inventory::Absent { .. }) => {
            let text = format!("{} has no dataset {root}", host.label());
            findings.push(Finding::fail("dataset", text, "check `source` in the configuration".to_string()));
            return findings;
        }
        Err(error) => {
            findings.push(Finding::error("dataset", &error));
            return findings;
        }
    }
    let needed: &[&str] = if job.options.bookmarks { &["send", "bookmark"] } else { &["send"] };
    findings.extend(side(host, root, needed, &["hold", "release", "destroy"], clock));
    findings
}

/// Says that a target answers, where nothing more can be found out because of its source.
pub fn reached(host: &mut dyn Host) -> Vec<Finding> {
    vec![Finding::ok("reach", format!("{} answers", host.label()))]
}

/// Looks at a target of a job, and at what a run would do. The source has been looked at.
pub fn target(
    source: &mut dyn Host,
    host: &mut dyn Host,
    job: &Job,
    target: &Target,
    clock: &mut dyn FnMut() -> i64,
) -> Vec<Finding> {
    let root = &target.endpoint.dataset;
    let mut findings = vec![Finding::ok("reach", format!("{} answers", host.label()))];
    let concerned = match host.inventory(root, Depth::One) {
        Ok(Inventory::Present(_)) => {
            findings.push(Finding::ok("dataset", format!("{root} exists")));
            root.clone()
        }
        Ok(Inventory::Absent { ancestor, .. }) => {
            let text = format!("{root} does not exist yet; it will be made below {}", ancestor.name);
            findings.push(Finding::ok("dataset", text));
            ancestor.name
        }
        Err(error) => {
            findings.push(Finding::error("dataset", &error));
            return findings;
        }
    };
    let needed = ["receive", "create", "mount"];
    let wanted = ["rename", "clone", "promote", "destroy", "userprop"];
    findings.extend(side(host, &concerned, &needed, &wanted, clock));
    let request = engine::Request {
        source: job.source.dataset.clone(),
        target: root.clone(),
        options: job.options.clone(),
        estimate: true,
        ignore_space: job.ignore_space,
        now: clock(),
    };
    match engine::prepare(source, host, &request) {
        Ok(plan) => findings.extend(judge::plan(&plan)),
        Err(error) => findings.push(Finding::fail("plan", error.to_string(), error.hint())),
    }
    findings
}
