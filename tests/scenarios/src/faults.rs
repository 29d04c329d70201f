//! The table of faults in `docs/faults.md`, and that of threats in `docs/security.md`, held against the tests that they name:
//! a table that lies is worse than none.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// The functions in all sources under a folder.
fn functions(folder: &Path, found: &mut HashSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            functions(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&entry).expect("a source");
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split('(').next());
            found.extend(
                names.map(|name| format!("{}::{name}", entry.file_stem().expect("a name").display())),
            );
        }
    }
}

/// Each line of a table that begins so names tests, and all of them exist. Gives the number of lines.
fn check(page: &str, begins: &str) -> usize {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut known = HashSet::new();
    for folder in
        ["tests/scenarios/tests", "replicator/src", "replicator/tests", "zfs-core/src", "zfs-core/tests"]
    {
        if root.join(folder).is_dir() {
            functions(&root.join(folder), &mut known);
        }
    }
    let table = fs::read_to_string(root.join(page)).expect("the page");
    let lines = table.lines().filter(|line| line.starts_with(begins));
    lines
        .map(|line| {
            let tests: Vec<&str> = line.split('`').filter(|part| part.contains("::")).collect();
            assert!(!tests.is_empty(), "no test: {line}");
            for test in tests {
                assert!(known.contains(test), "there is no test {test}: {line}");
            }
        })
        .count()
}

#[test]
fn every_fault_has_tests_and_all_of_them_exist() {
    let faults = check("docs/faults.md", "| F");
    assert!(faults > 40, "{faults} faults");
}

#[test]
fn every_threat_has_tests_and_all_of_them_exist() {
    let threats = check("docs/security.md", "| T");
    assert!(threats >= 20, "{threats} threats");
}
