//! Defaults, templates and datasets of a TOML file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use globset::GlobBuilder;
use globset::GlobMatcher;
use zfs_core::name::DatasetName;

use super::super::entry::Below;
use super::super::entry::Entry;
use super::super::entry::Select;
use super::super::key::Key;
use super::super::key::Kind;
use super::super::key::Point;
use super::super::key::longest;
use super::super::place::Place;
use super::super::problem::shown;
use super::super::settings::Part;
use super::super::settings::Settings;
use super::super::value::Value;
use super::reader::Field;
use super::reader::Fields;
use crate::plan::Patterns;
use crate::policy::Period;

/// Reads every setting that may stand in a table, and tells contradictions between those.
pub(super) fn settings(fields: &Fields<'_, '_>, part: &Part) -> Settings {
    let mut all = Settings::default();
    plain(fields, part, &mut all, |_| true);
    for period in Period::ALL {
        let Some(field) = fields.get(period.word()) else { continue };
        of_period(&field, period, part, &mut all, |_| true);
    }
    for point in Point::ALL {
        let Some(field) = fields.get(point.word()) else { continue };
        // A command alone needs no table.
        if field.value.get_ref().is_table() {
            let Some(inner) = field.table(format!("`{}` of {}", point.word(), fields.name)) else { continue };
            for key in Key::of_hook(point) {
                one(&inner, key, part, &mut all);
            }
            inner.finish();
        } else if let Some(value) = field.setting(Kind::Command) {
            all.set(Key::Run(point), value, part.clone(), field.place());
        }
    }
    all
}

/// Reads the settings that tell how long snapshots are kept.
pub(super) fn retention(fields: &Fields<'_, '_>) -> Settings {
    let mut all = Settings::default();
    plain(fields, &Part::Entry, &mut all, Key::is_retention);
    for period in Period::ALL {
        let Some(field) = fields.get(period.word()) else { continue };
        of_period(&field, period, &Part::Entry, &mut all, Key::is_retention);
    }
    all
}

/// The settings that stand in no inner table.
fn plain(fields: &Fields<'_, '_>, part: &Part, all: &mut Settings, wanted: impl Fn(Key) -> bool) {
    for key in Key::all().filter(|key| key.table().is_none() && wanted(*key)) {
        one(fields, key, part, all);
    }
}

/// The settings of a period: a table, or its count alone.
fn of_period(
    field: &Field<'_, '_>,
    period: Period,
    part: &Part,
    all: &mut Settings,
    wanted: impl Fn(Key) -> bool,
) {
    let value = field.value.get_ref();
    if value.is_table() {
        let Some(inner) = field.table(format!("`{period}`")) else { return };
        for key in Key::of_period(period).filter(|key| wanted(*key)) {
            one(&inner, key, part, all);
        }
        contradictions(&inner, period, all);
        inner.finish();
    } else if value.is_integer() {
        if let Some(value) = field.setting(Key::Keep(period).kind()) {
            all.set(Key::Keep(period), value, part.clone(), field.place());
        }
    } else {
        field.mistyped("the number of snapshots to keep, or a table such as { keep = 30 }");
    }
}

fn one(fields: &Fields<'_, '_>, key: Key, part: &Part, all: &mut Settings) {
    let Some(field) = fields.get(key.word()) else { return };
    if let Some(value) = field.setting(key.kind()) {
        all.set(key, value, part.clone(), field.place());
    }
}

/// What cannot both be meant in one table.
fn contradictions(inner: &Fields<'_, '_>, period: Period, all: &Settings) {
    let span = |key: Key| inner.get(key.word()).map_or(inner.span.clone(), |field| field.value.span());
    if let (Some(warn), Some(critical)) = (all.age(Key::Warn(period)), all.age(Key::Critical(period)))
        && warn > critical
    {
        // Not an error: sanoid takes it, and what is imported must be good.
        inner.reader.warning(
            &span(Key::Warn(period)),
            format!("`warn` of {period} is longer than `critical`, so that no warning would ever come"),
            "make `warn` the shorter one",
        );
    }
    let nothing = all.number(Key::Keep(period)) == Some(0) && all.age(Key::KeepFor(period)).is_none();
    let take = all.get(Key::Take(period)).is_some_and(|given| given.value == Value::Bool(true));
    if nothing && take {
        inner.reader.error(
            &span(Key::Take(period)),
            format!("{period} snapshots are to be taken, and none of them kept"),
            "keep at least one, or write `take = false`",
        );
    }
    let (day, month) = (all.number(Key::Day(period)), all.number(Key::Month));
    if let (Period::Yearly, Some(day), Some(month)) = (period, day, month)
        && day > longest(month)
    {
        let message = format!("month {month} never has a day {day}");
        inner.reader.error(
            &span(Key::Day(period)),
            message,
            format!("write a day from 1 to {}", longest(month)),
        );
    }
}

/// `[template.NAME]`.
pub(super) fn templates(field: &Field<'_, '_>, all: &mut BTreeMap<Arc<str>, (Settings, Place)>) {
    let Some(templates) = field.table("[template]") else { return };
    for field in templates.each() {
        let name: Arc<str> = field.key.as_str().into();
        if let Some((_, first)) = all.get(&name) {
            field.reader.error(
                &field.key_span,
                format!("there is a template `{}` already, at {first}", shown(&name)),
                "give one of the two another name",
            );
            continue;
        }
        let Some(fields) = field.table(format!("[template.{}]", shown(&name))) else { continue };
        let settings = settings(&fields, &Part::Template(name.clone()));
        fields.finish();
        all.insert(name, (settings, field.place()));
    }
}

/// An entry whose templates are not looked up yet.
pub(super) struct Unlinked {
    pub(super) entry: Entry,
    pub(super) templates: Vec<(Arc<str>, Range<usize>)>,
}

/// `[[dataset]]`.
pub(super) fn entry(fields: Fields<'_, '_>) -> Option<Unlinked> {
    let place = fields.reader.place(&fields.span);
    let select = select(&fields);
    let recursive = fields.get("recursive");
    let below = recursive.as_ref().map_or(Some(Below::Nothing), of_recursive);
    let skip = fields.bool("skip_children").unwrap_or(false);
    let exclude_span = fields.get("exclude").map(|field| field.key_span);
    let exclude = patterns(&fields, None, "exclude");
    let settings = settings(&fields, &Part::Entry);
    let templates = uses(&fields);
    if skip && below.is_some_and(|below| below != Below::Nothing) {
        fields.error("`skip_children` takes back what `recursive` says", "remove one of the two");
    }
    if let Some(span) = exclude_span
        && !skip
        && below == Some(Below::Nothing)
    {
        fields.reader.error(
            &span,
            "`exclude` leaves out datasets below, and the entry is not recursive",
            "add `recursive = true`, or remove `exclude`",
        );
    }
    fields.finish();
    let below = if skip { Below::Remove } else { below? };
    let entry = Entry { select: select?, templates: Vec::new(), settings, below, exclude: exclude?, place };
    Some(Unlinked { entry, templates })
}

fn of_recursive(field: &Field<'_, '_>) -> Option<Below> {
    let value = field.value.get_ref();
    match (value.as_bool(), value.as_str()) {
        (Some(true), _) => Some(Below::Each),
        (Some(false), _) => Some(Below::Nothing),
        (_, Some("atomic")) => Some(Below::Atomic),
        _ => {
            field.mistyped("true, false or \"atomic\"");
            None
        }
    }
}

/// Patterns of paths to include and to exclude.
pub(super) fn patterns(
    fields: &Fields<'_, '_>,
    include: Option<&'static str>,
    exclude: &'static str,
) -> Option<Patterns> {
    let include = include.map(|key| fields.texts(key)).unwrap_or_default();
    let lists = [include, fields.texts(exclude)];
    let mut good = true;
    for (pattern, span) in lists.iter().flatten() {
        if let Err(error) = Patterns::new(&[(*pattern).to_string()], &[]) {
            fields.reader.error(
                span,
                error.to_string(),
                "see the patterns in the manual: * ? ** [a-z] {a,b}",
            );
            good = false;
        }
    }
    let [include, exclude] =
        lists.map(|list| list.into_iter().map(|(text, _)| text.to_string()).collect::<Vec<_>>());
    if good { Patterns::new(&include, &exclude).ok() } else { None }
}

/// The templates that a table names.
pub(super) fn uses(fields: &Fields<'_, '_>) -> Vec<(Arc<str>, Range<usize>)> {
    let names = fields.texts("use");
    names.into_iter().map(|(name, span)| (name.into(), span)).collect()
}

fn select(fields: &Fields<'_, '_>) -> Option<Select> {
    let (names, patterns, property) = (fields.get("name"), fields.get("pattern"), fields.get("property"));
    let value = fields.get("value");
    if let (Some(value), None) = (&value, &property) {
        fields.reader.error(
            &value.key_span,
            "`value` is of a property, and there is none",
            "add `property`, or remove `value`",
        );
    }
    match (names, patterns, property) {
        (Some(field), None, None) => {
            let names: Option<Vec<_>> =
                field.texts().into_iter().map(|(text, span)| of_name(fields, text, &span)).collect();
            names.filter(|names| !names.is_empty()).map(Select::Names)
        }
        (None, Some(field), None) => {
            let patterns: Option<Vec<_>> =
                field.texts().into_iter().map(|(text, span)| of_pattern(fields, text, &span)).collect();
            patterns.filter(|patterns| !patterns.is_empty()).map(Select::Patterns)
        }
        (None, None, Some(field)) => {
            let name = field.text()?;
            let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ":+._-".contains(c);
            if !name.contains(':') || name.len() > 255 || !name.chars().all(valid) {
                fields.reader.error(
                    &field.value.span(),
                    format!("\"{}\" is not the name of a user property", shown(name)),
                    "write one with a colon, in small letters, digits and : + . _ -, such as \"replicator:policy\"",
                );
                return None;
            }
            let value = match &value {
                Some(field) => Some(field.text()?.to_string()),
                None => None,
            };
            Some(Select::Property { name: name.to_string(), value })
        }
        (None, None, None) => {
            fields.error("the entry selects no datasets", "add `name`, `pattern` or `property`");
            None
        }
        _ => {
            fields.error(
                "the entry selects datasets in more than one way",
                "keep one of `name`, `pattern` and `property`, and make entries of the others",
            );
            None
        }
    }
}

pub(super) fn of_name(fields: &Fields<'_, '_>, text: &str, span: &Range<usize>) -> Option<DatasetName> {
    match DatasetName::try_from(text) {
        Ok(name) => Some(name),
        Err(error) => {
            let fix = match text {
                _ if text.contains(['*', '?', '[']) => "write it as `pattern`",
                _ if text.starts_with('/') => {
                    "write the name of the dataset, not the path where it is mounted"
                }
                _ if text.contains('@') => "write the name of the dataset, without a snapshot",
                _ => "write a name as `zfs list` prints it",
            };
            fields.reader.error(
                span,
                format!("\"{}\" is not the name of a dataset: {error}", shown(text)),
                fix,
            );
            None
        }
    }
}

fn of_pattern(fields: &Fields<'_, '_>, text: &str, span: &Range<usize>) -> Option<GlobMatcher> {
    match GlobBuilder::new(text).literal_separator(true).build() {
        Ok(glob) => Some(glob.compile_matcher()),
        Err(error) => {
            let message = format!("the pattern \"{}\" is not understood: {}", shown(text), error.kind());
            fields.reader.error(span, message, "see the patterns in the manual: * ? ** [a-z] {a,b}");
            None
        }
    }
}
