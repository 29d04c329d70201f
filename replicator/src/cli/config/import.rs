//! `replicator config import`.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use zfs_core::Zfs;

use super::Failure;
use super::Outcome;
use crate::cli::moving::imported::Imported;
use crate::cli::moving::imported::imported;
use crate::cli::moving::machine;
use crate::codes::Code;
use crate::config::Config;
use crate::config::SANOID;
use crate::config::import;
use crate::config::load::Location;
use crate::config::place::Source;

/// Write what sanoid and syncoid do on this machine as a file of ours.
///
/// A sanoid.conf becomes the same policy for every dataset. Each call of syncoid in crontabs, cron.daily and the like,
/// units of systemd and the shell scripts that these call becomes a job. What cannot be carried over as it is stands in
/// comments, and --report shows both beside each other. The result goes to standard output, and passes `replicator config
/// check`. Nothing is changed: the old timers go on until you end them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The file of sanoid [default: /etc/sanoid/sanoid.conf, if there is one].
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// Write to this file, which must not exist.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Print what the old programs do and what becomes of it, beside each other, in place of the configuration.
    #[arg(long)]
    report: bool,

    /// As --report, in JSON.
    #[arg(long)]
    json: bool,

    /// Look below this folder instead of /: a copy of another machine's files.
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    root: PathBuf,

    /// Only the policies: look at no crontabs, units and scripts.
    #[arg(long)]
    no_calls: bool,
}

const EXAMPLES: &str = "\
Examples:
  replicator config import --report
  replicator config import --output /etc/replicator/replicator.toml
  replicator config import --no-calls /etc/sanoid/sanoid.conf
  replicator config import --root /mnt/old-machine --report";

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let made = read(&arguments.root, arguments.file.as_deref(), arguments.no_calls)?;
    let target = arguments.output.as_deref().unwrap_or(Path::new("replicator.toml"));
    let (_, problems) = Config::parse(&[Source::new(target, made.text.as_str())]);
    if problems.errors() > 0 {
        // A fault of this program, and nobody should work with the result.
        let message =
            format!("the file that was made is not good, which should not happen:\n{}", problems.render());
        return Err(Failure::new(Code::Defect, message));
    }
    if let Some(path) = &arguments.output {
        write(path, &made.text)?;
    }
    let shown = if arguments.json {
        format!("{:#}\n", made.report.to_json())
    } else if arguments.report || arguments.output.is_some() {
        made.report.text()
    } else {
        made.text
    };
    crate::cli::print(&shown)?;
    Ok(Outcome::Success)
}

/// What the machine whose files are below `root` does, as a configuration of ours.
pub(super) fn read(root: &Path, file: Option<&Path>, no_calls: bool) -> Result<Imported, Failure> {
    let found = if no_calls { machine::Found::default() } else { machine::look(root) };
    let usual = root.join(SANOID.trim_start_matches('/'));
    // Only a file that is surely not there is done without.
    let file = file.or_else(|| (!matches!(usual.try_exists(), Ok(false))).then_some(usual.as_path()));
    let nothing = found.calls.is_empty() && found.unclear.is_empty() && found.unread.is_empty();
    if file.is_none() && nothing {
        let message = format!("there is no {}, and nothing that calls syncoid", usual.display());
        let hint = "name the file of sanoid, or the folder with another machine's files: --root FOLDER";
        return Err(Failure::new(Code::NothingToImport, message).hinted(hint.to_string()));
    }
    let policies = match file {
        Some(file) => {
            let (config, problems) = super::usable(&Location::Sanoid(file.to_path_buf()))?;
            Some(import::write(&config, &problems))
        }
        None => None,
    };
    // Without ZFS a name with a colon is taken for another machine, as syncoid does.
    let pools = Zfs::open().ok().and_then(|zfs| zfs.pools().ok()).unwrap_or_default();
    Ok(imported(policies, found, &|name| pools.iter().any(|pool| pool.as_str() == name)))
}

/// Only a new file: an import must not cost a configuration.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        let hint = (error.kind() == std::io::ErrorKind::AlreadyExists)
            .then(|| "move it away first, or choose another name".to_string());
        Failure::new(Code::Output, format!("cannot write {}: {error}", path.display())).hinted(hint)
    };
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o644).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_the_old_tools_has_nothing_to_import() {
        let folder = tempfile::tempdir().expect("a folder");
        let failure = read(folder.path(), None, false).expect_err("nothing is there");
        assert_eq!((failure.code, failure.outcome), (Code::NothingToImport, Outcome::Failed));
        assert!(failure.message().contains("sanoid.conf"), "{}", failure.message());
        assert!(failure.hint().is_some_and(|hint| hint.contains("--root")));
    }

    #[test]
    fn a_file_that_exists_is_not_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("replicator.toml");
        write(&file, "one").expect("a new file");
        let failure = write(&file, "two").expect_err("it exists");
        assert_eq!((failure.code, failure.outcome), (Code::Output, Outcome::Failed));
        assert!(failure.hint().is_some_and(|hint| hint.contains("another name")));
        assert_eq!(std::fs::read_to_string(&file).expect("text"), "one");
    }
}
