//! The checker against streams made by the builder: whole, cut anywhere, damaged anywhere.

use proptest::prelude::*;

use super::build::Begin;
use super::build::StreamBuilder;
use super::*;
use crate::Guid;
use crate::nvlist::NvList;

/// One of every kind of record.
fn sample(order: ByteOrder) -> Vec<u8> {
    let list = NvList::new().with("resume_object", 7_u64);
    let begin = Begin {
        features: Features::RESUMING.with(Features::COMPRESSED).with(Features::EMBED_DATA),
        from_guid: 5,
        payload: list.encode_native().unwrap(),
        ..Begin::default()
    };
    StreamBuilder::new(order)
        .begin(&begin)
        .bare(RecordType::FreeObjects, 0, 1)
        .object(1, &[7; 13])
        .spill(1, &[8; 512])
        .write(1, 0, &[9; 4096])
        .write_compressed(1, 4096, 4096, &[1; 510])
        .write_embedded(1, &[2; 17])
        .bare(RecordType::Free, 1, 8192)
        .bare(RecordType::ObjectRange, 0, 32)
        .bare(RecordType::Redact, 1, 1)
        .end()
        .build()
}

fn check(data: &[u8], policy: Policy) -> Result<StreamChecker, StreamError> {
    let mut checker = StreamChecker::new(policy);
    checker.push(data)?;
    checker.finish()?;
    Ok(checker)
}

fn package() -> Vec<u8> {
    let order = ByteOrder::Little;
    let list = NvList::new().with("tosnap", "b").encode_xdr().unwrap();
    let head = Begin { compound: true, payload: list, to_guid: 0, ..Begin::default() };
    StreamBuilder::new(order)
        .begin(&head)
        .end()
        .begin(&Begin::default())
        .write(1, 0, &[1; 512])
        .end()
        .begin(&Begin { from_guid: 0xfeed_beef, to_guid: 9, ..Begin::default() })
        .end()
        .package_end()
        .build()
}

#[test]
fn a_whole_stream_is_counted_and_complete_in_both_byte_orders() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let data = sample(order);
        let checker = check(&data, Policy::default()).unwrap();
        let begin = checker.begin().unwrap();
        assert_eq!((begin.order, begin.kind), (order, StreamKind::Single));
        assert_eq!((begin.to_guid, begin.from_guid), (Guid(0xfeed_beef), Some(Guid(5))));
        assert_eq!((&*begin.to_name, begin.creation_time), (&b"tank/a@b"[..], 1_700_000_000));
        assert!(begin.is_resuming() && !begin.is_raw() && !begin.is_compound());
        assert_eq!(begin.features.to_string(), "embed_data, resuming, compressed");
        assert_eq!(checker.begin_list().unwrap().u64("resume_object"), Some(7));

        let stats = checker.stats();
        assert_eq!(stats.of(RecordType::Write), RecordCount { records: 2, payload: 4096 + 510 });
        assert_eq!(stats.of(RecordType::Object), RecordCount { records: 1, payload: 16 });
        assert_eq!(stats.of(RecordType::WriteEmbedded).payload, 24);
        assert_eq!(stats.of(RecordType::WriteByref).records, 0);
        assert_eq!(stats.without_checksum, 0);
        let total = stats.total();
        assert_eq!(total.records * RECORD_BYTES as u64 + total.payload, data.len() as u64);
        assert_eq!((checker.offset(), checker.next_boundary()), (data.len() as u64, data.len() as u64));
    }
}

#[test]
fn every_cut_short_stream_is_incomplete() {
    let data = sample(ByteOrder::Little);
    for length in 0..data.len() {
        let result = check(&data[..length], Policy::default()).map(|_| ());
        assert_eq!(result, Err(StreamError::Truncated { offset: length as u64 }));
    }
}

#[test]
fn boundaries_are_known_ahead() {
    let data = sample(ByteOrder::Little);
    let (mut checker, mut at, mut records) = (StreamChecker::new(Policy::default()), 0, 0);
    while !checker.is_complete() {
        let next = checker.next_boundary() as usize;
        checker.push(&data[at..next]).unwrap();
        records += usize::from(checker.next_boundary() == next as u64 + RECORD_BYTES as u64);
        at = next;
    }
    assert_eq!(at, data.len());
    assert_eq!(records, 10, "after every record but the last the next header is awaited");
}

#[test]
fn a_package_passes_only_where_allowed() {
    let data = package();
    assert_eq!(check(&data, Policy::default()).unwrap_err(), StreamError::Compound { offset: 0 });
    let allowed = Policy { allow_compound: true, ..Policy::default() };
    let checker = check(&data, allowed).unwrap();
    assert_eq!(checker.stats().of(RecordType::Begin).records, 3);
    assert_eq!(checker.stats().of(RecordType::End).records, 4);
    assert_eq!(checker.begin().unwrap().to_guid, Guid(9));
    let cut = &data[..data.len() - RECORD_BYTES];
    assert!(matches!(check(cut, allowed), Err(StreamError::Truncated { .. })));
}

#[test]
fn what_the_policy_forbids_is_refused_by_name() {
    let build = |begin: &Begin| StreamBuilder::new(ByteOrder::Little).begin(begin);
    let dedup = build(&Begin { features: Features::DEDUP, ..Begin::default() }).end().build();
    let refused = check(&dedup, Policy::default()).unwrap_err();
    assert_eq!(refused, StreamError::Features { offset: 0, features: Features::DEDUP });
    let later = build(&Begin { features: Features(1 << 40), ..Begin::default() }).end().build();
    let refused = check(&later, Policy::default()).unwrap_err().to_string();
    assert!(refused.ends_with("not accepted: bit 40"), "{refused}");

    let large = build(&Begin::default()).write(1, 0, &[0; 1024]).end().build();
    let small = Policy { max_payload: 1023, ..Policy::default() };
    assert_eq!(
        check(&large, small).unwrap_err().to_string(),
        "WRITE at offset 312: 1024 bytes of payload; at most 1023 are accepted"
    );
    let list = build(&Begin { payload: vec![0; 2 << 20], ..Begin::default() }).end().build();
    let refused = check(&list, Policy::default()).unwrap_err();
    assert!(matches!(refused, StreamError::Payload { record: RecordType::Begin, .. }));
}

#[test]
fn an_announced_giant_is_refused_before_it_comes() {
    let mut data =
        StreamBuilder::new(ByteOrder::Little).begin(&Begin::default()).write(1, 0, &[0; 8]).build();
    data.truncate(2 * RECORD_BYTES);
    data[RECORD_BYTES + 32..][..8].copy_from_slice(&u64::MAX.to_le_bytes());
    // The header's own checksum would catch it; without one the size does.
    data[RECORD_BYTES + 280..].fill(0);
    let refused = check(&data, Policy::default()).unwrap_err();
    assert!(matches!(refused, StreamError::Payload { size: u64::MAX, .. }), "{refused}");
}

#[test]
fn records_out_of_place_are_refused() {
    let order = ByteOrder::Little;
    let twice = StreamBuilder::new(order).begin(&Begin::default()).begin(&Begin::default()).build();
    let refused = check(&twice, Policy::default()).unwrap_err();
    assert_eq!(refused, StreamError::Unexpected { offset: 312, record: RecordType::Begin });

    let headless = StreamBuilder::new(order).write(1, 0, &[0; 512]).build();
    assert!(matches!(check(&headless, Policy::default()), Err(StreamError::NotAStream { offset: 0, .. })));

    let mut trailing = sample(order);
    let end = trailing.len() as u64;
    trailing.push(0);
    assert_eq!(check(&trailing, Policy::default()).unwrap_err(), StreamError::Trailing { offset: end });

    let mut unknown = StreamBuilder::new(order).begin(&Begin::default()).end().build();
    unknown[312] = 11;
    assert_eq!(
        check(&unknown, Policy::default()).unwrap_err(),
        StreamError::UnknownRecord { offset: 312, found: 11 }
    );

    let other = StreamBuilder::new(order).begin(&Begin::default());
    let mut wrong = other.clone().end().build();
    // Another guid in END with the header's checksum left out, as an old sender would.
    wrong[312 + 40] ^= 1;
    wrong[312 + 280..].fill(0);
    assert!(matches!(check(&wrong, Policy::default()), Err(StreamError::ToGuid { offset: 312, .. })));
}

#[test]
fn an_error_stays() {
    let mut checker = StreamChecker::new(Policy::default());
    let first = checker.push(&[1; 400]).unwrap_err();
    assert_eq!(checker.push(&sample(ByteOrder::Little)), Err(first.clone()));
    assert_eq!(checker.finish(), Err(first));
    assert!(!checker.is_complete());
}

proptest! {
    #[test]
    fn cutting_into_pieces_changes_nothing(sizes in proptest::collection::vec(1..700_usize, 1..40), big in any::<bool>()) {
        let data = sample(if big { ByteOrder::Big } else { ByteOrder::Little });
        let mut checker = StreamChecker::new(Policy::default());
        let (mut rest, mut sizes) = (&data[..], sizes.into_iter().cycle());
        while !rest.is_empty() {
            let (piece, next) = rest.split_at(sizes.next().unwrap().min(rest.len()));
            checker.push(piece).unwrap();
            rest = next;
        }
        prop_assert!(checker.is_complete());
        let whole = check(&data, Policy::default()).unwrap();
        prop_assert_eq!(checker.stats(), whole.stats());
    }

    #[test]
    fn any_flipped_bit_is_noticed(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut data = sample(ByteOrder::Little);
        let at = at.index(data.len());
        // WRITE_COMPRESSED's payload of 510 bytes ends in half a word, which no checksum covers.
        let after = data.len() - (RECORD_BYTES * 5 + 24);
        let spare = after - 2..after;
        prop_assume!(!spare.contains(&at));
        data[at] ^= 1_u8 << bit;
        prop_assert!(check(&data, Policy::default()).is_err(), "byte {at}");
    }

    #[test]
    fn noise_never_panics(data in proptest::collection::vec(any::<u8>(), 0..2000), compound in any::<bool>()) {
        let mut whole = StreamBuilder::new(ByteOrder::Little).begin(&Begin { compound, ..Begin::default() }).build();
        whole.extend(data);
        let _ = check(&whole, Policy { allow_compound: true, ..Policy::default() });
    }
}
