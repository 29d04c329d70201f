//! The records of runs: one JSON file each, in `runs` of the state folder. The newest stay as they are; of those before, one
//! stays for each part and hour, some weeks back, so that it can be seen how things went. All of them have a bound in bytes.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use crate::jobs::memory::write_atomically;

/// Where they are, below the state folder.
pub(super) use crate::monitor::runs::FOLDER;

/// What is kept.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// So many of the newest, whatever they are.
    newest: usize,
    /// So many hours before these, of those in which anything ran.
    hours: usize,
    /// So many bytes in all, from the newest on.
    bytes: u64,
}

/// Three days of two runs every 15 minutes, and six weeks.
const KEPT: Bounds = Bounds { newest: 600, hours: 6 * 7 * 24, bytes: 128 << 20 };

/// How many records of an hour are never looked into: as many as there are parts, one for each.
const PARTS: usize = 5;

/// How long the beginning of a name is that says in which hour a run began: `20261122T18`.
const HOUR: usize = 11;

/// Writes a record under the time when its run began, and removes those that are not kept any more.
pub(in crate::cli) fn write(state: &Path, started: Timestamp, record: &serde_json::Value) -> io::Result<()> {
    write_keeping(state, started, record, KEPT)
}

fn write_keeping(
    state: &Path,
    started: Timestamp,
    record: &serde_json::Value,
    kept: Bounds,
) -> io::Result<()> {
    let folder = state.join(FOLDER);
    let process = std::process::id();
    let name = format!("{}-{process}.json", started.strftime("%Y%m%dT%H%M%S%.6fZ"));
    write_atomically(&folder, &name, format!("{record:#}\n").as_bytes())?;
    // Their names are in the order of time.
    let mut ours = BTreeMap::new();
    for entry in std::fs::read_dir(&folder)?.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        // One that is gone is no concern any more.
        if let (true, Ok(about)) = (is_record(&name), entry.metadata()) {
            ours.insert(name, about.len());
        }
    }
    let look = |name: &str| parts(&std::fs::read(folder.join(name)).unwrap_or_default());
    for old in surplus(&ours, kept, &look).into_iter().filter(|old| *old != name) {
        match std::fs::remove_file(folder.join(old)) {
            // Another run has removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}

/// The parts of the run of a record, and whether anything failed in each; none where it is no record.
fn parts(text: &[u8]) -> Vec<(String, bool)> {
    let record: Option<Value> = serde_json::from_slice(text).ok();
    let phases = record.as_ref().and_then(|record| record.get("phases")).and_then(Value::as_object);
    let failed = |phase: &Value| phase.get("failures").and_then(Value::as_u64) != Some(0);
    phases.into_iter().flatten().map(|(name, phase)| (name.clone(), failed(phase))).collect()
}

/// Those that are not kept, of records by name with their sizes. Only of an hour that has many, and only once, it is looked
/// what is in them.
fn surplus<'n>(
    all: &'n BTreeMap<String, u64>,
    kept: Bounds,
    look: &dyn Fn(&str) -> Vec<(String, bool)>,
) -> BTreeSet<&'n str> {
    let hour = |name: &'n str| name.get(..HOUR).unwrap_or(name);
    let names: Vec<&str> = all.keys().map(String::as_str).collect();
    let (old, newest) = names.split_at(names.len().saturating_sub(kept.newest));
    // An hour whose records are not all old yet waits.
    let young = newest.first().copied().map(hour);
    let mut hours: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for &name in old {
        if Some(hour(name)) != young {
            hours.entry(hour(name)).or_default().push(name);
        }
    }
    let too_old = hours.len().saturating_sub(kept.hours);
    let mut gone = BTreeSet::new();
    for (at, records) in hours.into_values().enumerate() {
        if at < too_old {
            gone.extend(records);
        } else if records.len() > PARTS {
            let stay = thinned(&records, look);
            gone.extend(records.into_iter().filter(|name| !stay.contains(name)));
        }
    }
    let mut bytes = 0u64;
    let stay: Vec<_> = all.iter().rev().filter(|(name, _)| !gone.contains(name.as_str())).collect();
    for (name, size) in stay {
        bytes = bytes.saturating_add(*size);
        if bytes > kept.bytes {
            gone.insert(name);
        }
    }
    gone
}

/// Of the records of an hour the newest for each part, and rather one in which that part failed.
fn thinned<'n>(records: &[&'n str], look: &dyn Fn(&str) -> Vec<(String, bool)>) -> BTreeSet<&'n str> {
    let mut best: BTreeMap<String, (bool, &str)> = BTreeMap::new();
    for &name in records {
        for (part, failed) in look(name) {
            let found = best.entry(part).or_insert((failed, name));
            *found = (*found).max((failed, name));
        }
    }
    best.into_values().map(|(_, name)| name).collect()
}

/// `20261122T181500.000000Z-4711.json`.
fn is_record(name: &str) -> bool {
    let shape = |(at, b): (usize, u8)| match at {
        8 => b == b'T',
        15 => b == b'.',
        22 => b == b'Z',
        23 => b == b'-',
        _ => b.is_ascii_digit(),
    };
    name.strip_suffix(".json").is_some_and(|stem| stem.len() > 24 && stem.bytes().enumerate().all(shape))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Runs every 15 minutes from 2026-11-22 00:00 on: one that takes snapshots, and one that replicates five minutes later.
    fn quarters(count: usize) -> Vec<(String, &'static str)> {
        let name = |seconds: usize| {
            let at = Timestamp::from_second(1_795_305_600 + i64::try_from(seconds).expect("small"));
            format!("{}-1.json", at.expect("a time").strftime("%Y%m%dT%H%M%S%.6fZ"))
        };
        let quarter = |n: usize| [(name(n * 900), "snapshot"), (name(n * 900 + 300), "replicate")];
        (0..count).flat_map(quarter).collect()
    }

    /// What stays of records of 1000 bytes each, when all but those that failed went well.
    fn stays(all: &[(String, &str)], kept: Bounds, failed: &[&str]) -> Vec<String> {
        let sizes: BTreeMap<String, u64> = all.iter().map(|(name, _)| (name.clone(), 1000)).collect();
        let known: BTreeMap<&str, &str> = all.iter().map(|(name, part)| (name.as_str(), *part)).collect();
        let look = |name: &str| -> Vec<(String, bool)> {
            known.get(name).map(|part| ((*part).to_string(), failed.contains(&name))).into_iter().collect()
        };
        let gone = surplus(&sizes, kept, &look);
        sizes.keys().filter(|name| !gone.contains(name.as_str())).cloned().collect()
    }

    const ALL: Bounds = Bounds { newest: 16, hours: 100, bytes: u64::MAX };

    #[test]
    fn the_newest_stay_and_of_each_hour_before_one_of_each_part() {
        let all = quarters(40);
        // Ten hours, of which the newest two stay as they are.
        let kept = stays(&all, ALL, &[]);
        assert_eq!(kept.len(), 8 * 2 + 16);
        assert_eq!(kept[0], all[6].0, "the last one that took snapshots in the first hour");
        assert_eq!(kept[1], all[7].0);
        assert_eq!(kept[16..].to_vec(), all[64..].iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
        // What was thinned once stays as it is, and an hour of which some are young yet waits.
        let left: Vec<_> = all.iter().filter(|(name, _)| kept.contains(name)).cloned().collect();
        assert_eq!(stays(&left, ALL, &[]), kept);
        assert_eq!(stays(&quarters(9), ALL, &[]).len(), 18);
    }

    #[test]
    fn one_that_failed_stays_rather_than_one_that_went_well() {
        let all = quarters(40);
        let failed = all[2].0.as_str();
        let kept = stays(&all, ALL, &[failed]);
        assert_eq!((kept.len(), kept[0].as_str()), (32, failed));
    }

    #[test]
    fn hours_and_bytes_have_a_bound() {
        let all = quarters(40);
        let kept = stays(&all, Bounds { hours: 3, ..ALL }, &[]);
        assert_eq!(kept.len(), 3 * 2 + 16);
        let kept = stays(&all, Bounds { bytes: 20_500, ..ALL }, &[]);
        assert_eq!(kept.len(), 20);
        assert_eq!(kept.last(), all.last().map(|(name, _)| name));
    }

    #[test]
    fn what_is_kept_goes_weeks_back_in_a_few_thousand_files() {
        let all = quarters(60 * 24 * 4);
        let kept = stays(&all, KEPT, &[]);
        assert_eq!(kept.len(), 600 + 42 * 24 * 2);
        // Three days in full and six weeks before them, of 60 days.
        assert!(kept[0].starts_with("20261206T21"), "{}", kept[0]);
    }

    #[test]
    fn what_a_record_says_of_its_parts_is_read_and_what_is_none_has_no_part() {
        let phases = json!({ "prune": { "failures": 0 }, "check": { "failures": 2 } });
        let mut found = parts(json!({ "phases": phases }).to_string().as_bytes());
        found.sort();
        assert_eq!(found, [("check".to_string(), true), ("prune".to_string(), false)]);
        assert!(parts(b"{").is_empty() && parts(b"{}").is_empty());
    }

    #[test]
    fn nothing_of_others_is_removed() {
        let state = tempfile::tempdir().expect("a folder");
        let folder = state.path().join(FOLDER);
        let at = |n: i64| Timestamp::from_second(1_795_371_300 + n).expect("a time");
        let kept = Bounds { newest: 3, hours: 0, bytes: u64::MAX };
        for n in 0..5 {
            // Each in an hour of its own.
            write_keeping(state.path(), at(n * 3600), &json!({ "n": n }), kept).expect("written");
            std::fs::write(folder.join("notes.json"), "x").expect("written");
        }
        let mut names: Vec<_> = std::fs::read_dir(&folder)
            .expect("it is there")
            .map(|one| one.expect("a name").file_name())
            .collect();
        names.sort();
        let names: Vec<_> = names.iter().map(|name| name.to_str().expect("text")).collect();
        assert_eq!(names.len(), 4, "{names:?}");
        assert!(is_record(names[0]) && names[0].starts_with("20261122T201500.000000Z-"), "{names:?}");
        assert_eq!(names[3], "notes.json");
        let text = std::fs::read_to_string(folder.join(names[2])).expect("read");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON")["n"], 4);
        // The one that was just written stays, however large it is.
        let kept = Bounds { bytes: 1, ..kept };
        write_keeping(state.path(), at(20 * 3600), &json!({ "n": 9 }), kept).expect("written");
        assert_eq!(std::fs::read_dir(&folder).expect("it is there").count(), 2);
    }
}
