//! Makes a kernel with ZFS compiled in that runs as an ordinary program (User Mode Linux), from Debian's
//! kernel and ZFS sources. The result mixes two licences that do not allow publishing it together: it is for
//! this machine only.

use crate::apt::Apt;
use crate::error::{Context, Result, unfit};
use crate::progress::Progress;
use crate::recipe::{self, Generation};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The source packages of a kernel with ZFS.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    /// `linux-source-X.Y`.
    pub(crate) linux_package: String,
    /// Its version in the archive.
    pub(crate) linux_version: String,
    /// Version of `zfs-dkms` in the archive.
    pub(crate) zfs_version: String,
}

impl Sources {
    /// `X.Y` of the kernel.
    pub(crate) fn linux_release(&self) -> &str {
        self.linux_package.rsplit('-').next().unwrap_or_default()
    }
}

/// Fetches the ZFS sources into `into` and picks the kernel that goes with them.
pub(crate) fn choose(generation: Generation, apt: &Apt, into: &Path, progress: &Progress) -> Result<Sources> {
    let zfs_version = apt.need("zfs-dkms", generation.zfs_suite(), progress)?;
    apt.unpack("zfs-dkms", &zfs_version, into, into, progress)?;
    let meta_path = zfs_tree(into)?.join("META");
    let meta = fs::read_to_string(&meta_path).on("reading", &meta_path)?;
    let maximum =
        meta.lines().find_map(|l| l.strip_prefix("Linux-Maximum:")).and_then(release).unwrap_or((6, 12));
    let mut found: Option<((u32, u32), String)> = None;
    if generation == Generation::Newest {
        for name in apt.names("linux-source-", progress)? {
            let Some(version) = name.strip_prefix("linux-source-").and_then(release) else { continue };
            let better = version <= maximum && found.as_ref().is_none_or(|(best, _)| version > *best);
            if better && apt.version(&name, generation.kernel_suite(), progress)?.is_some() {
                found = Some((version, name));
            }
        }
    }
    let (fallback, fallback_suite) = recipe::FALLBACK_KERNEL;
    let (linux_package, suite) = match found {
        Some((_, name)) => (name, generation.kernel_suite()),
        None => (fallback.to_owned(), fallback_suite),
    };
    let linux_version = apt.need(&linux_package, suite, progress)?;
    Ok(Sources { linux_package, linux_version, zfs_version })
}

fn release(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn zfs_tree(scratch: &Path) -> Result<PathBuf> {
    let usr_src = scratch.join("usr/src");
    let entries = fs::read_dir(&usr_src).on("listing", &usr_src)?;
    match entries.flatten().map(|e| e.path()).find(|p| p.join("META").exists()) {
        Some(path) => Ok(path),
        None => unfit(format!("the package zfs-dkms holds no sources below {}", usr_src.display())),
    }
}

/// Builds in `scratch`, where [`choose`] left the ZFS sources, and puts `linux` and `zfs-source` into
/// `result`. The kernel's build tree (2 GB) goes away with `scratch`.
pub(crate) fn build(
    sources: &Sources,
    apt: &Apt,
    scratch: &Path,
    result: &Path,
    progress: &mut Progress,
) -> Result<()> {
    progress.phase(format!("kernel: fetching {} {}", sources.linux_package, sources.linux_version));
    apt.unpack(&sources.linux_package, &sources.linux_version, scratch, scratch, progress)?;
    let archive = scratch.join("usr/src").join(format!("{}.tar.xz", sources.linux_package));
    progress.phase("kernel: unpacking");
    progress.run(Command::new("tar").arg("-xf").arg(&archive).current_dir(scratch))?;
    fs::remove_file(&archive).on("removing", &archive)?;
    let tree = scratch.join(&sources.linux_package);
    let zfs = zfs_tree(scratch)?;

    progress.phase("kernel: configuring");
    let jobs = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let make = |args: &[&str]| {
        let mut command = Command::new("nice");
        command.args(["-n", "5", "make", "ARCH=um", &format!("-j{jobs}")]).args(args).current_dir(&tree);
        command
    };
    progress.run(&mut make(&["defconfig"]))?;
    let mut config = Command::new("scripts/config");
    for on in recipe::KERNEL_ON {
        config.args(["-e", on]);
    }
    for off in recipe::KERNEL_OFF {
        config.args(["-d", off]);
    }
    progress.run(config.current_dir(&tree))?;
    progress.run(&mut make(&["olddefconfig"]))?;
    progress.run(&mut make(&["modules_prepare"]))?;

    progress.phase("kernel: configuring ZFS for it");
    let with = |name: &str| format!("--with-{name}={}", tree.display());
    progress.run(
        Command::new("nice")
            .args([
                "-n",
                "5",
                "./configure",
                "--with-config=kernel",
                &with("linux"),
                &with("linux-obj"),
                "--enable-linux-builtin",
            ])
            .env("ARCH", "um")
            .current_dir(&zfs),
    )?;
    progress.run(Command::new("./copy-builtin").arg(&tree).current_dir(&zfs))?;
    // The DKMS tree lacks this header; the kernel prints what it says.
    let gitrev = tree.join("include/zfs/zfs_gitrev.h");
    fs::write(&gitrev, format!("#define ZFS_META_GITREV \"zfs-{}\"\n", sources.zfs_version))
        .on("writing", &gitrev)?;
    progress.run(Command::new("scripts/config").args(["-e", "ZFS"]).current_dir(&tree))?;
    progress.run(&mut make(&["olddefconfig"]))?;
    check_config(&tree)?;

    progress.phase("kernel: compiling (about 9 minutes on 2 cores)");
    progress.run(&mut make(&["linux"]))?;
    progress.run(Command::new("strip").arg("--strip-debug").arg(tree.join("linux")))?;

    let linux = result.join("linux");
    fs::copy(tree.join("linux"), &linux).on("copying the kernel to", &linux)?;
    fs::copy(tree.join(".config"), result.join("config")).on("copying the configuration to", result)?;
    let kept = result.join("zfs-source");
    fs::rename(&zfs, &kept).on("moving the ZFS sources to", &kept)
}

fn check_config(tree: &Path) -> Result<()> {
    let path = tree.join(".config");
    let text = fs::read_to_string(&path).on("reading", &path)?;
    let missing: Vec<&str> = recipe::KERNEL_MUST
        .iter()
        .filter(|o| !text.lines().any(|l| l == format!("CONFIG_{o}=y")))
        .copied()
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    unfit(format!(
        "this kernel source cannot be configured with {}: the recipe needs a change",
        missing.join(", ")
    ))
}
