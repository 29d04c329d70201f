//! What a run of syncoid would bring about, without doing any of it: for who wants to compare. Pure; the rules are those
//! of [`super::plan`], which runs of this front end are carried out by. The snapshots that it takes for itself, and takes
//! away again, are left out.

use std::collections::BTreeMap;

use zfs_core::Guid;
use zfs_core::name::DatasetName;

use super::options::Options;
use super::plan;
use super::plan::Kind;
use super::plan::Resume;
use super::plan::Sides;
use super::plan::Verdict;
use super::run::mapped;
use crate::host::Base;
use crate::host::DatasetState;
use crate::host::Snapshot;

/// What would become of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Foreseen {
    /// What the target would have, by GUID, with the short names.
    pub(in crate::cli) has: BTreeMap<Guid, String>,
    /// What would be destroyed on the target, by short names.
    pub(in crate::cli) goes: Vec<String>,
    /// Changes of the target since its newest snapshot would be undone: so many bytes.
    pub(in crate::cli) undone: u64,
    /// An encrypted dataset would go decrypted.
    pub(in crate::cli) decrypted: bool,
    /// Why it would fail.
    pub(in crate::cli) fails: Option<String>,
    /// Why it would be passed over.
    pub(in crate::cli) passed_over: Option<String>,
}

/// Whose machine it is, and what the datasets of the source say about that.
pub(in crate::cli) struct Machine<'m> {
    /// The name of the machine.
    pub(in crate::cli) host: &'m str,
    /// The property `syncoid:sync` of each dataset that has it.
    pub(in crate::cli) sync: &'m BTreeMap<DatasetName, String>,
}

/// Foresees a run: for each dataset of the target's names what it would have. The states are those of `source` and, with
/// `-r`, all below it, and of the target likewise.
pub(in crate::cli) fn foresee(
    options: &Options,
    machine: &Machine<'_>,
    roots: (&DatasetName, &DatasetName),
    sources: &[DatasetState],
    targets: &[DatasetState],
) -> BTreeMap<DatasetName, Foreseen> {
    let mut all = BTreeMap::new();
    for one in sources {
        let is_root = one.name == *roots.0;
        if options.recursive && (options.skip_parent && is_root || !options.datasets.takes(one.name.as_str()))
        {
            continue;
        }
        let Some(name) = mapped(&one.name, roots.0, roots.1) else { continue };
        let target = targets.iter().find(|target| target.name == name);
        let why = machine.sync.get(&one.name).and_then(|value| super::run::passed_over(value, machine.host));
        let seen = match why {
            Some(why) => Foreseen { passed_over: Some(why), has: snapshots(target), ..Foreseen::default() },
            None => {
                let clones = options.recursive && !options.no_clones;
                let origin = if clones { origin(sources, one) } else { None };
                dataset(options, one, target, origin.as_ref())
            }
        };
        all.insert(name, seen);
    }
    all
}

fn origin(sources: &[DatasetState], of: &DatasetState) -> Option<Base> {
    let origin = of.origin.as_ref()?;
    let snapshots = sources.iter().flat_map(|one| &one.snapshots);
    let found = snapshots.into_iter().find(|one| one.name == *origin)?;
    Some(Base::Snapshot(found.name.clone(), found.guid))
}

fn snapshots(target: Option<&DatasetState>) -> BTreeMap<Guid, String> {
    let all = target.into_iter().flat_map(|target| &target.snapshots);
    all.map(|one| (one.guid, one.name.short().to_string())).collect()
}

fn dataset(
    options: &Options,
    source: &DatasetState,
    target: Option<&DatasetState>,
    origin: Option<&Base>,
) -> Foreseen {
    let mut seen = Foreseen { has: snapshots(target), ..Foreseen::default() };
    seen.decrypted = source.encrypted() && !options.send.flags.raw;
    let mut now = target.cloned();
    if let Some(state) = &mut now
        && let Some(partial) = state.partial.take()
        && !options.no_resume
    {
        match plan::resume(source, origin, &partial) {
            Resume::On { to, .. } => seen.arrives(state, &to),
            Resume::Gone => {}
            Resume::Unreadable(why) => {
                seen.fails = Some(format!("the receive that broke off cannot be resumed: {why}"));
                return seen;
            }
        }
    }
    let sides = Sides { source, target: now.as_ref(), taken: None, origin };
    match plan::decide(sides, options) {
        Verdict::NoSnapshots if options.no_sync_snap => {
            seen.fails = Some("the source has no snapshots".to_string());
        }
        Verdict::NoSnapshots => {}
        Verdict::NoMatch
            if options.force_delete && now.as_ref().is_some_and(|it| it.name.parent().is_some()) =>
        {
            seen.goes = seen.has.values().cloned().collect();
            let anew = dataset(options, source, None, origin);
            seen.has = anew.has;
        }
        Verdict::NoMatch => seen.fails = Some("there is nothing in common".to_string()),
        Verdict::UpToDate { newest } => {
            // The snapshot that it takes is sent, and for that the target is rolled back.
            let base = source.snapshots.iter().find(|one| one.name.short() == newest).map(|one| one.guid);
            if let (false, Some(base), Some(state)) = (options.no_sync_snap, base, &now) {
                seen.roll_back(options, state, base);
                seen.cleaned_up(options, source, state);
            }
        }
        Verdict::Go(work) => {
            if let Some(state) = &now {
                let base = work.series.first().and_then(|series| series.from.as_ref()).map(Base::guid);
                if let Some(base) = base {
                    seen.roll_back(options, state, base);
                }
            }
            if seen.fails.is_some() {
                return seen;
            }
            for series in &work.series {
                for to in &series.to {
                    seen.has.insert(to.guid, to.name.short().to_string());
                }
            }
            let only_bookmark = work.ends && work.series.iter().all(|series| series.kind == Kind::Bookmark);
            if let (false, Some(state)) = (only_bookmark, &now) {
                seen.cleaned_up(options, source, state);
            }
        }
    }
    seen
}

impl Foreseen {
    fn arrives(&mut self, target: &mut DatasetState, to: &Snapshot) {
        self.has.insert(to.guid, to.name.short().to_string());
        if let Ok(name) = target.name.snapshot(to.name.short()) {
            target.snapshots.push(Snapshot { name, ..to.clone() });
            target.written = 0;
        }
    }

    fn roll_back(&mut self, options: &Options, target: &DatasetState, base: Guid) {
        let Some(back) = plan::roll_back(target, base) else { return };
        if options.no_rollback {
            // Newer snapshots in which nothing has changed are no hindrance to a receive.
            if target.written > 0 {
                self.fails = Some("the target has changed since the newest common snapshot".to_string());
            }
            return;
        }
        for (snapshot, guid) in &back.newer {
            self.has.remove(guid);
            self.goes.push(snapshot.short().to_string());
        }
        self.undone = target.written;
    }

    /// What goes from the target afterwards.
    fn cleaned_up(&mut self, options: &Options, source: &DatasetState, target: &DatasetState) {
        if !options.delete_target_snapshots {
            return;
        }
        for (snapshot, guid) in plan::only_there(source, target, &options.snapshots) {
            if self.has.remove(&guid).is_some() {
                self.goes.push(snapshot.short().to_string());
            }
        }
    }
}

/// What a call needs to be foreseen, for those who know the options only as a whole.
impl Options {
    /// It takes a snapshot of its own.
    pub(in crate::cli) fn takes_its_own(&self) -> bool {
        !self.no_sync_snap
    }

    /// It goes over everything below as well.
    pub(in crate::cli) fn is_recursive(&self) -> bool {
        self.recursive
    }
}

#[cfg(test)]
mod tests {
    use super::super::filter::Filter;
    use super::super::plan_tests::dataset as state;
    use super::*;

    fn seen(options: &Options, source: &str, target: Option<&str>) -> Foreseen {
        let source = state("tank/a", source);
        let target = target.map(|has| state("backup/a", has));
        dataset(options, &source, target.as_ref(), None)
    }

    fn has(seen: &Foreseen) -> Vec<&str> {
        seen.has.values().map(String::as_str).collect()
    }

    fn plain() -> Options {
        Options { no_sync_snap: true, ..Options::default() }
    }

    #[test]
    fn what_arrives_and_what_goes_is_foreseen() {
        let first = seen(&plain(), "one=1 two=2", None);
        assert_eq!((has(&first), first.goes.len()), (vec!["one", "two"], 0));
        let more = seen(&plain(), "one=1 two=2 three=3", Some("one=1 own=9"));
        assert_eq!(
            (has(&more), more.goes.as_slice()),
            (vec!["one", "two", "three"], ["own".to_string()].as_slice())
        );
        let newest = Options { no_stream: true, ..plain() };
        assert_eq!(has(&seen(&newest, "one=1 two=2 three=3", Some("one=1"))), ["one", "three"]);
        // Nothing is newer: without a snapshot of its own it leaves the target alone, with one it rolls it back.
        assert!(seen(&plain(), "one=1", Some("one=1 own=9")).goes.is_empty());
        assert_eq!(seen(&Options::default(), "one=1", Some("one=1 own=9")).goes, ["own"]);
        let strict = Options { no_rollback: true, ..plain() };
        assert_eq!(has(&seen(&strict, "one=1 two=2", Some("one=1 own=9"))), ["one", "two", "own"]);
        let (source, mut target) = (state("tank/a", "one=1 two=2"), state("backup/a", "one=1"));
        target.written = 1;
        assert!(dataset(&strict, &source, Some(&target), None).fails.is_some());
        let deletes = Options { delete_target_snapshots: true, ..plain() };
        assert_eq!(seen(&deletes, "one=1 two=2", Some("old=7 one=1")).goes, ["old"]);
        let forced = Options { force_delete: true, ..plain() };
        let anew = seen(&forced, "one=1", Some("other=5"));
        assert_eq!((has(&anew), anew.goes.as_slice()), (vec!["one"], ["other".to_string()].as_slice()));
        assert!(seen(&plain(), "one=1", Some("other=5")).fails.is_some());
        assert!(seen(&plain(), "", None).fails.is_some());
        let filtered = Options {
            snapshots: Filter::new(std::iter::empty(), ["two"].into_iter()).expect("patterns"),
            ..plain()
        };
        assert_eq!(has(&seen(&filtered, "one=1 two=2 three=3", Some("one=1"))), ["one", "three"]);
    }

    #[test]
    fn datasets_that_are_not_meant_are_told() {
        let sources = [state("tank", "one=1"), state("tank/a", "x=2"), state("tank/b", "y=3")];
        let sync = BTreeMap::from([("tank/b".parse().expect("a name"), "other,hosts".to_string())]);
        let machine = Machine { host: "nas", sync: &sync };
        let options = Options {
            recursive: true,
            datasets: Filter::new(std::iter::empty(), ["/a$"].into_iter()).expect("patterns"),
            ..plain()
        };
        let roots = ("tank".parse().expect("a name"), "backup/tank".parse().expect("a name"));
        let all = foresee(&options, &machine, (&roots.0, &roots.1), &sources, &[]);
        let names: Vec<_> = all.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["backup/tank", "backup/tank/b"]);
        assert!(all.values().next_back().is_some_and(|seen| seen.passed_over.is_some()));
    }
}
