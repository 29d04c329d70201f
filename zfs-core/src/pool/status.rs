//! How well a pool is: its state, its size, and the tree of its devices with their errors. One call to the kernel.

use std::mem::offset_of;

use zfs_sys::vdev_stat;

use super::bad;
use crate::error::Result;
use crate::ffi::Ioctl;
use crate::nvlist::{NvList, Value};
use crate::{Guid, Zfs};

/// Deeper than this no tree of devices is; one that goes on is not followed.
const DEEPEST: usize = 16;

/// What a pool or a device of it is able to do, in the words of `zpool status` (zpoolconcepts(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Health {
    /// All of it works.
    Online,
    /// It works, and something of it does not.
    Degraded,
    /// It does not work: broken, or taken out of use by the kernel or by an administrator.
    Faulted,
    /// Taken out of use by an administrator.
    Offline,
    /// Taken out of the machine.
    Removed,
    /// It cannot be opened.
    Unavailable,
    /// A pool that was split off.
    Split,
    /// The pool waits for its devices: whoever writes to it waits as well.
    Suspended,
    /// A spare that is not in use.
    Available,
    /// A spare that is in use.
    InUse,
    /// The kernel says something that this version does not know.
    Unknown,
}

impl Health {
    /// The word of `zpool status`.
    pub fn word(self) -> &'static str {
        match self {
            Health::Online => "ONLINE",
            Health::Degraded => "DEGRADED",
            Health::Faulted => "FAULTED",
            Health::Offline => "OFFLINE",
            Health::Removed => "REMOVED",
            Health::Unavailable => "UNAVAIL",
            Health::Split => "SPLIT",
            Health::Suspended => "SUSPENDED",
            Health::Available => "AVAIL",
            Health::InUse => "INUSE",
            Health::Unknown => "UNKNOWN",
        }
    }

    /// Reads such a word; what is none of them is [`Health::Unknown`].
    pub fn read(word: &str) -> Self {
        let all = [
            Health::Online,
            Health::Degraded,
            Health::Faulted,
            Health::Offline,
            Health::Removed,
            Health::Unavailable,
            Health::Split,
            Health::Suspended,
            Health::Available,
            Health::InUse,
        ];
        all.into_iter().find(|health| health.word() == word).unwrap_or(Health::Unknown)
    }
}

impl std::fmt::Display for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// What a device is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VdevRole {
    /// It holds data.
    Data,
    /// It stands by for one that fails.
    Spare,
    /// It is a cache for reads.
    Cache,
}

/// A device, or a group of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vdev {
    /// As `zpool status` names it: `mirror-0`, `sda`, `/tank/file`.
    pub name: String,
    /// What it is there for.
    pub role: VdevRole,
    /// How it is.
    pub health: Health,
    /// Reads that failed since the pool was imported, or its errors cleared.
    pub read_errors: u64,
    /// Writes that failed.
    pub write_errors: u64,
    /// Reads that gave something else than was written.
    pub checksum_errors: u64,
    /// What it consists of.
    pub children: Vec<Vdev>,
}

/// How a pool is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// Its identity.
    pub guid: Guid,
    /// How it is as a whole.
    pub health: Health,
    /// Bytes of it, as `zpool list` counts them.
    pub size: u64,
    /// Bytes of these in use.
    pub allocated: u64,
    /// Its devices, then its spares, then its caches.
    pub vdevs: Vec<Vdev>,
}

impl PoolStatus {
    /// Bytes that are not in use.
    pub fn free(&self) -> u64 {
        self.size.saturating_sub(self.allocated)
    }

    /// How many percent are in use, rounded down.
    pub fn capacity(&self) -> u8 {
        let percent = u128::from(self.allocated) * 100 / u128::from(self.size.max(1));
        u8::try_from(percent).unwrap_or(u8::MAX)
    }
}

impl Zfs {
    /// How the pool of that name is. The call can wait where the kernel does, for as long as a device that does not
    /// answer keeps another command on the pool: a caller who cannot wait makes it in a process of its own.
    pub fn pool_status(&self, name: &str) -> Result<PoolStatus> {
        let list = self.configuration(Ioctl::PoolStats, name, name)?;
        let missing = |what: &str| bad(name, format!("it has no {what}"));
        let guid = list.u64(key(zfs_sys::ZPOOL_CONFIG_POOL_GUID)).ok_or_else(|| missing("GUID"))?;
        let tree = list.list(key(zfs_sys::ZPOOL_CONFIG_VDEV_TREE)).ok_or_else(|| missing("devices"))?;
        let stats = Stats::of(tree).ok_or_else(|| missing("statistics"))?;
        let suspended = list.contains(key(zfs_sys::ZPOOL_CONFIG_SUSPENDED));
        let mut vdevs = children(tree, key(zfs_sys::ZPOOL_CONFIG_CHILDREN), VdevRole::Data, 0);
        vdevs.extend(children(tree, key(zfs_sys::ZPOOL_CONFIG_SPARES), VdevRole::Spare, 0));
        vdevs.extend(children(tree, key(zfs_sys::ZPOOL_CONFIG_L2CACHE), VdevRole::Cache, 0));
        Ok(PoolStatus {
            guid: Guid(guid),
            health: if suspended { Health::Suspended } else { stats.health(VdevRole::Data) },
            size: stats.at(offset_of!(vdev_stat, vs_space)),
            allocated: stats.at(offset_of!(vdev_stat, vs_alloc)),
            vdevs,
        })
    }
}

/// The keys of our declarations are plain ASCII.
fn key(name: &'static std::ffi::CStr) -> &'static str {
    name.to_str().unwrap_or_default()
}

/// The statistics of a device: [`vdev_stat`] as an array of numbers.
struct Stats<'a>(&'a [u64]);

impl<'a> Stats<'a> {
    /// `None` where there are none, or fewer than the oldest version has.
    fn of(device: &'a NvList) -> Option<Self> {
        match device.get(key(zfs_sys::ZPOOL_CONFIG_VDEV_STATS)) {
            Some(Value::UInt64Array(numbers)) if numbers.len() >= size_of::<vdev_stat>() / 8 => {
                Some(Self(numbers))
            }
            _ => None,
        }
    }

    fn at(&self, offset: usize) -> u64 {
        self.0.get(offset / 8).copied().unwrap_or(0)
    }

    fn health(&self, role: VdevRole) -> Health {
        let (state, aux) = (self.at(offset_of!(vdev_stat, vs_state)), self.at(offset_of!(vdev_stat, vs_aux)));
        let is = |constant: std::ffi::c_uint, number: u64| u64::from(constant) == number;
        match state {
            _ if role == VdevRole::Spare && is(zfs_sys::VDEV_AUX_SPARED, aux) => Health::InUse,
            state if is(zfs_sys::VDEV_STATE_HEALTHY, state) && role == VdevRole::Spare => Health::Available,
            state if is(zfs_sys::VDEV_STATE_HEALTHY, state) => Health::Online,
            state if is(zfs_sys::VDEV_STATE_DEGRADED, state) => Health::Degraded,
            state if is(zfs_sys::VDEV_STATE_FAULTED, state) => Health::Faulted,
            state if is(zfs_sys::VDEV_STATE_REMOVED, state) => Health::Removed,
            state if is(zfs_sys::VDEV_STATE_CLOSED, state) || is(zfs_sys::VDEV_STATE_OFFLINE, state) => {
                Health::Offline
            }
            state if is(zfs_sys::VDEV_STATE_CANT_OPEN, state) => match aux {
                aux if is(zfs_sys::VDEV_AUX_CORRUPT_DATA, aux) || is(zfs_sys::VDEV_AUX_BAD_LOG, aux) => {
                    Health::Faulted
                }
                aux if is(zfs_sys::VDEV_AUX_SPLIT_POOL, aux) => Health::Split,
                _ => Health::Unavailable,
            },
            _ => Health::Unknown,
        }
    }
}

fn children(device: &NvList, list: &str, role: VdevRole, depth: usize) -> Vec<Vdev> {
    let Some(Value::ListArray(all)) = device.get(list) else { return Vec::new() };
    if depth >= DEEPEST {
        return Vec::new();
    }
    // A hole is where a log device was, an indirect one what is left of one that was removed.
    let gone = |one: &&NvList| {
        one.u64(key(zfs_sys::ZPOOL_CONFIG_IS_HOLE)) == Some(1)
            || matches!(one.str(key(zfs_sys::ZPOOL_CONFIG_TYPE)), Some("hole" | "indirect"))
    };
    all.iter().filter(|one| !gone(one)).map(|one| vdev(one, role, depth)).collect()
}

fn vdev(device: &NvList, role: VdevRole, depth: usize) -> Vdev {
    let stats = Stats::of(device);
    let errors = |offset| stats.as_ref().map_or(0, |stats| stats.at(offset));
    Vdev {
        name: name(device),
        role,
        health: stats.as_ref().map_or(Health::Unknown, |stats| stats.health(role)),
        read_errors: errors(offset_of!(vdev_stat, vs_read_errors)),
        write_errors: errors(offset_of!(vdev_stat, vs_write_errors)),
        checksum_errors: errors(offset_of!(vdev_stat, vs_checksum_errors)),
        children: children(device, key(zfs_sys::ZPOOL_CONFIG_CHILDREN), VdevRole::Data, depth + 1),
    }
}

/// As `zpool status` names it without options.
fn name(device: &NvList) -> String {
    let kind = device.str(key(zfs_sys::ZPOOL_CONFIG_TYPE)).unwrap_or("unknown");
    if device.contains(key(zfs_sys::ZPOOL_CONFIG_NOT_PRESENT)) {
        let guid = device.u64(key(zfs_sys::ZPOOL_CONFIG_GUID)).unwrap_or(0);
        return guid.to_string();
    }
    let path = device.bytes(key(zfs_sys::ZPOOL_CONFIG_PATH)).map(String::from_utf8_lossy);
    match (kind, path) {
        ("disk", Some(path)) => {
            let short = path.rsplit('/').next().unwrap_or(&path);
            let whole = device.u64(key(zfs_sys::ZPOOL_CONFIG_WHOLE_DISK)) == Some(1);
            if whole { without_partition(short) } else { short }.to_owned()
        }
        (_, Some(path)) => path.into_owned(),
        (kind, None) => {
            let parity = device.u64(key(zfs_sys::ZPOOL_CONFIG_NPARITY)).filter(|_| kind == "raidz");
            let id = device.u64(key(zfs_sys::ZPOOL_CONFIG_ID)).unwrap_or(0);
            format!("{kind}{}-{id}", parity.map(|parity| parity.to_string()).unwrap_or_default())
        }
    }
}

/// `sda` of `sda1`, `nvme0n1` of `nvme0n1p1`, `wwn-0x5` of `wwn-0x5-part1`.
fn without_partition(name: &str) -> &str {
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if base.len() == name.len() {
        return name;
    }
    if let Some(base) = base.strip_suffix("-part") {
        return base;
    }
    match base.strip_suffix('p') {
        Some(disk) if disk.ends_with(|c: char| c.is_ascii_digit()) => disk,
        _ if ["sd", "hd", "vd", "xvd"].iter().any(|kind| base.starts_with(kind)) => base,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(state: u32, aux: u32, numbers: [u64; 5]) -> Value {
        let mut all = vec![0u64; size_of::<vdev_stat>() / 8 + 7];
        all[1] = u64::from(state);
        all[2] = u64::from(aux);
        [all[3], all[4], all[20], all[21], all[22]] = numbers;
        Value::UInt64Array(all)
    }

    #[test]
    fn devices_are_named_as_zpool_status_names_them() {
        let device = |kind: &str| NvList::new().with("type", kind).with("id", 2u64);
        assert_eq!(name(&device("mirror")), "mirror-2");
        assert_eq!(name(&device("raidz").with("nparity", 3u64)), "raidz3-2");
        assert_eq!(name(&device("file").with("path", "/var/tmp/disk")), "/var/tmp/disk");
        let disk = |path: &str| device("disk").with("path", path).with("whole_disk", 1u64);
        for (path, short) in [
            ("/dev/sda1", "sda"),
            ("/dev/nvme0n1p1", "nvme0n1"),
            ("/dev/disk/by-id/wwn-0x50014ee-part1", "wwn-0x50014ee"),
            ("/dev/ubdb", "ubdb"),
        ] {
            assert_eq!(name(&disk(path)), short);
        }
        assert_eq!(name(&disk("/dev/sda1").with("whole_disk", 0u64)), "sda1");
        assert_eq!(name(&disk("/dev/sda1").with("not_present", 1u64).with("guid", 7u64)), "7");
    }

    #[test]
    fn states_have_the_words_of_zpool_status() {
        for (state, aux, role, word) in [
            (7, 0, VdevRole::Data, "ONLINE"),
            (6, 0, VdevRole::Data, "DEGRADED"),
            (5, 0, VdevRole::Data, "FAULTED"),
            (4, 1, VdevRole::Data, "UNAVAIL"),
            (4, 2, VdevRole::Data, "FAULTED"),
            (4, 15, VdevRole::Data, "SPLIT"),
            (3, 0, VdevRole::Data, "REMOVED"),
            (2, 0, VdevRole::Data, "OFFLINE"),
            (7, 0, VdevRole::Spare, "AVAIL"),
            (4, 10, VdevRole::Spare, "INUSE"),
            (99, 0, VdevRole::Data, "UNKNOWN"),
        ] {
            let device = NvList::new().with("vdev_stats", stats(state, aux, [0; 5]));
            let health = Stats::of(&device).expect("statistics").health(role);
            assert_eq!(health.word(), word);
            assert_eq!(Health::read(word), health);
        }
    }

    #[test]
    fn trees_are_read_with_their_errors_and_to_a_bounded_depth() {
        let leaf = NvList::new()
            .with("type", "file")
            .with("path", "/a")
            .with("vdev_stats", stats(6, 0, [0, 0, 1, 2, 3]));
        let mirror = NvList::new().with("type", "mirror").with("children", Value::ListArray(vec![leaf]));
        let hole = NvList::new().with("type", "hole").with("is_hole", 1u64);
        let root = NvList::new().with("children", Value::ListArray(vec![hole, mirror]));
        let all = children(&root, "children", VdevRole::Data, 0);
        // Without statistics nobody knows how it is.
        assert_eq!((all.len(), all[0].name.as_str(), all[0].health), (1, "mirror-0", Health::Unknown));
        let leaf = &all[0].children[0];
        assert_eq!((leaf.read_errors, leaf.write_errors, leaf.checksum_errors), (1, 2, 3));

        let mut deep = NvList::new().with("type", "mirror");
        for _ in 0..100 {
            deep = NvList::new().with("type", "mirror").with("children", Value::ListArray(vec![deep]));
        }
        let mut at = &children(&deep, "children", VdevRole::Data, 0);
        let mut depth = 0;
        while let Some(first) = at.first() {
            at = &first.children;
            depth += 1;
        }
        assert_eq!(depth, DEEPEST);
    }

    #[test]
    fn capacity_is_rounded_down_and_bounded() {
        let status = |size, allocated| PoolStatus {
            guid: Guid(1),
            health: Health::Online,
            size,
            allocated,
            vdevs: Vec::new(),
        };
        assert_eq!((status(1000, 429).capacity(), status(1000, 429).free()), (42, 571));
        assert_eq!(status(0, 0).capacity(), 0);
        assert_eq!(status(1, u64::MAX).capacity(), u8::MAX);
    }
}
