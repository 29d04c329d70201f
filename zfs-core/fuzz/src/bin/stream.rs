//! Bytes of unknown origin as a send stream: no panic, bounded memory, and the same judgement however the bytes
//! are cut. The first two bytes choose the size of the pieces and the policy.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zfs_core::stream::BeginRecord;
use zfs_core::stream::Policy;
use zfs_core::stream::StreamChecker;

fuzz_target!(|data: &[u8]| {
    let [size, choice, stream @ ..] = data else { return };
    let policy = Policy { allow_compound: choice & 1 == 1, max_begin_payload: 64 << 10, ..Policy::default() };
    let mut whole = StreamChecker::new(policy);
    let judged = whole.push(stream);
    let mut cut = StreamChecker::new(policy);
    let judged_cut = stream.chunks(usize::from(*size) + 1).try_for_each(|piece| cut.push(piece));
    assert_eq!(judged, judged_cut);
    assert_eq!(whole.finish(), cut.finish());
    assert_eq!(whole.stats(), cut.stats());
    assert_eq!(whole.begin(), cut.begin());
    assert!(whole.next_boundary() >= whole.offset());
    if judged.is_ok() {
        assert_eq!(whole.offset(), stream.len() as u64);
    }
    if let Some(begin) = stream.first_chunk() {
        let _ = BeginRecord::parse(begin).map(|begin| begin.to_name_escaped());
    }
});
