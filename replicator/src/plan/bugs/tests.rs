//! Every row of the table against the versions of both sides, with the steps that the planner makes of inventories in
//! which the bug matters. A row without a case here fails.

use std::collections::BTreeSet;

use zfs_core::Guid;
use zfs_core::name::DatasetName;

use super::table::BUGS;
use super::*;
use crate::codes::Code;
use crate::codes::Coded;
use crate::host::Inventory;
use crate::host::Partial;
use crate::host::PartialContent;
use crate::host::Tree;
use crate::marks::TargetId;
use crate::plan::Options;
use crate::plan::Sides;
use crate::plan::plan;
use crate::plan::tests::dataset;

/// Two inventories and the features of their pools.
struct Case {
    source: DatasetState,
    target: Option<DatasetState>,
    options: Options,
    /// What is active, at the source and at the target.
    active: (&'static [&'static str], &'static [&'static str]),
}

fn case(source: &str, target: Option<&str>) -> Case {
    Case {
        source: dataset("src/data", source),
        target: target.map(|content| dataset("dst/data", content)),
        options: Options::default(),
        active: (&["large_blocks"], &["large_blocks"]),
    }
}

/// Both sides encrypted, with their keys.
fn encrypted(mut case: Case) -> Case {
    for state in [Some(&mut case.source), case.target.as_mut()].into_iter().flatten() {
        state.encryption = Some(Encryption { root: state.name.clone(), key_loaded: true });
        for snapshot in &mut state.snapshots {
            snapshot.ivset = Some(Guid(snapshot.guid.0 + 100));
        }
        for bookmark in &mut state.bookmarks {
            bookmark.ivset = Some(Guid(bookmark.guid.0 + 100));
        }
    }
    case
}

/// A receive broke off.
fn partial(mut case: Case, to: u64, from: Option<u64>) -> Case {
    let raw = case.source.encrypted();
    let content =
        PartialContent { to_guid: Guid(to), from_guid: from.map(Guid), bytes: 1, raw, foreign: false };
    if let Some(target) = &mut case.target {
        target.partial = Some(Partial { token: "1-abc".to_string(), content: Ok(content) });
    }
    case
}

/// The target was a source of ours before.
fn turned_round(case: Case) -> Case {
    let mark = Mark { target: TargetId::new(Guid(5), &case.source.name), guid: Guid(1) };
    let mark = mark.name(&"dst/data".parse().expect("a name")).expect("short").short().to_string();
    Case { target: Some(dataset("dst/data", &format!("@a:1 #{mark}:1"))), ..case }
}

/// Where each bug matters, by its first report.
fn where_it_matters(report: &str) -> Option<Case> {
    let base = || case("@a:1 @b:2", Some("@a:1"));
    Some(match report {
        "#12014" => {
            Case { options: Options { decrypt: true, ..Options::default() }, ..encrypted(case("@a:1", None)) }
        }
        "#10523" | "#15039" => encrypted(base()),
        "#13445" | "#13067" => encrypted(case("@a:1", None)),
        "#13598" => {
            let Case { source, .. } = base();
            Case { source, ..encrypted(base()) }
        }
        "#9818" => partial(encrypted(case("@a:1", Some(""))), 1, None),
        "#6224" => Case { active: (&["large_blocks"], &["lz4_compress"]), ..base() },
        "#12762" => case("@a:1", None),
        "#11893" => base(),
        "#15927" => partial(base(), 2, Some(1)),
        "#18101" => Case { active: (&["lz4_compress"], &["large_blocks"]), ..turned_round(base()) },
        "#18143" => Case { active: (&["lz4_compress"], &["large_microzap"]), ..turned_round(base()) },
        "#18491" => partial(encrypted(case("#z:9:1 @a:1:2", Some("@z:9"))), 1, Some(9)),
        "#12614" => {
            let mut case = encrypted(base());
            if let Some(encryption) = case.target.as_mut().and_then(|target| target.encryption.as_mut()) {
                encryption.root = "dst".parse().expect("a name");
            }
            case
        }
        _ => return None,
    })
}

fn about(pool: &str, version: Option<Version>, active: &[&str]) -> About {
    let features = active.iter().map(|feature| (feature.to_string(), "active".to_string())).collect();
    About { pool: pool.to_string(), guid: Guid(4), version, features }
}

/// What one row says about the steps that the planner makes: nothing, a warning or a refusal.
fn said(bug: &Bug, case: &Case, versions: (Option<Version>, Option<Version>)) -> Option<Answer> {
    let root: DatasetName = "dst/data".parse().expect("a name");
    let source = Tree::new(&case.source.name, vec![case.source.clone()]).expect("a tree");
    let target = match &case.target {
        Some(state) => Inventory::Present(Tree::new(&root, vec![state.clone()]).expect("a tree")),
        None => Inventory::Absent { ancestor: Box::new(dataset("dst", "")), children: Vec::new() },
    };
    let sides = Sides::new(&source, &target, &root, 0);
    let plan = plan(sides, &case.options);
    let steps = plan.datasets[0].steps.as_ref().expect("a plan");
    let pools = (about("src", versions.0, case.active.0), about("dst", versions.1, case.active.1));
    let state = case.target.as_ref();
    let encryption = state.and_then(|state| state.encryption.as_ref());
    match check_rows(std::slice::from_ref(bug), &case.source, state, encryption, steps, (&pools.0, &pools.1))
    {
        Err(found @ Conflict::Bug { .. }) => {
            assert_eq!(found.code(), Code::ZfsBug);
            let why = found.to_string();
            assert!(bug.reports.iter().all(|report| why.contains(report)), "{why}");
            Some(Answer::Refuse)
        }
        Err(other) => panic!("{other}"),
        Ok(notes) => {
            assert!(notes.iter().all(|note| note.contains(bug.reports[0])), "{notes:?}");
            notes.first().map(|_| Answer::Warn)
        }
    }
}

fn version((major, minor, patch): (u32, u32, u32)) -> Version {
    Version { major, minor, patch }
}

/// The last versions without the fix, and the first ones with it, of each branch and of those around them.
fn versions(bug: &Bug) -> (BTreeSet<Version>, BTreeSet<Version>) {
    let (mut bad, mut good) = (BTreeSet::new(), BTreeSet::new());
    for &(major, minor, patch) in bug.fixed {
        good.extend([version((major, minor, patch)), version((major, minor, patch + 1))]);
        if let Some(before) = patch.checked_sub(1) {
            bad.extend([version((major, minor, 0)), version((major, minor, before))]);
        }
        let listed = |branch: (u32, u32)| bug.fixed.iter().any(|one| (one.0, one.1) == branch);
        let before = minor.checked_sub(1).map_or((major - 1, 99), |minor| (major, minor));
        if !listed(before) {
            bad.insert(version((before.0, before.1, 99)));
        }
    }
    match bug.fixed.last() {
        Some(&(major, minor, _)) => good.extend([version((major, minor + 1, 0)), version((major + 1, 0, 0))]),
        None => bad.extend([version((2, 1, 0)), version((2, 4, 99)), version((9, 0, 0))]),
    }
    (bad, good)
}

#[test]
fn every_row_speaks_for_the_versions_with_its_bug_on_its_side_and_for_no_others() {
    let newest = Some(version((9, 9, 9)));
    for bug in BUGS {
        let report = bug.reports[0];
        let case = where_it_matters(report).unwrap_or_else(|| panic!("{report} has no case"));
        let at = |here: Option<Version>, there: Option<Version>| match bug.at {
            Side::Source => said(bug, &case, (here, there)),
            Side::Target => said(bug, &case, (there, here)),
        };
        let (bad, good) = versions(bug);
        assert!(!bad.is_empty());
        for bad in bad {
            assert_eq!(at(Some(bad), newest), Some(bug.answer), "{report} at {bad}");
            assert_eq!(at(Some(bad), None), Some(bug.answer), "{report} at {bad}, the other one unknown");
            // Not on the other side.
            if !bug.fixed.is_empty() {
                assert_eq!(at(newest, Some(bad)), None, "{report}: {bad} on the wrong side");
            }
            assert_eq!(at(None, Some(bad)), None, "{report}: unknown");
        }
        for good in good {
            assert_eq!(at(Some(good), newest), None, "{report} at {good}");
            assert_eq!(at(Some(good), Some(version((0, 6, 0)))), None, "{report} at {good}");
        }
    }
}

#[test]
fn every_row_is_silent_where_it_does_not_matter() {
    let old = Some(version((0, 8, 0)));
    // Nothing is sent.
    let up_to_date = case("@a:1", Some("@a:1"));
    let cases: Vec<Case> =
        BUGS.iter().filter_map(|bug| where_it_matters(bug.reports[0])).chain([up_to_date]).collect();
    for bug in BUGS {
        let silent = cases.iter().filter(|case| said(bug, case, (old, old)).is_none()).count();
        assert!(silent > 0, "{} speaks of everything", bug.reports[0]);
        assert_eq!(said(bug, &cases[cases.len() - 1], (old, old)), None, "{}", bug.reports[0]);
    }
}

#[test]
fn branches_are_in_order() {
    for bug in BUGS {
        assert!(bug.fixed.windows(2).all(|pair| pair[0] < pair[1]), "{}", bug.reports[0]);
    }
}

#[test]
fn people_can_read_the_same_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openzfs-bugs.md");
    let text = std::fs::read_to_string(path).expect("docs/openzfs-bugs.md");
    let rows: Vec<&str> =
        text.lines().filter(|line| line.starts_with("| #") && line.matches('|').count() == 6).collect();
    assert_eq!(rows.len(), BUGS.len());
    for (row, bug) in rows.iter().zip(BUGS) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let fixed: Vec<String> = bug.fixed.iter().map(|one| version(*one).to_string()).collect();
        let fixed = if fixed.is_empty() { "not yet".to_string() } else { fixed.join(", ") };
        let at = match bug.at {
            Side::Source => "source",
            Side::Target => "target",
        };
        let answer = match bug.answer {
            Answer::Refuse => "refused",
            Answer::Warn => "noted",
        };
        assert_eq!(cells, [&bug.reports.join(", "), bug.what, &fixed, at, answer]);
    }
}
