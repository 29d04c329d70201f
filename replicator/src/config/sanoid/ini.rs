//! The INI files of sanoid, by the rules of the Perl module that it reads them with: a comment is a whole line, a value
//! goes to the end of its line, `<<WORD` begins one of several lines, a section that comes again is continued.

use std::collections::BTreeMap;
use std::ops::Range;

use super::super::place::Source;
use super::super::problem::Problems;
use super::super::problem::shown;

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    /// Without the spaces round it.
    pub(super) value: String,
    pub(super) value_span: Range<usize>,
}

/// A section.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) span: Range<usize>,
    /// Each key once, in the order of the file.
    pub(super) parameters: Vec<Parameter>,
}

impl Section {
    pub(super) fn get(&self, key: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.key == key)
    }
}

/// All sections, in the order in which each begins first.
pub(super) fn parse(source: &Source, problems: &mut Problems) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut by_name: BTreeMap<String, usize> = BTreeMap::new();
    let mut current = None;
    let mut lost = false;
    let mut lines = lines(source.text());
    while let Some((start, line)) = lines.next() {
        let text = line.trim();
        let span = start + (line.len() - line.trim_start().len())..start + line.trim_end().len();
        if text.is_empty() || text.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = section(text) {
            let at = *by_name.entry(name.to_string()).or_insert_with(|| {
                sections.push(Section { name: name.to_string(), span, parameters: Vec::new() });
                sections.len() - 1
            });
            current = Some(at);
            continue;
        }
        let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.trim().is_empty()) else {
            let message =
                format!("\"{}\" is neither [a section], nor a key and its value, nor a comment", shown(text));
            problems.error(source, &span, message, "write `key = value`, or put # in front of a comment");
            // Perhaps that was the head of a section.
            lost = true;
            continue;
        };
        let (key, mut value) = (key.trim_end(), value.trim());
        let key_span = span.start..span.start + key.len();
        let value_span = span.end - value.len()..span.end;
        if let Some(mark) = value.strip_prefix("<<") {
            let mut document = lines.by_ref().map(|(_, line)| line);
            let mut first = None;
            let mut ended = false;
            let mut count = 0;
            for line in document.by_ref() {
                if line == mark {
                    ended = true;
                    break;
                }
                first.get_or_insert(line);
                count += 1;
            }
            if !ended {
                let message = format!("there is no line `{}` that ends the value", shown(mark));
                problems.error(
                    source,
                    &value_span,
                    message,
                    "add that line, or write the value behind the =",
                );
                continue;
            }
            if count > 1 {
                problems.warning(
                    source,
                    &value_span,
                    "only the first line of the value is used",
                    "write the value on one line",
                );
            }
            value = first.unwrap_or_default().trim();
        }
        let Some(section) = current.and_then(|at: usize| sections.get_mut(at)) else {
            if !lost {
                let message = format!("`{}` stands before the first section", shown(key));
                problems.error(
                    source,
                    &span,
                    message,
                    "put the [name of a dataset] or a [template_name] above it",
                );
            }
            continue;
        };
        if let Some(first) = section.get(key) {
            let message = format!(
                "`{}` was given already in [{}], in line {}, and only that counts",
                shown(key),
                shown(&section.name),
                source.place(first.key_span.start).line
            );
            problems.warning(source, &key_span, message, "remove one of the two");
            continue;
        }
        section.parameters.push(Parameter {
            key: key.to_string(),
            key_span,
            value: value.to_string(),
            value_span,
        });
    }
    sections
}

/// The name between brackets, if the line is the head of a section.
fn section(text: &str) -> Option<&str> {
    let name = text.strip_prefix('[')?.strip_suffix(']')?.trim();
    if name.is_empty() { None } else { Some(name) }
}

/// Lines without their ends, each with the offset at which it begins.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    text.split_inclusive('\n').map(move |line| {
        let begin = start;
        start += line.len();
        let line = line.strip_suffix('\n').unwrap_or(line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        // What editors of other systems leave at the beginning of a file.
        let (begin, line) = match line.strip_prefix('\u{feff}') {
            Some(rest) if begin == 0 => (begin + 3, rest),
            _ => (begin, line),
        };
        (begin, line)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    type Pairs = Vec<(String, String)>;

    fn read(text: &str) -> (Vec<(String, Pairs)>, Problems) {
        let mut problems = Problems::default();
        let sections = parse(&Source::new(Path::new("/s"), text), &mut problems);
        let plain = |section: Section| {
            let parameters = section.parameters.into_iter().map(|p| (p.key, p.value)).collect();
            (section.name, parameters)
        };
        (sections.into_iter().map(plain).collect(), problems)
    }

    fn pairs(list: &[(&str, &str)]) -> Pairs {
        list.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    #[test]
    fn sections_keys_and_values_lose_the_spaces_round_them() {
        let text = "\u{feff}# a\n ; b\n[ tank/with space ]\r\n\thourly=36 \n daily = 7 # days\nempty =\nodd key = a = b\n";
        let (sections, problems) = read(text);
        assert!(problems.is_empty());
        let values = [("hourly", "36"), ("daily", "7 # days"), ("empty", ""), ("odd key", "a = b")];
        assert_eq!(sections, [("tank/with space".to_string(), pairs(&values))]);
    }

    #[test]
    fn a_section_that_comes_again_goes_on_and_of_a_key_the_first_counts() {
        let (sections, problems) = read("[a]\nx = 1\n[b]\ny = 2\n[a]\nx = 3\nz = 4\n");
        assert_eq!(sections[0], ("a".to_string(), pairs(&[("x", "1"), ("z", "4")])));
        assert_eq!(sections[1], ("b".to_string(), pairs(&[("y", "2")])));
        let problem = problems.iter().next().expect("a warning");
        assert_eq!((problems.errors(), problem.place.as_ref().map(|place| place.line)), (0, Some(6)));
    }

    #[test]
    fn values_of_several_lines_count_with_their_first() {
        let (sections, problems) = read("[a]\nx = <<END\n one \nEND\ny = <<END\n1\n2\nEND\nz = <<END\nEND\n");
        assert_eq!(sections[0].1, pairs(&[("x", "one"), ("y", "1"), ("z", "")]));
        assert_eq!((problems.errors(), problems.iter().count()), (0, 1));
        assert_eq!(read("[a]\nx = <<END\n1\n").1.errors(), 1);
    }

    #[test]
    fn what_is_none_of_them_is_an_error() {
        for text in ["x = 1\n", "[a]\nhello\n", "[a\n", "[]\n", "[a]\n= 1\n", "[a] # b\n"] {
            assert_eq!(read(text).1.errors(), 1, "{text:?}");
        }
    }
}
