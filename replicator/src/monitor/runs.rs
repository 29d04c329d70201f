//! How the last runs ended, out of the records that they leave in the state folder.

use std::io;
use std::path::Path;

use serde_json::Value;

use super::metrics::LastRun;
use crate::verify::memory::Ran;

/// Where the records are, below the state folder.
pub const FOLDER: &str = "runs";

/// The parts of a run.
const PARTS: [&str; 5] = ["snapshot", "replicate", "prune", "check", VERIFY];

/// What `replicator verify` does.
const VERIFY: &str = "verify";

/// The most records that are read: as many as are kept of two timers in a day, so that a daily run is among them.
const READ: usize = 256;

/// The longest record that is read, in bytes.
const LONGEST: u64 = 64 << 20;

/// The newest run of each part. Records that cannot be read are passed over.
///
/// # Errors
/// When there are records and their folder cannot be read.
pub fn last(state: &Path) -> io::Result<Vec<LastRun>> {
    let folder = state.join(FOLDER);
    let mut names: Vec<_> = match std::fs::read_dir(&folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    names.retain(|path| path.extension().is_some_and(|end| end == "json"));
    // Their names are in the order of time.
    names.sort_unstable();
    let mut found: Vec<LastRun> = Vec::new();
    for path in names.iter().rev().take(READ) {
        if std::fs::metadata(path).map_or(true, |about| about.len() > LONGEST) {
            continue;
        }
        let Ok(text) = std::fs::read(path) else { continue };
        let Ok(record) = serde_json::from_slice(&text) else { continue };
        for run in of_record(&record) {
            if !found.iter().any(|one| one.part == run.part) {
                found.push(run);
            }
        }
        if found.len() == PARTS.len() {
            break;
        }
    }
    Ok(found)
}

/// Puts in the last run of `replicator verify` as that remembers it itself: its record may be older than those that are read.
pub fn with_verify(runs: &mut Vec<LastRun>, last: Option<&Ran>) {
    let Some(last) = last else { return };
    if runs.iter().any(|one| one.part == VERIFY && one.ended >= last.ended) {
        return;
    }
    runs.retain(|one| one.part != VERIFY);
    runs.push(LastRun {
        part: VERIFY.to_string(),
        ended: last.ended,
        seconds: length(last.started, last.ended),
        success: last.failures == 0,
    });
}

fn length(started: i64, ended: i64) -> f64 {
    i32::try_from(ended.saturating_sub(started).max(0)).map_or(f64::MAX, f64::from)
}

/// What a record says of the parts that its run had.
fn of_record(record: &Value) -> Vec<LastRun> {
    let number = |name: &str| record.get(name).and_then(Value::as_i64);
    let (Some(started), Some(ended)) = (number("started"), number("ended")) else { return Vec::new() };
    if record.get("dry_run").and_then(Value::as_bool) != Some(false) {
        return Vec::new();
    }
    let part = |part: &&str| {
        let phase = record.get("phases")?.get(*part)?;
        Some(LastRun {
            part: (*part).to_string(),
            ended,
            seconds: length(started, ended),
            success: phase.get("failures").and_then(Value::as_u64) == Some(0),
        })
    };
    PARTS.iter().filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_run_of_each_part_counts() {
        let state = tempfile::tempdir().expect("a folder");
        assert_eq!(last(state.path()).expect("none"), []);
        let folder = state.path().join(FOLDER);
        std::fs::create_dir(&folder).expect("made");
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("written");
        let record = |started: i64, dry_run: bool, phases: Value| {
            json!({ "started": started, "ended": started + 5, "dry_run": dry_run, "phases": phases })
                .to_string()
        };
        write(
            "1.json",
            &record(100, false, json!({ "snapshot": { "failures": 0 }, "prune": { "failures": 0 } })),
        );
        write("2.json", &record(200, false, json!({ "replicate": { "failures": 2 } })));
        write("3.json", &record(300, false, json!({ "snapshot": { "failures": 0 } })));
        write("4.json", &record(400, true, json!({ "snapshot": { "failures": 1 } })));
        write("5.json", "no record");
        write("notes", "x");
        let found = last(state.path()).expect("read");
        let mut found: Vec<_> = found.iter().map(|one| (one.part.as_str(), one.ended, one.success)).collect();
        found.sort_unstable();
        assert_eq!(found, [("prune", 105, true), ("replicate", 205, false), ("snapshot", 305, true)]);
    }

    #[test]
    fn a_verify_that_was_longer_ago_than_the_records_that_are_read_is_not_forgotten() {
        let run = |part: &str, ended| LastRun { part: part.to_string(), ended, seconds: 1.0, success: true };
        let ran = Ran { started: 100, ended: 160, failures: 1, summary: String::new() };
        let mut runs = vec![run("snapshot", 500)];
        with_verify(&mut runs, None);
        assert_eq!(runs.len(), 1);
        with_verify(&mut runs, Some(&ran));
        assert_eq!(runs[1], LastRun { success: false, seconds: 60.0, ..run("verify", 160) });
        // The newer of the two counts, and there is one.
        with_verify(&mut runs, Some(&Ran { ended: 150, ..ran.clone() }));
        assert_eq!((runs.len(), runs[1].ended), (2, 160));
        with_verify(&mut runs, Some(&Ran { ended: 200, ..ran }));
        assert_eq!((runs.len(), runs[1].ended), (2, 200));
    }
}
