//! Makes the root file system of a node: Debian with sshd and the tools the tests need, then ZFS's own
//! programs in the version of the kernel. Nodes mount it read-only and write to an overlay, so one copy
//! serves all.

use crate::apt::{self, Apt};
use crate::error::{Context, Result};
use crate::progress::Progress;
use crate::recipe;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

const CHROOT_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Makes the part both generations share in `root`.
pub(crate) fn build_base(
    apt: &Apt,
    sanoid_version: &str,
    scratch: &Path,
    root: &Path,
    progress: &mut Progress,
) -> Result<()> {
    progress.phase(format!("root: debootstrap {}", recipe::SUITE));
    progress.run(
        Command::new("debootstrap")
            .args([
                "--variant=minbase",
                "--include=ca-certificates",
                &format!("--arch={}", apt::debian_arch()?),
                recipe::SUITE,
            ])
            .arg(root)
            .arg(apt.uri()),
    )?;
    write(
        root,
        "etc/dpkg/dpkg.cfg.d/lab",
        "force-unsafe-io\npath-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\npath-exclude=/usr/share/locale/*\n",
    )?;
    write(
        root,
        "etc/apt/apt.conf.d/lab",
        "Acquire::Languages \"none\";\nAPT::Install-Recommends \"false\";\nAPT::Sandbox::User \"root\";\n",
    )?;
    write(root, "etc/apt/sources.list", &apt::sources(apt.uri(), CHROOT_KEYRING, true))?;
    open_for_packages(root)?;

    progress.phase("root: installing packages");
    progress.run(chroot(root).args(["apt-get", "update", "-q", "--error-on=any"]))?;
    progress.run(chroot(root).args(["apt-get", "install", "-y", "-q"]).args(recipe::ROOT_PACKAGES))?;

    progress.phase("root: keys, names and what we are compared with");
    let (package, _, place) = recipe::SANOID;
    let sanoid = root.join(place);
    fs::create_dir_all(&sanoid).on("making", &sanoid)?;
    apt.unpack(package, sanoid_version, &sanoid, scratch, progress)?;
    // It finds its defaults at this path only.
    let defaults = root.join("usr/share/sanoid");
    symlink(format!("/{place}/usr/share/sanoid"), &defaults).on("linking", &defaults)?;
    progress.run(chroot(root).args(["apt-get", "clean"]))?;
    make_keys(root, progress)?;
    settings(root)
}

/// Adds ZFS's programs in exactly the kernel's version.
pub(crate) fn add_zfs(version: &str, root: &Path, progress: &mut Progress) -> Result<()> {
    progress.phase(format!("root: installing ZFS {version}"));
    // Every package built from the same source must come in the same version, whatever its suite's priority.
    write(
        root,
        "etc/apt/preferences.d/lab",
        &format!("Package: src:zfs-linux\nPin: version {version}\nPin-Priority: 1001\n"),
    )?;
    open_for_packages(root)?;
    let names = recipe::ROOT_ZFS_PACKAGES.iter().map(|p| format!("{p}={version}"));
    progress.run(chroot(root).args(["apt-get", "install", "-y", "-q"]).args(names))?;
    progress.run(chroot(root).args(["apt-get", "clean"]))?;
    let lists = root.join("var/lib/apt/lists");
    fs::remove_dir_all(&lists).on("removing", &lists)?;
    // Nodes have no connection to anywhere else, and may start what they like.
    write(root, "etc/resolv.conf", "")?;
    let _ = fs::remove_file(root.join("usr/sbin/policy-rc.d"));
    // What the installation of packages left that would make every node the same machine.
    write(root, "etc/machine-id", "")
}

/// Lets packages be installed: names resolve as on this machine, and nothing is started.
fn open_for_packages(root: &Path) -> Result<()> {
    write_mode(root, "usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)?;
    let host = Path::new("/etc/resolv.conf");
    let text = fs::read_to_string(host).on("reading", host)?;
    write(root, "etc/resolv.conf", &text)
}

/// Keys of all nodes, made once: a boot only copies them.
fn make_keys(root: &Path, progress: &Progress) -> Result<()> {
    let mut known = String::new();
    let mut authorized = String::new();
    let mut hosts = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost\n");
    for index in 1..=recipe::MAX_NODES {
        let name = format!("node{index}");
        let dir = format!("etc/lab/keys/{name}");
        let path = root.join(&dir);
        fs::create_dir_all(&path).on("making", &path)?;
        for key in ["ssh_host_ed25519_key", "id_ed25519"] {
            let comment = format!("root@{name}");
            progress.run(chroot(root).args([
                "ssh-keygen",
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-C",
                &comment,
                "-f",
                &format!("/{dir}/{key}"),
            ]))?;
        }
        let read = |file: &str| fs::read_to_string(path.join(file)).on("reading", &path.join(file));
        let host_key = read("ssh_host_ed25519_key.pub")?;
        let host_key = host_key.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        known.push_str(&format!("{name},{} {host_key}\n", address(index)));
        authorized.push_str(&read("id_ed25519.pub")?);
        hosts.push_str(&format!("{} {name}\n", address(index)));
        write(root, &format!("{dir}/localhost"), &format!("localhost,127.0.0.1,::1 {host_key}\n"))?;
    }
    write(root, "etc/lab/known_hosts", &known)?;
    write(root, "etc/hosts", &hosts)?;
    write_mode(root, "root/.ssh/authorized_keys", &authorized, 0o600)?;
    fs::set_permissions(root.join("root/.ssh"), fs::Permissions::from_mode(0o700))
        .on("setting the mode of", root)
}

/// A node's address in the lab's network.
pub(crate) fn address(index: usize) -> String {
    format!("10.77.0.{index}")
}

fn settings(root: &Path) -> Result<()> {
    write_mode(root, "init", recipe::INIT, 0o755)?;
    for name in recipe::MOUNT_POINTS {
        let path = root.join(name);
        fs::create_dir_all(&path).on("making", &path)?;
    }
    write(
        root,
        "etc/ssh/sshd_config.d/lab.conf",
        "PermitRootLogin yes\nUseDNS no\nUsePAM no\nPrintMotd no\nPrintLastLog no\nAcceptEnv LANG LC_*\nMaxStartups 100:30:200\nMaxSessions 100\n",
    )?;
    for key in ["rsa", "ecdsa", "ed25519"] {
        for suffix in ["", ".pub"] {
            let _ = fs::remove_file(root.join(format!("etc/ssh/ssh_host_{key}_key{suffix}")));
        }
    }
    write(root, "etc/hostname", "node\n")
}

/// A program inside the root file system, run by this machine's kernel.
fn chroot(root: &Path) -> Command {
    let mut command = Command::new("chroot");
    command.arg(root).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root");
    command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
    for (name, value) in std::env::vars_os() {
        // Only what leads to the archive.
        if name.to_string_lossy().to_ascii_lowercase().ends_with("_proxy") {
            command.env(name, value);
        }
    }
    command
}

fn write(root: &Path, name: &str, text: &str) -> Result<()> {
    write_mode(root, name, text, 0o644)
}

fn write_mode(root: &Path, name: &str, text: &str, mode: u32) -> Result<()> {
    let path = root.join(name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).on("making", parent)?;
    }
    // A link (such as /etc/resolv.conf) must not lead out of the root.
    let _ = fs::remove_file(&path);
    fs::write(&path, text).on("writing", &path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).on("setting the mode of", &path)
}
