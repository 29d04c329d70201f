//! What a person has said about this node, for a while: a small file of the state folder, written as a whole. It ends by
//! itself, and where it is not sure that its time is not over, nothing is known, which holds everything back.

use std::io::ErrorKind;
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::path::PathBuf;

use jiff::SignedDuration;
use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;

use super::Role;
use super::observation::Override;
use super::observation::Seen;
use crate::config::open;
use crate::config::open::OpenError;
use crate::jobs::memory::write_atomically;

/// The longest that a word of a person counts.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How far the clock may have been set back.
const SLACK: SignedDuration = SignedDuration::from_secs(60);

/// The version of what is written today.
const VERSION: u32 = 1;

/// The longest file that is read.
const BYTES: u64 = 4096;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    version: u32,
    role: Role,
    /// When it was said, and when it ends.
    from: String,
    until: String,
}

/// The folder of all pairs.
fn folder(state: &Path) -> PathBuf {
    state.join("pairs")
}

fn file(pair: &str) -> String {
    format!("{pair}.by-hand.json")
}

/// What counts at this time.
#[must_use]
pub fn read(state: &Path, pair: &str, now: Timestamp) -> Seen<Option<Override>> {
    let path = folder(state).join(file(pair));
    // It makes a node the active one: others must not be able to say so.
    let found = match open::file(&path) {
        Err(OpenError::Missing(_)) => return Seen::Known(None),
        found => found.map_err(|error| error.to_string()),
    };
    let mut text = Vec::new();
    let read =
        |file: std::fs::File| file.take(BYTES).read_to_end(&mut text).map_err(|error| error.to_string());
    let text = found.and_then(read).map(|_| text);
    let counts = text.and_then(|text| parse(&text)).and_then(|(said, from)| counts(said, from, now));
    counts.map_err(|why| format!("{}: {why}", path.display())).into()
}

fn parse(text: &[u8]) -> Result<(Override, Timestamp), String> {
    let said: Said = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if said.version != VERSION {
        return Err(format!("it has version {}", said.version));
    }
    let time = |text: &str| text.parse::<Timestamp>().map_err(|error| error.to_string());
    Ok((Override { role: said.role, until: time(&said.until)? }, time(&said.from)?))
}

fn counts(said: Override, from: Timestamp, now: Timestamp) -> Result<Option<Override>, String> {
    if said.until.duration_since(from) > LONGEST {
        return Err(format!("it would count from {from} until {}, which is too long", said.until));
    }
    if now.duration_since(from) < -SLACK {
        return Err(format!("it was said at {from}, and it is {now}: the clock was set back"));
    }
    Ok((now < said.until).then_some(said))
}

/// Says something, until a time.
///
/// # Errors
/// When the file cannot be written; what was said before still counts then.
pub fn set(state: &Path, pair: &str, role: Role, now: Timestamp, until: Timestamp) -> std::io::Result<()> {
    let folder = folder(state);
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&folder)?;
    let said = Said { version: VERSION, role, from: now.to_string(), until: until.to_string() };
    let mut text = serde_json::to_vec_pretty(&said)?;
    text.push(b'\n');
    write_atomically(&folder, &file(pair), &text)
}

/// Takes back what was said. Nothing where nothing was.
///
/// # Errors
/// When the file cannot be removed.
pub fn clear(state: &Path, pair: &str) -> std::io::Result<()> {
    match std::fs::remove_file(folder(state).join(file(pair))) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    #[test]
    fn it_counts_for_its_time_and_can_be_taken_back() {
        let state = tempfile::tempdir().expect("a folder");
        let read = |seconds| read(state.path(), "nfs", at(seconds));
        assert_eq!(read(0), Seen::Known(None));
        clear(state.path(), "nfs").expect("nothing there");
        set(state.path(), "nfs", Role::Standby, at(0), at(3600)).expect("written");
        let said = Seen::Known(Some(Override { role: Role::Standby, until: at(3600) }));
        assert_eq!((read(0), read(3599)), (said.clone(), said.clone()));
        assert_eq!((read(3600), read(1_000_000)), (Seen::Known(None), Seen::Known(None)));
        // A little is no matter, a day is: it would count for a day more.
        assert_eq!(read(-30), said);
        assert!(read(-86_400).why().is_some_and(|why| why.contains("set back")));
        assert_eq!(super::read(state.path(), "other", at(0)), Seen::Known(None));
        set(state.path(), "nfs", Role::Active, at(10), at(20)).expect("written");
        assert_eq!(read(15), Seen::Known(Some(Override { role: Role::Active, until: at(20) })));
        clear(state.path(), "nfs").expect("removed");
        assert_eq!(read(15), Seen::Known(None));
        assert_eq!(std::fs::read_dir(folder(state.path())).expect("listed").count(), 0);
    }

    #[test]
    fn what_cannot_be_read_is_not_known() {
        let state = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder(state.path())).expect("made");
        let path = folder(state.path()).join(file("nfs"));
        let good =
            r#"{"version":1,"role":"active","from":"2027-01-15T08:00:00Z","until":"2027-01-15T09:00:00Z"}"#;
        std::fs::write(&path, good).expect("written");
        let now: Timestamp = "2027-01-15T08:30:00Z".parse().expect("a time");
        assert!(matches!(read(state.path(), "nfs", now), Seen::Known(Some(_))));
        let long = "x".repeat(10_000);
        for text in [
            "",
            &good[..50],
            &good.replace("active", "master"),
            &good.replace("\"version\":1", "\"version\":2"),
            &good.replace("08:00", "8 o'clock"),
            &good.replace("2027-01-15T09", "2027-02-15T09"),
            &good.replace("{\"", "{\"more\":1,\""),
            &long,
        ] {
            std::fs::write(&path, text).expect("written");
            let found = read(state.path(), "nfs", now);
            assert!(found.why().is_some_and(|why| why.contains("nfs.by-hand.json")), "{text}: {found:?}");
        }
        std::fs::write(&path, good).expect("written");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o646)).expect("mode");
        assert!(
            read(state.path(), "nfs", now).why().is_some_and(|why| why.contains("can be written by others"))
        );
        std::fs::remove_file(&path).expect("removed");
        std::fs::create_dir(&path).expect("made");
        assert!(read(state.path(), "nfs", now).known().is_none());
    }
}
