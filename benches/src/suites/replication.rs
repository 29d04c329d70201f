//! A replication as it is measured: a tree in a pool of its own, a target for each program, and both sides compared by GUID
//! before and after every run.

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
use crate::error::Result;
use crate::lab::Lab;
use crate::measure::Job;
use crate::measure::Usage;
use crate::pool::Pool;
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
            }
        }
        for at in 0..content.snapshots {
            script += &format!("zfs snapshot -r {root}@{}\n", snapshot_name(at));
        }
        source.run(&script)?;
        source.settle()?;
        let newest = content.snapshots.saturating_sub(1);
        let at_source = listed(&source, &root)?;
        Ok(Self { title, way, round, content, source, target, newest, from: None, at_source })
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
}

impl Trial for Replication {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn bytes(&self) -> Option<u64> {
        (self.round == Round::First).then_some(self.content.bytes * self.content.datasets as u64)
    }

    fn start(&mut self, lab: &Lab, all: &[Contender]) -> Result<()> {
        for who in all {
            self.target.run(&format!("zfs create {}", self.parent(who)))?;
            if self.round != Round::First {
                // Everyone begins with what it has sent itself.
                lab.measurer.run(&self.job(lab, who))?;
                check::after(who.name(), &self.at_source, &self.at_target(who)?)?;
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
            // What runs leave on the source is theirs alone: the next one begins without it.
            self.target.run(&format!(
                "if zfs list -Ho name {target} > /dev/null 2>&1; then zfs destroy -r {target}; fi"
            ))?;
            self.source.run(&format!(
                "zfs list -Ho name -t bookmark -r {} | while read -r mark; do zfs destroy \"$mark\"; done",
                self.root()
            ))?;
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

/// The snapshots of a tree; none where it is not there.
fn listed(pool: &Pool, root: &str) -> Result<Snapshots> {
    let said = pool.run(&format!(
        "if zfs list -Ho name {root} > /dev/null 2>&1; then zfs list -Hp -t snapshot -o name,guid -r {root}; fi"
    ))?;
    check::snapshots(root, &said)
}
