//! Files of events. A line is a comment (`#`), or empty, or tells what is given (`given KEY REST`, before the first event), or
//! is an event: hours and minutes since midnight of the first day, and words. Several events may have the same time.
//!
//! What can be given:
//!
//! - `given encrypted`: the roots are encrypted, with a key that both nodes have in a file
//! - `given roots NAME…` instead of `zpool1/data`
//! - `given pair LINE`: one more line of the pair in the configuration
//! - `given policy LINE` instead of `hourly = 3` and `daily = 3`; each adds a line
//!
//! What can happen, beside what the stand-in for the cluster knows ([`scenarios::proxmox::Cluster::event`]):
//!
//! - `NODE starts`, `NODE stops`: the hook of the guest, before its start and after its stop
//! - `NODE replicator …`: a command
//! - `NODE begins …`: the same, and the next events happen meanwhile; `passes MB` waits until so much has gone over the
//!   network since; `NODE ends` waits for its end; `NODE kills` ends it by SIGKILL
//! - `NODE writes FILE TEXT…`, `NODE fills FILE MB`, `NODE reads FILE`: a file by its path
//! - `NODE sh …`: a line of shell, for what somebody does by hand
//! - `off NODE`, `on NODE`: a power cut, for the cluster as well; `disk NODE`: off, a new disk with an empty pool, and on
//! - `link down`, `link up`, `link slow BYTES` (a second), `link fast`: the network between the two nodes
//! - `clock NODE HOURS`: from now on its clock is so far ahead, or behind
//! - `wait`: time goes by
//!
//! `=> STATUS` behind a command says how it has to end. This is not taken over from what came of it, as the log may be: a file
//! says what is wanted.

/// A file of events.
pub(super) struct Script {
    pub(super) given: Given,
    pub(super) lines: Vec<Line>,
}

/// What is there at first.
pub(super) struct Given {
    pub(super) encrypted: bool,
    pub(super) roots: Vec<String>,
    pub(super) pair: Vec<String>,
    pub(super) policy: Vec<String>,
}

/// A line that comes into the log.
pub(super) enum Line {
    /// A comment, or what is given.
    Told(String),
    Event(Event),
}

/// Something happens.
pub(super) struct Event {
    pub(super) text: String,
    /// Seconds since midnight of the first day.
    pub(super) at: u64,
    pub(super) words: Vec<String>,
    /// How it has to end, if that is said.
    pub(super) status: Option<i32>,
}

impl Line {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Told(text) => text,
            Self::Event(event) => &event.text,
        }
    }
}

impl Event {
    /// Whether there is nothing to see yet: files were written or read, or something goes on that shall not have come to its
    /// end when the next event happens.
    pub(super) fn shows_nothing(&self) -> bool {
        let word = self.words.get(1).map_or("", String::as_str);
        self.words[0] == "passes" || ["slow", "fast", "writes", "fills", "reads", "begins"].contains(&word)
    }

    /// Whether somebody may take away what both nodes have in common.
    pub(super) fn meddles(&self) -> bool {
        self.words.iter().any(|word| word == "sh" || word == "disk")
    }
}

impl Script {
    pub(super) fn parse(text: &str) -> Self {
        let mut given = Given { encrypted: false, roots: Vec::new(), pair: Vec::new(), policy: Vec::new() };
        let mut lines = Vec::new();
        let mut before = 0;
        for line in text.lines() {
            if line.is_empty() || line.starts_with('#') {
                lines.push(Line::Told(line.to_string()));
                continue;
            }
            if let Some(what) = line.strip_prefix("given ") {
                let (key, rest) = what.split_once(' ').unwrap_or((what, ""));
                match key {
                    "encrypted" => given.encrypted = true,
                    "roots" => given.roots = rest.split_whitespace().map(str::to_string).collect(),
                    "pair" => given.pair.push(rest.to_string()),
                    "policy" => given.policy.push(rest.to_string()),
                    other => panic!("nothing is given by {other:?}"),
                }
                lines.push(Line::Told(line.to_string()));
                continue;
            }
            let mut words: Vec<_> = line.split_whitespace().map(str::to_string).collect();
            let time = words.remove(0);
            let (hours, minutes) = time.split_once(':').unwrap_or_else(|| panic!("no time: {line}"));
            let number = |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("no time: {line}"));
            let at = 3600 * number(hours) + 60 * number(minutes);
            let arrow = words.iter().position(|word| word == "=>");
            let status = arrow.map(|arrow| {
                let end = words.split_off(arrow);
                end.get(1)
                    .and_then(|status| status.parse().ok())
                    .unwrap_or_else(|| panic!("no status: {line}"))
            });
            assert!(at >= before, "{line}: that was before");
            assert!(!words.is_empty(), "{line}: nothing happens");
            before = at;
            lines.push(Line::Event(Event { text: line.to_string(), at, words, status }));
        }
        if given.roots.is_empty() {
            given.roots.push("zpool1/data".to_string());
        }
        if given.policy.is_empty() {
            given.policy.extend(["hourly = 3", "daily = 3"].map(str::to_string));
        }
        Self { given, lines }
    }
}

#[test]
fn a_file_of_events_is_read_as_it_says() {
    let script = Script::parse(
        "# two\ngiven encrypted\ngiven pair jobs = 1\n\n0:10 a writes /x y  z\n24:00 a starts => 9\n",
    );
    let events: Vec<_> = script
        .lines
        .iter()
        .filter_map(|line| match line {
            Line::Event(event) => Some((event.at, event.words.join(" "), event.status)),
            Line::Told(_) => None,
        })
        .collect();
    assert_eq!(
        events,
        [(600, "a writes /x y z".to_string(), None), (86_400, "a starts".to_string(), Some(9)),]
    );
    assert!(script.given.encrypted && script.given.pair == ["jobs = 1"]);
    assert_eq!(script.lines.len(), 6);
}
