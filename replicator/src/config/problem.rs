//! What is wrong with a configuration: where, why, and what to write instead. All that is found in one reading is
//! collected, so that a person mends it in one go.

use std::fmt::Write;
use std::ops::Range;
use std::path::PathBuf;

use super::place::Excerpt;
use super::place::Place;
use super::place::Source;

/// The most problems that are kept; what is beyond is counted.
const MOST: usize = 200;

/// The longest piece of a file that is repeated in a message.
const LONGEST: usize = 64;

/// Whether a configuration can be used in spite of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It cannot: nothing runs.
    Error,
    /// It can, but it may not mean what was meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where. `None` only where there is no text, as for a file that cannot be opened; the message names it then.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub fix: String,
    excerpt: Option<Excerpt>,
}

impl Problem {
    /// Text for a terminal: what, where, the line, and the fix.
    #[must_use]
    pub fn render(&self) -> String {
        let kind = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut text = String::new();
        let _ = match &self.place {
            Some(place) => writeln!(text, "{kind}: {place}: {}", self.message),
            None => writeln!(text, "{kind}: {}", self.message),
        };
        if let Some(excerpt) = &self.excerpt {
            text.push_str(&excerpt.render());
        }
        let _ = writeln!(text, "fix: {}", self.fix);
        text
    }
}

/// Everything that was found.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    list: Vec<Problem>,
    errors: usize,
    dropped: usize,
}

impl Problems {
    /// What was found, in the order of the files.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// How many errors there are.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// How many were found beyond those that are kept.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of it as text, with a last line that counts.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        for problem in &self.list {
            text.push_str(&problem.render());
            text.push('\n');
        }
        if self.dropped > 0 {
            let _ = writeln!(text, "and {} more", self.dropped);
        }
        text
    }

    pub(super) fn push(&mut self, problem: Problem) {
        self.errors += usize::from(problem.severity == Severity::Error);
        if self.list.len() < MOST {
            self.list.push(problem);
        } else {
            self.dropped += 1;
        }
    }

    /// An error at a span of a file.
    pub(super) fn error(
        &mut self,
        source: &Source,
        span: &Range<usize>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.at(Severity::Error, source, span, message.into(), fix.into());
    }

    /// A warning at a span of a file.
    pub(super) fn warning(
        &mut self,
        source: &Source,
        span: &Range<usize>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.at(Severity::Warning, source, span, message.into(), fix.into());
    }

    fn at(&mut self, severity: Severity, source: &Source, span: &Range<usize>, message: String, fix: String) {
        let (place, excerpt) = (Some(source.place(span.start)), Some(source.excerpt(span)));
        self.push(Problem { severity, place, message, fix, excerpt });
    }

    /// At a place whose text is not at hand any more.
    pub(super) fn at_place(&mut self, severity: Severity, place: &Place, message: String, fix: String) {
        self.push(Problem { severity, place: Some(place.clone()), message, fix, excerpt: None });
    }

    /// About a file that could not be read.
    pub(super) fn file(&mut self, message: String, fix: String) {
        self.push(Problem { severity: Severity::Error, place: None, message, fix, excerpt: None });
    }

    /// By file, in this order, and line. What has no place comes first.
    pub(super) fn sort(&mut self, files: &[PathBuf]) {
        self.list.sort_by_key(|problem| {
            let place = problem.place.as_ref()?;
            let file = files.iter().position(|file| **file == *place.file);
            Some((file, place.line, place.column))
        });
    }

    pub(super) fn append(&mut self, other: Self) {
        self.dropped += other.dropped;
        // Those that were dropped are counted already and would be counted again.
        let kept_errors = other.list.iter().filter(|problem| problem.severity == Severity::Error).count();
        self.errors += other.errors - kept_errors;
        for problem in other.list {
            self.push(problem);
        }
    }
}

/// A piece of a file as it can be repeated in a message.
pub(super) fn shown(text: &str) -> String {
    let clean = text.chars().take(LONGEST).map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let cut = if text.chars().nth(LONGEST).is_some() { "…" } else { "" };
    clean.collect::<String>() + cut
}

/// Advice on a word that is not known: the nearest of those that are, or all of them.
pub(super) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    match nearest(word, &known) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "remove it".to_string(),
        None => {
            let more = if known.len() > 40 { ", …" } else { "" };
            known.truncate(40);
            format!("remove it, or write one of: {}{more}", known.join(", "))
        }
    }
}

/// The known word that a mistyped one most likely stands for.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let length = word.chars().count();
    if length > LONGEST {
        return None;
    }
    let plain = word.to_ascii_lowercase().replace('-', "_");
    let distance = |candidate: &str| strsim::osa_distance(&plain, &candidate.to_ascii_lowercase());
    // Of words that differ only in their case, the one that is written like it.
    let exact = |candidate: &str| strsim::osa_distance(word, candidate);
    let near = known.iter().map(|candidate| (distance(candidate), exact(candidate), *candidate)).min()?;
    // A third of the letters may be wrong.
    (near.0 <= (length / 3).max(1)).then_some(near.2)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_typing_error_gets_the_nearest_word_and_nonsense_gets_them_all() {
        let known = ["hourly", "daily", "keep_for", "snapshot"];
        for (word, near) in
            [("hourley", "hourly"), ("Daily", "daily"), ("keep-for", "keep_for"), ("snapshots", "snapshot")]
        {
            assert_eq!(suggest(word, known), format!("did you mean `{near}`?"));
        }
        assert!(suggest("zzzz", known).contains("daily, hourly, keep_for, snapshot"));
        assert!(suggest(&"h".repeat(100_000), known).contains("one of"));
    }

    #[test]
    fn more_than_can_be_read_is_only_counted() {
        let source = Source::new(Path::new("/x"), "a");
        let mut problems = Problems::default();
        for _ in 0..MOST + 5 {
            problems.error(&source, &(0..1), "wrong", "mend it");
        }
        let mut all = Problems::default();
        all.append(problems.clone());
        all.warning(&source, &(0..1), "odd", "look");
        assert_eq!((problems.errors(), problems.dropped()), (MOST + 5, 5));
        assert_eq!((all.errors(), all.dropped()), (MOST + 5, 6));
        assert!(all.render().ends_with("and 6 more\n"));
    }

    #[test]
    fn problems_are_sorted_by_file_and_line() {
        let files = ["/b", "/a"].map(|path| Source::new(Path::new(path), "one\ntwo\nthree\n"));
        let mut problems = Problems::default();
        for (file, at) in [(1, 4), (0, 9), (1, 0), (0, 5), (0, 4)] {
            problems.error(&files[file], &(at..at + 1), "wrong", "mend it");
        }
        problems.file("/c does not exist".to_string(), "write it".to_string());
        problems.sort(&files.map(|file| file.path().to_path_buf()));
        let places = problems.iter().map(|problem| problem.place.as_ref().map(ToString::to_string));
        let places: Vec<_> = places.map(Option::unwrap_or_default).collect();
        assert_eq!(places, ["", "/b:2:1", "/b:2:2", "/b:3:2", "/a:1:1", "/a:2:1"]);
    }

    #[test]
    fn nothing_from_a_file_reaches_the_terminal_raw() {
        let source = Source::new(Path::new("/x"), "\u{1b}[2Jkey = 1");
        let mut problems = Problems::default();
        problems.error(&source, &(0..4), format!("unknown `{}`", shown("\u{1b}[2Jkey")), "remove it");
        assert!(!problems.render().contains('\u{1b}'));
        assert!(shown(&"x".repeat(1000)).len() < 100);
    }
}
