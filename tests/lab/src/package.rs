//! The packages that people install: a `.deb`, the small one with the names of sanoid and syncoid, and a tarball that
//! needs nothing but glibc and OpenZFS. What is in them is said in `replicator/Cargo.toml`; manual pages and completions
//! are made by the program that was just built.

use crate::apt::debian_arch;
use crate::cache::Cache;
use crate::error::{Context, Result, unfit};
use crate::workspace;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The package of the workspace that they are made of.
const CRATE: &str = "zfs-replicator";

/// The shells that completions are made for, each with the name of its file.
const SHELLS: &[(&str, &str)] =
    &[("bash", "replicator"), ("zsh", "_replicator"), ("fish", "replicator.fish")];

/// The tool that makes the Debian packages, of one known version.
const CARGO_DEB: &str = "cargo-deb-3";

/// The program that goes into the tarball.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Built for it, with OpenSSL inside.
    SelfContained,
    /// The release build as it is, which needs the libraries of this machine's Debian: for a look at the rest of the tarball.
    AsBuilt,
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Packages {
    /// The program, its units, pages and default configuration.
    pub deb: PathBuf,
    /// The names of sanoid and syncoid.
    pub names: PathBuf,
}

/// Makes both Debian packages. `say` is told what takes long or leaves something behind.
pub fn debian(say: &dyn Fn(&str)) -> Result<Packages> {
    for (program, package) in [("dpkg-deb", "dpkg"), ("dpkg-shlibdeps", "dpkg-dev")] {
        if !works(Command::new(program).arg("--version")) {
            return unfit(format!(
                "there is no {program}, which is in Debian's package {package}: install it"
            ));
        }
    }
    workspace::build_release(CRATE)?;
    let release = workspace::target_dir().join("release");
    stage(&release.join("replicator"), &release.join("package"))?;
    let tools = cargo_deb(say)?;
    let into = workspace::target_dir().join("package");
    fs::create_dir_all(&into).on("making", &into)?;
    let file = |name: &str| Ok(into.join(format!("{name}_{}_{}.deb", version(), debian_arch()?)));
    let packages = Packages { deb: file(CRATE)?, names: file("zfs-replicator-names")? };
    for (variant, output) in [(None, &packages.deb), (Some("names"), &packages.names)] {
        let mut command = workspace::cargo();
        command.env("PATH", tools_first(&tools)?);
        command.args(["deb", "--quiet", "--no-build", "--strip", "--package", CRATE, "--output"]).arg(output);
        if let Some(variant) = variant {
            command.args(["--variant", variant]);
        }
        // It prints the path, which the caller has.
        succeed(command.stdout(Stdio::null()), "cargo deb")?;
    }
    Ok(packages)
}

/// Makes the tarball.
pub fn tarball(program: Program, say: &dyn Fn(&str)) -> Result<PathBuf> {
    let target = workspace::target_dir().join("package");
    let name = format!("zfs-replicator-{}-{}", version(), debian_arch()?);
    let built = match program {
        Program::SelfContained => self_contained(&target.join("build"), say)?,
        Program::AsBuilt => {
            workspace::build_release(CRATE)?;
            workspace::target_dir().join("release/replicator")
        }
    };

    let tree = target.join(&name);
    if tree.exists() {
        fs::remove_dir_all(&tree).on("removing", &tree)?;
    }
    let root = workspace::root();
    let program = tree.join("sbin/replicator");
    put(&built, &program)?;
    succeed(Command::new("strip").arg(&program), "strip")?;
    let staged = target.join("staged");
    stage(&program, &staged)?;
    put_all(&staged.join("man"), &tree.join("share/man/man8"))?;
    for (shell, place) in [
        ("replicator", "share/bash-completion/completions"),
        ("_replicator", "share/zsh/site-functions"),
        ("replicator.fish", "share/fish/vendor_completions.d"),
    ] {
        put(&staged.join("completions").join(shell), &tree.join(place).join(shell))?;
    }
    put_all(&root.join("packaging/systemd"), &tree.join("lib/systemd/system"))?;
    let doc = tree.join("share/doc/zfs-replicator");
    put_all(&root.join("docs"), &doc)?;
    put_all(&root.join("packaging/monitoring"), &doc.join("monitoring"))?;
    for (from, to) in [
        ("docs/replicator.toml", "examples/replicator.toml"),
        ("docs/pair.toml", "examples/pair.toml"),
        ("packaging/etc/replicator.toml", "etc/replicator.toml"),
        ("packaging/sysusers.d/zfs-replicator.conf", "sysusers.conf"),
        ("packaging/tmpfiles.d/zfs-replicator.conf", "tmpfiles.conf"),
        ("packaging/INSTALL", "INSTALL"),
        ("LICENSE-MIT", "LICENSE-MIT"),
        ("LICENSE-APACHE", "LICENSE-APACHE"),
    ] {
        put(&root.join(from), &doc.join(to))?;
    }
    let archive = target.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=go-w", "-czf"]);
    tar.arg(&archive).arg("-C").arg(&target).arg(&name);
    succeed(&mut tar, "tar")?;
    Ok(archive)
}

/// The program with OpenSSL inside.
fn self_contained(target: &Path, say: &dyn Fn(&str)) -> Result<PathBuf> {
    say("building the program with OpenSSL inside (some minutes the first time)");
    let mut build = workspace::cargo();
    build.args(["build", "--quiet", "--release", "--bins", "--package", CRATE]);
    build.args(["--features", "vendored-openssl", "--target-dir"]).arg(target);
    // The system's zlib would be found and linked otherwise.
    build.env("LIBZ_SYS_STATIC", "1");
    succeed(&mut build, "cargo build")?;
    Ok(target.join("release/replicator"))
}

/// Manual pages, packed, and completions, as the program makes them.
fn stage(program: &Path, into: &Path) -> Result<()> {
    if into.exists() {
        fs::remove_dir_all(into).on("removing", into)?;
    }
    let (man, completions) = (into.join("man"), into.join("completions"));
    for folder in [&man, &completions] {
        fs::create_dir_all(folder).on("making", folder)?;
    }
    succeed(Command::new(program).args(["man", "--into"]).arg(&man), "replicator man")?;
    let mut gzip = Command::new("gzip");
    gzip.arg("-9n").args(files(&man)?);
    succeed(&mut gzip, "gzip")?;
    for (shell, name) in SHELLS {
        let path = completions.join(name);
        let file = fs::File::create(&path).on("making", &path)?;
        let mut command = Command::new(program);
        succeed(command.args(["completion", shell]).stdout(file), "replicator completion")?;
    }
    Ok(())
}

/// The folder with cargo-deb, where cargo does not have it already: built once a machine, and kept beside the lab's kernel.
fn cargo_deb(say: &dyn Fn(&str)) -> Result<PathBuf> {
    let cache = Cache::open()?;
    let tools = cache.dir().join(CARGO_DEB);
    let bin = tools.join("bin");
    let _lock = cache.lock(CARGO_DEB, || say("waiting for another one that installs cargo-deb"))?;
    if works(workspace::cargo().env("PATH", tools_first(&bin)?).args(["deb", "--version"])) {
        return Ok(bin);
    }
    say(&format!("installing cargo-deb through cargo, into {} (some minutes, once)", tools.display()));
    let mut install = workspace::cargo();
    let version = format!("^{}", CARGO_DEB.rsplit('-').next().unwrap_or_default());
    // Not optimised: it packs a few files, and is built in half the time.
    install.args(["install", "--quiet", "--locked", "--debug", "cargo-deb", "--version", &version, "--root"]);
    succeed(install.arg(&tools), "cargo install cargo-deb")?;
    Ok(bin)
}

fn tools_first(bin: &Path) -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(bin.to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(all).or_else(|e| unfit(format!("{}: {e}", bin.display())))
}

fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

fn works(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn succeed(command: &mut Command, what: &str) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().context(|| format!("starting {what}"))?;
    if status.success() { Ok(()) } else { unfit(format!("{what} failed ({status})")) }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).on("listing", folder)?;
    let mut files: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    if files.is_empty() { unfit(format!("there is nothing in {}", folder.display())) } else { Ok(files) }
}

fn put(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).on("making", folder)?;
    }
    fs::copy(from, to).on("copying", from).map(drop)
}

fn put_all(from: &Path, to: &Path) -> Result<()> {
    for file in files(from)? {
        if let Some(name) = file.file_name() {
            put(&file, &to.join(name))?;
        }
    }
    Ok(())
}
