//! Pictures of pairs that are tables in memory, and the screen as the documentation shows it.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use zfs_core::DatasetKind;
use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::DatasetName;

use super::facts::Amount;
use super::facts::Aside;
use super::facts::Away;
use super::facts::Basis;
use super::facts::Facts;
use super::facts::Goal;
use super::facts::Line;
use super::facts::Own;
use super::facts::Sides;
use super::gather::interval;
use super::outcome;
use super::picture::LossKind;
use super::picture::Picture;
use super::picture::picture;
use super::text::text;
use crate::cli::finding::Level;
use crate::cli::outcome::Outcome;
use crate::host::Base;
use crate::host::DatasetState;
use crate::host::Encryption;
use crate::host::Partial;
use crate::host::PartialContent;
use crate::host::Properties;
use crate::host::Property;
use crate::host::PropertySource;
use crate::host::Snapshot;
use crate::host::Tree;
use crate::pair::Belief;
use crate::pair::Doubt;
use crate::pair::Epoch;
use crate::pair::paused::Cause;
use crate::pair::paused::Paused;
use crate::pair::verbs::look::Root;
use crate::policy::Every;
use crate::policy::Schedule;
use crate::policy::TimeOfDay;
use crate::role::Role;
use crate::role::decide::Names;
use crate::role::epochs::Epochs;
use crate::role::observation::Epoch as Seen1;
use crate::role::observation::Ha;
use crate::role::observation::Observation;
use crate::role::observation::Owner;
use crate::role::observation::PeerSaid;
use crate::role::observation::Quorum;
use crate::role::observation::Reading;
use crate::role::observation::Seen;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/pair.md");

/// 2026-11-28 14:07 UTC.
const NOW: i64 = 1_795_874_820;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

/// Each snapshot is a number, which is its GUID, its txg and its name.
fn state(dataset: &str, snapshots: &[u64], written: u64, referenced: u64) -> DatasetState {
    let snapshot = |number: &u64| Snapshot {
        name: name(dataset).snapshot(&format!("s{number}")).expect("a name"),
        guid: Guid(*number),
        createtxg: Txg(*number),
        ivset: None,
    };
    DatasetState {
        name: name(dataset),
        kind: DatasetKind::Filesystem,
        guid: Guid(1),
        encryption: None,
        origin: None,
        written,
        referenced,
        available: 0,
        partial: None,
        snapshots: snapshots.iter().map(snapshot).collect(),
        bookmarks: Vec::new(),
    }
}

/// A root with these datasets, of which the first is itself.
fn root(epoch: (u64, &str), readonly: &str, datasets: Vec<DatasetState>) -> Root {
    let first = datasets[0].name.clone();
    let property = |value: &str, source| Property { value: value.to_string(), source };
    let of = |state: &DatasetState| {
        let own = state.name == first;
        let source = if own { PropertySource::Local } else { PropertySource::Inherited };
        (state.name.clone(), BTreeMap::from([("readonly".to_string(), property(readonly, source))]))
    };
    let properties: Properties = datasets.iter().map(of).collect();
    let pool = Guid(7);
    Root {
        name: first.clone(),
        pool,
        tree: Some(Tree::new(&first, datasets).expect("a tree")),
        properties,
        belief: match epoch {
            (0, _) => Belief::None,
            (number, holder) => {
                Belief::Known(Epoch { number, holder: holder.parse().expect("a name"), pool })
            }
        },
        above: None,
    }
}

/// A pair in which the service is on `owner`. The lines are those of the roots, each dated by the GUID of its snapshot: so
/// many minutes ago.
fn facts(owner: Owner, here: (u64, &str), there: (u64, &str), roots: Vec<Sides>) -> Facts {
    let names = Names { here: "elitedesk".to_string(), peer: "thinkpad".to_string() };
    let epoch = |(number, holder): (u64, &str)| {
        Epochs::from(Seen::Known((number > 0).then(|| Seen1 { number, holder: holder.to_string() })))
    };
    let apart = roots.iter().flat_map(|root| root.apart(&names)).collect();
    let mut facts = Facts {
        pair: "nfs".to_string(),
        machine: "root@192.0.2.2".to_string(),
        now: NOW,
        seen: Observation {
            reading: Reading {
                owner: Seen::Known(owner),
                moving: Seen::Known(false),
                quorum: Seen::Known(Quorum::Quorate),
                ha: Seen::Known(Ha::Armed),
            },
            peer: PeerSaid::Answered { role: Seen::unknown("it was not asked"), epoch: epoch(there) },
            epoch: epoch(here),
            by_hand: Seen::Known(None),
        },
        away: None,
        lines: Vec::new(),
        apart,
        flapping: None,
        roots,
        asides: Vec::new(),
        pools: Vec::new(),
        unmounted: Vec::new(),
        paused: Vec::new(),
        drift: 20,
        unread: Vec::new(),
        names,
    };
    draw_lines(&mut facts, &[]);
    facts
}

/// As a look of its own would give them: snapshots that were not sent are streams of 10 MiB.
fn draw_lines(facts: &mut Facts, remembered: &[(&str, u64)]) {
    let remembered = |dataset: &DatasetName| {
        remembered.iter().find(|(name, _)| *name == dataset.as_str()).map(|(_, guid)| Guid(*guid))
    };
    let mut lines: Vec<Line> =
        facts.roots.iter().flat_map(|root| root.lines(&facts.names, &remembered)).collect();
    for line in &mut lines {
        line.goal = Goal::Every(900);
        let minutes = |one: &Snapshot| 1000 - i64::try_from(one.guid.0).expect("small");
        line.taken = line.common.as_ref().map(|one| NOW - 60 * minutes(one));
        if line.stream.is_some() {
            line.lost = Amount { bytes: line.lost.bytes + 10 * MIB, exact: true };
        }
    }
    facts.lines = lines;
}

fn sides(here: Root, there: Root) -> Sides {
    Sides { name: here.name.clone(), here: Ok(here), there: Ok(there) }
}

const US: (u64, &str) = (7, "elitedesk");
const THEM: (u64, &str) = (7, "thinkpad");

/// One root, active here, with a copy of it.
fn active(state: DatasetState, copy: DatasetState) -> Facts {
    let pair = sides(root(US, "off", vec![state]), root(US, "on", vec![copy]));
    facts(Owner::Here, US, US, vec![pair])
}

/// All is well: the newest common snapshot is four minutes old.
fn well() -> Facts {
    active(state("t/a", &[980, 996], 0, GIB), state("t/a", &[980, 996], 0, GIB))
}

fn texts(picture: &Picture, level: Level) -> Vec<&str> {
    picture.findings.iter().filter(|one| one.level == level).map(|one| one.text.as_str()).collect()
}

/// The only risk, and the commands against it.
fn risk(facts: &Facts) -> (String, Vec<String>) {
    let picture = picture(facts);
    let risks: Vec<_> = picture.findings.iter().filter(|one| one.level == Level::Risk).collect();
    let [one] = risks.as_slice() else { panic!("{:#?}", picture.findings) };
    (one.text.clone(), one.commands.iter().map(|one| format!("{}: {}", one.on, one.run)).collect())
}

/// What stands in docs/pair.md.
fn documented() -> Facts {
    let one = |dataset: &str, here: (&[u64], u64), there: &[u64], size: u64| {
        let (ours, theirs) = (state(dataset, here.0, here.1, size), state(dataset, there, 0, size));
        sides(root(US, "off", vec![ours]), root(US, "on", vec![theirs]))
    };
    let mut storage = one("zpool2/storage", (&[980, 996], 3 * MIB), &[980, 996], 900 * GIB);
    let vm = |snapshots: &[u64]| state("zpool2/storage/vm", snapshots, 0, 40 * GIB);
    let lock = |root: &mut Root, key_loaded| {
        let mut all = root.tree.as_ref().expect("a tree").datasets().to_vec();
        all.push(vm(&[980, 996]));
        for state in &mut all {
            state.encryption = Some(Encryption { root: name("zpool2/storage"), key_loaded });
        }
        root.tree = Some(Tree::new(&name("zpool2/storage"), all).expect("a tree"));
    };
    lock(storage.here.as_mut().expect("seen"), true);
    lock(storage.there.as_mut().expect("seen"), false);
    let roots = vec![
        one("zpool1/data-nfs-share", (&[980, 996], 12 * MIB), &[980, 996], 300 * GIB),
        one("zpool1/pbs-backups", (&[980, 996], 0), &[980, 996], 2000 * GIB),
        one("zpool2/photos", (&[870, 885, 900], 5 * MIB), &[855, 870], 700 * GIB),
        storage,
    ];
    let mut facts = facts(Owner::Here, US, US, roots);
    facts.asides.push(Aside {
        node: "thinkpad".to_string(),
        dataset: name("zpool2/storage/vm-divergent-6"),
        bytes: Some(1_288_490_189),
        kind: DatasetKind::Filesystem,
    });
    facts
}

#[test]
fn the_screen_is_the_one_in_the_documentation() {
    let screen = text(&picture(&documented()), &TimeZone::UTC);
    let docs = std::fs::read_to_string(DOCS).expect("docs/pair.md");
    let shown = docs.split("\n```text\n").find(|part| part.starts_with("Pair nfs, seen from"));
    let shown = shown.and_then(|part| part.split_once("```")).map(|(screen, _)| screen);
    assert_eq!(shown, Some(screen.as_str()), "docs/pair.md should show this:\n{screen}");
    // What is to be copied is never broken.
    for line in screen.lines().filter(|line| !line.contains("#  ")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn the_json_has_the_numbers() {
    let json = serde_json::to_value(picture(&documented())).expect("JSON");
    let (loss, dataset) = (&json["losses"][0], &json["datasets"][0]);
    assert_eq!((&loss["node"], &loss["kind"]), (&"elitedesk".into(), &"active".into()));
    assert_eq!(loss["amount"], serde_json::json!({ "bytes": 30 * MIB, "exact": true }));
    assert_eq!((&json["level"], &json["active"]), (&"risk".into(), &"elitedesk".into()));
    let expected = serde_json::json!({
        "dataset": "zpool2/photos",
        "basis": "both",
        "common": "s870",
        "common_taken": NOW - 7800,
        "age_seconds": 7800,
        "goal_seconds": 900,
        "late": true,
        "snapshots_behind": 2,
        "only_on_active": { "bytes": 15 * MIB, "exact": true },
    });
    assert_eq!(*dataset, expected);
    assert_eq!(json["findings"][0]["commands"][0]["run"], "replicator run");
}

#[test]
fn all_is_well() {
    let facts = well();
    let seen = picture(&facts);
    assert_eq!(seen.findings, []);
    assert_eq!((seen.nodes[0].role, seen.nodes[1].role), (Role::Active, Role::Standby));
    let screen = text(&seen, &TimeZone::UTC);
    assert!(screen.contains("SAFE: both nodes") && screen.contains("TO DO\n  nothing\n"), "{screen}");
    assert!(screen.contains("if elitedesk died: nothing; thinkpad has everything"), "{screen}");
    assert_eq!(outcome(&facts), Outcome::Success);
    // The same from the other side.
    let pair = sides(
        root(THEM, "on", vec![state("t/a", &[996], 0, GIB)]),
        root(THEM, "off", vec![state("t/a", &[996], 0, GIB)]),
    );
    let seen = picture(&facts_of_standby(pair));
    assert_eq!(seen.findings, []);
    assert_eq!((seen.nodes[0].role, seen.nodes[1].role), (Role::Standby, Role::Active));
    assert_eq!(seen.active.as_deref(), Some("thinkpad"));
}

fn facts_of_standby(pair: Sides) -> Facts {
    facts(Owner::Node("thinkpad".to_string()), THEM, THEM, vec![pair])
}

#[test]
fn what_was_not_sent_is_counted_and_late_only_where_something_is_missing() {
    let copy = || state("t/a", &[940], 0, GIB);
    // An hour old, and nothing was written since.
    let idle = active(state("t/a", &[940], 0, GIB), copy());
    assert_eq!(picture(&idle).findings, []);
    // Ten minutes old, with something new: the next run is still to come.
    let young = active(state("t/a", &[990], MIB, GIB), state("t/a", &[990], 0, GIB));
    assert_eq!(picture(&young).findings, []);
    let late = active(state("t/a", &[940, 955, 970], MIB, GIB), copy());
    let (text, commands) = risk(&late);
    assert!(text.contains("t/a has not reached thinkpad for up to 1h: "), "{text}");
    assert_eq!(commands, ["elitedesk: replicator run"]);
    let seen = picture(&late);
    let loss = &seen.losses[0];
    assert_eq!(
        (loss.kind, loss.amount, loss.since),
        (LossKind::Active, Amount { bytes: 11 * MIB, exact: true }, Some(NOW - 3600))
    );
    assert_eq!((seen.datasets[0].snapshots_behind, seen.datasets[0].late), (Some(2), true));
    assert_eq!((seen.losses[1].kind, seen.losses[1].amount), (LossKind::Standby, Amount::NOTHING));
}

#[test]
fn a_stream_is_asked_for_from_the_common_snapshot_to_the_newest() {
    let all = active(state("t/a", &[1, 2, 3, 4], MIB, GIB), state("t/a", &[0, 1, 2], 0, GIB));
    let names = &all.names;
    let line = &all.roots[0].lines(names, &|_| None)[0];
    let stream = line.stream.as_ref().expect("one");
    assert_eq!(stream.from.as_ref().map(Base::guid), Some(Guid(2)));
    assert_eq!((stream.to.guid, line.behind, line.ahead), (Guid(4), Some(2), 0));
    // Until it is estimated, what is known is the least.
    assert_eq!(line.lost, Amount { bytes: MIB, exact: false });
}

#[test]
fn a_copy_that_lacks_the_dataset_or_has_another_history_is_told() {
    let parent = |ours: &[DatasetState], theirs: &[DatasetState]| {
        let with = |others: &[DatasetState]| {
            std::iter::once(state("t/a", &[996], 0, 0)).chain(others.to_vec()).collect()
        };
        facts(Owner::Here, US, US, vec![sides(root(US, "off", with(ours)), root(US, "on", with(theirs)))])
    };
    let new = parent(&[state("t/a/new", &[990], 0, GIB)], &[]);
    let (text, commands) = risk(&new);
    assert!(text.contains("t/a/new has never arrived completely on thinkpad"), "{text}");
    assert_eq!(commands, ["elitedesk: replicator run"]);
    assert_eq!(picture(&new).losses[0].amount, Amount { bytes: GIB, exact: true });
    let other = parent(&[state("t/a/x y", &[990], 0, GIB)], &[state("t/a/x y", &[12], 0, GIB)]);
    let (text, commands) = risk(&other);
    assert!(text.contains("no snapshot that both nodes have"), "{text}");
    assert_eq!(commands, ["thinkpad: zfs rename 't/a/x y' 't/a/x y-before'"]);
    let ahead = active(state("t/a", &[996], 0, GIB), state("t/a", &[996, 997, 998], 0, GIB));
    let (text, commands) = risk(&ahead);
    assert!(text.contains("t/a has got snapshots on thinkpad"), "{text}");
    let expected = [
        "thinkpad: zfs list -t snapshot -o name,creation,used t/a",
        "thinkpad: replicator pair rejoin nfs --aside",
    ];
    assert_eq!(commands, expected);
    assert!(!text.contains("destroy"), "{text}");
    let left = parent(&[], &[state("t/a/old", &[990], 0, GIB), state("t/a/old-divergent-3", &[], 0, GIB)]);
    let (text, commands) = risk(&left);
    assert!(text.contains("t/a/old is only on thinkpad: removed on elitedesk, or made by hand."), "{text}");
    assert_eq!(commands, ["thinkpad: zfs list -r -t all -o name,creation,used t/a/old"]);
    // As a whole it is one thing.
    let mut gone = well();
    let there = gone.roots[0].there.as_mut().expect("seen");
    (there.tree, there.belief) = (None, Belief::None);
    draw_lines(&mut gone, &[]);
    let (text, commands) = risk(&gone);
    assert!(text.contains("t/a is not there on thinkpad"), "{text}");
    assert_eq!(commands, ["elitedesk: replicator run --only replicate"]);
}

#[test]
fn what_is_not_pruned_because_data_may_be_lost_is_told_with_what_to_do() {
    let paused = |cause, dataset: &str| Paused {
        pair: "nfs".to_string(),
        dataset: dataset.to_string(),
        cause,
        why: format!("{dataset} lost most of its data"),
        hint: "look what is missing".to_string(),
    };
    let mut lost = well();
    lost.paused.push(paused(Cause::Lost, "t/a"));
    let (text, commands) = risk(&lost);
    assert_eq!(text, "t/a lost most of its data. What to do: look what is missing.");
    assert_eq!(commands, ["elitedesk: replicator pair accept nfs --dry-run"]);
    lost.paused[0].cause = Cause::NoSizes;
    assert_eq!((texts(&picture(&lost), Level::Look).len(), picture(&lost).level), (1, Level::Look));
    // What is only here is told once, whether or not a run has seen it.
    let with = |others: &[DatasetState]| {
        std::iter::once(state("t/a", &[996], 0, GIB)).chain(others.to_vec()).collect()
    };
    let old = state("t/a/old", &[990], 0, GIB);
    let mut gone = facts_of_standby(sides(root(THEM, "on", with(&[old])), root(THEM, "off", with(&[]))));
    assert!(risk(&gone).0.contains("t/a/old is only on elitedesk"));
    gone.paused.push(paused(Cause::Missing, "t/a/old"));
    assert!(risk(&gone).0.contains("t/a/old is only on elitedesk"));
    // Where the other node cannot be asked, a run may have done so.
    gone.roots[0].there = Err("no route".to_string());
    gone.seen.peer = PeerSaid::Unreachable("no route".to_string());
    gone.away = Some(Away { why: "no route".to_string(), reached: None });
    draw_lines(&mut gone, &[]);
    let seen = picture(&gone);
    assert!(texts(&seen, Level::Risk).iter().any(|text| text.starts_with("t/a/old lost most")), "{seen:#?}");
}

#[test]
fn a_peer_that_is_away_leaves_what_is_remembered() {
    let mut facts = active(state("t/a", &[940, 970], MIB, GIB), state("t/a", &[940], 0, GIB));
    facts.roots[0].there = Err("no route".to_string());
    facts.seen.peer = PeerSaid::Unreachable("no route".to_string());
    facts.away = Some(Away { why: "no route".to_string(), reached: Some(NOW - 3500) });
    draw_lines(&mut facts, &[("t/a", 940)]);
    let seen = picture(&facts);
    assert_eq!((seen.nodes[0].role, seen.nodes[1].role), (Role::Active, Role::Unknown));
    assert_eq!(seen.datasets[0].basis, Basis::Remembered);
    assert_eq!(seen.losses[0].amount, Amount { bytes: 11 * MIB, exact: true });
    let risks = texts(&seen, Level::Risk);
    assert!(risks[0].contains("no route. A run reached it 58m ago."), "{risks:?}");
    assert!(risks[1].contains("not reached thinkpad for up to 1h"), "{risks:?}");
    assert_eq!(outcome(&facts), Outcome::Connection);
    // Without memory nothing is claimed.
    draw_lines(&mut facts, &[]);
    let seen = picture(&facts);
    assert_eq!((seen.datasets[0].basis, seen.losses[0].amount), (Basis::Unknown, Amount::UNKNOWN));
    let screen = text(&seen, &TimeZone::UTC);
    assert!(screen.contains("if elitedesk died: not known"), "{screen}");
}

#[test]
fn a_standby_whose_active_node_is_away_says_from_when_its_copy_is() {
    let pair = sides(
        root(THEM, "on", vec![state("t/a", &[990], 0, GIB)]),
        root(THEM, "off", vec![state("t/a", &[990], 0, GIB)]),
    );
    let mut facts = facts_of_standby(pair);
    facts.roots[0].there = Err("no route".to_string());
    facts.seen.peer = PeerSaid::Unreachable("no route".to_string());
    facts.away = Some(Away { why: "no route".to_string(), reached: None });
    draw_lines(&mut facts, &[]);
    let seen = picture(&facts);
    assert_eq!(seen.datasets[0].basis, Basis::OwnCopy);
    let screen = text(&seen, &TimeZone::UTC);
    assert!(screen.contains("if thinkpad died: what was written since 11-28 13:57 (10m ago)"), "{screen}");
    let (text, commands) = risk(&facts);
    assert!(text.contains("thinkpad does not answer: no route."), "{text}");
    assert_eq!(commands, ["elitedesk: replicator pair promote nfs"]);
}

#[test]
fn two_that_were_promoted_alike_are_for_a_person() {
    let pair = sides(
        root(US, "off", vec![state("t/a", &[990], MIB, GIB)]),
        root(THEM, "off", vec![state("t/a", &[990], MIB, GIB)]),
    );
    let both = facts(Owner::Here, US, THEM, vec![pair]);
    let (text, commands) = risk(&both);
    assert!(text.contains("Both nodes were promoted to epoch 7"), "{text}");
    // Each choice with what it would leave out.
    assert!(text.contains("t/a: 1.0 MiB only on elitedesk, 1.0 MiB only on thinkpad."), "{text}");
    assert!(text.contains("is then missing in the service"), "{text}");
    let expected = [
        "the node that goes on: replicator pair promote nfs --force",
        "the other one: replicator pair rejoin nfs",
    ];
    assert_eq!(commands, expected);
    let seen = picture(&both);
    assert_eq!((seen.active, seen.losses[0].kind), (None, LossKind::NotKnown));
    assert_eq!(outcome(&both), Outcome::Conflict);
}

#[test]
fn what_each_of_two_has_alone_is_told_dataset_by_dataset() {
    let new = state("t/a/new", &[997], 0, 2 * GIB);
    let here = vec![state("t/a", &[980, 990, 995, 996], 0, GIB), state("t/a/x", &[990], 0, GIB)];
    let there = vec![state("t/a", &[980, 990, 994], MIB, GIB), state("t/a/x", &[990], 0, GIB), new];
    let both = |there| facts(Owner::Here, US, THEM, vec![sides(root(US, "off", here.clone()), there)]);
    let mut seen = both(root(THEM, "off", there));
    let names: Vec<_> = seen.apart.iter().map(|one| one.dataset.as_str()).collect();
    assert_eq!(names, ["t/a", "t/a/new"], "what is alike is not named");
    let stream = |own: &Own| own.stream.as_ref().and_then(|one| one.from.as_ref().map(Base::guid));
    assert_eq!(
        (stream(&seen.apart[0].here), stream(&seen.apart[0].there)),
        (Some(Guid(990)), Some(Guid(990)))
    );
    let (text, _) = risk(&seen);
    assert!(
        text.contains("t/a: an unknown number of bytes in 2 snapshots and since only on elitedesk"),
        "{text}"
    );
    assert!(text.contains("at least 1.0 MiB in 1 snapshot and since only on thinkpad"), "{text}");
    assert!(text.contains("t/a/new: nothing only on elitedesk, 2.0 GiB"), "{text}");
    seen.apart[0].here.amount = Amount { bytes: 3 * MIB, exact: true };
    assert!(risk(&seen).0.contains("t/a: 3.0 MiB in 2 snapshots"));
    // Where one of them could not be looked at, nothing is made up.
    seen.apart.clear();
    assert!(risk(&seen).0.contains("What each of them has alone is not known from here."));
}

/// Four roots, as most pairs have, on two pools.
fn four(ours: [Seen<Option<Seen1>>; 4]) -> Facts {
    let roots = ["t/a", "t/b", "u/a", "u/b"];
    let one = |dataset: &&str| {
        let copy = || state(dataset, &[996], 0, GIB);
        sides(root(US, "off", vec![copy()]), root(US, "on", vec![copy()]))
    };
    let mut facts = facts(Owner::Here, US, US, roots.iter().map(one).collect());
    let named =
        |epochs: Vec<Seen<Option<Seen1>>>| Epochs::new(roots.iter().map(ToString::to_string).zip(epochs));
    let followed = Seen::Known(Some(Seen1 { number: US.0, holder: US.1.to_string() }));
    let there = named(vec![followed; 4]);
    facts.seen.peer = PeerSaid::Answered { role: Seen::unknown("it was not asked"), epoch: there };
    facts.seen.epoch = named(Vec::from(ours));
    facts
}

#[test]
fn of_several_roots_a_promotion_that_was_cut_off_and_a_pool_that_is_gone_are_told() {
    let at = |number: u64| Seen::Known(Some(Seen1 { number, holder: "elitedesk".to_string() }));
    assert_eq!(picture(&four([at(7), at(7), at(7), at(7)])).findings, []);
    let cut = four([at(8), at(8), at(7), at(7)]);
    let (text, commands) = risk(&cut);
    assert!(text.contains("t/a, t/b: 8 of elitedesk; u/a, u/b: 7 of elitedesk"), "{text}");
    assert_eq!(commands, ["elitedesk: replicator pair promote nfs"]);
    let gone = || Seen::unknown("the pool u is suspended");
    let gone = four([at(7), at(7), gone(), gone()]);
    let seen = picture(&gone);
    assert_eq!((seen.nodes[0].role, seen.nodes[0].epoch.as_str()), (Role::Active, "?"));
    let (text, commands) = risk(&gone);
    assert!(text.contains("u/a is left out") && text.contains("the rest goes on"), "{text}");
    assert_eq!(commands, ["elitedesk: replicator pair role nfs"]);
}

#[test]
fn a_service_that_goes_back_and_forth_is_told() {
    let mut facts = well();
    facts.flapping = Some("elitedesk was promoted 3 times within an hour".to_string());
    let seen = picture(&facts);
    assert_eq!(seen.level, Level::Look);
    let expected = ["elitedesk was promoted 3 times within an hour. Find out what moves it."];
    assert_eq!(texts(&seen, Level::Look), expected);
}

#[test]
fn a_node_that_was_overtaken_rejoins_wherever_it_is_seen_from() {
    let old = (6, "thinkpad");
    let pair = || {
        sides(
            root(US, "off", vec![state("t/a", &[990, 996], 0, GIB)]),
            root(old, "off", vec![state("t/a", &[990, 995], MIB, GIB)]),
        )
    };
    let (text, commands) = risk(&facts(Owner::Here, US, old, vec![pair()]));
    assert!(text.contains("What it wrote since is only there"), "{text}");
    assert_eq!(commands, ["thinkpad: replicator pair rejoin nfs"]);
    let ours = (6, "elitedesk");
    let Sides { here, there, name } = pair();
    let mut turned = Sides { name, here: there, there: here };
    let belief = |root: &mut Result<Root, String>, (number, holder): (u64, &str)| {
        let epoch = Epoch { number, holder: holder.parse().expect("a name"), pool: Guid(7) };
        root.as_mut().expect("seen").belief = Belief::Known(epoch);
    };
    belief(&mut turned.here, ours);
    belief(&mut turned.there, THEM);
    let (text, commands) = risk(&facts(Owner::Node("thinkpad".to_string()), ours, THEM, vec![turned]));
    assert!(text.contains("elitedesk is isolated: thinkpad has taken over"), "{text}");
    assert_eq!(commands, ["elitedesk: replicator pair rejoin nfs"]);
}

#[test]
fn an_epoch_that_is_not_believed_and_a_root_that_is_not_seen_are_no_nothing() {
    let mut doubtful = well();
    doubtful.roots[0].there.as_mut().expect("seen").belief = Belief::Unknown(Doubt::Received);
    doubtful.seen.peer =
        PeerSaid::Answered { role: Seen::unknown("-"), epoch: Seen::unknown("it came with a stream").into() };
    draw_lines(&mut doubtful, &[]);
    let (text, commands) = risk(&doubtful);
    assert!(text.contains("The epoch of t/a on thinkpad is not known"), "{text}");
    assert_eq!(commands, ["thinkpad: zfs get replicator:epoch t/a"]);
    assert_eq!(outcome(&doubtful), Outcome::Conflict);
    let mut hidden = well();
    hidden.roots[0].there = Err("a broken list".to_string());
    draw_lines(&mut hidden, &[]);
    let (text, _) = risk(&hidden);
    assert!(text.contains("t/a could not be looked at on thinkpad: a broken list"), "{text}");
    assert_eq!(outcome(&hidden), Outcome::Failed);
    let mut partly = well();
    partly.unread.push("what is mounted could not be found out: no".to_string());
    assert_eq!(texts(&picture(&partly), Level::Look), ["what is mounted could not be found out: no"]);
}

#[test]
fn sizes_are_compared_beyond_the_limit_only() {
    let drift = |one, two| {
        let facts = active(state("t/a", &[996], 0, one), state("t/a", &[996], 0, two));
        picture(&facts).findings.len()
    };
    assert_eq!(drift(100 * GIB, 80 * GIB), 0);
    assert_eq!(drift(100 * GIB, 79 * GIB), 1);
    assert_eq!(drift(79 * GIB, 100 * GIB), 1);
    // Small ones differ by metadata alone; an empty one does not divide by nothing.
    assert_eq!(drift(MIB, 4 * MIB), 0);
    assert_eq!(drift(0, 0), 0);
    assert_eq!(drift(u64::MAX, 0), 1);
    let facts = active(state("t/a", &[996], 0, 100 * GIB), state("t/a", &[996], 0, GIB));
    let seen = picture(&facts);
    assert_eq!(seen.findings[0].commands[0].run, "replicator compare t/a root@192.0.2.2:t/a");
}

#[test]
fn what_would_stop_the_service_or_a_takeover_is_a_risk() {
    let copy = |readonly: &str| {
        let one = || state("t/a", &[996], 0, GIB);
        let pair = sides(root(US, "off", vec![one()]), root(US, readonly, vec![one()]));
        facts(Owner::Here, US, US, vec![pair])
    };
    let (text, commands) = risk(&copy("off"));
    assert!(text.contains("t/a is not read-only on thinkpad"), "{text}");
    assert_eq!(commands, ["thinkpad: zfs set readonly=on t/a"]);

    let mut frozen = copy("on");
    frozen.roots[0].here = Ok(root(US, "on", vec![state("t/a", &[996], 0, GIB)]));
    let (text, commands) = risk(&frozen);
    assert!(text.contains("t/a is read-only there: the service cannot write"), "{text}");
    assert_eq!(commands, ["elitedesk: replicator pair promote nfs"]);

    let mut restarted = copy("on");
    restarted.unmounted.push(name("t/a"));
    assert!(risk(&restarted).0.contains("t/a is not mounted there"));

    let mut locked = state("t/a", &[996], 0, GIB);
    locked.encryption = Some(Encryption { root: name("t/a"), key_loaded: false });
    let (text, commands) = risk(&active(state("t/a", &[996], 0, GIB), locked));
    assert!(text.contains("The key of t/a is not loaded on thinkpad: thinkpad cannot take over"), "{text}");
    assert_eq!(commands, ["thinkpad: zfs load-key t/a"]);

    let mut ill = copy("on");
    ill.pools.push(("t".to_string(), "DEGRADED".to_string()));
    assert_eq!(risk(&ill).1, ["elitedesk: zpool status t"]);

    let mut bare = copy("on");
    bare.lines[0].goal = Goal::Never;
    assert!(risk(&bare).0.contains("No policy takes snapshots of t/a"));
}

#[test]
fn a_receive_that_was_cut_and_what_is_set_aside_are_told() {
    let mut cut = state("t/a", &[990], 0, GIB);
    let content =
        PartialContent { to_guid: Guid(2), from_guid: None, bytes: 5 * MIB, raw: false, foreign: false };
    cut.partial = Some(Partial { token: "1-x".to_string(), content: Ok(content) });
    let mut facts = active(state("t/a", &[990, 996], 0, GIB), cut);
    let seen = picture(&facts);
    let notes = texts(&seen, Level::Note);
    assert!(
        notes[0].contains("t/a is being received on thinkpad, or was cut off: 5.0 MiB are kept"),
        "{notes:?}"
    );
    facts.asides.push(Aside {
        node: "elitedesk".to_string(),
        dataset: name("t/a b-divergent-3"),
        bytes: Some(2 * GIB),
        kind: DatasetKind::Volume,
    });
    let seen = picture(&facts);
    assert_eq!((seen.level, seen.losses[0].aside, seen.losses[1].aside), (Level::Look, 2 * GIB, 0));
    let aside = &seen.findings[0];
    assert_eq!(aside.commands.len(), 1, "a volume is not mounted");
    assert_eq!(aside.commands[0].run, "zfs destroy -r 't/a b-divergent-3'");
    let screen = text(&seen, &TimeZone::UTC);
    assert!(screen.contains("SAFE, and 1 thing to look at below."), "{screen}");
}

#[test]
fn nobody_was_promoted_yet() {
    let none = (0, "");
    let one = || root(none, "off", vec![state("t/a", &[996], 0, GIB)]);
    let facts = facts(Owner::Here, none, none, vec![sides(one(), one())]);
    let (text, commands) = risk(&facts);
    assert!(text.contains("this node was not promoted"), "{text}");
    assert_eq!(commands, ["elitedesk: replicator pair promote nfs"]);
    assert_eq!(picture(&facts).datasets.len(), 0);
}

#[test]
fn of_very_many_datasets_the_worst_are_on_the_screen() {
    let many = |late: u64| {
        let all = |newest: bool| -> Vec<DatasetState> {
            let one = |n: u64| {
                let snapshots: &[u64] =
                    if n < late { if newest { &[900, 996] } else { &[900] } } else { &[996] };
                state(&format!("t/a/{n:03}"), snapshots, 0, GIB)
            };
            std::iter::once(state("t/a", &[996], 0, GIB)).chain((0..300).map(one)).collect()
        };
        facts(Owner::Here, US, US, vec![sides(root(US, "off", all(true)), root(US, "on", all(false)))])
    };
    let seen = picture(&many(2));
    assert!(seen.datasets[..2].iter().all(|line| line.late) && !seen.datasets[2].late);
    let screen = text(&seen, &TimeZone::UTC);
    assert!(screen.contains("and 289 more, none of them late"), "{screen}");
    let seen = picture(&many(300));
    let screen = text(&seen, &TimeZone::UTC);
    assert!(screen.contains("t/a/000, t/a/001, t/a/002 and 297 more have not reached thinkpad"), "{screen}");
    assert!(screen.contains("and 289 more, 288 of them late"), "{screen}");
    assert!(screen.lines().count() < 40, "{screen}");
}

#[test]
fn the_goal_is_the_shortest_period_that_is_taken() {
    let mut schedule = Schedule::default();
    assert_eq!(interval(&schedule), None);
    schedule.daily = Some(TimeOfDay::MIDNIGHT);
    assert_eq!(interval(&schedule), Some(86_400));
    schedule.frequently = Every::new(10);
    assert_eq!(interval(&schedule), Some(600));
}
