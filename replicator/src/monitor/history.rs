//! The records of runs, read back for people: what each part of a run did, what failed, how far targets were behind and how
//! full pools were then. Records of other versions are read as far as they say the same.

use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::runs::FOLDER;
use super::verified;
use crate::pair::paused::Paused;
use crate::verify::memory::Checked;

/// The longest record that is read, in bytes.
const LONGEST: u64 = 64 << 20;

/// The most messages and names that are kept of one part of a run.
const KEPT: usize = 20;

/// A run that has ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Past {
    /// When it began, in seconds since 1970.
    pub started: i64,
    /// When it ended.
    pub ended: i64,
    /// Its exit status.
    pub status: u64,
    /// Its parts, in their order.
    pub parts: Vec<Part>,
    /// The role of this node in each pair.
    pub pairs: Vec<(String, String)>,
}

/// A part of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Part {
    /// `snapshot`, `replicate`, `prune`, `check` or `verify`.
    pub name: String,
    /// In a few words.
    pub summary: String,
    /// How many things failed.
    pub failures: u64,
    /// What was said about them.
    pub errors: Vec<Trouble>,
    /// What was sent for each job.
    pub sent: Vec<Sent>,
    /// How far each target was behind.
    pub lags: Vec<Lag>,
    /// How full the pools were.
    pub pools: Vec<PoolSize>,
    /// Snapshots that were taken or destroyed, as far as the record names them.
    pub snapshots: Vec<String>,
    /// The datasets of pairs whose pruning stood still; none where the record does not say so.
    pub paused: Option<Vec<Paused>>,
}

/// Something that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// What.
    pub about: String,
    /// Why.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What was sent for a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// `JOB to TARGET`.
    pub title: String,
    /// Bytes of the streams.
    pub bytes: u64,
}

/// How far a target was behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Lag {
    /// The job.
    pub job: String,
    /// The target.
    pub target: String,
    /// The dataset that is furthest behind.
    pub dataset: String,
    /// The age of the newest snapshot that both have.
    pub seconds: u64,
}

/// How full a pool was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct PoolSize {
    /// The pool.
    pub pool: String,
    /// Its size in bytes.
    pub size: u64,
    /// What is not in use of it.
    pub free: u64,
}

/// Runs, and how many records could not be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The newest first. Dry runs leave no records.
    pub runs: Vec<Past>,
    /// Records that are no records.
    pub unread: usize,
}

impl History {
    /// The datasets of a pair whose pruning stood still in the newest run that can say so: one that pruned as a node whose role
    /// was known. Until the next one of these nothing else is known.
    pub fn paused<'h>(&'h self, pair: &'h str) -> impl Iterator<Item = &'h Paused> {
        let settled = |run: &&Past| {
            run.pairs
                .iter()
                .any(|(name, role)| name == pair && ["active", "standby"].contains(&role.as_str()))
        };
        let said = |run: &'h Past| run.parts.iter().find_map(|part| part.paused.as_ref());
        let newest = self.runs.iter().filter(settled).find_map(said);
        newest.into_iter().flatten().filter(move |one| one.pair == pair)
    }
}

/// The newest so many runs.
///
/// # Errors
/// When there are records and their folder cannot be read.
pub fn read(state: &Path, most: usize) -> io::Result<History> {
    let mut names = match std::fs::read_dir(state.join(FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(History::default()),
        entries => entries?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?,
    };
    names.retain(|path| path.extension().is_some_and(|end| end == "json"));
    // Their names are in the order of time.
    names.sort_unstable();
    let mut history = History::default();
    for path in names.iter().rev().take(most) {
        let fits = std::fs::metadata(path).is_ok_and(|about| about.len() <= LONGEST);
        let text = if fits { std::fs::read(path).ok() } else { None };
        let record = text.and_then(|text| serde_json::from_slice(&text).ok());
        match record.as_ref().and_then(of_record) {
            Some(past) => history.runs.push(past),
            None => history.unread += 1,
        }
    }
    Ok(history)
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_string()
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A record; none where it is of something else.
#[must_use]
pub fn of_record(record: &Value) -> Option<Past> {
    let time = |name: &str| record.get(name).and_then(Value::as_i64);
    let phases = record.get("phases")?.as_object()?;
    let in_order = ["snapshot", "replicate", "prune", "check", "verify"];
    Some(Past {
        started: time("started")?,
        ended: time("ended")?,
        status: record.get("status").and_then(Value::as_u64).unwrap_or(1),
        parts: in_order.iter().filter_map(|name| Some(part(name, phases.get(*name)?))).collect(),
        pairs: list(record, "pairs").iter().map(|one| (text(one, "pair"), text(one, "role"))).collect(),
    })
}

fn part(name: &str, phase: &Value) -> Part {
    let mut part = Part {
        name: name.to_string(),
        // Earlier versions had a line for each target that was verified.
        summary: text(phase, "summary").replace('\n', "; "),
        failures: phase.get("failures").and_then(Value::as_u64).unwrap_or(1),
        ..Part::default()
    };
    let trouble = |about: &str, one: &Value| Trouble {
        about: about.to_string(),
        message: text(one, "message"),
        hint: one.get("hint").and_then(Value::as_str).map(str::to_string),
    };
    part.errors.extend(phase.get("error").map(|error| trouble("", error)));
    for one in list(phase, "troubles").iter().filter(|one| one.is_object()) {
        part.errors.push(trouble(&text(one, "subject"), one));
    }
    for name in ["not_taken", "not_destroyed"] {
        part.errors.extend(list(phase, name).iter().map(|one| trouble(&text(one, "snapshot"), one)));
    }
    let at_targets = list(phase, "at_targets").iter().filter(|one| one.get("message").is_some());
    part.errors.extend(at_targets.map(|one| trouble("", one)));
    for (kind, what) in [("due", "is due and was not taken"), ("missing", "does not exist")] {
        let all = list(phase, kind).iter().filter_map(Value::as_str);
        part.errors.extend(all.map(|name| Trouble {
            about: name.to_string(),
            message: what.to_string(),
            hint: None,
        }));
    }
    let strange = list(phase, "troubles").iter().filter_map(Value::as_str);
    part.errors.extend(strange.map(|message| Trouble { message: message.to_string(), ..Trouble::default() }));
    for job in list(phase, "jobs") {
        let title = match job.get("pair").and_then(Value::as_str) {
            Some(pair) => format!("pair {pair}"),
            None => format!("{} to {}", text(job, "job"), text(job, "target")),
        };
        if text(job, "state") == "failed" {
            part.errors.push(trouble(&title, job));
        }
        for one in list(job, "failed") {
            part.errors.push(trouble(&format!("{title}: {}", text(one, "dataset")), one));
        }
        if let Some(bytes) = job.get("bytes").and_then(Value::as_u64) {
            part.sent.push(Sent { title, bytes });
        }
    }
    for target in list(phase, "targets").iter().filter(|_| name == "verify") {
        part.errors.extend(not_verified(target));
    }
    part.lags =
        list(phase, "lags").iter().filter_map(|one| serde_json::from_value(one.clone()).ok()).collect();
    part.pools =
        list(phase, "pools").iter().filter_map(|one| serde_json::from_value(one.clone()).ok()).collect();
    part.snapshots = list(phase, "names").iter().filter_map(Value::as_str).map(str::to_string).collect();
    let paused = phase.get("targets").and_then(|targets| targets.get("paused")).and_then(Value::as_array);
    part.paused =
        paused.map(|all| all.iter().filter_map(|one| serde_json::from_value(one.clone()).ok()).collect());
    part.errors.truncate(KEPT);
    part
}

/// What a record says of a target that was verified and is not good.
fn not_verified(target: &Value) -> Vec<Trouble> {
    let title = format!("{} to {}", text(target, "job"), text(target, "target"));
    if text(target, "state") == "failed" {
        let hint = target.get("hint").and_then(Value::as_str).map(str::to_string);
        return vec![Trouble { about: title, message: text(target, "message"), hint }];
    }
    let looks = list(target, "datasets").iter();
    let looks = looks.filter_map(|one| serde_json::from_value::<Checked>(one.clone()).ok());
    let trouble = |one: Checked| {
        let (_, message) = verified::trouble(&one)?;
        Some(Trouble { about: format!("{title}: {}", one.source), message, hint: one.closed })
    };
    looks.filter_map(trouble).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_record_says_is_read_back() {
        let record = json!({
            "version": 1, "started": 100, "ended": 160, "status": 1, "dry_run": false,
            "pairs": [{ "pair": "nfs", "node": "a", "role": "active", "reasons": [] }],
            "phases": {
                "check": {
                    "summary": "1 due", "failures": 1, "due": ["t/a@x"], "missing": ["t/b"], "troubles": ["p is away"],
                    "lags": [{ "job": "d", "target": "nas", "dataset": "t/a", "seconds": 61 }],
                    "pools": [{ "pool": "t", "size": 10, "free": 4 }],
                },
                "snapshot": {
                    "summary": "1 taken, 1 not", "failures": 1, "names": ["t/a@y"],
                    "not_taken": [{ "snapshot": "t/c@y", "message": "no space" }],
                    "troubles": [{ "subject": "q", "message": "not imported", "hint": "zpool import q" }],
                },
                "replicate": {
                    "summary": "1 of 3", "failures": 2,
                    "jobs": [
                        { "job": "d", "target": "nas", "bytes": 7, "failed": [{ "dataset": "t/a", "message": "conflict", "hint": null }] },
                        { "job": "d", "target": "usb", "state": "away", "message": "unplugged" },
                        { "job": "d", "target": "far", "state": "failed", "message": "refused", "hint": "look" },
                        { "pair": "nfs", "role": "active", "bytes": 9 },
                    ],
                },
                "prune": { "error": { "message": "busy", "hint": "wait" }, "failures": 1 },
            },
        });
        let past = of_record(&record).expect("a record");
        assert!(past.parts.iter().all(|part| part.paused.is_none()), "nothing is said of it");
        let order: Vec<_> = past.parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(order, ["snapshot", "replicate", "prune", "check"]);
        assert_eq!(past.pairs, [("nfs".to_string(), "active".to_string())]);
        let said = |part: usize| -> Vec<String> {
            past.parts[part].errors.iter().map(|one| format!("{}|{}", one.about, one.message)).collect()
        };
        assert_eq!(said(0), ["q|not imported", "t/c@y|no space"]);
        assert_eq!(past.parts[0].errors[0].hint.as_deref(), Some("zpool import q"));
        assert_eq!(said(1), ["d to nas: t/a|conflict", "d to far|refused"]);
        let sent: Vec<_> = past.parts[1].sent.iter().map(|one| (one.title.as_str(), one.bytes)).collect();
        assert_eq!(sent, [("d to nas", 7), ("pair nfs", 9)]);
        assert_eq!(said(2), ["|busy"]);
        assert_eq!(said(3), ["t/a@x|is due and was not taken", "t/b|does not exist", "|p is away"]);
        assert_eq!((past.parts[3].lags[0].seconds, past.parts[3].pools[0].free), (61, 4));
        assert_eq!(past.parts[0].snapshots, ["t/a@y"]);
    }

    #[test]
    fn a_run_that_verified_says_which_copies_are_not_good() {
        let looked = |source: &str, differences: u64, failed: Option<&str>| {
            json!({ "job": "data", "to": "nas:back", "source": source, "target": "back", "at": 5, "snapshot": "1",
                "share": [0, 1], "compared": 9, "differences": differences, "first": ["x: content"],
                "failed": failed, "drill": null })
        };
        let record = json!({ "started": 100, "ended": 160, "status": 3, "dry_run": false, "phases": { "verify": {
            "summary": "data to nas: 1 of 3 datasets good\ndata to usb: 0 of 0", "failures": 3, "targets": [
                { "job": "data", "target": "nas", "too_large": [],
                    "datasets": [looked("a", 2, None), looked("b", 0, Some("no key")), looked("c", 0, None)] },
                { "job": "data", "target": "usb", "state": "away", "message": "unplugged" },
                { "job": "data", "target": "far", "state": "failed", "message": "refused" },
            ] } } });
        let past = of_record(&record).expect("a record");
        let [part] = past.parts.as_slice() else { panic!("{past:?}") };
        assert_eq!((part.name.as_str(), part.failures), ("verify", 3));
        assert_eq!(part.summary, "data to nas: 1 of 3 datasets good; data to usb: 0 of 0");
        let said: Vec<_> = part.errors.iter().map(|one| format!("{}|{}", one.about, one.message)).collect();
        assert_eq!(
            said,
            [
                "data to nas: a|2 files or segments differ (x: content)",
                "data to nas: b|not verified: no key",
                "data to far|refused",
            ]
        );
    }

    #[test]
    fn the_newest_come_first_and_what_cannot_be_read_is_counted() {
        let state = tempfile::tempdir().expect("a folder");
        assert_eq!(read(state.path(), 5).expect("none"), History::default());
        let folder = state.path().join(FOLDER);
        std::fs::create_dir(&folder).expect("made");
        for n in 1..=3 {
            let text = json!({ "started": n, "ended": n, "status": 0, "phases": {} }).to_string();
            std::fs::write(folder.join(format!("{n}.json")), text).expect("written");
        }
        std::fs::write(folder.join("2b.json"), "{").expect("written");
        let history = read(state.path(), 3).expect("read");
        let order: Vec<_> = history.runs.iter().map(|run| run.started).collect();
        assert_eq!((order, history.unread), (vec![3, 2], 1));
    }

    /// A run that pruned as a node of the pairs `nfs` and `other`, and what stood still then.
    fn pruned(ended: i64, role: &str, paused: &Value) -> Past {
        let of_record = of_record(&json!({
            "started": ended, "ended": ended, "status": 0, "dry_run": false,
            "pairs": [{ "pair": "nfs", "role": role }, { "pair": "other", "role": "standby" }],
            "phases": { "prune": { "summary": "", "failures": 0, "targets": { "paused": paused } } },
        }));
        of_record.expect("a record")
    }

    #[test]
    fn what_stood_still_is_known_from_the_newest_run_that_can_say_so() {
        let paused = |pair: &str, dataset: &str| {
            let hint = String::new();
            json!({ "pair": pair, "dataset": dataset, "cause": "lost", "why": "it lost most", "hint": hint })
        };
        let both = json!([paused("nfs", "t/a"), paused("other", "t/b"), { "pair": "nfs" }]);
        let mut history = History { runs: vec![pruned(1, "active", &both)], unread: 0 };
        let of = |history: &History, pair: &str| -> Vec<String> {
            history.paused(pair).map(|one| one.dataset.clone()).collect()
        };
        assert_eq!(of(&history, "nfs"), ["t/a"]);
        assert_eq!(of(&history, "other"), ["t/b"]);
        assert_eq!(of(&history, "third"), Vec::<String>::new());
        // Nobody has looked since: a run that does not know its role, one that left the pair alone, one that only sent.
        history.runs.insert(0, pruned(2, "unknown", &json!([])));
        history.runs.insert(0, pruned(3, "active", &Value::Null));
        history.runs.insert(0, Past { pairs: vec![("nfs".into(), "active".into())], ..Past::default() });
        assert_eq!(of(&history, "nfs"), ["t/a"]);
        assert_eq!(of(&history, "other"), Vec::<String>::new(), "its role was known all the time");
        history.runs.insert(0, pruned(4, "standby", &json!([])));
        assert_eq!(of(&history, "nfs"), Vec::<String>::new());
    }
}
