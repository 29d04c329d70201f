//! Messages of the answering side: the pieces of an answer and its end, in the forms that travel. The other side's are in
//! [`super::message`].

use super::content::Raw;
use super::content::WireFile;
use super::content::WireHold;
use super::content::WireSum;
use super::fault::Fault;
use super::message::Text;
use crate::host::About;
use crate::host::DatasetKind;
use crate::host::DatasetState;
use crate::host::Encryption;
use crate::host::PropertySource;
use crate::host::RemovalCost;
use crate::host::Version;
use crate::host::listing;
use serde::Deserialize;
use serde::Serialize;
use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Part {
    /// The dataset that was asked for, or one below it.
    Dataset(WireDataset),
    /// Snapshots of the dataset before.
    Snapshots(Vec<Row>),
    /// Bookmarks of the dataset before.
    Bookmarks(Vec<Row>),
    /// What was asked for does not exist; this is the nearest ancestor that does.
    Ancestor(WireDataset),
    /// Names of datasets directly below that ancestor.
    Children(Vec<Text<DatasetName>>),
    About(WireAbout),
    Properties {
        dataset: Text<DatasetName>,
        rows: Vec<(String, String, Source)>,
    },
    RemovalCost {
        bytes: u64,
        mounted: bool,
        held: Option<Text<SnapshotName>>,
        cloned: Option<Text<SnapshotName>>,
    },
    Dates(Vec<(Text<SnapshotName>, i64)>),
    Guids(Vec<Option<u64>>),
    Sizes(Vec<Option<u64>>),
    /// Files of the snapshot.
    Files(Vec<WireFile>),
    /// Segments of the volume's snapshot.
    Segments(Vec<(u64, WireSum)>),
    /// So many bytes were read since the part before.
    Reading(u64),
    Holds(Vec<WireHold>),
    /// The stream may come.
    Ready,
    /// The other end is waited for at this port, where this certificate is shown.
    Door {
        port: u16,
        certificate: Raw,
    },
}

impl From<RemovalCost> for Part {
    fn from(cost: RemovalCost) -> Self {
        let RemovalCost { bytes, mounted, held, cloned } = cost;
        Self::RemovalCost { bytes, mounted, held: held.map(Text), cloned: cloned.map(Text) }
    }
}

/// A snapshot or bookmark: its short name, guid, createtxg and ivset.
pub(crate) type Row = (String, u64, u64, Option<u64>);

/// A [`DatasetState`] without its snapshots and bookmarks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WireDataset {
    name: Text<DatasetName>,
    volume: bool,
    guid: u64,
    /// The encryption root and whether its key is loaded.
    encryption: Option<(Text<DatasetName>, bool)>,
    origin: Option<Text<SnapshotName>>,
    written: u64,
    referenced: u64,
    available: u64,
    token: Option<String>,
}

impl From<&DatasetState> for WireDataset {
    fn from(state: &DatasetState) -> Self {
        Self {
            name: Text(state.name.clone()),
            volume: state.kind == DatasetKind::Volume,
            guid: state.guid.0,
            encryption: state.encryption.as_ref().map(|how| (Text(how.root.clone()), how.key_loaded)),
            origin: state.origin.clone().map(Text),
            written: state.written,
            referenced: state.referenced,
            available: state.available,
            token: state.partial.as_ref().map(|partial| partial.token.clone()),
        }
    }
}

impl WireDataset {
    pub(crate) fn state(self) -> DatasetState {
        DatasetState {
            name: self.name.0,
            kind: if self.volume { DatasetKind::Volume } else { DatasetKind::Filesystem },
            guid: Guid(self.guid),
            encryption: self.encryption.map(|(root, key_loaded)| Encryption { root: root.0, key_loaded }),
            origin: self.origin.map(|name| name.0),
            written: self.written,
            referenced: self.referenced,
            available: self.available,
            partial: self.token.as_deref().and_then(listing::partial),
            snapshots: Vec::new(),
            bookmarks: Vec::new(),
        }
    }
}

/// An [`About`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WireAbout {
    pool: String,
    guid: u64,
    version: Option<(u32, u32, u32)>,
    features: std::collections::BTreeMap<String, String>,
}

impl From<About> for WireAbout {
    fn from(about: About) -> Self {
        Self {
            pool: about.pool,
            guid: about.guid.0,
            version: about.version.map(|version| (version.major, version.minor, version.patch)),
            features: about.features,
        }
    }
}

impl WireAbout {
    pub(crate) fn about(self, pool: &str) -> Result<About, String> {
        if self.pool != pool {
            return Err("another pool than the one asked for".to_string());
        }
        let version = self.version.map(|(major, minor, patch)| Version { major, minor, patch });
        Ok(About { pool: self.pool, guid: Guid(self.guid), version, features: self.features })
    }
}

/// A [`PropertySource`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Source {
    Local,
    Received,
    Inherited,
    Default,
    None,
}

impl From<PropertySource> for Source {
    fn from(source: PropertySource) -> Self {
        match source {
            PropertySource::Local => Self::Local,
            PropertySource::Received => Self::Received,
            PropertySource::Inherited => Self::Inherited,
            PropertySource::Default => Self::Default,
            PropertySource::None => Self::None,
        }
    }
}

impl From<Source> for PropertySource {
    fn from(source: Source) -> Self {
        match source {
            Source::Local => Self::Local,
            Source::Received => Self::Received,
            Source::Inherited => Self::Inherited,
            Source::Default => Self::Default,
            Source::None => Self::None,
        }
    }
}

/// The end of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Answer {
    Done,
    Failed(Fault),
    /// As `Failed`, and the agent ends.
    Last(Fault),
}
