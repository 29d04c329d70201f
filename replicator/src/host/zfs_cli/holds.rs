//! The holds of another machine, as its `zfs` lists them. Whether a process runs there it cannot tell, so none of ours
//! counts as one that was left behind.

use std::collections::HashMap;

use zfs_core::name::DatasetName;
use zfs_core::name::HoldTag;
use zfs_core::name::SnapshotName;

use super::NAMES_AT_ONCE;
use super::ZfsCli;
use crate::host::Depth;
use crate::host::HostError;
use crate::inspect::holds::Held;

const HOLDS: &str = "list the holds of";

impl ZfsCli {
    pub(super) fn held(&mut self, root: &DatasetName, depth: Depth) -> Result<Vec<Held>, HostError> {
        let how = match depth {
            Depth::One => ["-d", "1"].as_slice(),
            Depth::All => &["-r"],
        };
        let arguments = ["list", "-Hp"].iter().chain(how).copied();
        let arguments = arguments.chain(["-t", "snapshot", "-o", "name,userrefs", root.as_str()]);
        let script = self.script(arguments)?;
        let mut counts = Vec::new();
        self.list(HOLDS, root.as_str(), script, &mut |line| {
            let (name, count) = line.split_once('\t').ok_or("a field is missing")?;
            let name: SnapshotName = name.parse().map_err(|_| "a name is not the name of a snapshot")?;
            let count: u64 = count.parse().map_err(|_| "userrefs is not a number")?;
            if !name.dataset().is_within(root) {
                return Err(format!("{name}, which was not asked for"));
            }
            if count > 0 {
                counts.push((name, count));
            }
            Ok(())
        })?;
        let mut all = Vec::new();
        for some in counts.chunks(NAMES_AT_ONCE) {
            let names = some.iter().map(|(name, _)| name.as_str());
            let script = self.script(["holds", "-H"].into_iter().chain(names))?;
            let mut listing = HoldListing::new(some);
            self.list(HOLDS, some[0].0.as_str(), script, &mut |line| listing.take(line))?;
            all.extend(listing.finish().map_err(|why| self.misunderstood(HOLDS, why))?);
        }
        Ok(all)
    }
}

/// What `zfs holds -H` prints: name, tag, and a time in words, which is not read.
struct HoldListing<'n> {
    left: HashMap<&'n str, (&'n SnapshotName, u64)>,
    all: Vec<Held>,
}

impl<'n> HoldListing<'n> {
    fn new(asked: &'n [(SnapshotName, u64)]) -> Self {
        let left = asked.iter().map(|(name, count)| (name.as_str(), (name, *count))).collect();
        Self { left, all: Vec::new() }
    }

    fn take(&mut self, line: &str) -> Result<(), String> {
        // A tag may hold anything, so it ends where the last field begins; one with a line break is not understood.
        let cut = line.split_once('\t').and_then(|(name, rest)| Some((name, rest.rsplit_once('\t')?.0)));
        let (name, tag) = cut.ok_or("a field is missing, or a tag has a line break")?;
        let (name, left) = self.left.get_mut(name).ok_or("a snapshot that was not asked for")?;
        *left = left.checked_sub(1).ok_or("more holds of a snapshot than it has")?;
        let tag = HoldTag::try_from(tag).map_err(|error| error.to_string())?;
        self.all.push(Held::new((*name).clone(), tag, None, |_| None));
        Ok(())
    }

    fn finish(self) -> Result<Vec<Held>, String> {
        match self.left.values().find(|(_, left)| *left > 0) {
            None => Ok(self.all),
            Some((name, _)) => Err(format!("fewer holds of {name} than it has: it may just have changed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::holds::Owner;

    fn read(asked: &[(&str, u64)], lines: &[&str]) -> Result<Vec<Held>, String> {
        let asked: Vec<(SnapshotName, u64)> =
            asked.iter().map(|(name, count)| (name.parse().expect("a name"), *count)).collect();
        let mut listing = HoldListing::new(&asked);
        lines.iter().try_for_each(|line| listing.take(line))?;
        listing.finish()
    }

    #[test]
    fn each_hold_is_read_and_none_of_ours_counts_as_left_behind() {
        let lines =
            ["t/a@s\treplicator:1:7:0\tThu Nov 26 22:07 2026", "t/a@s\ta\ttab\tThu Nov 26 22:07 2026"];
        let found = read(&[("t/a@s", 2)], &lines).expect("understood");
        assert_eq!(found[0].owner, Owner::Unseen(7));
        assert_eq!((found[1].owner, found[1].tag.as_bytes()), (Owner::Other, &b"a\ttab"[..]));
    }

    #[test]
    fn whatever_does_not_add_up_is_an_error() {
        let one = "t/a@s\tkeep\tThu";
        for (asked, lines) in [
            (vec![("t/a@s", 2)], vec![one]),
            (vec![("t/a@s", 1)], vec![one, one]),
            (vec![("t/a@s", 1)], vec!["t/b@s\tkeep\tThu"]),
            (vec![("t/a@s", 1)], vec!["t/a@s\tkeep"]),
            (vec![("t/a@s", 1)], vec!["t/a@s\t\tThu"]),
            (vec![("t/a@s", 1)], vec!["t/a@s\tline", "break\tThu"]),
        ] {
            assert!(read(&asked, &lines).is_err(), "{lines:?}");
        }
    }
}
