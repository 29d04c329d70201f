//! The serving end: one request after the other, each within the limits, answered in bounded frames. It works for any
//! [`Host`]; it starts no program, reads no environment, and writes nothing but frames.

use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;

use zfs_core::name::DatasetName;
use zfs_core::name::HoldTag;

use super::REQUEST_ENTRIES;
use super::answer::Answer;
use super::answer::Part;
use super::answer::Row;
use super::fault::Fault;
use super::frame::Kind;
use super::limits::Class;
use super::limits::Limits;
use super::message::ChangeRequest;
use super::message::Hello;
use super::message::MAGIC;
use super::message::Request;
use super::message::SendRequest;
use super::message::Text;
use super::message::WireClaim;
use super::message::depth;
use crate::compare::content::Share;
use crate::host::Change;
use crate::host::DatasetKind;
use crate::host::Depth;
use crate::host::Host;
use crate::host::Inventory;
use crate::host::SendSpec;
use crate::marks::FirstCopy;
use crate::pair::Claim;
use crate::pair::fence;
use crate::pair::fence::Admitted;
use crate::pair::fence::Asked;
use crate::pair::fence::NotAdmitted;

mod content;
mod door;
mod streams;
mod trouble;
mod wire;

pub use door::Listen;
pub use trouble::ServeError;
use trouble::Trouble;
use trouble::protocol;
use wire::Input;
use wire::Output;

/// How many snapshots, bookmarks or names go into one frame. Names have at most 255 bytes, none of which JSON escapes.
const ROWS: usize = 1000;

/// How many holds go into one frame: tags may hold bytes that JSON escapes.
const HOLDS: usize = 400;

/// An agent that waits says so this often. An asking end that lost its power says nothing, and its machine knows nothing
/// of the connection when it is back: only what is sent to it finds that out, and ends what is held for it here.
const ALIVE: Duration = Duration::from_secs(5);

/// About how many bytes of properties go into one frame.
const PROPERTY_BYTES: usize = 64 * 1024;

/// Answers requests until the asking end closes `input`.
///
/// # Errors
/// When the connection breaks, or what comes in is not the protocol.
pub fn serve<R: Read + AsFd, W: Write>(
    input: R,
    output: W,
    host: &mut dyn Host,
    limits: &Limits,
) -> Result<(), ServeError> {
    serve_alive(input, output, host, limits, ALIVE)
}

/// The same with another time between two signs of life.
pub(super) fn serve_alive<R: Read + AsFd, W: Write>(
    input: R,
    output: W,
    host: &mut dyn Host,
    limits: &Limits,
    alive: Duration,
) -> Result<(), ServeError> {
    let (input, output) = (Input::new(input), Output::new(output, alive));
    let mut server = Server { input, output, host, limits, version: super::OLDEST, last: 0 };
    let ended = server.run();
    if let Err(ServeError::Protocol(why)) = &ended {
        // The asking end learns why, if it still listens.
        let _ = server.output.answer(0, &Answer::Last(Fault::protocol(why)));
    }
    ended
}

struct Server<'h, R, W> {
    input: Input<R>,
    output: Output<W>,
    host: &'h mut dyn Host,
    limits: &'h Limits,
    /// The version that both speak.
    version: u16,
    /// The newest request.
    last: u32,
}

impl<R: Read + AsFd, W: Write> Server<'_, R, W> {
    fn run(&mut self) -> Result<(), ServeError> {
        let ours = Hello::ours();
        self.output.message(Kind::Hello, 0, &ours)?;
        let Some(frame) = self.input.next(&mut self.output)? else { return Ok(()) };
        let theirs = match frame.kind {
            Kind::Hello => serde_json::from_slice::<Hello>(&frame.payload).map_err(protocol)?,
            kind => return Err(protocol(format!("it begins with {kind}"))),
        };
        if theirs.magic != MAGIC {
            return Err(protocol("its hello is of something else"));
        }
        self.version = ours
            .common(&theirs)
            .ok_or_else(|| ServeError::Version { ours: ours.describe(), theirs: theirs.describe() })?;
        while let Some(frame) = self.input.next(&mut self.output)? {
            match frame.kind {
                Kind::Request if frame.id > self.last => self.last = frame.id,
                // It crossed with the answer.
                Kind::Cancel if frame.id <= self.last => continue,
                kind => return Err(protocol(format!("{kind} out of turn (number {})", frame.id))),
            }
            let id = frame.id;
            let result = match serde_json::from_slice(&frame.payload) {
                Ok(request) => self.request(id, request),
                Err(error) => Err(Fault::protocol(error).into()),
            };
            match result {
                Ok(()) => self.output.answer(id, &Answer::Done)?,
                Err(Trouble::Fault(fault)) => {
                    self.output.answer(id, &Answer::Failed(fault.for_version(self.version)))?;
                }
                Err(Trouble::Last(fault)) => {
                    return self.output.answer(id, &Answer::Last(fault.for_version(self.version)));
                }
                Err(Trouble::End(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn request(&mut self, id: u32, request: Request) -> Result<(), Trouble> {
        match request {
            Request::Inventory { root, all } => self.inventory(id, &root.0, depth(all)),
            Request::About { pool } => {
                self.limits.allows(Class::List)?;
                self.limits.pool(&pool.0)?;
                let about = self.host.about(pool.0.as_str())?;
                Ok(self.output.part(id, &Part::About(about.into()))?)
            }
            // Until this agent ends. It keeps out whoever may write there, so only they may have it.
            Request::Lock { root, all, sender } => {
                self.limits.allows(Class::Receive)?;
                self.limits.name(&root.0)?;
                // Who does not say who it is meets nobody.
                let sender = sender.unwrap_or_else(|| format!("process-{}", std::process::id()));
                if sender.is_empty() || sender.len() > SENDER || !sender.bytes().all(is_of_sender) {
                    return Err(Fault::protocol("the sender has no such name").into());
                }
                Ok(self.host.lock(&root.0, depth(all), &sender)?)
            }
            Request::Properties { root, all, names } => {
                bounded(names.as_ref().map_or(0, Vec::len))?;
                self.properties(id, &root.0, depth(all), names.as_deref())
            }
            Request::RemovalCost { dataset } => {
                self.limits.allows(Class::List)?;
                self.limits.name(&dataset.0)?;
                let cost = self.host.removal_cost(&dataset.0)?;
                Ok(self.output.part(id, &cost.into())?)
            }
            Request::Dates { root, all } => {
                self.limits.allows(Class::List)?;
                self.limits.name(&root.0)?;
                let dates = self.host.dates(&root.0, depth(all))?;
                for some in dates.chunks(ROWS) {
                    let some = some.iter().map(|(name, date)| (Text(name.clone()), *date));
                    self.output.part(id, &Part::Dates(some.collect()))?;
                }
                Ok(())
            }
            Request::SnapshotGuids { snapshots } => {
                self.limits.allows(Class::List)?;
                bounded(snapshots.len())?;
                let snapshots: Vec<_> = snapshots.into_iter().map(|name| name.0).collect();
                snapshots.iter().try_for_each(|name| self.limits.name(name.dataset()))?;
                let guids = self.host.snapshot_guids(&snapshots)?;
                let guids: Vec<_> = guids.into_iter().map(|guid| guid.map(|guid| guid.0)).collect();
                for guids in guids.chunks(ROWS) {
                    self.output.part(id, &Part::Guids(guids.to_vec()))?;
                }
                Ok(())
            }
            Request::Estimate { streams } => {
                bounded(streams.len())?;
                let streams: Vec<_> =
                    streams.into_iter().map(|stream| self.send_spec(stream)).collect::<Result<_, _>>()?;
                let sizes = self.host.estimate(&streams)?;
                for sizes in sizes.chunks(ROWS) {
                    self.output.part(id, &Part::Sizes(sizes.to_vec()))?;
                }
                Ok(())
            }
            Request::Send(request) => {
                let spec = self.send_spec(request)?;
                self.send(id, spec)
            }
            Request::Receive(request) => self.receive(id, request),
            Request::Claim(claim) => {
                self.limits.allows(Class::Receive)?;
                let claim = claimed(claim)?;
                let admitted = self.admit(&Asked::root(&claim.root), Some(&claim))?;
                Ok(admitted.done(self.host)?)
            }
            Request::Overtake { claim, both } => {
                self.limits.allows(Class::Receive)?;
                bounded(both.len())?;
                let claim = claimed(claim)?;
                self.limits.name(&claim.root)?;
                let node = self.limits.node(Some(&claim.receiver))?;
                let both = both.into_iter().map(|(name, guid)| (name.0, guid.into())).collect();
                Ok(fence::overtake(self.host, &node, &claim, &both).map_err(not_admitted)?)
            }
            Request::Count { claim, there, of } => {
                self.limits.allows(Class::Receive)?;
                let claim = claimed(claim)?;
                self.limits.name(&claim.root)?;
                let node = self.limits.node(Some(&claim.receiver))?;
                let count = FirstCopy { there, of };
                Ok(fence::counted(self.host, &node, &claim, count).map_err(not_admitted)?)
            }
            Request::TakeOver { roots, epoch, receiver } => {
                self.limits.allows(Class::TakeOver)?;
                bounded(roots.len())?;
                let roots: Vec<_> = roots.into_iter().map(|root| root.0).collect();
                roots.iter().try_for_each(|root| self.limits.name(root))?;
                let receiver = receiver.map(|receiver| receiver.0).ok_or_else(unnamed)?;
                let node = self.limits.node(Some(&receiver))?;
                Ok(self.host.take_over(&roots, &node, epoch.get())?)
            }
            Request::Apply(change) => self.apply(change, None),
            Request::ApplyFor { claim, change } => self.apply(change, Some(&claimed(claim)?)),
            Request::Door { certificate } => self.door(id, &certificate.0),
            Request::Content { snapshot, volume, share } => {
                let kind = if volume { DatasetKind::Volume } else { DatasetKind::Filesystem };
                let share = share.map_or(Share::ALL, |(part, of)| Share::new(part, of));
                self.content(id, &snapshot.0, kind, share)
            }
            Request::Holds { root, all } => {
                self.limits.allows(Class::List)?;
                self.limits.name(&root.0)?;
                let mut holds = self.host.holds(&root.0, depth(all))?.into_iter().map(Into::into);
                loop {
                    let some: Vec<_> = holds.by_ref().take(HOLDS).collect();
                    if some.is_empty() {
                        return Ok(());
                    }
                    self.output.part(id, &Part::Holds(some))?;
                }
            }
            Request::Release { holds } => {
                self.limits.allows(Class::Release)?;
                bounded(holds.len())?;
                let holds: Vec<_> = holds
                    .into_iter()
                    .map(|(name, tag)| {
                        Ok((name.0, HoldTag::try_from(tag.0.as_slice()).map_err(Fault::protocol)?))
                    })
                    .collect::<Result<_, Fault>>()?;
                holds.iter().try_for_each(|(name, _)| self.limits.name(name.dataset()))?;
                Ok(self.host.release(&holds)?)
            }
        }
    }

    /// The stream that is asked for, when it is one that may be had.
    fn send_spec(&self, request: SendRequest) -> Result<SendSpec, Fault> {
        let spec = request.spec().map_err(Fault::protocol)?;
        self.limits.send(&spec)?;
        Ok(spec)
    }

    fn inventory(&mut self, id: u32, root: &DatasetName, depth: Depth) -> Result<(), Trouble> {
        self.limits.allows(Class::List)?;
        self.limits.name(root)?;
        match self.host.inventory(root, depth)? {
            Inventory::Absent { mut ancestor, mut children } => {
                if !self.limits.holds(&ancestor.name) {
                    // Above the roots only what the creation of a dataset depends on is anybody's business.
                    ancestor.origin = None;
                    ancestor.partial = None;
                    (ancestor.written, ancestor.referenced) = (0, 0);
                    children.retain(|name| self.limits.holds(name));
                }
                self.output.part(id, &Part::Ancestor((&*ancestor).into()))?;
                for names in children.chunks(ROWS) {
                    self.output.part(id, &Part::Children(names.iter().cloned().map(Text).collect()))?;
                }
            }
            Inventory::Present(tree) => {
                for dataset in tree.datasets() {
                    let mut alone = without_lists(dataset);
                    alone.origin = alone.origin.filter(|origin| self.limits.holds(origin.dataset()));
                    self.output.part(id, &Part::Dataset((&alone).into()))?;
                    for some in dataset.snapshots.chunks(ROWS) {
                        let rows = some.iter().map(|one| {
                            let ivset = one.ivset.map(|guid| guid.0);
                            (one.name.short().to_string(), one.guid.0, one.createtxg.0, ivset)
                        });
                        self.output.part(id, &Part::Snapshots(rows.collect::<Vec<Row>>()))?;
                    }
                    for some in dataset.bookmarks.chunks(ROWS) {
                        let rows = some.iter().map(|one| {
                            let ivset = one.ivset.map(|guid| guid.0);
                            (one.name.short().to_string(), one.guid.0, one.createtxg.0, ivset)
                        });
                        self.output.part(id, &Part::Bookmarks(rows.collect::<Vec<Row>>()))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn properties(
        &mut self,
        id: u32,
        root: &DatasetName,
        depth: Depth,
        names: Option<&[String]>,
    ) -> Result<(), Trouble> {
        self.limits.allows(Class::List)?;
        self.limits.name(root)?;
        let all = match names {
            Some(names) => self.host.some_properties(root, depth, names)?,
            None => self.host.properties(root, depth)?,
        };
        for (dataset, properties) in all {
            let (mut rows, mut bytes) = (Vec::new(), 0);
            for (name, property) in properties {
                bytes += name.len() + property.value.len();
                rows.push((name, property.value, property.source.into()));
                if bytes > PROPERTY_BYTES {
                    let rows = std::mem::take(&mut rows);
                    self.output.part(id, &Part::Properties { dataset: Text(dataset.clone()), rows })?;
                    bytes = 0;
                }
            }
            // Also for a dataset without any: it exists.
            self.output.part(id, &Part::Properties { dataset: Text(dataset), rows })?;
        }
        Ok(())
    }

    fn apply(&mut self, change: ChangeRequest, claim: Option<&Claim>) -> Result<(), Trouble> {
        let change = change.change();
        self.limits.change(&change)?;
        let mut origin = None;
        if let Change::Promote { dataset } = &change {
            // It takes snapshots away from its origin, which the request does not name.
            if let Inventory::Present(tree) = self.host.inventory(dataset, Depth::One)?
                && let Some(from) = &tree.root().origin
            {
                self.limits.name(from.dataset())?;
                origin = Some(from.dataset().clone());
            }
        }
        let admitted = match Asked::change(&change, origin.as_ref()) {
            Some(asked) => Some(self.admit(&asked, claim)?),
            None => None,
        };
        self.host.apply(&change)?;
        match admitted {
            Some(admitted) => Ok(admitted.done(self.host)?),
            None => Ok(()),
        }
    }

    /// Lets a request in that the limits allow, or not, for the sake of pairs.
    fn admit(&mut self, asked: &Asked, claim: Option<&Claim>) -> Result<Admitted, Trouble> {
        if let Some(claim) = claim {
            self.limits.name(&claim.root)?;
        }
        let node = self.limits.node(claim.map(|claim| &claim.receiver))?;
        Ok(fence::admit(self.host, &node, asked, claim).map_err(not_admitted)?)
    }
}

fn not_admitted(error: NotAdmitted) -> Fault {
    match error {
        NotAdmitted::Refused(refusal) => Fault::from(&*refusal),
        NotAdmitted::Host(error) => Fault::from(*error),
    }
}

/// What entitles to a request, which has to say whom it takes this node for.
fn claimed(claim: WireClaim) -> Result<Claim, Fault> {
    claim.claim().ok_or_else(unnamed)
}

fn unnamed() -> Fault {
    let why =
        "it does not say which node this is: the replicator that asks is older than this one".to_string();
    Fault::Refused { why }
}

/// A copy without the long lists.
fn without_lists(state: &crate::host::DatasetState) -> crate::host::DatasetState {
    crate::host::DatasetState {
        name: state.name.clone(),
        kind: state.kind,
        guid: state.guid,
        encryption: state.encryption.clone(),
        origin: state.origin.clone(),
        written: state.written,
        referenced: state.referenced,
        available: state.available,
        partial: state.partial.clone(),
        snapshots: Vec::new(),
        bookmarks: Vec::new(),
    }
}

/// The longest name of a sender.
const SENDER: usize = 64;

fn is_of_sender(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

fn bounded(entries: usize) -> Result<(), Fault> {
    if entries <= REQUEST_ENTRIES {
        return Ok(());
    }
    Err(Fault::protocol(format!("a request holds at most {REQUEST_ENTRIES} entries")))
}
