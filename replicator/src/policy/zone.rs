//! The time zone of a schedule or of names.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::tz::TimeZone;

/// A time zone: `UTC`, a name of the zone database such as `Europe/Berlin`, or a POSIX rule such as
/// `CET-1CEST,M3.5.0,M10.5.0/3`.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone {
    zone: TimeZone,
    text: Arc<str>,
}

/// A time zone that is not known on this machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the time zone {text:?} is not known: {why}. `timedatectl list-timezones` lists those of this machine; most need \
     the package tzdata"
)]
pub struct ZoneError {
    /// The zone as given.
    pub text: String,
    /// What was found instead.
    pub why: String,
}

impl Zone {
    /// Coordinated universal time, in which no hour comes twice.
    #[must_use]
    pub fn utc() -> Self {
        Self { zone: TimeZone::UTC, text: "UTC".into() }
    }

    /// What this machine is set to: `TZ`, else `/etc/localtime`.
    ///
    /// # Errors
    /// When that names a zone that is not known.
    pub fn system() -> Result<Self, ZoneError> {
        let zone = TimeZone::try_system()
            .map_err(|error| ZoneError { text: "system".to_string(), why: error.to_string() })?;
        let text = zone.iana_name().unwrap_or("system").into();
        Ok(Self { zone, text })
    }

    pub(super) fn jiff(&self) -> &TimeZone {
        &self.zone
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    /// Reads the zone database of the machine, unless it is UTC or a rule. `system` is what the machine is set to.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "system" => return Self::system(),
            "UTC" => return Ok(Self::utc()),
            _ => {}
        }
        let zone = TimeZone::get(text).or_else(|error| {
            // Only a rule has digits and needs no database.
            if text.contains(|c: char| c.is_ascii_digit()) { TimeZone::posix(text) } else { Err(error) }
        });
        match zone {
            Ok(zone) => Ok(Self { zone, text: text.into() }),
            Err(error) => Err(ZoneError { text: text.to_string(), why: error.to_string() }),
        }
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::utc()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_need_no_database_and_names_do() {
        let rule = "CET-1CEST,M3.5.0,M10.5.0/3";
        assert_eq!(rule.parse::<Zone>().expect("a zone").to_string(), rule);
        assert_eq!("UTC".parse::<Zone>(), Ok(Zone::utc()));
        let error = "Europe/Atlantis".parse::<Zone>().expect_err("no such zone");
        assert!(error.to_string().contains("Europe/Atlantis"), "{error}");
        for text in ["", "5", "CET-1CEST,M3.5.0", "../../etc/passwd"] {
            assert!(text.parse::<Zone>().is_err(), "{text}");
        }
    }
}
