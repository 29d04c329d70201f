//! What the old programs do and what becomes of it, beside each other: for people, and as JSON.

use serde_json::json;

use super::Call;
use super::Unclear;

/// How the two columns compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Kind {
    /// The same comes of it.
    Same,
    /// It is done in another way, on purpose.
    Other,
    /// It is not carried over; somebody has to do something.
    Lost,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Other => "other",
            Self::Lost => "lost",
        }
    }

    fn mark(self) -> char {
        match self {
            Self::Same => '=',
            Self::Other => '~',
            Self::Lost => '!',
        }
    }
}

/// One line of the comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Row {
    /// What it is about; empty: what the line before is about.
    pub(in crate::cli) what: &'static str,
    /// What the old program does.
    pub(in crate::cli) theirs: String,
    /// What this one does.
    pub(in crate::cli) ours: String,
    /// How they compare.
    pub(in crate::cli) kind: Kind,
}

impl Row {
    pub(in crate::cli) fn same(
        what: &'static str,
        theirs: impl Into<String>,
        ours: impl Into<String>,
    ) -> Self {
        Self { what, theirs: theirs.into(), ours: ours.into(), kind: Kind::Same }
    }

    pub(in crate::cli) fn other(
        what: &'static str,
        theirs: impl Into<String>,
        ours: impl Into<String>,
    ) -> Self {
        Self { what, theirs: theirs.into(), ours: ours.into(), kind: Kind::Other }
    }

    pub(in crate::cli) fn lost(
        what: &'static str,
        theirs: impl Into<String>,
        ours: impl Into<String>,
    ) -> Self {
        Self { what, theirs: theirs.into(), ours: ours.into(), kind: Kind::Lost }
    }

    /// The same, or done in another way.
    pub(in crate::cli) fn new(is_same: bool, what: &'static str, theirs: &str, ours: &str) -> Self {
        if is_same { Self::same(what, theirs, ours) } else { Self::other(what, theirs, ours) }
    }
}

/// What a call became.
#[derive(Clone, Debug)]
pub(in crate::cli) enum Became {
    /// A job of this name.
    Job {
        /// The name.
        name: String,
        /// Beside each other.
        rows: Vec<Row>,
    },
    /// What another call has become already, by the name of that job.
    Again(String),
    /// The policies, which are a part of their own.
    Policies,
    /// Nothing.
    Nothing(String),
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(in crate::cli) struct Report {
    /// Each call, and what it became.
    pub(in crate::cli) calls: Vec<(Call, Became)>,
    /// What cannot be followed.
    pub(in crate::cli) unclear: Vec<Unclear>,
    /// Files and folders that could not be read.
    pub(in crate::cli) unread: Vec<String>,
}

/// How wide a column is.
const COLUMN: usize = 46;
const WHAT: usize = 18;

impl Report {
    /// How many things somebody has to look after.
    pub(in crate::cli) fn open(&self) -> usize {
        let lost = |became: &Became| match became {
            Became::Job { rows, .. } => rows.iter().filter(|row| row.kind == Kind::Lost).count(),
            Became::Nothing(_) => 1,
            Became::Again(_) | Became::Policies => 0,
        };
        self.calls.iter().map(|(_, became)| lost(became)).sum::<usize>()
            + self.unclear.len()
            + self.unread.len()
    }

    /// For people.
    pub(in crate::cli) fn text(&self) -> String {
        let mut text = String::new();
        for (call, became) in &self.calls {
            let line = &call.line;
            let user = line.user.as_ref().map(|user| format!(" as {user}")).unwrap_or_default();
            text.push_str(&format!("{}  {}{user}\n", line.origin, line.when));
            text.push_str(&format!("    {} {}\n", call.program.word(), call.arguments.join(" ")));
            match became {
                Became::Job { name, rows } => {
                    text.push_str(&format!("  becomes the job \"{name}\"\n"));
                    text.push_str(&table(rows, call.program.word()));
                }
                Became::Again(name) => text.push_str(&format!("  is the job \"{name}\" again\n")),
                Became::Policies => {
                    text.push_str("  becomes the policies: `replicator run` takes and prunes by them\n");
                }
                Became::Nothing(why) => text.push_str(&format!("! becomes nothing: {why}\n")),
            }
            text.push('\n');
        }
        for one in &self.unclear {
            text.push_str(&format!(
                "! {}  {}\n    {}\n  cannot be followed: {}\n\n",
                one.line.origin, one.line.when, one.line.text, one.why
            ));
        }
        for one in &self.unread {
            text.push_str(&format!("! not read: {one}\n\n"));
        }
        let open = match self.open() {
            0 => "nothing is left for you to carry over".to_string(),
            1 => "1 thing is marked with !: it is not carried over".to_string(),
            many => format!("{many} things are marked with !: they are not carried over"),
        };
        text.push_str(&format!(
            "{} {} found; {open}.\n",
            self.calls.len(),
            if self.calls.len() == 1 { "call" } else { "calls" }
        ));
        text
    }

    /// For programs.
    pub(in crate::cli) fn to_json(&self) -> serde_json::Value {
        let call = |(call, became): &(Call, Became)| {
            let became = match became {
                Became::Job { name, rows } => {
                    json!({ "job": name, "rows": rows.iter().map(Row::to_json).collect::<Vec<_>>() })
                }
                Became::Again(name) => json!({ "job": name, "rows": [] }),
                Became::Policies => json!({ "policies": true }),
                Became::Nothing(why) => json!({ "nothing": why }),
            };
            json!({
                "file": call.line.origin.file.to_string_lossy(),
                "line": call.line.origin.line,
                "when": call.line.when,
                "user": call.line.user,
                "program": call.program.word(),
                "arguments": call.arguments,
                "becomes": became,
            })
        };
        let unclear = |one: &Unclear| {
            json!({
                "file": one.line.origin.file.to_string_lossy(),
                "line": one.line.origin.line,
                "when": one.line.when,
                "text": one.line.text,
                "why": one.why,
            })
        };
        json!({
            "calls": self.calls.iter().map(call).collect::<Vec<_>>(),
            "unclear": self.unclear.iter().map(unclear).collect::<Vec<_>>(),
            "unread": self.unread,
            "open": self.open(),
        })
    }
}

impl Row {
    fn to_json(&self) -> serde_json::Value {
        json!({ "about": self.what, "theirs": self.theirs, "ours": self.ours, "kind": self.kind.word() })
    }
}

fn table(rows: &[Row], program: &str) -> String {
    let mut text = format!("    {:WHAT$} {program:COLUMN$} replicator\n", "");
    for row in rows {
        let (theirs, ours) = (wrap(&row.theirs), wrap(&row.ours));
        for at in 0..theirs.len().max(ours.len()) {
            let what = if at == 0 { row.what } else { "" };
            let mark = if at == 0 { row.kind.mark() } else { ' ' };
            let left = theirs.get(at).map_or("", String::as_str);
            let right = ours.get(at).map_or("", String::as_str);
            let line = format!("  {mark} {what:WHAT$} {left:COLUMN$} {right}");
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}

fn wrap(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().filter(|last| last.is_empty() || last.len() + 1 + word.len() < COLUMN);
        match last {
            Some(last) if last.is_empty() => last.push_str(word),
            Some(last) => {
                last.push(' ');
                last.push_str(word);
            }
            None => lines.push(word.to_string()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::Line;
    use super::super::Origin;
    use super::super::Program;
    use super::*;

    fn line(text: &str) -> Line {
        let origin = Origin { file: "/etc/cron.d/x".into(), line: 3 };
        Line { origin, when: "@daily".to_string(), user: Some("root".to_string()), text: text.to_string() }
    }

    #[test]
    fn both_stand_beside_each_other_and_what_is_open_is_counted() {
        let rows = vec![
            Row::same("datasets", "--recursive", "recursive = true"),
            Row::lost(
                "",
                "--delete-target-snapshots: what the source has not is destroyed there",
                "give it a `retention`",
            ),
        ];
        let call = Call {
            line: line("syncoid -r a b"),
            program: Program::Syncoid,
            arguments: ["-r", "a", "b"].map(str::to_string).to_vec(),
        };
        let report = Report {
            calls: vec![(call, Became::Job { name: "b".to_string(), rows })],
            unclear: vec![Unclear { line: line("syncoid $A b"), why: "a variable".to_string() }],
            unread: Vec::new(),
        };
        let text = report.text();
        for part in [
            "/etc/cron.d/x:3  @daily as root\n    syncoid -r a b\n  becomes the job \"b\"\n",
            "  = datasets           --recursive                                    recursive = true\n",
            "  !                    --delete-target-snapshots: what the source     give it a `retention`\n",
            "                       has not is destroyed there\n",
            "    syncoid $A b\n  cannot be followed: a variable\n",
            "1 call found; 2 things are marked with !: they are not carried over.\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert_eq!(report.open(), 2);
        assert_eq!(report.to_json()["calls"][0]["becomes"]["rows"][1]["kind"], "lost");
        assert_eq!(report.to_json()["unclear"][0]["line"], 3);
    }
}
