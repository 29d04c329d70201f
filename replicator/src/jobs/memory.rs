//! What was seen of the targets of jobs when they could be asked last: for each dataset the newest snapshot that both
//! sides had. It is kept in one file of the state folder, written as a whole. Without it, or where it cannot be read,
//! nothing is known, which keeps more and never less.

use std::collections::BTreeSet;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use serde::Deserialize;
use serde::Serialize;
use zfs_core::name::DatasetName;

use crate::config::Config;
use crate::config::open;
use crate::config::open::OpenError;
use crate::lock::PolicyLock;

/// The name of the file.
pub const FILE: &str = "bases.json";

/// The version of what is written today.
const VERSION: u32 = 1;

/// The longest file that is read: a million datasets take less.
const LONGEST: u64 = 512 << 20;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    version: u32,
    /// By job and target, in no order that means anything.
    pub targets: Vec<TargetMemory>,
}

/// What was seen of one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetMemory {
    /// The name of the job.
    pub job: String,
    /// Where it goes, as endpoints are written.
    pub to: String,
    /// The GUID of the target's pool, by which the names of bookmarks are made.
    pub pool: Option<u64>,
    /// When it was asked, in seconds since 1970.
    pub seen: i64,
    /// What each dataset has in common with its copy.
    pub datasets: Vec<BaseMemory>,
    /// What was seen is not all: what is remembered of other datasets goes on to hold.
    #[serde(skip)]
    pub partial: bool,
}

/// The newest snapshot that a dataset and its copy have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseMemory {
    /// The dataset of the source.
    pub source: String,
    /// The dataset of the target.
    pub target: String,
    /// The GUID of the snapshot; `None` when they had nothing in common.
    pub base: Option<u64>,
}

impl Memory {
    /// Reads the file; nothing where there is none.
    ///
    /// # Errors
    /// With a text that names the file, when it cannot be read or understood.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let path = folder.join(FILE);
        let failed = |why: String| format!("{} cannot be used: {why}", path.display());
        // What may be destroyed depends on it: one that others could have written is not believed.
        let file = match open::file(&path) {
            Err(OpenError::Missing(_)) => return Ok(Self::default()),
            Err(error) => return Err(failed(format!("{error} ({})", error.fix()))),
            Ok(file) => file,
        };
        let mut text = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut text).map_err(|error| failed(error.to_string()))?;
        if text.len() as u64 > LONGEST {
            return Err(failed("it is too long".to_string()));
        }
        let memory: Self = serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?;
        if memory.version != VERSION {
            return Err(failed(format!("it has version {}", memory.version)));
        }
        Ok(memory)
    }

    /// Writes the file. What is of no job of the configuration any more goes.
    ///
    /// # Errors
    /// When it cannot be written; the old one stays then.
    pub fn write(&mut self, folder: &Path, config: &Config) -> std::io::Result<()> {
        let configured = |one: &TargetMemory| {
            config.jobs.iter().any(|job| {
                job.name == one.job && job.targets.iter().any(|target| target.endpoint.to_string() == one.to)
            })
        };
        self.targets.retain(configured);
        self.version = VERSION;
        write_atomically(folder, FILE, &serde_json::to_vec(self)?)
    }

    /// Puts what was seen into the file, beside what others have put there meanwhile.
    ///
    /// # Errors
    /// With a text, when that could not be done; the old file stays then, unless it could not be understood.
    pub fn remember(folder: &Path, config: &Config, seen: Vec<TargetMemory>) -> Result<(), String> {
        if seen.is_empty() {
            return Ok(());
        }
        let _lock = PolicyLock::of_memory().map_err(|error| error.to_string())?;
        // One that cannot be understood is of no use to anybody.
        let mut memory = Self::read(folder).unwrap_or_default();
        for one in seen {
            memory.put(one);
        }
        let failed = |error| format!("cannot write {}: {error}", folder.join(FILE).display());
        memory.write(folder, config).map_err(failed)
    }

    /// What was seen of a target.
    #[must_use]
    pub fn of(&self, job: &str, to: &str) -> Option<&TargetMemory> {
        self.targets.iter().find(|one| one.job == job && one.to == to)
    }

    /// Puts what is seen now in the place of what was.
    pub fn put(&mut self, mut seen: TargetMemory) {
        if let Some(at) = self.targets.iter().position(|one| one.job == seen.job && one.to == seen.to) {
            let old = &self.targets[at];
            seen.pool = seen.pool.or(old.pool);
            if seen.partial {
                let named: BTreeSet<&str> = seen.datasets.iter().map(|one| one.source.as_str()).collect();
                let others = old.datasets.iter().filter(|one| !named.contains(one.source.as_str()));
                let others: Vec<_> = others.cloned().collect();
                seen.datasets.extend(others);
                seen.partial = false;
            }
            self.targets[at] = seen;
        } else {
            self.targets.push(seen);
        }
    }
}

impl TargetMemory {
    /// What a dataset of the source had in common with its copy.
    #[must_use]
    pub fn of_source(&self, dataset: &DatasetName) -> Option<&BaseMemory> {
        self.datasets.iter().find(|one| one.source == dataset.as_str())
    }

    /// What a dataset of the target had in common with what it is a copy of.
    #[must_use]
    pub fn of_target(&self, dataset: &DatasetName) -> Option<&BaseMemory> {
        self.datasets.iter().find(|one| one.target == dataset.as_str())
    }
}

/// Reads a file of the state folder, as [`write_atomically`] left it; nothing where there is none. One that is longer than so
/// many bytes, or of another version, is not taken.
///
/// # Errors
/// With a text that names the file, when it cannot be read or understood.
pub fn read_versioned<T: serde::de::DeserializeOwned + Default>(
    folder: &Path,
    name: &str,
    longest: u64,
    (expected, version): (u32, fn(&T) -> u32),
) -> Result<T, String> {
    let path = folder.join(name);
    let failed = |why: String| format!("{} cannot be used: {why}", path.display());
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(T::default()),
        Err(error) => return Err(failed(error.to_string())),
        Ok(found) if found.len() > longest => return Err(failed("it is too long".to_string())),
        Ok(_) => {}
    }
    let text = std::fs::read(&path).map_err(|error| failed(error.to_string()))?;
    let all: T = serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?;
    match version(&all) {
        found if found == expected => Ok(all),
        found => Err(failed(format!("it has version {found}"))),
    }
}

/// Writes a file of the state folder so that it is there as a whole or not at all, whatever happens. The folder is made,
/// for its owner alone, where there is none.
///
/// # Errors
/// When it cannot be written.
pub fn write_atomically(folder: &Path, name: &str, content: &[u8]) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(folder.join(name)).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(job: &str, base: u64) -> TargetMemory {
        TargetMemory {
            job: job.to_string(),
            to: "nas:back/a".to_string(),
            pool: Some(u64::MAX),
            seen: 7,
            datasets: vec![BaseMemory {
                source: "tank/a".to_string(),
                target: "back/a".to_string(),
                base: Some(base),
            }],
            partial: false,
        }
    }

    fn config() -> Config {
        let text = "[[replication]]\nname = \"a\"\nsource = \"tank/a\"\n[[replication.target]]\nto = \"nas:back/a\"\n";
        let source = crate::config::place::Source::new(Path::new("x.toml"), text.to_string());
        let (config, problems) = Config::parse(&[source]);
        assert_eq!(problems.errors(), 0, "{}", problems.render());
        config
    }

    #[test]
    fn it_reads_back_and_forgets_what_is_not_configured() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("deep/er");
        assert_eq!(Memory::read(&state).expect("nothing is nothing"), Memory::default());
        let mut memory = Memory::default();
        memory.put(seen("a", 1));
        memory.put(seen("other", 1));
        memory.put(TargetMemory { pool: None, ..seen("a", u64::MAX) });
        memory.write(&state, &config()).expect("written");
        let read = Memory::read(&state).expect("read");
        assert_eq!(read.targets, [seen("a", u64::MAX)], "a pool that is known stays known");
        let of = read.of("a", "nas:back/a").expect("it");
        assert_eq!(
            of.of_source(&"tank/a".parse().expect("a name")),
            of.of_target(&"back/a".parse().expect("a name"))
        );
        let left: Vec<_> = std::fs::read_dir(&state).expect("the folder").collect();
        assert_eq!(left.len(), 1, "nothing else is left: {left:?}");
    }

    #[test]
    fn what_was_not_seen_this_time_is_not_forgotten() {
        let mut memory = Memory::default();
        memory.put(seen("a", 1));
        memory.put(TargetMemory { partial: true, datasets: Vec::new(), ..seen("a", 2) });
        assert_eq!(memory.targets, [seen("a", 1)]);
        memory.put(TargetMemory { partial: true, ..seen("a", 2) });
        assert_eq!(memory.targets, [seen("a", 2)]);
        memory.put(TargetMemory { datasets: Vec::new(), ..seen("a", 2) });
        assert_eq!(memory.targets[0].datasets, []);
    }

    #[test]
    fn what_cannot_be_understood_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        for text in ["", "{}", "{\"version\":2,\"targets\":[]}", "{\"version\":1,\"targets\":[{}]}"] {
            std::fs::write(folder.path().join(FILE), text).expect("written");
            let error = Memory::read(folder.path()).expect_err(text);
            assert!(error.contains(FILE), "{error}");
        }
    }

    #[test]
    fn what_others_could_have_written_is_not_believed() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        Memory::default().write(folder.path(), &config()).expect("written");
        let path = folder.path().join(FILE);
        assert!(Memory::read(folder.path()).is_ok());
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).expect("mode");
        let error = Memory::read(folder.path()).expect_err("others can write to it");
        assert!(error.contains("chmod go-w"), "{error}");
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(Memory::read(folder.path()).expect("nothing").targets.len(), 0);
    }
}
