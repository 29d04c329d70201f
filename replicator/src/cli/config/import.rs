//! `replicator config import`.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use super::Failure;
use super::Outcome;
use crate::config::Config;
use crate::config::SANOID;
use crate::config::import;
use crate::config::load::Location;
use crate::config::place::Source;

/// Write a sanoid.conf as a file of ours, with the same policy for every dataset.
///
/// What cannot be carried over as it is stands in comments. The result goes to standard output, and passes
/// `replicator config check`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The file of sanoid.
    #[arg(value_name = "FILE", default_value = SANOID)]
    file: PathBuf,

    /// Write to this file, which must not exist.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  replicator config import
  replicator config import /etc/sanoid/sanoid.conf --output /etc/replicator/replicator.toml";

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let (config, problems) = super::usable(&Location::Sanoid(arguments.file.clone()))?;
    let text = import::write(&config, &problems);
    let target = arguments.output.as_deref().unwrap_or(Path::new("replicator.toml"));
    let (_, problems) = Config::parse(&[Source::new(target, text.as_str())]);
    if problems.errors() > 0 {
        // A fault of this program, and nobody should work with the result.
        let message =
            format!("the file that was made is not good, which should not happen:\n{}", problems.render());
        return Err(Failure::new(Outcome::Failed, message));
    }
    match &arguments.output {
        None => crate::cli::print(&text)?,
        Some(path) => write(path, &text)?,
    }
    Ok(Outcome::Success)
}

/// Only a new file: an import must not cost a configuration.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        let hint = (error.kind() == std::io::ErrorKind::AlreadyExists)
            .then(|| "move it away first, or choose another name".to_string());
        Failure::new(Outcome::Failed, format!("cannot write {}: {error}", path.display())).hinted(hint)
    };
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o644).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}
