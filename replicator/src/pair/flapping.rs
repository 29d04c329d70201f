//! How often hooks have promoted this node lately. A service that goes back and forth between two nodes costs them a rejoin
//! each time that one dies, and whatever moves it does not know of that: a few times are told, and after some more the next
//! start is refused until some time has passed, or a person promotes. Only times are kept, in a small file of the state
//! folder; without it nothing is refused.

use std::io::ErrorKind;
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::jobs::memory::write_atomically;

/// In how many seconds promotions are counted.
pub const WITHIN: i64 = 3600;

/// From how many on it is told.
pub const TOLD: usize = 3;

/// After how many the next one waits.
pub const MOST: usize = 5;

/// How many times are kept.
const KEPT: usize = 32;

/// The version of what is written today.
const VERSION: u32 = 1;

/// The longest file that is read.
const BYTES: u64 = 16 << 10;

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    /// In seconds since 1970, the newest last.
    promotions: Vec<i64>,
}

/// How a node is being promoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Now and then.
    Calm,
    /// Several times within [`WITHIN`].
    Often {
        /// How many times.
        count: usize,
    },
    /// So often that the next promotion waits.
    TooOften {
        /// How many times.
        count: usize,
        /// Until when, in seconds since 1970.
        until: i64,
    },
}

/// What follows from the times of promotions. A time in the future says only that the clock was set back, and counts not.
#[must_use]
pub fn pace(promotions: &[i64], now: i64) -> Pace {
    let mut lately: Vec<i64> =
        promotions.iter().copied().filter(|at| (0..WITHIN).contains(&now.saturating_sub(*at))).collect();
    lately.sort_unstable();
    let count = lately.len();
    match count.checked_sub(MOST).and_then(|at| lately.get(at)) {
        Some(first) => Pace::TooOften { count, until: first.saturating_add(WITHIN) },
        None if count >= TOLD => Pace::Often { count },
        None => Pace::Calm,
    }
}

/// That a node is being promoted again and again, in words.
#[must_use]
pub fn told(pace: Pace, here: &str) -> Option<String> {
    let (count, then) = match pace {
        Pace::Calm => return None,
        Pace::Often { count } => (count, format!("after {MOST} times the next start on {here} waits")),
        Pace::TooOften { count, .. } => (count, format!("the next start on {here} waits")),
    };
    Some(format!(
        "{here} was promoted {count} times within an hour: something moves the service back and forth, and {then}"
    ))
}

/// The same of what is written down. What cannot be read is told by the next start.
#[must_use]
pub fn look(state: &Path, pair: &str, here: &str, now: i64) -> Option<String> {
    told(pace(&read(state, pair).ok()?, now), here)
}

fn folder(state: &Path) -> PathBuf {
    state.join("pairs")
}

fn file(pair: &str) -> String {
    format!("{pair}.promotions.json")
}

/// The promotions of this node in a pair, in seconds since 1970. None where nothing was written down yet.
///
/// # Errors
/// When what is there cannot be read, or is not understood.
pub fn read(state: &Path, pair: &str) -> Result<Vec<i64>, String> {
    let path = folder(state).join(file(pair));
    let mut text = Vec::new();
    let read = std::fs::File::open(&path).and_then(|file| file.take(BYTES).read_to_end(&mut text));
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{}: {error}", path.display())),
        Ok(_) => {}
    }
    let kept: Kept = serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    if kept.version != VERSION {
        return Err(format!("{}: it has version {}", path.display(), kept.version));
    }
    Ok(kept.promotions)
}

/// Writes one more promotion down. What cannot be read begins anew.
///
/// # Errors
/// When it cannot be written.
pub fn add(state: &Path, pair: &str, now: i64) -> std::io::Result<()> {
    let mut promotions = read(state, pair).unwrap_or_default();
    promotions.push(now);
    let promotions = promotions.split_off(promotions.len().saturating_sub(KEPT));
    let folder = folder(state);
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&folder)?;
    let mut text = serde_json::to_vec_pretty(&Kept { version: VERSION, promotions })?;
    text.push(b'\n');
    write_atomically(&folder, &file(pair), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn a_few_promotions_within_an_hour_are_told_and_some_more_are_too_many() {
        let of = |minutes: &[i64]| pace(&minutes.iter().map(|ago| NOW - 60 * ago).collect::<Vec<_>>(), NOW);
        assert_eq!(of(&[]), Pace::Calm);
        assert_eq!(of(&[30, 10]), Pace::Calm);
        assert_eq!(of(&[30, 20, 10]), Pace::Often { count: 3 });
        assert_eq!(of(&[40, 30, 20, 10]), Pace::Often { count: 4 });
        let until = NOW + 60 * 10;
        assert_eq!(of(&[50, 40, 30, 20, 10]), Pace::TooOften { count: 5, until });
        // It waits for the first of the last five, however many there are, and whatever their order.
        assert_eq!(of(&[10, 20, 30, 59, 40, 50]), Pace::TooOften { count: 6, until });
        // What is an hour old counts no more, and what is to come says that the clock was wrong.
        assert_eq!(of(&[300, 200, 100, 61, 60, 59, 10]), Pace::Calm);
        assert_eq!(of(&[-10, -20, -30, -40, -50, -60]), Pace::Calm);
        assert_eq!(pace(&[i64::MIN, i64::MAX], NOW), Pace::Calm);
    }

    #[test]
    fn once_the_time_is_over_the_next_promotion_goes_on() {
        let promotions: Vec<i64> = (0..5).map(|at| NOW + 60 * at).collect();
        let Pace::TooOften { until, .. } = pace(&promotions, NOW + 300) else {
            panic!("five within an hour")
        };
        assert_eq!(pace(&promotions, until - 1), Pace::TooOften { count: 5, until });
        assert_eq!(pace(&promotions, until), Pace::Often { count: 4 });
    }

    #[test]
    fn times_are_kept_up_to_a_number_and_what_cannot_be_read_is_told() {
        let state = tempfile::tempdir().expect("a folder");
        assert_eq!(read(state.path(), "nfs"), Ok(Vec::new()));
        for at in 0..100 {
            add(state.path(), "nfs", NOW + at).expect("written");
        }
        let kept = read(state.path(), "nfs").expect("read");
        assert_eq!((kept.len(), kept[0], kept[KEPT - 1]), (KEPT, NOW + 100 - 32, NOW + 99));
        assert_eq!(read(state.path(), "other"), Ok(Vec::new()));
        let path = folder(state.path()).join(file("nfs"));
        for text in ["", "{", r#"{"version":2,"promotions":[]}"#, r#"{"version":1,"promotions":["x"]}"#] {
            std::fs::write(&path, text).expect("written");
            assert!(read(state.path(), "nfs").expect_err(text).contains("nfs.promotions.json"));
        }
        assert_eq!(look(state.path(), "nfs", "a", NOW), None);
        for at in 0..3 {
            add(state.path(), "nfs", NOW + at).expect("written");
        }
        assert_eq!(read(state.path(), "nfs"), Ok(vec![NOW, NOW + 1, NOW + 2]));
        let told = look(state.path(), "nfs", "a", NOW + 2).expect("three times");
        assert!(
            told.starts_with("a was promoted 3 times within an hour") && told.contains("after 5 times"),
            "{told}"
        );
    }
}
