use std::os::unix::fs::symlink;

use super::*;
use crate::codes::Code;
use crate::codes::Coded;

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, text).expect("written");
}

/// Copies `path` out of a folder that stands for a snapshot.
fn copied(from: &Path, path: &str, to: &Path) -> Result<Copied, RestoreError> {
    let destination = Destination::named(to)?;
    let mut told = 0;
    let done =
        copy(&Folder::of(from), Path::new(path), &destination, &mut |bytes| told += bytes, &Cancel::new())?;
    assert_eq!(told, done.bytes, "all of it is told");
    Ok(done)
}

#[test]
fn a_folder_comes_back_as_it_was() {
    let (from, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let root = from.path().join("a");
    write(&root.join("deep/er/file"), "content");
    std::fs::hard_link(root.join("deep/er/file"), root.join("again")).expect("linked");
    symlink("/nowhere", root.join("link")).expect("linked");
    std::fs::set_permissions(root.join("deep/er/file"), Permissions::from_mode(0o640)).expect("set");
    std::fs::set_permissions(root.join("deep"), Permissions::from_mode(0o750)).expect("set");
    let past = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 5);
    for path in ["deep/er/file", "deep/er", "deep", ""] {
        let file = File::open(root.join(path)).expect("opened");
        file.set_times(FileTimes::new().set_modified(past)).expect("set");
    }
    let sparse = File::create(root.join("sparse")).expect("made");
    sparse.write_all_at(b"x", 5 << 20).expect("written");
    sparse.set_len(8 << 20).expect("set");
    let done = copied(from.path(), "a", &to.path().join("b")).expect("copied");
    assert_eq!((done.troubles.as_slice(), done.entries), (&[][..], 7));
    let root = to.path().join("b");
    assert_eq!(std::fs::read_to_string(root.join("deep/er/file")).expect("read"), "content");
    assert_eq!(std::fs::read_link(root.join("link")).expect("read"), Path::new("/nowhere"));
    let about = |path: &str| std::fs::symlink_metadata(root.join(path)).expect("there");
    assert_eq!(about("again").ino(), about("deep/er/file").ino());
    assert_eq!((about("deep/er/file").mode() & 0o7777, about("deep").mode() & 0o7777), (0o640, 0o750));
    for path in ["deep/er/file", "deep/er", "deep"] {
        assert_eq!(about(path).modified().expect("known"), past, "{path}");
    }
    let (bytes, mut expected) = (std::fs::read(root.join("sparse")).expect("read"), vec![0; 8 << 20]);
    expected[5 << 20] = b'x';
    assert!(bytes == expected, "the sparse file differs");
    // Nothing of the way it came is left.
    assert_eq!(std::fs::read_dir(to.path()).expect("read").count(), 1);
}

#[test]
fn nothing_is_written_over() {
    let (from, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    write(&from.path().join("file"), "new");
    write(&from.path().join("folder/file"), "new");
    write(&to.path().join("file"), "old");
    std::fs::create_dir(to.path().join("empty")).expect("made");
    symlink("nowhere", to.path().join("link")).expect("linked");
    for (path, place) in
        [("file", "file"), ("folder", "file"), ("file", "empty"), ("folder", "empty"), ("file", "link")]
    {
        let error = copied(from.path(), path, &to.path().join(place)).expect_err(place);
        assert_eq!(error.code(), Code::DestinationExists, "{path} to {place}: {error}");
    }
    // Also where the name is taken only at the last moment.
    let into = folder(from.path()).expect("opened");
    for (path, place_name) in [("file", "file"), ("folder", "empty"), ("file", "link")] {
        let _ = std::fs::remove_dir_all(from.path().join(INNER));
        let _ = std::fs::remove_file(from.path().join(INNER));
        std::fs::rename(from.path().join(path), from.path().join(INNER)).expect("renamed");
        let destination = Destination::named(&to.path().join(place_name)).expect("there");
        let error = place(&into, &destination).expect_err(place_name);
        assert!(matches!(error, RestoreError::Exists(_)), "{place_name}: {error}");
        std::fs::rename(from.path().join(INNER), from.path().join(path)).expect("renamed");
    }
    assert_eq!(std::fs::read_to_string(to.path().join("file")).expect("read"), "old");
    assert_eq!(std::fs::read_dir(to.path()).expect("read").count(), 3);
}

#[test]
fn no_link_leads_out_of_the_snapshot_or_of_the_mountpoint() {
    let (from, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    write(&to.path().join("secret"), "secret");
    symlink(to.path(), from.path().join("out")).expect("linked");
    symlink("../..", from.path().join("up")).expect("linked");
    for path in ["out/secret", "../secret", "up/secret"] {
        let error = copied(from.path(), path, &to.path().join("copy")).expect_err(path);
        assert!(matches!(error, RestoreError::Copy { .. }), "{path}: {error}");
    }
    // The link itself is a file like any other.
    copied(from.path(), "out", &to.path().join("copy")).expect("copied");
    assert_eq!(std::fs::read_link(to.path().join("copy")).expect("read"), to.path());
    let place = Place {
        path: from.path().join("out/file"),
        dataset: "tank/a".parse().expect("a name"),
        mountpoint: from.path().to_path_buf(),
        relative: "out/file".into(),
        whole: true,
    };
    assert!(Destination::beside(&place, ".one").is_err(), "a link was followed");
    let place = Place { path: from.path().join("file"), relative: "file".into(), ..place };
    let beside = Destination::beside(&place, ".one").expect("opened");
    assert_eq!(beside.path(), from.path().join("file.one"));
}

#[test]
fn one_that_is_missing_or_stopped_leaves_nothing() {
    let (from, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    write(&from.path().join("file"), "content");
    let there = || std::fs::read_dir(to.path()).expect("read").count();
    assert!(copied(from.path(), "gone", &to.path().join("copy")).is_err());
    let cancel = Cancel::new();
    cancel.cancel();
    let destination = Destination::named(&to.path().join("copy")).expect("there");
    let stopped = copy(&Folder::of(from.path()), Path::new("file"), &destination, &mut |_| {}, &cancel);
    assert!(matches!(stopped, Err(RestoreError::Cancelled)));
    assert_eq!(there(), 0);
}

#[test]
fn folders_are_equal_where_all_in_them_is() {
    let from = tempfile::tempdir().expect("a folder");
    for name in ["a", "b"] {
        write(&from.path().join(name).join("x/file"), "content");
        for path in ["x/file", "x", ""] {
            let file = File::open(from.path().join(name).join(path)).expect("opened");
            let past = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
            file.set_times(FileTimes::new().set_modified(past)).expect("set");
        }
    }
    let snapshot = Folder::of(from.path());
    let look = |name: &str, content| snapshot.look(Path::new(name), content, &Cancel::new()).expect("looked");
    assert_eq!(look("a", false), look("b", false));
    let one = look("a", true).expect("there");
    assert_eq!((one.entries, one.size, one.kind), (3, 7, b'd'));
    let file = std::fs::OpenOptions::new().write(true).open(from.path().join("b/x/file")).expect("opened");
    let before = file.metadata().expect("known").modified().expect("known");
    file.write_all_at(b"k", 0).expect("written");
    file.set_times(FileTimes::new().set_modified(before)).expect("set");
    assert_eq!(look("a", false), look("b", false), "size and time are the same");
    assert_ne!(look("a", true), look("b", true));
    assert_eq!(look("c", true), None);
    assert_eq!(look("a/x/file/deeper", true), None);
}
