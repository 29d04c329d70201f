//! A replication as it is measured: a tree in a pool of its own, a target for each program, and both sides compared by GUID
//! before and after every run. The bookmarks that a program leaves on the source are there while it is at work itself, and
//! put away meanwhile: else everyone would list those of all others.

use std::collections::BTreeMap;
use std::collections::HashMap;

use crate::check;
use crate::check::Expected;
use crate::check::Snapshots;
use crate::contender;
use crate::contender::AUTOBACKUP;
use crate::contender::Contender;
use crate::contender::Way;
use crate::contender::Work;
use crate::contender::snapshot_name;
use crate::data::Kind;
use crate::error::BenchError;
use crate::error::Result;
use crate::lab::Lab;
use crate::measure::Job;
use crate::measure::Usage;
use crate::pool::Pool;
use crate::runner::Looks;
use crate::runner::Trial;

/// What happens in each round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// The target is destroyed and everything is sent.
    First,
    /// The source has one more snapshot of each dataset, with a little new data.
    Increment,
    /// Both sides are equal.
    NoOp,
}

/// What is in the datasets at the beginning.
#[derive(Clone, Debug)]
pub(super) struct Content {
    /// Datasets, the root included.
    pub(super) datasets: usize,
    /// Snapshots of each; all data lies in the first.
    pub(super) snapshots: usize,
    /// Data of each dataset, in bytes.
    pub(super) bytes: u64,
    /// A command line that writes so much data to standard output, where it is not `Random`.
    pub(super) fill: Option<String>,
}

/// The trial.
pub(super) struct Replication {
    title: String,
    way: Way,
    round: Round,
    content: Content,
    source: Pool,
    target: Pool,
    newest: usize,
    from: Option<String>,
    at_source: Snapshots,
    /// What each program has left on the source, by its name.
    marks: BTreeMap<String, Vec<Mark>>,
    notes: Vec<String>,
    looks: Looks,
}

/// A bookmark, and the snapshot that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    name: String,
    snapshot: String,
}

impl Replication {
    /// Makes the pools and fills the source.
    pub(super) fn new(lab: &Lab, title: String, way: Way, round: Round, content: Content) -> Result<Self> {
        let (source, target) = (lab.source_pool()?, lab.target_pool(&way)?);
        let root = format!("{}/tree", source.name());
        let mut script = format!("zfs create -o mountpoint=/tree -o autobackup:{AUTOBACKUP}=true {root}\n");
        for at in 1..content.datasets {
            script += &format!("zfs create {root}/{}\n", child(at));
        }
        if content.bytes > 0 {
            for (at, folder) in folders(&source, content.datasets).enumerate() {
                let fill = content.fill.clone().unwrap_or_else(|| data(lab, Kind::Random, content.bytes, at));
                script += &format!("{fill} > {folder}/data\n");
                // A file that is too short would be sent in no time.
                script += &format!(
                    "[ $(stat -c %s {folder}/data) -eq {} ] || {{ echo \"{folder}/data has another size\"; exit 1; }}\n",
                    content.bytes
                );
            }
        }
        for at in 0..content.snapshots {
            script += &format!("zfs snapshot -r {root}@{}\n", snapshot_name(at));
        }
        source.run(&script)?;
        source.settle()?;
        let newest = content.snapshots.saturating_sub(1);
        let at_source = listed(&source, &root)?;
        let notes = match (&content.fill, folders(&source, 1).next()) {
            (Some(_), Some(folder)) => vec![ratio(&source, &folder, content.bytes)?],
            _ => Vec::new(),
        };
        let (from, marks, looks) = (None, BTreeMap::new(), Looks::default());
        Ok(Self { title, way, round, content, source, target, newest, from, at_source, marks, notes, looks })
    }

    /// With something looked at while a program runs, and a sentence on it.
    pub(super) fn looking(mut self, looks: Looks, note: &str) -> Self {
        self.looks = looks;
        self.notes.push(note.to_string());
        self
    }

    fn root(&self) -> String {
        format!("{}/tree", self.source.name())
    }

    fn parent(&self, who: &Contender) -> String {
        format!("{}/{}", self.target.name(), who.short())
    }

    fn work(&self) -> Work {
        Work {
            source: self.root(),
            from: self.from.clone(),
            to: snapshot_name(self.newest),
            recursive: self.content.datasets > 1,
        }
    }

    fn at_target(&self, who: &Contender) -> Result<Snapshots> {
        listed(&self.target, &contender::target(&self.work(), &self.parent(who)))
    }

    fn job(&self, lab: &Lab, who: &Contender) -> Job {
        who.job(&lab.programs, &self.way, &self.work(), &self.parent(who))
    }

    /// Takes away what a program has left on the source.
    fn put_away(&mut self, who: &Contender) -> Result<()> {
        let root = self.root();
        let said = self.source.run(&format!("zfs list -Hp -t bookmark -o name,guid -r {root}"))?;
        let left = marks(&root, &said, &self.at_source)?;
        let script: String = left.iter().map(|mark| format!("zfs destroy '{}'\n", mark.name)).collect();
        self.source.run(&script)?;
        self.marks.insert(who.name().to_string(), left);
        Ok(())
    }

    /// Brings back what a program has left there, as it was: a bookmark has the GUID and the place of its snapshot.
    fn bring_back(&self, who: &Contender) -> Result<()> {
        let left = self.marks.get(who.name()).map(Vec::as_slice).unwrap_or_default();
        let bookmark = |mark: &Mark| format!("zfs bookmark '{}' '{}'\n", mark.snapshot, mark.name);
        let script: String = left.iter().map(bookmark).collect();
        self.source.run(&script).map(drop)
    }
}

impl Trial for Replication {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn bytes(&self) -> Option<u64> {
        (self.round == Round::First).then_some(self.content.bytes * self.content.datasets as u64)
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn looks(&self) -> Looks {
        self.looks
    }

    fn start(&mut self, lab: &Lab, all: &[Contender]) -> Result<()> {
        for who in all {
            self.target.run(&format!("zfs create {}", self.parent(who)))?;
            if self.round != Round::First {
                // Everyone begins with what it has sent itself.
                lab.measurer.run(&self.job(lab, who))?;
                check::after(who.name(), &self.at_source, &self.at_target(who)?)?;
                self.put_away(who)?;
            }
        }
        Ok(())
    }

    fn round(&mut self, _lab: &Lab, round: usize) -> Result<()> {
        if self.round == Round::Increment {
            self.from = Some(snapshot_name(self.newest));
            self.newest += 1;
            let mut script = String::new();
            for folder in folders(&self.source, self.content.datasets) {
                script += &format!("head -c 4096 /dev/urandom > {folder}/change{round}\n");
            }
            script += &format!("zfs snapshot -r {}@{}\n", self.root(), snapshot_name(self.newest));
            self.source.run(&script)?;
            self.at_source = listed(&self.source, &self.root())?;
        }
        Ok(())
    }

    fn before(&mut self, lab: &Lab, who: &Contender) -> Result<Job> {
        if self.round == Round::First {
            let target = contender::target(&self.work(), &self.parent(who));
            self.target.run(&format!(
                "if zfs list -Ho name {target} > /dev/null 2>&1; then zfs destroy -r {target}; fi"
            ))?;
        } else {
            self.bring_back(who)?;
        }
        let expected = if self.round == Round::NoOp { Expected::Nothing } else { Expected::Work };
        check::before(who.name(), expected, &self.at_source, &self.at_target(who)?)?;
        self.source.settle()?;
        self.target.settle()?;
        Ok(self.job(lab, who))
    }

    fn after(&mut self, _lab: &Lab, who: &Contender, _usage: &mut Usage, _said: &str) -> Result<()> {
        // Nobody may have changed the source either.
        check::after("the source", &self.at_source, &listed(&self.source, &self.root())?)?;
        check::after(who.name(), &self.at_source, &self.at_target(who)?)?;
        self.put_away(who)?;
        if self.round == Round::First {
            let target = contender::target(&self.work(), &self.parent(who));
            self.target.run(&format!("zfs destroy -r {target}"))?;
        }
        Ok(())
    }
}

/// A command line that writes data.
pub(super) fn data(lab: &Lab, kind: Kind, bytes: u64, seed: usize) -> String {
    let kind = if kind == Kind::Text { "text" } else { "random" };
    format!("{} data {kind} {bytes} --seed {}", lab.me.display(), seed + 1)
}

fn child(at: usize) -> String {
    format!("d{at:05}")
}

/// Where the datasets of the tree are mounted.
fn folders(source: &Pool, datasets: usize) -> impl Iterator<Item = String> {
    let root = format!("{}/tree", source.altroot());
    (0..datasets).map(move |at| if at == 0 { root.clone() } else { format!("{root}/{}", child(at)) })
}

/// How much zstd makes of the data in a folder, as a sentence.
fn ratio(source: &Pool, folder: &str, bytes: u64) -> Result<String> {
    let said = source.run(&format!("zstd -q -3 -c < {folder}/data | wc -c"))?;
    let packed: u64 = said
        .trim()
        .parse()
        .map_err(|_| BenchError::Unfit(format!("{said:?} is not how much zstd makes of the data")))?;
    Ok(format!("`zstd -3` makes {:.1} % of the data.", packed as f64 * 100.0 / bytes as f64))
}

/// The bookmarks out of `zfs list -Hp -t bookmark -o name,guid -r ROOT`, each with its snapshot.
fn marks(root: &str, listed: &str, snapshots: &Snapshots) -> Result<Vec<Mark>> {
    let by_guid: HashMap<u64, &String> = snapshots.iter().map(|(name, guid)| (*guid, name)).collect();
    listed
        .lines()
        .map(|line| {
            let found = line.split_once('\t').and_then(|(name, guid)| {
                let snapshot = by_guid.get(&guid.parse::<u64>().ok()?)?;
                Some(Mark { name: name.to_string(), snapshot: format!("{root}{snapshot}") })
            });
            found.ok_or_else(|| {
                BenchError::Unfit(format!("the bookmark {line:?} stands for no snapshot of {root}"))
            })
        })
        .collect()
}

/// The snapshots of a tree; none where it is not there.
pub(super) fn listed(pool: &Pool, root: &str) -> Result<Snapshots> {
    let said = pool.run(&format!(
        "if zfs list -Ho name {root} > /dev/null 2>&1; then zfs list -Hp -t snapshot -o name,guid -r {root}; fi"
    ))?;
    check::snapshots(root, &said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bookmark_is_known_by_its_snapshot() {
        let of = |name: &str, guid: u64| (name.to_string(), guid);
        let snapshots = Snapshots::from([of("@one", 17), of("/d1@one", 18)]);
        let listed = "pool/tree#replicator_1_x\t17\npool/tree/d1#one\t18\n";
        let mark = |name: &str, snapshot: &str| Mark { name: name.into(), snapshot: snapshot.into() };
        assert_eq!(
            marks("pool/tree", listed, &snapshots).expect("read"),
            [mark("pool/tree#replicator_1_x", "pool/tree@one"), mark("pool/tree/d1#one", "pool/tree/d1@one")]
        );
        assert!(marks("pool/tree", "", &snapshots).expect("read").is_empty());
        for strange in ["pool/tree#x\t19", "pool/tree#x", "pool/tree#x\t-"] {
            assert!(marks("pool/tree", strange, &snapshots).is_err(), "{strange}");
        }
    }
}
