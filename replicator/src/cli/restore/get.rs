//! `replicator restore get PATH --at WHEN`.

use std::io::IsTerminal;
use std::path::PathBuf;

use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;
use serde_json::json;

use super::Failure;
use super::Outcome;
use super::candidates::Candidates;
use crate::cancel::Cancel;
use crate::cli;
use crate::cli::config::From;
use crate::cli::format;
use crate::codes::Code;
use crate::restore::copy::Copied;
use crate::restore::copy::Destination;
use crate::restore::copy::copy;
use crate::restore::when::When;

/// Copy a file or folder out of a snapshot.
///
/// The copy is put beside PATH under its name and that of the snapshot. Nothing is written over. Mode, owner, times, links,
/// holes and extended attributes (ACLs among them) are kept as far as the user may; what is not is told. Sockets, pipes and
/// devices are left out.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The file or folder, where it is or was.
    #[arg(value_name = "PATH")]
    path: PathBuf,

    /// A snapshot by its name, or a time, for which it is the newest snapshot that was there by then: `2026-11-27`,
    /// `2026-11-27 14:30`, `14:30`, `2 days ago`. Times are those of this machine's zone.
    #[arg(long, value_name = "WHEN")]
    at: String,

    /// Where to put it; into this where it is a folder.
    #[arg(long, value_name = "DEST")]
    to: Option<PathBuf>,

    /// Look for it in the snapshots here only.
    #[arg(long)]
    only_here: bool,

    /// Say what was done as JSON.
    #[arg(long)]
    json: bool,

    /// No progress.
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    from: From,
}

const EXAMPLES: &str = "\
Examples:
  replicator restore get /tank/data/report.odt --at '2 days ago'
  replicator restore get /tank/data/project --at autosnap_2026-11-27_00:00:00_daily --to /tmp
  replicator restore get /tank/data/report.odt --at 2026-11-27 --to /home/ann/old-report.odt";

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let all = Candidates::new(&arguments.path, &arguments.from, arguments.only_here, cancel)?;
    let names: Vec<_> = all.snapshots.iter().map(|one| one.name.clone()).collect();
    let zone = jiff::tz::TimeZone::system();
    let when = When::read(&arguments.at, &names, jiff::Timestamp::now(), &zone)
        .map_err(|error| Failure::new(Outcome::Usage, error.to_string()).hinted(hint(arguments)))?;
    let dated: Vec<_> = all.snapshots.iter().map(|one| (one.name.clone(), one.created)).collect();
    let chosen = when.choose(&dated).and_then(|(name, _)| all.snapshots.iter().find(|one| one.name == *name));
    let Some(chosen) = chosen else {
        let message = format!("{} has no snapshot from then", all.place.dataset);
        return Err(Failure::new(Code::NothingToRestore, message).hinted(hint(arguments)));
    };
    let folder = all.open(chosen)?;
    let found = folder.look(&all.place.relative, false, cancel)?;
    let Some(found) = found else {
        let message = format!("{} does not have {}", chosen.name, all.place.path.display());
        return Err(Failure::new(Code::NothingToRestore, message).hinted(hint(arguments)));
    };
    let destination = match &arguments.to {
        None => Destination::beside(&all.place, &format!(".{}", chosen.name.short()))?,
        Some(to) if to.is_dir() => {
            let name =
                all.place.path.file_name().map_or_else(|| chosen.name.short().into(), ToOwned::to_owned);
            Destination::named(&to.join(name))?
        }
        Some(to) => Destination::named(to)?,
    };
    let bar = bar(arguments, found.size);
    let copied = copy(&folder, &all.place.relative, &destination, &mut |bytes| bar.inc(bytes), cancel);
    bar.finish_and_clear();
    let copied = copied?;
    for text in &copied.troubles {
        cli::say(&format!("warning: {text}"));
    }
    if copied.more > 0 {
        cli::say(&format!("warning: and {} more like these", copied.more));
    }
    cli::print(&told(arguments, chosen.name.as_str(), &destination, &copied))?;
    Ok(Outcome::Success)
}

fn hint(arguments: &Arguments) -> String {
    format!("`replicator restore versions {}` shows what there is", arguments.path.display())
}

fn bar(arguments: &Arguments, size: u64) -> ProgressBar {
    if arguments.quiet || arguments.json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
    let template = "{wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} ETA {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn told(arguments: &Arguments, snapshot: &str, to: &Destination, copied: &Copied) -> String {
    let path = to.path().display().to_string();
    if arguments.json {
        let value = json!({
            "snapshot": snapshot,
            "to": path,
            "entries": copied.entries,
            "bytes": copied.bytes,
            "not_kept": copied.troubles,
            "not_kept_more": copied.more,
        });
        return format!("{value:#}\n");
    }
    let what = match copied.entries {
        1 => format::bytes(copied.bytes),
        more => format!("{more} entries, {}", format::bytes(copied.bytes)),
    };
    format!("{path}: {what} from {snapshot}\n")
}
