//! Receives that broke off, below the datasets that others send into: they are found without listing any snapshot, and one
//! whose time is over is looked at once more and thrown away. Snapshots are never touched by that, and neither is what is
//! just being received: the kernel refuses it.

use zfs_core::ErrorKind;
use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use super::partials::Found;
use crate::config::receive::Receive;
use crate::host::Change;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Inventory;
use crate::host::Partial;
use crate::host::listing;

/// Those that are there, and the roots that could not be looked through. A root that does not exist has none.
#[must_use]
pub fn find(zfs: &Zfs, receives: &[Receive]) -> (Vec<Found>, Vec<(DatasetName, zfs_core::Error)>) {
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    for receive in receives {
        for root in &receive.roots {
            match below(zfs, root) {
                Ok(all) => found.extend(all.into_iter().map(|(dataset, partial)| Found {
                    dataset,
                    partial,
                    limit: receive.partial_for,
                })),
                Err(error) => unread.push((root.clone(), error)),
            }
        }
    }
    (found, unread)
}

fn below(zfs: &Zfs, root: &DatasetName) -> Result<Vec<(DatasetName, Partial)>, zfs_core::Error> {
    let mut all = Vec::new();
    if zfs.find_dataset(root)?.is_none() {
        return Ok(all);
    }
    for dataset in zfs.tree(root)? {
        let dataset = dataset?;
        let partial = dataset.receive_resume_token().and_then(listing::partial);
        all.extend(partial.map(|partial| (dataset.name.clone(), partial)));
    }
    Ok(all)
}

/// What became of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is thrown away.
    Gone,
    /// More has come since, or it went on to its end.
    Fed,
    /// It is just being received into.
    InUse,
}

/// Throws one away, if it still is as it was found.
///
/// # Errors
/// When it cannot be looked at, or stays for another reason than that it is in use.
pub fn throw_away(host: &mut dyn Host, found: &Found) -> Result<Fate, HostError> {
    let there = match host.inventory(&found.dataset, Depth::One)? {
        Inventory::Present(tree) => tree.root().partial.clone(),
        Inventory::Absent { .. } => None,
    };
    if there.as_ref() != Some(&found.partial) {
        return Ok(Fate::Fed);
    }
    let change = Change::DiscardPartial { dataset: found.dataset.clone(), partial: found.partial.clone() };
    match host.apply(&change) {
        Ok(()) => Ok(Fate::Gone),
        Err(error) if error.zfs_kind() == Some(ErrorKind::Busy) => Ok(Fate::InUse),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use zfs_core::DatasetKind;
    use zfs_core::name::SnapshotName;

    use super::*;
    use crate::cancel::Cancel;
    use crate::engine;
    use crate::engine::Observer;
    use crate::engine::Place;
    use crate::engine::Request;
    use crate::engine::Run;
    use crate::engine::RunError;
    use crate::model::Fault;
    use crate::model::World;
    use crate::plan::Options;
    use crate::plan::Step;
    use crate::transfer::Moved;
    use crate::transfer::retry::Backoff;

    struct Quiet;

    impl Observer for Quiet {
        fn step_started(&self, _: Place, _: &Step) {}
        fn progress(&self, _: Place, _: Moved) {}
        fn step_finished(&self, _: Place, _: &Step, _: Moved) {}
        fn retry(&self, _: &DatasetName, _: &RunError, _: std::time::Duration) {}
        fn note(&self, _: &str) {}
    }

    fn name(text: &str) -> DatasetName {
        text.parse().expect("a name")
    }

    fn snap(text: &str) -> SnapshotName {
        text.parse().expect("a name")
    }

    /// `tank/a@1` on `here`, an empty pool `back` on `there`.
    fn world() -> World {
        let world = World::new(3, &["here", "there"]);
        world.on("here", |here| {
            here.create_pool("tank");
            here.create(&name("tank/a"), DatasetKind::Filesystem, &[]).expect("create");
            for block in 0..30 {
                here.write(&name("tank/a"), block, block);
            }
            here.snapshot(&[snap("tank/a@1")]).expect("snapshot");
        });
        world.on("there", |there| there.create_pool("back"));
        world
    }

    /// One try to send it, which a fault may end.
    fn send(world: &World) {
        let request = Request {
            source: name("tank/a"),
            target: name("back/a"),
            options: Options::default(),
            estimate: false,
            ignore_space: true,
            now: 0,
        };
        let (mut here, mut there) = (world.host("here"), world.host("there"));
        let plan = engine::prepare(&mut here, &mut there, &request).expect("a plan");
        let run = Run { backoff: Backoff { attempts: 1, ..Backoff::default() }, ..Run::default() };
        let (options, cancel) = (&request.options, Cancel::new());
        engine::execute(&plan, options, &mut here, &mut there, &run, &Quiet, &cancel).expect("a report");
    }

    fn found(world: &World) -> Found {
        let Ok(Inventory::Present(tree)) = world.host("there").inventory(&name("back/a"), Depth::One) else {
            panic!("it is not there")
        };
        let partial = tree.root().partial.clone().expect("a receive that broke off");
        Found { dataset: name("back/a"), partial, limit: Some(1) }
    }

    fn exists(world: &World) -> bool {
        world.on("there", |there| there.dataset(&name("back/a")).is_some())
    }

    #[test]
    fn what_broke_off_goes_and_what_went_on_since_stays() {
        let world = world();
        world.inject(Fault::Cut { bytes: 2000 });
        send(&world);
        let first = found(&world);
        // More has come.
        world.inject(Fault::Cut { bytes: 2000 });
        send(&world);
        world.all_struck();
        assert_eq!(throw_away(&mut world.host("there"), &first).expect("looked at"), Fate::Fed);
        let second = found(&world);
        assert_ne!(first.partial, second.partial);
        assert_eq!(throw_away(&mut world.host("there"), &second).expect("thrown away"), Fate::Gone);
        assert!(!exists(&world));
        assert_eq!(throw_away(&mut world.host("there"), &second).expect("looked at"), Fate::Fed);
        // It has come to its end: what is there is a copy, and stays.
        send(&world);
        assert_eq!(throw_away(&mut world.host("there"), &second).expect("looked at"), Fate::Fed);
        assert!(exists(&world));
    }

    #[test]
    fn what_is_being_received_is_left_alone_and_a_missing_right_is_told() {
        let world = world();
        world.inject(Fault::Linger { calls: 40 });
        world.inject(Fault::Cut { bytes: 2000 });
        send(&world);
        world.all_struck();
        let partial = found(&world);
        assert_eq!(throw_away(&mut world.host("there"), &partial).expect("looked at"), Fate::InUse);
        assert!(exists(&world));

        let world = self::world();
        world.inject(Fault::Cut { bytes: 2000 });
        send(&world);
        world.inject(Fault::Denied { machine: "there".to_string(), kind: "discard-partial" });
        let partial = found(&world);
        let error = throw_away(&mut world.host("there"), &partial).expect_err("not allowed");
        assert_eq!(error.zfs_kind(), Some(ErrorKind::PermissionDenied));
        world.all_struck();
        assert!(exists(&world));
    }
}
