//! Streams recorded on real ZFS, against what OpenZFS' own reader counts in them (`tests/data/README.md`).

use std::io::Read;

use flate2::read::GzDecoder;

use super::*;
use crate::Guid;
use crate::nvlist::Limits;
use crate::nvlist::NvList;
use crate::nvlist::Value;
use crate::token::ResumeToken;

macro_rules! samples {
    ($($name:literal)*) => {
        [$(($name, include_bytes!(concat!("../../tests/data/", $name, ".gz")))),*]
    };
}

const SAMPLES: [(&str, &[u8]); 10] = samples! {
    "full.zfs" "incremental.zfs" "incremental-from-bookmark.zfs" "compressed-large-embedded.zfs" "raw.zfs"
    "raw-incremental.zfs" "volume.zfs" "redacted.zfs" "resumed.zfs" "package.zfs"
};
const COUNTS: &str = include_str!("../../tests/data/records.txt");

fn gunzip(data: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(data).read_to_end(&mut plain).unwrap();
    plain
}

fn sample(name: &str) -> Vec<u8> {
    gunzip(SAMPLES.iter().find(|(other, _)| *other == name).unwrap().1)
}

fn policy() -> Policy {
    Policy { allow_compound: true, ..Policy::default() }
}

fn check(data: &[u8]) -> Result<StreamChecker, StreamError> {
    let mut checker = StreamChecker::new(policy());
    checker.push(data)?;
    checker.finish()?;
    Ok(checker)
}

#[test]
fn recorded_streams_hold_what_openzfs_counts_in_them() {
    for (name, data) in SAMPLES {
        let data = gunzip(data);
        let checker = check(&data).unwrap_or_else(|error| panic!("{name}: {error}"));
        // libzfs leaves it out of the END after the head of a package.
        assert_eq!(checker.stats().without_checksum, u64::from(name == "package.zfs"), "{name}");
        let mut compared = 0;
        for line in COUNTS.lines() {
            let [stream, record, records, payload] = *line.split(' ').collect::<Vec<_>>() else {
                panic!("{line}")
            };
            if stream == name {
                let record = RecordType::ALL.into_iter().find(|one| one.to_string() == record).unwrap();
                let expected =
                    RecordCount { records: records.parse().unwrap(), payload: payload.parse().unwrap() };
                assert_eq!(checker.stats().of(record), expected, "{name} {record}");
                compared += 1;
            }
        }
        assert_eq!(compared, 9, "{name}");
        let total = checker.stats().total();
        assert_eq!(total.records * RECORD_BYTES as u64 + total.payload, data.len() as u64, "{name}");
    }
}

#[test]
fn recorded_streams_pass_in_pieces_of_any_size() {
    for (name, data) in SAMPLES {
        let data = gunzip(data);
        for size in [1, 7, 311, 4096] {
            let mut checker = StreamChecker::new(policy());
            data.chunks(size).try_for_each(|piece| checker.push(piece)).unwrap();
            assert!(checker.is_complete(), "{name} in pieces of {size}");
        }
    }
}

#[test]
fn damage_to_a_recorded_stream_is_noticed() {
    for (name, data) in SAMPLES {
        let data = gunzip(data);
        // The last record of a package is not read beyond its first fields, and has no checksum.
        let covered = data.len() - if name == "package.zfs" { RECORD_BYTES } else { 0 };
        for at in (0..covered).step_by(covered / 29) {
            let mut changed = data.clone();
            changed[at] ^= 1;
            assert!(check(&changed).is_err(), "{name} changed at {at}");
            assert!(check(&data[..at]).is_err(), "{name} cut at {at}");
        }
    }
}

#[test]
fn recorded_heads_say_what_was_sent() {
    let begin = |name| check(&sample(name)).unwrap().begin().unwrap().clone();
    let (full, incremental, bookmark) =
        (begin("full.zfs"), begin("incremental.zfs"), begin("incremental-from-bookmark.zfs"));
    assert_eq!(full.to_name, b"tank/plain data@one");
    assert_eq!((full.from_guid, full.objset_type), (None, 2));
    assert_eq!((incremental.from_guid, bookmark.from_guid), (Some(full.to_guid), Some(full.to_guid)));
    assert_ne!(incremental.to_guid, full.to_guid);
    assert_eq!(begin("volume.zfs").objset_type, 3);
    assert!(full.creation_time > 1_700_000_000);

    let packed = begin("compressed-large-embedded.zfs").features;
    let wanted = Features::COMPRESSED.with(Features::LARGE_BLOCKS).with(Features::EMBED_DATA);
    assert!(packed.contains(wanted.with(Features::ZSTD)), "{packed}");
    assert!(begin("raw.zfs").is_raw() && !full.is_raw());
    assert!(begin("redacted.zfs").features.contains(Features::REDACTED));
    for (name, _) in SAMPLES {
        assert!(begin(name).features.unknown().is_empty(), "{name}");
    }
}

#[test]
fn recorded_lists_of_the_kernel_read() {
    let list = |name| check(&sample(name)).unwrap().begin_list().unwrap().clone();
    let keys = list("raw.zfs");
    assert!(keys.list("crypt_keydata").is_some(), "{keys}");
    assert!(
        matches!(list("redacted.zfs").get("redact_snaps"), Some(Value::UInt64Array(guids)) if guids.len() == 1)
    );

    let token: ResumeToken = include_str!("../../tests/data/resumed.token").parse().unwrap();
    let resumed = list("resumed.zfs");
    assert_eq!(resumed.u64("resume_object"), Some(token.object));
    assert_eq!(resumed.u64("resume_offset"), Some(token.offset));
    assert_eq!(check(&sample("resumed.zfs")).unwrap().begin().unwrap().to_guid, Guid(token.to_guid.0));

    let cache = gunzip(include_bytes!("../../tests/data/zpool-cache.nvlist.gz"));
    let pools = NvList::decode(&cache, &Limits::default()).unwrap();
    assert_eq!(pools.list("tank").and_then(|pool| pool.str("name")), Some("tank"));
    // Written again, it is the same to the byte.
    assert_eq!(pools.encode_native().unwrap(), cache);
}
