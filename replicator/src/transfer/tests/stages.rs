//! All stages together: compressed on either side, slow and stuck ends, cancelled at every stage, and what is left
//! afterwards: nothing.

use std::sync::Mutex;

use proptest::prelude::*;

use super::*;

/// An end made of functions.
pub(super) struct Source<'a> {
    pub(super) next: Box<dyn FnMut() -> Result<Next, HostError> + Send + 'a>,
    pub(super) dropped: &'a AtomicU64,
}

impl Outgoing for Source<'_> {
    fn next(&mut self, _limit: usize) -> Result<Next, HostError> {
        (self.next)()
    }

    fn idle(&mut self) -> Result<(), HostError> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        Ok(())
    }
}

impl Drop for Source<'_> {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

type Write<'a> = dyn FnMut(&[u8]) -> Result<(), HostError> + Send + 'a;

pub(super) struct Target<'a> {
    pub(super) write: Box<Write<'a>>,
    pub(super) finish: Box<dyn FnMut() -> Result<(), HostError> + Send + 'a>,
    pub(super) dropped: &'a AtomicU64,
}

impl Incoming for Target<'_> {
    fn write(&mut self, block: &Bytes) -> Result<(), HostError> {
        (self.write)(block)
    }

    fn idle(&mut self) -> Result<bool, HostError> {
        Ok(false)
    }

    fn finish(mut self: Box<Self>) -> Result<(), HostError> {
        (self.finish)()
    }
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

pub(super) fn target<'a>(dropped: &'a AtomicU64, into: &'a Mutex<Vec<u8>>) -> Box<Target<'a>> {
    let write = |block: &[u8]| {
        into.lock().expect("lock").extend_from_slice(block);
        Ok(())
    };
    Box::new(Target { write: Box::new(write), finish: Box::new(|| Ok(())), dropped })
}

/// One block again and again, for ever; the first is the beginning of a stream.
pub(super) fn endless(dropped: &AtomicU64) -> Box<Source<'_>> {
    let data = stream(5, 4, 2000);
    let begin = Bytes::copy_from_slice(&data[..data.len() - 312]);
    // Records that fit behind it would need right running checksums: the beginning alone, in small pieces.
    let mut at = 0;
    let next = move || {
        if at >= begin.len() {
            std::thread::sleep(Duration::from_millis(1));
            return Ok(Next::Nothing);
        }
        let to = (at + 50_000).min(begin.len());
        let block = begin.slice(at..to);
        at = to;
        Ok(Next::Block(block))
    };
    Box::new(Source { next: Box::new(next), dropped })
}

pub(super) fn pieces<'a>(data: &[u8], piece: usize, dropped: &'a AtomicU64) -> Box<Source<'a>> {
    let mut blocks: std::collections::VecDeque<Bytes> =
        data.chunks(piece).map(Bytes::copy_from_slice).collect();
    let next = move || Ok(blocks.pop_front().map_or(Next::End, Next::Block));
    Box::new(Source { next: Box::new(next), dropped })
}

/// The stream as a far end would send or want it.
pub(super) fn packed(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 1).expect("zstd")
}

pub(super) fn small(total: u64) -> Settings {
    Settings { budget: Budget::new(total), ..Settings::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_stream_arrives_whole_however_it_is_carried(
        blocks in 0u64..600,
        piece in 1usize..200_000,
        arrives in prop::bool::ANY,
        leaves in prop::bool::ANY,
        budget in prop_oneof![Just(0u64), Just(3 << 20), Just(128 << 20)],
    ) {
        let data = stream(5, 4, blocks);
        let coding = |zstd| if zstd { Coding::Packed } else { Coding::Plain };
        let sent = if arrives { packed(&data) } else { data.clone() };
        let (dropped, into) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let settings = small(budget);
        let piece = piece.max(sent.len() / 500);
        let moved = go(
            pieces(&sent, piece, &dropped),
            target(&dropped, &into),
            coding(arrives),
            coding(leaves),
            &settings,
            &Cancel::new(),
        ).expect("good");
        let came = into.into_inner().expect("lock");
        prop_assert_eq!(moved, Moved { plain: data.len() as u64, wire: came.len() as u64 });
        let plain = if leaves { zstd::decode_all(came.as_slice()).expect("zstd") } else { came };
        prop_assert!(plain == data);
        prop_assert_eq!(dropped.into_inner(), 2);
        prop_assert_eq!(settings.budget.used(), 0);
    }
}

/// What came before a failure must not come again: a link that breaks each minute would never bring anything.
#[test]
fn what_came_before_the_sender_failed_reaches_the_receiver() {
    let data = stream(5, 4, 2000);
    let cut = &data[..data.len() - 5000];
    for (arrives, leaves) in [
        (Coding::Plain, Coding::Plain),
        (Coding::Plain, Coding::Packed),
        (Coding::Packed, Coding::Plain),
        (Coding::Packed, Coding::Packed),
    ] {
        let sent = if arrives == Coding::Packed { packed(cut) } else { cut.to_vec() };
        let (dropped, into) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let mut from = pieces(&sent, 100_000, &dropped);
        let mut next = std::mem::replace(&mut from.next, Box::new(|| Ok(Next::End)));
        from.next = Box::new(move || match next()? {
            Next::End => Err(failure("the line broke")),
            next => Ok(next),
        });
        // Slow enough that most of it waits in between when the sender fails.
        let write = |block: &[u8]| {
            std::thread::sleep(Duration::from_millis(2));
            into.lock().expect("lock").extend_from_slice(block);
            Ok(())
        };
        let finish = || panic!("ended politely");
        let to = Target { write: Box::new(write), finish: Box::new(finish), dropped: &dropped };
        let error = go(from, Box::new(to), arrives, leaves, &Settings::default(), &Cancel::new());
        assert!(matches!(error, Err(TransferError::Sender(_))), "{error:?}");
        let came = into.into_inner().expect("lock");
        let came = if leaves == Coding::Packed { unfinished(&came) } else { came };
        assert!(came == cut, "{arrives:?} to {leaves:?}: {} of {}", came.len(), cut.len());
    }
}

/// What can be had of frames that are not whole.
fn unfinished(mut packed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut decoder = zstd::stream::read::Decoder::new(&mut packed).expect("zstd");
    let error = std::io::Read::read_to_end(&mut decoder, &mut plain).expect_err("not whole");
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    plain
}

#[test]
fn a_compressed_stream_that_is_cut_or_damaged_is_never_ended() {
    let data = stream(5, 4, 20);
    let whole = packed(&data);
    for at in (0..whole.len()).step_by(whole.len() / 40 + 1) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        for sent in [&whole[..at], changed.as_slice()] {
            let seen = Seen::default();
            let from = From::new(sent.to_vec());
            let settings = Settings::default();
            let (zstd, plain) = (Coding::Packed, Coding::Plain);
            let moved = go(Box::new(from), Box::new(To::new(&seen)), zstd, plain, &settings, &Cancel::new());
            assert!(matches!(moved, Err(TransferError::Stream(_))), "at {at}: {moved:?}");
            assert_eq!(seen.finished.into_inner(), 0, "at {at}");
        }
    }
}

#[test]
fn a_bomb_is_refused_by_its_first_bytes() {
    let bomb = packed(&vec![0; 64 << 20]);
    let seen = Seen::default();
    let settings = small(4 << 20);
    let (zstd, plain) = (Coding::Packed, Coding::Plain);
    let from = From::new(bomb);
    let error = go(Box::new(from), Box::new(To::new(&seen)), zstd, plain, &settings, &Cancel::new());
    let error = error.expect_err("a bomb");
    assert!(matches!(error, TransferError::Stream(StreamError::Damaged(_))), "{error:?}");
    assert_eq!(error.code(), Code::StreamDamaged);
    assert_eq!(seen.bytes.into_inner(), 0);
}

#[test]
fn what_is_reported_adds_up_on_both_sides_of_the_wire() {
    let data = stream(5, 4, 500);
    let sent = packed(&data);
    for (from, arrives, leaves, wire) in
        [(&data, Coding::Plain, Coding::Packed, Wire::Out), (&sent, Coding::Packed, Coding::Plain, Wire::In)]
    {
        let (dropped, into) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let (plain, over) = (AtomicU64::new(0), AtomicU64::new(0));
        let settings = Settings::default();
        let head = Head::unread(pieces(from, 1000, &dropped), arrives, &settings);
        let progress = |moved: Moved| {
            plain.fetch_add(moved.plain, Ordering::SeqCst);
            over.fetch_add(moved.wire, Ordering::SeqCst);
        };
        let cancel = Cancel::new();
        let target = target(&dropped, &into);
        let all =
            transfer(head, target, leaves, wire, EXPECTED, &settings, &cancel, &progress).expect("good");
        let came = into.into_inner().expect("lock").len() as u64;
        let wire = if wire == Wire::Out { came } else { from.len() as u64 };
        assert_eq!(all, Moved { plain: data.len() as u64, wire });
        assert_eq!((plain.into_inner(), over.into_inner()), (all.plain, all.wire));
        assert!(all.wire < all.plain / 2);
    }
}

#[test]
fn the_head_decides_and_is_sent_first() {
    let auto = Settings { compression: Compression::Auto, ..Settings::default() };
    let noise = crate::transfer::compress::tests::noise;
    let mut builder = StreamBuilder::new(ByteOrder::Little).begin(&Begin {
        to_guid: 5,
        from_guid: 4,
        to_name: "a/b@c".to_string(),
        ..Begin::default()
    });
    for (n, block) in noise(6 << 20).chunks(65536).enumerate() {
        builder = builder.write(1, n as u64 * 65536, block);
    }
    let noisy = builder.end().build();
    for (data, compresses) in [(stream(5, 4, 2000), true), (noisy, false), (stream(5, 4, 1), true)] {
        let (dropped, into) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let from = pieces(&data, 100_000, &dropped);
        let head = Head::read(from, Coding::Plain, false, &auto, &Cancel::new()).expect("good");
        assert_eq!(head.decision().compresses(), compresses, "{:?}", head.decision());
        assert!(auto.budget.used() > 0);
        let leaves = if compresses { Coding::Packed } else { Coding::Plain };
        let cancel = Cancel::new();
        let to = target(&dropped, &into);
        transfer(head, to, leaves, Wire::Out, EXPECTED, &auto, &cancel, &|_| {}).expect("good");
        let came = into.into_inner().expect("lock");
        let plain = if compresses { zstd::decode_all(came.as_slice()).expect("zstd") } else { came };
        assert!(plain == data);
    }
    // Nothing is read where nothing has to be decided.
    let never = || panic!("read");
    for (raw, settings, decision) in [
        (true, auto.clone(), Decision::Raw),
        (false, Settings { compression: Compression::Off, ..auto.clone() }, Decision::Off),
        (true, Settings { compression: Compression::On, ..auto.clone() }, Decision::Compress),
    ] {
        let dropped = AtomicU64::new(0);
        let from = Box::new(Source { next: Box::new(never), dropped: &dropped });
        let head = Head::read(from, Coding::Plain, raw, &settings, &Cancel::new()).expect("good");
        assert_eq!(head.decision(), decision);
    }
}

#[test]
fn a_head_fits_into_any_budget() {
    let settings = Settings { compression: Compression::Auto, ..small(0) };
    let data = stream(5, 4, 2000);
    let (dropped, into) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let from = pieces(&data, 1 << 20, &dropped);
    let head = Head::read(from, Coding::Plain, false, &settings, &Cancel::new()).expect("good");
    assert_eq!(settings.budget.used(), 1 << 20);
    let to = target(&dropped, &into);
    let cancel = Cancel::new();
    transfer(head, to, Coding::Plain, Wire::Out, EXPECTED, &settings, &cancel, &|_| {}).expect("good");
    assert!(into.into_inner().expect("lock") == data);
}
