//! Features of pools: what the streams of a plan need on the target. Some of it follows from the pools alone; the rest
//! depends on what a dataset has in it, which only the head of its stream tells: [`doubtful`] names the streams to
//! look at, [`missing`] judges what was found. A receive that lacks a feature fails at its beginning, so this is for
//! saying so before anything is changed.

use zfs_core::name::DatasetName;
use zfs_core::stream::Features;

use super::conflict::Conflict;
use super::steps::Step;
use super::steps::TreePlan;
use crate::host::About;
use crate::host::DatasetState;
use crate::host::SendSpec;

/// Needed by whatever is received so that it can be resumed.
const ALWAYS: &str = "extensible_dataset";
/// Streams go compressed as the blocks are, and say so for LZ4 whenever the source's pool uses it at all.
const COMPRESSED: &str = "lz4_compress";
/// Needed by raw streams.
const RAW: &str = "encryption";
/// Needed where the dataset has such blocks, dnodes, names or directories in it, or had them once.
const OF_DATASETS: &[(&str, Features)] = &[
    ("large_blocks", Features::LARGE_BLOCKS),
    ("large_dnode", Features::LARGE_DNODE),
    ("zstd_compress", Features::ZSTD),
    ("longname", Features::LONGNAME),
    ("large_microzap", Features::LARGE_MICROZAP),
];

/// Whether a feature is in use on a pool.
pub(super) fn active(about: &About, feature: &str) -> bool {
    about.features.get(feature).is_some_and(|state| state == "active")
}

/// Whether a pool does without a feature: it is disabled there, or its ZFS does not know it.
pub(super) fn lacks(about: &About, feature: &str) -> bool {
    !matches!(about.features.get(feature).map(String::as_str), Some("enabled" | "active"))
}

/// Refuses steps that the target's pool cannot receive whatever is in the dataset.
pub(super) fn check(
    source: &DatasetState,
    target: &DatasetName,
    steps: &[Step],
    pools: Option<(&About, &About)>,
) -> Result<(), Conflict> {
    let Some((from, to)) = pools else { return Ok(()) };
    let mut streams = steps.iter().filter_map(Step::stream).peekable();
    if streams.peek().is_none() {
        return Ok(());
    }
    let mut needed = vec![ALWAYS];
    if active(from, COMPRESSED) {
        needed.push(COMPRESSED);
    }
    if streams.any(|spec| spec.raw) {
        needed.push(RAW);
    }
    needed.retain(|feature| lacks(to, feature));
    conflict(source.name.clone(), target.clone(), &needed, (from, to)).map_or(Ok(()), Err)
}

/// The streams whose heads must be read to know whether the target can receive them, each with the place of its
/// dataset: the last of each dataset, because a dataset does not lose a feature that it once used.
#[must_use]
pub fn doubtful<'p>(plan: &'p TreePlan, pools: (&About, &About)) -> Vec<(usize, &'p SendSpec)> {
    let doubt = |(feature, _): &(&str, Features)| active(pools.0, feature) && lacks(pools.1, feature);
    if !OF_DATASETS.iter().any(doubt) {
        return Vec::new();
    }
    let datasets = plan.datasets.iter().enumerate();
    datasets.filter_map(|(at, dataset)| Some((at, dataset.streams().last()?))).collect()
}

/// What streams from one pool may need that the other one does not have, whatever is in its datasets: for who looks before
/// there is anything to be sent.
#[must_use]
pub fn may_lack(from: &About, to: &About) -> Vec<&'static str> {
    let of_datasets = OF_DATASETS.iter().map(|(feature, _)| *feature);
    let used = [COMPRESSED, RAW].into_iter().chain(of_datasets).filter(|feature| active(from, feature));
    std::iter::once(ALWAYS).chain(used).filter(|feature| lacks(to, feature)).collect()
}

/// The conflict, if a stream with these features cannot be received.
#[must_use]
pub fn missing(
    source: &DatasetName,
    target: &DatasetName,
    stream: Features,
    pools: (&About, &About),
) -> Option<Conflict> {
    let needed =
        OF_DATASETS.iter().filter(|(feature, flag)| stream.contains(*flag) && lacks(pools.1, feature));
    let needed: Vec<&str> = needed.map(|(feature, _)| *feature).collect();
    conflict(source.clone(), target.clone(), &needed, pools)
}

fn conflict(
    from: DatasetName,
    to: DatasetName,
    features: &[&str],
    pools: (&About, &About),
) -> Option<Conflict> {
    let features: Vec<String> = features.iter().map(ToString::to_string).collect();
    let (from_pool, to_pool) = (pools.0.pool.clone(), pools.1.pool.clone());
    (!features.is_empty()).then_some(Conflict::FeatureMissing { from, to, features, from_pool, to_pool })
}
