//! The packages this machine needs to build the lab and the workspace: found missing, named, installed.
//! Changes nothing else on the machine.

use crate::error::{Result, unfit};
use crate::progress::Progress;
use crate::recipe::HOST_PACKAGES;
use std::process::{Command, Stdio};

/// Installs what is missing, after saying so. Does nothing, quickly, when nothing is.
pub(crate) fn ensure_packages(progress: &mut Progress) -> Result<()> {
    let missing = missing()?;
    if missing.is_empty() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        return unfit(format!(
            "this machine lacks {}: install them (apt-get install {}), or run this as root",
            missing.join(", "),
            missing.join(" ")
        ));
    }
    progress.phase(format!("installing on this machine: {}", missing.join(" ")));
    if install(progress, &missing).is_err() {
        // The usual reason is package lists that are missing or too old.
        progress.phase("fetching this machine's package lists, then installing");
        progress.run(apt_get().args(["update", "-q"]))?;
        install(progress, &missing)?;
    }
    Ok(())
}

fn install(progress: &Progress, packages: &[&str]) -> Result<()> {
    progress.run(apt_get().args(["install", "-y", "-q", "--no-install-recommends"]).args(packages))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    command
}

fn missing() -> Result<Vec<&'static str>> {
    let output = Command::new("dpkg-query")
        .args(["-W", "-f", "${Package} ${db:Status-Status}\n"])
        .args(HOST_PACKAGES)
        .stderr(Stdio::null())
        .output();
    let Ok(output) = output else {
        return unfit(
            "the lab is built from Debian packages, and this machine has no dpkg: use Debian 12 or 13",
        );
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let installed = |name: &&&str| text.lines().any(|l| l == format!("{name} installed"));
    Ok(HOST_PACKAGES.iter().filter(|p| !installed(p)).copied().collect())
}
