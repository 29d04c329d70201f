//! `replicator shadow`: what the old tools of this machine would do now, beside what our configuration would. Nothing is
//! done. What syncoid would do is what this program does under its name, and so for sanoid.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;
use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use super::Failure;
use super::Outcome;
use super::compat::syncoid;
use super::moving::imported::Carried;
use super::moving::imported::Imported;
use crate::cancel::Cancel;
use crate::clock;
use crate::codes::Code;
use crate::config::Config;
use crate::config::NATIVE;
use crate::config::SANOID;
use crate::config::job::Job;
use crate::config::load::Location;
use crate::config::place::Source;
use crate::config::resolve::Effective;
use crate::config::resolve::Resolved;
use crate::host::DatasetState;
use crate::host::Depth;
use crate::host::Inventory;
use crate::jobs;
use crate::jobs::Connect;
use crate::jobs::Network;
use crate::survey::Survey;

mod differ;
mod policies;

use differ::Difference;

/// See where replicator would differ from sanoid and syncoid on this machine, before it takes their place.
///
/// What they are called with is read from crontabs, units and scripts, as `replicator config import` does, and both sides of
/// each replication are looked at. For each dataset it is told what one of both would send, destroy, take or prune now and
/// the other would not. Nothing is changed. Run it beside the old tools for some days, best shortly before they run: the
/// less is left to do, the less can differ.
///
/// The exit status is 0 where there is no difference, and 3 where there is one.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Our configuration [default: /etc/replicator/replicator.toml; where there is none, what an import would make].
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Look for crontabs, units, scripts and sanoid.conf below this folder instead of /.
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    root: PathBuf,

    /// As JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  replicator shadow
  replicator shadow --config new.toml
  replicator shadow --json";

/// What was compared, and what came of it.
#[derive(Default)]
struct Shadow {
    /// What was looked at: a call, or the policies.
    compared: Vec<String>,
    differences: Vec<(String, Difference)>,
    /// What could not be compared.
    failed: Vec<(String, String)>,
    /// What is another way to the same end.
    notes: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let made = super::config::read_machine(&arguments.root)?;
    let config = ours(arguments, &made)?;
    let imported = parse(&made)?;
    let zfs = Zfs::open()?;
    let network = Network { zfs: zfs.clone(), cancel: cancel.clone() };
    let mut shadow = Shadow::default();
    for one in &made.report.unclear {
        shadow.failed.push((one.line.origin.to_string(), format!("cannot be followed: {}", one.why)));
    }
    shadow.failed.extend(made.report.unread.iter().map(|one| ("not read".to_string(), one.clone())));
    let survey = Survey::new(&zfs, &config)?;
    let sanoid = arguments.root.join(SANOID.trim_start_matches('/'));
    if sanoid.exists() {
        let about = "sanoid".to_string();
        let (old, _) = super::config::usable(&Location::Sanoid(sanoid))?;
        let theirs = Survey::new(&zfs, &old)?;
        for trouble in theirs.troubles.iter().chain(&survey.troubles) {
            shadow.failed.push((trouble.subject.to_string(), trouble.error.to_string()));
        }
        let found = policies::differences(&theirs, &survey, clock::now());
        shadow.differences.extend(found.into_iter().map(|one| (about.clone(), one)));
        shadow.compared.push(about);
    }
    for carried in &made.jobs {
        if cancel.is_cancelled() {
            return Ok(Outcome::Interrupted);
        }
        let about = format!("syncoid {} {}", carried.over.source, carried.over.target);
        match replication(carried, &imported, (&config, &survey.resolved), &network, &mut shadow) {
            Ok(found) => {
                shadow.differences.extend(found.into_iter().map(|one| (about.clone(), one)));
                shadow.compared.push(about);
            }
            Err(why) => shadow.failed.push((about, why)),
        }
    }
    super::print(&if arguments.json { format!("{:#}\n", shadow.to_json()) } else { shadow.text() })?;
    Ok(match (cancel.is_cancelled(), shadow.failed.is_empty(), shadow.differences.is_empty()) {
        (true, _, _) => Outcome::Interrupted,
        (false, false, _) => Outcome::Failed,
        (false, true, false) => Outcome::Conflict,
        (false, true, true) => Outcome::Success,
    })
}

/// Our configuration: the one that is named, that of this machine, or what an import makes.
fn ours(arguments: &Arguments, made: &Imported) -> Result<Config, Failure> {
    let native = arguments.root.join(NATIVE.trim_start_matches('/'));
    let file = match &arguments.config {
        Some(file) => Some(file.clone()),
        // Only a file that is surely not there makes way.
        None if matches!(native.try_exists(), Ok(false)) => None,
        None => Some(native),
    };
    match file {
        Some(file) => Ok(super::config::usable(&Location::Native(file))?.0),
        None => parse(made),
    }
}

fn parse(made: &Imported) -> Result<Config, Failure> {
    let source = Source::new(std::path::Path::new("replicator.toml"), made.text.as_str());
    let (config, problems) = Config::parse(&[source]);
    if problems.errors() > 0 {
        let message =
            format!("what an import makes is not good, which should not happen:\n{}", problems.render());
        return Err(Failure::new(Code::Defect, message));
    }
    Ok(config)
}

/// Compares one call of syncoid with the job that does its work.
fn replication(
    carried: &Carried,
    imported: &Config,
    (config, resolved): (&Config, &Resolved),
    network: &Network,
    shadow: &mut Shadow,
) -> Result<Vec<Difference>, String> {
    let over = &carried.over;
    let way = imported.jobs.iter().find(|job| job.name == carried.name);
    let way = way.ok_or("the import has no such job")?;
    let mut source = network.host(&way.link, &way.source).map_err(|error| error.to_string())?;
    let mut target =
        network.host(&way.targets[0].link, &way.targets[0].endpoint).map_err(|error| error.to_string())?;
    let depth = if over.options.is_recursive() { Depth::All } else { Depth::One };
    let (from, to) = (&over.source.dataset, &over.target.dataset);
    let sources = match source.inventory(from, depth).map_err(|error| error.to_string())? {
        Inventory::Present(tree) => tree.datasets().to_vec(),
        Inventory::Absent { .. } => return Err(format!("{from} does not exist")),
    };
    let targets: Vec<DatasetState> = match target.inventory(to, depth).map_err(|error| error.to_string())? {
        Inventory::Present(tree) => tree.datasets().to_vec(),
        Inventory::Absent { .. } => Vec::new(),
    };
    let sync = source.some_properties(from, depth, &[syncoid::SYNC.to_string()]);
    let sync: BTreeMap<DatasetName, String> = sync
        .map_err(|error| error.to_string())?
        .into_iter()
        .filter_map(|(name, all)| Some((name, all.get(syncoid::SYNC)?.value.clone())))
        .collect();
    // Each opens connections of its own.
    drop((source, target));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let machine = syncoid::Machine { host: &host, sync: &sync };
    let old = syncoid::foresee(&over.options, &machine, (from, to), &sources, &targets);
    let mut found = own_snapshots(carried, resolved, shadow);
    let same = |job: &&Job| {
        job.source == over.source && job.targets.iter().any(|target| target.endpoint == over.target)
    };
    let Some(job) = config.jobs.iter().find(same) else {
        let text = format!("no job replicates {} to it", over.source);
        found.push(Difference::new(&over.target, "no-job", text));
        return Ok(found);
    };
    let target = job.targets.iter().find(|target| target.endpoint == over.target).ok_or("no target")?;
    let plan =
        jobs::plan(job, target, network, clock::now().as_second()).map_err(|error| error.to_string())?;
    found.extend(differ::differences(&old, &plan, &targets));
    Ok(found)
}

/// syncoid may take a snapshot of its own, and then nobody else has to.
fn own_snapshots(carried: &Carried, resolved: &Resolved, shadow: &mut Shadow) -> Vec<Difference> {
    let over = &carried.over;
    if !over.options.takes_its_own() {
        return Vec::new();
    }
    let from = &over.source;
    if from.machine.is_some() {
        shadow.notes.push(format!(
            "{from}: syncoid takes a snapshot there at each run; see to it that a policy does on that machine"
        ));
        return Vec::new();
    }
    let takes = |effective: &Effective| {
        effective.policy.snapshot
            && (effective.dataset == from.dataset || effective.together.contains(&from.dataset))
    };
    let taken = resolved.datasets.values().any(takes);
    if taken {
        return Vec::new();
    }
    let text = "syncoid takes a snapshot of its own at each run; replicator has no policy that takes any";
    vec![Difference::new(&from.dataset, "no-policy", text)]
}

impl Shadow {
    fn text(&self) -> String {
        let mut text = String::new();
        for about in &self.compared {
            let found: Vec<_> = self.differences.iter().filter(|(of, _)| of == about).collect();
            if found.is_empty() {
                text.push_str(&format!("{about}: no difference\n"));
                continue;
            }
            text.push_str(&format!("{about}:\n"));
            for (_, one) in found {
                text.push_str(&format!("  {}: {}\n", one.dataset, one.text));
            }
        }
        for (about, why) in &self.failed {
            text.push_str(&format!("{about}: not compared: {why}\n"));
        }
        for note in &self.notes {
            text.push_str(&format!("note: {note}\n"));
        }
        let count = self.differences.len();
        let s = if count == 1 { "" } else { "s" };
        text.push_str(&format!("{count} difference{s}; nothing was changed\n"));
        text
    }

    fn to_json(&self) -> serde_json::Value {
        let differences = self.differences.iter().map(|(about, one)| {
            let mut value = one.to_json();
            value["of"] = json!(about);
            value
        });
        json!({
            "compared": self.compared,
            "differences": differences.collect::<Vec<_>>(),
            "not_compared": self.failed.iter().map(|(about, why)| json!({ "of": about, "why": why })).collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }
}
