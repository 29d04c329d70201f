//! Which processor a node runs on. A node has one, and each time its kernel and one of its processes take turns, one of them
//! wakes the other: on another processor that is a good deal dearer than on the same one. So a node stays where it is.

use crate::error::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity};

/// The processors that this process may use.
pub(crate) fn usable() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None).context(|| "asking which processors may be used")?;
    Ok((0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect())
}

/// For so many nodes, each time the one that has the fewest.
pub(crate) fn choose(usable: &[usize], taken: &[usize], nodes: usize) -> Vec<usize> {
    let mut all = taken.to_vec();
    for _ in 0..nodes {
        let least = usable.iter().min_by_key(|cpu| all.iter().filter(|one| one == cpu).count());
        all.extend(least);
    }
    all.split_off(taken.len())
}

pub(crate) fn to_text(cpus: &[usize]) -> String {
    cpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

pub(crate) fn from_text(text: &str) -> impl Iterator<Item = usize> {
    text.split(' ').filter_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_go_where_the_fewest_are() {
        assert_eq!(choose(&[0, 1], &[], 3), [0, 1, 0]);
        assert_eq!(choose(&[0, 1], &[0, 1, 0], 2), [1, 0]);
        // Some that others use may not be ours.
        assert_eq!(choose(&[2, 5], &[0, 2], 2), [5, 2]);
        assert_eq!(choose(&[], &[0], 2), [0; 0]);
    }

    #[test]
    fn what_was_written_is_read() {
        let cpus = [3, 0, 17];
        assert_eq!(from_text(&to_text(&cpus)).collect::<Vec<_>>(), cpus);
        assert_eq!(from_text(&to_text(&[])).count(), 0);
    }

    #[test]
    fn there_is_one_at_least() {
        assert!(!usable().unwrap().is_empty());
    }
}
