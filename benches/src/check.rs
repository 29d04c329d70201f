//! Whether a replication did what it was measured for. Nothing is won by doing less: both sides must end with the same
//! snapshots under the same GUIDs, and there must have been something to do.

use std::collections::BTreeMap;

use crate::error::BenchError;
use crate::error::Result;

/// Snapshots by their names below the root of a tree, with their GUIDs.
pub type Snapshots = BTreeMap<String, u64>;

/// What a run is expected to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Snapshots to send.
    Work,
    /// Nothing to do.
    Nothing,
}

/// Reads `zfs list -Hp -t snapshot -o name,guid -r ROOT`.
///
/// # Errors
/// Where a line is anything else: what cannot be read is not nothing.
pub fn snapshots(root: &str, listed: &str) -> Result<Snapshots> {
    let mut found = Snapshots::new();
    for line in listed.lines() {
        let one = line.split_once('\t').and_then(|(name, guid)| {
            let below = name.strip_prefix(root)?;
            below.starts_with(['/', '@']).then_some((below.to_string(), guid.parse().ok()?))
        });
        let Some((name, guid)) = one else {
            return Err(BenchError::Unfit(format!("the snapshots of {root} cannot be read from {line:?}")));
        };
        found.insert(name, guid);
    }
    Ok(found)
}

/// Before a run.
///
/// # Errors
/// Where the target does not leave the program what is to be measured.
pub fn before(who: &str, expected: Expected, source: &Snapshots, target: &Snapshots) -> Result<()> {
    let void = |why: String| Err(BenchError::Void { who: who.to_string(), why });
    if source.is_empty() {
        return void("the source has no snapshots".into());
    }
    let missing = source.iter().filter(|(name, guid)| target.get(*name) != Some(guid)).count();
    match expected {
        Expected::Work if missing == 0 => void("its target has everything before it starts".into()),
        Expected::Nothing if missing > 0 => {
            void(format!("its target lacks {missing} snapshots before it starts"))
        }
        _ => Ok(()),
    }
}

/// After a run.
///
/// # Errors
/// Where the two sides differ.
pub fn after(who: &str, source: &Snapshots, target: &Snapshots) -> Result<()> {
    let void = |why: String| Err(BenchError::Void { who: who.to_string(), why });
    if let Some((name, guid)) = source.iter().find(|(name, guid)| target.get(*name) != Some(guid)) {
        return void(match target.get(name) {
            None => format!("{name} did not arrive"),
            Some(other) => format!("{name} has GUID {other} at the target and {guid} at the source"),
        });
    }
    match target.keys().find(|name| !source.contains_key(*name)) {
        Some(name) => void(format!("{name} is at the target and not at the source")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(all: &[(&str, u64)]) -> Snapshots {
        all.iter().map(|(name, guid)| ((*name).to_string(), *guid)).collect()
    }

    #[test]
    fn listings_are_read_and_what_is_none_is_an_error() {
        let listed = "tank/a@one\t17\ntank/a/b c@two\t18\n";
        assert_eq!(snapshots("tank/a", listed).unwrap(), of(&[("@one", 17), ("/b c@two", 18)]));
        assert_eq!(snapshots("tank/a", "").unwrap(), Snapshots::new());
        for bad in ["tank/ab@one\t17", "tank/a@one", "tank/a@one\tx", "cannot open 'tank/a'"] {
            assert!(snapshots("tank/a", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_run_that_has_nothing_to_send_is_void() {
        let all = of(&[("@one", 1), ("@two", 2)]);
        let some = of(&[("@one", 1)]);
        assert!(before("x", Expected::Work, &all, &some).is_ok());
        assert!(before("x", Expected::Work, &all, &all).is_err());
        assert!(before("x", Expected::Nothing, &all, &all).is_ok());
        assert!(before("x", Expected::Nothing, &all, &some).is_err());
        assert!(before("x", Expected::Work, &Snapshots::new(), &Snapshots::new()).is_err());
    }

    #[test]
    fn a_run_that_sent_less_more_or_something_else_is_void() {
        let all = of(&[("@one", 1), ("@two", 2)]);
        assert!(after("x", &all, &all).is_ok());
        assert!(after("x", &all, &of(&[("@one", 1)])).unwrap_err().to_string().contains("did not arrive"));
        assert!(after("x", &all, &of(&[("@one", 1), ("@two", 3)])).is_err());
        assert!(after("x", &all, &of(&[("@one", 1), ("@two", 2), ("@three", 3)])).is_err());
    }
}
