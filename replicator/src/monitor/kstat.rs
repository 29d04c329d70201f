//! Which pools are imported and how they are, from the statistics that the kernel keeps below `/proc`. Reading these
//! takes no lock of ZFS, so that it also answers while a pool hangs.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Where the kernel keeps the statistics of ZFS: a folder for each pool.
pub const FOLDER: &str = "/proc/spl/kstat/zfs";

/// The imported pools with the word of the kernel for how each is: `ONLINE`, `DEGRADED`, `SUSPENDED` and so on, as
/// `zpool list` has it. Nothing for one that is just coming or going.
///
/// # Errors
/// When the folder cannot be read: ZFS is not loaded, or not in a way that shows.
pub fn pools(folder: &Path) -> io::Result<BTreeMap<String, Option<String>>> {
    let mut pools = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // Beside the pools lie the statistics of all of ZFS, which are files.
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let Some(name) = entry.file_name().to_str().map(str::to_string) else { continue };
        let state = match std::fs::read_to_string(entry.path().join("state")) {
            Ok(state) => state.trim().to_string(),
            // Exported since the folder was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        pools.insert(name, Some(state).filter(|state| !state.is_empty() && state != "TRANSITIONING"));
    }
    Ok(pools)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_folders_with_a_state() {
        let folder = tempfile::tempdir().expect("a folder");
        for (pool, state) in [("tank", "ONLINE\n"), ("old", "SUSPENDED\n"), ("new", "TRANSITIONING\n")] {
            std::fs::create_dir(folder.path().join(pool)).expect("made");
            std::fs::write(folder.path().join(pool).join("state"), state).expect("written");
        }
        std::fs::create_dir(folder.path().join("going")).expect("made");
        std::fs::write(folder.path().join("arcstats"), "1 2 3").expect("written");
        let found = pools(folder.path()).expect("read");
        let expected = [("new", None), ("old", Some("SUSPENDED")), ("tank", Some("ONLINE"))];
        let expected = expected.map(|(pool, state)| (pool.to_string(), state.map(str::to_string)));
        assert_eq!(found, BTreeMap::from(expected));
        assert!(pools(&folder.path().join("no")).is_err());
    }
}
