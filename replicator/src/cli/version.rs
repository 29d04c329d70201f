//! `replicator version`.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::Failure;
use super::Outcome;
use crate::cancel::Cancel;
use crate::codes::Code;
use crate::role::ask::Answer;
use crate::role::ask::Question;
use crate::role::ask::ask;

/// Print the version, and ask the package manager whether there is a newer one.
///
/// With --check dpkg and apt are asked what they know already, without root and without the network. Nothing is
/// downloaded, installed or run; `apt update` and `apt upgrade` are yours.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  replicator version\n  replicator version --check")]
pub(super) struct Arguments {
    /// Ask whether there is a newer one.
    #[arg(long)]
    check: bool,

    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// How long a program may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What apt knows about a package.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Policy {
    installed: String,
    candidate: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    if !arguments.check {
        let text = if arguments.json {
            format!("{:#}\n", json!({ "version": VERSION }))
        } else {
            format!("replicator {VERSION}\n")
        };
        super::print(&text)?;
        return Ok(Outcome::Success);
    }
    let (package, policy) = asked()?;
    let newer = is_newer(&policy)?;
    let Policy { installed, candidate } = &policy;
    let text = if arguments.json {
        let json = json!({
            "version": VERSION,
            "package": package,
            "installed": installed,
            "candidate": candidate,
            "newer": newer,
        });
        format!("{json:#}\n")
    } else if newer {
        format!(
            "replicator {VERSION}, from {package} {installed}: {candidate} is to be had (apt install {package})\n"
        )
    } else {
        format!("replicator {VERSION}, from {package} {installed}: apt knows of nothing newer\n")
    };
    super::print(&text)?;
    Ok(Outcome::Success)
}

/// The package that this program is from, and what apt knows about it.
fn asked() -> Result<(String, Policy), Failure> {
    let here = std::env::current_exe().map_err(|error| {
        Failure::new(Code::Local, format!("cannot find out where this program is: {error}"))
    })?;
    let shown = here.display().to_string();
    let owner = said("dpkg-query", &["--search", "--", &shown]).map_err(|why| nobody(&why))?;
    let package = owner.ok().as_deref().and_then(package_of).ok_or_else(|| {
        Failure::new(Code::NoPackages, format!("{shown} is from no package, so that there is nobody to ask"))
            .hinted("look for a newer version where you got this one from".to_string())
    })?;
    let text =
        said("apt-cache", &["policy", "--", &package]).and_then(|said| said).map_err(|why| nobody(&why))?;
    let policy = policy_of(&text)
        .ok_or_else(|| nobody(&format!("what apt-cache says about {package} is not understood")))?;
    Ok((package, policy))
}

fn nobody(why: &str) -> Failure {
    Failure::new(Code::NoPackages, format!("the package manager cannot be asked: {why}")).hinted(
        "`replicator version --check` asks dpkg and apt; other systems have their own ways".to_string(),
    )
}

/// What a program says; the inner error is that it answered with a failure.
fn said(program: &str, arguments: &[&str]) -> Result<Result<String, String>, String> {
    let question = Question { program: Path::new(program), arguments };
    let answer = ask(&[question], PATIENCE, &Cancel::new()).pop();
    let answer = answer.unwrap_or_else(|| Err("it was not started".to_string()));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    answer.map(|answer| Answer::good(answer).map(text)).map_err(|why| format!("{program}: {why}"))
}

/// The package out of `package: /path`, or `package:amd64: /path`.
fn package_of(text: &str) -> Option<String> {
    let line = text.lines().find(|line| !line.starts_with("diversion ") && line.contains(": /"))?;
    let (packages, _) = line.split_once(": /")?;
    let first = packages.split(',').next()?.split(':').next()?.trim();
    (!first.is_empty()).then(|| first.to_string())
}

fn policy_of(text: &str) -> Option<Policy> {
    let field = |name: &str| {
        text.lines().find_map(|line| line.trim().strip_prefix(name)).map(|value| value.trim().to_string())
    };
    let (installed, candidate) = (field("Installed:")?, field("Candidate:")?);
    Some(Policy { installed, candidate })
}

/// Debian's order of versions is asked of dpkg.
fn is_newer(policy: &Policy) -> Result<bool, Failure> {
    let Policy { installed, candidate } = policy;
    if candidate == installed || candidate == "(none)" {
        return Ok(false);
    }
    let question = Question {
        program: Path::new("dpkg"),
        arguments: &["--compare-versions", candidate.as_str(), "gt", installed.as_str()],
    };
    let answer = ask(&[question], PATIENCE, &Cancel::new()).pop();
    let answer =
        answer.unwrap_or_else(|| Err("it was not started".to_string())).map_err(|why| nobody(&why))?;
    match answer.status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(nobody(&format!("dpkg does not compare {candidate} with {installed}: {}", answer.told))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APT: &str = "\
zfs-replicator:
  Installed: 0.1.0-1
  Candidate: 0.2.0-1
  Version table:
     0.2.0-1 500
        500 https://example.org/debian stable/main amd64 Packages
 *** 0.1.0-1 100
        100 /var/lib/dpkg/status
";

    #[test]
    fn what_apt_says_is_read() {
        let policy = policy_of(APT).expect("understood");
        assert_eq!((policy.installed.as_str(), policy.candidate.as_str()), ("0.1.0-1", "0.2.0-1"));
        for text in ["", "N: Unable to locate package x", "  Installed: 1\n"] {
            assert_eq!(policy_of(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_dpkg_says_about_a_file_is_read() {
        for (text, package) in [
            ("zfs-replicator: /usr/sbin/replicator\n", Some("zfs-replicator")),
            ("zfs-replicator:amd64: /usr/sbin/replicator\n", Some("zfs-replicator")),
            ("a, b: /usr/sbin/replicator\n", Some("a")),
            ("diversion by x from: /usr/sbin/replicator\nb: /usr/sbin/replicator\n", Some("b")),
            ("", None),
            (": /usr\n", None),
        ] {
            assert_eq!(package_of(text).as_deref(), package, "{text:?}");
        }
    }

    #[test]
    fn nothing_is_newer_than_itself_or_where_there_is_none() {
        for candidate in ["1-1", "(none)"] {
            let policy = Policy { installed: "1-1".to_string(), candidate: candidate.to_string() };
            assert!(!is_newer(&policy).expect("known"), "{candidate}");
        }
    }

    /// Where the test runs from a folder that is no package's.
    #[test]
    fn a_program_that_is_from_no_package_says_so() {
        let failure = asked().expect_err("nobody to ask");
        assert_eq!(failure.code, Code::NoPackages);
        assert_eq!(failure.outcome, Outcome::Failed);
    }
}
