//! Scratch pools on files, and the `zfs` and `zpool` commands as the second opinion the tests compare with.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use zfs_core::PropertySet;
use zfs_core::Zfs;
use zfs_core::name::BookmarkName;
use zfs_core::name::DatasetName;
use zfs_core::name::HoldTag;
use zfs_core::name::SnapshotName;

/// A pool of its own for one test, destroyed when dropped. Its filesystems mount below a folder of their own.
pub(crate) struct Pool {
    pub(crate) zfs: Zfs,
    name: String,
    folder: PathBuf,
}

impl Pool {
    /// A pool of 1 GiB (sparse).
    pub(crate) fn new() -> Self {
        Self::sized(1 << 30)
    }

    /// A pool of so many bytes; the smallest ZFS takes is 64 MiB.
    pub(crate) fn sized(bytes: u64) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("scratch-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(&name);
        fs::create_dir(&folder).expect("a folder for the pool");
        let disk = folder.join("disk");
        fs::File::create(&disk).and_then(|file| file.set_len(bytes)).expect("a file for the pool");
        let zfs = Zfs::open().expect("these tests need ZFS: run them in a node of the lab");
        let pool = Self { zfs, name, folder };
        pool.zpool(&["create", "-R", path(&pool.mounts()), &pool.name, path(&disk)]);
        pool
    }

    pub(crate) fn root(&self) -> DatasetName {
        self.name.parse().expect("the pool's own name")
    }

    /// A name below the pool.
    pub(crate) fn dataset(&self, below: &str) -> DatasetName {
        self.root().child(below).expect("a valid name")
    }

    pub(crate) fn snap(&self, below: &str) -> SnapshotName {
        format!("{}/{below}", self.name).parse().expect("a valid snapshot name")
    }

    pub(crate) fn mark(&self, below: &str) -> BookmarkName {
        format!("{}/{below}", self.name).parse().expect("a valid bookmark name")
    }

    /// Creates a filesystem, not mounted.
    pub(crate) fn filesystem(&self, below: &str) -> DatasetName {
        let name = self.dataset(below);
        self.zfs.create_filesystem(&name, &PropertySet::new()).expect("create a filesystem");
        name
    }

    /// Creates a filesystem, mounted at the returned folder.
    pub(crate) fn mounted(&self, below: &str) -> (DatasetName, PathBuf) {
        let name = self.filesystem(below);
        (name.clone(), self.mount(&name))
    }

    pub(crate) fn mount(&self, name: &DatasetName) -> PathBuf {
        self.zfs_command(&["mount", name.as_str()]);
        let folder = self.mounts().join(name.as_str());
        assert!(is_mounted(name), "{name} is not mounted");
        folder
    }

    pub(crate) fn unmount(&self, name: &DatasetName) {
        self.zfs_command(&["unmount", name.as_str()]);
    }

    /// Takes a snapshot and returns its name.
    pub(crate) fn snapshot(&self, below: &str) -> SnapshotName {
        let name = self.snap(below);
        self.zfs.snapshot(std::slice::from_ref(&name), &PropertySet::new()).expect("take a snapshot");
        name
    }

    /// A mounted filesystem with three files and a snapshot, `@one`.
    pub(crate) fn filled(&self, below: &str, bytes: usize) -> (DatasetName, PathBuf, SnapshotName) {
        let (name, folder) = self.mounted(below);
        write_noise(&folder.join("noise"), bytes, 1);
        fs::write(folder.join("text with spaces"), "hello\n".repeat(100)).expect("write");
        fs::write(folder.join("empty"), "").expect("write");
        let snapshot = self.snapshot(&format!("{below}@one"));
        (name, folder, snapshot)
    }

    /// Runs `zfs`, which must succeed.
    pub(crate) fn zfs_command(&self, args: &[&str]) -> String {
        run("zfs", args, None)
    }

    /// Runs `zpool`, which must succeed.
    pub(crate) fn zpool(&self, args: &[&str]) -> String {
        run("zpool", args, None)
    }

    /// Runs `zfs` with something on its standard input, such as a passphrase.
    pub(crate) fn zfs_with_input(&self, args: &[&str], input: &str) -> String {
        run("zfs", args, Some(input))
    }

    /// An encrypted filesystem, mounted.
    pub(crate) fn encrypted(&self, below: &str) -> (DatasetName, PathBuf) {
        let name = self.dataset(below);
        let args = ["create", "-o", "encryption=on", "-o", "keyformat=passphrase", name.as_str()];
        self.zfs_with_input(&args, "a passphrase\na passphrase\n");
        let folder = self.mounts().join(name.as_str());
        assert!(is_mounted(&name));
        (name, folder)
    }

    /// Exports the pool and imports it with these options.
    pub(crate) fn import_again(&self, options: &[&str]) {
        self.zpool(&["export", &self.name]);
        let (mounts, folder) = (self.mounts(), self.folder.clone());
        let mut args = vec!["import", "-R", path(&mounts), "-d", path(&folder)];
        args.extend(options);
        args.push(&self.name);
        self.zpool(&args);
    }

    /// Where the filesystems are mounted: the pool's altroot.
    pub(crate) fn mounts(&self) -> PathBuf {
        self.folder.join("mounts")
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let destroyed = Command::new("zpool").args(["destroy", "-f", &self.name]).output();
        match destroyed {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                eprintln!("zpool destroy {}: {}", self.name, String::from_utf8_lossy(&output.stderr));
            }
            Err(error) => eprintln!("zpool destroy {}: {error}", self.name),
        }
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("{}: {error}", self.folder.display());
        }
    }
}

pub(crate) fn tag(text: &str) -> HoldTag {
    text.parse().expect("a valid tag")
}

/// Whether the kernel has this dataset mounted anywhere.
pub(crate) fn is_mounted(name: &DatasetName) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("/proc");
    // The kernel writes a space as \040.
    let field = name.as_str().replace(' ', "\\040");
    mounts.lines().any(|line| line.split(' ').next() == Some(&field))
}

/// Writes bytes that do not compress, the same for the same seed.
pub(crate) fn write_noise(file: &Path, bytes: usize, seed: u64) {
    let mut file = fs::File::create(file).expect("create");
    file.write_all(&noise(bytes, seed)).expect("write");
}

pub(crate) fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(bytes);
    out
}

/// Every file below a folder with its contents, by path; folders with an empty entry.
pub(crate) fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    fn walk(top: &Path, folder: &Path, out: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in fs::read_dir(folder).expect("read a folder") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(top).expect("below").to_owned();
            if path.is_dir() {
                out.push((name, Vec::new()));
                walk(top, &path, out);
            } else {
                out.push((name, fs::read(&path).expect("read a file")));
            }
        }
    }
    let mut out = Vec::new();
    walk(folder, folder, &mut out);
    out.sort();
    out
}

fn run(program: &str, args: &[&str], input: Option<&str>) -> String {
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut child = Command::new(program)
        .args(args)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        stdin.write_all(input.as_bytes()).expect("write to the command");
    }
    let output = child.wait_with_output().expect("wait");
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the commands print text")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path made of text")
}
