//! A machine of the model as a [`Host`]: what the replication sees of it.

use zfs_core::DatasetKind;
use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::Operation;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use streams::ModelIncoming;
use streams::ModelOutgoing;
use streams::stream;

use super::World;
use super::machine::Machine;
use super::machine::Refused;
use super::receive::Receiver;
use super::send::Stream;
use crate::compare::content::Entry;
use crate::compare::content::Piece;
use crate::compare::content::Take;
use crate::host::About;
use crate::host::Base;
use crate::host::Change;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Incoming;
use crate::host::Inventory;
use crate::host::Outgoing;
use crate::host::Properties;
use crate::host::ReceiveSpec;
use crate::host::RemovalCost;
use crate::host::SendSpec;
use crate::host::Tree;
use crate::marks::FirstCopy;
use crate::pair::Claim;
use crate::pair::fence::Admitted;
use crate::pair::fence::Asked;
use crate::pair::fence::NotAdmitted;
use crate::pair::fence::admit;
use crate::pair::fence::counted;
use crate::pair::fence::overtake;

mod changes;
mod streams;

/// One machine of a [`World`].
#[derive(Clone, Debug)]
pub struct ModelHost {
    world: World,
    machine: String,
    process: u64,
    /// What was presented of a pair: then it answers as an agent does that has the machine's name.
    claim: Option<Claim>,
    /// Errors read as those of the `zfs` command, and bookmarks are made one by one.
    plain: bool,
}

impl ModelHost {
    pub(super) fn new(world: World, machine: String, process: u64) -> Self {
        Self { world, machine, process, claim: None, plain: false }
    }

    /// The same, as a machine that has only the `zfs` command.
    #[must_use]
    pub fn plain(self) -> Self {
        Self { plain: true, ..self }
    }

    /// Looks at the machine.
    pub(super) fn look<T>(
        &self,
        what: impl FnOnce(&Machine) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        let mut inner = self.world.lock();
        inner.enter(self.process, &self.machine)?;
        inner.answered(&self.machine)?;
        what(inner.machine(&self.machine))
    }

    /// A listing, which can fail as a whole.
    fn list<T>(
        &self,
        root: &dyn ToString,
        what: impl FnOnce(&Machine) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        let mut inner = self.world.lock();
        inner.enter(self.process, &self.machine)?;
        inner.answered(&self.machine)?;
        if inner.faults.listing(&self.machine) {
            let error = Refused::new(Operation::ListSnapshots, root.to_string(), ErrorKind::Io);
            return Err(self.error(error));
        }
        what(inner.machine(&self.machine))
    }

    /// Changes something.
    pub(crate) fn effect<T>(
        &self,
        name: impl FnOnce() -> String,
        change: impl FnOnce(&mut Machine) -> Result<T, Refused>,
    ) -> Result<T, HostError> {
        let mut inner = self.world.lock();
        inner.enter(self.process, &self.machine)?;
        inner.effect(&self.machine, name, |machine| change(machine).map_err(|refused| self.error(refused)))
    }

    fn error(&self, refused: Refused) -> HostError {
        if !self.plain {
            return HostError::Zfs(refused.into());
        }
        let (operation, message) = said(&refused);
        HostError::Remote {
            host: self.machine.clone(),
            operation,
            subject: refused.subject,
            message: message.to_string(),
        }
    }

    pub(super) fn need_guid(&self, name: &str, expected: Guid, found: Option<Guid>) -> Result<(), HostError> {
        if found == Some(expected) {
            return Ok(());
        }
        Err(HostError::Changed { host: self.machine.clone(), name: name.to_string(), expected, found })
    }

    /// Puts a request through the fence of an agent, once something was presented.
    fn admit(&self, asked: Option<Asked>) -> Result<Option<Admitted>, HostError> {
        let (Some(claim), Some(asked)) = (&self.claim, asked) else { return Ok(None) };
        let node = self.machine.parse().expect("the name of a node");
        let admitted = admit(&mut self.unfenced(), &node, &asked, Some(claim));
        admitted.map(Some).map_err(|error| self.not_admitted(error))
    }

    fn not_admitted(&self, error: NotAdmitted) -> HostError {
        match error {
            NotAdmitted::Host(error) => *error,
            NotAdmitted::Refused(refusal) => HostError::Fenced {
                host: self.machine.clone(),
                kind: refusal.kind(),
                message: refusal.to_string(),
                hint: refusal.hint(),
            },
        }
    }

    fn unfenced(&self) -> Self {
        Self { claim: None, ..self.clone() }
    }
}

impl Host for ModelHost {
    fn label(&self) -> &str {
        &self.machine
    }

    fn is_far(&self) -> bool {
        self.plain
    }

    fn inventory(&mut self, root: &DatasetName, depth: Depth) -> Result<Inventory, HostError> {
        self.list(root, |machine| {
            if machine.dataset(root).is_some() {
                let asked = |name: &&DatasetName| match depth {
                    Depth::One => *name == root,
                    Depth::All => name.is_within(root),
                };
                let states = machine.datasets().map(|(name, _)| name).filter(asked);
                let states = states.filter_map(|name| machine.state(name, true)).collect();
                return Tree::new(root, states).map(Inventory::Present).map_err(|error| {
                    HostError::BadAnswer {
                        host: self.machine.clone(),
                        operation: "list",
                        why: error.to_string(),
                    }
                });
            }
            let mut ancestor = root.parent();
            while let Some(name) = ancestor {
                if let Some(state) = machine.state(&name, false) {
                    let below = |other: &&DatasetName| other.parent().as_ref() == Some(&name);
                    let children = machine.datasets().map(|(name, _)| name).filter(below).cloned().collect();
                    return Ok(Inventory::Absent { ancestor: Box::new(state), children });
                }
                ancestor = name.parent();
            }
            Err(HostError::NoPool {
                host: self.machine.clone(),
                pool: root.pool().to_string(),
                dataset: root.to_string(),
            })
        })
    }

    fn about(&mut self, pool: &str) -> Result<About, HostError> {
        self.look(|machine| {
            let missing = || self.error(Refused::new(Operation::ListPools, pool, ErrorKind::NotFound));
            let found = machine.pools.get(pool).ok_or_else(missing)?;
            Ok(About {
                pool: pool.to_string(),
                guid: found.guid,
                version: Some(found.version),
                features: found.features.as_ref().clone(),
            })
        })
    }

    fn properties(&mut self, root: &DatasetName, depth: Depth) -> Result<Properties, HostError> {
        self.list(root, |machine| {
            let missing = || self.error(Refused::new(Operation::Inspect, root, ErrorKind::NotFound));
            machine.dataset(root).ok_or_else(missing)?;
            let asked = |name: &&DatasetName| match depth {
                Depth::One => *name == root,
                Depth::All => name.is_within(root),
            };
            let names = machine.datasets().map(|(name, _)| name).filter(asked).cloned();
            Ok(machine.properties(names))
        })
    }

    fn answers_itself(&self) -> bool {
        !self.plain
    }

    fn removal_cost(&mut self, dataset: &DatasetName) -> Result<RemovalCost, HostError> {
        self.list(dataset, |machine| {
            let missing = || self.error(Refused::new(Operation::Inspect, dataset, ErrorKind::NotFound));
            let found = machine.dataset(dataset).ok_or_else(missing)?;
            let first = |fits: &dyn Fn(&super::Snap) -> bool| {
                found.snapshots.iter().find(|snap| fits(snap)).and_then(|s| dataset.snapshot(&s.short).ok())
            };
            Ok(RemovalCost {
                bytes: 8 * (found.content.len() as u64 + 1),
                mounted: machine.is_mounted(dataset),
                held: first(&|snap| !snap.holds.is_empty()),
                cloned: first(&|snap| machine.clones_of(snap.id) > 0),
            })
        })
    }

    /// The model has no clock: its transaction groups are its seconds.
    fn dates(&mut self, root: &DatasetName, depth: Depth) -> Result<Vec<(SnapshotName, i64)>, HostError> {
        self.list(root, |machine| {
            let asked = |name: &DatasetName| match depth {
                Depth::One => name == root,
                Depth::All => name.is_within(root),
            };
            let of = machine.datasets().filter(|(name, _)| asked(name));
            let all = of.flat_map(|(name, found)| super::states::snapshots(name, found));
            Ok(all.map(|one| (one.name, one.createtxg.0.cast_signed())).collect())
        })
    }

    fn snapshot_guids(&mut self, snapshots: &[SnapshotName]) -> Result<Vec<Option<Guid>>, HostError> {
        let first = snapshots.first().map(ToString::to_string).unwrap_or_default();
        self.list(&first, |machine| {
            Ok(snapshots.iter().map(|name| machine.find(name).map(|snap| snap.guid)).collect())
        })
    }

    /// Made of the GUID: in the model nothing has a date, and a received snapshot has that of the source.
    fn creation(&mut self, of: &[Base]) -> Result<Vec<Option<i64>>, HostError> {
        self.look(|_| Ok(of.iter().map(|base| i64::try_from(base.guid().0 % 1_000_000).ok()).collect()))
    }

    fn estimate(&mut self, streams: &[SendSpec]) -> Result<Vec<Option<u64>>, HostError> {
        self.look(|machine| {
            // As the kernel: what has arrived is taken from the size of the whole, which may bring it below zero.
            let size = |spec| {
                let stream = stream(spec);
                let arrived = stream.resume.as_ref().map_or(0, |token| token.bytes);
                let whole = machine.send(&Stream { resume: None, ..stream }).ok()?;
                Some((whole.len() as u64).wrapping_sub(arrived))
            };
            Ok(streams.iter().map(size).collect())
        })
    }

    fn has_zstd(&mut self) -> Result<bool, HostError> {
        self.look(|_| Ok(false))
    }

    fn send<'a>(&'a mut self, spec: &SendSpec) -> Result<Box<dyn Outgoing + 'a>, HostError> {
        // As with the kernel, a refusal comes up when the stream is read.
        let bytes = self.look(|machine| Ok(machine.send(&stream(spec))))?;
        let (bytes, failed) = match bytes {
            Ok(bytes) => (bytes, None),
            Err(refused) => (Vec::new(), Some(self.error(refused))),
        };
        Ok(Box::new(ModelOutgoing { host: self.clone(), bytes: bytes.into(), sent: 0, failed }))
    }

    fn receive<'a>(&'a mut self, spec: &ReceiveSpec) -> Result<Box<dyn Incoming + 'a>, HostError> {
        self.look(|_| Ok(()))?;
        let admitted = self.admit(Some(Asked::receive(spec)))?;
        let receiver = Receiver::new(spec.to.clone(), spec.origin.clone(), spec.set.clone());
        let into = spec.to.clone();
        Ok(Box::new(ModelIncoming { host: self.clone(), into, receiver: Some(receiver), taken: 0, admitted }))
    }

    /// Each block is a file with its number for a name, or a segment of a volume.
    fn read(
        &mut self,
        snapshot: &SnapshotName,
        kind: DatasetKind,
        take: &mut Take<'_>,
    ) -> Result<(), HostError> {
        let content = self.list(snapshot, |machine| {
            let missing = || self.error(Refused::new(Operation::Inspect, snapshot, ErrorKind::NotFound));
            Ok(machine.find(snapshot).ok_or_else(missing)?.content.clone())
        })?;
        let entry = |kind, sum| Entry {
            kind,
            size: 0,
            mode: 0,
            owner: (0, 0),
            modified: (0, 0),
            link: Vec::new(),
            sum,
        };
        let sum = |value: u64| {
            let mut sum = [0; 32];
            sum[..8].copy_from_slice(&value.to_be_bytes());
            sum
        };
        if kind == DatasetKind::Filesystem {
            take(Piece::File(Vec::new(), entry(b'd', None)))?;
        }
        content.iter().try_for_each(|(block, value)| match kind {
            DatasetKind::Filesystem => {
                take(Piece::File(block.to_string().into_bytes(), entry(b'f', Some(sum(*value)))))
            }
            DatasetKind::Volume => take(Piece::Segment(*block, sum(*value))),
        })
    }

    fn holds(
        &mut self,
        root: &DatasetName,
        depth: crate::host::Depth,
    ) -> Result<Vec<crate::inspect::holds::Held>, HostError> {
        use crate::inspect::holds::Held;
        use crate::inspect::holds::Owner;

        self.list(root, |machine| {
            let mut held = Vec::new();
            for (name, dataset) in machine.datasets() {
                if name != root && (depth == crate::host::Depth::One || !name.is_within(root)) {
                    continue;
                }
                for snapshot in &dataset.snapshots {
                    for tag in &snapshot.holds {
                        let (Ok(snapshot), Ok(tag)) = (name.snapshot(&snapshot.short), tag.parse()) else {
                            continue;
                        };
                        held.push(Held { snapshot, tag, created: None, owner: Owner::Other });
                    }
                }
            }
            Ok(held)
        })
    }

    fn release(&mut self, _: &[(SnapshotName, zfs_core::name::HoldTag)]) -> Result<(), HostError> {
        Err(HostError::Cannot {
            host: self.machine.clone(),
            has: "a ZFS in memory".to_string(),
            what: "release holds",
        })
    }

    fn present(&mut self, claim: &Claim) -> Result<(), HostError> {
        self.look(|_| Ok(()))?;
        let before = self.claim.replace(claim.clone());
        let admitted = self.admit(Some(Asked::root(&claim.root)));
        let admitted = admitted.inspect_err(|_| self.claim = before)?;
        admitted.map_or(Ok(()), |admitted| admitted.done(&mut self.unfenced()))
    }

    fn overtake(&mut self, claim: &Claim, both: &[(DatasetName, Guid)]) -> Result<(), HostError> {
        self.look(|_| Ok(()))?;
        let node = self.machine.parse().expect("the name of a node");
        let both = both.iter().cloned().collect();
        let done = overtake(&mut self.unfenced(), &node, claim, &both);
        done.map_err(|error| self.not_admitted(error))
    }

    fn count_first(&mut self, claim: &Claim, count: FirstCopy) -> Result<(), HostError> {
        self.look(|_| Ok(()))?;
        let node = self.machine.parse().expect("the name of a node");
        let done = counted(&mut self.unfenced(), &node, claim, count);
        done.map_err(|error| self.not_admitted(error))
    }

    fn is_mounted_writable(&mut self, dataset: &DatasetName) -> Result<bool, HostError> {
        self.look(|machine| {
            let readonly = machine.property(dataset, "readonly").is_some_and(|one| one.value == "on");
            Ok(machine.is_mounted(dataset) && !readonly)
        })
    }

    fn apply(&mut self, change: &Change) -> Result<(), HostError> {
        if let Some(admitted) = self.admit(Asked::change(change, None))? {
            self.unfenced().apply(change)?;
            return admitted.done(&mut self.unfenced());
        }
        self.change(change)
    }

    fn deed(&mut self, deed: &crate::host::Deed) -> Result<(), HostError> {
        self.do_deed(deed)
    }

    fn another(&self) -> Result<Box<dyn Host>, HostError> {
        self.look(|_| Ok(()))?;
        Ok(Box::new(self.clone()))
    }
}

/// About what the `zfs` command says.
fn said(refused: &Refused) -> (&'static str, &'static str) {
    use ErrorKind as K;
    let operation = match refused.operation {
        Operation::Receive => "receive into",
        Operation::Send => "send",
        Operation::Bookmark => "bookmark",
        Operation::Rename => "rename",
        Operation::Promote => "promote",
        Operation::Clone => "clone",
        Operation::Create => "create",
        Operation::SetProperty => "set properties of",
        Operation::AbortReceive => "throw away the partial receive of",
        _ => "list",
    };
    let message = match refused.kind {
        K::NotFound | K::ParentNotFound => "dataset does not exist",
        K::Exists => "dataset already exists",
        K::Busy => "dataset is busy",
        K::PartialReceiveExists => "destination contains partially-complete state",
        K::PermissionDenied => "permission denied",
        K::NoSpace => "out of space",
        K::TargetModified => "destination has been modified since most recent snapshot",
        K::BaseMissing => "most recent snapshot does not match incremental source",
        K::StreamTruncated => "incomplete stream",
        K::StreamCorrupt => "checksum mismatch",
        K::KeyNotLoaded => "encryption key not loaded",
        K::IvSetMismatch => "IV set guid mismatch",
        K::NotAnAncestor => "not an earlier snapshot from the same fs",
        K::Io => "I/O error",
        _ => "invalid argument",
    };
    (operation, message)
}
