//! Every name that this program leaves on a pool, in one place: bookmarks, hold tags, user properties, and the names
//! of datasets that were set aside. `docs/names.md` describes them for people. All carry a version, so that later
//! programs read what earlier ones wrote; whatever does not read back exactly is somebody else's and never touched.

use std::fmt;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use sha2::Digest;
use sha2::Sha256;
use zfs_core::Guid;
use zfs_core::name::BookmarkName;
use zfs_core::name::DatasetName;
use zfs_core::name::HoldTag;
use zfs_core::name::NameError;

use crate::host::Bookmark;

/// The version of the names written today.
const VERSION: &str = "1";

/// What the short name of each bookmark of ours begins with.
const BOOKMARK: &str = "replicator_";

/// What the tag of each hold of ours begins with.
const HOLD: &str = "replicator:";

/// What stands between the name of a dataset that was set aside and the time when that happened.
const ASIDE: &str = "_diverged_";

/// What the names of our user properties begin with.
const PROPERTY: &str = "replicator:";

/// The user property that says whose copy a dataset of a target is: a [`Replica`].
pub const REPLICA: &str = "replicator:replica";

/// The user property that says since when the source has not had a dataset of a target: a [`Gone`].
pub const GONE: &str = "replicator:gone";

/// The user property that says which node of a pair was promoted last, as far as the pool of a root knows: an
/// [`Epoch`](crate::pair::Epoch).
pub const EPOCH: &str = "replicator:epoch";

/// The user property of a dataset that is just being set aside, and of what takes its place: an [`Exchange`].
pub const EXCHANGE: &str = "replicator:exchange";

/// The user property of a root of a pair from which a rejoin is setting aside what only its node has: a [`Rejoining`].
pub const REJOIN: &str = "replicator:rejoin";

/// The user property of a root of a pair that this node has not received as a whole yet: a [`FirstCopy`].
pub const FIRST: &str = "replicator:first";

/// How a moment is written.
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// Which target a bookmark is kept for: a hash of the target pool's GUID and the path of the dataset below its pool.
/// It stays the same when the pool is imported under another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(u64);

impl TargetId {
    /// Of a dataset in a pool.
    #[must_use]
    pub fn new(pool: Guid, dataset: &DatasetName) -> Self {
        let mut hash = Sha256::new();
        hash.update(pool.0.to_be_bytes());
        for component in dataset.components().skip(1) {
            hash.update(b"/");
            hash.update(component.as_bytes());
        }
        let digest = hash.finalize();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        Self(u64::from_be_bytes(id))
    }
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What the name of a bookmark of ours says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// For which target it is kept.
    pub target: TargetId,
    /// The snapshot it stands for.
    pub guid: Guid,
}

impl Mark {
    /// The bookmark's name on this dataset: `dataset#replicator_1_<target>_<guid>`, both in 16 hexadecimal digits.
    ///
    /// # Errors
    /// When the whole would be longer than ZFS allows.
    pub fn name(self, dataset: &DatasetName) -> Result<BookmarkName, NameError> {
        dataset.bookmark(&format!("{BOOKMARK}{VERSION}_{}_{:016x}", self.target, self.guid.0))
    }

    /// Reads a bookmark. `None` for those of others, and for one whose name and GUID do not agree.
    #[must_use]
    pub fn of(bookmark: &Bookmark) -> Option<Self> {
        let rest = bookmark.name.short().strip_prefix(BOOKMARK)?;
        let (version, rest) = rest.split_once('_')?;
        let (target, guid) = rest.split_once('_')?;
        let mark = Self { target: TargetId(hexadecimal(target)?), guid: Guid(hexadecimal(guid)?) };
        (version == VERSION && mark.guid == bookmark.guid).then_some(mark)
    }
}

fn hexadecimal(text: &str) -> Option<u64> {
    let lower = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if text.len() == 16 && lower { u64::from_str_radix(text, 16).ok() } else { None }
}

/// The tag of the holds that a process keeps while it sends: `replicator:1:<process id>:<count>`. They end with the process.
#[must_use]
pub fn hold_tag(process: u32) -> HoldTag {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // Several transfers of one process may hold the same snapshot.
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    HoldTag::try_from(format!("{HOLD}{VERSION}:{process}:{count}").as_bytes())
        .unwrap_or_else(|error| unreachable!("a short tag of letters and digits is valid: {error}"))
}

/// Whether a hold is one of ours.
#[must_use]
pub fn is_our_hold(tag: &HoldTag) -> bool {
    tag.to_str().is_some_and(|tag| tag.starts_with(HOLD))
}

/// The process that placed a hold of ours. `None` for those of others, and for those of another version.
#[must_use]
pub fn hold_process(tag: &HoldTag) -> Option<u32> {
    let rest = tag.to_str()?.strip_prefix(HOLD)?;
    let (version, rest) = rest.split_once(':')?;
    let (process, count) = rest.split_once(':')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if version == VERSION && digits(process) && digits(count) { process.parse().ok() } else { None }
}

/// The name under which a dataset that diverged is set aside: `pool/data_diverged_20261122T181500Z`. `time` is in
/// seconds since 1970.
///
/// # Errors
/// When it would be longer than ZFS allows.
pub fn set_aside(dataset: &DatasetName, time: i64) -> Result<DatasetName, NameError> {
    format!("{dataset}{ASIDE}{}", written(time)).parse()
}

/// What the last part of the name of a clone begins with that a restore drill makes.
const DRILL: &str = "replicator_drill_";

/// The clone that a restore drill makes of a snapshot of a dataset: `pool/data/replicator_drill_20261122T181500Z`.
///
/// # Errors
/// When it would be longer than ZFS allows.
pub fn drill(dataset: &DatasetName, time: i64) -> Result<DatasetName, NameError> {
    dataset.child(&format!("{DRILL}{}", written(time)))
}

/// Whether a dataset has the name of a clone that a drill has made of this one.
#[must_use]
pub fn is_drill(dataset: &DatasetName, of: &DatasetName) -> bool {
    let below = dataset.strip_prefix(of).unwrap_or_default();
    below.strip_prefix(DRILL).is_some_and(is_time)
}

/// Whether a text is a time as it is written in names.
fn is_time(time: &str) -> bool {
    let shape = |(at, b): (usize, u8)| match at {
        8 => b == b'T',
        15 => b == b'Z',
        _ => b.is_ascii_digit(),
    };
    time.len() == 16 && time.bytes().enumerate().all(shape)
}

fn written(time: i64) -> String {
    jiff::Timestamp::from_second(time).unwrap_or_default().strftime(TIME).to_string()
}

/// Whether a user property is one of ours, of whatever version.
#[must_use]
pub fn is_our_property(name: &str) -> bool {
    name.starts_with(PROPERTY)
}

/// Says of a dataset of a target that it is a copy. Believed only where the property was set on the dataset itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replica {
    /// The GUID of the dataset that the replication began at on the source.
    pub root: Guid,
    /// The GUID of the dataset that this is a copy of.
    pub dataset: Guid,
}

impl Replica {
    /// Reads what [`fmt::Display`] wrote; `None` for everything else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let version = parts.next()?;
        let mark =
            Self { root: Guid(hexadecimal(parts.next()?)?), dataset: Guid(hexadecimal(parts.next()?)?) };
        (version == VERSION && parts.next().is_none()).then_some(mark)
    }
}

impl fmt::Display for Replica {
    /// `1:<root>:<dataset>`, both GUIDs in 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}:{:016x}:{:016x}", self.root.0, self.dataset.0)
    }
}

/// Says of a dataset of a target that the source does not have it any more, and what it was when that was found.
/// Believed only where the property was set on the dataset itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// When it was found, in seconds since 1970.
    pub since: i64,
    /// The GUID of the dataset that the replication began at on the source.
    pub root: Guid,
    /// The GUID of its newest snapshot then.
    pub newest: Guid,
    /// How many bytes it referred to then.
    pub referenced: u64,
}

impl Gone {
    /// Reads what [`fmt::Display`] wrote; `None` for everything else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(':').skip(1);
        let time = jiff::civil::DateTime::strptime(TIME, parts.next()?).ok()?;
        let mark = Self {
            since: time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second(),
            root: Guid(hexadecimal(parts.next()?)?),
            newest: Guid(hexadecimal(parts.next()?)?),
            referenced: parts.next()?.parse().ok()?,
        };
        // Nothing but what is written today, to the letter.
        (mark.to_string() == text).then_some(mark)
    }
}

impl fmt::Display for Gone {
    /// `1:<time>:<root>:<newest>:<referenced>`: UTC as `20261122T181500Z`, GUIDs in 16 hexadecimal digits, bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { since, root, newest, referenced } = self;
        write!(f, "{VERSION}:{}:{:016x}:{:016x}:{referenced}", written(*since), root.0, newest.0)
    }
}

/// Says that a dataset is being set aside and another one takes its place, for whoever finds that half done. Believed only
/// where the property was set on the dataset itself, and only beside a dataset that has the GUID `old`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// When it began, in seconds since 1970: the time in the name of what is set aside.
    pub since: i64,
    /// The GUID of the dataset that is set aside.
    pub old: Guid,
    /// The GUID of what takes its place: a dataset, or the snapshot that it is cloned from.
    pub new: Guid,
    /// What `canmount` was set to: `on`, `off` or `noauto`; `None` where it was not set.
    pub canmount: Option<String>,
    /// What `readonly` was set to: `on` or `off`.
    pub readonly: Option<String>,
}

impl Exchange {
    /// Reads what [`fmt::Display`] wrote; `None` for everything else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(':').skip(1);
        let time = jiff::civil::DateTime::strptime(TIME, parts.next()?).ok()?;
        let word = |text: &str, words: &[&str]| match text {
            "-" => Some(None),
            text => words.contains(&text).then(|| Some(text.to_string())),
        };
        let mark = Self {
            since: time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second(),
            old: Guid(hexadecimal(parts.next()?)?),
            new: Guid(hexadecimal(parts.next()?)?),
            canmount: word(parts.next()?, &["on", "off", "noauto"])?,
            readonly: word(parts.next()?, &["on", "off"])?,
        };
        // Nothing but what is written today, to the letter.
        (mark.to_string() == text).then_some(mark)
    }
}

impl fmt::Display for Exchange {
    /// `1:<time>:<old>:<new>:<canmount>:<readonly>`: UTC as `20261122T181500Z`, GUIDs in 16 hexadecimal digits, `-` for
    /// what was not set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { since, old, new, canmount, readonly } = self;
        let (canmount, readonly) = (canmount.as_deref().unwrap_or("-"), readonly.as_deref().unwrap_or("-"));
        write!(f, "{VERSION}:{}:{:016x}:{:016x}:{canmount}:{readonly}", written(*since), old.0, new.0)
    }
}

/// Says that a rejoin has begun to set aside what only a node has of a root, and has not come to its end. Believed only
/// where the property was set on the dataset itself: the root, or what the root is called now that it is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejoining {
    /// The epoch in the names of what is set aside; 0 where the root had none.
    pub epoch: u64,
}

impl Rejoining {
    /// Reads what [`fmt::Display`] wrote; `None` for everything else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mark = Self { epoch: text.split(':').nth(1)?.parse().ok()? };
        // Nothing but what is written today, to the letter.
        (mark.to_string() == text).then_some(mark)
    }
}

impl fmt::Display for Rejoining {
    /// `1:<epoch>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}:{}", self.epoch)
    }
}

/// Says that the first replication of a root to this node has not come to its end, and how far it was when that was last
/// counted. Believed only where the property was set on the root itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstCopy {
    /// How many datasets are here up to their newest snapshot.
    pub there: u64,
    /// How many there are on the other node; 0 where nobody has counted them yet.
    pub of: u64,
}

impl FirstCopy {
    /// Reads what [`fmt::Display`] wrote; `None` for everything else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(':').skip(1);
        let mark = Self { there: parts.next()?.parse().ok()?, of: parts.next()?.parse().ok()? };
        // Nothing but what is written today, to the letter.
        (mark.to_string() == text).then_some(mark)
    }
}

impl fmt::Display for FirstCopy {
    /// `1:<there>:<of>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}:{}:{}", self.there, self.of)
    }
}

/// The dataset for which this one was set aside, if its name says so.
#[must_use]
pub fn was_set_aside(dataset: &DatasetName) -> Option<DatasetName> {
    let (name, time) = dataset.as_str().rsplit_once(ASIDE)?;
    if is_time(time) { name.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use zfs_core::Txg;

    use super::*;

    fn name(text: &str) -> DatasetName {
        text.parse().expect("a name")
    }

    fn bookmark(short: &str, guid: u64) -> Bookmark {
        let name = name("tank/a").bookmark(short).expect("a name");
        Bookmark { name, guid: Guid(guid), createtxg: Txg(1), ivset: None }
    }

    #[test]
    fn a_mark_reads_back_and_names_its_target() {
        let target = TargetId::new(Guid(7), &name("backup/a b/c"));
        let mark = Mark { target, guid: Guid(u64::MAX) };
        let written = mark.name(&name("tank/a")).expect("short enough");
        assert_eq!(Mark::of(&bookmark(written.short(), u64::MAX)), Some(mark));
        // The pool's name does not matter, its GUID and the path below it do.
        assert_eq!(TargetId::new(Guid(7), &name("other/a b/c")), target);
        assert_ne!(TargetId::new(Guid(8), &name("backup/a b/c")), target);
        assert_ne!(TargetId::new(Guid(7), &name("backup/a b")), target);
        assert_ne!(TargetId::new(Guid(7), &name("backup/a b/c/d")), target);
    }

    /// What is written to pools must be read by all later versions: these are the names of version 1.
    #[test]
    fn the_names_of_version_1_stay_as_they_are() {
        let target = TargetId::new(Guid(0x0123_4567_89ab_cdef), &name("backup/data"));
        assert_eq!(target.to_string(), "01381b19ef3fe6a7");
        let mark = Mark { target, guid: Guid(255) };
        let written = mark.name(&name("tank/a")).expect("short enough");
        assert_eq!(written.as_str(), "tank/a#replicator_1_01381b19ef3fe6a7_00000000000000ff");
        let aside = set_aside(&name("tank/a"), 1_795_371_300).expect("short enough");
        assert_eq!(aside.as_str(), "tank/a_diverged_20261122T181500Z");
        let replica = Replica { root: Guid(255), dataset: Guid(1) };
        assert_eq!(replica.to_string(), "1:00000000000000ff:0000000000000001");
        let gone = Gone { since: 1_795_371_300, root: Guid(255), newest: Guid(2), referenced: 4096 };
        assert_eq!(gone.to_string(), "1:20261122T181500Z:00000000000000ff:0000000000000002:4096");
        assert_eq!((REPLICA, GONE), ("replicator:replica", "replicator:gone"));
        let canmount = Some("noauto".to_string());
        let exchange =
            Exchange { since: 1_795_371_300, old: Guid(255), new: Guid(2), canmount, readonly: None };
        assert_eq!(exchange.to_string(), "1:20261122T181500Z:00000000000000ff:0000000000000002:noauto:-");
        assert_eq!(EXCHANGE, "replicator:exchange");
        assert_eq!((REJOIN, FIRST), ("replicator:rejoin", "replicator:first"));
        assert_eq!(Rejoining { epoch: 7 }.to_string(), "1:7");
        assert_eq!(FirstCopy { there: 3, of: 12 }.to_string(), "1:3:12");
        let drilled = drill(&name("tank/a"), 1_795_371_300).expect("short enough");
        assert_eq!(drilled.as_str(), "tank/a/replicator_drill_20261122T181500Z");
        assert!(is_drill(&drilled, &name("tank/a")) && !is_drill(&drilled, &name("tank")));
        assert!(!is_drill(&name("tank/a/replicator_drill_x"), &name("tank/a")));
    }

    #[test]
    fn marks_on_datasets_read_back_or_are_not_ours() {
        let replica = Replica { root: Guid(u64::MAX), dataset: Guid(0) };
        assert_eq!(Replica::read(&replica.to_string()), Some(replica));
        for other in [
            "",
            "-",
            "1",
            "2:00000000000000ff:0000000000000001",
            "1:ff:1",
            "1:00000000000000ff:0000000000000001:",
        ] {
            assert_eq!(Replica::read(other), None, "{other:?}");
        }
        let gone = Gone { since: 0, root: Guid(1), newest: Guid(u64::MAX), referenced: u64::MAX };
        assert_eq!(Gone::read(&gone.to_string()), Some(gone));
        for other in [
            "",
            "yes",
            "1:20261122T181500Z",
            "2:20261122T181500Z:00000000000000ff:0000000000000002:4096",
            "1:20261122T181500:00000000000000ff:0000000000000002:4096",
            "1:20261322T181500Z:00000000000000ff:0000000000000002:4096",
            "1:20261122T181500Z:00000000000000ff:0000000000000002:+4096",
            "1:20261122T181500Z:00000000000000ff:0000000000000002:4096:",
        ] {
            assert_eq!(Gone::read(other), None, "{other:?}");
        }
    }

    #[test]
    fn an_exchange_reads_back_or_is_not_ours() {
        let readonly = Some("off".to_string());
        let mark = Exchange { since: 7, old: Guid(u64::MAX), new: Guid(0), canmount: None, readonly };
        assert_eq!(Exchange::read(&mark.to_string()), Some(mark));
        for other in [
            "",
            "1:20261122T181500Z:00000000000000ff:0000000000000002:maybe:-",
            "1:20261122T181500Z:00000000000000ff:0000000000000002:on:noauto",
            "1:20261122T181500Z:00000000000000ff:0000000000000002:on",
            "1:20261122T181500Z:00000000000000ff:0000000000000002:on:-:",
            "2:20261122T181500Z:00000000000000ff:0000000000000002:on:-",
            "1:20261122T181500Z:ff:2:on:-",
        ] {
            assert_eq!(Exchange::read(other), None, "{other:?}");
        }
    }

    #[test]
    fn marks_on_roots_of_pairs_read_back_or_are_not_ours() {
        for epoch in [0, 7, u64::MAX] {
            let mark = Rejoining { epoch };
            assert_eq!(Rejoining::read(&mark.to_string()), Some(mark));
        }
        for other in ["", "1", "1:", "2:7", "1:+7", "1:07", "1:7:", "1:-1", "7", "x:7"] {
            assert_eq!(Rejoining::read(other), None, "{other:?}");
        }
        let mark = FirstCopy { there: 0, of: u64::MAX };
        assert_eq!(FirstCopy::read(&mark.to_string()), Some(mark));
        for other in ["", "1", "1:3", "2:3:4", "1:3:4:", "1:03:4", "1:3:+4", "1::4"] {
            assert_eq!(FirstCopy::read(other), None, "{other:?}");
        }
    }

    #[test]
    fn what_is_not_exactly_ours_is_somebody_elses() {
        let target = "01381b19ef3fe6a7";
        for (short, guid) in [
            (format!("replicator_1_{target}_00000000000000ff"), 254),
            (format!("replicator_2_{target}_00000000000000ff"), 255),
            (format!("replicator_1_{target}_00000000000000FF"), 255),
            (format!("replicator_1_{target}_ff"), 255),
            (format!("replicator_1_{target}"), 255),
            (format!("replicator_1_{target}_-0000000000000ff"), 255),
            (format!("x_replicator_1_{target}_00000000000000ff"), 255),
            ("syncoid_x".to_string(), 255),
        ] {
            assert_eq!(Mark::of(&bookmark(&short, guid)), None, "{short}");
        }
    }

    #[test]
    fn a_hold_of_ours_names_its_process() {
        let tag = hold_tag(4711);
        assert!(is_our_hold(&tag));
        assert_eq!(hold_process(&tag), Some(4711));
        for other in
            ["replicator:2:1:0", "replicator:1:1", "replicator:1::0", "replicator:1:+1:0", "x:1:1:0", "1:1:0"]
        {
            let tag = HoldTag::try_from(other.as_bytes()).expect("a tag");
            assert_eq!(hold_process(&tag), None, "{other}");
        }
    }

    #[test]
    fn a_mark_that_would_be_too_long_is_an_error() {
        let mark = Mark { target: TargetId::new(Guid(1), &name("b")), guid: Guid(1) };
        assert!(mark.name(&name(&format!("tank/{}", "x".repeat(230)))).is_err());
    }

    #[test]
    fn datasets_that_were_set_aside_are_recognised() {
        let aside = set_aside(&name("tank/a b"), 0).expect("short enough");
        assert_eq!(was_set_aside(&aside), Some(name("tank/a b")));
        for other in [
            "tank/a",
            "tank/a_diverged_",
            "tank/a_diverged_20261122T181500",
            "tank/a_diverged_20261122x181500Z",
        ] {
            assert_eq!(was_set_aside(&name(other)), None, "{other}");
        }
    }
}
