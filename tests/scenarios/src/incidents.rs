//! The table of incidents in `docs/incidents.md`, held against the tests that it names, and the rows of it that need no node.

use std::fs;
use std::path::Path;

use crate::faults::root;
use crate::faults::rows_with_tests;

#[test]
fn every_incident_has_tests_and_all_of_them_exist() {
    let table = "docs/incidents.md";
    assert_eq!((rows_with_tests(table, "S"), rows_with_tests(table, "P")), (20, 13));
}

/// A first replication may take days.
#[test]
fn no_unit_ends_what_takes_long() {
    let mut services = 0;
    for entry in fs::read_dir(root().join("packaging/systemd")).expect("the units") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|end| end == "service") {
            let text = fs::read_to_string(&path).expect("a unit");
            assert!(text.contains("ExecStart="), "{}", path.display());
            // A start of the first type has no limit unless one is set; one of the second ends with the start of the program.
            let unlimited = ["Type=oneshot", "Type=exec"].iter().any(|one| text.contains(one));
            assert!(unlimited, "{}", path.display());
            // What only looks sends nothing, and may end.
            if text.contains("ExecStart=replicator monitor") {
                continue;
            }
            for limit in ["TimeoutStartSec", "TimeoutSec=", "RuntimeMaxSec"] {
                assert!(!text.contains(limit), "{}: {limit}", path.display());
            }
            services += 1;
        }
    }
    assert!(services >= 2, "{services} services");
}

/// What updates the program is the package manager. The one client for HTTP in it asks etcd who has a lease, and calls the
/// webhooks of the configuration: without TLS (that of streams is between two agents), and used nowhere else.
#[test]
fn the_program_fetches_nothing_of_itself() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("the dependencies");
    let names: Vec<_> = lock.lines().filter_map(|line| line.strip_prefix("name = ")).collect();
    assert!(names.len() > 50 && names.contains(&"\"zfs-replicator\""), "{} dependencies", names.len());
    for client in ["attohttpc", "curl", "hyper", "isahc", "minreq", "native-tls", "reqwest", "self_update"] {
        assert!(!names.contains(&format!("{client:?}").as_str()), "{client}");
    }
    let mut users = Vec::new();
    sources(&root().join("replicator/src"), &mut |path, text| {
        if text.contains("ureq::") {
            users.push(path.to_path_buf());
        }
    });
    assert!(!users.is_empty(), "then it has none at all, and this test is to be changed");
    let known = ["role/source/etcd/", "src/notify/"];
    let strange = users.iter().filter(|path| !known.iter().any(|one| path.to_string_lossy().contains(one)));
    assert_eq!(strange.count(), 0, "{users:?}");
}

/// Calls `what` with each source under a folder.
fn sources(folder: &Path, what: &mut dyn FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            sources(&entry, what);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            what(&entry, &fs::read_to_string(&entry).expect("a source"));
        }
    }
}
