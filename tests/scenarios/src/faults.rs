//! The table of faults in `docs/faults.md`, held against the tests that it names: a table that lies is worse than none.

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

#[test]
fn every_fault_has_tests_and_all_of_them_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut known = HashSet::new();
    for folder in
        ["tests/scenarios/tests", "replicator/src", "replicator/tests", "zfs-core/src", "zfs-core/tests"]
    {
        if root.join(folder).is_dir() {
            functions(&root.join(folder), &mut known);
        }
    }
    let table = fs::read_to_string(root.join("docs/faults.md")).expect("the table");
    let mut faults = 0;
    for line in table.lines().filter(|line| line.starts_with("| F")) {
        let tests: Vec<&str> = line.split('`').filter(|part| part.contains("::")).collect();
        assert!(!tests.is_empty(), "no test: {line}");
        for test in tests {
            assert!(known.contains(test), "there is no test {test}: {line}");
        }
        faults += 1;
    }
    assert!(faults > 40, "{faults} faults");
}
