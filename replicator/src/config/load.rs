//! Finds the configuration of this machine and reads its files.

use std::path::Path;
use std::path::PathBuf;

use super::Config;
use super::NATIVE;
use super::SANOID;
use super::open;
use super::open::OpenError;
use super::place::Source;
use super::problem::Problems;

/// Where sanoid keeps its defaults: beside its configuration, else where its package puts them.
const DEFAULTS: &str = "sanoid.defaults.conf";
const SHARED: &str = "/usr/share/sanoid";

/// Which configuration to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// Our own: this file, and those in `conf.d` beside it.
    Native(PathBuf),
    /// A sanoid.conf, with the defaults beside it or of its package.
    Sanoid(PathBuf),
}

impl Location {
    /// What a file is told by its name: one that ends in `.conf` is sanoid's.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        match path.extension() {
            Some(end) if end == "conf" => Self::Sanoid(path.to_path_buf()),
            _ => Self::Native(path.to_path_buf()),
        }
    }

    /// That of this machine: ours, else sanoid's where there is one and none of ours.
    #[must_use]
    pub fn of_machine() -> Self {
        Self::first(Path::new(NATIVE), Path::new(SANOID))
    }

    fn first(native: &Path, sanoid: &Path) -> Self {
        // Only a file that is surely not there makes way for the other.
        let absent = |path: &Path| matches!(path.try_exists(), Ok(false));
        if absent(native) && !absent(sanoid) {
            Self::Sanoid(sanoid.to_path_buf())
        } else {
            Self::Native(native.to_path_buf())
        }
    }
}

/// Reads a configuration. It can be used only when there are no errors among the problems.
#[must_use]
pub fn read(location: &Location) -> (Option<Config>, Problems) {
    match location {
        Location::Native(path) => native(path),
        Location::Sanoid(path) => sanoid(path),
    }
}

fn native(path: &Path) -> (Option<Config>, Problems) {
    let mut problems = Problems::default();
    let mut sources = Vec::new();
    let folder = path.parent().unwrap_or(Path::new("")).join("conf.d");
    let more = open::list(&folder).unwrap_or_else(|error| {
        failed(&error, &mut problems);
        Vec::new()
    });
    for file in std::iter::once(path.to_path_buf()).chain(more) {
        match open::read(&file) {
            Ok(text) => sources.push(Source::new(&file, text)),
            Err(error) => failed(&error, &mut problems),
        }
    }
    let (config, more) = Config::parse(&sources);
    // With a file missing, the others may seem wrong and are not.
    if problems.is_empty() {
        return (Some(config), more);
    }
    (None, problems)
}

fn sanoid(path: &Path) -> (Option<Config>, Problems) {
    let mut problems = Problems::default();
    let beside = path.parent().unwrap_or(Path::new("")).join(DEFAULTS);
    let mut defaults = None;
    for file in [beside, Path::new(SHARED).join(DEFAULTS)] {
        match open::read(&file) {
            Ok(text) => defaults = Some(Source::new(&file, text)),
            Err(OpenError::Missing(_)) => continue,
            Err(error) => failed(&error, &mut problems),
        }
        break;
    }
    let main = open::read(path).map(|text| Source::new(path, text));
    match main {
        Ok(main) if problems.is_empty() => {
            let (config, problems) = Config::parse_sanoid(&main, defaults.as_ref());
            (Some(config), problems)
        }
        Ok(_) => (None, problems),
        Err(error) => {
            failed(&error, &mut problems);
            (None, problems)
        }
    }
}

fn failed(error: &OpenError, problems: &mut Problems) {
    problems.file(error.to_string(), error.fix());
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn write(path: &Path, text: &str) {
        std::fs::write(path, text).expect("written");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("mode");
    }

    #[test]
    fn conf_d_is_read_after_the_file_and_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("replicator.toml");
        write(&file, "[[dataset]]\nname = \"tank/a\"\nuse = \"t\"\n");
        std::fs::create_dir(folder.path().join("conf.d")).expect("made");
        write(&folder.path().join("conf.d/20.toml"), "[[dataset]]\nname = \"tank/b\"\nuse = \"t\"\n");
        write(&folder.path().join("conf.d/10.toml"), "[template.t]\ndaily = 3\n");
        let (config, problems) = read(&Location::of(&file));
        assert_eq!(problems.errors(), 0, "{}", problems.render());
        let config = config.expect("read");
        let names: Vec<_> =
            config.files.iter().map(|file| file.file_name().expect("a name").to_os_string()).collect();
        assert_eq!(names, ["replicator.toml", "10.toml", "20.toml"]);
        assert_eq!(config.policies.entries.len(), 2);
        // One that cannot be trusted spoils all.
        std::fs::set_permissions(
            folder.path().join("conf.d/10.toml"),
            std::fs::Permissions::from_mode(0o666),
        )
        .expect("mode");
        let (config, problems) = read(&Location::of(&file));
        assert!(config.is_none() && problems.errors() == 1);
        assert!(problems.render().contains("chmod go-w"), "{}", problems.render());
    }

    #[test]
    fn a_missing_file_says_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["replicator.toml", "sanoid.conf"] {
            let (config, problems) = read(&Location::of(&folder.path().join(name)));
            assert!(config.is_none());
            let said = problems.render();
            assert!(said.contains(name) && said.contains("config import"), "{said}");
        }
    }

    #[test]
    fn ours_goes_before_that_of_sanoid() {
        let folder = tempfile::tempdir().expect("a folder");
        let (ours, theirs) = (folder.path().join("replicator.toml"), folder.path().join("sanoid.conf"));
        assert_eq!(Location::first(&ours, &theirs), Location::Native(ours.clone()));
        write(&theirs, "");
        assert_eq!(Location::first(&ours, &theirs), Location::Sanoid(theirs.clone()));
        write(&ours, "");
        assert_eq!(Location::first(&ours, &theirs), Location::Native(ours));
    }

    #[test]
    fn the_defaults_beside_a_sanoid_conf_are_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("sanoid.conf");
        write(&file, "[tank]\n");
        write(&folder.path().join(DEFAULTS), "[version]\nversion = 2\n[template_default]\nhourly = 7\n");
        let (config, problems) = read(&Location::of(&file));
        assert_eq!(problems.errors(), 0, "{}", problems.render());
        let resolved = config.expect("read").policies.resolve(&[]);
        let tank = resolved.datasets.values().next().expect("named");
        let hourly = tank.policy.retention.periods[crate::policy::Period::Hourly];
        assert_eq!(hourly.map(|keep| keep.count), Some(7));
    }
}
