use std::collections::BTreeMap;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use zfs_core::DatasetKind;
use zfs_core::Txg;
use zfs_core::stream::build::StreamBuilder;

use super::blocks::Blocks;
use super::content::Content;
use super::content::Entry;
use super::content::SEGMENT;
use super::content::differences;
use super::found::Found;
use super::*;
use crate::codes::Code;
use crate::codes::Coded;

/// A dataset with snapshots in a small notation: `a:1 b:2`.
pub(crate) fn dataset(name: &str, snapshots: &str) -> DatasetState {
    let name: DatasetName = name.parse().expect("a name");
    let snapshots = snapshots.split_whitespace().enumerate().map(|(place, word)| {
        let (short, guid) = word.split_once(':').expect("name and guid");
        Snapshot {
            name: name.snapshot(short).expect("a name"),
            guid: Guid(guid.parse().expect("a number")),
            createtxg: Txg(place as u64 + 10),
            ivset: None,
        }
    });
    DatasetState {
        kind: DatasetKind::Filesystem,
        guid: Guid(7),
        encryption: None,
        origin: None,
        written: 0,
        referenced: 0,
        available: 1 << 40,
        partial: None,
        snapshots: snapshots.collect(),
        bookmarks: Vec::new(),
        name,
    }
}

pub(crate) fn tree(datasets: Vec<DatasetState>) -> Tree {
    let root = datasets[0].name.clone();
    Tree::new(&root, datasets).expect("a tree")
}

fn compared(source: &str, target: &str) -> Pair {
    let here = tree(vec![dataset("tank/a", source)]);
    let there = Inventory::Present(tree(vec![dataset("back/a", target)]));
    compare(&here, &there, &"back/a".parse().expect("a name"), false).pairs.remove(0)
}

fn names(list: &[Snapshot]) -> Vec<&str> {
    list.iter().map(|one| one.name.short()).collect()
}

#[test]
fn replicas_are_told_apart_by_guid() {
    let pair = compared("a:1 b:2", "a:1 b:2");
    assert_eq!((pair.verdict, pair.common.len()), (Verdict::Equal, 2));
    let pair = compared("a:1 b:2 c:3", "other:1");
    assert_eq!((&pair.verdict, names(&pair.source_only)), (&Verdict::Behind, vec!["b", "c"]));
    let (here, there) = pair.to_read(None).expect("one in common");
    assert_eq!((here.as_str(), there.as_str()), ("tank/a@a", "back/a@other"));
    let pair = compared("a:1 b:2", "a:1 b:9");
    assert!(matches!(pair.verdict, Verdict::Stops(_)), "{pair:?}");
    assert_eq!((names(&pair.source_only), names(&pair.target_only)), (vec!["b"], vec!["b"]));
    assert_eq!(pair.same_name.len(), 1);
    // By name, what is not the same snapshot can still be read; what only one side has cannot.
    assert_eq!(pair.to_read(Some("b")).expect("both have one").1.as_str(), "back/a@b");
    assert_eq!(pair.to_read(Some("a")).expect("both have it").0.as_str(), "tank/a@a");
    assert_eq!(compared("a:1 b:2", "a:1").to_read(Some("b")), None);
    assert_eq!(compared("a:1", "a:2").to_read(None), None);
}

#[test]
fn a_dataset_that_one_side_lacks_is_named() {
    let here = tree(vec![dataset("tank/a", "s:1"), dataset("tank/a/new", "s:2")]);
    let there = Inventory::Present(tree(vec![dataset("back/a", "s:1"), dataset("back/a/old", "s:3")]));
    let found = compare(&here, &there, &"back/a".parse().expect("a name"), true);
    assert_eq!(
        found.pairs.iter().map(|pair| &pair.verdict).collect::<Vec<_>>(),
        [&Verdict::Equal, &Verdict::Missing]
    );
    assert_eq!(
        found.only_target.iter().map(zfs_core::name::DatasetName::as_str).collect::<Vec<_>>(),
        ["back/a/old"]
    );
}

fn entry(sum: u8) -> Entry {
    Entry {
        kind: b'f',
        size: 1,
        mode: 0o644,
        owner: (0, 0),
        modified: (1, 2),
        link: Vec::new(),
        sum: Some([sum; 32]),
    }
}

#[test]
fn each_field_that_differs_is_named() {
    let base = entry(1);
    let changed = [
        (Entry { sum: Some([2; 32]), ..base.clone() }, "content"),
        (Entry { size: 2, ..base.clone() }, "size"),
        (Entry { mode: 0o600, ..base.clone() }, "mode"),
        (Entry { owner: (0, 1), ..base.clone() }, "owner"),
        (Entry { modified: (1, 3), ..base.clone() }, "time"),
        (Entry { kind: b'l', link: b"x".to_vec(), ..base.clone() }, "kind, link target"),
    ];
    for (other, how) in changed {
        let files = |entry: &Entry| Content::Files([(b"a\nb".to_vec(), entry.clone())].into());
        let found = differences(&files(&base), &files(&other));
        assert_eq!((found.len(), found[0].how.as_str()), (1, how));
        assert!(!found[0].what.contains('\n'), "{:?}", found[0].what);
        assert_eq!(differences(&files(&base), &files(&base)), []);
    }
    let only = |path: &str| Content::Files([(path.as_bytes().to_vec(), base.clone())].into());
    let found: Vec<_> =
        differences(&only("a"), &only("b")).into_iter().map(|one| (one.what, one.how)).collect();
    assert_eq!(
        found,
        [("a", "only on the source"), ("b", "only on the target")].map(|(a, b)| (a.into(), b.into()))
    );
    assert_eq!(differences(&only("a"), &Content::Blocks(BTreeMap::new())).len(), 1);
}

fn read(answer: &[u8]) -> Result<BTreeMap<Vec<u8>, Entry>, String> {
    let mut found = Found::default();
    found.push(answer)?;
    found.finish()
}

const ROOT: &str = "d\x002\x00755\x000\x000\x001.5000000000\x00.\x00\x00";
const SUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn file(path: &str) -> String {
    format!("f\x005\x004755\x001\x002\x00-2.2500000000\x00./{path}\x00\x00")
}

#[test]
fn what_find_and_sha256sum_print_is_read() {
    let text = format!("{ROOT}{}replicator: sums\0{SUM}  ./a\nb\0replicator: end\0", file("a\nb"));
    let files = read(text.as_bytes()).expect("understood");
    let one = &files[&b"a\nb"[..]];
    assert_eq!((one.kind, one.size, one.mode, one.owner), (b'f', 5, 0o4755, (1, 2)));
    assert_eq!((one.modified, one.sum.map(|sum| sum[0])), ((-2, 250_000_000), Some(0xe3)));
    // In pieces of any size it says the same.
    let mut found = Found::default();
    text.as_bytes().iter().for_each(|byte| found.push(&[*byte]).expect("understood"));
    assert_eq!(found.finish().expect("whole"), files);
}

#[test]
fn hostile_answers_are_errors() {
    let sums = "replicator: sums\0";
    let end = "replicator: end\0";
    let one = file("a");
    for text in [
        String::new(),
        ROOT.to_string(),
        format!("{ROOT}{sums}"),
        format!("{ROOT}{sums}{end}x\0"),
        format!("{ROOT}{sums}{end}x"),
        format!("{sums}{end}"),
        format!("{ROOT}{one}{sums}{end}"),
        format!("{ROOT}{one}{one}{sums}{SUM}  ./a\0{end}"),
        format!("{ROOT}{one}{sums}{SUM}  ./a\0{SUM}  ./a\0{end}"),
        format!("{ROOT}{one}{sums}{SUM}  ./b\0{end}"),
        format!("{ROOT}{one}{sums}{SUM}  .\0{end}"),
        format!("{ROOT}{one}{sums}{SUM} *./a\0{end}"),
        format!("{ROOT}{one}{sums}{}  ./a\0{end}", "+1".repeat(32).replace("+1", "zz")),
        format!("{ROOT}{}{sums}{end}", one.replace("./a", "/etc/passwd")),
        format!("{ROOT}{}{sums}{SUM}  ./a\0{end}", one.replace("4755", "9")),
        format!("{ROOT}{}{sums}{SUM}  ./a\0{end}", one.replace("\x005\x00", "\x00+5\x00")),
        format!("{ROOT}{}{sums}{SUM}  ./a\0{end}", one.replace("-2.2500000000", "x")),
        format!("{ROOT}{}{sums}{SUM}  ./a\0{end}", one.replacen('f', "ff", 1)),
        "x".repeat(70_000),
    ] {
        assert!(read(text.as_bytes()).is_err(), "{text:?} was taken");
    }
}

proptest! {
    #[test]
    fn no_answer_makes_a_panic(answer in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&answer);
    }
}

#[test]
fn a_snapshot_that_is_not_there_cannot_be_read() {
    let snapshot = "no-such-pool-of-a-test/a@s".parse().expect("a name");
    let error = walk::Mounted::new(&snapshot).err().expect("there is no such pool");
    assert_eq!(error.code(), Code::Unreadable);
    assert!(error.to_string().starts_with("cannot mount no-such-pool-of-a-test/a@s: "), "{error}");
}

/// The script of the far end without its mount, and our own walk, say the same of a folder with hostile names.
#[test]
fn our_walk_and_the_far_end_say_the_same_of_the_same_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    std::fs::create_dir_all(root.join("deep/er")).expect("made");
    for name in ["a b", "new\nline", "it's $HOME `x`", "-rf", "deep/er/f", "*"] {
        std::fs::write(root.join(name), name).expect("written");
    }
    std::fs::write(root.join(std::ffi::OsString::from_vec(vec![b'x', 0xe9])), "latin").expect("written");
    std::os::unix::fs::symlink("/etc/passwd", root.join("link")).expect("linked");
    std::fs::set_permissions(root.join("*"), PermissionsExt::from_mode(0o4711)).expect("set");
    let bin = tempfile::tempdir().expect("a folder");
    // What stands for mount(8) here puts the same files in the new folder.
    let mount = format!("#!/bin/sh\nfor last; do :; done\ncp -a '{}/.' \"$last\"\n", root.display());
    for (name, text) in [("mount", mount.as_str()), ("umount", "#!/bin/sh\nexec rm -rf \"$1\"\n")] {
        std::fs::write(bin.path().join(name), text).expect("written");
        std::fs::set_permissions(bin.path().join(name), PermissionsExt::from_mode(0o755)).expect("set");
    }
    let temporary = tempfile::tempdir().expect("a folder");
    let command = crate::transport::quote::file_list(crate::transport::quote::Elevate::No, "tank/a b@c")
        .expect("no NUL");
    let output = std::process::Command::new("/bin/sh")
        .args(["-c", &command])
        .env("PATH", format!("{}:/usr/bin:/bin", bin.path().display()))
        .env("TMPDIR", temporary.path())
        .output()
        .expect("sh runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let there = read(&output.stdout).expect("understood");
    assert_eq!(there.len(), 11);
    assert_eq!(differences(&walk::folder(root), &Content::Files(there)), []);
    assert_eq!(std::fs::read_dir(temporary.path()).expect("a folder").count(), 0, "something was left");
}

/// A stream of a volume with these blocks, as offset and content.
fn volume(order: zfs_core::stream::ByteOrder, blocks: &[(u64, Vec<u8>)]) -> Vec<u8> {
    // A bonus buffer as long as a record's header must not be taken for one.
    let builder = StreamBuilder::new(order).of_volume().begin(&Default::default()).object(1, &[7; 312]);
    let builder = blocks.iter().fold(builder, |builder, (at, block)| builder.write(1, *at, block));
    // The second object holds the size and is no data.
    builder.write(2, 0, &[9; 512]).end().build()
}

fn sums(stream: &[u8], piece: usize) -> Result<BTreeMap<u64, super::content::Sum>, String> {
    let mut blocks = Blocks::default();
    stream.chunks(piece).try_for_each(|piece| blocks.push(piece))?;
    blocks.finish()
}

#[test]
fn volumes_are_compared_by_what_a_reader_sees_however_it_is_stored() {
    use zfs_core::stream::ByteOrder::Big;
    use zfs_core::stream::ByteOrder::Little;
    let data = |byte: u8, length: usize| vec![byte; length];
    let whole = volume(Little, &[(0, data(1, 8192)), (SEGMENT, data(2, 4096)), (3 * SEGMENT, data(0, 4096))]);
    // Smaller blocks, another byte order, holes in the place of zeros and pieces of another size.
    let small = volume(
        Big,
        &[
            (0, data(1, 4096)),
            (4096, data(1, 4096)),
            (SEGMENT, data(2, 4096)),
            (SEGMENT + 4096, data(0, 4096)),
        ],
    );
    let one = sums(&whole, 1 << 20).expect("understood");
    assert_eq!(one.keys().copied().collect::<Vec<_>>(), [0, 1]);
    assert_eq!(one, sums(&small, 7).expect("understood"));
    let mut other = vec![(0, data(1, 8192)), (SEGMENT, data(2, 4096))];
    other[1].1[4095] = 3;
    let other = sums(&volume(Little, &other), 1000).expect("understood");
    let found = differences(&Content::Blocks(one), &Content::Blocks(other));
    assert_eq!(found.iter().map(|one| one.what.as_str()).collect::<Vec<_>>(), ["bytes 4194304 to 8388607"]);
}

#[test]
fn streams_that_are_not_what_was_asked_for_are_errors() {
    use zfs_core::stream::ByteOrder::Little;
    let whole = volume(Little, &[(0, vec![1; 4096])]);
    assert!(sums(&whole[..whole.len() - 1], 512).is_err(), "cut");
    let back = volume(Little, &[(SEGMENT, vec![1; 4096]), (0, vec![1; 4096])]);
    assert!(sums(&back, 512).expect_err("out of order").contains("order"));
    let far = volume(Little, &[(u64::MAX - 100, vec![1; 4096])]);
    assert!(sums(&far, 512).is_err(), "beyond the end");
    let begin = || StreamBuilder::new(Little).of_volume().begin(&Default::default());
    let packed = begin().write_compressed(1, 0, 4096, &[1; 512]).end().build();
    assert!(sums(&packed, 512).expect_err("compressed").contains("compressed"));
    let embedded = begin().write_embedded(1, &[1; 16]).end().build();
    assert!(sums(&embedded, 512).is_err(), "embedded");
    let files = StreamBuilder::new(Little).begin(&Default::default()).end().build();
    assert!(sums(&files, 512).expect_err("no volume").contains("volume"));
}
