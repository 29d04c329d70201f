//! `replicator pair role`.

use std::path::Path;

use jiff::SignedDuration;
use jiff::Timestamp;
use serde_json::json;

use super::Failure;
use super::Outcome;
use crate::cancel::Cancel;
use crate::cli;
use crate::cli::config::From;
use crate::codes::Code;
use crate::config::Config;
use crate::config::age;
use crate::config::pair::Pair;
use crate::config::pair::Watch;
use crate::role::Role;
use crate::role::by_hand;
use crate::role::decide::Names;
use crate::role::decide::Purpose;
use crate::role::observation::About;
use crate::role::observation::Observation;
use crate::role::observation::PeerSaid;
use crate::role::watch::Decision;
use crate::role::watch::Eyes;
use crate::role::watch::watch;

/// Show which role this node has in a pair, why, and what to do about it.
///
/// Looks several times, as configured, at who decides where the service is, at the epochs of the pools here and on the
/// other node, and at what a person has said. Nothing is changed but what --set and --clear say; a lease is not renewed.
///
///   active    the service is here, and this node was promoted: it takes snapshots and sends them
///
///   standby   the other node has the service: this one receives
///
///   isolated  this node had the service, and what it wrote may be nowhere else: it neither sends nor receives
///
///   unknown   something is not known for sure: nothing is taken, sent, received or pruned
///
/// A root whose pool is gone, or is not the one that was promoted, is left out and named: the role counts for the others.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The pair; all of the configuration when none is named.
    #[arg(value_name = "PAIR")]
    pair: Option<String>,

    /// Look once instead of as often as configured.
    #[arg(long)]
    once: bool,

    /// Leave the other node alone.
    #[arg(long)]
    without_peer: bool,

    /// Say for a while what this node is, where nobody else can: active needs a promotion all the same, and none of the
    /// two goes against a cluster that works. `unknown` holds everything back, as for maintenance. Make sure yourself that
    /// the other node has no service before you say `active`.
    #[arg(long, value_name = "ROLE", value_enum, requires = "lasting", requires = "pair")]
    set: Option<Said>,

    /// How long that counts: up to 7d.
    #[arg(long = "for", id = "lasting", value_name = "TIME", requires = "set", value_parser = lasting)]
    lasting: Option<u64>,

    /// Take back what was said with --set.
    #[arg(long, requires = "pair", conflicts_with = "set")]
    clear: bool,

    /// As JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    from: From,
}

const EXAMPLES: &str = "\
Examples:
  replicator pair role
  replicator pair role nfs --json
  replicator pair role nfs --once --without-peer
  replicator pair role nfs --set unknown --for 2h     # hold everything back
  replicator pair role nfs --clear

The exit status is 0 for active and standby, 9 for isolated and unknown, and where a root is left out.";

/// What a person can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Said {
    Active,
    Standby,
    Isolated,
    Unknown,
}

impl Said {
    fn role(self) -> Role {
        match self {
            Self::Active => Role::Active,
            Self::Standby => Role::Standby,
            Self::Isolated => Role::Isolated,
            Self::Unknown => Role::Unknown,
        }
    }
}

/// A length of time in seconds, within what a word of a person counts.
fn lasting(text: &str) -> Result<u64, String> {
    let longest = by_hand::LONGEST.as_secs().unsigned_abs();
    match age::parse(text)? {
        0 => Err("it would be over at once".to_string()),
        seconds if seconds > longest => Err("it may count for 7d at most".to_string()),
        seconds => Ok(seconds),
    }
}

/// A pair, with what was found.
struct Found<'a> {
    pair: &'a Pair,
    names: Names,
    decision: Decision,
}

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let (config, _) = arguments.from.usable()?;
    let pairs = wanted(&config, arguments.pair.as_deref())?;
    for pair in &pairs {
        say(arguments, &config.folders.state, pair)?;
    }
    // Side by side: most of the time is waiting between two looks.
    let found: Result<Vec<_>, Failure> = std::thread::scope(|scope| {
        let looking: Vec<_> = pairs
            .iter()
            .map(|pair| scope.spawn(|| look(arguments, &config.folders.state, pair, cancel)))
            .collect();
        let lost = |_| Err(Failure::new(Code::Defect, "a defect of this program: a look panicked"));
        looking.into_iter().map(|look| look.join().unwrap_or_else(lost)).collect()
    });
    let found = found?;
    let text = if arguments.json {
        let list: Vec<_> = found.iter().map(Found::to_json).collect();
        format!("{:#}\n", json!({ "pairs": list }))
    } else {
        found.iter().map(Found::describe).collect::<Vec<_>>().join("\n")
    };
    cli::print(&text)?;
    let sure = |found: &Found<'_>| {
        let verdict = &found.decision.verdict;
        matches!(verdict.role, Role::Active | Role::Standby) && verdict.without.is_empty()
    };
    Ok(if found.iter().all(sure) { Outcome::Success } else { Outcome::NoRole })
}

fn wanted<'a>(config: &'a Config, name: Option<&str>) -> Result<Vec<&'a Pair>, Failure> {
    let found: Vec<_> =
        config.pairs.iter().filter(|pair| name.is_none_or(|name| pair.name == name)).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let message = match name {
        Some(name) => format!("the configuration has no pair {name}"),
        None => "the configuration has no pair".to_string(),
    };
    let all: Vec<_> = config.pairs.iter().map(|pair| pair.name.as_str()).collect();
    let hint = match all.as_slice() {
        [] => "add a [pair.NAME] to it, on both nodes".to_string(),
        all => format!("it has {}", all.join(", ")),
    };
    Err(Failure::new(Code::NotConfigured, message).hinted(hint))
}

/// Writes down what a person says, or takes it back.
fn say(arguments: &Arguments, state: &Path, pair: &Pair) -> Result<(), Failure> {
    let written = match (arguments.set, arguments.lasting) {
        (Some(said), Some(seconds)) => {
            let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(Timestamp::MIN);
            let lasting = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            let until = now.checked_add(lasting).unwrap_or(Timestamp::MAX);
            by_hand::set(state, &pair.name, said.role(), now, until)
        }
        _ if arguments.clear => by_hand::clear(state, &pair.name),
        _ => Ok(()),
    };
    written.map_err(|error| {
        let message = format!("what was said about {} cannot be written down: {error}", pair.name);
        Failure::new(Code::Local, message)
            .hinted(format!("run it as root; it is kept in {}", state.display()))
    })
}

fn look<'a>(
    arguments: &Arguments,
    state: &Path,
    pair: &'a Pair,
    cancel: &Cancel,
) -> Result<Found<'a>, Failure> {
    let names = Names::of(pair);
    let mut eyes = Eyes::of(pair, state.to_path_buf());
    if arguments.without_peer {
        eyes.peer = Box::new(|_| PeerSaid::NotAsked);
    }
    let how = Watch { times: if arguments.once { 1 } else { pair.watch.times }, ..pair.watch };
    let decision = watch(&mut eyes, &names, &how, Purpose::Run, cancel)
        .map_err(|error| Failure::new(Outcome::Interrupted, error.to_string()))?;
    Ok(Found { pair, names, decision })
}

impl Found<'_> {
    fn to_json(&self) -> serde_json::Value {
        let verdict = &self.decision.verdict;
        json!({
            "pair": self.pair.name,
            "node": self.names.here,
            "peer": self.names.peer,
            "role": verdict.role,
            "reasons": verdict.reasons,
            "without": verdict.without,
            "remedy": { "kind": verdict.remedy, "text": verdict.remedy.text(&self.pair.name, &self.names) },
            "observations": self.decision.observations,
        })
    }

    fn describe(&self) -> String {
        let verdict = &self.decision.verdict;
        let mut text = format!("{}: {} is {}\n", self.pair.name, self.names.here, verdict.role);
        for about in Observation::PARTS {
            text.push_str(&format!("  {:<9} {}\n", about.word(), self.shown(about)));
        }
        for (at, reason) in verdict.reasons.iter().enumerate() {
            let word = if at == 0 { "because" } else { "" };
            text.push_str(&format!("  {word:<9} {}\n", reason.text));
        }
        let remedy = verdict.remedy.text(&self.pair.name, &self.names);
        text.push_str(&format!("  {:<9} {remedy}\n", "to do"));
        text
    }

    /// A part of what was observed: each time, where it was not always the same.
    fn shown(&self, about: About) -> String {
        let mut all: Vec<_> = self.decision.observations.iter().map(|one| one.show(about)).collect();
        let first = self.decision.observations.first();
        let same = |other: &Observation| first.is_none_or(|first| !first.differs(other).contains(&about));
        if self.decision.observations.iter().all(same) {
            all.truncate(1);
        }
        let text = all.join(" / ");
        // The reasons below say more.
        let told = self.decision.verdict.reasons.iter().any(|reason| reason.about == about);
        match text.split_once(": ") {
            Some((unknown @ ("not known" | "does not answer"), _)) if told => unknown.to_string(),
            _ => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_counts_for_a_week_at_most() {
        assert_eq!(lasting("2h"), Ok(7200));
        assert_eq!(lasting("7d"), Ok(604_800));
        for wrong in ["0", "8d", "2", "soon", ""] {
            assert!(lasting(wrong).is_err(), "{wrong}");
        }
    }
}
