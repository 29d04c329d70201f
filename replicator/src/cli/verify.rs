//! `replicator verify`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use zfs_core::Zfs;

use super::Failure;
use super::Outcome;
use super::config::From;
use super::format;
use super::run::record;
use crate::cancel::Cancel;
use crate::codes::Code;
use crate::config::Config;
use crate::config::job::Job;
use crate::config::job::Target;
use crate::jobs::JobError;
use crate::jobs::Network;
use crate::monitor::verified;
use crate::verify;
use crate::verify::Asked;
use crate::verify::Looked;
use crate::verify::memory::Checked;
use crate::verify::memory::Drill;
use crate::verify::memory::Ran;
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
/// file is read there whether it belongs to the share or not. Who comes in there must be root, to mount what is read.
///
/// A target that nobody is to read, as one whose keys are never loaded, has `verify = false` in the configuration.
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
    #[arg(long, value_name = "BYTES", default_value = "10GiB", value_parser = format::parsed_bytes)]
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

The exit status is 3 when something differs, and 1 when something could not be read. A volume that is larger than
--bytes is told, and told again by `replicator monitor verified`.";

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let (config, _) = arguments.from.usable()?;
    let started = Timestamp::now();
    let network = Network { zfs: Zfs::open()?, cancel: cancel.clone() };
    let state = &config.folders.state;
    // Without it everything counts as never read.
    let memory = Verified::read(state).unwrap_or_else(|why| {
        super::say(&format!("warning: {why}"));
        Verified::default()
    });
    let wanted = wanted((arguments.job.as_deref(), arguments.target.as_deref()), &config)?;
    let asked = Asked { bytes: arguments.bytes, drill: !arguments.no_drill };
    let (mut failures, mut json, mut lines) = (Vec::new(), Vec::new(), String::new());
    let mut found = Vec::new();
    for &(job, target) in &wanted {
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
                lines.push_str(&format!("{title}: {}\n", summary(&[&looked])));
                json.push(json!({
                    "job": job.name,
                    "target": target.name,
                    "datasets": looked.checked,
                    "overview": looked.overview,
                }));
                found.push(looked);
            }
            Err(error) => json.push(failed(&title, job, target, error, &mut failures)),
        }
    }
    let nothing = wanted.is_empty();
    if nothing {
        let named = arguments.job.is_some() || arguments.target.is_some();
        lines = format!("{}\n", if named { LEFT_OUT } else { NOTHING });
    }
    let ran = Ran {
        started: started.as_second(),
        ended: Timestamp::now().as_second(),
        failures: failures.len() as u64,
        summary: in_all(&found, wanted.len()),
    };
    let phase = json!({ "targets": json, "failures": ran.failures, "summary": ran.summary });
    let record = json!({
        "version": 1,
        "started": ran.started,
        "ended": ran.ended,
        "process": std::process::id(),
        "dry_run": false,
        "status": overall(&failures) as u8,
        "phases": { "verify": phase },
    });
    // Another one may have read other targets meanwhile.
    let mut memory = Verified::read(state).unwrap_or(memory);
    for looked in found {
        memory.put(looked);
    }
    memory.forget(&config);
    if !nothing {
        memory.last = Some(ran);
    }
    let written = || if nothing { Ok(()) } else { record::write(state, started, &record) };
    let kept = memory.write(state).and_then(|()| written());
    if let Err(error) = kept {
        let hint = format!("check that {} can be written", state.display());
        let message = format!("what was found is not remembered: {error}");
        super::complain(&Failure::new(Code::Local, message).hinted(hint));
        failures.push(Outcome::Failed);
    }
    if let Err(failure) = super::monitor::refresh(&config, &arguments.from.location()) {
        super::complain(&failure);
        failures.push(failure.outcome);
    }
    super::print(&if arguments.json { format!("{record:#}\n") } else { lines })?;
    Ok(overall(&failures))
}

/// What is said where there is no target to be read.
const NOTHING: &str = "nothing to verify: no target of a [[replication]] is to be verified";

/// What is said where those that were named are not to be read.
const LEFT_OUT: &str =
    "nothing to verify: each target that was named has `verify = false` in the configuration";

/// The targets that are to be read, of all or of those that were named.
fn wanted<'c>(
    (job, target): (Option<&str>, Option<&str>),
    config: &'c Config,
) -> Result<Vec<(&'c Job, &'c Target)>, Failure> {
    let is = |wanted: Option<&str>, name: &str| wanted.is_none_or(|wanted| wanted == name);
    let jobs = config.jobs.iter().filter(|one| is(job, &one.name));
    let all = jobs.flat_map(|job| job.targets.iter().map(move |target| (job, target)));
    let named: Vec<_> = all.filter(|(_, one)| is(target, &one.name)).collect();
    if named.is_empty() && (job.is_some() || target.is_some()) {
        let hint = "the configuration has the jobs in [[replication]]".to_string();
        return Err(Failure::new(Outcome::Usage, "there is no such target").hinted(hint));
    }
    Ok(named.into_iter().filter(|(_, target)| target.verify).collect())
}

/// Tells what is wrong with the datasets of a target.
fn judge(title: &str, looked: &Looked, failures: &mut Vec<Outcome>) {
    let mut closed: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for one in &looked.checked {
        if let (Some(why), Some(way_out)) = (&one.failed, &one.closed) {
            closed.entry((why.as_str(), way_out.as_str())).or_default().push(&one.source);
        }
        for (failure, first) in wrong(&format!("{title}: {}", one.source), one) {
            failures.push(failure.outcome);
            super::complain(&failure);
            for first in first {
                super::say(&format!("  {first}"));
            }
        }
    }
    // Told once for all of them: it is one thing that is to be done.
    for ((why, way_out), sources) in closed {
        let message = format!("{title}: {} cannot be read here: {why}", verified::names(&sources));
        let hint = format!("{way_out}; or set `verify = false` for the target in the configuration");
        let failure = Failure::new(Code::NotVerified, message).hinted(hint);
        failures.push(failure.outcome);
        super::complain(&failure);
    }
    for volume in &looked.overview.too_large {
        let (size, bytes) = (format::bytes(volume.bytes), format::bytes(looked.overview.bytes));
        let source = &volume.source;
        super::say(&format!("{title}: {source} was not read: it has {size}, and --bytes is {bytes}"));
    }
}

/// What is wrong with a dataset, and the first things that differ where something does. What cannot be read as things are is
/// told for all datasets together.
fn wrong<'c>(place: &str, one: &'c Checked) -> Vec<(Failure, &'c [String])> {
    let mut found: Vec<(Failure, &[String])> = Vec::new();
    if one.differences > 0 {
        let message =
            format!("{place}: {} of {} compared differ from the source", one.differences, one.compared);
        let hint =
            "the source may be the bad one: `replicator compare --content` lists all; scrub both pools";
        found.push((Failure::new(Code::CopyDiffers, message).hinted(hint.to_string()), one.first.as_slice()));
    }
    if let (Some(why), None) = (&one.failed, &one.closed) {
        let message = format!("{place}: not verified: {why}");
        found.push((Failure::new(Code::NotVerified, message), &[]));
    }
    match &one.drill {
        Some(Drill::Differs(count)) => {
            let message = format!("{place}: the restore drill brought back {count} files that differ");
            let hint = "do not rely on this copy; `replicator compare --content` lists all that differs";
            found.push((Failure::new(Code::DrillDiffers, message).hinted(hint.to_string()), &[]));
        }
        Some(Drill::Failed(why)) => {
            found.push((Failure::new(Code::NoDrill, format!("{place}: no restore drill: {why}")), &[]));
        }
        Some(Drill::Good) | None => {}
    }
    found
}

/// What some targets came to.
fn summary(all: &[&Looked]) -> String {
    let checked = || all.iter().flat_map(|looked| &looked.checked);
    let good = checked().filter(|one| one.is_good()).count();
    let compared: u64 = checked().map(|one| one.compared).sum();
    let drills = match checked().filter(|one| one.drill == Some(Drill::Good)).count() {
        0 => String::new(),
        1 => ", 1 restore drill".to_string(),
        drills => format!(", {drills} restore drills"),
    };
    let part = |one: &&Checked| one.share.is_some_and(|(_, of)| of.get() > 1);
    let parts = match checked().filter(part).count() {
        0 => String::new(),
        parts => format!(", {parts} of them in part"),
    };
    let large = match all.iter().map(|looked| looked.overview.too_large.len()).sum::<usize>() {
        0 => String::new(),
        1 => ", 1 volume too large".to_string(),
        large => format!(", {large} volumes too large"),
    };
    let count = checked().count();
    format!("{good} of {count} datasets good{parts}, {compared} files compared{drills}{large}")
}

/// What a run came to, on one line.
fn in_all(found: &[Looked], wanted: usize) -> String {
    if wanted == 0 {
        return NOTHING.to_string();
    }
    let text = summary(&found.iter().collect::<Vec<_>>());
    match wanted.saturating_sub(found.len()) {
        0 => text,
        1 => format!("{text}, 1 target not looked at"),
        more => format!("{text}, {more} targets not looked at"),
    }
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
        super::complain(&Failure::new(outcome, format!("{title}: {message}")).hinted(hint.clone()));
        failures.push(outcome);
        "failed"
    };
    json!({ "job": job.name, "target": target.name, "state": state, "message": message, "hint": hint })
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

    #[test]
    fn each_thing_that_is_wrong_has_a_code_of_its_own() {
        let codes = |more: serde_json::Value| {
            let mut all = json!({
                "job": "j", "to": "back/a", "source": "tank/a", "target": "back/a", "at": 1,
                "compared": 3, "differences": 0, "first": [],
            });
            if let (Some(all), Some(more)) = (all.as_object_mut(), more.as_object()) {
                all.extend(more.clone());
            }
            let one: Checked = serde_json::from_value(all).expect("what is remembered of a dataset");
            let found = wrong("j to t: tank/a", &one);
            found.into_iter().map(|(failure, _)| (failure.code, failure.outcome)).collect::<Vec<_>>()
        };
        use Outcome::Conflict;
        use Outcome::Failed;
        assert!(codes(json!({ "drill": "good" })).is_empty());
        assert_eq!(
            codes(json!({ "differences": 1, "first": ["7: content"], "drill": { "differs": 2 } })),
            [(Code::CopyDiffers, Conflict), (Code::DrillDiffers, Conflict)]
        );
        assert_eq!(
            codes(json!({ "failed": "no key", "drill": { "failed": "no root" } })),
            [(Code::NotVerified, Failed), (Code::NoDrill, Failed)]
        );
    }

    fn config(text: &str) -> Config {
        let source = crate::config::place::Source::new(std::path::Path::new("/etc/x.toml"), text);
        let (config, problems) = Config::parse(&[source]);
        assert_eq!(problems.errors(), 0, "{}", problems.render());
        config
    }

    const TWO: &str = "[[replication]]\nname = 'data'\nsource = 'tank/data'\n\
        [[replication.target]]\nname = 'nas'\nto = 'nas:back/data'\n\
        [[replication.target]]\nname = 'usb'\nto = 'usb/data'\nverify = false\n";

    #[test]
    fn targets_that_nobody_is_to_read_are_left_out_and_others_have_to_exist() {
        let config = config(TWO);
        let names = |job: Option<&str>, target: Option<&str>| match wanted((job, target), &config) {
            Ok(all) => Ok(all.iter().map(|(_, target)| target.name.clone()).collect::<Vec<_>>()),
            Err(failure) => Err(failure.outcome),
        };
        assert_eq!(names(None, None), Ok(vec!["nas".to_string()]));
        assert_eq!(names(Some("data"), Some("usb")), Ok(Vec::new()));
        assert_eq!(names(None, Some("none")), Err(Outcome::Usage));
        assert_eq!(names(Some("none"), None), Err(Outcome::Usage));
    }

    #[test]
    fn with_nothing_to_verify_that_is_said_and_nothing_failed() {
        let none = config("[[dataset]]\nname = 'tank'\ndaily = 1\n");
        let all = wanted((None, None), &none).map_err(|failure| failure.outcome).expect("nothing named");
        assert_eq!(all.len(), 0);
        assert_eq!((in_all(&[], 0).as_str(), overall(&[])), (NOTHING, Outcome::Success));
    }

    fn checked(more: &serde_json::Value) -> Checked {
        let mut all = json!({
            "job": "data", "to": "nas:back/data", "source": "tank/data", "target": "back/data", "at": 5,
            "compared": 7, "differences": 0, "first": [],
        });
        if let (Some(all), Some(more)) = (all.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        serde_json::from_value(all).expect("what is remembered of a dataset")
    }

    #[test]
    fn a_run_is_summed_up_on_one_line() {
        let good = checked(&json!({ "share": [1, 4], "drill": "good" }));
        let bad = checked(&json!({ "share": [1, 4], "differences": 1 }));
        let mut looked = Looked { checked: vec![good, bad], ..Looked::default() };
        let large = json!([{ "source": "tank/vm", "bytes": 1_u64 << 40 }]);
        looked.overview.too_large = serde_json::from_value(large).expect("a volume");
        let text = in_all(&[looked.clone(), looked], 3);
        assert_eq!(
            text,
            "2 of 4 datasets good, 4 of them in part, 28 files compared, 2 restore drills, 2 volumes too large, \
             1 target not looked at"
        );
    }

    #[test]
    fn what_cannot_be_read_as_things_are_counts_once() {
        let closed = |source: &str| {
            checked(&json!({ "source": source, "failed": "no key", "closed": "load it there" }))
        };
        let looked = Looked { checked: vec![closed("a"), closed("b")], ..Looked::default() };
        let mut failures = Vec::new();
        judge("data to nas", &looked, &mut failures);
        assert_eq!(failures, [Outcome::Failed]);
    }
}
