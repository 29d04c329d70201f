//! Walks the tables of a parsed TOML file, and collects everything that is wrong with them: values of another type,
//! and keys that nobody asked for.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeString;
use toml::de::DeTable;
use toml::de::DeValue;

use super::super::key::Kind;
use super::super::place::Place;
use super::super::place::Source;
use super::super::problem::Problems;
use super::super::problem::shown;
use super::super::problem::suggest;
use super::super::value::Command;
use super::super::value::Value;
use super::super::value::Wrong;
use super::super::value::looks;

/// The most words of a command, and entries of any other list.
const MOST: usize = 1024;

/// A file that is read, and what is wrong with it.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Source,
    /// Everybody who reads has a share in it.
    problems: RefCell<Problems>,
}

/// A table: what it is called, and which of its keys were asked for.
pub(super) struct Fields<'r, 't> {
    pub(super) reader: &'r Reader<'r>,
    table: &'t DeTable<'t>,
    /// For messages: `[template.production]`.
    pub(super) name: String,
    pub(super) span: Range<usize>,
    asked: RefCell<Vec<&'static str>>,
}

/// A value with its key.
pub(super) struct Field<'r, 't> {
    pub(super) reader: &'r Reader<'r>,
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) value: &'t Spanned<DeValue<'t>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        Self { source, problems: RefCell::new(Problems::default()) }
    }

    pub(super) fn error(&self, span: &Range<usize>, message: impl Into<String>, fix: impl Into<String>) {
        self.problems.borrow_mut().error(self.source, span, message, fix);
    }

    pub(super) fn warning(&self, span: &Range<usize>, message: impl Into<String>, fix: impl Into<String>) {
        self.problems.borrow_mut().warning(self.source, span, message, fix);
    }

    pub(super) fn into_problems(self) -> Problems {
        self.problems.into_inner()
    }

    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        self.source.place(span.start)
    }
}

impl<'r, 't> Fields<'r, 't> {
    pub(super) fn new(
        reader: &'r Reader<'r>,
        table: &'t DeTable<'t>,
        name: impl Into<String>,
        span: Range<usize>,
    ) -> Self {
        Self { reader, table, name: name.into(), span, asked: RefCell::default() }
    }

    /// The value of a key, which counts as known from now on.
    pub(super) fn get(&self, key: &'static str) -> Option<Field<'r, 't>> {
        self.asked.borrow_mut().push(key);
        let (found, value) = self.table.get_key_value(key)?;
        Some(self.field(found, value))
    }

    /// Whether a key is there, known or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// Each of the keys, all known, in the order of the file.
    pub(super) fn each(&self) -> Vec<Field<'r, 't>> {
        let mut all: Vec<_> = self.table.iter().map(|(key, value)| self.field(key, value)).collect();
        all.sort_by_key(|field| field.key_span.start);
        all
    }

    fn field(&self, key: &'t Spanned<DeString<'t>>, value: &'t Spanned<DeValue<'t>>) -> Field<'r, 't> {
        Field { reader: self.reader, key: key.get_ref().to_string(), key_span: key.span(), value }
    }

    /// An error about the table as a whole.
    pub(super) fn error(&self, message: impl Into<String>, fix: impl Into<String>) {
        self.reader.error(&self.span, message, fix);
    }

    /// Tells the keys that nobody asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.into_inner();
        for (key, _) in self.table {
            let word: &str = key.get_ref();
            if !asked.contains(&word) {
                let message = format!("unknown key `{}` in {}", shown(word), self.name);
                self.reader.error(&key.span(), message, suggest(word, asked.iter().copied()));
            }
        }
    }

    pub(super) fn bool(&self, key: &'static str) -> Option<bool> {
        match self.get(key)?.setting(Kind::Bool)? {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    pub(super) fn number(&self, key: &'static str, least: u32, most: u32) -> Option<u32> {
        match self.get(key)?.setting(Kind::Number(least, most))? {
            Value::Number(value) => Some(value),
            _ => None,
        }
    }

    /// In seconds.
    pub(super) fn age(&self, key: &'static str) -> Option<u64> {
        match self.get(key)?.setting(Kind::Age)? {
            Value::Age(value) => Some(value),
            _ => None,
        }
    }

    /// A text and where it stands.
    pub(super) fn text(&self, key: &'static str) -> Option<(&'t str, Range<usize>)> {
        let field = self.get(key)?;
        Some((field.text()?, field.value.span()))
    }

    /// A text, or a list of texts.
    pub(super) fn texts(&self, key: &'static str) -> Vec<(&'t str, Range<usize>)> {
        self.get(key).map(|field| field.texts()).unwrap_or_default()
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let (text, span) = self.text(key)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let message = format!("`{key}` cannot be \"{}\"", shown(text));
            self.reader.error(&span, message, suggest(text, words.iter().map(|(word, _)| *word)));
        }
        found.map(|(_, value)| *value)
    }

    /// A text that another type reads.
    pub(super) fn parsed<T>(
        &self,
        key: &'static str,
        fix: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (text, span) = self.text(key)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(why) => {
                self.reader.error(&span, format!("`{key}` cannot be \"{}\": {why}", shown(text)), fix);
                None
            }
        }
    }
}

impl<'r, 't> Field<'r, 't> {
    pub(super) fn place(&self) -> Place {
        self.reader.place(&self.key_span)
    }

    /// Tells that the value is of another type.
    pub(super) fn mistyped(&self, wanted: &str) {
        let found = type_word(self.value.get_ref());
        let message = format!("`{}` must be {wanted}, and here it is {found}", shown(&self.key));
        self.reader.error(&self.value.span(), message, format!("write {wanted}"));
    }

    pub(super) fn table(&self, name: impl Into<String>) -> Option<Fields<'r, 't>> {
        let table = self.value.get_ref().as_table();
        if table.is_none() {
            self.mistyped(&format!("a table, as in [{}]", shown(&self.key)));
        }
        // A table by header has no brackets in its span; that of the key is easier on the eyes.
        Some(Fields::new(self.reader, table?, name, self.key_span.clone()))
    }

    /// The tables of a list of tables.
    pub(super) fn tables(&self, name: &str) -> Vec<Fields<'r, 't>> {
        let wanted = format!("a list of tables, each of which begins with [[{}]]", shown(&self.key));
        let Some(list) = self.value.get_ref().as_array() else {
            self.mistyped(&wanted);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for value in &**list {
            match value.get_ref().as_table() {
                Some(table) => tables.push(Fields::new(self.reader, table, name, value.span())),
                None => {
                    let other =
                        Field { key: self.key.clone(), key_span: self.key_span.clone(), value, ..*self };
                    other.mistyped(&wanted);
                }
            }
        }
        tables
    }

    pub(super) fn text(&self) -> Option<&'t str> {
        let text = self.value.get_ref().as_str();
        if text.is_none() {
            self.mistyped("a text in quotes");
        }
        text
    }

    pub(super) fn texts(&self) -> Vec<(&'t str, Range<usize>)> {
        const WANTED: &str = "a text in quotes, or a list of such texts in [ ]";
        let value = self.value.get_ref();
        if let Some(text) = value.as_str() {
            return vec![(text, self.value.span())];
        }
        let texts = value.as_array().and_then(|list| {
            list.iter().map(|item| Some((item.get_ref().as_str()?, item.span()))).collect::<Option<Vec<_>>>()
        });
        match texts {
            Some(texts) if texts.is_empty() => {
                self.reader.error(
                    &self.value.span(),
                    format!("`{}` is empty", shown(&self.key)),
                    "name something, or remove it",
                );
                Vec::new()
            }
            Some(texts) if texts.len() > MOST => {
                let message = format!("`{}` has more than {MOST} entries", shown(&self.key));
                self.reader.error(&self.value.span(), message, "use a pattern");
                Vec::new()
            }
            Some(texts) => texts,
            None => {
                self.mistyped(WANTED);
                Vec::new()
            }
        }
    }

    /// The value of a setting of this kind.
    pub(super) fn setting(&self, kind: Kind) -> Option<Value> {
        let value = match (self.value.get_ref(), kind) {
            (DeValue::Boolean(value), Kind::Bool) => Ok(Value::Bool(*value)),
            (DeValue::Integer(number), kind) => {
                match i128::from_str_radix(&number.as_str().replace('_', ""), number.radix()) {
                    Ok(number) => Value::of_number(kind, number),
                    Err(_) => Err(Wrong::new("the number is too large", format!("write {}", looks(kind)))),
                }
            }
            (DeValue::String(text), kind) => Value::of_text(kind, text),
            (DeValue::Array(_), Kind::Command) => return self.program(),
            _ => {
                self.mistyped(&looks(kind));
                return None;
            }
        };
        match value {
            Ok(value) => Some(value),
            Err(Wrong { why, fix }) => {
                self.reader.error(&self.value.span(), format!("`{}`: {why}", shown(&self.key)), fix);
                None
            }
        }
    }

    /// A program and its arguments.
    fn program(&self) -> Option<Value> {
        let words = self.texts();
        let (program, span) = words.first()?;
        let fix = "write the path from the root on, such as [\"/usr/local/bin/hook\", \"argument\"]";
        if !program.starts_with('/') {
            self.reader.error(span, format!("\"{}\" is not an absolute path", shown(program)), fix);
            return None;
        }
        if words.iter().any(|(word, _)| word.contains('\0')) {
            self.reader.error(&self.value.span(), "the command holds a NUL byte", "remove it");
            return None;
        }
        Some(Value::Command(Command::Program(words.iter().map(|(word, _)| (*word).to_string()).collect())))
    }
}

fn type_word(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
