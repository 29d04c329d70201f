//! Where in a file something stands, and the text of a file with its lines counted. Nothing here reads files.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A position in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// The text of a file.
#[derive(Clone, Debug)]
pub struct Source {
    path: Arc<Path>,
    text: String,
    /// The offset at which each line begins.
    starts: Vec<usize>,
}

impl Source {
    /// Of a text that stands (or could stand) in this file.
    #[must_use]
    pub fn new(path: &Path, text: impl Into<String>) -> Self {
        let text = text.into();
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { path: path.into(), text, starts }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The position of a byte of the text; the end of the text for what lies beyond.
    #[must_use]
    pub fn place(&self, offset: usize) -> Place {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        // The first line begins at 0, so that there is always one.
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let column = self.text[self.starts[line - 1]..offset].chars().count() + 1;
        Place { file: self.path.clone(), line, column }
    }

    /// The line that a place is in, and how much of it a span takes; for the eyes of a person.
    pub(super) fn excerpt(&self, span: &Range<usize>) -> Excerpt {
        let place = self.place(span.start);
        let start = self.starts[place.line - 1];
        let line = self.text[start..].lines().next().unwrap_or_default();
        let end = span.end.clamp(span.start, start + line.len().max(span.start.saturating_sub(start)));
        let length = self.text.get(span.start..end).map_or(1, |marked| marked.chars().count()).max(1);
        Excerpt::new(line, place.column, length)
    }
}

/// A line of a file with something in it marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    line: String,
    column: usize,
    length: usize,
}

/// The most characters of a line that are shown.
const WIDTH: usize = 160;

impl Excerpt {
    fn new(line: &str, column: usize, length: usize) -> Self {
        // Nothing that moves the cursor of a terminal, and one column for each character.
        let line = line.chars().take(WIDTH).map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self { line, column: column.min(WIDTH), length: length.min(WIDTH.saturating_sub(column) + 1) }
    }

    /// Two lines: the text, and a mark below it.
    pub(super) fn render(&self) -> String {
        let indent = " ".repeat(self.column - 1);
        format!("    {}\n    {indent}{}\n", self.line.trim_end(), "^".repeat(self.length.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_are_counted_from_one_in_characters() {
        let source = Source::new(Path::new("/x"), "ab\näöü = 1\n\nlast");
        for (offset, line, column) in
            [(0, 1, 1), (2, 1, 3), (3, 2, 1), (5, 2, 2), (13, 2, 8), (14, 3, 1), (15, 4, 1), (99, 4, 5)]
        {
            let place = source.place(offset);
            assert_eq!((place.line, place.column), (line, column), "{offset}");
        }
        assert_eq!(source.place(0).to_string(), "/x:1:1");
        // In the middle of a character.
        assert_eq!(source.place(4).column, 1);
    }

    #[test]
    fn what_is_wrong_is_marked_and_bounded() {
        let source = Source::new(Path::new("/x"), "a = 1\n\tkey = [\n 1,\n]");
        assert_eq!(source.excerpt(&(7..10)).render(), "     key = [\n     ^^^\n");
        // A span over several lines is marked on its first.
        assert_eq!(source.excerpt(&(13..20)).render(), "     key = [\n           ^\n");
        let long = Source::new(Path::new("/x"), "x".repeat(100_000));
        assert!(long.excerpt(&(50_000..90_000)).render().len() < 400);
        assert!(Source::new(Path::new("/x"), "").excerpt(&(0..0)).render().contains('^'));
    }
}
