//! Listing many snapshots: the same fields as `zfs list`, the same lines.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::contender::Contender;
use crate::contender::snapshot_name;
use crate::error::BenchError;
use crate::error::Context;
use crate::error::Result;
use crate::goal::Figure;
use crate::goal::Goal;
use crate::lab::Lab;
use crate::measure::Job;
use crate::measure::Usage;
use crate::pool::Pool;
use crate::result::Case;
use crate::runner;
use crate::runner::Trial;

/// Datasets that the snapshots are spread over.
const DATASETS: usize = 100;

const ZFS: &str = "zfs list";
const OURS: &str = "ours";

/// Only names and GUIDs, and with properties.
pub(super) fn listing(lab: &Lab, cases: &mut Vec<Case>) -> Result<()> {
    let pool = lab.source_pool()?;
    let each = lab.sizes.listing.div_ceil(DATASETS);
    let root = format!("{}/tree", pool.name());
    pool.run(&format!(
        "zfs create {root}; for at in $(seq {}); do zfs create {root}/d$at; done",
        DATASETS - 1
    ))?;
    for at in 0..each {
        pool.run(&format!("zfs snapshot -r {root}@{}", snapshot_name(at)))?;
    }
    pool.settle()?;
    for fields in ["name,guid,createtxg", "name,guid,createtxg,creation,used,referenced,written"] {
        let out = lab.file("list");
        let to = out.display();
        let zfs = format!("exec zfs list -Hp -r -t snapshot -o {fields} {root} > {to}");
        let ours =
            format!("exec {} list -H -r --type snapshot -o {fields} {root} > {to}", lab.programs.replicator);
        let mut trial = Listing {
            title: format!("listing {} snapshots: {fields}", DATASETS * each),
            count: DATASETS * each,
            _pool: &pool,
            out,
            lines: None,
        };
        let all = [shell(ZFS, false, &zfs), shell(OURS, true, &ours)];
        let goals = vec![Goal::ratio(OURS, ZFS, Figure::Seconds, 0.5), Goal::limit(OURS, Figure::Peak, 64e6)];
        cases.push(runner::run(lab, "listing", &mut trial, &all, goals)?);
    }
    Ok(())
}

fn shell(name: &str, ours: bool, script: &str) -> Contender {
    let argv = ["/bin/bash", "-c", script].map(str::to_string).to_vec();
    Contender::Other { name: name.to_string(), ours, argv }
}

struct Listing<'a> {
    title: String,
    count: usize,
    _pool: &'a Pool,
    out: PathBuf,
    /// What the first program printed.
    lines: Option<BTreeSet<String>>,
}

impl Trial for Listing<'_> {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn before(&mut self, lab: &Lab, who: &Contender) -> Result<Job> {
        let _ = std::fs::remove_file(&self.out);
        Ok(plain(lab, who))
    }

    fn after(&mut self, _lab: &Lab, who: &Contender, _usage: &mut Usage, _said: &str) -> Result<()> {
        let text = std::fs::read_to_string(&self.out).on("reading", &self.out)?;
        let lines: BTreeSet<String> = text.lines().map(str::to_string).collect();
        let void = |why: String| Err(BenchError::Void { who: who.name().to_string(), why });
        if lines.len() != self.count {
            return void(format!("it listed {} of {} snapshots", lines.len(), self.count));
        }
        let first = self.lines.get_or_insert_with(|| lines.clone());
        match first.symmetric_difference(&lines).next() {
            Some(line) => void(format!("not everyone lists {line:?}")),
            None => Ok(()),
        }
    }
}

/// A command that is whole already.
pub(super) fn plain(lab: &Lab, who: &Contender) -> Job {
    let none =
        crate::contender::Work { source: String::new(), from: None, to: String::new(), recursive: false };
    who.job(&lab.programs, &crate::contender::Way::Here, &none, "")
}
