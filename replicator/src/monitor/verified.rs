//! Whether copies were found good, out of what `replicator verify` remembers. Pure.
//!
//! Each dataset has to be read within so many days. Where a target has more than one look reads, the turn of each comes
//! round later, and it may take that much longer.

use std::collections::BTreeMap;

use serde_json::json;

use super::Level;
use super::Report;
use super::Subject;
use super::elapsed;
use super::short_size;
use crate::verify::memory::Checked;
use crate::verify::memory::Drill;
use crate::verify::memory::Overview;

/// The most messages about one target that are told, and the most datasets that are named in one of them.
const TOLD: usize = 3;

const DAY: u64 = 86_400;

/// A target of a job, and what was found of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The name of the job.
    pub job: &'a str,
    /// The name of the target.
    pub target: &'a str,
    /// It may be away for as long as it likes.
    pub optional: bool,
    /// The machines of the source and of the target, as endpoints are written; none is this one.
    pub machines: (Option<String>, Option<String>),
    /// What there is; none where nobody has looked since this is remembered.
    pub overview: Option<&'a Overview>,
    /// Its datasets, as far as they were looked at.
    pub checked: Vec<&'a Checked>,
}

impl Target<'_> {
    fn title(&self) -> String {
        format!("{} to {}", self.job, self.target)
    }

    /// A dataset and its copy, as endpoints are written.
    fn both(&self, checked: &Checked) -> (String, String) {
        let at = |machine: &Option<String>, dataset: &str| match machine {
            Some(machine) => format!("{machine}:{dataset}"),
            None => dataset.to_string(),
        };
        (at(&self.machines.0, &checked.source), at(&self.machines.1, &checked.target))
    }

    /// When anything of it was looked at last.
    fn last(&self) -> Option<i64> {
        let looks = self.checked.iter().map(|checked| checked.at);
        looks.chain(self.overview.map(|overview| overview.at)).max()
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How bad it is.
    pub level: Level,
    /// `JOB to TARGET`.
    pub title: String,
    /// The dataset of the source; none where it is about several, or the target as a whole.
    pub dataset: Option<String>,
    /// The datasets where it is about several.
    pub sources: Vec<String>,
    /// The name by which it is known from one check to the next.
    pub subject: String,
    /// What it is, without the names of the target and the dataset.
    pub text: String,
    /// What to do about it.
    pub way_out: Option<String>,
    /// The dataset and its copy, as endpoints are written, where they differ.
    pub differ: Option<(String, String)>,
}

impl Found {
    /// What it is, and what to do about it.
    #[must_use]
    pub fn detail(&self) -> String {
        let way_out = self.way_out.as_ref().map(|way_out| format!(" ({way_out})")).unwrap_or_default();
        format!("{}{way_out}", self.text)
    }

    /// The same with what it is about.
    #[must_use]
    pub fn message(&self) -> String {
        let about = self.dataset.as_ref().map(|dataset| format!("{dataset}: ")).unwrap_or_default();
        format!("{}: {about}{}", self.title, self.detail())
    }

    /// Whether something of this name, `JOB to TARGET: DATASET`, is told by it.
    #[must_use]
    pub fn is(&self, about: &str) -> bool {
        let inside = |dataset: &str| match &self.dataset {
            Some(one) => one.as_str() == dataset,
            None => self.sources.iter().any(|one| one.as_str() == dataset),
        };
        about.strip_prefix(&self.title).and_then(|rest| rest.strip_prefix(": ")).is_some_and(inside)
    }

    /// About one dataset.
    fn of(title: &str, source: &str, (level, text): (Level, String)) -> Self {
        Self {
            level,
            title: title.to_string(),
            dataset: Some(source.to_string()),
            sources: Vec::new(),
            subject: format!("{title}: {source}"),
            text,
            way_out: None,
            differ: None,
        }
    }

    /// About the target.
    fn of_target(title: &str, text: String) -> Self {
        let (subject, title) = (title.to_string(), title.to_string());
        let (level, sources) = (Level::Warning, Vec::new());
        Self { level, title, dataset: None, sources, subject, text, way_out: None, differ: None }
    }
}

/// Judges what was found. What was not read for `longest` seconds is a warning, and so is what cannot be read.
#[must_use]
pub fn judge(targets: &[Target<'_>], longest: u64, now: i64) -> Report {
    let (mut messages, mut well, mut list) = (Vec::new(), Vec::new(), Vec::new());
    let (mut level, mut subjects) = (Level::Ok, Vec::new());
    for one in targets {
        let found = find(one, longest, now);
        let worst = found.iter().map(|found| found.level).max().unwrap_or_default();
        level = level.max(worst);
        messages.extend(told(&found, &one.title()));
        if found.is_empty() {
            let last = one.last().map(|last| format!("{} ago", elapsed(age(last, now))));
            let last = last.unwrap_or_else(|| "never, and it may be away".to_string());
            well.push(format!("{}: {last}", one.title()));
        }
        list.push(json!({
            "replication": one.job,
            "target": one.target,
            "optional": one.optional,
            "level": worst,
            "longest_seconds": one.overview.map(|overview| limit(overview, longest)),
            "overview": one.overview,
            "datasets": one.checked,
        }));
        let subject = |found: &Found| Subject::seen(&found.subject, found.level, found.detail());
        subjects.extend(found.iter().map(subject));
    }
    let text = match (targets.is_empty(), messages.is_empty()) {
        (true, _) => "OK: there is nothing to verify".to_string(),
        (false, true) => format!("OK: all copies were found good ({})", well.join(", ")),
        (false, false) => messages.join(", "),
    };
    Report::new(level, &text, json!({ "targets": list }), subjects)
}

/// The gravest things about a target in words, and how many more there are.
fn told(found: &[Found], title: &str) -> Vec<String> {
    let mut order: Vec<&Found> = found.iter().collect();
    order.sort_by_key(|found| std::cmp::Reverse(found.level));
    let word = |level: Level| if level == Level::Critical { "CRIT" } else { "WARN" };
    let text = |found: &&Found| format!("{}: {}", word(found.level), found.message());
    let mut told: Vec<_> = order.iter().take(TOLD).map(text).collect();
    if let Some(rest) = order.get(TOLD) {
        let more = order.len() - TOLD;
        told.push(format!("{}: {title}: and {more} more", word(rest.level)));
    }
    told
}

/// How old the last look at each dataset of a target may be: the turn of some comes round later, a day for each look that it
/// takes to come through all of them.
fn limit(overview: &Overview, longest: u64) -> u64 {
    longest.saturating_add(overview.rounds.saturating_sub(1).saturating_mul(DAY))
}

fn age(then: i64, now: i64) -> u64 {
    u64::try_from(now.saturating_sub(then)).unwrap_or(0)
}

/// What is not as it should be at a target.
#[must_use]
pub fn find(one: &Target<'_>, longest: u64, now: i64) -> Vec<Found> {
    let title = one.title();
    let mut found = Vec::new();
    let mut closed: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for checked in &one.checked {
        if let (false, Some(why), Some(way_out)) = (checked.differs(), &checked.failed, &checked.closed) {
            closed.entry((why.as_str(), way_out.as_str())).or_default().push(&checked.source);
        } else if let Some(trouble) = trouble(checked) {
            let differ = checked.differs().then(|| one.both(checked));
            found.push(Found { differ, ..Found::of(&title, &checked.source, trouble) });
        }
    }
    for ((why, way_out), sources) in closed {
        found.push(Found {
            subject: format!("{title}: {why}"),
            way_out: Some(format!("{way_out}, or set `verify = false` for the target")),
            sources: sources.iter().map(ToString::to_string).collect(),
            ..Found::of_target(&title, format!("{} cannot be read here: {why}", names(&sources)))
        });
    }
    if !one.optional {
        late(one, &title, longest, now, &mut found);
    }
    found
}

/// What was not read for too long.
fn late(one: &Target<'_>, title: &str, longest: u64, now: i64, found: &mut Vec<Found>) {
    let Some(last) = one.last() else {
        let way_out = Some("`replicator verify` does it, or set `verify = false` for the target".to_string());
        found.push(Found { way_out, ..Found::of_target(title, "never verified".to_string()) });
        return;
    };
    if age(last, now) > longest {
        let text = format!("last verified {} ago", elapsed(age(last, now)));
        let text = format!("{text} (should be < {})", elapsed(longest));
        found.push(Found::of_target(title, text));
        // All of it waits for that.
        return;
    }
    let Some(overview) = one.overview else { return };
    let limit = limit(overview, longest);
    let read: BTreeMap<&str, i64> =
        one.checked.iter().map(|checked| (checked.source.as_str(), checked.at)).collect();
    let is_late = |at: &i64| age(*at, now) > limit;
    for volume in &overview.too_large {
        // Somebody may read it by hand from time to time.
        if read.get(volume.source.as_str()).is_none_or(is_late) {
            let text = format!(
                "not read: it has {}, and a look reads {}",
                short_size(volume.bytes),
                short_size(overview.bytes)
            );
            let way_out =
                "`replicator verify` with more --bytes reads it, or set `verify = false` for the target";
            let way_out = Some(way_out.to_string());
            found.push(Found { way_out, ..Found::of(title, &volume.source, (Level::Warning, text)) });
        }
    }
    let too_large = |source: &str| overview.too_large.iter().any(|volume| volume.source == source);
    let rounds = match overview.rounds {
        0 | 1 => String::new(),
        rounds => format!(", {} datasets take about {rounds} looks", overview.datasets),
    };
    let mut note = |source: &str, words: &str, at: i64| {
        if is_late(&at) && !too_large(source) {
            let text = format!("{words} {}", elapsed(age(at, now)));
            let text = format!("{text} (should be < {}{rounds})", elapsed(limit));
            found.push(Found::of(title, source, (Level::Warning, text)));
        }
    };
    for (source, at) in read {
        note(source, "not read for", at);
    }
    for waiting in &overview.waiting {
        note(&waiting.source, "never read, and known for", waiting.since);
    }
}

/// What is wrong with a dataset that was looked at.
#[must_use]
pub fn trouble(checked: &Checked) -> Option<(Level, String)> {
    if checked.differences > 0 {
        let first = checked.first.first().map(|first| format!(" ({first})")).unwrap_or_default();
        return Some((Level::Critical, format!("{} differ{first}", of_files(checked.differences))));
    }
    match &checked.drill {
        Some(Drill::Differs(count)) => {
            Some((Level::Critical, format!("of a restore drill {} differ", of_files(*count))))
        }
        _ if checked.failed.is_some() => {
            let why = checked.failed.clone().unwrap_or_default();
            Some((Level::Warning, format!("not verified: {why}")))
        }
        Some(Drill::Failed(why)) => Some((Level::Warning, format!("no restore drill: {why}"))),
        Some(Drill::Good) | None => None,
    }
}

fn of_files(count: u64) -> String {
    if count == 1 { "1 file or segment".to_string() } else { format!("{count} files or segments") }
}

/// Some of them by name: `a, b, c and 5 more`.
#[must_use]
pub fn names(all: &[&str]) -> String {
    let named = all.iter().take(TOLD).copied().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(TOLD) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
