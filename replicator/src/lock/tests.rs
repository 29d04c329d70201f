//! Which runs meet, what is left of a lock, and files that are not what they should be.

use std::os::unix::fs::PermissionsExt;

use super::files::Part;
use super::files::file_name;
use super::files::own_folder;
use super::*;
use crate::codes::Code;
use crate::codes::Coded;
use crate::host::Depth;

fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

fn take(folder: &Path, machine: Option<&str>, root: &str, depth: Depth) -> Result<RunLock, LockError> {
    RunLock::take_in(folder.to_path_buf(), machine, &name(root), depth)
}

/// All files but those that stay.
fn files(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).expect("a folder");
    let names = files.map(|file| file.expect("a file").file_name().into_string().expect("text"));
    names.filter(|name| name != "turn.lock" && name != "id").collect()
}

/// What becomes of a run that comes second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Second {
    Free,
    Visit,
    Busy,
}

#[test]
fn runs_meet_where_their_targets_do() {
    use Depth::All;
    use Depth::One;
    use Second::Busy;
    use Second::Free;
    use Second::Visit;
    let folder = tempfile::tempdir().expect("a folder");
    let folder = own_folder(&folder.path().join("locks")).expect("made");
    assert_eq!(own_folder(&folder).expect("there already"), folder);
    // The second while the first has its tree alone, and when it shares it.
    for (first, second, taken, shared) in [
        (("back/a", All), ("back/a", All), Busy, Visit),
        (("back/a", All), ("back/a", One), Busy, Free),
        (("back/a", One), ("back/a", All), Visit, Visit),
        (("back/a", One), ("back/a", One), Busy, Busy),
        (("back/a", All), ("back/a/x/y", All), Busy, Free),
        (("back/a/x/y", All), ("back/a", All), Visit, Visit),
        (("back/a", All), ("back/a/x/y", One), Busy, Free),
        (("back/a/x/y", One), ("back/a", All), Visit, Visit),
        (("back/a", One), ("back/a/x", One), Free, Free),
        (("back/a/x", One), ("back/a", One), Free, Free),
        (("back/a", One), ("back/a/x", All), Free, Free),
        (("back/a/x", All), ("back/a", One), Free, Free),
        (("back/a", All), ("back/b", All), Free, Free),
        (("back/a", All), ("back/ab", All), Free, Free),
        (("back", All), ("tank", All), Free, Free),
    ] {
        for (share, expected) in [(false, taken), (true, shared)] {
            let one = take(&folder, None, first.0, first.1).expect("free");
            if share {
                one.share().expect("shared");
            }
            let found = match take(&folder, None, second.0, second.1) {
                Ok(lock) if lock.is_visit() => Visit,
                Ok(_) => Free,
                Err(error @ LockError::Busy { .. }) => {
                    let said = error.to_string();
                    assert!(said.contains(second.0), "{said}");
                    assert_eq!(error.code(), Code::Busy);
                    assert!(said.ends_with(&format!("process {}", std::process::id())), "{said}");
                    Busy
                }
                Err(error) => panic!("{error}"),
            };
            assert_eq!(found, expected, "{first:?}, shared: {share}, then {second:?}");
            drop(one);
            // Nothing of a refused one is left behind either.
            drop(take(&folder, None, second.0, second.1).expect("free again"));
            assert_eq!(files(&folder), [""; 0]);
        }
    }
}

#[test]
fn in_a_tree_each_dataset_is_worked_on_by_one_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let of = |root, depth| take(folder.path(), None, root, depth);
    let first = of("back/a", Depth::All).expect("free");
    assert!(!first.is_visit() && first.alone().expect("asked"));
    first.share().expect("shared");
    let x = first.dataset(&name("back/a/x")).expect("free");
    assert!(!first.had_company());
    let second = of("back/a", Depth::All).expect("shared");
    assert!(second.is_visit() && second.had_company() && first.had_company());
    assert_eq!(first.party(), second.party());
    assert!(matches!(second.dataset(&name("back/a/x")), Err(LockError::Busy { .. })));
    // A lock that could not be made another one is still there.
    assert!(!first.alone().expect("asked") && !second.alone().expect("asked"));
    assert!(matches!(of("back", Depth::All), Ok(lock) if lock.is_visit()));
    let root = second.dataset(&name("back/a")).expect("free");
    let below = second.dataset(&name("back/a/x/deep")).expect("free");
    drop((x, root, below));
    drop(second.dataset(&name("back/a/x")).expect("free again"));
    drop(first);
    assert!(second.alone().expect("asked"), "nobody else is there");
    let party = second.party().to_string();
    drop(second);
    assert_eq!(files(folder.path()), [""; 0]);
    let later = of("back/a", Depth::All).expect("free");
    assert!(!later.had_company() && later.party() != party);
}

#[test]
fn who_renames_datasets_meets_whoever_works_on_one_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let of = |root, depth| take(folder.path(), None, root, depth).expect("not busy");
    let tree = of("back/a", Depth::All);
    tree.share().expect("shared");
    let working = tree.dataset(&name("back/a/x/deep")).expect("free");
    assert!(of("back/a/x", Depth::All).is_visit());
    drop(working);
    assert!(!of("back/b", Depth::All).is_visit() && tree.had_company());
    let other = of("back/b", Depth::All);
    other.share().expect("shared");
    for (root, depth) in [("back/c/x", Depth::One), ("back/c/x", Depth::All), ("back/c", Depth::One)] {
        let first = of("back/c", Depth::All);
        first.share().expect("shared");
        drop(of(root, depth));
        assert!(first.had_company(), "{root} {depth:?}");
    }
    assert!(!other.had_company(), "what is beside it is no matter of its");
    let below = of("back/a/x", Depth::All);
    assert!(!below.is_visit());
    assert!(matches!(tree.dataset(&name("back/a/x/deep")), Err(LockError::Busy { .. })));
    drop(tree.dataset(&name("back/a/y")).expect("free"));
}

#[test]
fn agents_keep_senders_apart() {
    use Depth::All;
    use Depth::One;
    let folder = tempfile::tempdir().expect("a folder");
    let of =
        |sender, root, depth| RunLock::of_sender_in(folder.path().to_path_buf(), sender, &name(root), depth);
    let first = of("one", "back/a", All).expect("free");
    let again = of("one", "back/a", All).expect("of the same sender");
    drop(of("one", "back/a/x", One).expect("of the same sender"));
    for (root, depth) in
        [("back/a", All), ("back/a", One), ("back/a/x", One), ("back/a/x", All), ("back", All)]
    {
        assert!(matches!(of("two", root, depth), Err(LockError::Busy { .. })), "{root} {depth:?}");
        let here = take(folder.path(), None, root, depth);
        assert!(matches!(here, Err(LockError::Busy { .. })), "{root} {depth:?}");
    }
    drop(of("two", "back/b", All).expect("free"));
    drop(first);
    assert!(of("two", "back/a", All).is_err());
    drop(again);
    let second = of("two", "back/a", One).expect("free again");
    assert!(of("two", "back/a", One).is_err(), "one at a time");
    drop(of("one", "back/a/x", All).expect("below, and nothing of it is changed"));
    assert!(of("one", "back/a", All).is_err());
    drop(second);
    let here = take(folder.path(), None, "back/a", All).expect("free");
    assert!(of("one", "back/a/x", One).is_err());
    here.share().expect("shared");
    assert!(of("one", "back/a/x", One).is_err(), "it is still a run of another machine");
    drop(here);
    assert_eq!(files(folder.path()), [""; 0]);
}

#[test]
fn a_machine_is_part_of_the_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let of = |machine| take(folder.path(), machine, "back/a", Depth::All);
    let (_here, _nas) = (of(None).expect("free"), of(Some("nas")).expect("free"));
    match of(Some("nas")) {
        Err(error @ LockError::Busy { .. }) => assert!(error.to_string().contains("nas:back/a"), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_many_that_share_what_is_above_each_finds_it() {
    let folder = tempfile::tempdir().expect("a folder");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let folder = folder.path();
            scope.spawn(move || {
                for round in 0..50 {
                    let root = format!("back/{thread}/{}", round % 2);
                    drop(take(folder, None, &root, Depth::All).expect("nobody else wants it"));
                }
            });
        }
    });
    assert_eq!(files(folder.path()), [""; 0]);
}

#[test]
fn only_its_user_can_read_the_file_and_no_link_is_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(file_name(Part::Tree, None, &name("tank")));
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).expect("linked");
    assert!(matches!(take(folder.path(), None, "tank/a", Depth::All), Err(LockError::File { .. })));
    assert!(!folder.path().join("elsewhere").exists());
    std::fs::remove_file(&path).expect("removed");
    let _lock = take(folder.path(), None, "tank/a", Depth::All).expect("free");
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_folder_that_is_none_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(folder.path(), &link).expect("linked");
    assert!(matches!(own_folder(&link), Err(LockError::File { .. })));
    assert!(matches!(own_folder(&folder.path().join("no/parent")), Err(LockError::File { .. })));
}

/// Programs of two versions must meet at the same file.
#[test]
fn the_names_of_the_files_stay_as_they_are() {
    let of = |part, machine| file_name(part, machine, &name("back/a"));
    assert_eq!(of(Part::Tree, None), "tree-855e1b29bc5dacf5.lock");
    assert_eq!(of(Part::Alone, Some("nas")), "alone-50f13346a0c1b5f4.lock");
}

#[test]
fn snapshots_are_taken_and_pruned_by_one_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let take =
        |patience| PolicyLock::take_in(folder.path(), "x.lock", Duration::from_millis(patience), &|| false);
    let first = take(0).expect("free");
    let refused = take(30).expect_err("it is taken");
    assert!(matches!(refused, LockError::Policies { process: Some(_) }), "{refused}");
    assert_eq!(refused.code(), Code::Policies);
    assert!(matches!(
        PolicyLock::take_in(folder.path(), "x.lock", Duration::from_secs(1000), &|| true),
        Err(LockError::Policies { .. })
    ));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| take(100_000));
        drop(first);
        waiting.join().expect("no panic").expect("free by then");
    });
}
