//! How the pools are: the texts and levels of `sanoid --monitor-health`. Where a pool is missing, sanoid stops there
//! and says nothing of the others; here all are told.

use serde::Deserialize;
use serde::Serialize;
use serde_json::json;
use zfs_core::pool::Health;
use zfs_core::pool::PoolStatus;
use zfs_core::pool::Vdev;

use super::Level;
use super::Report;
use super::Subject;
use super::short_size;

/// What is known of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// All there is to know.
    Known(Status),
    /// It is imported, but how it is in detail could not be found out.
    State {
        /// The word of the kernel for how it is, which is had without waiting; nothing where not even that is known.
        state: Option<String>,
        /// Why there is no more.
        why: String,
    },
    /// It is not imported.
    Missing,
}

/// How a pool is, with sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The word of `zpool list`.
    pub health: String,
    /// Its size.
    pub size: u64,
    /// What is not in use of it.
    pub free: u64,
    /// Percent in use.
    pub capacity: u8,
    /// Its devices, parents before what they consist of.
    pub devices: Vec<Device>,
}

/// A device, or a group of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// How deep it lies; 1 is directly below the pool.
    pub depth: usize,
    /// As `zpool status` names it.
    pub name: String,
    /// As `zpool status` says it.
    pub health: String,
    /// Reads that failed.
    pub read: u64,
    /// Writes that failed.
    pub write: u64,
    /// Reads that gave something else than was written.
    pub checksum: u64,
}

impl From<&PoolStatus> for Status {
    fn from(status: &PoolStatus) -> Self {
        fn walk(vdevs: &[Vdev], depth: usize, out: &mut Vec<Device>) {
            for vdev in vdevs {
                out.push(Device {
                    depth,
                    name: vdev.name.clone(),
                    health: vdev.health.word().to_string(),
                    read: vdev.read_errors,
                    write: vdev.write_errors,
                    checksum: vdev.checksum_errors,
                });
                walk(&vdev.children, depth + 1, out);
            }
        }
        let mut devices = Vec::new();
        walk(&status.vdevs, 1, &mut devices);
        Self {
            health: status.health.word().to_string(),
            size: status.size,
            free: status.free(),
            capacity: status.capacity(),
            devices,
        }
    }
}

/// Judges pools, by name.
#[must_use]
pub fn judge(pools: &[(String, Pool)]) -> Report {
    let mut level = Level::Ok;
    let (mut missing, mut messages, mut list) = (Vec::new(), Vec::new(), Vec::new());
    let mut subjects = Vec::new();
    for (name, pool) in pools {
        let (of_pool, text) = one(name, pool);
        level = level.max(of_pool);
        if of_pool > Level::Ok {
            subjects.push(Subject::seen(name, of_pool, &text));
        }
        let value = match pool {
            Pool::Known(status) => json!(status),
            Pool::State { state, why } => json!({ "health": state, "why": why }),
            Pool::Missing => json!({ "health": null, "why": "it is not imported" }),
        };
        list.push(json!({ "pool": name, "level": of_pool, "status": value }));
        match pool {
            Pool::Missing => missing.push(text),
            _ => messages.push(text),
        }
    }
    let text = joined(level, missing, messages);
    Report::new(level, &text, json!({ "pools": list }), subjects)
}

/// The messages of pools in one. A pool that is missing comes first and without a banner, as in sanoid.
pub(super) fn joined(level: Level, missing: Vec<String>, messages: Vec<String>) -> String {
    let banner = if missing.is_empty() { level.banner() } else { "" };
    format!("{banner}{}", missing.into_iter().chain(messages).collect::<Vec<_>>().join(", "))
}

pub(super) fn missing(pool: &str) -> String {
    format!("CRITICAL ZPOOL {{{pool}}} does not exist and/or is not responding!")
}

fn level_of(health: &str) -> Level {
    match Health::read(health) {
        Health::Online => Level::Ok,
        Health::Degraded => Level::Warning,
        _ => Level::Critical,
    }
}

fn one(name: &str, pool: &Pool) -> (Level, String) {
    match pool {
        Pool::Missing => (Level::Critical, missing(name)),
        Pool::State { state, why } => {
            let level = state.as_deref().map_or(Level::Unknown, level_of).max(Level::Unknown);
            let state = state.as_deref().unwrap_or("UNKNOWN");
            (level, format!("{} ZPOOL {name} : {state} {{{why}}} ", level.word()))
        }
        Pool::Known(status) => {
            let mut level = level_of(&status.health);
            let mut damage = String::new();
            for device in &status.devices {
                device_of(device, &mut level, &mut damage);
            }
            let (size, free) = (short_size(status.size), short_size(status.free));
            let text = format!(
                "{} ZPOOL {name} : {} {{Size:{size} Free:{free} Cap:{}%}} {damage}",
                level.word(),
                status.health,
                status.capacity
            );
            (level, text)
        }
    }
}

/// What there is to say of a device. It depends on what was found before it, in the order of `zpool status`.
fn device_of(device: &Device, level: &mut Level, damage: &mut String) {
    let Device { depth, name, health, .. } = device;
    let works = |health: &str| matches!(health, "ONLINE" | "AVAIL");
    if *level == Level::Ok && health == "UNAVAIL" {
        *level = Level::Warning;
    }
    if *level == Level::Ok || works(health) {
        let counts = [("read", device.read), ("write", device.write), ("cksum", device.checksum)];
        let kinds: Vec<_> = counts.iter().filter(|(_, count)| *count > 0).map(|(kind, _)| *kind).collect();
        if !kinds.is_empty() {
            damage.push_str(&format!("({name}:{} errors) ", kinds.join(", ")));
            *level = (*level).max(Level::Warning);
        }
        return;
    }
    damage.push_str(&match depth {
        1 => format!("<{name}:{health}> "),
        3 => format!("({name}:{health}) "),
        _ => format!("{name}:{health} "),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(depth: usize, name: &str, health: &str, errors: [u64; 3]) -> Device {
        let [read, write, checksum] = errors;
        Device { depth, name: name.to_string(), health: health.to_string(), read, write, checksum }
    }

    fn pool(health: &str, devices: &[Device]) -> Pool {
        let (size, free) = (4_263_215_104, 4_263_030_784);
        let devices = devices.to_vec();
        Pool::Known(Status { health: health.to_string(), size, free, capacity: 0, devices })
    }

    fn text(pools: &[(&str, Pool)]) -> (u8, String) {
        let pools: Vec<_> = pools.iter().map(|(name, pool)| ((*name).to_string(), pool.clone())).collect();
        let report = judge(&pools);
        (report.level.status(), report.text)
    }

    #[test]
    fn pools_that_are_well_are_told_with_their_sizes() {
        let disk = device(1, "sda", "ONLINE", [0; 3]);
        let spare = device(1, "sdb", "AVAIL", [0; 3]);
        let all = [("a", pool("ONLINE", &[disk, spare])), ("b", pool("ONLINE", &[]))];
        let (code, said) = text(&all);
        let one = |name| format!("OK ZPOOL {name} : ONLINE {{Size:3.97G Free:3.97G Cap:0%}} ");
        assert_eq!((code, said), (0, format!("{}, {}", one("a"), one("b"))));
    }

    #[test]
    fn errors_of_a_device_are_a_warning() {
        let bad = device(2, "sda", "ONLINE", [1, 0, 2]);
        let (code, said) = text(&[("a", pool("ONLINE", &[device(1, "mirror-0", "ONLINE", [0; 3]), bad]))]);
        assert_eq!(code, 1);
        assert_eq!(
            said,
            "*** WARNING *** WARNING ZPOOL a : ONLINE {Size:3.97G Free:3.97G Cap:0%} (sda:read, cksum errors) "
        );
    }

    #[test]
    fn what_is_broken_is_named_by_its_depth() {
        let devices = [
            device(1, "mirror-0", "DEGRADED", [0; 3]),
            device(2, "sda", "ONLINE", [0; 3]),
            device(2, "replacing-0", "DEGRADED", [0; 3]),
            device(3, "sdb", "OFFLINE", [0; 3]),
        ];
        let (code, said) = text(&[("a", pool("DEGRADED", &devices))]);
        assert_eq!(code, 1);
        assert!(said.ends_with("<mirror-0:DEGRADED> replacing-0:DEGRADED (sdb:OFFLINE) "), "{said}");
        let (code, said) = text(&[("a", pool("ONLINE", &[device(1, "sdc", "UNAVAIL", [0; 3])]))]);
        assert!(code == 1 && said.contains("<sdc:UNAVAIL>"), "{code} {said}");
        let (code, said) = text(&[("a", pool("SUSPENDED", &[]))]);
        assert!(code == 2 && said.starts_with("*** CRITICAL *** CRITICAL ZPOOL a : SUSPENDED"), "{said}");
    }

    #[test]
    fn a_pool_that_is_missing_does_not_hide_the_others() {
        let (code, said) = text(&[("a", pool("ONLINE", &[])), ("b", Pool::Missing)]);
        assert_eq!(code, 2);
        assert!(said.starts_with("CRITICAL ZPOOL {b} does not exist and/or is not responding!, OK ZPOOL a"));
    }

    #[test]
    fn without_an_answer_it_is_never_fine() {
        let state = |state: Option<&str>| Pool::State {
            state: state.map(str::to_string),
            why: "no answer within 10 s".to_string(),
        };
        assert_eq!(text(&[("a", state(Some("SUSPENDED")))]).0, 2);
        assert_eq!(text(&[("a", state(Some("ONLINE")))]).0, 3);
        let (code, said) = text(&[("a", state(None))]);
        assert_eq!(
            (code, said.as_str()),
            (3, "*** UNKNOWN *** UNKNOWN ZPOOL a : UNKNOWN {no answer within 10 s} ")
        );
    }
}
