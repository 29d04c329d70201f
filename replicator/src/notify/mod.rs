//! Telling people that the state of something has changed: once for each change, and with a time of rest, so that what
//! comes and goes fills no mailbox. Each pool, dataset and target is something of its own: that one is in a bad way hides
//! none that gets into the same. What there is to tell is found by a pure function out of what was told before; how it
//! is told is in [`send`].

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use serde::Serialize;

use crate::jobs::memory::read_versioned;
use crate::jobs::memory::write_atomically;
use crate::monitor::Level;
use crate::monitor::Subject;

pub mod send;

/// The name of the file in the state folder that says what was told.
pub const FILE: &str = "notified.json";

/// The version of what is written today.
const VERSION: u32 = 2;

/// The version that knew checks only as a whole, and is read as well.
const WHOLE: u32 = 1;

/// The longest file that is read: a line for each thing that is not in order.
const LONGEST: u64 = 64 << 20;

/// The most changes that one message tells one by one.
const TOLD: usize = 10;

/// A check as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Which check.
    pub check: String,
    /// How bad it is.
    pub level: Level,
    /// In words, on one line.
    pub text: String,
    /// What is not in order, one by one, and what could not be looked at.
    pub subjects: Vec<Subject>,
}

/// What has changed in a check, for one message.
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
    /// What has changed, one by one.
    pub changes: Vec<Change>,
}

/// A subject of a check that is worse or better than it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// A pool, a dataset, a target; empty for the check as a whole.
    pub subject: String,
    /// How bad it was when it was told last.
    pub was: Level,
    /// How bad it is.
    pub level: Level,
    /// In words, on one line; empty where it is in order again.
    pub text: String,
}

/// What people know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    version: u32,
    checks: Vec<Known>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    check: String,
    /// Which of its subjects. None in what the version before wrote, which told of checks as a whole.
    #[serde(default)]
    subject: Option<String>,
    level: Level,
    /// When it was told, in seconds since 1970; 0 where nothing had to be.
    at: i64,
}

/// The subjects of a check by name.
struct Now<'s> {
    state: &'s State,
    named: BTreeMap<&'s str, &'s Subject>,
}

impl<'s> Now<'s> {
    fn new(state: &'s State) -> Self {
        let mut named: BTreeMap<&str, &Subject> = BTreeMap::new();
        for subject in &state.subjects {
            // A pool and its root dataset have the same name.
            let worst = named.entry(&subject.name).or_insert(subject);
            if subject.level > worst.level {
                *worst = subject;
            }
        }
        Self { state, named }
    }

    /// How bad something is; none where that could not be looked at.
    fn level(&self, name: &str) -> Option<Level> {
        if let Some(subject) = self.named.get(name) {
            return Some(subject.level);
        }
        let worst = self.named.values().map(|subject| subject.level).max().unwrap_or_default();
        if name.is_empty() && self.state.level > worst {
            // Whatever it is, it is not kept back because it has no name.
            return Some(self.state.level);
        }
        let hidden = self.state.subjects.iter().any(|subject| subject.hides && subject.holds(name));
        (!hidden).then_some(Level::Ok)
    }

    fn text(&self, name: &str) -> &'s str {
        match self.named.get(name) {
            Some(subject) => &subject.text,
            None if name.is_empty() => &self.state.text,
            None => "",
        }
    }
}

impl Told {
    /// Reads the file, also of the version before; nothing where there is none.
    ///
    /// # Errors
    /// With a text that names the file, when it cannot be read or understood.
    pub fn read(folder: &Path) -> Result<Self, String> {
        fn version(all: &Told) -> u32 {
            if all.version == WHOLE { VERSION } else { all.version }
        }
        read_versioned(folder, FILE, LONGEST, (VERSION, version))
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written; the old one stays then.
    pub fn write(&mut self, folder: &Path) -> std::io::Result<()> {
        self.version = VERSION;
        write_atomically(folder, FILE, &serde_json::to_vec(self)?)
    }

    /// Takes over what the version before has told: that a check as a whole was so bad. Whatever of it is no worse than that
    /// counts as told. Says whether there was anything; it has to be written then, so that it is taken over only once.
    pub fn take_over(&mut self, now: &[State]) -> bool {
        let mut taken = false;
        for old in std::mem::take(&mut self.checks) {
            let state = now.iter().find(|state| old.subject.is_none() && state.check == old.check);
            // What cannot be looked at is taken over another time.
            let blind = |state: &&State| state.subjects.iter().any(|one| one.hides && one.name.is_empty());
            let Some(state) = state.filter(|state| !blind(state)) else {
                self.checks.push(old);
                continue;
            };
            taken = true;
            let known = |subject: &str, level: Level| Known {
                check: old.check.clone(),
                subject: Some(subject.to_string()),
                level,
                at: old.at,
            };
            // What has become better is still to be told.
            let whole = (state.level < old.level).then(|| known("", old.level));
            let named = Now::new(state).named;
            let bad = named.values().map(|subject| known(&subject.name, subject.level.min(old.level)));
            self.checks.extend(bad.chain(whole).filter(|one| one.level > Level::Ok));
        }
        taken
    }

    /// What there is to tell, a message for each check at most. What has become worse is told at once; what has become better
    /// not before `cooldown` seconds have passed since it was told of. What nobody was told of counts as good, and what could
    /// not be looked at as what it was.
    #[must_use]
    pub fn news(&self, now: &[State], cooldown: u64, clock: i64) -> Vec<News> {
        now.iter().filter_map(|state| self.of_check(state, cooldown, clock)).collect()
    }

    fn of_check(&self, state: &State, cooldown: u64, clock: i64) -> Option<News> {
        let rested = |at: i64| {
            // A clock that was set back makes nobody wait for ever.
            clock < at || u64::try_from(clock.saturating_sub(at)).unwrap_or(0) >= cooldown
        };
        let now = Now::new(state);
        let known: BTreeMap<&str, &Known> = self
            .checks
            .iter()
            .filter(|one| one.check == state.check)
            .map(|one| (one.subject.as_deref().unwrap_or_default(), one))
            .collect();
        let names: BTreeSet<&str> =
            known.keys().copied().chain(now.named.keys().copied()).chain([""]).collect();
        let change = |name: &&str| {
            let (was, at) = known.get(name).map_or((Level::Ok, 0), |one| (one.level, one.at));
            let level = now.level(name)?;
            let due = level > was || level < was && rested(at);
            due.then(|| Change { subject: (*name).to_string(), was, level, text: now.text(name).to_string() })
        };
        let mut changes: Vec<Change> = names.iter().filter_map(change).collect();
        if changes.is_empty() {
            return None;
        }
        // The gravest first, and what is better last.
        changes.sort_by_key(|one| std::cmp::Reverse((one.level > one.was, one.level)));
        let was = known.values().map(|one| one.level).max().unwrap_or_default();
        let text = text(&changes, &now);
        Some(News { check: state.check.clone(), was, level: state.level, text, changes })
    }

    /// Remembers that this was told.
    pub fn remember(&mut self, news: &[News], clock: i64) {
        for one in news {
            let changed: BTreeSet<&str> = one.changes.iter().map(|change| change.subject.as_str()).collect();
            self.checks.retain(|known| {
                known.check != one.check || !changed.contains(known.subject.as_deref().unwrap_or_default())
            });
            // What is in order needs no memory.
            let bad = one.changes.iter().filter(|change| change.level > Level::Ok);
            self.checks.extend(bad.map(|change| Known {
                check: one.check.clone(),
                subject: Some(change.subject.clone()),
                level: change.level,
                at: clock,
            }));
        }
    }
}

/// Changes in words: the first few of them, and what else is not in order, as it was.
fn text(changes: &[Change], now: &Now<'_>) -> String {
    let one = |change: &Change| {
        let Change { subject, was, level, text } = change;
        let about = if subject.is_empty() { String::new() } else { format!("{subject}: ") };
        let why = if text.is_empty() { String::new() } else { format!(": {text}") };
        format!("{about}{} (was {}){why}", level.word(), was.word())
    };
    let mut told: Vec<String> = changes.iter().take(TOLD).map(one).collect();
    let more = changes.len().saturating_sub(TOLD);
    told.extend((more > 0).then(|| format!("and {more} more that have changed")));
    let changed: BTreeSet<&str> = changes.iter().map(|change| change.subject.as_str()).collect();
    let same = now.named.iter().filter(|(name, one)| one.level > Level::Ok && !changed.contains(*name));
    let same: Vec<&str> = same.map(|(name, _)| *name).filter(|name| !name.is_empty()).collect();
    if !same.is_empty() {
        let named = same.iter().take(TOLD).copied().collect::<Vec<_>>().join(", ");
        let more = match same.len().saturating_sub(TOLD) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        told.push(format!("not in order as before: {named}{more}"));
    }
    told.join("; ")
}

#[cfg(test)]
mod tests;
