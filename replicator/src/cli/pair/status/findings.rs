//! What stands out in a pair, each with what can be done about it: pure, from the facts. What nobody has to do anything
//! about is no finding.

use std::collections::BTreeSet;

use zfs_core::DatasetKind;
use zfs_core::name::DatasetName;

use super::facts::Amount;
use super::facts::Apart;
use super::facts::Aside;
use super::facts::Basis;
use super::facts::Facts;
use super::facts::Goal;
use super::facts::Holder;
use super::facts::Line;
use super::facts::Own;
use super::picture::age;
use crate::cli::finding::Finding;
use crate::cli::finding::Level;
use crate::cli::finding::NAMED;
use crate::cli::finding::has;
use crate::cli::finding::is;
use crate::cli::finding::names;
use crate::cli::finding::word;
use crate::cli::format;
use crate::cli::format::length;
use crate::host::DatasetState;
use crate::marks;
use crate::pair::paused::Cause;
use crate::pair::verbs::look::Root;
use crate::role::Role;
use crate::role::decide::Remedy;
use crate::role::decide::Verdict;

/// What differs by less says nothing: metadata, and pools of another layout.
const DRIFT_FLOOR: u64 = 16 << 20;

struct Findings<'f> {
    facts: &'f Facts,
    active: Option<&'f str>,
    all: Vec<Finding>,
}

/// All of them, the gravest first.
pub(super) fn find(facts: &Facts, (here, there): (&Verdict, &Verdict), active: Option<&str>) -> Vec<Finding> {
    let mut findings = Findings { facts, active, all: Vec::new() };
    findings.epochs();
    findings.role(here);
    findings.flapping();
    findings.peer(there);
    findings.unseen();
    findings.pools();
    findings.behind();
    findings.active_side();
    findings.standby_side();
    findings.paused();
    findings.sizes();
    findings.policies();
    findings.asides();
    for line in &facts.unread {
        findings.add(Level::Look, line.clone(), []);
    }
    findings.all.sort_by_key(|one| std::cmp::Reverse(one.level));
    findings.all
}

impl Findings<'_> {
    fn add(&mut self, level: Level, text: String, commands: impl IntoIterator<Item = (String, String)>) {
        self.all.push(Finding::new(level, text, commands));
    }

    fn here(&self) -> String {
        self.facts.names.here.clone()
    }

    fn peer(&mut self, there: &Verdict) {
        let (here, peer, pair) = (self.here(), self.facts.names.peer.clone(), &self.facts.pair);
        if there.role == Role::Isolated && there.remedy == Remedy::Rejoin {
            let text = format!(
                "{peer} was active before {here} took over. What it wrote since is only there; a rejoin keeps it aside and lets {peer} follow."
            );
            self.add(Level::Risk, text, [(peer, format!("replicator pair rejoin {}", word(pair)))]);
            return;
        }
        let Some(away) = &self.facts.away else { return };
        let mut text = format!("{peer} does not answer: {}.", away.why);
        if let Some(reached) = away.reached {
            text.push_str(&format!(" A run reached it {} ago.", age(self.facts.now, reached)));
        }
        if self.active == Some(here.as_str()) {
            text.push_str(
                " Until it is back there is one copy; the next run after that sends what is missing. This shows what can be reached:",
            );
            self.add(Level::Risk, text, [(here, format!("replicator pair role {}", word(pair)))]);
        } else {
            text.push_str(&format!(
                " If it is dead, the cluster starts the service on {here}, whose hook promotes it. Without a cluster, and when it is sure that {peer} writes nothing any more:"
            ));
            self.add(Level::Risk, text, [(here, format!("replicator pair promote {}", word(pair)))]);
        }
    }

    fn epochs(&mut self) {
        let pair = word(&self.facts.pair);
        let mut both: BTreeSet<u64> = BTreeSet::new();
        for root in &self.facts.roots {
            match root.holder(&self.facts.names) {
                Holder::Two { epoch } => drop(both.insert(epoch)),
                Holder::Doubt { node, why } => {
                    let text = format!("The epoch of {} on {node} is not known: {why}.", root.name);
                    let show = format!("zfs get {} {}", marks::EPOCH, dataset(&root.name));
                    self.add(Level::Risk, text, [(node, show)]);
                }
                Holder::One { .. } | Holder::Nobody | Holder::Unseen => {}
            }
        }
        for epoch in both {
            let mut text = format!(
                "Both nodes were promoted to epoch {epoch}, and each may have what the other has not. Decide which one goes on, and stop the service on the other one: what only that one has is then missing in the service, and is kept there under another name (…-divergent-{epoch}), from which it can be copied back."
            );
            text.push_str(&self.apart());
            let (goes_on, other) = ("the node that goes on", "the other one");
            let commands = [
                (goes_on.to_string(), format!("replicator pair promote {pair} --force")),
                (other.to_string(), format!("replicator pair rejoin {pair}")),
            ];
            self.add(Level::Risk, text, commands);
        }
    }

    /// What each choice would leave out, where both nodes could be looked at.
    fn apart(&self) -> String {
        let names = &self.facts.names;
        let own = |node: &str, own: &Own| match (own.snapshots, own.is_nothing()) {
            (_, true) => format!("nothing only on {node}"),
            (0, _) => format!("{} only on {node}", bytes(own.amount)),
            (1, _) => format!("{} in 1 snapshot and since only on {node}", bytes(own.amount)),
            (many, _) => format!("{} in {many} snapshots and since only on {node}", bytes(own.amount)),
        };
        let one = |one: &Apart| {
            format!("{}: {}, {}", one.dataset, own(&names.here, &one.here), own(&names.peer, &one.there))
        };
        let all: Vec<_> = self.facts.apart.iter().map(one).collect();
        let (shown, more) = all.split_at(all.len().min(NAMED));
        match (shown, more.len()) {
            ([], _) => " What each of them has alone is not known from here. When it is decided:".to_string(),
            (shown, 0) => format!(" {}. When it is decided:", shown.join("; ")),
            (shown, more) => format!(" {}; and {more} more. When it is decided:", shown.join("; ")),
        }
    }

    fn flapping(&mut self) {
        if let Some(flapping) = &self.facts.flapping {
            let text = format!("{flapping}. Find out what moves it.");
            self.add(Level::Look, text, []);
        }
    }

    fn role(&mut self, verdict: &Verdict) {
        let names = &self.facts.names;
        let pair = word(&self.facts.pair);
        let command =
            |node: &str, verb: &str| vec![(node.to_string(), format!("replicator pair {verb} {pair}"))];
        // The other findings say it.
        let told = matches!(verdict.remedy, Remedy::Choose);
        let settled =
            matches!(verdict.role, Role::Active | Role::Standby) && verdict.remedy == Remedy::Nothing;
        if told || settled {
            return;
        }
        let reasons: Vec<_> = verdict.reasons.iter().map(|reason| reason.text.as_str()).collect();
        let mut text = format!("{} is {}: {}.", names.here, verdict.role, reasons.join("; "));
        let commands = match verdict.remedy {
            remedy if !verdict.without.is_empty() => {
                text.push_str(
                    " Nothing of what is left out is taken, sent or pruned before that is mended; the rest goes on.",
                );
                command(&names.here, if remedy == Remedy::Promote { "promote" } else { "role" })
            }
            Remedy::Promote => command(&names.here, "promote"),
            Remedy::Rejoin => command(&names.here, "rejoin"),
            Remedy::Handover => {
                text.push_str(&format!(
                    " To go on there, run this; or move the service back to {}.",
                    names.here
                ));
                command(&names.peer, "promote")
            }
            Remedy::Given => command(&names.peer, "promote"),
            Remedy::Wait => {
                text.push_str(" Until that is known nothing is taken, sent or pruned. This shows each thing that was asked:");
                command(&names.here, "role")
            }
            Remedy::Look => {
                text.push_str(" Promote neither node before it is clear which one has the newer data.");
                command(&names.here, "role")
            }
            Remedy::Nothing | Remedy::Choose => Vec::new(),
        };
        self.add(Level::Risk, text, commands);
    }

    fn unseen(&mut self) {
        for root in &self.facts.roots {
            let name = &root.name;
            if let Err(why) = &root.here {
                let text = format!("{name} could not be looked at on {}: {why}.", self.facts.names.here);
                let show = format!("zpool status {}", word(name.pool()));
                self.add(Level::Risk, text, [(self.here(), show)]);
            }
            if let (Err(why), None) = (&root.there, &self.facts.away) {
                let text = format!("{name} could not be looked at on {}: {why}.", self.facts.names.peer);
                self.add(Level::Risk, text, []);
            }
            let Holder::One { node, .. } = root.holder(&self.facts.names) else { continue };
            for side in [&self.facts.names.here, &self.facts.names.peer] {
                if !root.of(&self.facts.names, side).is_ok_and(|root| root.tree.is_none()) {
                    continue;
                }
                if node == *side {
                    let text = format!(
                        "{name} is not there on {side}, which was promoted last: its disk may have been replaced. Start the service on the other node."
                    );
                    self.add(Level::Risk, text, []);
                } else {
                    let text = format!("{name} is not there on {side}: the next run of {node} fills it.");
                    self.add(
                        Level::Risk,
                        text,
                        [(node.clone(), "replicator run --only replicate".to_string())],
                    );
                }
            }
        }
    }

    fn pools(&mut self) {
        for (pool, state) in &self.facts.pools {
            let text = format!("The pool {pool} of {} is {state}.", self.facts.names.here);
            self.add(Level::Risk, text, [(self.here(), format!("zpool status {}", word(pool)))]);
        }
    }

    fn behind(&mut self) {
        let Some(active) = self.active.map(str::to_string) else { return };
        let other = self.other(&active);
        let run = || (active.clone(), "replicator run".to_string());
        let (now, lines) = (self.facts.now, &self.facts.lines);
        let late: Vec<&Line> = lines.iter().filter(|line| line.is_late(now)).collect();
        if let Some(worst) = late.iter().filter_map(|line| line.age(now)).max() {
            let text = format!(
                "{} not reached {other} for up to {}: what was written since is only on {active}.",
                has(&names(late.iter().map(|line| &line.dataset)), late.len()),
                length(worst)
            );
            self.add(Level::Risk, text, [run()]);
        }
        // A root that is missing as a whole is told as such.
        let there = |line: &&Line| {
            let root = self.facts.roots.iter().find(|root| line.dataset.is_within(&root.name));
            root.is_some_and(|root| root.of(&self.facts.names, &other).is_ok_and(|root| root.tree.is_some()))
        };
        let apart: Vec<&Line> = lines
            .iter()
            .filter(|line| line.basis == Basis::Both && line.common.is_none() && there(line))
            .collect();
        let (strange, new): (Vec<&Line>, Vec<&Line>) = apart.into_iter().partition(|line| line.ahead > 0);
        if !new.is_empty() {
            let text = format!(
                "{} never arrived completely on {other}.",
                has(&names(new.iter().map(|line| &line.dataset)), new.len())
            );
            self.add(Level::Risk, text, [run()]);
        }
        for line in strange {
            let text = format!(
                "{} has no snapshot that both nodes have, so nothing is sent. If {active} has what counts, this keeps the other copy under another name, and the next run sends everything:",
                line.dataset
            );
            let name = dataset(&line.dataset);
            let command = format!("zfs rename {name} {}", word(&format!("{}-before", line.dataset)));
            self.add(Level::Risk, text, [(other.clone(), command)]);
        }
        let own: Vec<&Line> = lines.iter().filter(|line| line.ahead > 0 && line.common.is_some()).collect();
        if !own.is_empty() && !self.follows_late(&other) {
            let text = format!(
                "{} got snapshots on {other} that {active} does not have, so nothing more is sent. Look at them. Where {active} goes on, this keeps what only {other} has under another name, and lets it receive again:",
                has(&names(own.iter().map(|line| &line.dataset)), own.len())
            );
            let list = |line: &&Line| {
                (
                    other.clone(),
                    format!("zfs list -t snapshot -o name,creation,used {}", dataset(&line.dataset)),
                )
            };
            let mut commands: Vec<_> = own.iter().take(NAMED).map(list).collect();
            let pair = word(&self.facts.pair);
            commands.push((other.clone(), format!("replicator pair rejoin {pair} --aside")));
            self.add(Level::Risk, text, commands);
        }
        let only = self.only_on(&other, &active);
        if !only.is_empty() {
            let what = is(&names(only.iter()), only.len());
            let mut text = format!("{what} only on {other}: removed on {active}, or made by hand.");
            if self.follows_late(&other) {
                self.add(Level::Note, text, []);
                return;
            }
            text.push_str(&format!(
                " Nothing of that is pruned there meanwhile. A handover to {other} brings it back, as the active node sends what it has; what was removed on purpose has to be destroyed there as well. Look at it first:"
            ));
            let list = |name: &DatasetName| {
                let show = format!("zfs list -r -t all -o name,creation,used {}", dataset(name));
                (other.clone(), show)
            };
            let commands: Vec<_> = only.iter().take(NAMED).map(list).collect();
            self.add(Level::Risk, text, commands);
        }
    }

    /// What the runs of this node do not prune, because data may be lost.
    fn paused(&mut self) {
        let pair = word(&self.facts.pair);
        let active = self.active.map(str::to_string);
        let only = active.as_ref().map(|active| self.only_on(&self.here(), active)).unwrap_or_default();
        for one in &self.facts.paused {
            // What is only here is told as such.
            if one.cause == Cause::Missing && only.iter().any(|name| name.as_str() == one.dataset) {
                continue;
            }
            let level = if one.cause.is_grave() { Level::Risk } else { Level::Look };
            let text = format!("{}. What to do: {}.", one.why, one.hint);
            let look = active.clone().filter(|_| one.cause == Cause::Lost);
            let look = look.map(|active| (active, format!("replicator pair accept {pair} --dry-run")));
            self.all.push(Finding::new(level, text, look));
        }
    }

    /// It was active before, and a rejoin takes care of what it has.
    fn follows_late(&self, node: &str) -> bool {
        let held = |root: &Root| root.epoch().is_some_and(|epoch| epoch.holder.as_str() == node);
        self.facts.roots.iter().any(|root| root.of(&self.facts.names, node).is_ok_and(held))
    }

    fn only_on(&self, node: &str, active: &str) -> Vec<DatasetName> {
        let mut only = Vec::new();
        for root in &self.facts.roots {
            let sides = (root.of(&self.facts.names, node), root.of(&self.facts.names, active));
            let (Ok(copy), Ok(Some(tree))) = (sides.0, sides.1.map(|root| root.tree.as_ref())) else {
                continue;
            };
            let names = copy.datasets().map(|state| &state.name);
            only.extend(names.filter(|name| tree.get(name).is_none()).cloned());
        }
        only
    }

    fn active_side(&mut self) {
        let Some(active) = self.active.map(str::to_string) else { return };
        let promote = || (active.clone(), format!("replicator pair promote {}", word(&self.facts.pair)));
        let readonly = self.each(&active, |root, state| root.value(&state.name, "readonly") == "on");
        if !readonly.is_empty() {
            let text = format!(
                "{active} is active, and {} read-only there: the service cannot write. A promotion does what is missing.",
                is(&names(readonly.iter()), readonly.len())
            );
            self.add(Level::Risk, text, [promote()]);
        } else if !self.facts.unmounted.is_empty() && active == self.facts.names.here {
            let text = format!(
                "{active} is active, and {} not mounted there, as after a restart. A promotion does what is missing.",
                is(&names(self.facts.unmounted.iter()), self.facts.unmounted.len())
            );
            self.add(Level::Risk, text, [promote()]);
        }
        self.keys(&active, "the service cannot use it");
    }

    fn standby_side(&mut self) {
        let Some(active) = self.active.map(str::to_string) else { return };
        let other = self.other(&active);
        if !self.follows_late(&other) {
            let writable = self.each(&other, |root, state| {
                let own = state.name == root.name || root.is_local(&state.name, "readonly");
                own && root.value(&state.name, "readonly") != "on"
            });
            if !writable.is_empty() {
                let text = format!(
                    "{} not read-only on {other}: what is written there stops replication.",
                    is(&names(writable.iter()), writable.len())
                );
                let set =
                    |name: &DatasetName| (other.clone(), format!("zfs set readonly=on {}", dataset(name)));
                let commands: Vec<_> = writable.iter().take(NAMED).map(set).collect();
                self.add(Level::Risk, text, commands);
            }
        }
        self.keys(&other, &format!("{other} cannot take over"));
        let cut = self.each(&other, |_, state| state.partial.is_some());
        if !cut.is_empty() {
            let bytes = |state: &DatasetState| {
                state
                    .partial
                    .as_ref()
                    .and_then(|partial| partial.content.as_ref().ok())
                    .map_or(0, |one| one.bytes)
            };
            let total = self.sum(&other, bytes);
            let text = format!(
                "{} being received on {other}, or was cut off: {} are kept, and the next run goes on from there.",
                is(&names(cut.iter()), cut.len()),
                format::bytes(total)
            );
            self.add(Level::Note, text, []);
        }
    }

    /// The keys that are not loaded on a node, by the dataset that has them.
    fn keys(&mut self, node: &str, so: &str) {
        let mut roots = BTreeSet::new();
        for sides in &self.facts.roots {
            let Ok(root) = sides.of(&self.facts.names, node) else { continue };
            let locked = root.datasets().filter_map(|state| state.encryption.as_ref());
            roots.extend(locked.filter(|how| !how.key_loaded).map(|how| how.root.clone()));
        }
        if roots.is_empty() {
            return;
        }
        let text = format!("The key of {} is not loaded on {node}: {so} before that.", names(roots.iter()));
        let load = |root: &DatasetName| (node.to_string(), format!("zfs load-key {}", dataset(root)));
        let commands: Vec<_> = roots.iter().take(NAMED).map(load).collect();
        self.add(Level::Risk, text, commands);
    }

    fn sizes(&mut self) {
        let (here, peer) = (self.here(), self.facts.names.peer.clone());
        for root in &self.facts.roots {
            let (Ok(ours), Ok(theirs)) = (&root.here, &root.there) else { continue };
            let Some(tree) = &theirs.tree else { continue };
            for state in ours.datasets() {
                let Some(copy) = tree.get(&state.name) else { continue };
                let (one, two) = (state.referenced, copy.referenced);
                let (less, more) = (one.min(two), one.max(two));
                let apart = more - less;
                let over = u128::from(apart) * 100 > u128::from(more) * u128::from(self.facts.drift);
                if apart < DRIFT_FLOOR || !over {
                    continue;
                }
                let text = format!(
                    "{} has {} on {here} and {} on {peer}, which is more than {} % apart. If much was written or deleted there just now, a run settles it; else find out what is missing:",
                    state.name,
                    format::bytes(one),
                    format::bytes(two),
                    self.facts.drift
                );
                let far = format!("{}:{}", self.facts.machine, state.name);
                let command = format!("replicator compare {} {}", dataset(&state.name), word(&far));
                self.all.push(Finding::new(Level::Look, text, [(here.clone(), command)]));
            }
        }
    }

    fn policies(&mut self) {
        let never: Vec<_> = self
            .facts
            .lines
            .iter()
            .filter(|line| line.goal == Goal::Never)
            .map(|line| &line.dataset)
            .collect();
        if !never.is_empty() {
            let text = format!(
                "No policy takes snapshots of {}, and only snapshots are sent. Add a [[dataset]] to the configuration on both nodes.",
                names(never.iter().copied())
            );
            self.add(Level::Risk, text, [(self.here(), "replicator config show".to_string())]);
        }
    }

    fn asides(&mut self) {
        for aside in &self.facts.asides {
            let Aside { node, dataset: name, bytes, kind } = aside;
            let size = bytes.map_or_else(|| "an unknown number of bytes".to_string(), format::bytes);
            let text = format!(
                "{name} on {node} was set aside by a rejoin: {size} that were written there and are nowhere else. Look into it, take what you need, then remove it."
            );
            let shown = dataset(name);
            let look = (*kind == DatasetKind::Filesystem)
                .then(|| (node.clone(), format!("mount -t zfs -o ro,zfsutil {shown} /mnt")));
            let remove = (node.clone(), format!("zfs destroy -r {shown}"));
            self.add(Level::Look, text, look.into_iter().chain([remove]));
        }
    }

    fn other(&self, node: &str) -> String {
        let names = &self.facts.names;
        if node == names.here { names.peer.clone() } else { names.here.clone() }
    }

    /// The datasets of a node that something is true of.
    fn each(&self, node: &str, is: impl Fn(&Root, &DatasetState) -> bool) -> Vec<DatasetName> {
        let mut found = Vec::new();
        for root in self.facts.roots.iter().filter_map(|root| root.of(&self.facts.names, node).ok()) {
            found.extend(root.datasets().filter(|state| is(root, state)).map(|state| state.name.clone()));
        }
        found
    }

    fn sum(&self, node: &str, of: impl Fn(&DatasetState) -> u64) -> u64 {
        let roots = self.facts.roots.iter().filter_map(|root| root.of(&self.facts.names, node).ok());
        roots.flat_map(Root::datasets).fold(0, |sum: u64, state| sum.saturating_add(of(state)))
    }
}

fn dataset(name: &DatasetName) -> String {
    word(name.as_str())
}

/// An amount, with a word where it is more than is known.
fn bytes(amount: Amount) -> String {
    match (amount.exact, amount.bytes) {
        (true, bytes) => format::bytes(bytes),
        (false, 0) => "an unknown number of bytes".to_string(),
        (false, bytes) => format!("at least {}", format::bytes(bytes)),
    }
}
