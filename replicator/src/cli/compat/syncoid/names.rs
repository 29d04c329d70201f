//! The names that syncoid leaves: snapshots that a run takes, and the tag of holds. Which of them are those of this
//! machine and this identifier is told exactly, so that `nas` never takes those of `nas2` for its own.

use jiff::Zoned;

/// Whose snapshots and holds they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// `syncoid_[IDENTIFIER_]HOST`.
    tag: String,
}

impl Owner {
    /// Of this machine, with an identifier that ends in an underline, or is empty.
    pub(super) fn new(identifier: &str, host: &str) -> Self {
        Self { tag: format!("syncoid_{identifier}{host}") }
    }

    /// The tag of holds.
    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    /// The name of a snapshot that is taken now, on the clock of `now`.
    pub(super) fn snapshot(&self, now: &Zoned) -> String {
        let seconds = now.offset().seconds();
        // A plus sign may not stand in the name of a snapshot.
        let sign = if seconds < 0 { "-" } else { "" };
        let minutes = seconds.unsigned_abs() / 60;
        let time = now.strftime("%Y-%m-%d:%H:%M:%S");
        format!("{}_{time}-GMT{sign}{:02}:{:02}", self.tag, minutes / 60, minutes % 60)
    }

    /// Whether a run of this machine with this identifier took it.
    pub(super) fn took(&self, short: &str) -> bool {
        let stamp = short.strip_prefix(&self.tag).and_then(|rest| rest.strip_prefix('_'));
        stamp.is_some_and(is_stamp)
    }
}

/// `2026-11-27:01:36:00-GMT00:00`, also as older versions wrote it: without the zone.
fn is_stamp(text: &str) -> bool {
    let fits = |text: &str, form: &str| {
        text.len() == form.len()
            && text.bytes().zip(form.bytes()).all(|(have, want)| match want {
                b'0' => have.is_ascii_digit(),
                want => have == want,
            })
    };
    ["0000-00-00:00:00:00-GMT00:00", "0000-00-00:00:00:00-GMT-00:00", "0000-00-00:00:00:00"]
        .iter()
        .any(|form| fits(text, form))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Zoned {
        text.parse().expect("a time")
    }

    #[test]
    fn names_are_those_of_syncoid() {
        let plain = Owner::new("", "nas");
        assert_eq!(
            plain.snapshot(&at("2026-11-27T01:36:00+00:00[UTC]")),
            "syncoid_nas_2026-11-27:01:36:00-GMT00:00"
        );
        let with = Owner::new("off_", "nas");
        assert_eq!(
            with.snapshot(&at("2026-07-01T23:05:09+02:00[Europe/Berlin]")),
            "syncoid_off_nas_2026-07-01:23:05:09-GMT02:00"
        );
        assert_eq!(
            plain.snapshot(&at("2026-01-01T00:00:00-03:30[America/St_Johns]")),
            "syncoid_nas_2026-01-01:00:00:00-GMT-03:30"
        );
        assert_eq!(with.tag(), "syncoid_off_nas");
    }

    #[test]
    fn only_those_of_this_machine_and_identifier_are_its_own() {
        let nas = Owner::new("", "nas");
        for name in ["2026-11-27:01:36:00-GMT00:00", "2026-11-27:01:36:00-GMT-03:30", "2026-11-27:01:36:00"] {
            assert!(nas.took(&format!("syncoid_nas_{name}")), "{name}");
            for other in ["nas2", "nas_x", "off_nas", "na", ""] {
                assert!(!nas.took(&format!("syncoid_{other}_{name}")), "{other}");
            }
        }
        for other in [
            "syncoid_nas",
            "syncoid_nas_",
            "syncoid_nas_2026-11-27",
            "syncoid_nas_2026-11-27:01:36:00-GMT00:00x",
            "xsyncoid_nas_2026-11-27:01:36:00-GMT00:00",
            "autosnap_2026-11-27_01:36:00_daily",
        ] {
            assert!(!nas.took(other), "{other}");
        }
        // A machine whose name is the identifier of another.
        assert!(!Owner::new("", "off").took("syncoid_off_nas_2026-11-27:01:36:00-GMT00:00"));
        assert!(Owner::new("off_", "nas").took("syncoid_off_nas_2026-11-27:01:36:00-GMT00:00"));
    }
}
