//! One dataset: what is there, what the plan says of it, and that carried out, with the lines and statuses of syncoid.

use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::log;
use super::plan;
use super::plan::Kind;
use super::plan::Resume;
use super::plan::RollBack;
use super::plan::Series;
use super::plan::Sides;
use super::plan::Verdict;
use super::run::End;
use super::run::Run;
use crate::engine::RunError;
use crate::host::Base;
use crate::host::Change;
use crate::host::DatasetKind;
use crate::host::DatasetState;
use crate::host::Deed;
use crate::host::Depth;
use crate::host::HostError;
use crate::host::Inventory;
use crate::host::SendSpec;
use crate::host::Snapshot;
use crate::host::deed::Doomed;

/// How often a dataset is looked at anew before it is given up.
const TURNS: usize = 8;

/// What one turn came to.
pub(super) enum Turn {
    /// The dataset is done, well or not.
    Done,
    /// Both sides are to be looked at once more.
    Again,
}

/// A dataset on its way.
pub(super) struct One {
    pub(super) source: DatasetState,
    pub(super) name: DatasetName,
    /// As it was last seen; `None` where it does not exist.
    pub(super) target: Option<DatasetState>,
    /// As it was when the turn began.
    pub(super) before: Option<DatasetState>,
    /// The snapshot that it is a clone of, if it is to be one on the target.
    pub(super) origin: Option<Base>,
    /// It goes as an ordinary dataset, whatever it is a clone of.
    pub(super) plain: bool,
    /// The short name of the snapshot that this run took.
    pub(super) taken: Option<String>,
    /// How often what was planned was no longer so.
    pub(super) outdated: usize,
}

/// Why a stream did not arrive.
pub(super) enum Failed {
    /// The run ends.
    End(End),
    /// A side could not be looked at.
    Look(HostError),
    /// A stream, or what goes before it.
    Stream(RunError),
    /// The name is taken on the target.
    Collision(SnapshotName),
    /// It was told.
    Told,
}

impl Run<'_> {
    /// Brings one dataset of the source to its target.
    ///
    /// # Errors
    /// What ends the whole run at once.
    pub(super) fn one(
        &mut self,
        source: &DatasetState,
        name: &DatasetName,
        origin: Option<Base>,
    ) -> Result<(), End> {
        let target = self.targets.get(name).cloned();
        let source = source.clone();
        let mut one = One {
            source,
            name: name.clone(),
            target,
            before: None,
            origin,
            plain: false,
            taken: None,
            outdated: 0,
        };
        let from = one.source.name.clone();
        self.log.debug(format!("syncing source {from} to target {name}."));
        for turn in 0..TURNS {
            if turn > 0 && !self.look_again(&mut one)? {
                return Ok(());
            }
            one.before = one.target.clone();
            let turned = self.turn(&mut one)?;
            match one.target.clone() {
                Some(state) => self.targets.insert(name.clone(), state),
                None => self.targets.remove(name),
            };
            if matches!(turned, Turn::Done) {
                return Ok(());
            }
        }
        self.log.critical(format!(
            "{from} is given up after {TURNS} turns: one of the sides is changed again and again by somebody else"
        ));
        self.at_least(2);
        Ok(())
    }

    /// Looks at both sides once more. Whether the dataset goes on; where it does not, it was told.
    fn look_again(&mut self, one: &mut One) -> Result<bool, End> {
        let sides = (self.source.look(&one.source.name), self.target.look(&one.name));
        match sides {
            (Ok(Some(source)), Ok(target)) => {
                (one.source, one.target) = (source, target);
                Ok(true)
            }
            (Ok(None), _) => {
                self.vanished(&one.source.name);
                Ok(false)
            }
            (Err(error), _) | (_, Err(error)) => self.failed(&error).map(|()| false),
        }
    }

    /// Tells that a dataset of the source is gone, which is no failure of a run that brought something.
    pub(super) fn vanished(&mut self, source: &DatasetName) {
        if self.brought == 0 {
            self.log.critical(format!("cannot open '{source}': dataset does not exist"));
            self.at_least(2);
        } else {
            self.log.warn(format!("Skipping dataset (dataset no longer exists): {source}..."));
        }
    }

    /// Tells an error that ends a dataset.
    pub(super) fn failed(&mut self, error: &HostError) -> Result<(), End> {
        if error.is_cancelled() || self.cancel.is_cancelled() {
            return Err(End::Interrupted);
        }
        self.log.critical(error);
        self.at_least(2);
        Ok(())
    }

    fn turn(&mut self, one: &mut One) -> Result<Turn, End> {
        if !self.options.no_resume
            && let Some(turn) = self.resume(one)?
        {
            return Ok(turn);
        }
        if !self.options.no_sync_snap && one.taken.is_none() && !self.take(one)? {
            return Ok(Turn::Done);
        }
        let sides = Sides {
            source: &one.source,
            target: one.target.as_ref(),
            taken: one.taken.as_deref(),
            origin: one.origin.as_ref().filter(|_| !one.plain),
        };
        if self.options.dump {
            self.dump(&sides);
        }
        match plan::decide(sides, self.options) {
            Verdict::NoSnapshots => self.no_snapshots(one),
            Verdict::NoMatch => self.no_match(one),
            Verdict::UpToDate { newest } => {
                self.brought += 1;
                self.log.info(format!(
                    "no snapshots on source newer than {newest} on target. Nothing to do, not syncing."
                ));
                Ok(Turn::Done)
            }
            Verdict::Go(work) => self.go(one, &work),
        }
    }

    fn dump(&self, sides: &Sides<'_>) {
        let mut text = String::new();
        for (side, state) in [("source", Some(sides.source)), ("target", sides.target)] {
            for one in state.into_iter().flat_map(|state| &state.snapshots) {
                let (short, guid, txg) = (one.name.short(), one.guid, one.createtxg.0);
                text.push_str(&format!("\n{side} @{short} guid {guid} createtxg {txg}"));
            }
        }
        let name = sides.target.map_or(&sides.source.name, |target| &target.name);
        self.log.info(format!("merged snapshot list of {name}: {text}"));
    }

    /// Goes on with a receive that broke off. None where there is none.
    fn resume(&mut self, one: &mut One) -> Result<Option<Turn>, End> {
        let Some(target) = one.target.clone() else { return Ok(None) };
        let Some(partial) = target.partial.clone() else { return Ok(None) };
        match plan::resume(&one.source, one.origin.as_ref(), &partial) {
            Resume::On { to, from, raw } => {
                let spec = self.spec(to, from, raw, Some(partial));
                let size = self.estimate(std::slice::from_ref(&spec));
                self.log.info(format!(
                    "Resuming interrupted zfs send/receive from {} to {} (~ {} remaining):",
                    self.source.name(&one.source.name),
                    self.target.name(&one.name),
                    log::size(size)
                ));
                match self.send(one, &spec, None) {
                    // What was resumed leads to one snapshot only, and the rest is as ever.
                    Ok(()) => Ok(Some(Turn::Again)),
                    Err(failed) => self.lost(one, &failed, 2).map(Some),
                }
            }
            Resume::Gone => {
                self.log
                    .warn("resetting partially receive state because the snapshot source no longer exists");
                let discard = Change::DiscardPartial { dataset: one.name.clone(), partial };
                match self.target.host.apply(&discard) {
                    Ok(()) => Ok(Some(Turn::Again)),
                    Err(error) => self.failed(&error).map(|()| Some(Turn::Done)),
                }
            }
            Resume::Unreadable(why) => {
                let name = self.target.name(&one.name);
                self.log.critical(format!("the receive into {name} that broke off cannot be resumed: {why}"));
                self.at_least(2);
                Ok(Some(Turn::Done))
            }
        }
    }

    /// Takes the snapshot of the run. Whether there is one.
    fn take(&mut self, one: &mut One) -> Result<bool, End> {
        let short = self.owner.snapshot(&(self.clock)());
        let made = one.source.name.snapshot(&short);
        let snapshot = match made {
            Ok(snapshot) => snapshot,
            Err(error) => {
                self.log.critical(format!("no snapshot of {} can be taken: {error}", one.source.name));
                self.at_least(2);
                return Ok(false);
            }
        };
        self.log.debug(format!("creating sync snapshot {snapshot}..."));
        if let Err(error) = self.source.host.deed(&Deed::Snapshot { snapshot: snapshot.clone() }) {
            if let Ok(None) = self.source.look(&one.source.name) {
                self.vanished(&one.source.name);
                return Ok(false);
            }
            return self.failed(&error).map(|()| false);
        }
        // Others may have taken some since the run began, and those are sent, too.
        match self.source.look(&one.source.name) {
            Ok(Some(source)) if source.snapshots.iter().any(|found| found.name == snapshot) => {
                one.source = source;
                one.taken = Some(short);
                Ok(true)
            }
            Ok(_) => {
                self.log.critical(format!("{snapshot} was taken and is not there"));
                self.at_least(2);
                Ok(false)
            }
            Err(error) => self.failed(&error).map(|()| false),
        }
    }

    fn no_snapshots(&mut self, one: &One) -> Result<Turn, End> {
        if self.options.no_sync_snap {
            if !self.options.recursive {
                let text = "CRIT: --no-sync-snap is set, and getnewestsnapshot() could not find any snapshots on source!";
                return Err(End::Dead(text.to_string()));
            }
            self.log.warn("--no-sync-snap is set, and getnewestsnapshot() could not find any snapshots on source for current dataset. Continuing.");
            self.at_least(2);
        }
        self.log.warn(format!(
            "CRITICAL: no snapshots exist on source {}, and you asked for --no-sync-snap.",
            one.source.name
        ));
        self.at_least(1);
        Ok(Turn::Done)
    }

    fn no_match(&mut self, one: &mut One) -> Result<Turn, End> {
        let (from, name) = (&one.source.name, one.name.clone());
        // Never the root of a pool, nor what the source is in.
        let holds_source = self.one_machine && from.is_within(&name);
        if self.options.force_delete && name.parent().is_some() && !holds_source {
            self.log.info(format!("Removing {name} because no matching snapshots were found"));
            match self.destroy_tree(&name, &one.source) {
                Ok(false) => {}
                Ok(true) => {
                    self.targets.retain(|other, _| !other.is_within(&name));
                    (one.target, one.plain) = (None, true);
                    return Ok(Turn::Again);
                }
                Err(error) if error.is_cancelled() => return Err(End::Interrupted),
                Err(error) => self.log.loud(format!("removing {name} failed: {error}")),
            }
        }
        self.log.critical(format!(
            "\nTarget {name} exists but has no snapshots matching with {from}!\n\
             Replication to target would require destroying existing\n\
             target. Cowardly refusing to destroy your existing target.\n"
        ));
        self.at_least(2);
        Ok(Turn::Done)
    }

    /// Destroys it with all that is below, and says so first. False, and nothing is done, where the source is in it: one
    /// machine may have been given by two names, but no receive carries the GUID of a dataset along.
    fn destroy_tree(&mut self, name: &DatasetName, source: &DatasetState) -> Result<bool, HostError> {
        let doomed: Vec<Doomed> = match self.target.host.inventory(name, Depth::All)? {
            Inventory::Present(tree) => tree.datasets().iter().map(Into::into).collect(),
            Inventory::Absent { .. } => return Ok(true),
        };
        if doomed.iter().any(|one| one.guid == source.guid) {
            return Ok(false);
        }
        for one in &doomed {
            self.log.loud(format!("destroying {} (--force-delete)", self.target.name(&one.name)));
            for (snapshot, _) in &one.snapshots {
                self.log.loud(format!("destroying {} (--force-delete)", self.target.name(snapshot)));
            }
        }
        self.target.with_mounts(&Deed::DestroyTree { dataset: name.clone(), doomed }).map(|()| true)
    }

    fn go(&mut self, one: &mut One, work: &plan::Work) -> Result<Turn, End> {
        if self.options.no_resume
            && let Some(partial) = one.target.as_ref().and_then(|target| target.partial.clone())
        {
            self.log.warn("resetting partially receive state");
            let discard = Change::DiscardPartial { dataset: one.name.clone(), partial };
            if let Err(error) = self.target.host.apply(&discard) {
                return self.failed(&error).map(|()| Turn::Done);
            }
        }
        let mut sent = Ok(());
        for (number, series) in work.series.iter().enumerate() {
            let status = if number > 0 && one.before.is_none() { 1 } else { 2 };
            sent = self.series(one, series).map_err(|failed| (failed, series.kind, status));
            if sent.is_err() {
                break;
            }
        }
        if one.before.is_none() && one.target.is_some() {
            self.mount(one);
        }
        if sent.is_ok() {
            self.carry_holds(one, work)?;
        }
        match sent {
            Ok(()) => {
                self.brought += 1;
                if work.ends { Ok(Turn::Done) } else { self.after(one, work) }
            }
            Err((Failed::Collision(snapshot), Kind::Incremental, _))
                if self.options.force_delete && one.before.is_some() =>
            {
                self.collision(&snapshot);
                self.remove(one, &snapshot)
            }
            Err((Failed::Stream(error), Kind::Clone, _)) if !one.plain => {
                self.log.debug(&error);
                self.log.info("clone creation failed, trying ordinary replication as fallback");
                one.plain = true;
                Ok(Turn::Again)
            }
            Err((failed, _, status)) => self.lost(one, &failed, status),
        }
    }

    /// One series of streams.
    fn series(&mut self, one: &mut One, series: &Series) -> Result<(), Failed> {
        let raw = self.options.send.flags.raw && one.source.encrypted();
        let mut from = series.from.clone();
        let mut specs = Vec::with_capacity(series.to.len());
        for to in &series.to {
            let next = Base::Snapshot(to.name.clone(), to.guid);
            specs.push(self.spec(to.clone(), from.replace(next), raw, None));
        }
        let origin = match (series.kind, &series.from) {
            (Kind::Clone, Some(base)) => match self.on_target(base, &one.name) {
                Ok(Some(snapshot)) => Some(snapshot),
                Err(error) => return Err(Failed::Look(error)),
                // What fails here is tried as an ordinary dataset.
                Ok(None) => {
                    return Err(Failed::Stream(RunError::NoSource {
                        host: self.target.host.label().to_string(),
                        dataset: one.name.clone(),
                    }));
                }
            },
            _ => None,
        };
        // With patterns each stream is told alone.
        let alone = series.kind == Kind::Incremental && !self.options.snapshots.is_empty();
        if alone && !self.options.no_stream {
            self.log.info("--no-stream is omitted but snaps are filtered. Simulating -I with filtered snaps");
        }
        for some in specs.chunks(if alone { 1 } else { specs.len() }) {
            self.announce(one, series.kind, some);
            for spec in some {
                self.send(one, spec, origin.as_ref())?;
            }
        }
        Ok(())
    }

    /// The snapshot that a snapshot of the source is in the pool of the target, below the target first.
    fn on_target(&mut self, base: &Base, target: &DatasetName) -> Result<Option<SnapshotName>, HostError> {
        let all = self.targets.values().flat_map(|state| &state.snapshots);
        if let Some(found) = all.into_iter().find(|one| one.guid == base.guid()) {
            return Ok(Some(found.name.clone()));
        }
        // zfs finds the origin of a clone anywhere in its pool.
        let pool: DatasetName = target.pool().parse().map_err(|_| HostError::NoPool {
            host: self.target.host.label().to_string(),
            pool: target.pool().to_string(),
            dataset: target.to_string(),
        })?;
        let Inventory::Present(tree) = self.target.host.inventory(&pool, Depth::All)? else {
            return Ok(None);
        };
        let mut all = tree.datasets().iter().flat_map(|state| &state.snapshots);
        Ok(all.find(|one| one.guid == base.guid()).map(|one| one.name.clone()))
    }

    fn announce(&mut self, one: &One, kind: Kind, specs: &[SendSpec]) {
        let [first, ..] = specs else { return };
        if self.options.quiet {
            return;
        }
        let (to, source) = (self.target.name(&one.name), &one.source.name);
        let last = specs.last().map_or_else(String::new, |last| last.to.name.short().to_string());
        let from = first.from.as_ref().map_or_else(String::new, |from| self.source.name(from.name()));
        let size = if kind == Kind::Bookmark { None } else { self.estimate(specs) };
        let size = log::size(size);
        match kind {
            Kind::Full if self.options.no_stream => self.log.info(format!(
                "--no-stream selected; sending newest full snapshot {} to new target filesystem {to}: (~ {size})",
                self.source.name(format!("{source}@{last}"))
            )),
            Kind::Full => self.log.info(format!(
                "Sending oldest full snapshot {} to new target filesystem {to} (~ {size}):",
                self.source.name(format!("{source}@{last}"))
            )),
            Kind::Clone => {
                self.log.info(format!("Clone is recreated on target {to} based on {from} (~ {size}):"));
            }
            Kind::Bookmark => self.log.info(format!("Sending incremental {from} ... {last} to {to}:")),
            Kind::Incremental => {
                self.log.info(format!("Sending incremental {from} ... {last} to {to} (~ {size}):"));
            }
        }
    }

    /// Mounts what was received for the first time, as `zfs receive` does.
    fn mount(&mut self, one: &One) {
        if self.options.receive.unmounted || one.source.kind != DatasetKind::Filesystem {
            return;
        }
        if let Err(error) = self.target.with_mounts(&Deed::Mount { dataset: one.name.clone() }) {
            // Where its properties say that it is not to be mounted there is nothing to tell.
            self.log.debug(format!("{} is not mounted: {error}", one.name));
        }
    }

    /// Tells what a target gives up.
    pub(super) fn tell(&self, back: &RollBack) {
        let to = back.to.name.short();
        for (snapshot, _) in &back.newer {
            self.log.loud(format!("rolling back to @{to}: destroying {}", self.target.name(snapshot)));
        }
        if back.newer.is_empty() {
            let dataset = self.target.name(back.to.name.dataset());
            self.log.info(format!("rolling back to @{to}: what was written to {dataset} since then goes"));
        }
    }

    /// What the target has after a stream.
    pub(super) fn arrived(&self, one: &mut One, snapshot: &Snapshot, into: SnapshotName) {
        let received = Snapshot { name: into, ..snapshot.clone() };
        let target = one.target.get_or_insert_with(|| DatasetState {
            name: one.name.clone(),
            origin: None,
            partial: None,
            snapshots: Vec::new(),
            bookmarks: Vec::new(),
            written: 0,
            ..one.source.clone()
        });
        target.partial = None;
        target.written = 0;
        target.snapshots.push(received);
    }
}
