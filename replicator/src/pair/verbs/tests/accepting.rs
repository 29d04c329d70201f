//! What becomes of a loss that a person accepts.

use zfs_core::Guid;

use super::*;
use crate::pair::sizes;
use crate::pair::sizes::Size;

/// Each snapshot of a dataset of `a`: large until `lost`, and small from then on.
fn list(case: &Case, dataset: &DatasetName) -> Vec<Size> {
    let mut large = true;
    let all = case.snapshots("a", dataset.as_str()).into_iter().zip(0..).map(|(short, at)| {
        large &= short != "lost" || *dataset != name(CHILD);
        let bytes = if large { 1 << 30 } else { 1 << 20 };
        Size { short, guid: Guid(at), at: i64::try_from(at).expect("few"), bytes }
    });
    all.collect()
}

#[test]
fn a_loss_is_accepted_on_the_active_node_by_a_snapshot_that_the_other_one_gets() {
    let case = Case::new();
    case.snapshot("a", "lost");
    let accept = |on: &str, dry_run: bool, only: &[&str]| {
        let guards = Guards::default();
        let asked = accept::Asked { only: only.iter().map(|one| name(one)).collect(), dry_run, guards };
        let sizes = |dataset: &DatasetName| Ok(list(&case, dataset));
        let found = accept::accept(&mut case.node(on), &[name(ROOT)], &sizes, &asked, &mut |_| {})?;
        Ok::<_, VerbError>(found.into_iter().map(|(dataset, _)| dataset.to_string()).collect::<Vec<_>>())
    };
    assert!(matches!(refused(accept("b", false, &[])), Refused::NotAccepted(_)));
    assert_eq!(accept("a", true, &[]).expect("looked"), [CHILD]);
    assert_eq!(accept("a", false, &[ROOT]).expect("nothing"), Vec::<String>::new());
    assert_eq!(case.snapshots("a", CHILD), ["1", "lost"]);
    assert!(sizes::loss(&list(&case, &name(CHILD)), &Guards::default()).is_some());
    assert_eq!(accept("a", false, &[]).expect("accepted"), [CHILD]);
    assert_eq!(case.snapshots("a", CHILD), ["1", "lost", "accepted-1"]);
    // Once is enough, and the other node learns of it.
    assert_eq!(accept("a", false, &[]).expect("nothing"), Vec::<String>::new());
    case.send("a").expect("sent");
    assert_eq!(case.snapshots("b", CHILD), ["1", "lost", "accepted-1"]);
}
