//! `replicator restore versions PATH`.

use std::path::PathBuf;

use serde_json::json;

use super::Failure;
use super::Outcome;
use super::candidates::Candidates;
use super::candidates::notes;
use crate::cancel::Cancel;
use crate::cli;
use crate::cli::config::From;
use crate::cli::format;
use crate::restore::RestoreError;
use crate::restore::versions;
use crate::restore::versions::Look;
use crate::restore::versions::Version;

/// List every distinct version of a file or folder in the snapshots, newest first.
///
/// PATH need not exist any more. Versions are told apart by kind, size and time, those of a folder by everything in it; with
/// --content by what is in the files, too. Targets of the configuration are asked which of these snapshots they have; those
/// on this machine are looked into as well, which needs root. Other machines mount nothing for this.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The file or folder, where it is or was.
    #[arg(value_name = "PATH")]
    path: PathBuf,

    /// Read the files of each snapshot, and tell versions apart by what is in them.
    #[arg(long)]
    content: bool,

    /// Ask no targets.
    #[arg(long)]
    only_here: bool,

    /// As JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    from: From,
}

const EXAMPLES: &str = "\
Examples:
  replicator restore versions /tank/data/report.odt
  replicator restore versions /tank/data/project --content --only-here
  replicator restore versions /tank/data/report.odt --json";

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let all = Candidates::new(&arguments.path, &arguments.from, arguments.only_here, cancel)?;
    let mut seen = Vec::new();
    for of in &all.snapshots {
        let looked =
            all.open(of).and_then(|folder| folder.look(&all.place.relative, arguments.content, cancel));
        let look = match looked {
            Ok(Some(found)) => Look::Found(found),
            Ok(None) => Look::Missing,
            Err(RestoreError::Cancelled) => return Err(RestoreError::Cancelled.into()),
            Err(error) => Look::Unknown(error.to_string()),
        };
        seen.push((of.clone(), look));
    }
    let unknown: Vec<_> = seen
        .iter()
        .filter_map(|(of, look)| match look {
            Look::Unknown(why) => Some((of.name.to_string(), why.clone())),
            _ => None,
        })
        .collect();
    let count = seen.len();
    let versions = versions::versions(seen);
    let text = if arguments.json {
        let list: Vec<_> = versions.iter().map(|one| one.to_json(&all.there)).collect();
        let targets: Vec<_> = all
            .there
            .iter()
            .map(|one| json!({ "target": one.target, "snapshots": one.guids.len(), "not_looked_into": one.beyond, "why": one.why }))
            .collect();
        let unknown: Vec<_> =
            unknown.iter().map(|(name, why)| json!({ "snapshot": name, "why": why })).collect();
        let value = json!({
            "path": all.place.path.display().to_string(),
            "dataset": all.place.dataset.as_str(),
            "versions": list,
            "targets": targets,
            "unknown": unknown,
        });
        format!("{value:#}\n")
    } else {
        describe(&all, &versions, count)
    };
    cli::print(&text)?;
    if !arguments.json {
        for (name, why) in &unknown {
            cli::say(&format!("warning: {name}: {why}"));
        }
    }
    // What could not be looked into may have more of them.
    Ok(if unknown.is_empty() { Outcome::Success } else { Outcome::Failed })
}

fn describe(all: &Candidates, versions: &[Version], count: usize) -> String {
    let (path, dataset) = (all.place.path.display(), &all.place.dataset);
    let s = |count: usize| if count == 1 { "" } else { "s" };
    let mut text = format!(
        "{path}: {} version{} in {count} snapshot{} of {dataset}\n",
        versions.len(),
        s(versions.len()),
        s(count)
    );
    if !versions.is_empty() {
        let rows = versions.iter().map(|version| {
            let found = &version.found;
            let size = match found.kind {
                b'd' => format!("{} ({} entries)", format::bytes(found.size), found.entries),
                b'l' => "link".to_string(),
                _ => format::bytes(found.size),
            };
            let targets: Vec<_> = version.targets(&all.there).collect();
            let time = |seconds: i64| format::time(u64::try_from(seconds).unwrap_or(0));
            vec![time(found.modified.0), size, snapshots(version, time), targets.join(", ")]
        });
        text.push_str(&format::table(&["MODIFIED", "SIZE", "SNAPSHOTS", "ALSO AT"], rows));
    }
    text.push_str(&notes(&all.there));
    text
}

fn snapshots(version: &Version, time: impl Fn(i64) -> String) -> String {
    let Some(newest) = version.snapshots.first() else { return String::new() };
    let at = newest.at.as_ref().map(|at| format!("{at}: ")).unwrap_or_default();
    let more = match version.snapshots.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} older"),
    };
    format!("{at}@{} ({}){more}", newest.name.short(), time(newest.created))
}
