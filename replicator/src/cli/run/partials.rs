//! Receives that broke off, below the datasets that others send into: a part of pruning. Those whose time is over are
//! thrown away; of the others it is remembered for how long nothing more has come.

use serde_json::json;

use super::Context;
use super::Failure;
use super::Outcome;
use crate::cli;
use crate::cli::format;
use crate::clock;
use crate::codes::Coded;
use crate::host::local::Local;
use crate::receiver::clear;
use crate::receiver::clear::Fate;
use crate::receiver::partials;
use crate::receiver::partials::Lying;
use crate::receiver::partials::Memory;

/// How many of a kind a record holds.
const NAMES: usize = 1000;

/// What became of them.
#[derive(Default)]
pub(super) struct Partials {
    /// A line for each that would go, in a dry run.
    pub(super) text: String,
    pub(super) failures: Vec<Outcome>,
    gone: Vec<Lying>,
    would_go: Vec<Lying>,
    lie: Vec<Lying>,
}

impl Partials {
    /// The end of the summary of a run.
    pub(super) fn summary(&self) -> String {
        let count = |what: &[Lying], end: &str| match what.len() {
            0 => String::new(),
            1 => format!(", 1 partial receive {end}"),
            many => format!(", {many} partial receives {end}"),
        };
        count(&self.gone, "thrown away") + &count(&self.would_go, "too")
    }

    /// For the record.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let list = |all: &[Lying]| all.iter().take(NAMES).map(Lying::to_json).collect::<Vec<_>>();
        json!({ "thrown_away": list(&self.gone), "would_go": list(&self.would_go), "lie": list(&self.lie) })
    }

    fn failed(&mut self, failure: &Failure) {
        cli::complain(failure);
        self.failures.push(failure.outcome);
    }
}

/// Looks through what others send into, and throws away what may go unless this is a dry run.
pub(super) fn clear(context: &Context<'_>) -> Partials {
    let mut all = Partials::default();
    let state = &context.config.folders.state;
    let memory = Memory::read(state).unwrap_or_else(|problem| {
        cli::say(&format!("warning: {problem}; all receives that broke off count as new"));
        Memory::default()
    });
    if context.config.receives.is_empty() && memory.partials.is_empty() {
        return all;
    }
    let (found, unread) = clear::find(context.zfs, &context.config.receives);
    for (root, error) in &unread {
        let message = format!("{root} cannot be looked through for receives that broke off: {error}");
        let hint = error.hint().map(str::to_string);
        all.failed(&Failure::new(error.code(), message).hinted(hint));
    }
    let known = partials::known(&found, &memory, clock::now().as_second());
    let mut host = Local::new(context.zfs.clone());
    for (one, lying) in found.iter().zip(known) {
        if !lying.is_due() || context.cancel.is_cancelled() {
            all.lie.push(lying);
        } else if context.dry_run {
            all.text.push_str(&format!(
                "{}: throw away a receive that broke off: {}\n",
                one.dataset,
                what(&lying)
            ));
            all.would_go.push(lying);
        } else {
            let fate = clear::throw_away(&mut host, one);
            all.came_to(fate, lying);
        }
    }
    let roots: Vec<_> = unread.iter().map(|(root, _)| root).collect();
    let remembered = || all.lie.iter().cloned().chain(partials::unseen(&memory, &roots)).collect();
    if !context.dry_run
        && let Err(error) = Memory::write(state, remembered())
    {
        cli::say(&format!("warning: cannot write {}: {error}", state.join(partials::FILE).display()));
    }
    all
}

impl Partials {
    fn came_to(&mut self, fate: Result<Fate, crate::host::HostError>, lying: Lying) {
        let dataset = &lying.dataset;
        match fate {
            Ok(Fate::Gone) => {
                cli::say(&format!("{dataset}: threw away a receive that broke off: {}", what(&lying)));
                self.gone.push(lying);
            }
            // It counts as new when it is seen next.
            Ok(Fate::Fed) => {}
            Ok(Fate::InUse) => {
                cli::say(&format!("{dataset}: a receive that has got nothing for long is still going on"));
                self.lie.push(Lying { stays: Some("it is just being received into".to_string()), ..lying });
            }
            Err(error) => {
                let message = format!("{dataset}: a receive that broke off cannot be thrown away: {error}");
                self.failed(&Failure::new(error.code(), message).hinted(error.hint()));
                self.lie.push(Lying { stays: Some(error.to_string()), ..lying });
            }
        }
    }
}

/// What goes, in words.
fn what(lying: &Lying) -> String {
    format!("{} had arrived, and nothing more for {}", lying.size(), format::length(lying.idle))
}
