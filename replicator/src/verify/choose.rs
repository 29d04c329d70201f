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
    /// That share was not found good: it is the next one again, or the look at another one would hide that.
    pub again: bool,
}

/// What is to be read of them, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The place of each among the candidates, and its share.
    pub read: Vec<(usize, Share)>,
    /// Volumes that are larger than what may be read at all.
    pub too_large: Vec<usize>,
    /// In about how many choices like this one each of the others comes up once. At least one.
    pub rounds: u64,
}

/// Chooses within so many bytes. Where there is anything to read, something is chosen.
#[must_use]
pub fn choose(all: &[Candidate], bytes: u64) -> Chosen {
    let mut chosen = Chosen::default();
    let mut order: Vec<usize> = (0..all.len()).collect();
    // What was never read comes first; the order of the names decides among equals.
    order.sort_by_key(|at| all[*at].last.unwrap_or(i64::MIN));
    let mut left = bytes;
    // One choice after the other is filled with what comes next, which is about what happens.
    let (mut rounds, mut filled) = (1u64, 0u64);
    for at in order {
        let candidate = &all[at];
        let parts = candidate.bytes.div_ceil(bytes.max(1)).clamp(1, SHARES);
        if candidate.volume && parts > 1 {
            chosen.too_large.push(at);
            continue;
        }
        let share = next(candidate, parts);
        let cost = candidate.bytes / u64::from(share.of().get());
        if filled > 0 && filled.saturating_add(cost) > bytes {
            (rounds, filled) = (rounds + 1, 0);
        }
        filled = filled.saturating_add(cost);
        if cost > left && !chosen.read.is_empty() {
            continue;
        }
        left = left.saturating_sub(cost);
        chosen.read.push((at, share));
    }
    chosen.rounds = rounds;
    chosen
}

/// The share after the one that was read last, or that one again. One that was begun in other parts goes on in these as long
/// as they suffice.
fn next(candidate: &Candidate, parts: u64) -> Share {
    let parts = u32::try_from(parts).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
    match candidate.share {
        // A dataset that grows does not begin anew each time.
        Some((part, of)) if of >= parts && of.get() / 2 < parts.get() => {
            Share::new(part.wrapping_add(u32::from(!candidate.again)), of)
        }
        // It has grown since, and is read in the parts that it had as long as these are no more than twice as large.
        Some((part, of)) if candidate.again && of.get() >= parts.get().div_ceil(2) => Share::new(part, of),
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
        assert_eq!(choose(&[], 50), Chosen { rounds: 1, ..Chosen::default() });
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
    fn a_share_that_was_not_good_is_read_again_before_the_next_one() {
        let share = Some((3, of(10)));
        let next = |bytes, again| {
            choose(&[Candidate { bytes, again, share, ..Candidate::default() }], 100).read[0].1
        };
        assert_eq!((next(1000, true).part(), next(1000, false).part()), (3, 4));
        // It has grown a little, and then by far.
        assert_eq!((next(1500, true).part(), next(1500, true).of()), (3, of(10)));
        assert_eq!((next(5000, true).part(), next(5000, true).of()), (0, of(50)));
    }

    #[test]
    fn how_many_rounds_there_are_follows_from_the_datasets_and_the_bytes() {
        let rounds = |all: &[u64], bytes| {
            let all: Vec<_> =
                all.iter().map(|bytes| Candidate { bytes: *bytes, ..Candidate::default() }).collect();
            choose(&all, bytes).rounds
        };
        assert_eq!((rounds(&[], 100), rounds(&[10, 20, 30], 100)), (1, 1));
        assert_eq!(rounds(&[60; 10], 100), 10);
        assert_eq!(rounds(&[50; 10], 100), 5);
        // One that is read in shares takes a whole choice each time; nothing costs nothing.
        assert_eq!(rounds(&[1000, 5, 0, 0], 100), 2);
        // What it says is what happens: after so many choices nothing is left that never came up.
        let mut all: Vec<_> =
            [90, 30, 80, 20, 70, 10].map(|bytes| Candidate { bytes, ..Candidate::default() }).to_vec();
        for day in 0..choose(&all, 100).rounds {
            for (at, _) in choose(&all, 100).read {
                all[at].last = i64::try_from(day).ok();
            }
        }
        assert!(all.iter().all(|one| one.last.is_some()), "{all:?}");
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
