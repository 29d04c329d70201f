//! What `zfs` prints, whole, cut, and as no `zfs` would print it.

use proptest::prelude::*;

use super::*;
use crate::transport::quote::END;

fn read_tree(answer: &str, depth: Depth) -> Result<Tree, Misunderstood> {
    let mut lines = Lines::default();
    let mut listing = TreeListing::new(DatasetName::try_from("tank/a b").expect("a name"), depth);
    // In pieces, as from a network.
    for piece in answer.as_bytes().chunks(7) {
        lines.push(piece, &mut |line| listing.take(line))?;
    }
    lines.finish()?;
    listing.finish()
}

fn read(answer: &str) -> Result<DatasetState, Misunderstood> {
    read_tree(answer, Depth::One).map(|tree| tree.root().clone())
}

const GOOD: &str = "tank/a b\tfilesystem\t11\t5\t0\t10\t20\t-\t-\t-\t-\t-\n\
    tank/a b/child\tvolume\t12\t6\t0\t10\t20\ttank/a b\tunavailable\ttank/x@y\t-\t-\n\
    tank/a b@two\tsnapshot\t18446744073709551615\t9\t0\t10\t-\t-\t-\t-\t77\t-\n\
    tank/a b@one\tsnapshot\t13\t7\t0\t10\t-\t-\t-\t-\t-\t-\n\
    tank/a b#one\tbookmark\t13\t7\t-\t10\t-\t-\t-\t-\t78\t-\n";

#[test]
fn a_tree_is_read_with_all_that_matters_of_its_datasets() {
    let more = "tank/a b/child@one\tsnapshot\t14\t8\t0\t10\t-\t-\t-\t-\t-\t-\n";
    // A snapshot before its dataset: the order is the other machine's business.
    let tree = read_tree(&format!("{more}{GOOD}{END}\n"), Depth::All).expect("good");
    let [root, child] = tree.datasets() else { panic!("{tree:?}") };
    assert_eq!((root.referenced, root.available, root.written), (10, 20, 0));
    assert_eq!(root.snapshots[1].ivset, Some(Guid(77)));
    assert_eq!(root.bookmarks[0].ivset, Some(Guid(78)));
    assert_eq!(child.kind, DatasetKind::Volume);
    assert_eq!(child.origin.as_ref().map(SnapshotName::as_str), Some("tank/x@y"));
    let encryption = child.encryption.as_ref().expect("encrypted");
    assert_eq!((encryption.root.as_str(), encryption.key_loaded), ("tank/a b", false));
    assert_eq!(child.snapshots.len(), 1);

    let orphan = "tank/a b/gone@one\tsnapshot\t14\t8\t0\t10\t-\t-\t-\t-\t-\t-\n";
    assert!(read_tree(&format!("{orphan}{GOOD}{END}\n"), Depth::All).is_err());
}

#[test]
fn a_pool_is_read_with_its_guid_and_features() {
    let mut listing = PoolListing::default();
    for line in ["size\t100", "guid\t18446744073709551615", "feature@large_blocks\tenabled", "comment\t-"] {
        listing.take(line).expect("good");
    }
    let about = listing.finish("tank", Version::parse("2.3.9")).expect("good");
    assert_eq!(about.guid, Guid(u64::MAX));
    assert_eq!(about.features.get("large_blocks").map(String::as_str), Some("enabled"));
    assert!(PoolListing::default().take("nothing").is_err());
    assert!(PoolListing::default().take("guid\t-").is_err());
    assert!(PoolListing::default().finish("tank", None).is_err());
}

#[test]
fn properties_are_read_with_their_sources() {
    let root = DatasetName::try_from("tank/a").expect("a name");
    let mut all = Properties::new();
    for line in [
        "tank/a\tcompression\tzstd\tlocal",
        "tank/a\tx:y\twith\ttabs\tinherited from tank",
        "tank/a/b\trecordsize\t131072\tdefault",
    ] {
        property(line, &root, &mut all).expect("good");
    }
    let one = &all[&root];
    assert_eq!(one["compression"], Property { value: "zstd".into(), source: PropertySource::Local });
    assert_eq!(one["x:y"], Property { value: "with\ttabs".into(), source: PropertySource::Inherited });
    assert!(property("tank/a\tcompression\toff\tlocal", &root, &mut all).is_err(), "twice");
    assert_eq!(all.len(), 2);
    for line in ["", "tank/a", "tank/a\tx", "tank/a\tx\ty", "tank/a\tx\ty\tnowhere", "tank/b\tx\ty\tlocal"] {
        assert!(property(line, &root, &mut all).is_err(), "{line:?}");
    }
}

#[test]
fn what_stands_against_a_removal_is_read_strictly() {
    let name = || DatasetName::try_from("tank/a b").expect("a name");
    let read = |lines: &[&str]| {
        let mut listing = CostListing::new(name());
        lines.iter().try_for_each(|line| listing.take(line))?;
        listing.finish()
    };
    let own = "tank/a b\t100\t20\tno";
    let cost = read(&[own, "tank/a b@1\t0\t", "tank/a b@2\t1\t-", "tank/a b@3\t0\ttank/c"]).expect("good");
    assert_eq!((cost.bytes, cost.mounted), (120, false));
    assert_eq!(cost.held, name().snapshot("2").ok());
    assert_eq!(cost.cloned, name().snapshot("3").ok());
    assert!(read(&["tank/a b\t1\t2\tyes"]).expect("good").mounted);
    assert_eq!(read(&["tank/a b\t1\t2\t-"]).expect("good").held, None);
    for lines in [
        &[][..],
        &["tank/a b@1\t0\t-"],
        &[own, own],
        &["tank/a\t1\t2\tno"],
        &["tank/a b\t-\t2\tno"],
        &["tank/a b\t1\t2\tmaybe"],
        &[own, "tank/a@1\t0\t-"],
        &[own, "tank/a b@1\t-\t-"],
        &[own, "tank/a b@1\t0"],
    ] {
        assert!(read(lines).is_err(), "{lines:?}");
    }
}

#[test]
fn a_whole_answer_is_read_in_order() {
    let state = read(&format!("{GOOD}{END}\n")).expect("good");
    assert_eq!(state.guid, Guid(11));
    let names: Vec<_> = state.snapshots.iter().map(|s| s.name.short()).collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(state.snapshots[1].guid, Guid(u64::MAX));
    assert_eq!(state.bookmarks.len(), 1);
    assert!(!state.encrypted() && state.partial.is_none());
}

#[test]
fn a_cut_answer_is_an_error_wherever_it_is_cut() {
    let whole = format!("{GOOD}{END}\n");
    for length in 0..whole.len() {
        assert!(read(&whole[..length]).is_err(), "cut at {length}");
    }
    assert!(read(&whole).is_ok());
}

#[test]
fn what_zfs_would_not_print_is_an_error() {
    for line in [
        "",
        "tank/a b",
        "tank/a b@x\tsnapshot\t13\t7\t0\toff",
        "tank/a b@x\tsnapshot\t13\t7\t0\toff\t-\t-",
        "tank/a b@x\tsnapshot\t-1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
        "tank/a b@x\tsnapshot\t+1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
        "tank/a b@x\tsnapshot\t1e3\t7\t0\t10\t20\t-\t-\t-\t-\t-",
        "tank/a b@x\tsnapshot\t18446744073709551616\t7\t0\t10\t20\t-\t-\t-\t-\t-",
        "tank/a b@x\tsnapshot\t\t7\t0\t10\t20\t-\t-\t-\t-\t-",
        "tank/a b@x\tsnapshot\t-\t7\t0\t10\t20\t-\t-\t-\t-\t-",
        "tank/a b@x y/z\tsnapshot\t1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
        "tank/a b@x@y\tsnapshot\t1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
        "tank/a b@$(reboot)\tsnapshot\t1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
        "tank/other@x\tsnapshot\t1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
        "tank/a b/child@x\tsnapshot\t1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
        "tank/other\tfilesystem\t1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
        "tank/a b/c/d\tfilesystem\t1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
        "tank/a b\tfilesystem\t1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
        "tank/a b@x\tsomething\t1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
        "cannot open 'tank/a b': dataset does not exist",
    ] {
        assert!(read(&format!("{GOOD}{line}\n{END}\n")).is_err(), "{line:?} was taken");
    }
    assert!(read(&format!("{END}\n")).is_err(), "an empty list has no dataset");
    assert!(read(&format!("{GOOD}{END}\n{GOOD}")).is_err(), "lines after the end");
}

#[test]
fn a_dataset_that_does_not_say_what_was_written_is_an_error() {
    // Taken for 0 it would pass as unchanged.
    let answer = format!("{}{END}\n", GOOD.replacen("\t5\t0\t10", "\t5\t-\t10", 1));
    assert!(answer.contains("\t5\t-\t10"));
    assert!(read(&answer).is_err());
    assert!(read(&format!("{GOOD}{END}\n")).is_ok());
}

#[test]
fn lines_and_their_number_are_bounded() {
    let mut lines = Lines::with_limit(3);
    let mut taken = 0;
    let answer = lines.push(b"a\nb\nc\nd\n", &mut |_| {
        taken += 1;
        Ok(())
    });
    assert!(answer.is_err());
    assert_eq!(taken, 3);
    let mut lines = Lines::default();
    let endless = vec![b'x'; 10_000];
    let failed = (0..10).find(|_| lines.push(&endless, &mut |_| Ok(())).is_err());
    assert!(failed.is_some(), "an endless line was kept");
}

#[test]
fn a_token_that_cannot_be_read_is_kept_as_such() {
    let answer = format!("{}{END}\n", GOOD.replacen("\t-\t-\n", "\t-\t1-nonsense\n", 1));
    let partial = read(&answer).expect("good").partial.expect("a token");
    assert!(partial.content.is_err() && partial.token == "1-nonsense");
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic(answer in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut lines = Lines::default();
        let mut listing = TreeListing::new(DatasetName::try_from("tank").expect("a name"), Depth::All);
        let _ = lines.push(&answer, &mut |line| listing.take(line));
    }

    #[test]
    fn no_fields_make_it_panic(line in "(tank|tank@x|tank#x|tank/y)(\t(snapshot|filesystem|bookmark|[0-9a-z-]{0,25})){0,13}") {
        let mut listing = TreeListing::new(DatasetName::try_from("tank").expect("a name"), Depth::All);
        let _ = listing.take(&line);
    }
}
