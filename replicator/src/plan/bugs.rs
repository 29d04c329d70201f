//! Bugs of OpenZFS that a plan must not run into, one row each, with the first version of each branch that has the
//! fix. A row only speaks when the version of the machine in question is known.

use super::conflict::Conflict;
use super::steps::Action;
use super::steps::Step;
use crate::host::About;
use crate::host::DatasetState;
use crate::host::Version;

/// Which machine must have the fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    Source,
    Target,
}

/// What a row looks at.
#[derive(Clone, Copy, Debug, Default)]
struct Transfer {
    /// The source is encrypted.
    encrypted: bool,
    /// A stream is raw.
    raw: bool,
    /// A stream is not raw.
    plain: bool,
    /// A stream is resumed.
    resumed: bool,
    /// The target is encrypted and receives streams that are not raw.
    into_encrypted: bool,
}

struct Bug {
    /// The numbers of the reports.
    report: &'static str,
    what: &'static str,
    fixed: &'static [(u32, u32, u32)],
    at: Where,
    concerns: fn(Transfer) -> bool,
}

const BUGS: &[Bug] = &[
    Bug {
        report: "#12014",
        what: "sending an encrypted dataset decrypted can damage the source's own snapshots",
        fixed: &[(2, 2, 8), (2, 3, 3), (2, 4, 0)],
        at: Where::Source,
        concerns: |transfer| transfer.encrypted && transfer.plain,
    },
    Bug {
        report: "#10523, #11221, #12594",
        what: "a raw stream received back where it came from makes the dataset unreadable",
        fixed: &[(2, 1, 3)],
        at: Where::Target,
        concerns: |transfer| transfer.raw,
    },
    Bug {
        report: "#13445, #12275",
        what: "raw streams with large blocks can panic the receiver",
        fixed: &[(2, 1, 7)],
        at: Where::Target,
        concerns: |transfer| transfer.raw,
    },
    Bug {
        report: "#9818, #10234",
        what: "a resumed raw receive skips the check of its initialisation vectors",
        fixed: &[(2, 0, 0)],
        at: Where::Target,
        concerns: |transfer| transfer.raw && transfer.resumed,
    },
    Bug {
        report: "#13598, #14055",
        what: "receiving into an encrypted dataset whose key is not loaded can panic the receiver",
        fixed: &[(2, 1, 7)],
        at: Where::Target,
        concerns: |transfer| transfer.into_encrypted,
    },
];

impl Bug {
    /// Fixed from the first listed version of its branch on; branches after the last one have the fix from their
    /// start, branches before the first never got it.
    fn is_in(&self, version: Version) -> bool {
        let version = (version.major, version.minor, version.patch);
        let branch = |v: (u32, u32, u32)| (v.0, v.1);
        match self.fixed.iter().find(|fixed| branch(**fixed) == branch(version)) {
            Some(fixed) => version < *fixed,
            None => self.fixed.first().is_some_and(|first| branch(version) < branch(*first)),
        }
    }
}

/// Refuses steps that would run into one of the bugs.
pub(super) fn check(
    source: &DatasetState,
    target: Option<&DatasetState>,
    steps: &[Step],
    pools: Option<(&About, &About)>,
) -> Result<(), Conflict> {
    let Some((from, to)) = pools else { return Ok(()) };
    let mut transfer = Transfer { encrypted: source.encrypted(), ..Transfer::default() };
    for step in steps {
        let Action::Send { spec, .. } = &step.action else { continue };
        transfer.raw |= spec.raw;
        transfer.plain |= !spec.raw;
        transfer.resumed |= spec.resume.is_some();
        transfer.into_encrypted |= !spec.raw && target.is_some_and(DatasetState::encrypted);
    }
    for bug in BUGS {
        let (machine, version) = match bug.at {
            Where::Source => ("the source's", from.version),
            Where::Target => ("the target's", to.version),
        };
        if let Some(version) = version.filter(|version| bug.is_in(*version))
            && (bug.concerns)(transfer)
        {
            let why = format!("{} (openzfs {}; {machine} OpenZFS is {version})", bug.what, bug.report);
            return Err(Conflict::Bug { from: source.name.clone(), why });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).expect("a version")
    }

    #[test]
    fn a_fix_counts_from_its_version_on_in_each_branch() {
        let bug = &BUGS[0];
        for (text, expected) in [
            ("2.1.11", true),
            ("2.2.7", true),
            ("2.2.8", false),
            ("2.2.10", false),
            ("2.3.2", true),
            ("2.3.3", false),
            ("2.4.0", false),
            ("2.5.0", false),
            ("3.0.0", false),
        ] {
            assert_eq!(bug.is_in(version(text)), expected, "{text}");
        }
    }
}
