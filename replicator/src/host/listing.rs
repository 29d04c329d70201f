//! What `zfs list -Hp` of another machine prints, read strictly. The other machine is not trusted: a line with a
//! wrong number of fields, a name that is no name, a number that is no number, or more than the bounds, is an error
//! and never a shorter list.

use std::collections::BTreeMap;
use std::collections::HashMap;

use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;
use zfs_core::token::Limits;
use zfs_core::token::ResumeToken;

use super::About;
use super::Bookmark;
use super::DatasetKind;
use super::DatasetState;
use super::Depth;
use super::Encryption;
use super::Partial;
use super::PartialContent;
use super::Properties;
use super::Property;
use super::PropertySource;
use super::RemovalCost;
use super::Snapshot;
use super::Tree;
use super::Version;

mod lines;

pub use lines::Lines;

/// The fields that [`TreeListing`] reads, for `-o`. `ivsetguid` is one that the manual pages leave out.
pub const FIELDS: &str = "name,type,guid,createtxg,written,referenced,available,encryptionroot,keystatus,origin,ivsetguid,receive_resume_token";

/// Why an answer is not understood.
pub type Misunderstood = String;

/// Builds a tree of datasets with their snapshots and bookmarks from lines with [`FIELDS`], in any order.
#[derive(Debug)]
pub struct TreeListing {
    root: DatasetName,
    depth: Depth,
    datasets: Vec<DatasetState>,
    snapshots: HashMap<DatasetName, Vec<Snapshot>>,
    bookmarks: HashMap<DatasetName, Vec<Bookmark>>,
    /// The dataset of the line before: its snapshots follow each other, and share its name.
    last: Option<DatasetName>,
}

impl TreeListing {
    /// For the dataset that was asked for.
    #[must_use]
    pub fn new(root: DatasetName, depth: Depth) -> Self {
        Self {
            root,
            depth,
            datasets: Vec::new(),
            snapshots: HashMap::new(),
            bookmarks: HashMap::new(),
            last: None,
        }
    }

    /// Takes a line. With [`Depth::One`] the children are passed over.
    ///
    /// # Errors
    /// When the line is not one that `zfs list` prints for this question.
    pub fn take(&mut self, line: &str) -> Result<(), Misunderstood> {
        let mut rest = line.split('\t');
        let mut fields = [""; 12];
        for field in &mut fields {
            *field = rest.next().ok_or("a field is missing")?;
        }
        if rest.next().is_some() {
            return Err("more fields than were asked for".to_string());
        }
        let [name, kind, guid, createtxg, ..] = fields;
        match kind {
            "filesystem" | "volume" => self.dataset(&fields),
            "snapshot" => {
                let (dataset, short) = self.entry(name, '@')?;
                let snapshot = Snapshot {
                    name: dataset.snapshot(short).map_err(text)?,
                    guid: number(guid)?.into(),
                    createtxg: number(createtxg)?.into(),
                    ivset: optional(fields[10])?.map(Guid),
                };
                self.snapshots.entry(dataset).or_default().push(snapshot);
                Ok(())
            }
            "bookmark" => {
                let (dataset, short) = self.entry(name, '#')?;
                let bookmark = Bookmark {
                    name: dataset.bookmark(short).map_err(text)?,
                    guid: number(guid)?.into(),
                    createtxg: number(createtxg)?.into(),
                    ivset: optional(fields[10])?.map(Guid),
                };
                self.bookmarks.entry(dataset).or_default().push(bookmark);
                Ok(())
            }
            _ => Err("an unknown type".to_string()),
        }
    }

    fn dataset(&mut self, fields: &[&str; 12]) -> Result<(), Misunderstood> {
        let [name, kind, guid, _, written, referenced, available, root, key, origin, _, token] = *fields;
        let name = DatasetName::try_from(name).map_err(text)?;
        if !name.is_within(&self.root) {
            return Err("a dataset that was not asked for".to_string());
        }
        if self.depth == Depth::One && name != self.root {
            let child = name.parent().as_ref() == Some(&self.root);
            return if child { Ok(()) } else { Err("a dataset that was not asked for".to_string()) };
        }
        let encryption = match root {
            "-" => None,
            root => Some(Encryption {
                root: DatasetName::try_from(root).map_err(text)?,
                key_loaded: key == "available",
            }),
        };
        let origin = match origin {
            "-" => None,
            origin => Some(SnapshotName::try_from(origin).map_err(text)?),
        };
        self.datasets.push(DatasetState {
            name,
            kind: if kind == "volume" { DatasetKind::Volume } else { DatasetKind::Filesystem },
            guid: number(guid)?.into(),
            encryption,
            origin,
            written: number(written)?,
            referenced: number(referenced)?,
            available: number(available)?,
            partial: partial(token),
            snapshots: Vec::new(),
            bookmarks: Vec::new(),
        });
        Ok(())
    }

    /// The dataset and what stands behind the mark.
    fn entry<'n>(&mut self, name: &'n str, mark: char) -> Result<(DatasetName, &'n str), Misunderstood> {
        let (dataset, short) = name.split_once(mark).ok_or("a name without its mark")?;
        let dataset = match &self.last {
            Some(last) if last.as_str() == dataset => last.clone(),
            _ => DatasetName::try_from(dataset).map_err(text)?,
        };
        self.last = Some(dataset.clone());
        let asked = match self.depth {
            Depth::One => dataset == self.root,
            Depth::All => dataset.is_within(&self.root),
        };
        if asked { Ok((dataset, short)) } else { Err("a name that was not asked for".to_string()) }
    }

    /// The tree, the lists of each dataset in the order of `createtxg`.
    ///
    /// # Errors
    /// When the root was not in the list, or a snapshot's dataset was not.
    pub fn finish(mut self) -> Result<Tree, Misunderstood> {
        for dataset in &mut self.datasets {
            dataset.snapshots = self.snapshots.remove(&dataset.name).unwrap_or_default();
            dataset.bookmarks = self.bookmarks.remove(&dataset.name).unwrap_or_default();
            dataset.snapshots.shrink_to_fit();
            dataset.bookmarks.shrink_to_fit();
            dataset.snapshots.sort_by_key(|snapshot| snapshot.createtxg);
            dataset.bookmarks.sort_by_key(|bookmark| bookmark.createtxg);
        }
        if let Some(orphan) = self.snapshots.keys().chain(self.bookmarks.keys()).next() {
            return Err(format!("snapshots or bookmarks of {:?}, which is not in the list", orphan.as_str()));
        }
        Tree::new(&self.root, self.datasets).map_err(text)
    }
}

/// Reads the answer of `zpool get -Hp -o property,value all`: what [`About`] has of the pool.
#[derive(Debug, Default)]
pub struct PoolListing {
    guid: Option<Guid>,
    features: BTreeMap<String, String>,
}

impl PoolListing {
    /// Takes a line.
    ///
    /// # Errors
    /// When it is no property with a value.
    pub fn take(&mut self, line: &str) -> Result<(), Misunderstood> {
        let (name, value) = line.split_once('\t').ok_or("no property with a value")?;
        if name == "guid" {
            self.guid = Some(number(value)?.into());
        } else if let Some(feature) = name.strip_prefix("feature@") {
            self.features.insert(feature.to_string(), value.to_string());
        }
        Ok(())
    }

    /// All of it.
    ///
    /// # Errors
    /// When the GUID was not among it.
    pub fn finish(self, pool: &str, version: Option<Version>) -> Result<About, Misunderstood> {
        let guid = self.guid.ok_or("the GUID of the pool is missing")?;
        Ok(About { pool: pool.to_string(), guid, version, features: self.features })
    }
}

/// Reads a line of `zfs get -Hp -o name,property,value,source` into `all`.
///
/// # Errors
/// When it is none, or of a dataset outside of `root`.
pub fn property(line: &str, root: &DatasetName, all: &mut Properties) -> Result<(), Misunderstood> {
    let mut fields = line.splitn(3, '\t');
    let (Some(dataset), Some(name), Some(rest)) = (fields.next(), fields.next(), fields.next()) else {
        return Err("no property with a value and a source".to_string());
    };
    // A user property may hold tabs; its source never does.
    let (value, source) = rest.rsplit_once('\t').ok_or("a property without a source")?;
    let source = match source {
        "local" => PropertySource::Local,
        "received" => PropertySource::Received,
        "default" => PropertySource::Default,
        "-" => PropertySource::None,
        source if source.starts_with("inherited from ") => PropertySource::Inherited,
        // Set for the time of a mount only: what is stored is not known.
        "temporary" => PropertySource::None,
        _ => return Err("an unknown source".to_string()),
    };
    let dataset = DatasetName::try_from(dataset).map_err(text)?;
    if !dataset.is_within(root) {
        return Err("a dataset that was not asked for".to_string());
    }
    let property = Property { value: value.to_string(), source };
    match all.entry(dataset).or_default().insert(name.to_string(), property) {
        None => Ok(()),
        // A user property may hold newlines, and behind one something that looks like another property.
        Some(_) => Err("a property twice".to_string()),
    }
}

/// Reads what stands against the removal of a dataset: a line of it with `name,usedbydataset,usedbysnapshots,mounted`,
/// and one of each of its snapshots with `name,userrefs,clones`.
#[derive(Debug)]
pub struct CostListing {
    dataset: DatasetName,
    own: Option<(u64, bool)>,
    held: Option<SnapshotName>,
    cloned: Option<SnapshotName>,
}

impl CostListing {
    /// For the dataset that was asked for.
    #[must_use]
    pub fn new(dataset: DatasetName) -> Self {
        Self { dataset, own: None, held: None, cloned: None }
    }

    /// Takes a line.
    ///
    /// # Errors
    /// When it is of another dataset, or not what was asked for.
    pub fn take(&mut self, line: &str) -> Result<(), Misunderstood> {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields.as_slice() {
            [name, data, snapshots, mounted] if *name == self.dataset.as_str() && self.own.is_none() => {
                let bytes = number(data)?.saturating_add(number(snapshots)?);
                let mounted = match *mounted {
                    "yes" => true,
                    "no" | "-" => false,
                    _ => return Err("neither mounted nor not".to_string()),
                };
                self.own = Some((bytes, mounted));
                Ok(())
            }
            [name, holds, clones] => {
                let name = SnapshotName::try_from(*name).map_err(text)?;
                if *name.dataset() != self.dataset {
                    return Err("a snapshot that was not asked for".to_string());
                }
                if number(holds)? > 0 {
                    self.held.get_or_insert(name.clone());
                }
                if !matches!(*clones, "" | "-") {
                    self.cloned.get_or_insert(name);
                }
                Ok(())
            }
            _ => Err("another line than what was asked for".to_string()),
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// When the dataset itself was not among it.
    pub fn finish(self) -> Result<RemovalCost, Misunderstood> {
        let (bytes, mounted) = self.own.ok_or("the dataset itself is missing")?;
        Ok(RemovalCost { bytes, mounted, held: self.held, cloned: self.cloned })
    }
}

/// A number, or `-`.
fn optional(field: &str) -> Result<Option<u64>, Misunderstood> {
    if field == "-" { Ok(None) } else { number(field).map(Some) }
}

fn text(error: impl std::fmt::Display) -> Misunderstood {
    error.to_string()
}

/// A number in digits only: no sign, no space, nothing above 64 bits.
fn number(field: &str) -> Result<u64, Misunderstood> {
    if field.is_empty() || !field.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{field:?} is not a number"));
    }
    field.parse().map_err(|_| format!("{field} does not fit into 64 bits"))
}

/// The state of a partial receive, from the property `receive_resume_token`.
#[must_use]
pub fn partial(token: &str) -> Option<Partial> {
    if token.is_empty() || token == "-" {
        return None;
    }
    let content = ResumeToken::parse(token, &Limits::default());
    let content = content.map_err(|error| error.to_string()).map(|token| PartialContent {
        to_guid: token.to_guid,
        from_guid: token.from_guid,
        bytes: token.bytes,
        raw: token.raw,
        foreign: token.redact_snaps.is_some() || !token.unknown.is_empty(),
    });
    Some(Partial { token: token.to_string(), content })
}

#[cfg(test)]
mod tests;
