//! The configuration of a Proxmox VE guest, as far as a pair depends on it: how the datasets get into a container, and
//! whether its start asks this program.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use zfs_core::name::DatasetName;

use super::are;
use super::shown;
use crate::check::Finding;

/// What a guest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A container, which sees folders of its node.
    Container,
    /// A virtual machine, which has disks.
    Machine,
}

/// A guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Its number.
    pub id: u32,
    /// What it is.
    pub kind: Kind,
    /// The script that is called around its start and stop, as it is written.
    pub hookscript: Option<String>,
    /// Folders of the node that it sees.
    pub binds: Vec<Bind>,
}

/// A folder of the node that a container sees: `mp0: /zpool1/data,mp=/data,shared=1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// `mp0`.
    pub key: String,
    /// Where it is on the node.
    pub source: PathBuf,
    /// Where it is in the container.
    pub inside: PathBuf,
    /// Whether it is said to be on each node of the cluster.
    pub shared: bool,
    /// All that is written there.
    pub value: String,
}

impl Guest {
    /// Reads `/etc/pve/lxc/103.conf` or `/etc/pve/qemu-server/103.conf`. What its snapshots had follows in sections, and is
    /// no matter of now.
    #[must_use]
    pub fn parse(id: u32, kind: Kind, text: &str) -> Self {
        let mut guest = Self { id, kind, hookscript: None, binds: Vec::new() };
        for line in text.lines().map(str::trim).take_while(|line| !line.starts_with('[')) {
            let Some((key, value)) = line.split_once(':').filter(|_| !line.starts_with('#')) else {
                continue;
            };
            let value = value.trim();
            if key == "hookscript" {
                guest.hookscript = Some(value.to_string());
            } else if kind == Kind::Container && is_mount(key) {
                guest.binds.extend(bind(key, value));
            }
        }
        guest
    }

    /// Where a container has the places of datasets.
    #[must_use]
    pub fn inside(&self, places: &BTreeMap<DatasetName, PathBuf>) -> Vec<(DatasetName, PathBuf)> {
        let mut all = Vec::new();
        for (dataset, place) in places {
            // It sees the folder with the dataset in it, or only a part of the dataset.
            let above =
                self.binds.iter().filter_map(|bind| Some((bind, place.strip_prefix(&bind.source).ok()?)));
            if let Some((bind, rest)) = above.min_by_key(|(_, rest)| rest.components().count()) {
                all.push((dataset.clone(), joined(&bind.inside, rest)));
                continue;
            }
            let parts = self.binds.iter().filter(|bind| bind.source.starts_with(place));
            all.extend(parts.map(|bind| (dataset.clone(), bind.inside.clone())));
        }
        all
    }
}

/// As [`Path::join`], without a slash at the end where nothing follows.
fn joined(folder: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { folder.to_path_buf() } else { folder.join(rest) }
}

fn is_mount(key: &str) -> bool {
    key.strip_prefix("mp")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// A folder of the node. What is on a storage of the cluster begins with its name, and moves by itself.
fn bind(key: &str, value: &str) -> Option<Bind> {
    let mut options = value.split(',');
    let first = options.next()?;
    let source = first.strip_prefix("volume=").unwrap_or(first);
    if !source.starts_with('/') {
        return None;
    }
    let (mut inside, mut shared) = (None, false);
    for option in options {
        match option.split_once('=') {
            Some(("mp", path)) => inside = Some(PathBuf::from(path)),
            Some(("shared", value)) => shared = matches!(value, "1" | "on" | "yes" | "true"),
            _ => {}
        }
    }
    Some(Bind {
        key: key.to_string(),
        source: source.into(),
        inside: inside?,
        shared,
        value: value.to_string(),
    })
}

/// What there is to say of a guest. `places` are the mountpoints of the pair.
pub(super) fn findings(guest: &Guest, places: &BTreeMap<DatasetName, PathBuf>) -> Vec<Finding> {
    let id = guest.id;
    let mut all = Vec::new();
    match &guest.hookscript {
        Some(script) => {
            all.push(Finding::ok(
                "hook",
                format!("guest {id} calls {} when it starts and stops", shown(script)),
            ));
        }
        None => {
            let text = format!("guest {id} has no hookscript: it starts whether or not its data are here");
            let tool = if guest.kind == Kind::Container { "pct" } else { "qm" };
            let fix = format!(
                "{tool} set {id} --hookscript local:snippets/nfs-pair.sh, with the script of docs/pair.md"
            );
            all.push(Finding::fail("hook", text, fix));
        }
    }
    if guest.kind == Kind::Machine {
        let text = format!("guest {id} is a virtual machine: how it comes to the data is not looked at");
        let fix = "see that its disks, or the server that it mounts them from, are the same on both nodes";
        all.push(Finding::warn("mounts", text, fix.to_string()));
        return all;
    }
    let mut concerned = 0;
    for bind in &guest.binds {
        let within = places.iter().filter(|(_, place)| bind.source.starts_with(place)).count();
        let below: Vec<_> = places
            .iter()
            .filter(|(_, place)| place.starts_with(&bind.source) && **place != bind.source)
            .map(|(dataset, _)| dataset)
            .collect();
        if within == 0 && below.is_empty() {
            continue;
        }
        concerned += 1;
        let (key, source) = (&bind.key, shown(&bind.source.to_string_lossy()));
        if within == 0 {
            let text = format!(
                "{key} of guest {id} is {source}, in which {} mounted: where that is missing the guest sees an empty folder",
                are(&below)
            );
            let fix = "give the guest a bind mount for each dataset, and not for the folder above them";
            all.push(Finding::warn("mounts", text, fix.to_string()));
        }
        if !bind.shared {
            let text = format!(
                "{key} of guest {id}, {source}, has no shared=1: Proxmox VE does not migrate the guest"
            );
            let fix = format!("pct set {id} -{key} {},shared=1", shown(&without_shared(&bind.value)));
            all.push(Finding::fail("mounts", text, fix));
        } else if within > 0 {
            all.push(Finding::ok(
                "mounts",
                format!("{key} of guest {id}, {source}, may move to the other node"),
            ));
        }
    }
    if concerned == 0 && !places.is_empty() {
        let text = format!("guest {id} has no bind mount of a dataset of the pair");
        let fix = format!("pct set {id} -mp0 FOLDER,mp=FOLDER,shared=1, if it serves any of them");
        all.push(Finding::warn("mounts", text, fix));
    }
    all
}

/// Without what says that it is not shared.
fn without_shared(value: &str) -> String {
    let kept: Vec<_> = value.split(',').filter(|option| !option.starts_with("shared=")).collect();
    kept.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Grade;

    const CONF: &str = "\
#the server
arch: amd64
hookscript: local:snippets/nfs-pair.sh
hostname: nfs-server
mp0: /zpool1/data-nfs-share,mp=/data,shared=1
mp1: /zpool2,mp=/srv,shared=1
mp2: local-lvm:vm-103-disk-1,mp=/var/cache,size=8G
mp3: volume=/zpool1/pbs-backups/a,mp=/a,shared=0
rootfs: drbd:vm-103-disk-0,size=8G

[before]
mp4: /zpool1/pbs-backups,mp=/old
hookscript: local:snippets/other.sh
";

    fn places() -> BTreeMap<DatasetName, PathBuf> {
        let place = |name: &str| (name.parse().expect("a name"), PathBuf::from(format!("/{name}")));
        ["zpool1/data-nfs-share", "zpool1/pbs-backups", "zpool2/photos", "zpool2/storage"].map(place).into()
    }

    #[test]
    fn a_configuration_is_read_up_to_its_snapshots() {
        let guest = Guest::parse(103, Kind::Container, CONF);
        assert_eq!(guest.hookscript.as_deref(), Some("local:snippets/nfs-pair.sh"));
        let binds: Vec<_> = guest.binds.iter().map(|bind| (bind.key.as_str(), bind.shared)).collect();
        assert_eq!(binds, [("mp0", true), ("mp1", true), ("mp3", false)]);
        let inside: Vec<_> = guest.inside(&places()).into_iter().map(|(_, at)| at).collect();
        assert_eq!(inside, ["/data", "/a", "/srv/photos", "/srv/storage"].map(PathBuf::from));
        let machine = Guest::parse(103, Kind::Machine, CONF);
        assert_eq!(machine.binds, []);
    }

    #[test]
    fn what_keeps_a_guest_from_moving_is_found() {
        let found = findings(&Guest::parse(103, Kind::Container, CONF), &places());
        let grades: Vec<_> = found.iter().map(|one| one.grade).collect();
        // The hook, mp0, the folder above two datasets, and a part of one that is not shared.
        assert_eq!(grades, [Grade::Ok, Grade::Ok, Grade::Warn, Grade::Fail], "{found:#?}");
        let fix = found[3].fix.as_deref().unwrap_or_default();
        assert_eq!(fix, "pct set 103 -mp3 volume=/zpool1/pbs-backups/a,mp=/a,shared=1");
        let bare = findings(&Guest::parse(103, Kind::Container, "hostname: a\n"), &places());
        assert_eq!(bare.iter().map(|one| one.grade).collect::<Vec<_>>(), [Grade::Fail, Grade::Warn]);
        assert!(bare[0].text.contains("no hookscript"), "{}", bare[0].text);
        let machine = findings(&Guest::parse(103, Kind::Machine, "hookscript: a:b\n"), &places());
        assert_eq!(machine.iter().map(|one| one.grade).collect::<Vec<_>>(), [Grade::Ok, Grade::Warn]);
    }
}
