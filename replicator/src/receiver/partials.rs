//! Receives into this machine that broke off: for how long nothing more has come of each, and whose time is over. Pure, but
//! for the file of the state folder in which it stands from run to run. What is done with them is in [`super::clear`].
//!
//! A resume token is another one as soon as anything more has arrived, so that one which is fed between two runs is never old.
//! Of the time between two looks a day counts at most: while this machine was off, or its clock was wrong, nobody could have
//! sent anything.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::Serialize;
use serde_json::json;
use zfs_core::name::DatasetName;

use crate::config::open;
use crate::config::open::OpenError;
use crate::config::receive::PARTIAL_FOR;
use crate::host::Partial;
use crate::jobs::memory::write_atomically;

/// The name of the file.
pub const FILE: &str = "partials.json";

/// The version of what is written today.
const VERSION: u32 = 1;

/// The longest file that is read: a token takes less than a kilobyte.
const LONGEST: u64 = 64 << 20;

/// How much one look adds at most, in seconds.
const LOOK: u64 = 86_400;

/// One that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The dataset.
    pub dataset: DatasetName,
    /// What it keeps.
    pub partial: Partial,
    /// For how many seconds it may lie while nothing more comes; `None`: for ever.
    pub limit: Option<u64>,
}

/// What is known of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lying {
    /// The dataset.
    pub dataset: String,
    /// The resume token.
    pub token: String,
    /// Bytes that have arrived; `None` where the token cannot be read.
    pub bytes: Option<u64>,
    /// When it was looked at last, in seconds since 1970.
    pub seen: i64,
    /// For how many seconds nothing more has come, as far as runs have looked.
    pub idle: u64,
    /// After how many of these it goes; `None`: never by itself.
    pub limit: Option<u64>,
    /// Why it is there although its time is over.
    pub stays: Option<String>,
}

impl Lying {
    /// Whether its time is over.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.limit.is_some_and(|limit| self.idle >= limit)
    }

    /// Whether somebody should look at it: half of its time is over.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.idle >= self.limit.unwrap_or(PARTIAL_FOR) / 2
    }

    /// How much has arrived, for people.
    #[must_use]
    pub fn size(&self) -> String {
        self.bytes.map_or_else(
            || "a size that its token does not tell".to_string(),
            |bytes| bytesize::ByteSize::b(bytes).to_string(),
        )
    }

    /// For JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        json!({
            "dataset": self.dataset,
            "bytes": self.bytes,
            "idle_seconds": self.idle,
            "limit_seconds": self.limit,
            "stays": self.stays,
        })
    }
}

/// What runs have seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    version: u32,
    /// In no order that means anything.
    pub partials: Vec<Lying>,
}

impl Memory {
    /// Reads the file; nothing where there is none.
    ///
    /// # Errors
    /// With a text that names the file, when it cannot be read or understood.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let path = folder.join(FILE);
        let failed = |why: String| format!("{} cannot be used: {why}", path.display());
        // What is thrown away depends on it: one that others could have written is not believed.
        let file = match open::file(&path) {
            Err(OpenError::Missing(_)) => return Ok(Self::default()),
            Err(error) => return Err(failed(format!("{error} ({})", error.fix()))),
            Ok(file) => file,
        };
        let mut text = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut text).map_err(|error| failed(error.to_string()))?;
        if text.len() as u64 > LONGEST {
            return Err(failed("it is too long".to_string()));
        }
        let memory: Self = serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?;
        if memory.version != VERSION {
            return Err(failed(format!("it has version {}", memory.version)));
        }
        Ok(memory)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written; the old one stays then.
    pub fn write(folder: &Path, partials: Vec<Lying>) -> std::io::Result<()> {
        let memory = Self { version: VERSION, partials };
        write_atomically(folder, FILE, &serde_json::to_vec(&memory)?)
    }
}

/// What is known of those that are there, with what runs have seen of them before. `now` is in seconds since 1970.
#[must_use]
pub fn known(found: &[Found], memory: &Memory, now: i64) -> Vec<Lying> {
    let before: BTreeMap<(&str, &str), &Lying> =
        memory.partials.iter().map(|one| ((one.dataset.as_str(), one.token.as_str()), one)).collect();
    let lying = |one: &Found| {
        let before = before.get(&(one.dataset.as_str(), one.partial.token.as_str()));
        let idle = before.map_or(0, |before| {
            let since = u64::try_from(now.saturating_sub(before.seen)).unwrap_or(0);
            before.idle.saturating_add(since.min(LOOK))
        });
        Lying {
            dataset: one.dataset.to_string(),
            token: one.partial.token.clone(),
            bytes: one.partial.content.as_ref().ok().map(|content| content.bytes),
            seen: now,
            idle,
            limit: one.limit,
            stays: None,
        }
    };
    found.iter().map(lying).collect()
}

/// What stays known of those below roots that could not be looked through this time: one bad look does not make them new.
#[must_use]
pub fn unseen(memory: &Memory, unread: &[&DatasetName]) -> Vec<Lying> {
    let below = |one: &&Lying| {
        let name = one.dataset.parse::<DatasetName>();
        name.is_ok_and(|name| unread.iter().any(|root| name.is_within(root)))
    };
    memory.partials.iter().filter(below).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const HOUR: i64 = 3600;

    fn found(dataset: &str, token: &str, limit: Option<u64>) -> Found {
        Found {
            dataset: dataset.parse().expect("a name"),
            partial: Partial { token: token.to_string(), content: Err("it is made up".to_string()) },
            limit,
        }
    }

    /// Looks each of these seconds later than before, and gives what is known in the end.
    fn looks(steps: &[(i64, &Found)]) -> Lying {
        let (mut now, mut memory) = (1_795_371_300, Memory::default());
        for &(later, found) in steps {
            now += later;
            memory.partials = known(std::slice::from_ref(found), &memory, now);
        }
        memory.partials.pop().expect("one")
    }

    #[test]
    fn what_is_fed_between_two_runs_is_never_old() {
        let (one, more) = (found("back/a", "1-a", Some(2 * DAY)), found("back/a", "1-b", Some(2 * DAY)));
        let lies = looks(&[(0, &one), (20 * HOUR, &one), (20 * HOUR, &one)]);
        assert_eq!((lies.idle, lies.is_due(), lies.is_stale()), (40 * 3600, false, true));
        assert!(looks(&[(0, &one), (20 * HOUR, &one), (20 * HOUR, &one), (8 * HOUR, &one)]).is_due());
        // However long it takes in all: a few bytes between two looks are enough.
        let mut slow = Vec::new();
        for day in 0..100 {
            slow.push((23 * HOUR, if day % 2 == 0 { &one } else { &more }));
        }
        let lies = looks(&slow);
        assert_eq!((lies.idle, lies.is_due(), lies.is_stale()), (0, false, false));
        // Another dataset with the same token is another one.
        let other = found("back/b", "1-a", Some(2 * DAY));
        assert_eq!(looks(&[(0, &one), (20 * HOUR, &other)]).idle, 0);
    }

    #[test]
    fn time_in_which_nobody_looked_counts_for_a_day_at_most() {
        let one = found("back/a", "1-a", Some(7 * DAY));
        // Off for a month, and a clock that was set a year ahead and back again.
        assert_eq!(looks(&[(0, &one), (30 * 24 * HOUR, &one)]).idle, DAY);
        assert_eq!(looks(&[(0, &one), (365 * 24 * HOUR, &one), (-365 * 24 * HOUR, &one)]).idle, DAY);
        let week: Vec<_> = (0..8).map(|day| (if day == 0 { 0 } else { 24 * HOUR }, &one)).collect();
        assert!(looks(&week).is_due() && !looks(&week[..7]).is_due());
    }

    #[test]
    fn what_could_not_be_looked_at_once_is_not_new_the_next_time() {
        let one = found("back/a/b", "1-a", Some(2 * DAY));
        let memory = Memory { version: VERSION, partials: vec![looks(&[(0, &one), (20 * HOUR, &one)])] };
        let root = |text: &str| text.parse::<DatasetName>().expect("a name");
        assert_eq!(unseen(&memory, &[&root("back/a")]), memory.partials);
        assert!(unseen(&memory, &[&root("back/ab"), &root("tank")]).is_empty());
        assert!(unseen(&memory, &[]).is_empty());
    }

    #[test]
    fn without_a_limit_it_lies_for_ever_and_somebody_is_told() {
        let one = found("back/a", "1-a", None);
        let month: Vec<_> = (0..31).map(|_| (24 * HOUR, &one)).collect();
        let lies = looks(&month);
        assert_eq!((lies.is_due(), lies.is_stale()), (false, true));
    }

    #[test]
    fn it_reads_back_and_what_cannot_be_believed_is_an_error() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Memory::read(folder.path()).expect("nothing is nothing"), Memory::default());
        let lies = looks(&[(0, &found("back/a", "1-a", Some(DAY)))]);
        Memory::write(folder.path(), vec![lies.clone()]).expect("written");
        assert_eq!(Memory::read(folder.path()).expect("read").partials, [lies]);
        let path = folder.path().join(FILE);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).expect("mode");
        let error = Memory::read(folder.path()).expect_err("others can write to it");
        assert!(error.contains("chmod go-w"), "{error}");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("mode");
        for text in ["", "{}", "{\"version\":2,\"partials\":[]}", "{\"version\":1,\"partials\":[{}]}"] {
            std::fs::write(&path, text).expect("written");
            assert!(Memory::read(folder.path()).expect_err(text).contains(FILE));
        }
    }
}
