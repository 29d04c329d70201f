//! What people read is made of words: the form that derives print for programmers, `{:?}`, gets into no message.

use super::sources;

/// Names of what is a text that somebody wrote. For a text that form is quotes, with what is no letter escaped, which is
/// what a message wants of it.
const TEXTS: [&str; 13] = [
    "field",
    "line",
    "mountpoint",
    "name",
    "other",
    "pattern",
    "short",
    "shown",
    "snapshot",
    "source",
    "tag",
    "text",
    "whole",
];

/// Files in which it may stand, and why.
const EXCEPT: [(&str, &str); 11] = [
    ("replicator/src/agent/fault.rs", "names of kinds and operations on the wire, which no person reads"),
    ("replicator/src/codes/mod.rs", "a text: what was given as a code"),
    ("replicator/src/endpoint.rs", "a text: what was given as an endpoint"),
    ("replicator/src/host/listing.rs", "a text: the name of a dataset"),
    ("replicator/src/host/listing/lines.rs", "a text: a line of an answer"),
    ("replicator/src/pair/epoch.rs", "a text: the name of a node, the value of a property"),
    ("replicator/src/plan/properties.rs", "a text: the name of a property"),
    ("replicator/src/restore/when.rs", "a text: what was given as a time"),
    ("replicator/src/transport/ssh/auth.rs", "a text: the comment of a key"),
    ("zfs-core/src/hold.rs", "a text: the tag of a hold"),
    ("zfs-core/src/nvlist/error.rs", "a type of libnvpair, by the name that it has there"),
];

/// What is printed in that form in a line of code, by name; empty where it has none.
fn printed(line: &str) -> Vec<&str> {
    if line.trim_start().starts_with("//") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (at, _) in line.match_indices(":?}").chain(line.match_indices(":#?}")) {
        let name = line[..at].rsplit('{').next().unwrap_or_default();
        if name.chars().all(|c| c.is_ascii_alphanumeric() || "_.".contains(c)) && at > name.len() {
            found.push(name);
        }
    }
    found
}

#[test]
fn no_message_shows_a_value_as_programmers_print_it() {
    let mut wrong = Vec::new();
    let mut excepted = std::collections::BTreeSet::new();
    let mut seen = 0;
    for source in ["replicator/src", "zfs-core/src"].into_iter().flat_map(sources::below) {
        for (number, line) in source.code.lines().enumerate() {
            for name in printed(line) {
                seen += 1;
                let file = EXCEPT.iter().find(|(file, _)| *file == source.path);
                excepted.extend(file.map(|(file, _)| *file));
                if !TEXTS.contains(&name) && file.is_none() {
                    wrong.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
                }
            }
        }
    }
    assert!(seen > 30, "{seen} were looked at");
    assert!(wrong.is_empty(), "put these into words, with Display:\n{}", wrong.join("\n"));
    // An exception that is none any more lets the next one in.
    let idle: Vec<_> = EXCEPT.iter().filter(|(file, _)| !excepted.contains(file)).collect();
    assert!(idle.is_empty(), "nothing is printed so there any more: {idle:?}");
}

/// The general codes say "read the messages above": they are for several failures of which each was told.
#[test]
fn a_single_failure_has_a_code_of_its_own() {
    let mut wrong = Vec::new();
    for source in sources::below("replicator/src/cli") {
        let code: String = source.code.split_whitespace().collect();
        for general in ["Failure::new(Outcome::Failed", "Failure::new(Outcome::Conflict"] {
            if code.contains(general) {
                wrong.push(format!("{}: {general}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "give these a code of codes/table.rs:\n{}", wrong.join("\n"));
}

#[test]
fn what_is_printed_so_is_seen() {
    assert_eq!(printed(r#"format!("{kind:?} and {0:?}, {:?} {x:#?} {y}")"#), ["kind", "0", "", "x"]);
    assert!(printed(r#"// as in {kind:?}"#).is_empty());
    assert!(printed(r#"format!("{kind}: {width:>3}")"#).is_empty());
}
