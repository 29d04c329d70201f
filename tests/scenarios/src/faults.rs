//! The table of faults in `docs/faults.md`, held against the tests that it names: a table that lies is worse than none.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// The functions in all sources under a folder.
fn functions(folder: &Path, found: &mut HashSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            functions(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&entry).expect("a source");
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split('(').next());
            // What is in a mod.rs goes by the name of its folder.
            let file = if entry.ends_with("mod.rs") { folder } else { entry.as_path() };
            let module = file.file_stem().expect("a name").display();
            found.extend(names.map(|name| format!("{module}::{name}")));
        }
    }
}

/// The workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The rows of a table whose first words begin so, each with tests that exist. Returns how many there are.
pub(crate) fn rows_with_tests(file: &str, begin: &str) -> usize {
    let root = root();
    let mut known = HashSet::new();
    for folder in [
        "tests/scenarios/tests",
        "tests/scenarios/src",
        "replicator/src",
        "replicator/tests",
        "zfs-core/src",
        "zfs-core/tests",
    ] {
        if root.join(folder).is_dir() {
            functions(&root.join(folder), &mut known);
        }
    }
    let table = fs::read_to_string(root.join(file)).expect("the table");
    let mut rows = 0;
    for line in table.lines().filter(|line| line.starts_with(&format!("| {begin}"))) {
        let tests: Vec<&str> = line.split('`').filter(|part| part.contains("::")).collect();
        assert!(!tests.is_empty(), "no test: {line}");
        for test in tests {
            assert!(known.contains(test), "there is no test {test}: {line}");
        }
        rows += 1;
    }
    rows
}

#[test]
fn every_fault_has_tests_and_all_of_them_exist() {
    let faults = rows_with_tests("docs/faults.md", "F");
    assert!(faults > 40, "{faults} faults");
}

#[test]
fn every_threat_has_tests_and_all_of_them_exist() {
    let threats = rows_with_tests("docs/security.md", "T");
    assert!(threats >= 20, "{threats} threats");
}
