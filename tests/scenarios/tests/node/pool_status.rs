//! How a pool is, against what the `zpool` command says of it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use zfs_core::ErrorKind;
use zfs_core::Operation;
use zfs_core::Zfs;
use zfs_core::pool::Health;
use zfs_core::pool::PoolStatus;
use zfs_core::pool::Vdev;

use crate::expect::fails;

/// A pool of several files, destroyed when dropped.
struct Files {
    name: String,
    folder: PathBuf,
}

impl Files {
    /// `layout` is that of `zpool create`, where a word of one letter is a file.
    fn new(name: &str, layout: &str) -> Self {
        let name = format!("status-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(&name);
        fs::create_dir(&folder).expect("a folder");
        let pool = Self { name, folder };
        let mut arguments = vec!["create".to_string(), "-O".into(), "mountpoint=none".into()];
        arguments.push(pool.name.clone());
        arguments.extend(layout.split(' ').map(|word| match word.len() {
            1 => pool.file(word),
            _ => word.to_string(),
        }));
        pool.zpool(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        pool
    }

    /// The path of a file of the pool, which is made when it is first asked for.
    fn file(&self, letter: &str) -> String {
        let path = self.folder.join(letter);
        if !path.exists() {
            fs::File::create(&path).and_then(|file| file.set_len(128 << 20)).expect("a file");
        }
        path.to_str().expect("text").to_string()
    }

    fn zpool(&self, arguments: &[&str]) -> String {
        let output = Command::new("zpool").args(arguments).output().expect("zpool");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn status(&self) -> PoolStatus {
        Zfs::open().expect("ZFS").pool_status(&self.name).expect("the status")
    }

    /// Ours and that of `zpool list`, of a moment in which the pool was not writing anything: right after it was imported or
    /// scrubbed, it does.
    fn both(&self) -> (PoolStatus, String) {
        loop {
            let before = self.status();
            let listed =
                self.zpool(&["list", "-Hp", "-o", "size,allocated,free,capacity,health,guid", &self.name]);
            let after = self.status();
            if before.allocated == after.allocated {
                return (after, listed);
            }
        }
    }

    /// Sizes, state and devices are those that `zpool` prints. Gives the number of devices.
    fn compare(&self) -> usize {
        let (status, listed) = self.both();
        let numbers: Vec<&str> = listed.trim().split('\t').collect();
        let [size, allocated, free, capacity, health, guid] = numbers[..] else { panic!("{listed}") };
        assert_eq!(
            [status.size, status.allocated, status.free(), u64::from(status.capacity()), status.guid.0],
            [size, allocated, free, capacity, guid].map(|text| text.parse::<u64>().expect("a number")),
            "{listed}"
        );
        assert_eq!(status.health.word(), health);

        let mut ours = Vec::new();
        walk(&status.vdevs, &mut ours);
        ours.sort();
        // The devices stand below the pool's own line, with more space before them.
        let said = self.zpool(&["status", "-p", &self.name]);
        let lines = said.lines().skip_while(|line| !line.contains("READ")).skip(2);
        let rows = lines.take_while(|line| !line.trim().is_empty()).filter(|line| line.starts_with("\t  "));
        let mut theirs: Vec<String> = rows
            .map(|row| {
                let words: Vec<&str> = row.split_whitespace().collect();
                let count = |at: usize| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(0u64);
                format!("{} {} {} {} {}", words[0], words[1], count(2), count(3), count(4))
            })
            .collect();
        theirs.sort();
        assert_eq!(ours, theirs, "{said}");
        ours.len()
    }
}

fn walk(vdevs: &[Vdev], out: &mut Vec<String>) {
    for one in vdevs {
        let errors = [one.read_errors, one.write_errors, one.checksum_errors];
        out.push(format!("{} {} {} {} {}", one.name, one.health, errors[0], errors[1], errors[2]));
        walk(&one.children, out);
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let destroyed = Command::new("zpool").args(["destroy", "-f", &self.name]).output();
        if !destroyed.is_ok_and(|output| output.status.success()) {
            eprintln!("{} was not destroyed", self.name);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn every_kind_of_device_is_named_and_counted_as_by_zpool() {
    let pool = Files::new("kinds", "mirror a b mirror c d log mirror e f cache g spare h");
    assert_eq!(pool.compare(), 11);
    let raid = Files::new("raid", "raidz1 a b c special mirror e f");
    assert_eq!(raid.compare(), 7);
}

#[test]
fn a_pool_that_loses_devices_is_degraded_and_says_which() {
    let pool = Files::new("lost", "mirror a b mirror c d");
    assert_eq!(pool.status().health, Health::Online);
    pool.zpool(&["offline", &pool.name, &pool.file("a")]);
    pool.zpool(&["offline", "-f", &pool.name, &pool.file("c")]);
    pool.compare();
    let status = pool.status();
    assert_eq!(status.health, Health::Degraded);
    let healths: Vec<_> =
        status.vdevs.iter().flat_map(|one| one.children.iter().map(|one| one.health)).collect();
    assert_eq!(healths, [Health::Offline, Health::Online, Health::Faulted, Health::Online]);
    pool.zpool(&["online", &pool.name, &pool.file("a")]);
    pool.zpool(&["replace", &pool.name, &pool.file("c"), &pool.file("e")]);
    pool.zpool(&["wait", &pool.name]);
    pool.compare();
    assert_eq!(pool.status().health, Health::Online);
}

#[test]
fn checksum_errors_are_counted() {
    let pool = Files::new("errors", "mirror a b");
    pool.zpool(&["export", &pool.name]);
    // Behind the labels; the other half of the mirror still has all of it.
    let file = fs::OpenOptions::new().write(true).open(pool.file("a")).expect("open");
    let noise = crate::pool::noise(60 << 20, 3);
    std::os::unix::fs::FileExt::write_all_at(&file, &noise, 5 << 20).expect("write");
    pool.zpool(&["import", "-d", pool.folder.to_str().expect("text"), &pool.name]);
    pool.zpool(&["scrub", "-w", &pool.name]);
    pool.compare();
    let status = pool.status();
    let leaf = &status.vdevs[0].children[0];
    assert!(leaf.checksum_errors > 0, "{leaf:?}");
    assert_eq!(status.vdevs[0].children[1].checksum_errors, 0);
}

#[test]
fn a_pool_that_is_not_there_is_not_found() {
    let zfs = Zfs::open().expect("ZFS");
    fails(zfs.pool_status("no-such-pool"), Operation::ListPools, ErrorKind::NotFound, "no-such-pool");
}
