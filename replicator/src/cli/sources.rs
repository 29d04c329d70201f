//! The sources of this workspace, for tests that read them: what goes into the program, and what tests are made of.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// A file.
pub(crate) struct Source {
    /// Its path in the workspace.
    pub(crate) path: String,
    /// What goes into the program.
    pub(crate) code: String,
    /// What is only for tests.
    pub(crate) tests: String,
}

/// What only tests are made of, beside the files that are called so.
const ONLY_TESTS: [&str; 4] = [
    "replicator/src/agent/fake.rs",
    "replicator/src/cli/compat/syncoid/lab.rs",
    "replicator/src/model/",
    "zfs-core/src/token/samples.rs",
];

/// The workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All that is in a folder of the workspace.
pub(crate) fn below(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let entries = fs::read_dir(workspace().join(folder)).expect("a folder");
    for entry in entries.map(|entry| entry.expect("an entry")) {
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            found.extend(below(&path));
        } else if path.ends_with(".rs") {
            let text = fs::read_to_string(entry.path()).expect("a source");
            found.push(split(path, text));
        }
    }
    found
}

/// A file of tests is called so; in others they are behind the first `#[cfg(test)]` with a block.
fn split(path: String, text: String) -> Source {
    let named = ["/tests/", "/tests.rs", "_tests.rs"].iter().any(|part| path.contains(part));
    if named || ONLY_TESTS.iter().any(|only| path.starts_with(only)) {
        return Source { path, code: String::new(), tests: text };
    }
    match text.split_once("#[cfg(test)]\nmod tests {") {
        Some((code, tests)) => Source { path, code: code.to_string(), tests: tests.to_string() },
        None => Source { path, code: text, tests: String::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_only_for_tests_is_told_apart() {
        let of = |path: &str, text: &str| split(path.to_string(), text.to_string());
        let both = of("a/src/x.rs", "code\n#[cfg(test)]\nmod tests {\ntest\n}\n");
        assert_eq!((both.code.as_str(), both.tests.as_str()), ("code\n", "\ntest\n}\n"));
        for path in
            ["a/src/x/tests.rs", "a/src/x/tests/y.rs", "a/src/x_tests.rs", "replicator/src/model/x.rs"]
        {
            let only = of(path, "test");
            assert_eq!((only.code.as_str(), only.tests.as_str()), ("", "test"), "{path}");
        }
        let all = below("replicator/src/cli");
        assert!(all.len() > 50 && all.iter().any(|one| one.path == "replicator/src/cli/man.rs"));
    }
}
