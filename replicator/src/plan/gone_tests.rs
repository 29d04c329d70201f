//! What is gone at the source: marked, kept for as long as something speaks for it, and removed when nothing does.

use std::collections::BTreeMap;
use std::time::Duration;

use zfs_core::Guid;
use zfs_core::name::DatasetName;

use super::tests::dataset;
use super::*;
use crate::codes::Code;
use crate::codes::Coded;
use crate::host::Change;
use crate::host::DatasetState;
use crate::host::Inventory;
use crate::host::Partial;
use crate::host::Properties;
use crate::host::Property;
use crate::host::PropertySource;
use crate::host::RemovalCost;
use crate::host::Tree;
use crate::marks::GONE;
use crate::marks::Gone;
use crate::marks::REPLICA;
use crate::marks::Replica;

const DAY: i64 = 86_400;
const NOW: i64 = 1_795_371_300;
/// The GUIDs of the source's datasets, and of one that it had.
const ROOT: Guid = Guid(500);
const LOST: Guid = Guid(599);

fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

/// A source with one child, a target with that and `dst/lost`, all as they are after a run with the option.
struct Case {
    source: Vec<DatasetState>,
    target: Vec<DatasetState>,
    properties: Properties,
    costs: BTreeMap<DatasetName, RemovalCost>,
    options: Options,
    now: i64,
}

impl Case {
    fn new() -> Self {
        let mut case = Self {
            source: vec![dataset("src", "@a:1"), dataset("src/x", "@a:2")],
            target: vec![dataset("dst", "@a:1"), dataset("dst/x", "@a:2"), dataset("dst/lost", "@a:3 @b:4")],
            properties: Properties::new(),
            costs: BTreeMap::new(),
            options: Options {
                recursive: true,
                bookmarks: false,
                remove_gone_after: Some(Duration::from_secs(30 * DAY as u64)),
                ..Options::default()
            },
            now: NOW,
        };
        case.source.iter_mut().zip(500..).for_each(|(one, guid)| one.guid = Guid(guid));
        case.target.iter_mut().zip(700..).for_each(|(one, guid)| one.guid = Guid(guid));
        case.target[2].referenced = 4096;
        case.set("dst/x", REPLICA, Replica { root: ROOT, dataset: Guid(501) });
        case.set("dst/lost", REPLICA, Replica { root: ROOT, dataset: LOST });
        case
    }

    #[allow(clippy::needless_pass_by_value, reason = "the values are made for it")]
    fn set(&mut self, on: &str, property: &str, value: impl ToString) {
        let property_value = Property { value: value.to_string(), source: PropertySource::Local };
        self.properties.entry(name(on)).or_default().insert(property.to_string(), property_value);
    }

    fn mark(&self, since: i64) -> Gone {
        Gone { since, root: ROOT, newest: Guid(4), referenced: 4096 }
    }

    /// Marked so many days ago.
    fn marked(days: i64) -> Self {
        let mut case = Self::new();
        let mark = case.mark(NOW - days * DAY);
        case.set("dst/lost", GONE, mark);
        case
    }

    /// Looked at, too.
    fn due() -> Self {
        let mut case = Self::marked(31);
        let cost = RemovalCost { bytes: 12_345, mounted: false, held: None, cloned: None };
        case.costs.insert(name("dst/lost"), cost);
        case
    }

    fn lost(&mut self) -> &mut DatasetState {
        self.target.iter_mut().find(|one| one.name.as_str() == "dst/lost").expect("it")
    }

    fn plan(&self) -> TreePlan {
        let source = Tree::new(&self.source[0].name, self.source.clone()).expect("a tree");
        let target = Tree::new(&self.target[0].name, self.target.clone()).expect("a tree");
        let (target, root) = (Inventory::Present(target), name("dst"));
        let sides = Sides {
            target_properties: Some(&self.properties),
            costs: Some(&self.costs),
            ..Sides::new(&source, &target, &root, self.now)
        };
        let plan = plan(sides, &self.options);
        assert_eq!(plan, super::plan(sides, &self.options), "the same again");
        assert!(plan.to_json()["kept"].is_array());
        plan
    }

    /// Nothing is done to `dst/lost`, and this is said of it.
    fn stays(&self, because: &str) {
        let plan = self.plan();
        assert_eq!(shown(&plan), Vec::<String>::new(), "{because}");
        let kept = plan.kept.iter().find(|kept| kept.dataset.as_str() == "dst/lost");
        let kept = kept.unwrap_or_else(|| panic!("{because}: {:?}", plan.kept));
        assert!(kept.reason.contains(because), "{because:?} is not in {:?}", kept.reason);
    }
}

/// The changes of a plan.
fn shown(plan: &TreePlan) -> Vec<String> {
    let change = |step: &Step| match &step.action {
        Action::Change { change, side } => {
            assert_eq!(*side, Side::Target);
            change.to_string()
        }
        Action::Send { .. } => "a stream".to_string(),
    };
    plan.steps().map(change).collect()
}

#[test]
fn without_the_option_everything_stays_for_ever() {
    let mut case = Case::due();
    case.options.remove_gone_after = None;
    case.stays("no such dataset");
    let kept: Vec<_> = case.plan().kept.iter().map(|kept| kept.dataset.to_string()).collect();
    assert_eq!(kept, ["dst/lost"]);
}

#[test]
fn what_is_gone_is_marked_first_and_its_end_is_told() {
    let case = Case::new();
    let plan = case.plan();
    let mark = case.mark(NOW);
    assert_eq!(shown(&plan), [format!("set {GONE}={mark} on dst/lost")]);
    assert!(plan.kept[0].reason.contains("removed after 2026-12-22"), "{:?}", plan.kept);
    // From the next run on it only waits.
    for days in [0, 1, 29] {
        Case::marked(days).stays("to be removed after");
    }
}

#[test]
fn after_the_grace_period_every_snapshot_is_named_with_what_is_lost() {
    let mut case = Case::marked(30);
    // First somebody has to look at what it costs.
    case.stays("to be removed");
    assert!(case.plan().kept[0].due);
    case = Case::due();
    let plan = case.plan();
    assert_eq!(
        shown(&plan),
        ["destroy 2 snapshots of dst/lost: @a, @b", "destroy dst/lost (12345 bytes are lost)"]
    );
    assert!(plan.kept.is_empty());
    let json = plan.to_json();
    assert_eq!(json["after"][0]["snapshots"][1]["name"], "dst/lost@b");
    assert_eq!(json["after"][0]["snapshots"][1]["guid"], "4");
    assert_eq!(json["after"][1]["lost_bytes"], 12_345);
    assert!(plan.after.iter().all(|step| step.reason.contains("gone at the source since 2026-10-22")));
    let [first, second] = plan.after.as_slice() else { panic!("{plan:?}") };
    let Action::Change { change: Change::DestroySnapshots { newest, .. }, .. } = &first.action else {
        panic!("{first:?}")
    };
    assert_eq!(*newest, Guid(4));
    assert!(matches!(&second.action, Action::Change { change: Change::Destroy { guid: Guid(702), .. }, .. }));
}

#[test]
fn many_snapshots_go_in_batches_the_newest_last() {
    let mut case = Case::due();
    let content: Vec<String> = (0..250).map(|n| format!("@s{n}:{}", 1000 + n)).collect();
    let lost = dataset("dst/lost", &content.join(" "));
    case.lost().snapshots = lost.snapshots;
    let mark = Gone { newest: Guid(1249), ..case.mark(0) };
    case.set("dst/lost", GONE, mark);
    let plan = case.plan();
    assert_eq!(plan.after.len(), 4);
    let Action::Change { change: Change::DestroySnapshots { snapshots, .. }, .. } = &plan.after[2].action
    else {
        panic!("{plan:?}")
    };
    assert_eq!((snapshots.len(), snapshots[49].1), (50, Guid(1249)));
}

#[test]
fn a_removal_that_broke_off_after_the_snapshots_is_finished() {
    let mut case = Case::due();
    case.lost().snapshots.clear();
    case.lost().written = 4096;
    assert_eq!(shown(&case.plan()), ["destroy dst/lost (12345 bytes are lost)"]);
    // What refers to something else now was used since.
    case.lost().referenced = 5000;
    case.stays("was changed here");
}

#[test]
fn what_speaks_for_a_dataset_keeps_it() {
    let mut case = Case::due();
    case.lost().written = 1;
    case.stays("was changed here");

    let mut case = Case::due();
    case.lost().snapshots.push(dataset("dst/lost", "@own:9:900").snapshots[0].clone());
    case.stays("was changed here");

    let mut case = Case::new();
    case.lost().written = 77;
    case.stays("77 bytes were written");

    let mut case = Case::due();
    case.lost().partial = Some(Partial { token: "1-x".to_string(), content: Err("no".to_string()) });
    case.stays("broke off");

    let snapshot = name("dst/lost").snapshot("a").ok();
    for (cost, because) in [
        (RemovalCost { bytes: 1, mounted: false, held: snapshot.clone(), cloned: None }, "has a hold"),
        (RemovalCost { bytes: 1, mounted: false, held: None, cloned: snapshot }, "has a clone"),
        (RemovalCost { bytes: 1, mounted: true, held: None, cloned: None }, "is mounted"),
    ] {
        let mut case = Case::due();
        case.costs.insert(name("dst/lost"), cost);
        case.stays(because);
    }
}

#[test]
fn only_copies_of_this_very_source_are_ever_touched() {
    let mut case = Case::due();
    case.properties.get_mut(&name("dst/lost")).expect("it").remove(REPLICA);
    case.stays("not marked as a copy");

    // Inherited or received, it says nothing about this dataset.
    for source in [PropertySource::Inherited, PropertySource::Received] {
        let mut case = Case::due();
        let all = case.properties.get_mut(&name("dst/lost")).expect("it");
        all.get_mut(REPLICA).expect("it").source = source;
        case.stays("not marked as a copy");
        let mut case = Case::due();
        let all = case.properties.get_mut(&name("dst/lost")).expect("it");
        all.get_mut(GONE).expect("it").source = source;
        assert_eq!(shown(&case.plan()).len(), 1, "the time begins anew");
    }

    let mut case = Case::due();
    case.source[0].guid = Guid(1);
    case.options.properties = PropertyList::new(&["none".to_string()], &[], &[]).expect("none");
    let plan = case.plan();
    assert!(plan.kept[0].reason.contains("another source"), "{:?}", plan.kept);
    assert!(!shown(&plan).iter().any(|change| change.starts_with("destroy")), "{:?}", shown(&plan));

    let mut case = Case::due();
    case.set("dst/lost", REPLICA, Replica { root: ROOT, dataset: Guid(501) });
    case.stays("a copy of src/x");

    let mut case = Case::due();
    case.options.datasets = Patterns::new(&[], &["lost".to_string()]).expect("a pattern");
    case.stays("not selected");

    let mut case = Case::due();
    let mut excluded = dataset("src/lost", "");
    excluded.guid = Guid(888);
    case.source.push(excluded);
    case.options.datasets = Patterns::new(&["x".to_string(), ".".to_string()], &[]).expect("patterns");
    case.stays("src/lost is not selected");

    let mut case = Case::due();
    case.options.recursive = false;
    assert_eq!((shown(&case.plan()).len(), case.plan().kept.len()), (0, 0));
}

#[test]
fn what_was_set_aside_is_never_removed_nor_anything_below_it() {
    for aside in ["dst/lost_diverged_20261122T181500Z", "dst/x_diverged_20261122T181500Z/lost"] {
        let mut case = Case::due();
        let old = case.properties.remove(&name("dst/lost")).expect("it");
        let mut moved = dataset(aside, "@a:3 @b:4");
        (moved.guid, moved.referenced) = (Guid(702), 4096);
        case.target[2] = moved;
        case.properties.insert(name(aside), old);
        let cost = case.costs.remove(&name("dst/lost")).expect("it");
        case.costs.insert(name(aside), cost);
        let plan = case.plan();
        assert_eq!(shown(&plan), Vec::<String>::new(), "{aside}");
        assert!(plan.kept.iter().any(|kept| kept.reason.contains("before it diverged")), "{:?}", plan.kept);
    }
}

#[test]
fn a_child_that_stays_keeps_its_parent_and_children_go_first() {
    let mut case = Case::due();
    let mut child = dataset("dst/lost/child", "@a:5");
    (child.guid, child.referenced) = (Guid(703), 10);
    case.target.push(child);
    case.set("dst/lost/child", REPLICA, Replica { root: ROOT, dataset: Guid(598) });
    let plan = case.plan();
    assert_eq!(shown(&plan).len(), 1, "only the child's mark");
    assert!(shown(&plan)[0].contains("dst/lost/child"));
    assert!(plan.kept.iter().any(|kept| kept.reason.contains("dst/lost/child below it stays")));

    let mark = Gone { since: 0, root: ROOT, newest: Guid(5), referenced: 10 };
    case.set("dst/lost/child", GONE, mark);
    let cost = RemovalCost { bytes: 1, mounted: false, held: None, cloned: None };
    case.costs.insert(name("dst/lost/child"), cost);
    let all = shown(&case.plan());
    assert_eq!(
        all,
        [
            "destroy 1 snapshot of dst/lost/child: @a",
            "destroy dst/lost/child (1 bytes are lost)",
            "destroy 2 snapshots of dst/lost: @a, @b",
            "destroy dst/lost (12345 bytes are lost)"
        ]
    );
}

#[test]
fn a_wrong_clock_only_makes_it_wait_longer() {
    let mut case = Case::due();
    let mark = case.mark(NOW + 1);
    case.set("dst/lost", GONE, mark);
    assert_eq!(shown(&case.plan()), [format!("set {GONE}={} on dst/lost", case.mark(NOW))]);
    let mut case = Case::due();
    case.now = 0;
    assert_eq!(shown(&case.plan()).len(), 1, "the mark is from the future, seen from 1970");
    assert!(shown(&case.plan())[0].starts_with("set "));
    for damaged in ["", "1", "1:20261122T181500Z", "yes"] {
        let mut case = Case::due();
        case.set("dst/lost", GONE, damaged);
        assert!(shown(&case.plan())[0].starts_with("set "), "{damaged:?}");
    }
}

#[test]
fn what_is_there_again_loses_the_mark_and_what_is_new_gets_the_other() {
    let mut case = Case::due();
    let mut back = dataset("src/lost", "@a:3 @b:4");
    back.guid = LOST;
    case.source.push(back);
    assert_eq!(shown(&case.plan()), [format!("remove {GONE} from dst/lost")]);

    let mut case = Case::new();
    case.properties.clear();
    case.properties.extend(["dst", "dst/x", "dst/lost"].map(|one| (name(one), BTreeMap::new())));
    let mark = Replica { root: ROOT, dataset: Guid(501) };
    assert_eq!(shown(&case.plan()), [format!("set {REPLICA}={mark} on dst/x")]);
}

#[test]
fn a_dataset_that_is_not_encrypted_is_refused_where_only_encrypted_ones_may_go() {
    let mut case = Case::new();
    case.options.require_encrypted = true;
    let conflicts: Vec<_> =
        case.plan().conflicts().map(|(name, conflict)| (name.to_string(), conflict.kind())).collect();
    assert_eq!(conflicts, [("src".to_string(), "not-encrypted"), ("src/x".to_string(), "not-encrypted")]);
    assert!(case.plan().conflicts().all(|(_, conflict)| conflict.code() == Code::NotEncrypted));
    assert!(case.plan().steps().next().is_none(), "nothing is changed where nothing can be sent");
}
