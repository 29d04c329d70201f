//! This machine: its timers, its clock, the folder of its locks, and what lies below the mountpoints of the pair while
//! nothing is mounted there.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use super::shown;
use super::unknown;
use crate::check::Finding;
use crate::role::decide::Names;
use crate::role::observation::Seen;

/// The timers that a pair needs.
pub const TIMERS: [&str; 2] = ["replicator.timer", "replicator-replicate.timer"];

/// What is asked of systemd about each; [`timers`] reads the answer.
pub const PROPERTIES: &str = "--property=Id,LoadState,UnitFileState,ActiveState,TimersCalendar";

/// How many seconds a snapshot may be dated in the future before clocks are taken to differ.
const APART: i64 = 60;

/// Where locks are, of root.
const LOCKS: &str = "/run/lock/replicator";

/// What is known of this machine.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The timers of [`TIMERS`].
    pub timers: Seen<BTreeMap<String, Timer>>,
    /// How often the policies take snapshots of the pair, in seconds; none where none does.
    pub goal: Seen<Option<u64>>,
    /// Whether something keeps the clock right.
    pub synchronised: Seen<bool>,
    /// How many seconds the newest snapshot of the pair is dated after now.
    pub ahead: Option<i64>,
    /// The folder of the locks of who runs this.
    pub locks: Seen<PathBuf>,
    /// The user as whom the other node's agent is started here, as far as the way there tells: both are mostly the same.
    pub agent_user: Option<String>,
    /// Whether that user becomes root.
    pub elevated: bool,
    /// The directories below the topmost mountpoints of the pair.
    pub directories: Vec<(PathBuf, Seen<Directory>)>,
}

/// A timer, as systemd knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timer {
    /// Whether there is such a unit.
    pub there: bool,
    /// Whether it is started at each boot.
    pub enabled: bool,
    /// Whether it waits for its time.
    pub active: bool,
    /// How often it runs, in minutes; none where that is not so simple.
    pub minutes: Option<u64>,
}

/// What lies below a mountpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directory {
    /// Nothing.
    Absent,
    /// A directory.
    There {
        /// Whether nothing can be made in it (chattr(1), `i`).
        immutable: Seen<bool>,
        /// Whether something is in it.
        filled: bool,
    },
}

/// Reads what `systemctl show` says with [`PROPERTIES`].
#[must_use]
pub fn timers(text: &str) -> BTreeMap<String, Timer> {
    let mut all = BTreeMap::new();
    for block in text.split("\n\n") {
        let (mut id, mut timer) = (None, Timer::default());
        for (key, value) in block.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "Id" => id = Some(value.to_string()),
                "LoadState" => timer.there = value == "loaded",
                "UnitFileState" => timer.enabled = value.starts_with("enabled"),
                "ActiveState" => timer.active = value == "active",
                "TimersCalendar" => {
                    timer.minutes = [timer.minutes, minutes(value)].into_iter().flatten().min();
                }
                _ => {}
            }
        }
        all.extend(id.map(|id| (id, timer)));
    }
    all
}

/// `{ OnCalendar=*-*-* *:02/10:00 ; next_elapse=… }`: every 10 minutes.
fn minutes(value: &str) -> Option<u64> {
    let (_, rest) = value.split_once("OnCalendar=")?;
    let (calendar, _) = rest.split_once(" ;").unwrap_or((rest, ""));
    let time = calendar.strip_prefix("*-*-* ")?;
    let (hour, rest) = time.split_once(':')?;
    let (minute, _) = rest.split_once(':')?;
    if hour != "*" {
        return None;
    }
    match minute.split_once('/') {
        Some((_, step)) => step.parse().ok().filter(|step| *step > 0),
        None if minute == "*" => Some(1),
        None => minute.parse::<u8>().ok().map(|_| 60),
    }
}

/// What there is to say of this machine.
pub(super) fn findings(facts: &Facts, names: &Names) -> Vec<Finding> {
    let mut all = of_timers(facts, &names.here);
    all.push(clock(facts, names));
    all.push(locks(facts, names));
    all.extend(directories(facts, &names.here));
    all
}

fn of_timers(facts: &Facts, here: &str) -> Vec<Finding> {
    let timers = match &facts.timers {
        Seen::Known(timers) => timers,
        Seen::Unknown(why) => {
            let fix = format!("see on {here} that something starts `replicator run` often enough");
            return vec![unknown("timers", format!("what starts runs on {here}"), why, fix)];
        }
    };
    let mut all = Vec::new();
    for name in TIMERS {
        let timer = timers.get(name).cloned().unwrap_or_default();
        let wrong = match (timer.there, timer.enabled, timer.active) {
            (false, ..) => "is not there",
            (true, false, _) => "is not enabled",
            (true, true, false) => "does not run",
            (true, true, true) => {
                all.push(often(name, &timer, &facts.goal));
                continue;
            }
        };
        let text =
            format!("{name} {wrong} on {here}: without it nothing is taken or sent there after a takeover");
        let fix = if timer.there {
            format!("systemctl enable --now {name}")
        } else {
            "install the units of this program".to_string()
        };
        all.push(Finding::fail("timers", text, fix));
    }
    match &facts.goal {
        Seen::Known(Some(_)) => {}
        Seen::Known(None) => {
            let text = "no policy takes snapshots of the pair, and only snapshots are sent";
            let fix = "add a [[dataset]] to the configuration on both nodes".to_string();
            all.push(Finding::fail("timers", text, fix));
        }
        Seen::Unknown(why) => {
            let fix = "replicator config show tells the policies of each dataset".to_string();
            all.push(unknown("timers", "how often snapshots of the pair are to be taken", why, fix));
        }
    }
    all
}

/// Whether a timer that runs is soon enough for the policies.
fn often(name: &str, timer: &Timer, goal: &Seen<Option<u64>>) -> Finding {
    let (Some(minutes), Seen::Known(Some(goal))) = (timer.minutes, goal) else {
        return Finding::ok("timers", format!("{name} is on"));
    };
    if minutes.saturating_mul(60) <= *goal {
        return Finding::ok("timers", format!("{name} runs every {minutes} minutes"));
    }
    let due = goal / 60;
    let text = format!("{name} runs every {minutes} minutes, and a snapshot is due every {due}");
    let fix = format!("systemctl edit {name}: an empty OnCalendar= first, then one for every {due} minutes");
    Finding::warn("timers", text, fix)
}

fn clock(facts: &Facts, names: &Names) -> Finding {
    let fix = "have both nodes follow NTP (chrony, systemd-timesyncd)".to_string();
    let here = &names.here;
    if let Some(ahead) = facts.ahead.filter(|ahead| *ahead > APART) {
        let text = format!(
            "the newest snapshot is dated {ahead} s after the time of {here}: the clocks of both nodes differ"
        );
        return Finding::warn("clock", text, fix);
    }
    match &facts.synchronised {
        Seen::Known(true) => Finding::ok("clock", format!("the clock of {here} is kept right")),
        Seen::Known(false) => {
            let text =
                format!("nothing keeps the clock of {here} right: ages and dates of snapshots go by it");
            Finding::warn("clock", text, fix)
        }
        Seen::Unknown(why) => {
            unknown("clock", format!("whether the clock of {here} is kept right"), why, fix)
        }
    }
}

/// Whether a promotion, which root does, and a receive, which the agent does, see each other's locks.
fn locks(facts: &Facts, names: &Names) -> Finding {
    let (here, peer) = (&names.here, &names.peer);
    let locks = match &facts.locks {
        Seen::Known(locks) => locks,
        Seen::Unknown(why) => {
            let fix = format!("see that root can write to {LOCKS}");
            return unknown("locks", format!("where locks are on {here}"), why, fix);
        }
    };
    let stranger = facts.agent_user.as_deref().filter(|user| *user != "root" && !facts.elevated);
    if let Some(user) = stranger {
        let user = shown(user);
        let text = format!(
            "{peer} is reached as {user}: an agent that is not root's has locks of its own, and changes no root of a pair"
        );
        let fix = "let the agents of a pair run as root (host = \"root@…\"), tied to the roots by the key";
        return Finding::fail("locks", text, fix.to_string());
    }
    if locks != Path::new(LOCKS) {
        let text = format!(
            "locks on {here} are in {}: others may have theirs elsewhere",
            shown(&locks.to_string_lossy())
        );
        return Finding::warn(
            "locks",
            text,
            format!("run this as root, and see that {LOCKS} is root's own folder"),
        );
    }
    Finding::ok("locks", format!("root and the agent have their locks in {LOCKS}"))
}

/// Whether something can be written where nothing is mounted.
fn directories(facts: &Facts, here: &str) -> Vec<Finding> {
    let all: Vec<_> =
        facts.directories.iter().filter_map(|(place, found)| below(place, found, here)).collect();
    if all.is_empty() && !facts.directories.is_empty() {
        let text =
            format!("nothing can be written to the mountpoints on {here} while nothing is mounted there");
        return vec![Finding::ok("mountpoint", text)];
    }
    all
}

/// What is not as it should be where a filesystem is mounted, or would be.
fn below(place: &Path, found: &Seen<Directory>, here: &str) -> Option<Finding> {
    let place = shown(&place.to_string_lossy());
    let protect = format!("on {here}, while nothing is mounted there: chattr +i {place}");
    let (immutable, filled) = match found {
        Seen::Unknown(why) => {
            let what = format!("what lies on {here} in {place} itself, below what is mounted there,");
            return Some(unknown("mountpoint", what, why, protect));
        }
        Seen::Known(Directory::Absent) => return None,
        Seen::Known(Directory::There { immutable, filled }) => (immutable, *filled),
    };
    if filled {
        let text = format!(
            "something lies on {here} in {place} itself: it was written while nothing was mounted there"
        );
        let fix = format!("unmount it, look at what is in {place}, move it away, then chattr +i {place}");
        return Some(Finding::warn("mountpoint", text, fix));
    }
    match immutable {
        Seen::Known(true) => None,
        Seen::Known(false) => {
            let text = format!(
                "what is written on {here} to {place} while nothing is mounted there goes to another disk"
            );
            Some(Finding::warn("mountpoint", text, protect))
        }
        Seen::Unknown(why) => Some(unknown(
            "mountpoint",
            format!("whether {place} itself is protected on {here}"),
            why,
            protect,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Grade;

    const SHOWN: &str = "\
Id=replicator.timer
LoadState=loaded
ActiveState=active
UnitFileState=enabled
TimersCalendar={ OnCalendar=*-*-* *:00/10:00 ; next_elapse=Sat 2026-11-28 14:10:00 UTC }

Id=replicator-replicate.timer
LoadState=loaded
ActiveState=inactive
UnitFileState=disabled
TimersCalendar={ OnCalendar=*-*-* *:02/15:00 ; next_elapse=n/a }
";

    fn names() -> Names {
        Names { here: "elitedesk".to_string(), peer: "thinkpad".to_string() }
    }

    fn facts() -> Facts {
        let on = Timer { there: true, enabled: true, active: true, minutes: Some(10) };
        Facts {
            timers: Seen::Known(TIMERS.map(|name| (name.to_string(), on.clone())).into()),
            goal: Seen::Known(Some(600)),
            synchronised: Seen::Known(true),
            ahead: None,
            locks: Seen::Known(PathBuf::from(LOCKS)),
            agent_user: Some("root".to_string()),
            elevated: false,
            directories: vec![(
                PathBuf::from("/tank/data"),
                Seen::Known(Directory::There { immutable: Seen::Known(true), filled: false }),
            )],
        }
    }

    fn worst(change: impl FnOnce(&mut Facts)) -> (Grade, String) {
        let mut facts = facts();
        change(&mut facts);
        let found = findings(&facts, &names()).into_iter().max_by_key(|one| one.grade).expect("findings");
        (found.grade, found.text)
    }

    #[test]
    fn timers_are_read_as_systemd_shows_them() {
        let found = timers(SHOWN);
        let on = Timer { there: true, enabled: true, active: true, minutes: Some(10) };
        assert_eq!(found.get("replicator.timer"), Some(&on));
        let off = Timer { there: true, minutes: Some(15), ..Timer::default() };
        assert_eq!(found.get("replicator-replicate.timer"), Some(&off));
        for (calendar, expected) in [
            ("*-*-* *:*:00", Some(1)),
            ("*-*-* *:05:00", Some(60)),
            ("*-*-* 03:20:00", None),
            ("Sat *-*-* *:00/15:00", None),
            ("*-*-* *:00,30:00", None),
            ("*-*-* *:00/0:00", None),
        ] {
            let value = format!("{{ OnCalendar={calendar} ; next_elapse=n/a }}");
            assert_eq!(minutes(&value), expected, "{calendar}");
        }
        assert_eq!(timers("System has not been booted with systemd"), BTreeMap::new());
    }

    #[test]
    fn a_machine_in_order_is_good_and_what_is_not_known_is_not() {
        assert_eq!(worst(|_| {}).0, Grade::Ok);
        type Change = fn(&mut Facts);
        let cases: [(Change, Grade, &str); 15] = [
            (|facts| facts.timers = Seen::Known(timers(SHOWN)), Grade::Fail, "is not enabled"),
            (|facts| facts.timers = Seen::Known(BTreeMap::new()), Grade::Fail, "is not there"),
            (|facts| facts.timers = Seen::unknown("no systemd"), Grade::Warn, "not known: no systemd"),
            (
                |facts| facts.goal = Seen::Known(Some(300)),
                Grade::Warn,
                "every 10 minutes, and a snapshot is due every 5",
            ),
            (|facts| facts.goal = Seen::Known(None), Grade::Fail, "no policy takes snapshots"),
            (|facts| facts.goal = Seen::unknown("a pool hangs"), Grade::Warn, "not known: a pool hangs"),
            (|facts| facts.synchronised = Seen::Known(false), Grade::Warn, "nothing keeps the clock"),
            (
                |facts| facts.synchronised = Seen::unknown("no timedatectl"),
                Grade::Warn,
                "not known: no timedatectl",
            ),
            (|facts| facts.ahead = Some(3600), Grade::Warn, "dated 3600 s after"),
            (|facts| facts.agent_user = Some("backup".to_string()), Grade::Fail, "locks of its own"),
            (
                |facts| facts.locks = Seen::Known(PathBuf::from("/tmp/replicator")),
                Grade::Warn,
                "/tmp/replicator",
            ),
            (|facts| facts.locks = Seen::unknown("denied"), Grade::Warn, "not known: denied"),
            (
                |facts| {
                    let found = Directory::There { immutable: Seen::Known(false), filled: false };
                    facts.directories[0].1 = Seen::Known(found);
                },
                Grade::Warn,
                "goes to another disk",
            ),
            (
                |facts| {
                    let found = Directory::There { immutable: Seen::Known(true), filled: true };
                    facts.directories[0].1 = Seen::Known(found);
                },
                Grade::Warn,
                "something lies",
            ),
            (|facts| facts.directories[0].1 = Seen::unknown("not root"), Grade::Warn, "not known: not root"),
        ];
        for (change, grade, words) in cases {
            let (found, text) = worst(change);
            assert_eq!(found, grade, "{text}");
            assert!(text.contains(words), "{words:?} is not in {text:?}");
        }
        assert_eq!(worst(|facts| facts.directories[0].1 = Seen::Known(Directory::Absent)).0, Grade::Ok);
        assert_eq!(
            worst(|facts| (facts.agent_user, facts.elevated) = (Some("backup".to_string()), true)).0,
            Grade::Ok
        );
    }
}
