//! What is in a snapshot, and holds, through an agent: what is read there arrives as it was read, an older agent is told
//! apart, and what cannot be of a snapshot is an error.

use super::*;
use crate::compare::content::Content;
use crate::compare::content::Entry;
use crate::compare::content::Gathered;
use crate::compare::content::Piece;
use crate::compare::content::Share;

fn file(kind: u8, sum: Option<u8>) -> Entry {
    let link = if kind == b'l' { b"\xff\n".to_vec() } else { Vec::new() };
    let size = if kind == b'f' { u64::MAX } else { 0 };
    let sum = sum.map(|byte| [byte; 32]);
    Entry { kind, size, mode: 0o4755, owner: (1, 2), modified: (-2, 3), link, sum }
}

/// A root, and more files than go into one part, with paths that are no text.
fn some_files() -> Vec<Piece> {
    let mut pieces = vec![
        Piece::File(Vec::new(), file(b'd', None)),
        Piece::Bytes(7),
        Piece::File(b"link".to_vec(), file(b'l', None)),
    ];
    pieces
        .extend((0..2500).map(|n| Piece::File(format!("\u{1}{n}").into_bytes(), file(b'f', Some(n as u8)))));
    pieces.push(Piece::File(vec![0xff, b'\n', b'"'], file(b'f', Some(9))));
    pieces
}

/// What is in tank/a@s1.
fn content(host: &mut AgentHost, kind: DatasetKind) -> Result<Content, HostError> {
    let mut all = Gathered::new(kind);
    let bad = |why| HostError::BadAnswer { host: "far".to_string(), operation: "gathered", why };
    host.read(&snapshot("tank/a@s1"), kind, &mut |piece| all.add(piece).map_err(bad))?;
    all.finish().map_err(bad)
}

#[test]
fn what_is_in_a_snapshot_arrives_as_the_host_there_reads_it() {
    let segments: Vec<_> = (0..3000).map(|n| Piece::Segment(n * 2, [n as u8; 32])).collect();
    for (kind, pieces) in [(DatasetKind::Filesystem, some_files()), (DatasetKind::Volume, segments)] {
        let mut expected = Gathered::new(kind);
        pieces.iter().for_each(|piece| expected.add(piece.clone()).expect("it fits"));
        let fake = Fake { content: pieces, ..Fake::default() };
        let (mut host, starts) = serving(fake.clone());
        assert_eq!(content(&mut host, kind).expect("an answer"), expected.finish().expect("whole"));
        assert_eq!(fake.log.all(), [format!("read tank/a@s1 {kind:?}")]);
        // Of a kind that it is not, nothing is believed.
        let other = if kind == DatasetKind::Volume { DatasetKind::Filesystem } else { DatasetKind::Volume };
        assert!(matches!(content(&mut host, other), Err(HostError::BadAnswer { operation: "gathered", .. })));
        assert!(host.about("tank").is_ok() && starts.load(Ordering::SeqCst) == 2, "and it can go on");
    }
}

#[test]
fn of_a_share_only_its_files_arrive_and_every_file_is_in_one() {
    let (mut host, _) = serving(Fake { content: some_files(), ..Fake::default() });
    let of = std::num::NonZeroU32::new(3).expect("three");
    let mut seen = Vec::new();
    for part in 0..3 {
        let mut files = Vec::new();
        let share = Share::new(part, of);
        let read = host.read_share(&snapshot("tank/a@s1"), DatasetKind::Filesystem, share, &mut |piece| {
            if let Piece::File(path, entry) = piece
                && entry.kind == b'f'
            {
                files.push(path);
            }
            Ok(())
        });
        read.expect("an answer");
        assert!((500..1200).contains(&files.len()), "{}", files.len());
        seen.extend(files);
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 2501);
}

#[test]
fn holds_arrive_with_what_is_known_of_their_process_and_are_released_by_name() {
    let held = |tag: &[u8], runs| {
        let tag = HoldTag::try_from(tag).expect("a tag");
        Held::new(snapshot("tank/a@s1"), tag, Some(5), |_| Some(runs))
    };
    let mut holds =
        vec![held(b"replicator:1:7:0", true), held(b"replicator:1:8:0", false), held(b"\xff\n", true)];
    holds.extend(vec![held(&[1; 255], false); 1000]);
    let fake = Fake { holds: holds.clone(), ..Fake::default() };
    let (mut host, _) = serving(fake.clone());
    assert_eq!(host.holds(&dataset("tank"), Depth::All).expect("an answer"), holds);
    assert_eq!(host.holds(&dataset("tank"), Depth::One).expect("an answer"), []);
    let names: Vec<_> = holds.into_iter().map(|held| (held.snapshot, held.tag)).collect();
    host.release(&names).expect("released");
    assert_eq!(fake.log.all().len(), names.len());
}

#[test]
fn an_older_agent_is_told_apart_before_it_is_asked() {
    let mut host = older(1);
    for error in [
        content(&mut host, DatasetKind::Filesystem).expect_err("too old"),
        host.holds(&dataset("tank"), Depth::All).expect_err("too old"),
        host.release(&[]).expect_err("too old"),
    ] {
        assert!(matches!(&error, HostError::Cannot { has, .. } if has.contains("0.0.9")), "{error}");
        assert_eq!(error.code(), Code::Cannot);
        assert!(error.hint().is_some_and(|hint| hint.contains("install")), "{error:?}");
    }
}

#[test]
fn content_that_cannot_be_of_a_snapshot_is_an_error_and_never_a_shorter_list() {
    let file = |path: &str, kind: char, sum: &str| {
        format!(
            r#"{{"path":"{path}","kind":{},"size":0,"mode":1,"owner":[0,0],"modified":[0,0],"link":"","sum":{sum}}}"#,
            kind as u32
        )
    };
    let sum = format!("\"{}\"", "0".repeat(64));
    let root = file("", 'd', "null");
    let (good, folder) = (file("a", 'f', &sum), file("a", 'd', "null"));
    let part = |files: &[&str]| frame(Kind::Part, 1, &format!(r#"{{"files":[{}]}}"#, files.join(",")));
    let read = |bytes: Vec<u8>| content(&mut saying(bytes), DatasetKind::Filesystem);
    assert_eq!(read([part(&[&root]), part(&[&good]), done(1)].concat()).expect("good").len(), 2);
    assert_eq!(
        read([part(&[&root, &folder, &file("a/b", 'f', &sum)]), done(1)].concat()).expect("good").len(),
        3
    );
    for files in [
        vec![&good],
        vec![&root, &good, &good],
        vec![&root, &file("a", 'f', "null")],
        vec![&root, &file("a", 'f', "\"00\"")],
        vec![&root, &file("a", 'd', &sum)],
        vec![&root, &good, &file("a/b", 'f', &sum)],
        vec![&root, &file("x/b", 'f', &sum)],
        vec![&root, &file("/etc/passwd", 'f', &sum)],
        vec![&root, &file("../a", 'f', &sum)],
        vec![&root, &file("a//b", 'f', &sum)],
        vec![&root, &file("a\\u0000", 'f', &sum)],
        vec![&root, &file("\u{100}", 'f', &sum)],
    ] {
        let files: Vec<&str> = files.iter().map(|file| file.as_str()).collect();
        assert!(read([part(&files), done(1)].concat()).is_err(), "{files:?} was taken");
    }
    assert!(read([part(&[&root])].concat()).is_err(), "it ends in the middle");
    assert!(read([part(&[&root]), frame(Kind::Part, 1, "\"ready\""), done(1)].concat()).is_err());
    let endless = part(&vec![good.as_str(); 200]).repeat(200);
    assert!(read(endless).is_err());
    let nothing = frame(Kind::Part, 1, r#"{"reading":1}"#).repeat(PIECES + 1);
    let error = read(nothing).expect_err("it never comes to an end");
    assert!(error.to_string().contains("more than"), "{error}");
}

/// How many parts and pieces these tests allow for.
const PIECES: usize = 20_000;
