//! Where the lab keeps what it built, outside the checkout, and how two builds at once keep out of each
//! other's way. What is in there is made by `build`; running nodes have their own folders (`rundir`).

use crate::error::{Context, Result, unfit};
use crate::recipe::{self, Generation};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The lab's cache folder.
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
}

/// What one generation consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifacts {
    /// The kernel, an ordinary program.
    pub kernel: PathBuf,
    /// The root file system of a node (a folder).
    pub root: PathBuf,
    /// The unpacked sources of the kernel module, configured: `include/`, `module/`, `META`.
    pub zfs_source: PathBuf,
    /// The user-space headers of the same version: `libspl/`, `libzfs/`.
    pub zfs_headers: PathBuf,
    /// The folder of the 2.1 libraries: `libzfs_core.so.3`, `libnvpair.so.3`, and what they need.
    pub old_libs: PathBuf,
    /// Version of the ZFS package.
    pub zfs_version: String,
    /// Version of the kernel source, such as `7.2`.
    pub linux_version: String,
}

impl Cache {
    /// `$REPLICATOR_LAB_CACHE`, else `$XDG_CACHE_HOME/replicator-lab`, else `~/.cache/replicator-lab`; made
    /// if it is missing.
    pub fn open() -> Result<Self> {
        let var = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let dir = var("REPLICATOR_LAB_CACHE")
            .or_else(|| var("XDG_CACHE_HOME").map(|d| d.join("replicator-lab")))
            .or_else(|| var("HOME").map(|d| d.join(".cache/replicator-lab")));
        let Some(dir) = dir else {
            return unfit(
                "neither REPLICATOR_LAB_CACHE, XDG_CACHE_HOME nor HOME is set: set one of them, the lab keeps its kernel there",
            );
        };
        // The path goes to the node's kernel on a command line that splits at white space.
        if dir.to_str().is_none_or(|d| d.contains(|c: char| c.is_whitespace() || c == ',' || c == '"'))
            || !dir.is_absolute()
        {
            return unfit(format!(
                "the lab's cache {dir:?} must be an absolute path without white space, commas and quotes: set REPLICATOR_LAB_CACHE"
            ));
        }
        fs::create_dir_all(&dir).on("making the cache folder", &dir)?;
        Ok(Self { dir })
    }

    /// A cache in a folder of a test.
    #[cfg(test)]
    pub(crate) fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The folder itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where running nodes live.
    pub fn run_dir(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// Where the logs of builds are.
    pub fn log_dir(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Takes a lock that other processes of the lab respect, waiting for it; `waiting` is called once if that
    /// takes time.
    pub fn lock(&self, name: &str, waiting: impl FnOnce()) -> Result<File> {
        let path = self.dir.join(format!("{name}.lock"));
        let file = File::options().create(true).append(true).open(&path).on("opening", &path)?;
        if file.try_lock().is_err() {
            waiting();
            file.lock().on("locking", &path)?;
        }
        Ok(file)
    }

    /// What was built for a generation with the recipe of this program, if it still stands.
    pub fn current(&self, generation: Generation) -> Option<Artifacts> {
        let text = fs::read_to_string(self.pointer(generation)).ok()?;
        let get = |name: &str| {
            text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        if get("recipe")? != recipe::key(generation) {
            return None;
        }
        let kernel_dir = self.dir.join(get("kernel")?);
        let found = Artifacts {
            kernel: kernel_dir.join("linux"),
            zfs_source: kernel_dir.join("zfs-source"),
            root: self.dir.join(get("root")?),
            zfs_headers: self.dir.join(get("headers")?).join("usr/include"),
            old_libs: self.dir.join(get("old-libs")?).join("lib").join(multiarch()),
            zfs_version: get("zfs")?,
            linux_version: get("linux")?,
        };
        let complete = [&found.kernel, &found.zfs_source, &found.root, &found.zfs_headers, &found.old_libs]
            .iter()
            .all(|p| p.exists());
        complete.then_some(found)
    }

    /// Records what was built. The folders are named inside the cache.
    pub fn set_current(&self, generation: Generation, entries: &[(&str, &str)]) -> Result<()> {
        let mut text = format!("recipe={}\n", recipe::key(generation));
        for (name, value) in entries {
            text.push_str(&format!("{name}={value}\n"));
        }
        let path = self.pointer(generation);
        let new = path.with_extension("new");
        fs::write(&new, text).on("writing", &new)?;
        fs::rename(&new, &path).on("renaming to", &path)
    }

    /// Removes what broken builds left and, when `unused`, what no generation points at any more. Only with
    /// the build lock held.
    pub fn sweep(&self, unused: bool) -> Result<()> {
        let mut keep: Vec<String> = Vec::new();
        for generation in Generation::ALL {
            if let Ok(text) = fs::read_to_string(self.pointer(generation)) {
                keep.extend(text.lines().filter_map(|l| Some(l.split_once('=')?.1.to_owned())));
            }
        }
        for entry in fs::read_dir(&self.dir).on("listing", &self.dir)? {
            let entry = entry.on("listing", &self.dir)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let part = unused
                && ["kernel-", "root-", "base-", "headers-", "old-libs-"].iter().any(|p| name.starts_with(p));
            if name.starts_with("tmp-") || part && !keep.contains(&name) {
                fs::remove_dir_all(entry.path()).on("removing", &entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes the cache, once no build and no node uses it.
    pub fn remove(self) -> Result<()> {
        let _build = self.unused()?;
        fs::remove_dir_all(&self.dir).on("removing", &self.dir)
    }

    /// Removes what only this generation uses, once no build and no node uses the cache.
    pub fn remove_generation(&self, generation: Generation) -> Result<()> {
        let _build = self.unused()?;
        let pointer = self.pointer(generation);
        if pointer.exists() {
            fs::remove_file(&pointer).on("removing", &pointer)?;
        }
        self.sweep(true)
    }

    /// The build lock, had only while no node runs.
    fn unused(&self) -> Result<File> {
        let build = self.lock("build", || eprintln!("a `cargo lab build` is at work; waiting for it"))?;
        for entry in fs::read_dir(self.run_dir()).into_iter().flatten().flatten() {
            if File::open(entry.path().join("lock")).is_ok_and(|lock| lock.try_lock().is_err()) {
                return unfit(format!("nodes are running ({}): end them first", entry.path().display()));
            }
        }
        Ok(build)
    }

    fn pointer(&self, generation: Generation) -> PathBuf {
        self.dir.join(format!("{generation}.current"))
    }
}

/// Debian's name for this architecture's library folder.
pub fn multiarch() -> String {
    format!("{}-linux-gnu", std::env::consts::ARCH)
}

/// What is needed to run nodes of a generation; says how to make it when it is missing.
pub fn artifacts(generation: Generation) -> Result<Artifacts> {
    match Cache::open()?.current(generation) {
        Some(found) => Ok(found),
        None => unfit(format!(
            "the {generation} lab is not built yet, or its recipe changed: run `cargo lab build --zfs {generation}` as root"
        )),
    }
}
