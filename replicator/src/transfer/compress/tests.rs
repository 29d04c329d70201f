//! Whatever goes in comes out, whatever does not fit is refused, and memory stays what it is.

use proptest::prelude::*;

use super::*;
use crate::transfer::BLOCK;

/// Bytes that do not get smaller.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(length)
    .collect()
}

fn compress<'d>(pieces: impl IntoIterator<Item = &'d [u8]>, room: usize, levels: &[i32]) -> Vec<u8> {
    let mut compressor = Compressor::new(2).expect("new");
    let mut all = Vec::new();
    let mut out = Vec::with_capacity(room);
    let mut levels = levels.iter().cycle();
    for piece in pieces {
        if let Some(level) = levels.next() {
            compressor.set_level(*level).expect("level");
        }
        let mut input = InBuffer::around(piece);
        while compressor.step(&mut input, &mut out).expect("step") {
            all.append(&mut out);
        }
        all.append(&mut out);
    }
    while compressor.finish(&mut out).expect("finish") {
        all.append(&mut out);
    }
    all.append(&mut out);
    all
}

/// What came out, and whether it was whole.
fn decompress<'d>(
    pieces: impl IntoIterator<Item = &'d [u8]>,
    room: usize,
) -> std::io::Result<(Vec<u8>, bool)> {
    let mut decompressor = Decompressor::new()?;
    let mut all = Vec::new();
    let mut out = Vec::with_capacity(room);
    for piece in pieces {
        let mut input = InBuffer::around(piece);
        loop {
            let more = decompressor.step(&mut input, &mut out)?;
            assert!(out.len() <= out.capacity().max(room));
            all.append(&mut out);
            if !more {
                break;
            }
        }
    }
    Ok((all, decompressor.is_whole()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_goes_in_comes_out(
        data in prop::collection::vec(any::<u8>(), 0..20_000),
        repeat in 1usize..200,
        pieces in (1usize..300_000, 1usize..300_000),
        room in (64usize..70_000, 1usize..70_000),
        levels in prop::collection::vec(0i32..15, 0..5),
    ) {
        let data = data.repeat(repeat);
        let packed = compress(data.chunks(pieces.0), room.0, &levels);
        let (plain, whole) = decompress(packed.chunks(pieces.1), room.1).expect("good");
        prop_assert!(whole);
        prop_assert!(plain == data);
    }

    #[test]
    fn what_is_cut_or_changed_is_found(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let data = noise(50_000).repeat(3);
        let packed = compress([data.as_slice()], BLOCK, &[]);
        let at = at.index(packed.len());
        let cut = decompress([&packed[..at]], BLOCK);
        prop_assert!(!matches!(cut, Ok((_, true))), "cut at {at}");
        let mut changed = packed.clone();
        changed[at] ^= 1 << bit;
        // A changed header may say how things are stored and leave the bytes alone; other bytes never come out whole.
        if let Ok((plain, true)) = decompress([changed.as_slice()], BLOCK) {
            prop_assert!(plain == data, "changed at {at}");
        }
    }

    #[test]
    fn no_input_upsets_it(data in prop::collection::vec(any::<u8>(), 0..3000)) {
        let with_magic = [&[0x28, 0xb5, 0x2f, 0xfd], data.as_slice()].concat();
        for input in [data.as_slice(), with_magic.as_slice()] {
            // A bomb may be in it: all there is must not pass what 3000 bytes can say.
            let _ = decompress(input.chunks(100), 4096).map(|(plain, _)| assert!(plain.len() < 1 << 30));
        }
    }
}

#[test]
fn frames_follow_each_other_and_nothing_else_does() {
    let (one, two) = (compress([&b"one"[..]], 100, &[]), compress([&b"two"[..]], 100, &[]));
    let both = [one.as_slice(), two.as_slice()].concat();
    for size in 1..both.len() {
        assert_eq!(decompress(both.chunks(size), 2).expect("good"), (b"onetwo".to_vec(), true));
    }
    assert!(decompress([one.as_slice(), b"plain bytes"], 100).is_err());
    assert_eq!(decompress([], 100).expect("nothing"), (Vec::new(), false));
    let empty = compress([], 100, &[]);
    assert_eq!(decompress([empty.as_slice()], 100).expect("empty"), (Vec::new(), true));
}

#[test]
fn the_command_can_read_it_and_checksums_are_in_it() {
    let packed = compress([&b"some bytes"[..]], 100, &[12]);
    // Frame_Header_Descriptor, bit 2 (RFC 8878, 3.1.1.1.1).
    assert_eq!(packed[4] & 4, 4, "no checksum");
    // The window: exponent and mantissa, or one segment of a known small size.
    assert!(packed[4] & 0x20 != 0 || u32::from(packed[5] >> 3) + 10 <= WINDOW_LOG);
}

#[test]
fn a_bomb_gives_its_bytes_piece_by_piece() {
    let zeroes = vec![0; 1 << 20];
    let packed = compress(std::iter::repeat_n(zeroes.as_slice(), 64), BLOCK, &[1]);
    assert!(packed.len() < 64 << 10, "{}", packed.len());
    let mut decompressor = Decompressor::new().expect("new");
    let mut out = Vec::with_capacity(4096);
    let mut input = InBuffer::around(&packed);
    let (mut plain, mut more) = (0, true);
    while more {
        more = decompressor.step(&mut input, &mut out).expect("good");
        assert!(out.len() <= 4096 && out.capacity() == 4096);
        plain += out.len();
        out.clear();
    }
    assert_eq!((plain, decompressor.is_whole()), (64 << 20, true));
}

#[test]
fn windows_that_are_too_large_are_refused_before_memory_is_taken() {
    // Frame headers by hand: magic, descriptor, window descriptor (exponent << 3) or content size.
    let window = |log: u8| vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, (log - 10) << 3, 1, 0, 0];
    for log in [24, 27, 31, 40] {
        let error = decompress([window(log).as_slice()], 100).expect_err("too large").to_string();
        assert!(error.contains("too much memory"), "{log}: {error}");
    }
    assert!(decompress([window(23).as_slice()], 100).is_ok());
    // One segment that claims 2^60 bytes.
    let mut segment = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
    segment.extend((1u64 << 60).to_le_bytes());
    segment.extend([1, 0, 0]);
    assert!(decompress([segment.as_slice()], 100).is_err());
}

#[test]
fn the_level_follows_what_is_slower_within_its_bounds() {
    let mut level = Level::new();
    let mut go = |slower, times| {
        for _ in 0..times * 8 {
            level.saw(1 << 20, 1 << 19, slower);
        }
        level.level
    };
    assert_eq!(go(Slower::Link, 1), 4);
    assert_eq!(go(Slower::Link, 100), 12);
    assert_eq!(go(Slower::Neither, 10), 12);
    assert_eq!(go(Slower::Processor, 2), 10);
    assert_eq!(go(Slower::Processor, 100), 1);
    assert_eq!(level.saw(8 << 20, 1, Slower::Link), Some(2));
    assert_eq!(level.saw(8 << 20, 1, Slower::Neither), None);
    // What does not get smaller gets the least time, however slow the link.
    assert_eq!(level.saw(8 << 20, 8 << 20, Slower::Link), Some(1));
}

#[test]
fn one_slow_moment_does_not_change_the_level() {
    let mut level = Level::new();
    for n in 0..80 {
        let slower = if n % 2 == 0 { Slower::Link } else { Slower::Processor };
        assert_eq!(level.saw(1 << 20, 1 << 19, slower), None);
    }
}
