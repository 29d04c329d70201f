//! Points in time as people write them, read by date(1), which every Debian machine has.

use crate::error::{Context, Result, unfit};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads a date; without a zone it is UTC.
pub fn parse(text: &str) -> Result<SystemTime> {
    let output =
        Command::new("date").args(["--utc", "+%s", "--date", text]).output().context(|| "starting date")?;
    let seconds = String::from_utf8_lossy(&output.stdout).trim().parse::<i64>();
    match seconds {
        Ok(s) if output.status.success() => {
            let distance = Duration::from_secs(s.unsigned_abs());
            let time =
                if s < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
            time.map_or_else(|| unfit(format!("{text:?} is too far away")), Ok)
        }
        _ => unfit(format!("date(1) does not understand {text:?} (try 2026-03-01 12:00)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_dates_and_refuses_nonsense() {
        assert_eq!(parse("1970-01-02").unwrap(), UNIX_EPOCH + Duration::from_secs(86_400));
        assert_eq!(parse("@5").unwrap(), UNIX_EPOCH + Duration::from_secs(5));
        assert!(parse("the day after never").is_err());
    }
}
