//! How much is measured: `datasets=41 snapshots=10`, each with a default that the goals are stated for.

use std::str::FromStr;

/// The sizes of all suites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Datasets of a tree, its root included.
    pub datasets: usize,
    /// Snapshots of each.
    pub snapshots: usize,
    /// Data of each dataset of a tree that is sent for the first time, in KiB.
    pub kilobytes: u64,
    /// Data of one stream, in MiB.
    pub megabytes: u64,
    /// Data of one stream over a slow link, in MiB: as much as takes a minute and a half there, beside which what a run does
    /// after the last byte (four round trips of 150 ms) is less than a hundredth.
    pub slow_megabytes: u64,
    /// Snapshots that are listed.
    pub listing: usize,
    /// Snapshots that are taken and destroyed.
    pub taking: usize,
    /// Snapshots a side that are planned; the other case has a tenth.
    pub planning: usize,
    /// Data that the transport alone carries, in MiB.
    pub transport: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            datasets: 41,
            snapshots: 10,
            kilobytes: 1024,
            megabytes: 800,
            slow_megabytes: 1024,
            listing: 100_000,
            taking: 10_000,
            planning: 1_000_000,
            transport: 2048,
        }
    }
}

impl Sizes {
    /// The defaults with what is given changed.
    ///
    /// # Errors
    /// A text for people, where a word is none of `NAME=NUMBER`.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, String> {
        let mut sizes = Self::default();
        for word in words {
            let word = word.as_ref();
            let (name, value) = word.split_once('=').ok_or_else(|| format!("`{word}` is no NAME=NUMBER"))?;
            match name {
                "datasets" => sizes.datasets = number(word, value)?,
                "snapshots" => sizes.snapshots = number(word, value)?,
                "kilobytes" => sizes.kilobytes = number(word, value)?,
                "megabytes" => sizes.megabytes = number(word, value)?,
                "slow-megabytes" => sizes.slow_megabytes = number(word, value)?,
                "listing" => sizes.listing = number(word, value)?,
                "taking" => sizes.taking = number(word, value)?,
                "planning" => sizes.planning = number(word, value)?,
                "transport" => sizes.transport = number(word, value)?,
                _ => {
                    return Err(format!(
                        "`{name}` is no size; there are datasets, snapshots, kilobytes, megabytes, slow-megabytes, listing, taking, planning and transport"
                    ));
                }
            }
        }
        Ok(sizes)
    }
}

/// A size of nothing would measure nothing.
fn number<T: FromStr + PartialOrd + From<u8>>(word: &str, value: &str) -> Result<T, String> {
    value
        .parse()
        .ok()
        .filter(|number| *number >= T::from(1))
        .ok_or_else(|| format!("`{word}`: a size is a whole number from 1 on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_named_and_positive() {
        let sizes = Sizes::parse(&["datasets=3", "slow-megabytes=1"]).expect("valid");
        assert_eq!(sizes, Sizes { datasets: 3, slow_megabytes: 1, ..Sizes::default() });
        for bad in ["datasets", "datasets=0", "datasets=-1", "datasets=x", "sets=1"] {
            assert!(Sizes::parse(&[bad]).is_err(), "{bad}");
        }
    }
}
