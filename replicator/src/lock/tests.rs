//! Which runs meet, what is left of a lock, and files that are not what they should be.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

fn take(folder: &Path, machine: Option<&str>, root: &str, depth: Depth) -> Result<RunLock, LockError> {
    RunLock::take_in(folder.to_path_buf(), machine, &name(root), depth)
}

/// All files but the one of the turn.
fn files(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).expect("a folder");
    let names = files.map(|file| file.expect("a file").file_name().into_string().expect("text"));
    names.filter(|name| name != "turn.lock").collect()
}

#[test]
fn runs_meet_where_their_targets_do() {
    use Depth::All;
    use Depth::One;
    let folder = tempfile::tempdir().expect("a folder");
    let folder = own_folder(&folder.path().join("locks")).expect("made");
    assert_eq!(own_folder(&folder).expect("there already"), folder);
    for (one, other, meet) in [
        (("back/a", All), ("back/a", All), true),
        (("back/a", All), ("back/a", One), true),
        (("back/a", One), ("back/a", One), true),
        (("back/a", All), ("back/a/x/y", All), true),
        (("back/a", All), ("back/a/x/y", One), true),
        (("back/a", One), ("back/a/x", One), false),
        (("back/a", One), ("back/a/x", All), false),
        (("back/a", All), ("back/b", All), false),
        (("back/a", All), ("back/ab", All), false),
        (("back", All), ("tank", All), false),
    ] {
        for (one, other) in [(one, other), (other, one)] {
            let first = take(&folder, None, one.0, one.1).expect("free");
            match take(&folder, None, other.0, other.1) {
                Err(error @ LockError::Busy { .. }) => {
                    let said = error.to_string();
                    assert!(meet, "{one:?} and {other:?}: {said}");
                    assert!(said.contains(other.0), "{said}");
                    assert!(said.ends_with(&format!("process {}", std::process::id())), "{said}");
                }
                other_lock => assert!(other_lock.is_ok() && !meet, "{one:?} and {other:?}: {other_lock:?}"),
            }
            drop(first);
            // Nothing of a refused one is left behind either.
            drop(take(&folder, None, other.0, other.1).expect("free again"));
            assert_eq!(files(&folder), [""; 0]);
        }
    }
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
