//! The datasets of both nodes as they should be, and each way in which they are not.

use zfs_core::DatasetKind;
use zfs_core::Guid;

use super::copies::*;
use super::*;
use crate::check::Grade;
use crate::host::DatasetState;
use crate::host::Encryption;
use crate::host::Property;
use crate::host::PropertySource;
use crate::host::Tree;
use crate::pair::Belief;
use crate::pair::Doubt;
use crate::pair::Epoch;
use crate::pair::verbs::Mount;
use crate::pair::verbs::look::Root;

pub(super) fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

pub(super) fn state(dataset: &str, referenced: u64, available: u64) -> DatasetState {
    DatasetState {
        name: name(dataset),
        kind: DatasetKind::Filesystem,
        guid: Guid(1),
        encryption: None,
        origin: None,
        written: 0,
        referenced,
        available,
        partial: None,
        snapshots: Vec::new(),
        bookmarks: Vec::new(),
    }
}

/// A root with these datasets, of which the first is the root itself, mounted where the zfs command would.
pub(super) fn root(epoch: (u64, &str), readonly: &str, states: Vec<DatasetState>) -> Root {
    let property = |value: &str| Property { value: value.to_string(), source: PropertySource::Local };
    let first = states[0].name.clone();
    let properties = states.iter().map(|state| {
        let own = [("readonly", property(readonly)), ("canmount", property("noauto"))];
        (state.name.clone(), BTreeMap::from(own.map(|(name, value)| (name.to_string(), value))))
    });
    Root {
        name: first.clone(),
        pool: Guid(1),
        properties: properties.collect(),
        tree: Some(Tree::new(&first, states).expect("a tree")),
        belief: Belief::Known(Epoch {
            number: epoch.0,
            holder: epoch.1.parse().expect("a name"),
            pool: Guid(1),
        }),
        above: None,
    }
}

pub(super) fn found(root: Root, mounts: Mounts) -> Found {
    Found { root, mounts: Seen::Known(mounts), keys: BTreeMap::new() }
}

/// At the place where the zfs command would mount it.
pub(super) fn mount(dataset: &str, writable: bool) -> Mount {
    Mount { dataset: name(dataset), at: format!("/{dataset}").into(), writable }
}

fn sides(here: Result<Root, String>, there: Result<Root, String>) -> Sides {
    let of = |root: Result<Root, String>| root.map(|root| found(root, Mounts::Root(false)));
    Sides { name: name("tank/a"), here: of(here), there: of(there) }
}

fn names() -> Names {
    Names { here: "a".to_string(), peer: "b".to_string() }
}

#[test]
fn who_was_promoted_last_is_found_or_not_known() {
    let of = |number, holder: &str| Ok(root((number, holder), "on", vec![state("tank/a", 1, 1)]));
    let away = || Err("away".to_string());
    let who = |all: &[Sides]| active(all, &names());
    let is = |holder: &str| Ok(Some(holder.to_string()));
    assert_eq!(who(&[sides(of(1, "a"), of(1, "a"))]), is("a"));
    assert_eq!(who(&[sides(of(1, "a"), of(2, "b"))]), is("b"));
    assert_eq!(who(&[sides(of(3, "a"), of(2, "b"))]), is("a"));
    assert_eq!(who(&[sides(away(), of(2, "b")), sides(of(2, "b"), away())]), is("b"));
    // A root that nobody could look at says nothing.
    assert_eq!(who(&[sides(away(), away()), sides(of(1, "a"), away())]), is("a"));
    let mut bare = sides(of(1, "a"), away());
    bare.here.as_mut().expect("found").root.belief = Belief::None;
    assert_eq!(who(std::slice::from_ref(&bare)), Ok(None));
    assert!(who(&[sides(of(2, "a"), of(2, "b"))]).is_err_and(|why| why.contains("both nodes were promoted")));
    assert!(who(&[sides(of(2, "a"), away()), bare]).is_err_and(|why| why.contains("not the same one")));
    let mut strange = sides(of(1, "a"), of(1, "a"));
    strange.there.as_mut().expect("found").root.belief = Belief::Unknown(Doubt::Received);
    assert!(who(&[strange]).is_err_and(|why| why.contains("the epoch of tank/a on b")));
}

/// What is said of one root of a node; the text of the gravest, and all grades.
fn judged(role: Role, found: &Found) -> (Vec<Grade>, String) {
    let node = Node { name: "a", role, pair: "nfs" };
    let root = name("tank/a");
    let all = super::copies::findings(&node, &[(&root, Ok(found))]);
    let worst = all.iter().max_by_key(|one| one.grade).expect("findings");
    (all.iter().map(|one| one.grade).collect(), worst.text.clone())
}

const GOOD: [Grade; 3] = [Grade::Ok; 3];

fn tree(readonly: &str) -> Root {
    root((1, "a"), readonly, vec![state("tank/a", 1, 1), state("tank/a/b", 1, 1)])
}

#[test]
fn an_active_node_has_all_of_it_open_and_where_it_belongs() {
    let mounts = || vec![mount("tank/a", true), mount("tank/a/b", true)];
    let of = |root: Root, mounts| judged(Role::Active, &found(root, mounts));
    assert_eq!(of(tree("off"), Mounts::All(mounts())).0, GOOD);
    assert_eq!(of(tree("off"), Mounts::Root(true)).0, GOOD);
    let covered = Mount { dataset: name("other"), ..mount("tank/a/b", false) };
    let with = |change: &dyn Fn(&mut Vec<Mount>)| {
        let mut all = mounts();
        change(&mut all);
        Mounts::All(all)
    };
    for (root, mounts, words) in [
        (tree("on"), Mounts::All(mounts()), "tank/a and tank/a/b are read-only"),
        (tree("off"), with(&|all| drop(all.pop())), "/tank/a/b is only a directory"),
        (tree("off"), with(&|all| all.push(covered.clone())), "something else than tank/a/b"),
        (tree("off"), with(&|all| all[0].writable = false), "on /tank/a read-only"),
        (tree("off"), Mounts::Root(false), "tank/a is not mounted there"),
    ] {
        let (grades, text) = of(root, mounts);
        assert!(grades.contains(&Grade::Fail) && text.contains(words), "{words}: {text}");
    }
    // One that nobody mounts is not missed.
    let mut off = tree("off");
    off.properties.get_mut(&name("tank/a/b")).expect("one").get_mut("canmount").expect("one").value =
        "off".to_string();
    assert_eq!(of(off, Mounts::All(vec![mount("tank/a", true)])).0, GOOD);
}

#[test]
fn a_standby_has_all_of_it_closed() {
    let of = |root: Root, mounts| judged(Role::Standby, &found(root, mounts));
    assert_eq!(of(tree("on"), Mounts::All(vec![mount("tank/other", true)])).0, GOOD);
    assert_eq!(of(tree("on"), Mounts::Root(false)).0, GOOD);
    let (grades, text) = of(tree("off"), Mounts::All(Vec::new()));
    assert!(grades.contains(&Grade::Fail) && text.contains("are not read-only on a"), "{text}");
    let (grades, text) = of(tree("on"), Mounts::All(vec![mount("tank/a/b", true)]));
    assert!(grades.contains(&Grade::Fail) && text.contains("can be written to"), "{text}");
    let (grades, text) = of(tree("on"), Mounts::All(vec![mount("tank/a", false)]));
    assert!(grades.contains(&Grade::Warn) && text.contains("read-only: its files change"), "{text}");
    let (grades, text) = of(tree("on"), Mounts::Root(true));
    assert!(grades.contains(&Grade::Fail) && text.contains("can be written to"), "{text}");
    // What a restart would mount.
    let mut on = tree("on");
    on.properties.get_mut(&name("tank/a/b")).expect("one").remove("canmount");
    let (grades, text) = of(on, Mounts::Root(false));
    assert!(grades.contains(&Grade::Warn) && text.contains("canmount of tank/a/b"), "{text}");
    let unseen = Found { mounts: Seen::unknown("no agent"), ..found(tree("on"), Mounts::Root(false)) };
    let (grades, text) = judged(Role::Standby, &unseen);
    assert!(grades.contains(&Grade::Warn) && text.contains("is not known: no agent"), "{text}");
}

#[test]
fn a_root_that_is_not_there_is_told_by_who_should_have_it() {
    let mut empty = found(tree("on"), Mounts::Root(false));
    empty.root.tree = None;
    assert_eq!(judged(Role::Active, &empty).0, [Grade::Fail]);
    assert_eq!(judged(Role::Standby, &empty).0, [Grade::Warn]);
    let node = Node { name: "a", role: Role::Standby, pair: "nfs" };
    let (root, why) = (name("tank/a"), "the pool tank is suspended".to_string());
    let found = super::copies::findings(&node, &[(&root, Err(&why))]);
    assert_eq!(found.iter().map(|one| one.grade).collect::<Vec<_>>(), [Grade::Fail]);
}

#[test]
fn a_key_has_to_be_loaded_before_a_takeover_and_to_be_found_after_a_restart() {
    let with = |loaded: bool, location: Seen<String>, file: Option<Result<(), String>>| {
        let mut one = state("tank/a", 1, 1);
        one.encryption = Some(Encryption { root: name("tank/a"), key_loaded: loaded });
        let mut found = found(root((1, "a"), "on", vec![one]), Mounts::Root(false));
        found.keys.insert(name("tank/a"), Key { location, file });
        let (grades, text) = judged(Role::Standby, &found);
        (grades.into_iter().max().expect("grades"), text)
    };
    let at = |location: &str| Seen::Known(location.to_string());
    for (loaded, location, file, grade, words) in [
        (true, at("file:///root/key"), Some(Ok(())), Grade::Ok, ""),
        (true, at("file:///root/key"), None, Grade::Ok, ""),
        (
            true,
            at("file:///root/key"),
            Some(Err("gone".to_string())),
            Grade::Fail,
            "cannot be read on a: gone",
        ),
        (true, at("prompt"), None, Grade::Warn, "somebody has to enter it"),
        (true, Seen::unknown("refused"), None, Grade::Warn, "is not known: refused"),
        (false, at("file:///root/key"), Some(Ok(())), Grade::Fail, "a cannot take over; it comes from"),
        (false, at("prompt"), None, Grade::Fail, "cannot take over; somebody has to enter it"),
    ] {
        let (found, text) = with(loaded, location, file);
        assert_eq!(found, grade, "{text}");
        assert!(text.contains(words), "{words}: {text}");
    }
}
