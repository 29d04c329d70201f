//! Rollbacks and swaps on the ZFS in memory: what each leaves, what it refuses, and a crash before and after every effect,
//! after which the same call comes to the same end and nothing of the old state is lost.

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;

use zfs_core::DatasetKind;
use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::RestoreError;
use super::carry::Exchanged;
use super::carry::carry_out;
use super::carry::look;
use super::exchange::Wish;
use super::rollback;
use crate::codes::Code;
use crate::codes::Coded;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Inventory;
use crate::lock::LockError;
use crate::marks;
use crate::model::Content;
use crate::model::Fault;
use crate::model::ModelHost;
use crate::model::Moment;
use crate::model::World;
use crate::pair::NodeName;
use crate::pair::verbs::Mount;
use crate::pair::verbs::Node;
use crate::role::source::NotTaken;

const DATA: &str = "tank/data";
const CHILD: &str = "tank/data/x";
const NEW: &str = "tank/data_restored";
const NOW: i64 = 1_795_371_300;
const ASIDE: &str = "tank/data_diverged_20261122T181500Z";

fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

fn snap(text: &str) -> SnapshotName {
    text.parse().expect("a name")
}

/// What is mounted: it outlives the process.
type Mounts = Arc<Mutex<Vec<Mount>>>;

struct TestNode {
    name: NodeName,
    host: ModelHost,
    mounts: Mounts,
    busy: Option<&'static str>,
}

impl Node for TestNode {
    fn name(&self) -> &NodeName {
        &self.name
    }

    fn host(&mut self) -> &mut dyn Host {
        &mut self.host
    }

    fn close(&mut self, _: &[DatasetName]) -> Result<Box<dyn Send>, LockError> {
        Ok(Box::new(()))
    }

    fn health(&mut self, _: &str) -> Result<Option<String>, HostError> {
        Ok(None)
    }

    fn take(&mut self, _: &[SnapshotName]) -> Result<(), HostError> {
        panic!("nothing here takes snapshots")
    }

    fn mounts(&mut self) -> Result<Vec<Mount>, HostError> {
        Ok(self.mounts.lock().expect("no panic").clone())
    }

    fn mount(&mut self, dataset: &DatasetName, at: &Path) -> Result<(), HostError> {
        let mount = Mount { dataset: dataset.clone(), at: at.to_path_buf(), writable: true };
        self.mounts.lock().expect("no panic").push(mount);
        Ok(())
    }

    fn unmount(&mut self, mount: &Mount) -> Result<(), HostError> {
        if self.busy == Some(mount.dataset.as_str()) {
            return Err(HostError::Cancelled);
        }
        self.mounts.lock().expect("no panic").retain(|one| one.at != mount.at);
        Ok(())
    }

    fn flush(&mut self, _: &Mount) -> Result<(), HostError> {
        Ok(())
    }

    fn claim(&mut self) -> Result<(), NotTaken> {
        panic!("nothing here takes a service")
    }

    fn hand_over(&mut self) -> Result<bool, String> {
        panic!("nothing here gives a service away")
    }

    fn release(&mut self) -> Result<(), String> {
        panic!("nothing here gives a service back")
    }
}

struct Case {
    world: World,
    mounts: Mounts,
}

impl Case {
    /// A filesystem with a child, two snapshots, and something that is in none; and a restored one beside it.
    fn new() -> Self {
        let world = World::new(7, &["a"]);
        world.on("a", |a| {
            a.create_pool("tank");
            let place = vec![
                ("mountpoint".to_string(), "/srv/data".to_string()),
                ("org.example:kept".to_string(), "yes".to_string()),
                ("canmount".to_string(), "on".to_string()),
            ];
            a.create(&name(DATA), DatasetKind::Filesystem, &place).expect("create");
            a.create(&name(CHILD), DatasetKind::Filesystem, &Vec::new()).expect("create");
            a.write(&name(DATA), 1, 1);
            a.snapshot(&[snap("tank/data@1")]).expect("snapshot");
            a.write(&name(DATA), 2, 2);
            a.snapshot(&[snap("tank/data@2")]).expect("snapshot");
            a.write(&name(DATA), 3, 3);
            a.write(&name(CHILD), 9, 9);
            let received = [("readonly", "on"), ("canmount", "noauto")];
            let received = received.map(|(name, value)| (name.to_string(), value.to_string())).to_vec();
            a.create(&name(NEW), DatasetKind::Filesystem, &received).expect("create");
            a.write(&name(NEW), 5, 5);
            a.snapshot(&[snap("tank/data_restored@1")]).expect("snapshot");
        });
        let case = Self { world, mounts: Mounts::default() };
        for (dataset, at) in [(DATA, "/srv/data"), (CHILD, "/srv/data/x")] {
            case.node().mount(&name(dataset), Path::new(at)).expect("mounted");
        }
        case.world.restart();
        case
    }

    /// The same, and what was restored has a child of the same name.
    fn tree() -> Self {
        let case = Self::new();
        case.world.on("a", |a| {
            let received = [("readonly", "on"), ("canmount", "noauto")];
            let received = received.map(|(name, value)| (name.to_string(), value.to_string())).to_vec();
            a.create(&name("tank/data_restored/x"), DatasetKind::Filesystem, &received).expect("create");
            a.write(&name("tank/data_restored/x"), 6, 6);
            let own = vec![("org.example:child".to_string(), "yes".to_string())];
            a.set_properties(&name(CHILD), &own).expect("set");
        });
        case
    }

    fn node(&self) -> TestNode {
        let name = "here".parse().expect("a name");
        TestNode { name, host: self.world.host("a"), mounts: self.mounts.clone(), busy: None }
    }

    fn guid(&self, snapshot: &str) -> Guid {
        self.world.on("a", |a| a.find(&snap(snapshot)).expect("there").guid)
    }

    fn exchange(&self, wish: &Wish) -> Result<Exchanged, RestoreError> {
        carry_out(&mut self.node(), &name(DATA), Some(wish), NOW, &mut |_| {})
    }

    fn content(&self, dataset: &str) -> Option<Content> {
        self.world.on("a", |a| a.dataset(&name(dataset)).map(|found| found.content.clone()))
    }

    fn datasets(&self) -> Vec<String> {
        self.world.on("a", |a| a.datasets().map(|(name, _)| name.to_string()).collect())
    }

    fn snapshots(&self, dataset: &str) -> Vec<String> {
        self.world.on("a", |a| {
            let found = a.dataset(&name(dataset)).unwrap_or_else(|| panic!("no {dataset}"));
            found.snapshots.iter().map(|snap| snap.short.clone()).collect()
        })
    }

    fn value(&self, dataset: &str, property: &str) -> Option<String> {
        self.world.on("a", |a| a.dataset(&name(dataset))?.set.get(property).map(|(value, _)| value.clone()))
    }

    fn mounted(&self) -> Vec<(String, String)> {
        let mounts = self.node().mounts().expect("known");
        mounts.iter().map(|one| (one.dataset.to_string(), one.at.display().to_string())).collect()
    }

    /// What is the same whichever of the two it was.
    fn assert_ended(&self) {
        assert_eq!(self.value(DATA, "mountpoint").as_deref(), Some("/srv/data"));
        assert_eq!(self.value(DATA, "org.example:kept").as_deref(), Some("yes"));
        assert_eq!(self.value(DATA, "canmount").as_deref(), Some("on"));
        assert_eq!(self.value(DATA, "readonly"), None);
        assert_eq!(self.value(ASIDE, "canmount").as_deref(), Some("noauto"));
        assert_eq!(self.value(ASIDE, "readonly").as_deref(), Some("on"));
        for dataset in [DATA, ASIDE] {
            assert_eq!(self.value(dataset, marks::EXCHANGE), None, "{dataset}");
        }
        let expected = [(DATA, "/srv/data"), (CHILD, "/srv/data/x")];
        let expected = expected.map(|(dataset, at)| (dataset.to_string(), at.to_string()));
        assert_eq!(self.mounted(), expected);
    }
}

/// Runs an exchange with a crash at each of its effects, and again until it comes to its end.
fn after_every_effect(made: fn() -> Case, wish: impl Fn(&Case) -> Wish, end: impl Fn(&Case)) {
    let whole = made();
    let old = whole.content(DATA).expect("there");
    whole.exchange(&wish(&whole)).unwrap_or_else(|error| panic!("{error}"));
    end(&whole);
    let effects = whole.world.effects();
    assert!(effects > 5, "it did next to nothing");
    for effect in 1..=effects {
        for moment in [Moment::Before, Moment::After] {
            let case = made();
            let wish = wish(&case);
            case.world.inject(Fault::Crash { effect, moment });
            let crashed = case.exchange(&wish);
            assert!(case.world.crashed(), "{moment:?} {effect}: {crashed:?}");
            case.world.restart();
            let kept = [DATA, ASIDE].iter().any(|dataset| case.content(dataset).as_ref() == Some(&old));
            assert!(kept, "{moment:?} {effect}: {:?}", case.datasets());
            if effect == effects && moment == Moment::After {
                // All of it was done by then.
                end(&case);
                continue;
            }
            case.exchange(&wish)
                .unwrap_or_else(|error| panic!("{moment:?} {effect}: {error}\n{:?}", case.world.log()));
            // Of a mount by itself the order may differ.
            case.mounts.lock().expect("no panic").sort_by(|one, other| one.at.cmp(&other.at));
            end(&case);
        }
    }
}

#[test]
fn a_rollback_keeps_everything_and_a_crash_anywhere_is_finished_by_the_same_call() {
    after_every_effect(
        Case::new,
        |case| Wish::Snapshot(case.guid("tank/data@1")),
        |case| {
            case.assert_ended();
            assert_eq!(case.datasets(), ["tank", DATA, CHILD, ASIDE, NEW]);
            assert_eq!(case.content(CHILD).expect("there").get(&9), Some(&9));
            assert_eq!(case.snapshots(DATA), ["1"]);
            assert_eq!(case.snapshots(ASIDE), ["2"]);
            let (now, kept) = (case.content(DATA).expect("there"), case.content(ASIDE).expect("there"));
            assert_eq!((now.len(), kept.len()), (1, 3));
        },
    );
}

#[test]
fn a_swap_keeps_everything_and_a_crash_anywhere_is_finished_by_the_same_call() {
    after_every_effect(
        Case::new,
        |_| Wish::Dataset(name(NEW)),
        |case| {
            case.assert_ended();
            assert_eq!(case.datasets(), ["tank", DATA, CHILD, ASIDE]);
            assert_eq!(case.content(CHILD).expect("there").get(&9), Some(&9));
            assert_eq!(case.snapshots(ASIDE), ["1", "2"]);
            assert_eq!(case.content(DATA).expect("there").get(&5), Some(&5));
            assert_eq!(case.content(ASIDE).expect("there").len(), 3);
        },
    );
}

#[test]
fn of_a_swapped_tree_what_both_have_comes_from_the_new_one_and_the_old_ones_are_kept() {
    after_every_effect(
        Case::tree,
        |_| Wish::Dataset(name(NEW)),
        |case| {
            case.assert_ended();
            let old = format!("{ASIDE}/x");
            assert_eq!(case.datasets(), ["tank", DATA, CHILD, ASIDE, &old]);
            assert_eq!(case.content(CHILD).expect("there").get(&6), Some(&6));
            assert_eq!(case.content(&old).expect("there").get(&9), Some(&9));
            assert_eq!(case.value(CHILD, "org.example:child").as_deref(), Some("yes"));
            assert_eq!(case.value(CHILD, "readonly"), None);
            assert_eq!(case.value(CHILD, "canmount").as_deref(), Some("on"));
            assert_eq!(case.value(&old, "canmount").as_deref(), Some("noauto"));
        },
    );
}

#[test]
fn one_that_is_in_use_stops_it_before_anything_is_changed() {
    let case = Case::new();
    let mut node = TestNode { busy: Some(DATA), ..case.node() };
    let wish = Wish::Snapshot(case.guid("tank/data@1"));
    let error = carry_out(&mut node, &name(DATA), Some(&wish), NOW, &mut |_| {}).expect_err("in use");
    assert!(matches!(error, RestoreError::InUse { .. }), "{error}");
    assert_eq!(error.code(), Code::RestoreRefused);
    assert_eq!(case.world.effects(), 0, "{:?}", case.world.log());
    // What had been unmounted by then is back.
    assert_eq!(case.mounted().len(), 2);
}

#[test]
fn what_cannot_end_well_is_refused_before_anything_is_changed() {
    let case = Case::new();
    case.world.on("a", |a| {
        a.create(&name("tank/volume"), DatasetKind::Volume, &Vec::new()).expect("create");
        a.snapshot(&[snap("tank/volume@1"), snap("tank@1")]).expect("snapshot");
        a.create(&name("tank/empty"), DatasetKind::Filesystem, &Vec::new()).expect("create");
    });
    let refused = |dataset: &str, wish: Wish, word: &str| {
        let error = carry_out(&mut case.node(), &name(dataset), Some(&wish), NOW, &mut |_| {});
        let error = error.expect_err(word);
        assert!(error.code() == Code::RestoreRefused && error.to_string().contains(word), "{error}");
    };
    refused("tank", Wish::Snapshot(case.guid("tank@1")), "root dataset");
    refused(DATA, Wish::Snapshot(Guid(4711)), "does not have this snapshot");
    refused(DATA, Wish::Dataset(name("tank/volume")), "volume");
    refused(DATA, Wish::Dataset(name("tank/empty")), "received completely");
    refused(DATA, Wish::Dataset(name("tank/none")), "no dataset tank/none");
    refused(DATA, Wish::Dataset(name(CHILD)), "below the other");
    refused("tank/none", Wish::Dataset(name(NEW)), "no dataset tank/none");
    assert_eq!(case.world.effects(), 0, "{:?}", case.world.log());
}

#[test]
fn another_wish_does_not_go_on_with_what_was_begun_and_none_does() {
    let case = Case::new();
    let wish = Wish::Snapshot(case.guid("tank/data@1"));
    case.world.inject(Fault::Crash { effect: 2, moment: Moment::After });
    assert!(case.exchange(&wish).is_err());
    case.world.restart();
    let other = case.exchange(&Wish::Snapshot(case.guid(&format!("{ASIDE}@2")))).expect_err("another one");
    assert!(other.to_string().contains("not finished"), "{other}");
    carry_out(&mut case.node(), &name(DATA), None, NOW + 5, &mut |_| {}).expect("goes on");
    assert_eq!((case.snapshots(DATA), case.snapshots(ASIDE)), (vec!["1".to_string()], vec!["2".to_string()]));
    case.world.restart();
    let done = carry_out(&mut case.node(), &name(DATA), None, NOW, &mut |_| {}).expect("nothing to do");
    assert_eq!((done, case.world.effects()), (Exchanged::default(), 0));
}

#[test]
fn a_mark_that_is_inherited_or_of_another_dataset_begins_nothing() {
    let case = Case::new();
    let mark = marks::Exchange { since: NOW, old: Guid(1), new: Guid(2), canmount: None, readonly: None };
    let set = vec![(marks::EXCHANGE.to_string(), mark.to_string())];
    case.world.on("a", |a| a.set_properties(&name("tank"), &set).expect("set"));
    let facts = look(&mut case.world.host("a"), &name(DATA), None, NOW).expect("looked");
    assert_eq!((facts.mark(&name(DATA)), facts.aside), (None, None));
}

#[test]
fn a_preview_names_all_that_is_newer() {
    let case = Case::new();
    case.world.on("a", |a| {
        let mark = name(DATA).bookmark("later").expect("a name");
        a.bookmark(&[(mark, snap("tank/data@2").into())]).expect("bookmark");
    });
    let mut host = case.world.host("a");
    let Inventory::Present(tree) = host.inventory(&name(DATA), Depth::One).expect("known") else {
        panic!("it is there")
    };
    let mut details = rollback::Details::default();
    details.holds.insert(snap("tank/data@2"), vec!["mine".to_string()]);
    details.clones.insert(snap("tank/data@2"), 3);
    let loss = rollback::preview(tree.root(), &snap("tank/data@1"), &details, Some(77)).expect("there");
    assert_eq!((loss.snapshots.len(), loss.bookmarks.len(), loss.between), (1, 1, Some(77)));
    assert_eq!((loss.snapshots[0].holds.len(), loss.snapshots[0].clones), (1, 3));
    assert!(loss.written > 0 && !loss.is_nothing());
    let newest = rollback::preview(tree.root(), &snap("tank/data@2"), &details, None).expect("there");
    assert_eq!((newest.snapshots.len(), newest.between), (0, Some(0)));
    assert_eq!(rollback::preview(tree.root(), &snap("tank/data@9"), &details, None), None);
}
