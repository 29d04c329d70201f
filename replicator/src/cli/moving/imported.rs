//! The configuration that takes the place of what was found: the policies of a sanoid.conf, and a job for each different
//! call of syncoid.

use std::collections::BTreeSet;

use super::Program;
use super::machine::Found;
use super::report::Became;
use super::report::Kind;
use super::report::Report;
use crate::cli::compat::syncoid::CarriedOver;
use crate::cli::compat::syncoid::carry_over;
use crate::endpoint::Endpoint;

/// A call of syncoid that became a job.
#[derive(Debug)]
pub(in crate::cli) struct Carried {
    /// The name of the job.
    pub(in crate::cli) name: String,
    /// What it comes to.
    pub(in crate::cli) over: CarriedOver,
}

/// What was made.
#[derive(Debug)]
pub(in crate::cli) struct Imported {
    /// The configuration, in TOML.
    pub(in crate::cli) text: String,
    /// The jobs in it.
    pub(in crate::cli) jobs: Vec<Carried>,
    /// What became of what.
    pub(in crate::cli) report: Report,
}

/// Makes a configuration of what was found. `policies` is the text for a sanoid.conf, where there is one; `is_pool` says
/// whether this machine has a pool of a name.
pub(in crate::cli) fn imported(
    policies: Option<String>,
    found: Found,
    is_pool: &dyn Fn(&str) -> bool,
) -> Imported {
    let has_policies = policies.is_some();
    let mut text = policies.unwrap_or_else(|| "# Made by `replicator config import`.\n\n".to_string());
    let mut report = Report { calls: Vec::new(), unclear: found.unclear, unread: found.unread };
    let mut jobs: Vec<Carried> = Vec::new();
    let mut names = BTreeSet::new();
    for call in found.calls {
        if call.program == Program::Sanoid {
            let became = match has_policies {
                true => Became::Policies,
                false => Became::Nothing("there is no sanoid.conf".to_string()),
            };
            report.calls.push((call, became));
            continue;
        }
        let over = match carry_over(&call.arguments, is_pool) {
            Ok(over) => over,
            Err(why) => {
                text.push_str(&comment(&format!("NOTE {}: no job: {why}", call.line.origin)));
                text.push('\n');
                report.calls.push((call, Became::Nothing(why)));
                continue;
            }
        };
        if let Some(same) = jobs.iter().find(|job| job.over.toml("") == over.toml("")) {
            report.calls.push((call, Became::Again(same.name.clone())));
            continue;
        }
        let name = unique(&over, &mut names);
        text.push_str(&comment(&format!("{}, {}", call.line.origin, call.line.when)));
        text.push_str(&comment(&format!("syncoid {}", call.arguments.join(" "))));
        for row in over.rows.iter().filter(|row| row.kind != Kind::Same) {
            let lost = if row.kind == Kind::Lost { "NOTE " } else { "" };
            text.push_str(&comment(&format!("{lost}syncoid: {}. Here: {}.", row.theirs, row.ours)));
        }
        text.push_str(&over.toml(&name));
        text.push('\n');
        report.calls.push((call, Became::Job { name: name.clone(), rows: over.rows.clone() }));
        jobs.push(Carried { name, over });
    }
    for one in &report.unclear {
        let (line, why) = (&one.line, &one.why);
        text.push_str(&comment(&format!("NOTE {}: not followed ({why}): {}", line.origin, line.text)));
    }
    Imported { text, jobs, report }
}

/// A comment, whatever is in the text.
fn comment(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("# {text}\n")
}

/// A name that tells the job from others.
fn unique(over: &CarriedOver, names: &mut BTreeSet<String>) -> String {
    let machine = |end: &Endpoint| end.machine.as_ref().map(|machine| machine.host.clone());
    let plain = over.source.dataset.as_str().replace('/', "-");
    let mut name = match (machine(&over.source), machine(&over.target)) {
        (_, Some(host)) => format!("{plain} to {host}"),
        (Some(host), None) => format!("{plain} from {host}"),
        (None, None) => format!("{plain} to {}", over.target.dataset.pool()),
    };
    // The length that a configuration allows, with room for a number.
    name = name.chars().take(90).collect();
    let mut count = 1;
    let mut tried = name.clone();
    while !names.insert(tried.clone()) {
        count += 1;
        tried = format!("{name} ({count})");
    }
    tried
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Call;
    use super::super::Line;
    use super::super::Origin;
    use super::super::Unclear;
    use super::*;
    use crate::config::Config;
    use crate::config::place::Source;

    fn call(at: usize, program: Program, words: &str) -> Call {
        let origin = Origin { file: "/etc/cron.d/x".into(), line: at };
        let line = Line { origin, when: "@daily".to_string(), user: None, text: words.to_string() };
        Call { line, program, arguments: words.split(' ').map(str::to_string).collect() }
    }

    #[test]
    fn each_different_call_becomes_a_job_of_its_own_in_a_file_that_can_be_read() {
        let mut found = Found::default();
        for (at, words) in [
            "-r --no-sync-snap root@master:zpool1/data-nfs-share zpool1/data-nfs-share",
            "-r --no-sync-snap root@master:zpool2/photos zpool2/photos",
            "-r --no-sync-snap root@master:zpool2/photos zpool2/photos",
            "tank/a backup/a",
            "tank/a backup/b",
            "--force-delete --include-snaps=\\d+ tank/a root@nas:backup/a",
            "nothing",
        ]
        .iter()
        .enumerate()
        {
            found.calls.push(call(at + 1, Program::Syncoid, words));
        }
        found.calls.push(call(9, Program::Sanoid, "--cron"));
        let line = call(10, Program::Syncoid, "syncoid $A\u{7}\n[[replication]]").line;
        found.unclear.push(Unclear { line, why: "a variable".to_string() });
        let made = imported(None, found, &|_| false);
        let source = Source::new(Path::new("replicator.toml"), made.text.as_str());
        let (config, problems) = Config::parse(&[source]);
        assert_eq!(problems.errors(), 0, "{}\n{}", made.text, problems.render());
        let names: Vec<_> = config.jobs.iter().map(|job| job.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "zpool1-data-nfs-share from master",
                "zpool2-photos from master",
                "tank-a to backup",
                "tank-a to backup (2)",
                "tank-a to nas"
            ]
        );
        assert_eq!(made.jobs.len(), 5);
        let became: Vec<_> = made
            .report
            .calls
            .iter()
            .map(|(_, became)| match became {
                Became::Job { name, .. } => name.as_str(),
                Became::Again(_) => "again",
                Became::Policies => "policies",
                Became::Nothing(_) => "nothing",
            })
            .collect();
        assert_eq!(became[2], "again");
        assert_eq!(became[6..], ["nothing", "nothing"]);
        // The pattern that cannot be carried over, the two calls that became nothing, and the line with a variable.
        assert_eq!(made.report.open(), 4);
        assert!(
            made.text.contains(
                "# NOTE /etc/cron.d/x:10: not followed (a variable): syncoid $A  [[replication]]\n"
            )
        );
    }
}
