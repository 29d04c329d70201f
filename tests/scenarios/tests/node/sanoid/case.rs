//! Random cases: a sanoid.conf, the datasets that there are, their snapshots, a clock in some zone.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use replicator::config::resolve::Effective;
use replicator::model::Random;
use replicator::policy::Period;
use replicator::policy::Snapshot;
use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::DatasetName;

use super::ours;

/// What both are asked about.
pub(super) struct Case {
    pub(super) zone: &'static str,
    pub(super) now: i64,
    pub(super) config: String,
    /// What we make of it.
    pub(super) policies: BTreeMap<DatasetName, Effective>,
    pub(super) datasets: BTreeSet<DatasetName>,
    pub(super) snapshots: BTreeMap<DatasetName, Vec<Snapshot>>,
    /// Percent of each pool in use.
    pub(super) capacity: u8,
    /// Datasets on which the clock was wrong for a while.
    pub(super) odd: BTreeSet<DatasetName>,
}

/// Whose clocks change by an hour, if they do: by half an hour is [`super::fixes`]'.
const ZONES: [&str; 7] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Sydney",
    "America/Santiago",
    "Asia/Kolkata",
    "America/St_Johns",
];

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

impl Case {
    pub(super) fn random(random: &mut Random) -> Self {
        let zone = random.one_of(&ZONES).expect("some");
        let now = clock(random, zone);
        let datasets = datasets(random);
        let mut case = Self {
            zone,
            now,
            config: config(random, &datasets),
            policies: BTreeMap::new(),
            datasets,
            snapshots: BTreeMap::new(),
            capacity: random.below(101) as u8,
            odd: BTreeSet::new(),
        };
        case.policies = ours::policies(&case);
        for dataset in case.datasets.clone() {
            let dates = case.history(random, &dataset);
            case.add(random, &dataset, dates);
        }
        case
    }

    /// One dataset, `tank`, at a time that is given on the clock of its zone, with these snapshots.
    pub(super) fn of(now: &str, settings: &str, snapshots: Vec<Snapshot>) -> Self {
        let now: jiff::Zoned = now.parse().expect("a time with its zone");
        let zone = now.time_zone().iana_name().expect("a zone with a name");
        let tank: DatasetName = "tank".parse().expect("a valid name");
        let mut case = Self {
            zone: ZONES.into_iter().chain(["Australia/Lord_Howe"]).find(|one| *one == zone).expect("known"),
            now: now.timestamp().as_second(),
            config: format!("[template_default]\nhourly=0\ndaily=0\nmonthly=0\n[tank]\n{settings}\n"),
            policies: BTreeMap::new(),
            datasets: BTreeSet::from([tank.clone()]),
            snapshots: BTreeMap::from([(tank, snapshots)]),
            capacity: 0,
            odd: BTreeSet::new(),
        };
        case.policies = ours::policies(&case);
        case
    }

    /// Dates of snapshots, the newest first for each period, as years of runs leave them, with gaps.
    fn history(&self, random: &mut Random, dataset: &DatasetName) -> Vec<(String, i64)> {
        let policy = self.policies.get(dataset).map(|effective| &effective.policy);
        let mut dates = Vec::new();
        for period in Period::ALL {
            let count = policy.and_then(|policy| policy.retention.periods[period]);
            let count = count.map_or(3, |keep| u64::from(keep.count));
            let length = period.seconds(replicator::policy::Every::default()) as i64;
            let mut at = self.now - random.below(2 * length as u64) as i64;
            if random.once_in(3) {
                at -= at.rem_euclid(MINUTE);
            }
            for _ in 0..random.below(count.min(40) + 5) {
                dates.push((word(random, period), at));
                at -= length + random.below(length as u64 / 2 + 1) as i64 - length / 4;
                if random.once_in(8) {
                    at -= length * random.below(5) as i64;
                }
            }
        }
        for name in
            ["manual", "before-upgrade", "autosnap_2020_quarterly", "syncoid_host_hourly", "zlib_daily"]
        {
            if random.once_in(6) {
                dates.push((name.to_string(), self.now - random.below(400 * DAY as u64) as i64));
            }
        }
        dates
    }

    /// Makes snapshots of dates, some moved to just round the time at which they begin to count.
    fn add(&mut self, random: &mut Random, dataset: &DatasetName, dates: Vec<(String, i64)>) {
        let mut dates = dates;
        let named = |(at, (word, creation)): (usize, &(String, i64))| {
            let word = if word.ends_with("ly") && word.starts_with('_') {
                format!("autosnap_{at}{word}")
            } else {
                format!("{word}{}", if word.ends_with("ly") { "" } else { "-x" })
            };
            (word, *creation)
        };
        let all: Vec<_> = dates.iter().enumerate().map(named).collect();
        let before = snapshots(dataset, &all);
        for due in ours::due_of(self, dataset, &before) {
            let ends = format!("_{}", due.period);
            let newest =
                dates.iter_mut().filter(|(word, _)| *word == ends).max_by_key(|(_, creation)| *creation);
            let Some((_, creation)) = newest.filter(|_| random.once_in(2)) else { continue };
            *creation = (due.slot - 1 + random.below(3) as i64).min(self.now);
        }
        if random.once_in(25) {
            // The clock was ahead.
            dates.push((word(random, Period::Hourly), self.now + random.below(40 * DAY as u64) as i64 + 1));
            self.odd.insert(dataset.clone());
        }
        let all: Vec<_> = dates.iter().enumerate().map(named).collect();
        let mut all = snapshots(dataset, &all);
        if random.once_in(25) && all.len() > 1 {
            // The clock was wrong for two of them.
            let last = all.len() - 1;
            let swapped = all[0].createtxg;
            all[0].createtxg = all[last].createtxg;
            all[last].createtxg = swapped;
            self.odd.insert(dataset.clone());
        }
        self.snapshots.insert(dataset.clone(), all);
    }

    pub(super) fn timestamp(&self) -> Timestamp {
        Timestamp::from_second(self.now).expect("a time")
    }

    pub(super) fn tz(&self) -> TimeZone {
        TimeZone::get(self.zone).expect("a zone of the node")
    }

    /// As `zfs get -Hrpt snapshot creation` prints them.
    pub(super) fn listing(&self) -> String {
        let mut text = String::new();
        for snapshot in self.snapshots.values().flatten() {
            let _ = writeln!(text, "{}\tcreation\t{}\t-", snapshot.name, snapshot.creation);
        }
        text
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "at {} ({}) in {}, {}% in use", self.timestamp(), self.now, self.zone, self.capacity)?;
        writeln!(f, "{}", self.config)?;
        for dataset in &self.datasets {
            writeln!(f, "{dataset}{}", if self.odd.contains(dataset) { " (wrong dates)" } else { "" })?;
        }
        write!(f, "{}", self.listing())
    }
}

/// By date in the order of their groups.
pub(super) fn snapshots(dataset: &DatasetName, dates: &[(String, i64)]) -> Vec<Snapshot> {
    let mut dates: Vec<_> = dates.iter().collect();
    dates.sort_by_key(|(_, creation)| *creation);
    let one = |(at, (name, creation)): (usize, &&(String, i64))| Snapshot {
        name: dataset.snapshot(name).expect("a valid name"),
        guid: Guid(at as u64 + 1),
        createtxg: Txg(at as u64 + 10),
        creation: *creation,
    };
    dates.iter().enumerate().map(one).collect()
}

/// The end of a name. Mostly as sanoid gives them.
fn word(random: &mut Random, period: Period) -> String {
    if random.once_in(40) { format!("_x-y_{period}") } else { format!("_{period}") }
}

/// Mostly where clocks change, or months and years do.
fn clock(random: &mut Random, zone: &str) -> i64 {
    let zone = TimeZone::get(zone).expect("a zone of the node");
    let year = 2023 + random.below(5) as i16;
    let start = jiff::civil::date(year, 1, 1).to_zoned(zone.clone()).expect("a time").timestamp();
    let near = |random: &mut Random, at: i64, width: i64| at - width + random.below(2 * width as u64) as i64;
    let at = match random.below(6) {
        0 | 1 => {
            let changes: Vec<_> = zone.following(start).take(4).map(|change| change.timestamp()).collect();
            match random.one_of(&changes) {
                Some(change) if random.once_in(2) => near(random, change.as_second(), 3 * HOUR),
                Some(change) => near(random, change.as_second(), 36 * HOUR),
                None => near(random, start.as_second(), DAY),
            }
        }
        2 => near(random, start.as_second(), 3 * DAY),
        3 => {
            let date = jiff::civil::date(year, 1 + random.below(12) as i8, 1);
            near(random, date.to_zoned(zone).expect("a time").timestamp().as_second(), DAY)
        }
        _ => start.as_second() + random.below(365 * DAY as u64) as i64,
    };
    if random.once_in(4) { at - at.rem_euclid(15 * MINUTE) } else { at }
}

fn datasets(random: &mut Random) -> BTreeSet<DatasetName> {
    let mut names = vec!["tank".to_string()];
    for _ in 0..random.below(8) {
        let above = random.one_of(&names).expect("some");
        let last = random.one_of(&["a", "b", "c", "ab", "a-b", "A"]).expect("some");
        if above.matches('/').count() < 3 {
            names.push(format!("{above}/{last}"));
        }
    }
    names.extend(["store", "store/x"].map(str::to_string));
    names.iter().map(|name| name.parse().expect("a valid name")).collect()
}

const TRUE: [&str; 6] = ["1", "true", "TRUE", "yes", "Yes", "on"];
const FALSE: [&str; 6] = ["0", "false", "FALSE", "no", "No", "off"];
const COUNTS: [u64; 8] = [0, 0, 1, 2, 3, 5, 12, 36];
const TEMPLATES: [&str; 4] = ["production", "backup", "one", "two"];

fn config(random: &mut Random, datasets: &BTreeSet<DatasetName>) -> String {
    let mut names: Vec<String> = datasets.iter().map(ToString::to_string).collect();
    names.push("tank/missing".to_string());
    let mut sections = BTreeSet::new();
    let mut parts = Vec::new();
    for _ in 0..1 + random.below(4) {
        let name = random.one_of(&names).expect("some");
        if sections.insert(name.clone()) {
            parts.push(section(random, &name));
        }
    }
    if random.once_in(6) && !sections.iter().any(|name| name.starts_with("store")) {
        parts.push(format!("[elsewhere]\n\tpath = store/x\n{}", settings(random)));
    }
    for name in TEMPLATES {
        parts.push(format!("[template_{name}]\n{}", settings(random)));
    }
    if random.once_in(3) {
        parts.push(format!("[template_default]\n{}", settings(random)));
    }
    // Templates may stand anywhere; the order of the others counts.
    let first = random.below(parts.len() as u64) as usize;
    parts.rotate_left(first);
    parts.join("\n")
}

fn section(random: &mut Random, name: &str) -> String {
    let mut text = format!("[{name}]\n");
    if random.below(3) > 0 {
        let one = random.one_of(&TEMPLATES).expect("some");
        let list = match random.one_of(&TEMPLATES) {
            Some(two) if random.once_in(3) && one != two => format!("{one} , {two}"),
            _ => one.to_string(),
        };
        let _ = writeln!(text, "\tuse_template={list}");
    }
    match random.below(5) {
        0 | 1 => drop(writeln!(text, "\trecursive = {}", flag(random, true))),
        2 => drop(writeln!(text, "\trecursive = {}", random.one_of(&["zfs", "ZFS"]).expect("some"))),
        3 => drop(writeln!(text, "\trecursive = {}", flag(random, false))),
        _ => {}
    }
    if random.once_in(8) {
        let _ = writeln!(text, "\tskip_children = {}", flag(random, true));
    }
    if random.once_in(6) {
        let value = random.once_in(2);
        let _ = writeln!(text, "\tprocess_children_only = {}", flag(random, value));
    }
    text + &settings(random)
}

fn flag(random: &mut Random, value: bool) -> &'static str {
    random.one_of(if value { &TRUE } else { &FALSE }).expect("some")
}

/// Some settings, each at most once.
fn settings(random: &mut Random) -> String {
    let mut text = String::new();
    let mut set = |random: &mut Random, times: u64, key: &str, value: String| {
        if random.once_in(times) {
            let _ = writeln!(text, "{key}{}{value}", random.one_of(&["=", " = ", "\t=  "]).expect("some"));
        }
    };
    for period in Period::ALL {
        let count = random.one_of(&COUNTS).expect("some");
        set(random, 2, period.word(), count.to_string());
    }
    for (times, key) in [(6, "autosnap"), (6, "autoprune"), (6, "monitor")] {
        let value = random.below(3) > 0;
        let word = flag(random, value).to_string();
        set(random, times, key, word);
    }
    let minute =
        |random: &mut Random| random.one_of(&[0, 0, 1, 15, 29, 30, 45, 59]).expect("some").to_string();
    let hour = |random: &mut Random| random.one_of(&[0, 1, 2, 2, 3, 12, 22, 23]).expect("some").to_string();
    for key in ["hourly_min", "daily_min", "weekly_min", "monthly_min", "yearly_min"] {
        let value = minute(random);
        set(random, 3, key, value);
    }
    for key in ["daily_hour", "weekly_hour", "monthly_hour", "yearly_hour"] {
        let value = hour(random);
        set(random, 3, key, value);
    }
    let wday = random.below(7).to_string();
    set(random, 3, "weekly_wday", wday);
    for key in ["monthly_mday", "yearly_mday"] {
        // Later days are a matter of `fixes`.
        let value = (1 + random.below(28)).to_string();
        set(random, 3, key, value);
    }
    let month = (1 + random.below(12)).to_string();
    set(random, 3, "yearly_mon", month);
    let period = random.one_of(&[1, 5, 7, 10, 15, 20, 30, 45, 60]).expect("some").to_string();
    set(random, 3, "frequent_period", period);
    let defer = random.one_of(&[0, 0, 0, 30, 60, 90, 100]).expect("some").to_string();
    set(random, 4, "prune_defer", defer);
    text
}
