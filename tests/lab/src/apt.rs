//! The Debian archive, through apt with a state of the lab's own: the machine's package lists, sources and
//! cache stay as they are. Which mirror to ask is read from the machine's own set-up.

use crate::error::{Context, Result, unfit};
use crate::progress::Progress;
use crate::recipe;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The lab's apt.
pub(crate) struct Apt {
    config: PathBuf,
    uri: String,
}

impl Apt {
    /// Prepares the state in `dir` and fetches the package lists.
    pub(crate) fn prepare(dir: &Path, progress: &Progress) -> Result<Self> {
        let uri = host_mirror(Path::new("/etc/apt"))?;
        for sub in ["state/lists/partial", "cache/archives/partial"] {
            let path = dir.join(sub);
            fs::create_dir_all(&path).on("making", &path)?;
        }
        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text).on("writing", &path)
        };
        write("status", "")?;
        write("sources.list", &sources(&uri, KEYRING, false))?;
        let d = dir.display();
        // The proxies and certificates of the machine's own apt.conf.d still hold; only places are changed.
        write(
            "apt.conf",
            &format!(
                "Dir::Etc::SourceList \"{d}/sources.list\";\nDir::Etc::SourceParts \"/dev/null\";\nDir::Etc::Preferences \"/dev/null\";\n\
                 Dir::Etc::PreferencesParts \"/dev/null\";\nDir::State \"{d}/state\";\nDir::State::Status \"{d}/status\";\n\
                 Dir::Cache \"{d}/cache\";\nDir::Cache::pkgcache \"pkgcache.bin\";\nDir::Cache::srcpkgcache \"srcpkgcache.bin\";\nAcquire::Languages \"none\";\nAcquire::Retries \"3\";\nAPT::Sandbox::User \"root\";\n\
                 APT::Architecture \"{}\";\n",
                debian_arch()?
            ),
        )?;
        let apt = Self { config: dir.join("apt.conf"), uri };
        progress.run(apt.command("apt-get").args(["update", "-q", "--error-on=any"]))?;
        Ok(apt)
    }

    /// The mirror.
    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// The newest version of a package in a suite, if it has one.
    pub(crate) fn version(&self, package: &str, suite: &str, progress: &Progress) -> Result<Option<String>> {
        let text = progress.output(self.command("apt-cache").args(["madison", package]))?;
        // Lines look like `zfs-dkms | 2.4.4-1~bpo13+1 | http://… trixie-backports/contrib amd64 Packages`,
        // newest first.
        Ok(text.lines().find_map(|line| {
            let mut fields = line.split('|').map(str::trim);
            let (name, version, place) = (fields.next()?, fields.next()?, fields.next()?);
            let in_suite = place.split_whitespace().nth(1)?.split('/').next()? == suite;
            (name == package && in_suite && place.ends_with("Packages")).then(|| version.to_owned())
        }))
    }

    /// The same, where its absence is an error.
    pub(crate) fn need(&self, package: &str, suite: &str, progress: &Progress) -> Result<String> {
        match self.version(package, suite, progress)? {
            Some(version) => Ok(version),
            None => unfit(format!("{} holds no package {package} in {suite}", self.uri)),
        }
    }

    /// Names of packages that begin with `prefix`.
    pub(crate) fn names(&self, prefix: &str, progress: &Progress) -> Result<Vec<String>> {
        let text = progress.output(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Downloads a package of an exact version and unpacks it below `into`.
    pub(crate) fn unpack(
        &self,
        package: &str,
        version: &str,
        into: &Path,
        scratch: &Path,
        progress: &Progress,
    ) -> Result<()> {
        let folder = scratch.join(format!("deb-{package}"));
        fs::create_dir_all(&folder).on("making", &folder)?;
        progress.run(
            self.command("apt-get")
                .args(["download", "-q"])
                .arg(format!("{package}={version}"))
                .current_dir(&folder),
        )?;
        for entry in fs::read_dir(&folder).on("listing", &folder)? {
            let deb = entry.on("listing", &folder)?.path();
            progress.run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(into))?;
        }
        fs::remove_dir_all(&folder).on("removing", &folder)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &self.config).env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
        command
    }
}

/// The sources of a root file system, or of the lab's own state, which also looks into other releases.
pub(crate) fn sources(uri: &str, keyring: &str, only_own_release: bool) -> String {
    let own = |suite: &str| !only_own_release || suite.starts_with(recipe::SUITE);
    recipe::SUITES
        .iter()
        .filter(|(suite, _)| own(suite))
        .map(|(suite, components)| format!("deb [signed-by={keyring}] {uri} {suite} {components}\n"))
        .collect()
}

/// Debian's name of this machine's architecture.
pub(crate) fn debian_arch() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        other => unfit(format!("the lab's kernel runs on x86_64 only, this machine is {other}")),
    }
}

/// The mirror the machine itself uses for Debian's main component, from its deb822 or one-line sources.
pub(crate) fn host_mirror(etc_apt: &Path) -> Result<String> {
    let mut files = vec![etc_apt.join("sources.list")];
    if let Ok(entries) = fs::read_dir(etc_apt.join("sources.list.d")) {
        files.extend(entries.flatten().map(|e| e.path()));
    }
    files.sort();
    for file in &files {
        let Ok(text) = fs::read_to_string(file) else { continue };
        let found = match file.extension().and_then(|e| e.to_str()) {
            Some("sources") => deb822_mirror(&text),
            Some("list") => one_line_mirror(&text),
            _ => None,
        };
        if let Some(uri) = found {
            return Ok(uri.trim_end_matches('/').to_owned());
        }
    }
    unfit(format!(
        "no Debian mirror in {}/sources.list or sources.list.d (an entry `deb` with a Debian suite and the component main): the lab takes \
         its kernel and packages from the mirror this machine uses",
        etc_apt.display()
    ))
}

/// Debian's own archive, as opposed to security updates and the archives of others.
fn is_debian(suites: &str, components: &str) -> bool {
    const RELEASES: &[&str] = &[
        "bookworm",
        "trixie",
        "forky",
        "sid",
        "stable",
        "testing",
        "unstable",
        "oldstable",
        "bookworm-updates",
        "trixie-updates",
    ];
    suites.split_whitespace().any(|s| RELEASES.contains(&s))
        && components.split_whitespace().any(|c| c == "main")
}

fn deb822_mirror(text: &str) -> Option<String> {
    let without_comments: String =
        text.lines().filter(|l| !l.starts_with('#')).map(|l| format!("{l}\n")).collect();
    without_comments.split("\n\n").find_map(|stanza| {
        let field = |name: &str| {
            let lower = stanza.lines().find(|l| l.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
            Some(lower.split_once(':')?.1.trim().to_owned())
        };
        let off = field("enabled").is_some_and(|v| v == "no");
        let uri = field("uris")?.split_whitespace().next()?.to_owned();
        (!off
            && field("types")?.contains("deb")
            && is_debian(&field("suites")?, &field("components")?)
            && debian_path(&uri))
        .then_some(uri)
    })
}

fn one_line_mirror(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let mut rest = line.trim().strip_prefix("deb ")?.trim();
        if let Some(options) = rest.strip_prefix('[') {
            rest = options.split_once(']')?.1.trim();
        }
        let (uri, rest) = rest.split_once(char::is_whitespace)?;
        let (suite, components) = rest.trim().split_once(char::is_whitespace)?;
        (is_debian(suite, components) && debian_path(uri)).then(|| uri.to_owned())
    })
}

/// Third parties also publish suites named after Debian's releases; mirrors of Debian itself end in `debian`
/// or point to a mirror list.
fn debian_path(uri: &str) -> bool {
    uri.trim_end_matches('/').ends_with("debian")
        || uri.starts_with("mirror")
        || uri.contains("/archive/debian/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_deb822_and_skips_security_and_strangers() {
        let text = "Types: deb\n# a comment\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\nComponents: main\n\n\
                    Types: deb\nURIs: https://strangers.example/apt\nSuites: bookworm\nComponents: main\n\n\
                    Types: deb deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n";
        assert_eq!(deb822_mirror(text).as_deref(), Some("http://mirror.example/debian"));
    }

    #[test]
    fn reads_one_line_entries_with_options() {
        let text = "# deb http://off.example/debian trixie main\ndeb [signed-by=/x arch=amd64] http://mirror.example/debian/ trixie main contrib\n";
        assert_eq!(one_line_mirror(text).as_deref(), Some("http://mirror.example/debian/"));
        assert_eq!(
            one_line_mirror("deb http://security.example/debian-security trixie-security main\n"),
            None
        );
    }

    #[test]
    fn says_what_is_missing_without_sources() {
        let dir = std::env::temp_dir().join("replicator-lab-no-such-apt");
        assert!(host_mirror(&dir).unwrap_err().to_string().contains("no Debian mirror"));
    }
}
