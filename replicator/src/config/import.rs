//! Writes a sanoid.conf as one of our own files, which gives every dataset the same policy. What could not be carried
//! over as it was stands in comments at the place where it was.

use std::fmt::Write;

use super::Config;
use super::entry::Below;
use super::entry::Entry;
use super::entry::Select;
use super::key::Key;
use super::problem::Problem;
use super::problem::Problems;
use super::settings::Settings;
use super::value::quoted;
use crate::policy::Style;

/// The longest line of a comment.
const WIDTH: usize = 110;

/// The text of our own file. The problems are the warnings that came with the configuration, which must have had no
/// errors.
#[must_use]
pub fn write(config: &Config, problems: &Problems) -> String {
    let mut writer = Writer { text: String::new(), notes: problems.iter().collect() };
    let from: Vec<_> = config.files.iter().map(|file| file.display().to_string()).collect();
    writer.comment(&format!("Made by `replicator config import` out of {}.", from.join(" and ")));
    writer.comment(
        "Its policies are the same. What differs: names of snapshots count as taken by a policy only if they are \
         exactly prefix, time and period, while sanoid counts whatever begins with autosnap and ends in ly.",
    );
    writer.line("");
    writer.defaults(&config.policies.defaults);
    for (name, settings) in &config.policies.templates {
        // Those of the defaults are among the defaults, and a template as well where an entry names it.
        if &**name == "default" && !config.policies.entries.iter().any(|entry| entry.templates.contains(name))
        {
            continue;
        }
        writer.line(&format!("[template.{}]", key(name)));
        writer.notes_of(settings);
        writer.settings(settings);
    }
    for entry in &config.policies.entries {
        writer.entry(entry);
    }
    writer.rest();
    writer.text
}

struct Writer<'a> {
    text: String,
    /// Warnings that are not written yet.
    notes: Vec<&'a Problem>,
}

impl Writer<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A comment, on as many lines as it takes.
    fn comment(&mut self, text: &str) {
        let mut line = String::from("#");
        for word in text.split_whitespace() {
            if line.len() + word.len() > WIDTH && line.len() > 1 {
                let full = std::mem::replace(&mut line, String::from("#"));
                self.line(&full);
            }
            line.push(' ');
            line.push_str(word);
        }
        self.line(&line);
    }

    /// The warnings about the lines that these settings come from.
    fn notes_of(&mut self, settings: &Settings) {
        let lines: Vec<_> = settings.iter().filter_map(|(_, given)| given.origin.place.clone()).collect();
        let about = |problem: &Problem| {
            problem.place.as_ref().is_some_and(|place| {
                lines.iter().any(|line| line.file == place.file && line.line == place.line)
            })
        };
        self.notes(about);
    }

    fn notes(&mut self, about: impl Fn(&Problem) -> bool) {
        let (now, later): (Vec<_>, Vec<_>) = self.notes.iter().partition(|problem| about(problem));
        self.notes = later;
        for problem in now {
            self.note(problem);
        }
    }

    fn note(&mut self, problem: &Problem) {
        let place = problem.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
        self.comment(&format!("NOTE {place}{}. {}.", problem.message, problem.fix));
    }

    /// What is left over, at the end.
    fn rest(&mut self) {
        for problem in std::mem::take(&mut self.notes) {
            self.note(problem);
        }
    }

    fn defaults(&mut self, settings: &Settings) {
        let ours = Settings::builtin(Style::Ours);
        let mut differing = Settings::default();
        for (key, given) in settings.iter() {
            if ours.get(key).is_none_or(|default| default.value != given.value) {
                differing.put(key, given.clone());
            }
        }
        // Which zone that is depends on where a process runs.
        for key in [Key::Timezone, Key::NameTimezone] {
            differing.remove(key);
        }
        self.line("[defaults]");
        self.comment(
            "The clock of sanoid is that of its process: the zone of the machine, or UTC where a timer sets TZ=UTC, as \
             Debian's does. Write \"UTC\" for both if sanoid ran so.",
        );
        self.line("timezone = \"system\"");
        self.line("name_timezone = \"system\"");
        self.notes_of(&differing);
        self.settings(&differing);
    }

    fn entry(&mut self, entry: &Entry) {
        let Select::Names(names) = &entry.select else { return };
        self.notes(|problem| {
            problem
                .place
                .as_ref()
                .is_some_and(|place| place.file == entry.place.file && place.line == entry.place.line)
        });
        self.line("[[dataset]]");
        for name in names {
            self.line(&format!("name = {}", quoted(name.as_str())));
        }
        if !entry.templates.is_empty() {
            let templates: Vec<_> = entry.templates.iter().map(|name| quoted(name)).collect();
            self.line(&format!("use = [{}]", templates.join(", ")));
        }
        match entry.below {
            Below::Nothing => {}
            Below::Each => self.line("recursive = true"),
            Below::Atomic => self.line("recursive = \"atomic\""),
            Below::Remove => self.line("skip_children = true"),
        }
        self.notes_of(&entry.settings);
        self.settings(&entry.settings);
    }

    /// The settings of a table, the inner tables as one line each.
    fn settings(&mut self, settings: &Settings) {
        let mut tables: Vec<(&'static str, Vec<String>)> = Vec::new();
        for key in Key::all() {
            let Some(given) = settings.get(key) else { continue };
            let pair = format!("{} = {}", key.word(), given.value);
            match key.table() {
                None => self.line(&pair),
                Some(table) => match tables.iter_mut().find(|(name, _)| *name == table) {
                    Some((_, pairs)) => pairs.push(pair),
                    None => tables.push((table, vec![pair])),
                },
            }
        }
        for (table, pairs) in tables {
            let _ = writeln!(self.text, "{table} = {{ {} }}", pairs.join(", "));
        }
        self.text.push('\n');
    }
}

/// A key, in quotes where it needs them.
fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(bare) { name.to_string() } else { quoted(name) }
}
