//! Telling people that the state of something has changed: once for each change, and with a time of rest, so that what
//! comes and goes fills no mailbox. What there is to tell is found by a pure function out of what was told before; how it
//! is told is in [`send`].

use std::path::Path;

use serde::Deserialize;
use serde::Serialize;

use crate::jobs::memory::read_versioned;
use crate::jobs::memory::write_atomically;
use crate::monitor::Level;

pub mod send;

/// The name of the file in the state folder that says what was told.
pub const FILE: &str = "notified.json";

/// The version of what is written today.
const VERSION: u32 = 1;

/// The longest file that is read: a few lines.
const LONGEST: u64 = 1 << 20;

/// A check as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Which check.
    pub check: String,
    /// How bad it is.
    pub level: Level,
    /// In words, on one line.
    pub text: String,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct News {
    /// Which check.
    pub check: String,
    /// How bad it was when it was told last.
    pub was: Level,
    /// How bad it is.
    pub level: Level,
    /// In words, on one line.
    pub text: String,
}

/// What people know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    version: u32,
    checks: Vec<Check>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Check {
    check: String,
    level: Level,
    /// When it was told, in seconds since 1970; 0 where nothing had to be.
    at: i64,
}

impl Told {
    /// Reads the file; nothing where there is none.
    ///
    /// # Errors
    /// With a text that names the file, when it cannot be read or understood.
    pub fn read(folder: &Path) -> Result<Self, String> {
        read_versioned(folder, FILE, LONGEST, (VERSION, |all: &Self| all.version))
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written; the old one stays then.
    pub fn write(&mut self, folder: &Path) -> std::io::Result<()> {
        self.version = VERSION;
        write_atomically(folder, FILE, &serde_json::to_vec(self)?)
    }

    /// What there is to tell. What has become worse is told at once; what has become better not before `cooldown` seconds
    /// have passed since that check was told of. A check that nobody was told of counts as good.
    #[must_use]
    pub fn news(&self, now: &[State], cooldown: u64, clock: i64) -> Vec<News> {
        let rested = |at: i64| {
            // A clock that was set back makes nobody wait for ever.
            clock < at || u64::try_from(clock.saturating_sub(at)).unwrap_or(0) >= cooldown
        };
        let change = |state: &State| {
            let known = self.checks.iter().find(|one| one.check == state.check);
            let (was, at) = known.map_or((Level::Ok, 0), |one| (one.level, one.at));
            let due = state.level > was || state.level < was && rested(at);
            due.then(|| News {
                check: state.check.clone(),
                was,
                level: state.level,
                text: state.text.clone(),
            })
        };
        now.iter().filter_map(change).collect()
    }

    /// Remembers that this was told.
    pub fn remember(&mut self, news: &[News], clock: i64) {
        for one in news {
            self.checks.retain(|known| known.check != one.check);
            self.checks.push(Check { check: one.check.clone(), level: one.level, at: clock });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(level: Level) -> [State; 1] {
        [State { check: "health".to_string(), level, text: "text".to_string() }]
    }

    /// What is told of levels that come at these times.
    fn told(course: &[(i64, Level)]) -> Vec<(i64, Level)> {
        let mut known = Told::default();
        let mut all = Vec::new();
        for (clock, level) in course {
            let news = known.news(&state(*level), 100, *clock);
            all.extend(news.iter().map(|one| (*clock, one.level)));
            known.remember(&news, *clock);
        }
        all
    }

    #[test]
    fn each_change_is_told_once() {
        use Level::*;
        assert_eq!(told(&[(1000, Ok), (1001, Ok)]), []);
        let course = [(1000, Warning), (1010, Warning), (5000, Warning), (5001, Ok), (5002, Ok)];
        assert_eq!(told(&course), [(1000, Warning), (5001, Ok)]);
    }

    #[test]
    fn what_is_worse_is_told_at_once_and_what_comes_and_goes_rests() {
        use Level::*;
        let course = [
            (1000, Warning),
            (1001, Critical),
            (1002, Ok),
            (1003, Critical),
            (1050, Warning),
            (1101, Warning),
            (1102, Unknown),
        ];
        assert_eq!(told(&course), [(1000, Warning), (1001, Critical), (1101, Warning), (1102, Unknown)]);
        // The clock was wrong when it was told.
        assert_eq!(told(&[(9000, Critical), (1000, Ok)]).len(), 2);
    }

    #[test]
    fn what_was_told_is_written_down_and_what_is_not_understood_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut known = Told::read(folder.path()).expect("nothing");
        let news = known.news(&state(Level::Critical), 100, 5);
        known.remember(&news, 5);
        known.write(folder.path()).expect("written");
        assert_eq!(Told::read(folder.path()).expect("read"), known);
        std::fs::write(folder.path().join(FILE), "{}").expect("written");
        assert!(Told::read(folder.path()).is_err());
    }
}
