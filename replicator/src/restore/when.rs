//! Which snapshot is meant by `--at`: its name, or a moment, for which it is the newest that is not younger. Pure.

use jiff::Timestamp;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use zfs_core::name::SnapshotName;

/// What `--at` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// The short name of a snapshot.
    Snapshot(String),
    /// A moment, in seconds since 1970.
    Moment(i64),
}

/// What is neither a snapshot nor a moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither one of the snapshots nor a time")]
pub struct NotUnderstood(pub String);

impl When {
    /// Reads `name`, `@name`, `pool/dataset@name`, `2026-11-27`, `2026-11-27 14:30`, `14:30`, `now`, `2h ago`, `3 days ago`
    /// or a moment of RFC 3339. A name goes before a time; a time without a zone is read in `zone`, and a date stands for its
    /// end: what there was on that day.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn read(
        text: &str,
        snapshots: &[SnapshotName],
        now: Timestamp,
        zone: &TimeZone,
    ) -> Result<Self, NotUnderstood> {
        let text = text.trim();
        let named =
            |name: &&SnapshotName| name.as_str() == text || name.short() == text.trim_start_matches('@');
        if let Some(found) = snapshots.iter().find(named) {
            return Ok(Self::Snapshot(found.short().to_string()));
        }
        let moment = moment(text, now, zone).ok_or_else(|| NotUnderstood(text.to_string()))?;
        Ok(Self::Moment(moment.as_second()))
    }

    /// The snapshot, among those of a dataset with their times.
    #[must_use]
    pub fn choose<'s>(&self, snapshots: &'s [(SnapshotName, i64)]) -> Option<&'s (SnapshotName, i64)> {
        match self {
            Self::Snapshot(short) => snapshots.iter().find(|(name, _)| name.short() == short),
            Self::Moment(moment) => {
                // Of one second the last: lists are in the order in which they were taken.
                snapshots.iter().filter(|(_, taken)| taken <= moment).max_by_key(|(_, taken)| *taken)
            }
        }
    }
}

fn moment(text: &str, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    if text == "now" {
        return Some(now);
    }
    if let Ok(stamp) = text.parse::<Timestamp>() {
        return Some(stamp);
    }
    let zoned = |at: DateTime| at.to_zoned(zone.clone()).ok().map(|at| at.timestamp());
    if let Ok(date) = Date::strptime("%Y-%m-%d", text) {
        return zoned(date.at(23, 59, 59, 0));
    }
    for form in ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"] {
        if let Ok(at) = DateTime::strptime(form, text) {
            return zoned(at);
        }
    }
    if let Ok(time) = jiff::civil::Time::strptime("%H:%M", text) {
        // Of today, or of yesterday where that has not come yet.
        let today = zoned(now.to_zoned(zone.clone()).date().to_datetime(time))?;
        return if today <= now { Some(today) } else { today.checked_sub(24.hours()).ok() };
    }
    let span: jiff::Span = text.parse().ok()?;
    let before = now.to_zoned(zone.clone()).checked_add(span).ok()?.timestamp();
    // What is to come has no snapshots.
    if before <= now { Some(before) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshots() -> Vec<(SnapshotName, i64)> {
        [("tank/a@one", 100), ("tank/a@two", 200), ("tank/a@2026-11-20", 200), ("tank/a@four", 400)]
            .map(|(name, at)| (name.parse().expect("a name"), at))
            .to_vec()
    }

    fn read(text: &str) -> Result<When, NotUnderstood> {
        let names: Vec<_> = snapshots().into_iter().map(|(name, _)| name).collect();
        let now = "2026-11-27T15:30:00Z".parse().expect("a time");
        When::read(text, &names, now, &TimeZone::UTC)
    }

    fn second(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("a time").as_second()
    }

    #[test]
    fn a_name_goes_before_a_time_and_times_are_written_as_people_do() {
        for text in ["two", "@two", "tank/a@two"] {
            assert_eq!(read(text), Ok(When::Snapshot("two".to_string())), "{text}");
        }
        assert_eq!(read("2026-11-20"), Ok(When::Snapshot("2026-11-20".to_string())));
        for (text, expected) in [
            ("2026-11-21", "2026-11-21T23:59:59Z"),
            ("2026-11-21 08:05", "2026-11-21T08:05:00Z"),
            ("2026-11-21T08:05:09", "2026-11-21T08:05:09Z"),
            ("2026-11-21T08:05:09+02:00", "2026-11-21T06:05:09Z"),
            ("14:00", "2026-11-27T14:00:00Z"),
            ("16:00", "2026-11-26T16:00:00Z"),
            ("2h ago", "2026-11-27T13:30:00Z"),
            ("3 days ago", "2026-11-24T15:30:00Z"),
            ("now", "2026-11-27T15:30:00Z"),
        ] {
            assert_eq!(read(text), Ok(When::Moment(second(expected))), "{text}");
        }
        for text in ["", "three", "tank/b@two", "in 2h", "2h", "2026-13-01"] {
            assert!(read(text).is_err(), "{text:?}: {:?}", read(text));
        }
    }

    #[test]
    fn a_moment_means_the_newest_snapshot_that_is_not_younger() {
        let all = snapshots();
        let short = |when: When| when.choose(&all).map(|(name, _)| name.short().to_string());
        assert_eq!(short(When::Moment(99)), None);
        assert_eq!(short(When::Moment(100)).as_deref(), Some("one"));
        assert_eq!(short(When::Moment(399)).as_deref(), Some("2026-11-20"));
        assert_eq!(short(When::Moment(9999)).as_deref(), Some("four"));
        assert_eq!(short(When::Snapshot("two".to_string())).as_deref(), Some("two"));
        assert_eq!(short(When::Snapshot("gone".to_string())), None);
    }
}
