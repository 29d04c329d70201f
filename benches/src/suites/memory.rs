//! What a run takes of memory, here and at the other end, by each way and with streams of two sizes: what it takes must not
//! grow with the stream. At the other end the looks cost time, so times mean nothing here.

use super::replication::data;
use super::replication::listed;
use super::streams::FAST;
use super::streams::MEMORY;
use crate::check;
use crate::check::Expected;
use crate::check::Snapshots;
use crate::contender;
use crate::contender::Contender;
use crate::contender::Way;
use crate::contender::Work;
use crate::contender::snapshot_name;
use crate::data::Kind;
use crate::error::Result;
use crate::goal::Figure;
use crate::goal::Goal;
use crate::lab::Lab;
use crate::measure::Job;
use crate::measure::Usage;
use crate::pool::Pool;
use crate::result::Case;
use crate::runner;
use crate::runner::Looks;
use crate::runner::Trial;

/// The most that an agent may take: it has no buffer.
const AGENT: f64 = 64e6;

/// A way that a stream can go: what it is called, what `replicator` is called with, and whether an agent is at its end.
type Kinds = &'static [(&'static str, &'static [&'static str], bool)];

const HERE: Kinds = &[("ours", &[], false)];

const THERE: Kinds = &[
    ("ours", &[], false),
    ("ours, system ssh", &["--transport", "ssh"], false),
    ("ours, agent", &["--far-end", "agent"], true),
    ("ours, agent, tls", &FAST, true),
];

/// Between two pools, and over ssh.
pub(super) fn memory(lab: &Lab, cases: &mut Vec<Case>) -> Result<()> {
    cases.push(case(lab, "between two pools", &Way::Here, HERE)?);
    if let Some(way) = lab.ssh("memory over ssh") {
        cases.push(case(lab, "over ssh", &way, THERE)?);
    }
    Ok(())
}

fn case(lab: &Lab, what: &str, way: &Way, kinds: Kinds) -> Result<Case> {
    let large = lab.sizes.megabytes;
    let small = large.div_ceil(4);
    let (source, target) = (lab.source_pool()?, lab.target_pool(way)?);
    let mut trial = Memory {
        title: format!("memory of streams of {small} and {large} MiB {what}"),
        far: matches!(way, Way::Ssh(_)),
        source,
        target,
        members: Vec::new(),
    };
    let (mut all, mut goals) = (Vec::new(), Vec::new());
    let sizes = if small < large { vec![small, large] } else { vec![large] };
    for megabytes in sizes {
        let work = trial.fill(lab, megabytes)?;
        for &(name, options, agent) in kinds {
            let named = format!("{name}, {megabytes} MiB");
            let target = trial.target.name();
            let job = Contender::ours(name, options).job(&lab.programs, way, &work, target);
            goals.push(Goal::limit(&named, Figure::Peak, MEMORY));
            if agent {
                goals.push(Goal::limit(&named, Figure::PeakFar, AGENT));
            }
            let snapshots = listed(&trial.source, &work.source)?;
            trial.members.push(Member { name: named.clone(), work: work.clone(), snapshots });
            all.push(Contender::Other { name: named, ours: true, argv: job.argv });
        }
    }
    runner::run(lab, "memory", &mut trial, &all, goals)
}

struct Memory {
    title: String,
    /// Whether the target is on the other machine.
    far: bool,
    source: Pool,
    target: Pool,
    members: Vec<Member>,
}

/// What one that takes part has to send.
struct Member {
    name: String,
    work: Work,
    snapshots: Snapshots,
}

impl Memory {
    /// A dataset with so much data, and its snapshot.
    fn fill(&self, lab: &Lab, megabytes: u64) -> Result<Work> {
        let (short, name) = (format!("m{megabytes}"), format!("{}/m{megabytes}", self.source.name()));
        let folder = format!("{}/{short}", self.source.altroot());
        let write = data(lab, Kind::Random, megabytes << 20, 0);
        let to = snapshot_name(0);
        self.source.run(&format!(
            "if ! zfs list -Ho name {name} > /dev/null 2>&1; then
                 zfs create -o mountpoint=/{short} {name}; {write} > {folder}/data; zfs snapshot {name}@{to}
             fi"
        ))?;
        Ok(Work { source: name, from: None, to, recursive: false })
    }

    fn member(&self, who: &Contender) -> Result<&Member> {
        match self.members.iter().find(|member| member.name == who.name()) {
            Some(member) => Ok(member),
            None => crate::error::unfit(format!("nobody knows what {} has to send", who.name())),
        }
    }

    /// Everyone has the same target, one after the other.
    fn clear(&self, member: &Member) -> Result<()> {
        let target = contender::target(&member.work, self.target.name());
        self.target.run(&format!(
            "if zfs list -Ho name {target} > /dev/null 2>&1; then zfs destroy -r {target}; fi"
        ))?;
        self.source.run(&format!(
            "zfs list -Ho name -t bookmark {} | while read -r mark; do zfs destroy \"$mark\"; done",
            member.work.source
        ))?;
        Ok(())
    }

    fn at_target(&self, member: &Member) -> Result<Snapshots> {
        listed(&self.target, &contender::target(&member.work, self.target.name()))
    }
}

impl Trial for Memory {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn notes(&self) -> Vec<String> {
        let looked =
            "While a program ran, the processes of the other machine were looked at: the times say nothing.";
        if self.far { vec![looked.to_string()] } else { Vec::new() }
    }

    fn looks(&self) -> Looks {
        Looks { memory: self.far, ..Looks::default() }
    }

    fn before(&mut self, lab: &Lab, who: &Contender) -> Result<Job> {
        let member = self.member(who)?;
        self.clear(member)?;
        check::before(who.name(), Expected::Work, &member.snapshots, &self.at_target(member)?)?;
        self.source.settle()?;
        self.target.settle()?;
        Ok(super::listing::plain(lab, who))
    }

    fn after(&mut self, _lab: &Lab, who: &Contender, _usage: &mut Usage, _said: &str) -> Result<()> {
        let member = self.member(who)?;
        check::after(who.name(), &member.snapshots, &self.at_target(member)?)?;
        self.clear(member)
    }
}
