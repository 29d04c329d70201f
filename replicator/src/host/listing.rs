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
use crate::transport::printable;
use crate::transport::quote::END;

/// The fields that [`TreeListing`] reads, for `-o`. `ivsetguid` is one that the manual pages leave out.
pub const FIELDS: &str = "name,type,guid,createtxg,written,referenced,available,encryptionroot,keystatus,origin,ivsetguid,receive_resume_token";

/// The longest line: a name, a few numbers and a resume token.
const LINE_LIMIT: usize = 64 * 1024;

/// The largest number of lines: more snapshots than a pool can be worked with.
const LINES_LIMIT: usize = 2_000_000;

/// Why an answer is not understood.
pub type Misunderstood = String;

/// Splits what arrives in pieces into lines, within bounds, and insists on the end mark.
#[derive(Debug)]
pub struct Lines {
    partial: Vec<u8>,
    count: usize,
    limit: usize,
    ended: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self::with_limit(LINES_LIMIT)
    }
}

impl Lines {
    /// With another bound on the number of lines than the usual one.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self { partial: Vec::new(), count: 0, limit, ended: false }
    }

    /// Takes a piece, and gives each complete line to `take`.
    ///
    /// # Errors
    /// When a bound is passed, a line is not UTF-8 or comes after the end mark, or `take` does not understand it.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        take: &mut dyn FnMut(&str) -> Result<(), Misunderstood>,
    ) -> Result<(), Misunderstood> {
        while let Some(at) = bytes.iter().position(|b| *b == b'\n') {
            self.partial.extend_from_slice(&bytes[..at]);
            bytes = &bytes[at + 1..];
            self.line(take)?;
        }
        if self.partial.len() + bytes.len() > LINE_LIMIT {
            return Err(format!("a line is longer than {LINE_LIMIT} bytes"));
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, take: &mut dyn FnMut(&str) -> Result<(), Misunderstood>) -> Result<(), Misunderstood> {
        let line = std::mem::take(&mut self.partial);
        if line.len() > LINE_LIMIT {
            return Err(format!("a line is longer than {LINE_LIMIT} bytes"));
        }
        self.count += 1;
        if self.count > self.limit {
            return Err(format!("there are more than {} lines", self.limit));
        }
        if self.ended {
            return Err("there are lines after the last one".to_string());
        }
        let text = std::str::from_utf8(&line).map_err(|_| "a line is not UTF-8".to_string())?;
        if text == END {
            self.ended = true;
            return Ok(());
        }
        take(text).map_err(|why| format!("{why} in line {}: {:?}", self.count, printable(&line, 200)))
    }

    /// To be called at the end of the answer.
    ///
    /// # Errors
    /// When the end mark is missing: the answer was cut.
    pub fn finish(&self) -> Result<(), Misunderstood> {
        if self.ended && self.partial.is_empty() { Ok(()) } else { Err("it ends in the middle".to_string()) }
    }
}

/// Builds a tree of datasets with their snapshots and bookmarks from lines with [`FIELDS`], in any order.
#[derive(Debug)]
pub struct TreeListing {
    root: DatasetName,
    depth: Depth,
    datasets: Vec<DatasetState>,
    snapshots: HashMap<String, Vec<Snapshot>>,
    bookmarks: HashMap<String, Vec<Bookmark>>,
}

impl TreeListing {
    /// For the dataset that was asked for.
    #[must_use]
    pub fn new(root: DatasetName, depth: Depth) -> Self {
        Self { root, depth, datasets: Vec::new(), snapshots: HashMap::new(), bookmarks: HashMap::new() }
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
                self.snapshots.entry(dataset.to_string()).or_default().push(snapshot);
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
                self.bookmarks.entry(dataset.to_string()).or_default().push(bookmark);
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
    fn entry<'n>(&self, name: &'n str, mark: char) -> Result<(DatasetName, &'n str), Misunderstood> {
        let (dataset, short) = name.split_once(mark).ok_or("a name without its mark")?;
        let dataset = DatasetName::try_from(dataset).map_err(text)?;
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
            dataset.snapshots = self.snapshots.remove(dataset.name.as_str()).unwrap_or_default();
            dataset.bookmarks = self.bookmarks.remove(dataset.name.as_str()).unwrap_or_default();
            dataset.snapshots.sort_by_key(|snapshot| snapshot.createtxg);
            dataset.bookmarks.sort_by_key(|bookmark| bookmark.createtxg);
        }
        if let Some(orphan) = self.snapshots.keys().chain(self.bookmarks.keys()).next() {
            return Err(format!("snapshots or bookmarks of {orphan:?}, which is not in the list"));
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
    all.entry(dataset).or_default().insert(name.to_string(), property);
    Ok(())
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_tree(answer: &str, depth: Depth) -> Result<Tree, Misunderstood> {
        let mut lines = Lines::default();
        let mut listing = TreeListing::new(DatasetName::try_from("tank/a b").expect("a name"), depth);
        // In pieces, as from a network.
        for piece in answer.as_bytes().chunks(7) {
            lines.push(piece, &mut |line| listing.take(line))?;
        }
        lines.finish()?;
        listing.finish()
    }

    fn read(answer: &str) -> Result<DatasetState, Misunderstood> {
        read_tree(answer, Depth::One).map(|tree| tree.root().clone())
    }

    const GOOD: &str = "tank/a b\tfilesystem\t11\t5\t0\t10\t20\t-\t-\t-\t-\t-\n\
        tank/a b/child\tvolume\t12\t6\t0\t10\t20\ttank/a b\tunavailable\ttank/x@y\t-\t-\n\
        tank/a b@two\tsnapshot\t18446744073709551615\t9\t0\t10\t-\t-\t-\t-\t77\t-\n\
        tank/a b@one\tsnapshot\t13\t7\t0\t10\t-\t-\t-\t-\t-\t-\n\
        tank/a b#one\tbookmark\t13\t7\t-\t10\t-\t-\t-\t-\t78\t-\n";

    #[test]
    fn a_tree_is_read_with_all_that_matters_of_its_datasets() {
        let more = "tank/a b/child@one\tsnapshot\t14\t8\t0\t10\t-\t-\t-\t-\t-\t-\n";
        // A snapshot before its dataset: the order is the other machine's business.
        let tree = read_tree(&format!("{more}{GOOD}{END}\n"), Depth::All).expect("good");
        let [root, child] = tree.datasets() else { panic!("{tree:?}") };
        assert_eq!((root.referenced, root.available, root.written), (10, 20, 0));
        assert_eq!(root.snapshots[1].ivset, Some(Guid(77)));
        assert_eq!(root.bookmarks[0].ivset, Some(Guid(78)));
        assert_eq!(child.kind, DatasetKind::Volume);
        assert_eq!(child.origin.as_ref().map(SnapshotName::as_str), Some("tank/x@y"));
        let encryption = child.encryption.as_ref().expect("encrypted");
        assert_eq!((encryption.root.as_str(), encryption.key_loaded), ("tank/a b", false));
        assert_eq!(child.snapshots.len(), 1);

        let orphan = "tank/a b/gone@one\tsnapshot\t14\t8\t0\t10\t-\t-\t-\t-\t-\t-\n";
        assert!(read_tree(&format!("{orphan}{GOOD}{END}\n"), Depth::All).is_err());
    }

    #[test]
    fn a_pool_is_read_with_its_guid_and_features() {
        let mut listing = PoolListing::default();
        for line in ["size\t100", "guid\t18446744073709551615", "feature@large_blocks\tenabled", "comment\t-"]
        {
            listing.take(line).expect("good");
        }
        let about = listing.finish("tank", Version::parse("2.3.9")).expect("good");
        assert_eq!(about.guid, Guid(u64::MAX));
        assert_eq!(about.features.get("large_blocks").map(String::as_str), Some("enabled"));
        assert!(PoolListing::default().take("nothing").is_err());
        assert!(PoolListing::default().take("guid\t-").is_err());
        assert!(PoolListing::default().finish("tank", None).is_err());
    }

    #[test]
    fn properties_are_read_with_their_sources() {
        let root = DatasetName::try_from("tank/a").expect("a name");
        let mut all = Properties::new();
        for line in [
            "tank/a\tcompression\tzstd\tlocal",
            "tank/a\tx:y\twith\ttabs\tinherited from tank",
            "tank/a/b\trecordsize\t131072\tdefault",
        ] {
            property(line, &root, &mut all).expect("good");
        }
        let one = &all[&root];
        assert_eq!(one["compression"], Property { value: "zstd".into(), source: PropertySource::Local });
        assert_eq!(one["x:y"], Property { value: "with\ttabs".into(), source: PropertySource::Inherited });
        assert_eq!(all.len(), 2);
        for line in
            ["", "tank/a", "tank/a\tx", "tank/a\tx\ty", "tank/a\tx\ty\tnowhere", "tank/b\tx\ty\tlocal"]
        {
            assert!(property(line, &root, &mut all).is_err(), "{line:?}");
        }
    }

    #[test]
    fn what_stands_against_a_removal_is_read_strictly() {
        let name = || DatasetName::try_from("tank/a b").expect("a name");
        let read = |lines: &[&str]| {
            let mut listing = CostListing::new(name());
            lines.iter().try_for_each(|line| listing.take(line))?;
            listing.finish()
        };
        let own = "tank/a b\t100\t20\tno";
        let cost =
            read(&[own, "tank/a b@1\t0\t", "tank/a b@2\t1\t-", "tank/a b@3\t0\ttank/c"]).expect("good");
        assert_eq!((cost.bytes, cost.mounted), (120, false));
        assert_eq!(cost.held, name().snapshot("2").ok());
        assert_eq!(cost.cloned, name().snapshot("3").ok());
        assert!(read(&["tank/a b\t1\t2\tyes"]).expect("good").mounted);
        assert_eq!(read(&["tank/a b\t1\t2\t-"]).expect("good").held, None);
        for lines in [
            &[][..],
            &["tank/a b@1\t0\t-"],
            &[own, own],
            &["tank/a\t1\t2\tno"],
            &["tank/a b\t-\t2\tno"],
            &["tank/a b\t1\t2\tmaybe"],
            &[own, "tank/a@1\t0\t-"],
            &[own, "tank/a b@1\t-\t-"],
            &[own, "tank/a b@1\t0"],
        ] {
            assert!(read(lines).is_err(), "{lines:?}");
        }
    }

    #[test]
    fn a_whole_answer_is_read_in_order() {
        let state = read(&format!("{GOOD}{END}\n")).expect("good");
        assert_eq!(state.guid, Guid(11));
        let names: Vec<_> = state.snapshots.iter().map(|s| s.name.short()).collect();
        assert_eq!(names, ["one", "two"]);
        assert_eq!(state.snapshots[1].guid, Guid(u64::MAX));
        assert_eq!(state.bookmarks.len(), 1);
        assert!(!state.encrypted() && state.partial.is_none());
    }

    #[test]
    fn a_cut_answer_is_an_error_wherever_it_is_cut() {
        let whole = format!("{GOOD}{END}\n");
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "cut at {length}");
        }
        assert!(read(&whole).is_ok());
    }

    #[test]
    fn what_zfs_would_not_print_is_an_error() {
        for line in [
            "",
            "tank/a b",
            "tank/a b@x\tsnapshot\t13\t7\t0\toff",
            "tank/a b@x\tsnapshot\t13\t7\t0\toff\t-\t-",
            "tank/a b@x\tsnapshot\t-1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
            "tank/a b@x\tsnapshot\t+1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
            "tank/a b@x\tsnapshot\t1e3\t7\t0\t10\t20\t-\t-\t-\t-\t-",
            "tank/a b@x\tsnapshot\t18446744073709551616\t7\t0\t10\t20\t-\t-\t-\t-\t-",
            "tank/a b@x\tsnapshot\t\t7\t0\t10\t20\t-\t-\t-\t-\t-",
            "tank/a b@x\tsnapshot\t-\t7\t0\t10\t20\t-\t-\t-\t-\t-",
            "tank/a b@x y/z\tsnapshot\t1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
            "tank/a b@x@y\tsnapshot\t1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
            "tank/a b@$(reboot)\tsnapshot\t1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
            "tank/other@x\tsnapshot\t1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
            "tank/a b/child@x\tsnapshot\t1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
            "tank/other\tfilesystem\t1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
            "tank/a b/c/d\tfilesystem\t1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
            "tank/a b\tfilesystem\t1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
            "tank/a b@x\tsomething\t1\t7\t0\t10\t20\t-\t-\t-\t-\t-",
            "cannot open 'tank/a b': dataset does not exist",
        ] {
            assert!(read(&format!("{GOOD}{line}\n{END}\n")).is_err(), "{line:?} was taken");
        }
        assert!(read(&format!("{END}\n")).is_err(), "an empty list has no dataset");
        assert!(read(&format!("{GOOD}{END}\n{GOOD}")).is_err(), "lines after the end");
    }

    #[test]
    fn a_dataset_that_does_not_say_what_was_written_is_an_error() {
        // Taken for 0 it would pass as unchanged.
        let answer = format!("{}{END}\n", GOOD.replacen("\t5\t0\t10", "\t5\t-\t10", 1));
        assert!(answer.contains("\t5\t-\t10"));
        assert!(read(&answer).is_err());
        assert!(read(&format!("{GOOD}{END}\n")).is_ok());
    }

    #[test]
    fn lines_and_their_number_are_bounded() {
        let mut lines = Lines::with_limit(3);
        let mut taken = 0;
        let answer = lines.push(b"a\nb\nc\nd\n", &mut |_| {
            taken += 1;
            Ok(())
        });
        assert!(answer.is_err());
        assert_eq!(taken, 3);
        let mut lines = Lines::default();
        let endless = vec![b'x'; 10_000];
        let failed = (0..10).find(|_| lines.push(&endless, &mut |_| Ok(())).is_err());
        assert!(failed.is_some(), "an endless line was kept");
    }

    #[test]
    fn a_token_that_cannot_be_read_is_kept_as_such() {
        let answer = format!("{}{END}\n", GOOD.replacen("\t-\t-\n", "\t-\t1-nonsense\n", 1));
        let partial = read(&answer).expect("good").partial.expect("a token");
        assert!(partial.content.is_err() && partial.token == "1-nonsense");
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(answer in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut lines = Lines::default();
            let mut listing = TreeListing::new(DatasetName::try_from("tank").expect("a name"), Depth::All);
            let _ = lines.push(&answer, &mut |line| listing.take(line));
        }

        #[test]
        fn no_fields_make_it_panic(line in "(tank|tank@x|tank#x|tank/y)(\t(snapshot|filesystem|bookmark|[0-9a-z-]{0,25})){0,13}") {
            let mut listing = TreeListing::new(DatasetName::try_from("tank").expect("a name"), Depth::All);
            let _ = listing.take(&line);
        }
    }
}
