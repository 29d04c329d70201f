//! The pools of this machine as somebody changes them who goes by the roles of pairs: before each call it is looked once more,
//! cheaply, whether this node still is what it was when the run began. A hook may take an hour, and the service may have
//! left meanwhile. What belongs to a pair in which that is so is left as it is; everything else goes on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::Failure;
use super::roles::InPair;
use super::roles::Roles;
use crate::codes::Code;
use crate::pools::Destroyed;
use crate::pools::Fault;
use crate::pools::Pools;
use crate::pools::Refused;
use crate::role::Role;

/// What to do where a role has changed in the middle of a run.
pub(super) const HINT: &str = "the next run finds out what this node is now";

/// Who can say what this node is in a pair.
pub(super) trait Standing {
    /// The name of the pair.
    fn name(&self) -> &str;

    /// Its roots.
    fn roots(&self) -> &[DatasetName];

    /// Whether this node still is what it was, and that is one of these.
    fn still(&self, roles: &[Role]) -> Result<(), String>;
}

impl Standing for InPair<'_> {
    fn name(&self) -> &str {
        &self.pair.name
    }

    fn roots(&self) -> &[DatasetName] {
        &self.pair.roots
    }

    fn still(&self, roles: &[Role]) -> Result<(), String> {
        let Some(fence) = &self.fence else { return Err("the role of this node is not known".to_string()) };
        fence.check().map_err(|fenced| fenced.to_string())?;
        if roles.contains(&fence.role()) { Ok(()) } else { Err(format!("this node is {}", fence.role())) }
    }
}

/// What was left as it is of one pair.
struct Left {
    why: String,
    names: BTreeSet<SnapshotName>,
}

/// The pools, behind the fences of all pairs.
pub(super) struct FencedPools<'f> {
    pools: &'f dyn Pools,
    pairs: Vec<&'f dyn Standing>,
    /// By the name of the pair.
    left: RefCell<BTreeMap<String, Left>>,
}

impl<'f> FencedPools<'f> {
    /// Of a machine with these roles.
    pub(super) fn new(pools: &'f dyn Pools, roles: &'f Roles<'_>) -> Self {
        let pairs = roles.pairs.iter().map(|one| one as &dyn Standing).collect();
        Self { pools, pairs, left: RefCell::default() }
    }

    /// What was left as it is, one failure for each pair. Its names go from what `failed`; `done` is what was to be done
    /// with them.
    pub(super) fn told(&self, failed: &mut Vec<(SnapshotName, Fault)>, done: &str) -> Vec<Failure> {
        let left = self.left.take();
        failed.retain(|(name, _)| !left.values().any(|left| left.names.contains(name)));
        let failure = |(pair, Left { why, names }): (String, Left)| {
            let what = match names.len() {
                1 => "1 snapshot is".to_string(),
                many => format!("{many} snapshots are"),
            };
            Failure::new(Code::NoRole, format!("pair {pair}: {what} not {done}: {why}"))
                .hinted(HINT.to_string())
        };
        left.into_iter().map(failure).collect()
    }

    /// Which of these snapshots must be left as they are, as this node is none of these any more, and why.
    fn left<'n>(
        &self,
        names: impl Iterator<Item = &'n SnapshotName>,
        roles: &[Role],
    ) -> BTreeMap<SnapshotName, String> {
        let names: Vec<&SnapshotName> = names.collect();
        let mut left = BTreeMap::new();
        for pair in &self.pairs {
            let within = |name: &SnapshotName| pair.roots().iter().any(|root| name.dataset().is_within(root));
            let of_pair: Vec<SnapshotName> =
                names.iter().copied().filter(|name| within(name)).cloned().collect();
            if of_pair.is_empty() {
                continue;
            }
            let Err(why) = pair.still(roles) else { continue };
            let mut all = self.left.borrow_mut();
            let known = all
                .entry(pair.name().to_string())
                .or_insert_with(|| Left { why: why.clone(), names: BTreeSet::new() });
            known.names.extend(of_pair.iter().cloned());
            left.extend(of_pair.into_iter().map(|name| (name, why.clone())));
        }
        left
    }
}

fn fault(why: &str) -> Fault {
    Fault { kind: ErrorKind::Other, text: why.to_string(), hint: Some(HINT.to_string()) }
}

impl Pools for FencedPools<'_> {
    fn take(&self, snapshots: &[SnapshotName]) -> Result<(), Refused> {
        let left = self.left(snapshots.iter(), &[Role::Active]);
        let Some(why) = left.values().next() else { return self.pools.take(snapshots) };
        let names = left.iter().map(|(name, why)| (name.to_string(), fault(why))).collect();
        Err(Refused { whole: fault(why), names })
    }

    fn destroy(&self, snapshots: &[(SnapshotName, Guid)]) -> Destroyed {
        let left = self.left(snapshots.iter().map(|(name, _)| name), &[Role::Active, Role::Standby]);
        let goes: Vec<_> = snapshots.iter().filter(|(name, _)| !left.contains_key(name)).cloned().collect();
        let mut done = if goes.is_empty() { Destroyed::default() } else { self.pools.destroy(&goes) };
        done.failed.extend(left.into_iter().map(|(name, why)| (name, fault(&why))));
        done
    }

    fn holds(&self, snapshot: &SnapshotName) -> Result<Vec<String>, Fault> {
        self.pools.holds(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use jiff::Timestamp;

    use super::*;
    use crate::cancel::Cancel;
    use crate::prune;
    use crate::prune::Protections;
    use crate::take;
    use crate::take::tests::survey;

    /// A pair with the root `tank/nfs`, in which this node is something until it is not any more.
    struct Pair {
        roots: Vec<DatasetName>,
        role: Role,
        /// How often it may be asked before that.
        asked: Cell<u32>,
    }

    impl Pair {
        fn new(role: Role, until: u32) -> Self {
            let roots = vec!["tank/nfs".parse().expect("a name")];
            Self { roots, role, asked: Cell::new(until) }
        }
    }

    impl Standing for Pair {
        fn name(&self) -> &'static str {
            "nfs"
        }

        fn roots(&self) -> &[DatasetName] {
            &self.roots
        }

        fn still(&self, roles: &[Role]) -> Result<(), String> {
            let Some(left) = self.asked.get().checked_sub(1) else {
                return Err("it was overtaken".to_string());
            };
            self.asked.set(left);
            if roles.contains(&self.role) { Ok(()) } else { Err(format!("it is {}", self.role)) }
        }
    }

    /// What came through.
    #[derive(Default)]
    struct Table(RefCell<Vec<String>>);

    impl Pools for Table {
        fn take(&self, snapshots: &[SnapshotName]) -> Result<(), Refused> {
            self.0.borrow_mut().extend(snapshots.iter().map(|name| name.dataset().to_string()));
            Ok(())
        }

        fn destroy(&self, snapshots: &[(SnapshotName, Guid)]) -> Destroyed {
            self.0.borrow_mut().extend(snapshots.iter().map(|(name, _)| name.dataset().to_string()));
            Destroyed { gone: snapshots.iter().map(|(name, _)| name.clone()).collect(), failed: Vec::new() }
        }

        fn holds(&self, _: &SnapshotName) -> Result<Vec<String>, Fault> {
            Ok(vec!["mine".to_string()])
        }
    }

    const TEXT: &str =
        "[[dataset]]\nname = [\"tank/nfs\", \"tank/nfs2\", \"tank/own\"]\nrecursive = true\nhourly = 1\n";
    const OLD: &[&str] = &["autosnap_2026-11-21_00:00:00_hourly", "autosnap_2026-11-21_01:00:00_hourly"];
    const DATASETS: [(&str, u64, &[&str]); 4] =
        [("tank/nfs", 1, OLD), ("tank/nfs/a", 1, OLD), ("tank/nfs2", 1, OLD), ("tank/own", 1, OLD)];

    fn now() -> Timestamp {
        "2026-11-22T18:15:00Z".parse().expect("a time")
    }

    /// What could not be done, and what that was.
    type Undone = (Vec<(SnapshotName, Fault)>, &'static str);

    /// Which datasets got a snapshot, which lost one, and what was told.
    fn done(pair: &Pair) -> (Vec<String>, Vec<String>, Vec<String>) {
        let survey = survey(TEXT, &DATASETS);
        let all = BTreeSet::new();
        let mut told = Vec::new();
        let mut run = |work: &dyn Fn(&FencedPools<'_>) -> Undone| {
            let table = Table::default();
            let pairs = vec![pair as &dyn Standing];
            let pools = FencedPools { pools: &table, pairs, left: RefCell::default() };
            let (mut failed, what) = work(&pools);
            told.extend(pools.told(&mut failed, what).iter().map(|one| one.message().to_string()));
            assert!(failed.is_empty(), "{failed:?}");
            assert!(pools.told(&mut failed, what).is_empty(), "it is told once");
            let mut through = table.0.take();
            through.sort();
            through
        };
        let taken = run(&|pools| {
            let plan = take::plan(&survey, &all, now());
            (take::carry_out(&plan, pools, &Cancel::new(), &|_| {}).failed, "taken")
        });
        let gone = run(&|pools| {
            let nothing = Protections::new();
            let plan = prune::plan(&survey, &all, &nothing, now());
            (prune::carry_out(&plan, pools, &Cancel::new(), &|_| {}).failed, "destroyed")
        });
        (taken, gone, told)
    }

    #[test]
    fn a_call_waits_for_the_role_and_leaves_what_is_of_a_pair_that_has_changed() {
        let every = ["tank/nfs", "tank/nfs/a", "tank/nfs2", "tank/own"].map(str::to_string).to_vec();
        let others = every[2..].to_vec();
        let (taken, gone, told) = done(&Pair::new(Role::Active, u32::MAX));
        assert_eq!((taken, gone, told), (every.clone(), every.clone(), Vec::new()));
        // Only the active node takes.
        let (taken, gone, told) = done(&Pair::new(Role::Standby, u32::MAX));
        assert_eq!((taken, gone), (others.clone(), every));
        assert_eq!(told, ["pair nfs: 2 snapshots are not taken: it is standby"]);
        // What it was when the run began is over.
        for until in [0, 1] {
            let (taken, gone, told) = done(&Pair::new(Role::Active, until));
            assert_eq!(gone, others, "{until}");
            assert_eq!(taken.len(), if until == 0 { 2 } else { 4 });
            assert!(
                told[told.len() - 1].ends_with("2 snapshots are not destroyed: it was overtaken"),
                "{told:?}"
            );
        }
    }
}
