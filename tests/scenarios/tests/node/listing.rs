//! Listing, compared field by field with what the `zfs` command prints.

use std::collections::BTreeMap;

use zfs_core::ErrorKind;
use zfs_core::Operation;
use zfs_core::PropertySet;
use zfs_core::Source;
use zfs_core::Txg;
use zfs_core::name::DatasetName;
use zfs_core::property::Properties;
use zfs_core::property::effective_mountpoint;
use zfs_core::snapshot::WhenInUse;

use crate::expect::fails;
use crate::pool::Pool;
use crate::pool::tag;

/// A pool with a bit of everything.
fn varied() -> Pool {
    let pool = Pool::new();
    pool.filled("a b", 300_000);
    let properties = PropertySet::new()
        .text("compression", "zstd-fast-100")
        .text("org.x:long", "v".repeat(5000))
        .number("quota", 100 << 20)
        .number("reservation", 1 << 20)
        .text("atime", "off")
        .text("xattr", "dir")
        .text("sync", "always")
        .text("checksum", "sha512")
        .text("primarycache", "metadata");
    pool.zfs.create_filesystem(&pool.dataset("a b/set"), &properties).expect("create");
    pool.filesystem("a b/set/inherits");
    pool.zfs.create_volume(&pool.dataset("volume"), 16 << 20, &PropertySet::new()).expect("create");
    pool.snapshot("volume@one");
    let one = pool.snapshot("a b/set@s1");
    pool.zfs
        .snapshot(&[pool.snap("a b/set@s2")], &PropertySet::new().text("org.x:why", "a  reason"))
        .expect("snapshot");
    pool.zfs.hold(&[(one.clone(), tag("x"))]).expect("hold");
    pool.zfs.clone_snapshot(&one, &pool.dataset("clone"), &PropertySet::new()).expect("clone");
    let mountpoint = PropertySet::new().text("mountpoint", "/elsewhere");
    pool.zfs.set_properties(&pool.dataset("clone"), &mountpoint).expect("set");
    pool.encrypted("secret");
    pool.snapshot("secret@one");
    pool.zpool(&["sync", pool.root().as_str()]);
    pool
}

type Rows = BTreeMap<String, BTreeMap<String, (String, String)>>;

/// What `zfs get all` prints: name → property → (value, source).
fn printed(pool: &Pool, types: &str) -> Rows {
    let root = pool.root();
    let args = ["get", "-Hpr", "-t", types, "-o", "name,property,value,source", "all", root.as_str()];
    let mut rows = Rows::new();
    for line in pool.zfs_command(&args).lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, property, value, source] = fields[..] else { panic!("{line:?}") };
        rows.entry(name.into()).or_default().insert(property.into(), (value.into(), source.into()));
    }
    rows
}

/// Both ways: what we report is what the command prints, and what it prints and we lack is a default or computed.
fn compare(
    pool: &Pool,
    name: &str,
    ours: &Properties,
    printed: &BTreeMap<String, (String, String)>,
) -> usize {
    /// Not kept by the kernel: the command works them out of other properties or of the table of mounts.
    const COMPUTED: &[&str] = &["mounted", "mountpoint", "type", "clones", "name"];
    let mut compared = 0;
    for (property, (value, source)) in printed {
        if COMPUTED.contains(&property.as_str()) {
            continue;
        }
        match ours.get(property) {
            Some(found) => {
                assert_eq!(
                    (&found.text(), &found.source.to_string()),
                    (value, source),
                    "{property} of {name}"
                );
                compared += 1;
            }
            None => {
                assert!(
                    source == "default" || source == "-",
                    "{name} has no {property} ({value:?}, {source})"
                );
            }
        }
    }
    for property in ours.user() {
        assert!(printed.contains_key(property.name()), "{name}: {} is not printed", property.name());
    }
    if let (Some((value, _)), Ok(dataset)) = (printed.get("mountpoint"), name.parse::<DatasetName>()) {
        let altroot = pool.mounts();
        let value = value.strip_prefix(altroot.to_str().expect("text")).unwrap_or(value);
        assert_eq!(effective_mountpoint(&dataset, ours).as_deref(), Some(value), "mountpoint of {name}");
    }
    compared
}

#[test]
fn datasets_equal_what_the_command_prints() {
    let pool = varied();
    let printed = printed(&pool, "filesystem,volume");
    let found: Vec<_> = pool.zfs.tree(&pool.root()).expect("tree").map(|d| d.expect("entry")).collect();
    let names: Vec<_> = found.iter().map(|d| d.name.to_string()).collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(sorted, printed.keys().cloned().collect::<Vec<_>>());
    for dataset in &found {
        let rows = &printed[dataset.name.as_str()];
        let compared = compare(&pool, dataset.name.as_str(), &dataset.properties, rows);
        assert!(compared >= 15, "only {compared} properties of {} were compared", dataset.name);
        assert_eq!(rows["guid"].0, dataset.guid.to_string());
        assert_eq!(rows["createtxg"].0, dataset.createtxg.to_string());
        assert_eq!(rows["type"].0, dataset.kind.to_string());
        let origin = rows.get("origin").map(|o| o.0.as_str()).filter(|o| !o.is_empty() && *o != "-");
        assert_eq!(origin, dataset.origin.as_ref().map(zfs_core::name::SnapshotName::as_str));
        // Each parent comes before its children.
        if let Some(parent) = dataset.name.parent().filter(|p| p.is_within(&pool.root())) {
            let at = |name: &DatasetName| names.iter().position(|n| n == name.as_str());
            assert!(at(&parent) < at(&dataset.name));
        }
        assert_eq!(pool.zfs.dataset(&dataset.name).expect("read").guid, dataset.guid);
    }
}

#[test]
fn snapshots_equal_what_the_command_prints() {
    let pool = varied();
    let printed = printed(&pool, "snapshot");
    let mut seen = 0;
    for dataset in pool.zfs.tree(&pool.root()).expect("tree") {
        let dataset = dataset.expect("entry").name;
        let simple: Vec<_> = pool.zfs.snapshots(&dataset).expect("list").map(|s| s.expect("entry")).collect();
        let detailed = pool.zfs.snapshots_with_properties(&dataset).expect("list").map(|s| s.expect("entry"));
        let wanted = ["userrefs", "creation", "no such property", "used"];
        let numbered = pool.zfs.snapshots_with_numbers(&dataset, wanted).expect("list");
        let numbered: Vec<_> = numbered.map(|s| s.expect("entry")).collect();
        assert_eq!(numbered.len(), simple.len());
        for ((simple, detailed), numbered) in simple.iter().zip(detailed.collect::<Vec<_>>()).zip(numbered) {
            assert_eq!(*simple, detailed.snapshot);
            let rows = &printed[simple.name.as_str()];
            assert_eq!(*simple, numbered.0);
            assert_eq!(numbered.1, wanted.map(|name| rows.get(name)?.0.parse().ok()));
            let compared = compare(&pool, simple.name.as_str(), &detailed.properties, rows);
            assert!(compared > 8, "only {compared} properties of {}", simple.name);
            assert_eq!(rows["guid"].0, simple.guid.to_string());
            assert_eq!(rows["createtxg"].0, simple.createtxg.to_string());
            seen += 1;
        }
    }
    assert_eq!(seen, printed.len());
    assert_eq!(seen, 5);
}

#[test]
fn children_are_the_next_level_only() {
    let pool = varied();
    let mut names: Vec<_> =
        pool.zfs.children(&pool.dataset("a b")).expect("list").map(|d| d.expect("entry").name).collect();
    names.sort();
    assert_eq!(names, [pool.dataset("a b/set")]);
    let volume = pool.zfs.children(&pool.dataset("volume")).map(std::iter::Iterator::count);
    assert!(matches!(volume, Ok(0)), "{volume:?}");
}

#[test]
fn pools_are_found() {
    let (one, two) = (Pool::new(), Pool::new());
    let pools = one.zfs.pools().expect("pools");
    assert!(pools.contains(&one.root()) && pools.contains(&two.root()), "{pools:?}");
    assert!(pools.is_sorted());
}

#[test]
fn transaction_groups_bound_the_list() {
    let pool = Pool::new();
    let name = pool.filesystem("a");
    for at in 0..10 {
        pool.snapshot(&format!("a@{at}"));
        pool.zpool(&["sync", pool.root().as_str()]);
    }
    let mut all: Vec<_> = pool.zfs.snapshots(&name).expect("list").map(|s| s.expect("entry")).collect();
    all.sort_by_key(|s| s.createtxg);
    let (first, last) = (all[3].createtxg, all[6].createtxg);
    let mut some: Vec<_> = pool
        .zfs
        .snapshots(&name)
        .expect("list")
        .created_in(first..=last)
        .map(|s| s.expect("entry"))
        .collect();
    some.sort_by_key(|s| s.createtxg);
    assert_eq!(some, all[3..=6]);
    let detailed = pool.zfs.snapshots_with_properties(&name).expect("list").created_in(first..=last);
    assert_eq!(detailed.filter(Result::is_ok).count(), 4);
    let after = Txg(last.0 + 1)..=Txg(u64::MAX);
    assert_eq!(pool.zfs.snapshots(&name).expect("list").created_in(after).filter(Result::is_ok).count(), 3);
}

#[test]
fn what_is_not_there_is_an_error_and_never_an_empty_list() {
    let pool = Pool::new();
    let missing = pool.dataset("missing");
    let nowhere: DatasetName = "no-such-pool-here/a".parse().expect("valid");
    for name in [&missing, &nowhere] {
        fails(pool.zfs.dataset(name), Operation::Inspect, ErrorKind::NotFound, name.as_str());
        assert_eq!(pool.zfs.find_dataset(name).expect("absent"), None);
        fails(
            pool.zfs.children(name).map(|_| ()),
            Operation::ListChildren,
            ErrorKind::NotFound,
            name.as_str(),
        );
        fails(pool.zfs.tree(name).map(|_| ()), Operation::Inspect, ErrorKind::NotFound, name.as_str());
        fails(
            pool.zfs.snapshots(name).map(|_| ()),
            Operation::ListSnapshots,
            ErrorKind::NotFound,
            name.as_str(),
        );
        let detailed = pool.zfs.snapshots_with_properties(name).map(|_| ());
        fails(detailed, Operation::ListSnapshots, ErrorKind::NotFound, name.as_str());
        let snapshot = name.snapshot("s").expect("valid");
        fails(
            pool.zfs.snapshot_details(&snapshot),
            Operation::Inspect,
            ErrorKind::NotFound,
            snapshot.as_str(),
        );
        assert_eq!(pool.zfs.find_snapshot(&snapshot).expect("absent"), None);
    }
}

#[test]
fn dataset_that_goes_away_while_listed_is_an_error() {
    let pool = Pool::new();
    let name = pool.filesystem("a");
    let names: Vec<_> = (0..5).map(|at| pool.snapshot(&format!("a@{at}"))).collect();
    let mut list = pool.zfs.snapshots(&name).expect("list");
    list.next().expect("one").expect("entry");
    pool.zfs.destroy_snapshots(&names, WhenInUse::Keep).expect("destroy");
    pool.zfs.destroy(&name).expect("destroy");
    let rest: Vec<_> = list.collect();
    let error = rest.into_iter().find_map(Result::err).expect("the rest of the list is not silently empty");
    fails(Err::<(), _>(error), Operation::ListSnapshots, ErrorKind::NotFound, name.as_str());

    // Also where another takes its place.
    pool.filesystem("a");
    pool.snapshot("a@1");
    let mut list = pool.zfs.snapshots(&name).expect("list");
    list.next().expect("one").expect("entry");
    pool.zfs.rename(&name, &pool.dataset("b")).expect("rename");
    pool.filesystem("a");
    assert!(list.any(|entry| entry.is_err()), "the list of one dataset went on in another");
}

#[test]
fn user_properties_have_their_sources() {
    let pool = Pool::new();
    let (parent, child) = (pool.filesystem("p"), pool.filesystem("p/c"));
    pool.zfs.set_properties(&parent, &PropertySet::new().text("org.x:y", "1")).expect("set");
    let found: Vec<_> = pool.zfs.children(&parent).expect("list").map(|d| d.expect("entry")).collect();
    let user: Vec<_> =
        found[0].properties.user().map(|p| (p.name().to_owned(), p.text(), p.source)).collect();
    assert_eq!(user, [("org.x:y".to_owned(), "1".to_owned(), Source::Inherited(parent.to_string()))]);
    assert_eq!(found[0].name, child);
}

#[test]
fn a_pool_is_known_with_its_guid_and_features() {
    let pool = Pool::new();
    let found = pool.zfs.pool(pool.root().as_str()).expect("the pool");
    assert_eq!(found.name, pool.root());
    let guid = pool.zpool(&["get", "-Hp", "-o", "value", "guid", pool.root().as_str()]);
    assert_eq!(found.guid.to_string(), guid.trim());
    // Bookmarks exist from the first one on.
    assert_eq!(found.features.get("com.delphix:bookmarks"), Some(&0));
    pool.filesystem("a");
    let one = pool.snapshot("a@one");
    pool.zfs.bookmark(&[(pool.mark("a#m"), one.into())]).expect("bookmark");
    pool.zpool(&["sync", pool.root().as_str()]);
    let found = pool.zfs.pool(pool.root().as_str()).expect("the pool");
    assert_eq!(found.features.get("com.delphix:bookmarks"), Some(&1));
    assert_eq!(found.features.get("org.example:unknown"), None);
    let missing = pool.zfs.pool("no-such-pool").expect_err("missing");
    assert_eq!(missing.kind(), zfs_core::ErrorKind::NotFound, "{missing}");
}
