//! `replicator verify`.

use bytesize::ByteSize;
use jiff::Timestamp;
use serde_json::json;
use zfs_core::Zfs;

use super::Failure;
use super::Outcome;
use super::config::From;
use super::run::record;
use crate::cancel::Cancel;
use crate::config::Config;
use crate::config::job::Job;
use crate::config::job::Target;
use crate::jobs::JobError;
use crate::jobs::Network;
use crate::verify;
use crate::verify::Asked;
use crate::verify::Looked;
use crate::verify::memory::Checked;
use crate::verify::memory::Drill;
use crate::verify::memory::Verified;

/// Read copies and their sources, and compare what is in them.
///
/// Of each target some datasets are read on both sides, in the newest snapshot that both have: those first that were not
/// read for longest, as many as --bytes allow. Of a filesystem that is larger than that it is a share of its files, the
/// next one each time, so that all is read in time. Where the target is on this machine there is a restore drill as well: a
/// clone of the copy is mounted read-only, read, compared and removed.
///
/// What came of it is for `replicator monitor verified`, the metrics and the record of runs. replicator-verify.timer calls it
/// once a day. Another machine needs an agent that was started with --allow read, or GNU find and sha256sum; with these a
/// file is read there whether it belongs to the share or not.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Only the targets of this job.
    #[arg(long, value_name = "NAME")]
    job: Option<String>,

    /// Only targets of this name.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,

    /// How much is read of each target, about.
    #[arg(long, value_name = "BYTES", default_value = "10GiB", value_parser = size)]
    bytes: u64,

    /// No restore drill.
    #[arg(long)]
    no_drill: bool,

    /// Print the record of this run as JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    from: From,
}

const EXAMPLES: &str = "\
Examples:
  replicator verify
  replicator verify --target nas --bytes 100GiB
  replicator verify --job data --no-drill --json

The exit status is 3 when something differs, and 1 when something could not be read.";

fn size(text: &str) -> Result<u64, String> {
    text.parse::<ByteSize>().map(|size| size.as_u64())
}

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let (config, _) = arguments.from.usable()?;
    let started = Timestamp::now();
    let network = Network { zfs: Zfs::open()?, cancel: cancel.clone() };
    // Without it everything counts as never read.
    let mut memory = Verified::read(&config.folders.state).unwrap_or_else(|why| {
        super::say(&format!("warning: {why}"));
        Verified::default()
    });
    let wanted = wanted(arguments, &config);
    if wanted.is_empty() {
        let hint = "the configuration has the jobs in [[replication]]".to_string();
        return Err(Failure::new(Outcome::Usage, "there is no such target").hinted(hint));
    }
    let asked = Asked { bytes: arguments.bytes, drill: !arguments.no_drill };
    let (mut failures, mut json, mut lines) = (Vec::new(), Vec::new(), String::new());
    let mut found = Vec::new();
    for (job, target) in wanted {
        if cancel.is_cancelled() {
            failures.push(Outcome::Interrupted);
            break;
        }
        let title = format!("{} to {}", job.name, target.name);
        let mut tell = |what: &str| super::say(&format!("{title}: reading {what}"));
        let now = started.as_second();
        match verify::target((job, target), &network, &memory, asked, now, &mut tell, cancel) {
            Ok(looked) => {
                judge(&title, &looked, &mut failures);
                lines.push_str(&summary(&title, &looked));
                json.push(json!({ "job": job.name, "target": target.name, "datasets": looked.checked, "too_large": looked.too_large }));
                found.extend(looked.checked);
            }
            Err(error) => json.push(failed(&title, job, target, error, &mut failures)),
        }
    }
    memory.put(found, &config);
    let kept = memory.write(&config.folders.state);
    let mut phase = json!({ "targets": json, "failures": failures.len() });
    phase["summary"] = json!(lines.trim_end());
    let record = json!({
        "version": 1,
        "started": started.as_second(),
        "ended": Timestamp::now().as_second(),
        "process": std::process::id(),
        "dry_run": false,
        "status": overall(&failures) as u8,
        "phases": { "verify": phase },
    });
    let kept = kept.and_then(|()| record::write(&config.folders.state, started, &record));
    if let Err(error) = kept {
        let hint = format!("check that {} can be written", config.folders.state.display());
        let message = format!("what was found is not remembered: {error}");
        super::complain(&Failure::new(Outcome::Failed, message).hinted(hint));
        failures.push(Outcome::Failed);
    }
    if let Err(failure) = super::monitor::refresh(&config, &arguments.from.location()) {
        super::complain(&failure);
        failures.push(failure.outcome);
    }
    super::print(&if arguments.json { format!("{record:#}\n") } else { lines })?;
    Ok(overall(&failures))
}

fn wanted<'c>(arguments: &Arguments, config: &'c Config) -> Vec<(&'c Job, &'c Target)> {
    let is = |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
    let jobs = config.jobs.iter().filter(|job| is(&arguments.job, &job.name));
    let all = jobs.flat_map(|job| job.targets.iter().map(move |target| (job, target)));
    all.filter(|(_, target)| is(&arguments.target, &target.name)).collect()
}

/// Tells what is wrong with the datasets of a target.
fn judge(title: &str, looked: &Looked, failures: &mut Vec<Outcome>) {
    for one in &looked.checked {
        let place = format!("{title}: {}", one.source);
        if one.differences > 0 {
            failures.push(Outcome::Conflict);
            let message =
                format!("{place}: {} of {} compared differ from the source", one.differences, one.compared);
            let hint =
                "the source may be the bad one: `replicator compare --content` lists all; scrub both pools";
            super::complain(&Failure::new(Outcome::Conflict, message).hinted(hint.to_string()));
            for first in &one.first {
                super::say(&format!("  {first}"));
            }
        }
        if let Some(why) = &one.failed {
            failures.push(Outcome::Failed);
            super::complain(&Failure::new(Outcome::Failed, format!("{place}: not verified: {why}")));
        }
        match &one.drill {
            Some(Drill::Differs(count)) => {
                failures.push(Outcome::Conflict);
                let message = format!("{place}: the restore drill brought back {count} files that differ");
                super::complain(&Failure::new(Outcome::Conflict, message));
            }
            Some(Drill::Failed(why)) => {
                failures.push(Outcome::Failed);
                super::complain(&Failure::new(Outcome::Failed, format!("{place}: no restore drill: {why}")));
            }
            Some(Drill::Good) | None => {}
        }
    }
    for volume in &looked.too_large {
        super::say(&format!("{title}: {volume} is larger than --bytes and was not read"));
    }
}

fn summary(title: &str, looked: &Looked) -> String {
    let good = looked.checked.iter().filter(|one| one.is_good()).count();
    let compared: u64 = looked.checked.iter().map(|one| one.compared).sum();
    let drills = looked.checked.iter().filter(|one| one.drill == Some(Drill::Good)).count();
    let part = |one: &&Checked| one.share.is_some_and(|(_, of)| of.get() > 1);
    let parts = match looked.checked.iter().filter(part).count() {
        0 => String::new(),
        parts => format!(", {parts} of them in part"),
    };
    let all = looked.checked.len();
    format!(
        "{title}: {good} of {all} datasets good{parts}, {compared} files compared, {drills} restore drills\n"
    )
}

fn failed(
    title: &str,
    job: &Job,
    target: &Target,
    error: JobError,
    failures: &mut Vec<Outcome>,
) -> serde_json::Value {
    let (message, hint, away) = (error.to_string(), error.hint(), error.is_away());
    let state = if away && target.optional {
        super::say(&format!("{title}: passed over, it is away: {message}"));
        "away"
    } else {
        let outcome = Failure::from(error).outcome;
        super::complain(&Failure::new(outcome, format!("{title}: {message}")).hinted(hint));
        failures.push(outcome);
        "failed"
    };
    json!({ "job": job.name, "target": target.name, "state": state, "message": message })
}

/// What differs goes before everything but an interruption.
fn overall(failures: &[Outcome]) -> Outcome {
    let first = |wanted: Outcome| failures.contains(&wanted).then_some(wanted);
    let shared =
        || failures.iter().all(|one| Some(one) == failures.first()).then(|| failures.first().copied());
    first(Outcome::Interrupted)
        .or_else(|| first(Outcome::Conflict))
        .or_else(|| shared().flatten())
        .unwrap_or(if failures.is_empty() { Outcome::Success } else { Outcome::Failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_shows_in_the_status_whatever_else_went_wrong() {
        use Outcome::*;
        assert_eq!(overall(&[]), Success);
        assert_eq!(overall(&[Connection, Conflict, Failed]), Conflict);
        assert_eq!(overall(&[Connection, Connection]), Connection);
        assert_eq!(overall(&[Connection, Failed]), Failed);
        assert_eq!(overall(&[Conflict, Interrupted]), Interrupted);
    }
}
