//! The records of runs: one JSON file each, in `runs` of the state folder, the newest so many of them.

use std::io;
use std::path::Path;

use jiff::Timestamp;

use crate::jobs::memory::write_atomically;

/// Where they are, below the state folder.
pub(super) use crate::monitor::runs::FOLDER;

/// How many are kept: two days of two runs every 15 minutes, and more.
const KEPT: usize = 500;

/// Writes a record under the time when its run began, and removes the oldest of those beyond what is kept.
pub(in crate::cli) fn write(state: &Path, started: Timestamp, record: &serde_json::Value) -> io::Result<()> {
    write_keeping(state, started, record, KEPT)
}

fn write_keeping(
    state: &Path,
    started: Timestamp,
    record: &serde_json::Value,
    kept: usize,
) -> io::Result<()> {
    let folder = state.join(FOLDER);
    let process = std::process::id();
    let name = format!("{}-{process}.json", started.strftime("%Y%m%dT%H%M%S%.6fZ"));
    write_atomically(&folder, &name, format!("{record:#}\n").as_bytes())?;
    let mut ours: Vec<String> = std::fs::read_dir(&folder)?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_record(name))
        .collect();
    // Their names are in the order of time.
    ours.sort_unstable();
    let beyond = ours.len().saturating_sub(kept);
    for old in ours.iter().take(beyond).filter(|old| **old != name) {
        match std::fs::remove_file(folder.join(old)) {
            // Another run has removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
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
    use super::*;

    #[test]
    fn the_newest_are_kept_and_nothing_of_others_is_removed() {
        let state = tempfile::tempdir().expect("a folder");
        let folder = state.path().join(FOLDER);
        let at = |n: i64| Timestamp::from_second(1_795_371_300 + n).expect("a time");
        for n in 0..5 {
            write_keeping(state.path(), at(n), &serde_json::json!({ "n": n }), 3).expect("written");
            std::fs::write(folder.join("notes.json"), "x").expect("written");
        }
        let mut names: Vec<_> = std::fs::read_dir(&folder)
            .expect("it is there")
            .map(|one| one.expect("a name").file_name())
            .collect();
        names.sort();
        let names: Vec<_> = names.iter().map(|name| name.to_str().expect("text")).collect();
        assert_eq!(names.len(), 4, "{names:?}");
        assert!(is_record(names[0]) && names[0].starts_with("20261122T181502.000000Z-"), "{names:?}");
        assert_eq!(names[3], "notes.json");
        let text = std::fs::read_to_string(folder.join(names[2])).expect("read");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON")["n"], 4);
    }
}
