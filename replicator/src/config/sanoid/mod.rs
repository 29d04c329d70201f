//! A sanoid.conf, read into the same model as our own files, with sanoid's own defaults, templates and recursion.
//! What sanoid would misread without a word is an error; what it reads in a way that few people expect is a warning.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use zfs_core::name::DatasetName;

use super::Config;
use super::Folders;
use super::entry::Below;
use super::entry::Entry;
use super::entry::Policies;
use super::entry::Select;
use super::key::Key;
use super::key::longest;
use super::place::Source;
use super::problem::Problems;
use super::problem::shown;
use super::problem::suggest;
use super::settings::Part;
use super::settings::Settings;
use super::value::Wrong;
use crate::plan::Patterns;
use crate::policy::Period;
use crate::policy::Style;

mod ini;
mod keys;

use ini::Parameter;
use ini::Section;

/// The section of the defaults, in both files.
const DEFAULT: &str = "template_default";

/// Reads a sanoid.conf, over a sanoid.defaults.conf if there is one, else over the defaults of sanoid 2.3.
pub(super) fn parse(main: &Source, defaults: Option<&Source>) -> (Config, Problems) {
    let mut problems = Problems::default();
    let mut policies = Policies::new(Style::Sanoid);
    let mut known: BTreeSet<String> = keys::KEYS.iter().map(ToString::to_string).collect();
    if let Some(source) = defaults
        && let Some(section) = of_defaults(source, &mut problems)
    {
        let file = File { source, known: &known };
        policies.defaults.overlay(&file.settings(&section, &Part::Defaults, Role::Defaults, &mut problems));
        known = section.parameters.into_iter().map(|parameter| parameter.key).collect();
    }
    let sections = ini::parse(main, &mut problems);
    if sections.is_empty() && problems.is_empty() {
        let fix = "add a section for a dataset, such as [tank/data] with a line `use_template = production`";
        problems.error(main, &(0..0), "the file says nothing", fix);
    }
    let file = File { source: main, known: &known };
    for section in &sections {
        let Some(name) = section.name.strip_prefix("template_") else { continue };
        let name: Arc<str> = name.into();
        let part = if section.name == DEFAULT { Part::Defaults } else { Part::Template(name.clone()) };
        let settings = file.settings(section, &part, Role::Template, &mut problems);
        if section.name == DEFAULT {
            policies.defaults.overlay(&settings);
        }
        policies.templates.insert(name, settings);
    }
    let mut seen = BTreeMap::new();
    for section in sections.iter().filter(|section| !section.name.starts_with("template_")) {
        let Some(entry) = file.entry(section, &policies, &mut problems) else { continue };
        if let Select::Names(names) = &entry.select
            && let Some(name) = names.first()
            && let Some(first) = seen.insert(name.clone(), section.name.clone())
        {
            let message = format!("[{}] and [{}] are both about {name}", shown(&first), shown(&section.name));
            problems.error(main, &section.span, message, "put both together into one section");
        }
        policies.entries.push(entry);
    }
    policies.overridden(&mut problems);
    let files = std::iter::once(main).chain(defaults).map(|source| source.path().to_path_buf()).collect();
    (
        Config {
            style: Style::Sanoid,
            files,
            policies,
            jobs: Vec::new(),
            pairs: Vec::new(),
            receives: Vec::new(),
            folders: Folders::default(),
            notify: None,
        },
        problems,
    )
}

/// The defaults out of a sanoid.defaults.conf.
fn of_defaults(source: &Source, problems: &mut Problems) -> Option<Section> {
    let sections = ini::parse(source, problems);
    let find = |name: &str| sections.iter().find(|section| section.name == name);
    let version = find("version").and_then(|section| section.get("version"));
    let number = version.map_or(Some(1), |parameter| parameter.value.parse::<u32>().ok());
    if number.is_none_or(|number| number < 2) {
        let span = version.map_or(0..0, |parameter| parameter.value_span.clone());
        problems.error(
            source,
            &span,
            "the defaults are of a version that sanoid 2.3 does not read",
            "restore the file from the sanoid package, or remove it: the defaults of sanoid 2.3 are known here",
        );
    }
    let found = find(DEFAULT);
    if found.is_none() {
        problems.error(
            source,
            &(0..0),
            format!("there is no [{DEFAULT}] in the defaults"),
            "restore the file from the sanoid package, or remove it",
        );
    }
    found.cloned()
}

/// What a section is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Of the file of defaults, whose keys say what is allowed.
    Defaults,
    /// `[template_…]`.
    Template,
    /// For a dataset.
    Dataset,
}

struct File<'a> {
    source: &'a Source,
    known: &'a BTreeSet<String>,
}

impl File<'_> {
    /// The settings of a section, and what is wrong with its keys.
    fn settings(&self, section: &Section, part: &Part, role: Role, problems: &mut Problems) -> Settings {
        let mut all = Settings::default();
        for parameter in &section.parameters {
            let key = parameter.key.as_str();
            if !self.known.contains(key) {
                self.unknown(section, parameter, role, problems);
            } else if keys::STRUCTURE.contains(&key) {
                self.structure(section, parameter, role, problems);
            } else if role == Role::Defaults && (parameter.key == "process_children_only" || unset(parameter))
            {
                // An empty default is the one that we have.
            } else {
                self.set(parameter, part, &mut all, problems);
            }
        }
        self.contradictions(section, &all, problems);
        all
    }

    fn set(&self, parameter: &Parameter, part: &Part, all: &mut Settings, problems: &mut Problems) {
        match keys::settings(&parameter.key, &parameter.value) {
            Ok(settings) => {
                for (key, value) in settings {
                    all.set(key, value, part.clone(), self.source.place(parameter.key_span.start));
                }
            }
            Err(Wrong { why, fix }) => {
                let message = format!("`{}`: {why}", parameter.key);
                problems.error(self.source, &parameter.value_span, message, fix);
            }
        }
    }

    fn unknown(&self, section: &Section, parameter: &Parameter, role: Role, problems: &mut Problems) {
        let (key, span) = (shown(&parameter.key), &parameter.key_span);
        if role == Role::Defaults {
            let message = format!("the default of `{key}` is of a sanoid that is not known here");
            problems.warning(self.source, span, message, "remove it; it has no effect");
            return;
        }
        let message = format!("unknown key `{key}` in [{}]", shown(&section.name));
        problems.error(
            self.source,
            span,
            message,
            suggest(&parameter.key, self.known.iter().map(String::as_str)),
        );
    }

    /// Keys that belong to datasets, elsewhere.
    fn structure(&self, section: &Section, parameter: &Parameter, role: Role, problems: &mut Problems) {
        if role == Role::Template {
            let message = format!(
                "`{}` has no effect in [{}]: it belongs to a dataset",
                parameter.key,
                shown(&section.name)
            );
            problems.warning(
                self.source,
                &parameter.key_span,
                message,
                "move it to the sections of the datasets that it is for",
            );
        }
    }

    fn contradictions(&self, section: &Section, all: &Settings, problems: &mut Problems) {
        let span =
            |key: &str| section.get(key).map_or(section.span.clone(), |parameter| parameter.key_span.clone());
        for period in Period::ALL {
            let (warn, critical) = (all.age(Key::Warn(period)), all.age(Key::Critical(period)));
            if let (Some(warn), Some(critical)) = (warn, critical)
                && warn > critical
            {
                let key = format!("{period}_warn");
                let message =
                    format!("`{key}` is longer than `{period}_crit`, so that no warning would ever come");
                problems.warning(self.source, &span(&key), message, format!("make `{key}` the shorter one"));
            }
        }
        let (day, month) = (all.number(Key::Day(Period::Yearly)), all.number(Key::Month));
        if let (Some(day), Some(month)) = (day, month)
            && day > longest(month)
        {
            let message = format!("month {month} never has a day {day}, and sanoid ends when it meets it");
            problems.error(
                self.source,
                &span("yearly_mday"),
                message,
                format!("write a day from 1 to {}", longest(month)),
            );
        }
    }

    fn entry(&self, section: &Section, policies: &Policies, problems: &mut Problems) -> Option<Entry> {
        let settings = self.settings(section, &Part::Entry, Role::Dataset, problems);
        let name = self.name(section, problems);
        let below = self.below(section, problems);
        let templates = self.templates(section, policies, problems);
        let place = self.source.place(section.span.start);
        Some(Entry {
            select: Select::Names(vec![name?]),
            templates,
            settings,
            below,
            exclude: Patterns::default(),
            place,
        })
    }

    fn name(&self, section: &Section, problems: &mut Problems) -> Option<DatasetName> {
        let path = section.get("path");
        let (text, span): (&str, &Range<usize>) = match path {
            Some(path) => (&path.value, &path.value_span),
            None => (&section.name, &section.span),
        };
        match DatasetName::try_from(text) {
            Ok(name) => Some(name),
            Err(error) => {
                let fix = if text.starts_with('/') {
                    "write the name of the dataset as `zfs list` prints it, without a slash in front"
                } else {
                    "write the name of a dataset as `zfs list` prints it, or [template_NAME] for a template"
                };
                problems.error(
                    self.source,
                    span,
                    format!("\"{}\" is not the name of a dataset: {error}", shown(text)),
                    fix,
                );
                None
            }
        }
    }

    fn below(&self, section: &Section, problems: &mut Problems) -> Below {
        let mut flag = |key: &str| {
            let parameter = section.get(key)?;
            match keys::bool(&parameter.value) {
                Ok(value) => Some((value, parameter)),
                // Anything with these letters stands for one snapshot of the whole tree.
                Err(_) if key == "recursive" && parameter.value.to_ascii_lowercase().contains("zfs") => None,
                Err(Wrong { why, fix }) => {
                    let message = if key == "recursive" {
                        format!("`recursive` is \"{}\", which sanoid takes for no", shown(&parameter.value))
                    } else {
                        format!("`{key}`: {why}")
                    };
                    let fix = if key == "recursive" { "write yes, no or zfs".to_string() } else { fix };
                    problems.error(self.source, &parameter.value_span, message, fix);
                    Some((false, parameter))
                }
            }
        };
        let skip = flag("skip_children").filter(|(skip, _)| *skip);
        let recursive = match flag("recursive") {
            Some((true, _)) => Below::Each,
            None if section.get("recursive").is_some() => Below::Atomic,
            _ => Below::Nothing,
        };
        let Some((_, parameter)) = skip else { return recursive };
        let (message, below) = match recursive {
            Below::Atomic => ("`skip_children` has no effect beside `recursive = zfs`", Below::Atomic),
            Below::Each => ("`skip_children` takes back what `recursive` says", Below::Remove),
            _ => return Below::Remove,
        };
        problems.warning(self.source, &parameter.key_span, message, "remove one of the two");
        below
    }

    fn templates(&self, section: &Section, policies: &Policies, problems: &mut Problems) -> Vec<Arc<str>> {
        let Some(parameter) = section.get("use_template") else { return Vec::new() };
        let mut templates = Vec::new();
        for name in parameter.value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match policies.templates.get_key_value(name) {
                Some((name, _)) => templates.push(name.clone()),
                // Nothing is laid over the defaults then.
                None if name == "default" => {}
                None => {
                    let message =
                        format!("there is no [template_{}], and sanoid would go on without it", shown(name));
                    let known = policies.templates.keys().map(|name| &**name);
                    problems.error(self.source, &parameter.value_span, message, suggest(name, known));
                }
            }
        }
        templates
    }
}

/// Whether a default says nothing.
fn unset(parameter: &Parameter) -> bool {
    parameter.value.is_empty()
}
