//! Our own configuration: TOML, in one file or several. All of its files are read before anything is judged that needs
//! to know the others, as whether a template exists.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeTable;

use super::Config;
use super::Folders;
use super::entry::Below;
use super::entry::Entry;
use super::entry::Policies;
use super::job::Job;
use super::key::Key;
use super::notify::Notify;
use super::place::Place;
use super::place::Source;
use super::problem::Problems;
use super::problem::Severity;
use super::problem::shown;
use super::problem::suggest;
use super::settings::Part;
use super::settings::Settings;
use crate::policy::Style;

mod jobs;
mod notify;
mod pairs;
mod policies;
mod reader;
mod receives;

use policies::Unlinked;
use reader::Fields;
use reader::Reader;

/// What several files have said so far.
#[derive(Default)]
struct Collected {
    defaults: Settings,
    templates: BTreeMap<Arc<str>, (Settings, Place)>,
    entries: Vec<(usize, Unlinked)>,
    folders: Folders,
    notify: Option<Notify>,
    /// Where each thing was said that may be said once only.
    once: BTreeMap<&'static str, Place>,
}

/// Reads the files of a configuration, in order.
pub(super) fn parse(sources: &[Source]) -> (Config, Problems) {
    let mut problems = Problems::default();
    let mut broken = false;
    let trees: Vec<Spanned<DeTable<'_>>> = sources
        .iter()
        .map(|source| {
            let (tree, errors) = DeTable::parse_recoverable(source.text());
            broken |= !errors.is_empty();
            // One that is met on the way often drags others behind it on its line.
            let mut last = None;
            for error in errors {
                let line = error.span().map(|span| source.place(span.start).line);
                if line.is_none() || line != last {
                    syntax(source, &error, &mut problems);
                }
                last = line;
            }
            tree
        })
        .collect();
    let mut all = Collected::default();
    // What a file with a syntax error says may not be what it was to say.
    if !broken {
        for (number, (source, tree)) in sources.iter().zip(&trees).enumerate() {
            let reader = Reader::new(source);
            all.read(&reader, tree, number);
            problems.append(reader.into_problems());
        }
    }
    let mut policies = Policies::new(Style::Ours);
    policies.defaults.overlay(&all.defaults);
    policies.templates =
        all.templates.iter().map(|(name, (settings, _))| (name.clone(), settings.clone())).collect();
    let (mut jobs, mut pairs, mut receives) = (Vec::new(), Vec::new(), Vec::new());
    if !broken {
        for (number, unlinked) in all.entries {
            let entry = link(&sources[number], unlinked, &policies, &mut problems);
            policies.entries.push(entry);
        }
        for (source, tree) in sources.iter().zip(&trees) {
            let reader = Reader::new(source);
            let fields = top(&reader, tree);
            let list = fields.get("replication").map(|field| field.tables("[[replication]]"));
            jobs.extend(
                list.unwrap_or_default()
                    .into_iter()
                    .filter_map(|fields| jobs::job(fields, &policies.templates)),
            );
            pairs.extend(fields.get("pair").map(|field| pairs::pairs(&field)).unwrap_or_default());
            let list = fields.get("receive").map(|field| field.tables("[[receive]]"));
            receives.extend(list.unwrap_or_default().into_iter().filter_map(receives::receive));
            problems.append(reader.into_problems());
        }
        policies.roots = pairs.iter().flat_map(|pair| pair.roots.iter().cloned()).collect();
        across(&policies, &jobs, &mut problems);
        pairs::across(&pairs, &jobs, &mut problems);
        receives::across(&receives, &pairs, &mut problems);
    }
    let files: Vec<PathBuf> = sources.iter().map(|source| source.path().to_path_buf()).collect();
    let (folders, notify) = (all.folders, all.notify);
    (Config { style: Style::Ours, files, policies, jobs, pairs, receives, folders, notify }, problems)
}

fn top<'r, 't>(reader: &'r Reader<'r>, tree: &'t Spanned<DeTable<'t>>) -> Fields<'r, 't> {
    Fields::new(reader, tree.get_ref(), "the file (not in any table)", 0..0)
}

impl Collected {
    fn read(&mut self, reader: &Reader<'_>, tree: &Spanned<DeTable<'_>>, number: usize) {
        let fields = top(reader, tree);
        if let Some(fields) = fields.get("defaults").and_then(|field| field.table("[defaults]")) {
            self.once(reader, "[defaults]", &fields.span);
            self.defaults = policies::settings(&fields, &Part::Defaults);
            fields.finish();
        }
        if let Some(field) = fields.get("template") {
            policies::templates(&field, &mut self.templates);
        }
        if let Some(field) = fields.get("dataset") {
            let entries = field.tables("[[dataset]]").into_iter().filter_map(policies::entry);
            self.entries.extend(entries.map(|entry| (number, entry)));
        }
        if let Some(fields) = fields.get("notify").and_then(|field| field.table("[notify]")) {
            self.once(reader, "[notify]", &fields.span);
            self.notify = Some(notify::notify(fields));
        }
        for key in ["state_folder", "metrics_file"] {
            let Some((text, span)) = fields.text(key) else { continue };
            self.once(reader, key, &span);
            if !text.starts_with('/') || text.contains('\0') {
                let message = format!("`{key}` is \"{}\", which is not an absolute path", shown(text));
                reader.error(&span, message, "write the path from the root on");
            } else if key == "state_folder" {
                self.folders.state = PathBuf::from(text);
            } else {
                self.folders.metrics = Some(PathBuf::from(text));
            }
        }
        // Read later, when all templates are known.
        let _ = (fields.get("replication"), fields.get("pair"), fields.get("receive"));
        fields.finish();
    }

    fn once(&mut self, reader: &Reader<'_>, what: &'static str, span: &Range<usize>) {
        if let Some(first) = self.once.get(what) {
            let message = format!("{what} is in another file already, at {first}");
            reader.error(span, message, "put both together into one of the files");
            return;
        }
        self.once.insert(what, reader.place(span));
    }
}

/// Finds the templates of an entry.
fn link(source: &Source, unlinked: Unlinked, policies: &Policies, problems: &mut Problems) -> Entry {
    let mut entry = unlinked.entry;
    for (name, span) in unlinked.templates {
        if policies.templates.contains_key(&name) {
            entry.templates.push(name);
        } else {
            let message = format!("there is no template `{}`", shown(&name));
            problems.error(
                source,
                &span,
                message,
                suggest(&name, policies.templates.keys().map(|name| &**name)),
            );
        }
    }
    entry
}

/// What only shows when several entries or jobs are seen together.
fn across(policies: &Policies, jobs: &[Job], problems: &mut Problems) {
    policies.named_twice(problems);
    policies.overridden(problems);
    // Where a template is missing, that is told already.
    if problems.errors() == 0 {
        silent(policies, problems);
    }
    for (at, job) in jobs.iter().enumerate() {
        if let Some(first) = jobs[..at].iter().find(|other| other.name == job.name) {
            let message = format!("there is a job `{}` already, at {}", shown(&job.name), first.place);
            problems.at_place(
                Severity::Error,
                &job.place,
                message,
                "give one of the two another name".to_string(),
            );
        }
        for target in &job.targets {
            let same = |other: &&Job| other.targets.iter().any(|other| other.endpoint == target.endpoint);
            if let Some(first) = jobs[..at].iter().find(same) {
                let message = format!(
                    "the job `{}` (line {}) has the same target {}",
                    shown(&first.name),
                    first.place.line,
                    target.endpoint
                );
                problems.at_place(
                    Severity::Error,
                    &target.place,
                    message,
                    "give each job a target of its own".to_string(),
                );
            }
        }
    }
}

/// Where the defaults take and keep nothing, an entry must say something.
fn silent(policies: &Policies, problems: &mut Problems) {
    let says = |key: &Key| matches!(key, Key::Take(_) | Key::Keep(_) | Key::KeepFor(_) | Key::Grid);
    if policies.defaults.iter().any(|(key, _)| says(&key)) {
        return;
    }
    for entry in &policies.entries {
        let nothing = entry.settings.iter().next().is_none() && entry.below == Below::Nothing;
        if nothing && entry.templates.is_empty() {
            let message = "the entry says nothing about the datasets that it selects".to_string();
            let fix = "name a template with `use`, or write a setting such as `daily = 30`".to_string();
            problems.at_place(Severity::Error, &entry.place, message, fix);
        }
    }
}

/// An error of the TOML parser, with what to do about it.
fn syntax(source: &Source, error: &toml::de::Error, problems: &mut Problems) {
    let end = source.text().len();
    let span = error.span().unwrap_or(end..end);
    let message = error.message();
    let fix = match message {
        text if text.contains("duplicate key") => "remove one of the two".to_string(),
        text if text.contains("recursion limit") => "use fewer levels".to_string(),
        text if text.contains("string") || text.contains("quot") => "put the text in double quotes, and end them on the same line".to_string(),
        _ => "write `key = value`, with texts in double quotes; tables begin with [name], and entries of a list of tables with [[name]]".to_string(),
    };
    problems.error(source, &span, message.trim().replace('\n', "; "), fix);
}
