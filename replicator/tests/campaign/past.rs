//! What happens to both sides between replications: at random, and as far as the model's rules allow it.

use replicator::marks::Mark;
use replicator::marks::TargetId;
use replicator::model::Dataset;
use replicator::model::Machine;
use replicator::model::Random;
use zfs_core::DatasetKind;
use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

/// Names below the source's root that are made again and again, so that they clash and come back.
const CHILDREN: [&str; 5] = ["x", "y y", "x/deep", "vol", "x/vol"];

/// One side of a history.
pub(crate) struct Past<'m> {
    pub(crate) machine: &'m mut Machine,
    pub(crate) random: &'m mut Random,
    pub(crate) root: &'m DatasetName,
    /// For names and numbers that are new.
    pub(crate) count: &'m mut u64,
    /// What was done.
    pub(crate) said: Vec<String>,
}

impl Past<'_> {
    fn note(&mut self, text: String) {
        self.said.push(text);
    }

    fn new_number(&mut self) -> u64 {
        *self.count += 1;
        *self.count
    }

    fn names(&self) -> Vec<DatasetName> {
        self.machine
            .datasets()
            .map(|(name, _)| name)
            .filter(|name| name.is_within(self.root))
            .cloned()
            .collect()
    }

    fn pick(&mut self) -> Option<DatasetName> {
        let all = self.names();
        self.random.one_of(&all)
    }

    fn child(&mut self) -> DatasetName {
        let below = CHILDREN[self.random.below(CHILDREN.len() as u64) as usize];
        self.root.child(below).expect("short")
    }

    fn pick_snapshot(&mut self) -> Option<SnapshotName> {
        let name = self.pick()?;
        let shorts =
            |dataset: &Dataset| dataset.snapshots.iter().map(|snap| snap.short.clone()).collect::<Vec<_>>();
        let all = shorts(self.machine.dataset(&name)?);
        name.snapshot(&self.random.one_of(&all)?).ok()
    }

    /// Writes a little, or nothing, or frees something.
    fn write(&mut self, name: &DatasetName) {
        let (block, value) = (self.random.below(6), self.new_number());
        match self.random.below(8) {
            0 => self.machine.free(name, block),
            1 => {}
            _ => self.machine.write(name, block, value),
        }
    }

    pub(crate) fn snapshot(&mut self, name: &DatasetName, prefix: &str) {
        self.write(name);
        let number = self.new_number();
        // Sometimes a name that was used before, which the target may still have.
        let number = if self.random.once_in(10) { 1 + self.random.below(number) } else { number };
        let short = format!("{prefix}{number}");
        let snapshot = name.snapshot(&short).expect("short");
        self.note(format!("write, then snapshot {snapshot}"));
        // A dataset that is being received is refused.
        drop(self.machine.snapshot(&[snapshot]));
    }

    fn destroy(&mut self, name: &DatasetName) {
        self.note(format!("destroy {name} with its snapshots"));
        let snapshots =
            self.machine.dataset(name).map(|dataset| dataset.snapshots.clone()).unwrap_or_default();
        for snap in snapshots {
            drop(self.machine.destroy_snapshot(&name.snapshot(&snap.short).expect("short")));
        }
        drop(self.machine.destroy(name));
    }

    fn rename(&mut self, name: &DatasetName) {
        if name == self.root {
            return;
        }
        let number = self.new_number();
        let to = if self.random.once_in(3) {
            self.child()
        } else {
            let all = self.names();
            let above = self.random.one_of(&all).unwrap_or_else(|| self.root.clone());
            let Ok(to) = above.child(&format!("r{number}")) else { return };
            to
        };
        // Names must not grow for ever.
        if to.depth() < 6 {
            self.note(format!("rename {name} to {to}"));
            drop(self.machine.rename(name, &to));
        }
    }

    fn hold_and_bookmark(&mut self, snapshot: &SnapshotName) {
        self.note(format!("hold and bookmark {snapshot}"));
        drop(self.machine.hold(snapshot, "theirs"));
        let theirs = snapshot.dataset().bookmark("theirs").expect("short");
        drop(self.machine.bookmark(&[(theirs, snapshot.clone().into())]));
        // One that another replication keeps for its own target.
        let Some(guid) = self.machine.find(snapshot).map(|snap| snap.guid) else { return };
        let target = TargetId::new(Guid(4711), &"elsewhere/a".parse().expect("a name"));
        let other = Mark { target, guid }.name(snapshot.dataset()).expect("short");
        drop(self.machine.bookmark(&[(other, snapshot.clone().into())]));
    }

    /// Loads or unloads the key of some dataset that has one.
    fn turn_key(&mut self) {
        let all: Vec<_> =
            self.names().into_iter().filter(|name| self.machine.has_key(name).is_some()).collect();
        let Some(name) = self.random.one_of(&all) else { return };
        let loaded = self.machine.has_key(&name) == Some(true);
        self.note(format!("{} the key of {name}", if loaded { "unload" } else { "load" }));
        self.machine.set_key(&name, !loaded);
    }

    /// Something happens on the source.
    pub(crate) fn at_source(&mut self) {
        let Some(name) = self.pick() else { return };
        match self.random.below(20) {
            0 | 1 => {
                let made = self.child();
                let volume = made.as_str().ends_with("vol");
                let kind = if volume { DatasetKind::Volume } else { DatasetKind::Filesystem };
                self.note(format!("create {made}, {kind}"));
                if self.random.once_in(4) && !volume {
                    drop(self.machine.create_encrypted(&made));
                } else {
                    drop(self.machine.create(&made, kind, &[]));
                }
                if self.machine.dataset(&made).is_some() {
                    self.snapshot(&made, "s");
                }
            }
            2..=8 => self.snapshot(&name, "s"),
            9 => {
                let Some(snapshot) = self.pick_snapshot() else { return };
                self.note(format!("prune {snapshot}"));
                drop(self.machine.destroy_snapshot(&snapshot));
            }
            10 => {
                // All but the newest go: what is left in common may be a bookmark.
                self.snapshot(&name, "s");
                self.note(format!("prune {name} to its newest"));
                let all =
                    self.machine.dataset(&name).map(|dataset| dataset.snapshots.clone()).unwrap_or_default();
                for snap in all.iter().rev().skip(1) {
                    drop(self.machine.destroy_snapshot(&name.snapshot(&snap.short).expect("short")));
                }
            }
            11 | 12 => {
                let Some(snapshot) = self.pick_snapshot() else { return };
                let to = self.root.child(&format!("c{}", self.new_number())).expect("short");
                self.note(format!("clone {snapshot} to {to}"));
                drop(self.machine.clone_snapshot(&snapshot, &to, &[]));
                if self.machine.dataset(&to).is_some() {
                    self.snapshot(&to, "s");
                }
            }
            13 => {
                let clones: Vec<_> =
                    self.names().into_iter().filter(|name| self.machine.origin(name).is_some()).collect();
                let Some(clone) = self.random.one_of(&clones) else { return };
                self.note(format!("promote {clone}"));
                drop(self.machine.promote(&clone));
            }
            14 => self.rename(&name),
            15 => {
                if name != *self.root {
                    self.destroy(&name);
                }
            }
            16 => {
                let Some(snapshot) = self.pick_snapshot() else { return };
                let to = name.snapshot(&format!("n{}", self.new_number())).expect("short");
                let to = snapshot.dataset().snapshot(to.short()).expect("short");
                self.note(format!("rename {snapshot} to {to}"));
                drop(self.machine.rename_snapshot(&snapshot, &to));
            }
            17 => self.turn_key(),
            18 => {
                let Some(newest) = self.machine.dataset(&name).and_then(|dataset| dataset.snapshots.last())
                else {
                    return;
                };
                let newest = name.snapshot(&newest.short).expect("short");
                self.note(format!("roll back to {newest}"));
                drop(self.machine.rollback(&newest));
            }
            _ => {
                let Some(snapshot) = self.pick_snapshot() else { return };
                self.hold_and_bookmark(&snapshot);
            }
        }
    }

    /// Something happens on the target that nobody should do there.
    pub(crate) fn at_target(&mut self) {
        let Some(name) = self.pick() else { return };
        match self.random.below(14) {
            0 | 1 => {
                self.note(format!("write to {name}"));
                self.write(&name);
            }
            2 | 3 => self.snapshot(&name, "t"),
            4 => {
                // A name that the source may use next.
                let short = format!("s{}", *self.count + 1 + self.random.below(3));
                let snapshot = name.snapshot(&short).expect("short");
                let old = self.pick_snapshot().filter(|old| *old.dataset() == name);
                if let Some(old) = old {
                    self.note(format!("rename {old} to {snapshot}"));
                    drop(self.machine.rename_snapshot(&old, &snapshot));
                } else {
                    self.note(format!("snapshot {snapshot}"));
                    drop(self.machine.snapshot(&[snapshot]));
                }
            }
            5 | 6 => {
                let Some(snapshot) = self.pick_snapshot() else { return };
                self.note(format!("prune {snapshot}"));
                drop(self.machine.destroy_snapshot(&snapshot));
            }
            7 => {
                let Some(snapshot) = self.pick_snapshot() else { return };
                self.hold_and_bookmark(&snapshot);
            }
            8 => {
                if name != *self.root || self.random.once_in(4) {
                    self.destroy(&name);
                }
            }
            9 => self.rename(&name),
            10 => {
                let made = self.child();
                self.note(format!("create {made}"));
                drop(self.machine.create(&made, DatasetKind::Filesystem, &[]));
            }
            11 => {
                let Some(snapshot) = self.pick_snapshot() else { return };
                let to = self.root.child(&format!("c{}", self.new_number())).expect("short");
                self.note(format!("clone {snapshot} to {to}"));
                drop(self.machine.clone_snapshot(&snapshot, &to, &[]));
            }
            12 => self.turn_key(),
            _ => {
                let Some(newest) = self.machine.dataset(&name).and_then(|dataset| dataset.snapshots.last())
                else {
                    return;
                };
                let newest = name.snapshot(&newest.short).expect("short");
                self.note(format!("roll back to {newest}"));
                drop(self.machine.rollback(&newest));
            }
        }
    }
}
