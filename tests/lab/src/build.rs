//! `cargo lab build`: everything a generation's nodes need, each part made in a scratch folder and moved into
//! the cache when it is whole. The parts themselves are made by `kernel`, `rootfs` and `apt`.

use crate::apt::Apt;
use crate::cache::{Artifacts, Cache};
use crate::error::{Context, Result, unfit};
use crate::progress::Progress;
use crate::recipe::{self, Generation};
use crate::{host, kernel, rootfs};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes what is missing. Quick when nothing is; `refresh` asks the archive for newer versions.
pub fn ensure(generation: Generation, refresh: bool) -> Result<Artifacts> {
    let cache = Cache::open()?;
    if !refresh && let Some(found) = cache.current(generation) {
        return Ok(found);
    }
    let _lock = cache.lock("build", || eprintln!("another `cargo lab build` is at work; waiting for it"))?;
    // The other one may have made it.
    if !refresh && let Some(found) = cache.current(generation) {
        return Ok(found);
    }
    if !rustix::process::geteuid().is_root() {
        return unfit(
            "building the lab needs root (it installs packages and runs debootstrap): run `cargo lab build` as root",
        );
    }
    cache.sweep(false)?;
    let mut progress = Progress::start(&cache.log_dir(), &format!("build-{generation}"))?;
    progress.say(&format!("building the lab ({generation}) in {}; this is done once", cache.dir().display()));
    host::ensure_packages(&mut progress)?;
    let scratch = Scratch::new(&cache, "work")?;
    build(&cache, generation, scratch.path(), &mut progress)?;
    drop(scratch);
    cache.sweep(true)?;
    let Some(found) = cache.current(generation) else {
        return unfit(format!("the build ended, but {} does not hold all of it", cache.dir().display()));
    };
    progress
        .say(&format!("the lab is ready: OpenZFS {} on Linux {}", found.zfs_version, found.linux_version));
    Ok(found)
}

fn build(cache: &Cache, generation: Generation, scratch: &Path, progress: &mut Progress) -> Result<()> {
    progress.phase("asking the archive");
    let apt = Apt::prepare(&cache.dir().join("apt"), progress)?;
    let (sanoid_package, sanoid_suite, _) = recipe::SANOID;
    let sanoid = apt.need(sanoid_package, sanoid_suite, progress)?;
    let (old_suite, old_packages) = recipe::OLD_LIBS;
    let mut old_versions = Vec::new();
    for package in old_packages {
        old_versions.push((*package, apt.need(package, old_suite, progress)?));
    }
    let headers_version = apt.need("libzfslinux-dev", generation.zfs_suite(), progress)?;
    let sources = kernel::choose(generation, &apt, scratch, progress)?;

    let old_libs = format!("old-libs-{}", recipe::unpacked_key(&format!("{old_versions:?}")));
    part(cache, &old_libs, progress, |dir, progress| {
        progress.phase("libraries of OpenZFS 2.1");
        old_versions
            .iter()
            .try_for_each(|(package, version)| apt.unpack(package, version, dir, scratch, progress))
    })?;
    let headers = format!("headers-{}", recipe::unpacked_key(&headers_version));
    part(cache, &headers, progress, |dir, progress| {
        progress.phase("headers of OpenZFS");
        apt.unpack("libzfslinux-dev", &headers_version, dir, scratch, progress)
    })?;

    let base_key = recipe::base_key(&sanoid);
    let base = format!("base-{base_key}");
    let root = format!("root-{generation}-{}", recipe::root_key(&base_key, &sources.zfs_version));
    if !cache.dir().join(&root).exists() {
        part(cache, &base, progress, |dir, progress| {
            rootfs::build_base(&apt, &sanoid, scratch, dir, progress)
        })?;
        part(cache, &root, progress, |dir, progress| {
            progress.phase("root: copying the shared part");
            let from = cache.dir().join(&base).join(".");
            progress.run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(dir))?;
            rootfs::add_zfs(&sources.zfs_version, dir, progress)
        })?;
    }
    let kernel =
        format!("kernel-{generation}-{}", recipe::kernel_key(&sources.linux_version, &sources.zfs_version));
    part(cache, &kernel, progress, |dir, progress| kernel::build(&sources, &apt, scratch, dir, progress))?;

    cache.set_current(
        generation,
        &[
            ("kernel", &kernel),
            ("root", &root),
            ("base", &base),
            ("headers", &headers),
            ("old-libs", &old_libs),
            ("zfs", &sources.zfs_version),
            ("linux", sources.linux_release()),
            ("linux-package", &sources.linux_version),
        ],
    )
}

/// Makes a folder of the cache unless it is there: all of it, or nothing.
fn part(
    cache: &Cache,
    name: &str,
    progress: &mut Progress,
    make: impl FnOnce(&Path, &mut Progress) -> Result<()>,
) -> Result<()> {
    let place = cache.dir().join(name);
    if place.exists() {
        return Ok(());
    }
    let scratch = Scratch::new(cache, name)?;
    make(scratch.path(), progress)?;
    fs::rename(scratch.path(), &place).on("moving into the cache", &place)
}

/// A folder in the cache (so that a finished part can be renamed) that goes away with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new(cache: &Cache, name: &str) -> Result<Self> {
        let path = cache.dir().join(format!("tmp-{name}"));
        if path.exists() {
            fs::remove_dir_all(&path).on("removing", &path)?;
        }
        fs::create_dir_all(&path).on("making", &path)?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // After a success it was renamed away.
        if self.0.exists() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
