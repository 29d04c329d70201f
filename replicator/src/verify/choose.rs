//! Which datasets of a target are read next, and which share of their files: those first that were not read for longest,
//! within so many bytes. So everything is read in time, however large it is. Pure.

use std::num::NonZeroU32;

use crate::compare::content::Share;

/// The most shares that a filesystem is read in: beyond this they are larger than what was asked for.
const SHARES: u64 = 1 << 16;

/// A dataset that could be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// Bytes that it refers to.
    pub bytes: u64,
    /// A volume is read as a whole or not at all.
    pub volume: bool,
    /// When it was read last, in seconds since 1970; none if never.
    pub last: Option<i64>,
    /// The share that was read then, and of how many.
    pub share: Option<(u32, NonZeroU32)>,
}

/// What is to be read of them, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The place of each among the candidates, and its share.
    pub read: Vec<(usize, Share)>,
    /// Volumes that are larger than what may be read at all.
    pub too_large: Vec<usize>,
}

/// Chooses within so many bytes. Where there is anything to read, something is chosen.
#[must_use]
pub fn choose(all: &[Candidate], bytes: u64) -> Chosen {
    let mut chosen = Chosen::default();
    let mut order: Vec<usize> = (0..all.len()).collect();
    // What was never read comes first; the order of the names decides among equals.
    order.sort_by_key(|at| all[*at].last.unwrap_or(i64::MIN));
    let mut left = bytes;
    for at in order {
        let candidate = &all[at];
        let parts = candidate.bytes.div_ceil(bytes.max(1)).clamp(1, SHARES);
        if candidate.volume && parts > 1 {
            chosen.too_large.push(at);
            continue;
        }
        let share = next(candidate, parts);
        let cost = candidate.bytes / u64::from(share.of().get());
        if cost > left && !chosen.read.is_empty() {
            continue;
        }
        left = left.saturating_sub(cost);
        chosen.read.push((at, share));
    }
    chosen
}

/// The share after the one that was read last. One that was begun in other parts goes on in these as long as they suffice.
fn next(candidate: &Candidate, parts: u64) -> Share {
    let parts = u32::try_from(parts).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
    match candidate.share {
        // A dataset that grows does not begin anew each time.
        Some((part, of)) if of >= parts && of.get() / 2 < parts.get() => Share::new(part.wrapping_add(1), of),
        _ => Share::new(0, parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(count: u32) -> NonZeroU32 {
        NonZeroU32::new(count).expect("more than nothing")
    }

    #[test]
    fn what_was_not_read_for_longest_comes_first_within_the_bytes() {
        let one = |bytes, last| Candidate { bytes, last, ..Candidate::default() };
        let all = [one(40, Some(3)), one(40, None), one(40, Some(1)), one(10, Some(2))];
        let read = |bytes| choose(&all, bytes).read.iter().map(|(at, _)| *at).collect::<Vec<_>>();
        assert_eq!(read(1000), [1, 2, 3, 0]);
        assert_eq!(read(90), [1, 2, 3]);
        assert_eq!(read(50), [1, 3]);
        assert_eq!(choose(&[], 50), Chosen::default());
    }

    #[test]
    fn a_large_filesystem_is_read_share_by_share_until_all_of_it_was() {
        let mut candidate = Candidate { bytes: 1000, ..Candidate::default() };
        let mut parts = Vec::new();
        for day in 0..11 {
            let chosen = choose(&[candidate], 100);
            let [(0, share)] = chosen.read[..] else { panic!("{chosen:?}") };
            assert_eq!(share.of(), of(10));
            parts.push(share.part());
            candidate = Candidate { share: Some((share.part(), share.of())), last: Some(day), ..candidate };
        }
        assert_eq!(parts, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]);
        // It shrinks a little, and goes on; it grows, and begins anew in smaller parts.
        let next_of = |bytes| choose(&[Candidate { bytes, ..candidate }], 100).read[0].1;
        assert_eq!((next_of(900).of(), next_of(900).part()), (of(10), 1));
        assert_eq!((next_of(1100).of(), next_of(1100).part()), (of(11), 0));
    }

    #[test]
    fn a_volume_that_is_too_large_is_told_and_keeps_the_others_from_nothing() {
        let volume = Candidate { bytes: 1000, volume: true, ..Candidate::default() };
        let chosen = choose(&[volume, Candidate { bytes: 10, ..Candidate::default() }], 100);
        assert_eq!((chosen.too_large.as_slice(), chosen.read.len()), (&[0][..], 1));
        assert_eq!(choose(&[volume], 1000).read, [(0, Share::ALL)]);
    }

    #[test]
    fn every_file_is_in_exactly_one_share() {
        for count in [1, 2, 7] {
            let mut sizes = vec![0; count as usize];
            for n in 0..500 {
                let path = format!("folder/file{n}");
                let has = |part: &u32| Share::new(*part, of(count)).has(path.as_bytes());
                let parts: Vec<u32> = (0..count).filter(has).collect();
                assert_eq!(parts.len(), 1, "{path}");
                sizes[parts[0] as usize] += 1;
            }
            assert!(sizes.iter().all(|size| *size > 30), "{sizes:?}");
        }
    }
}
