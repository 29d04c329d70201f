//! Taking and destroying many snapshots by policy: ours called as `sanoid`, and sanoid, each with a tree and a
//! configuration of its own. `zfs snapshot -r` is the limit for taking.

use crate::contender::Contender;
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

/// Kinds of snapshots that a first run takes of each dataset.
const KINDS: [&str; 5] = ["hourly", "daily", "weekly", "monthly", "yearly"];

const OURS: &str = "ours, as sanoid";
const REAL: &str = "sanoid";
const LIMIT: &str = "zfs snapshot -r";

/// Taking, then destroying.
pub(super) fn taking(lab: &Lab, cases: &mut Vec<Case>) -> Result<()> {
    let pool = lab.source_pool()?;
    let datasets = lab.sizes.taking.div_ceil(KINDS.len());
    let front = lab.file("bin/sanoid");
    let folder = lab.file("bin");
    std::fs::create_dir_all(&folder).on("making", &folder)?;
    std::os::unix::fs::symlink(&lab.programs.replicator, &front).on("linking", &front)?;
    let mut who = vec![(OURS, Some(front.display().to_string()))];
    match &lab.programs.sanoid {
        Some(path) => who.push((REAL, Some(path.clone()))),
        None => lab.leave_out("sanoid is left out: there is none"),
    }
    who.push((LIMIT, None));
    let (mut take, mut destroy) = (Vec::new(), Vec::new());
    for (name, program) in who {
        let root = root(&pool, name);
        pool.run(&format!(
            "zfs create {root}; for at in $(seq {datasets}); do zfs create {root}/d$at; done"
        ))?;
        let job = |action: &str, counts: u32| -> Result<Contender> {
            let argv = match &program {
                Some(program) => sanoid(lab, program, &root, action, counts)?,
                None => limit(&root),
            };
            Ok(Contender::Other { name: name.to_string(), ours: name == OURS, argv })
        };
        take.push(job("--take-snapshots", 1)?);
        if program.is_some() {
            destroy.push(job("--prune-snapshots", 0)?);
        }
    }
    let count = datasets * KINDS.len();
    let mut trial = Taking { pool: &pool, count, take: take.clone(), destroys: false };
    let goals = vec![Goal::ratio(OURS, REAL, Figure::Seconds, 1.0)];
    cases.push(runner::run(lab, "taking", &mut trial, &take, goals.clone())?);
    let mut trial = Taking { pool: &pool, count, take, destroys: true };
    cases.push(runner::run(lab, "taking", &mut trial, &destroy, goals)?);
    Ok(())
}

fn root(pool: &Pool, name: &str) -> String {
    let short: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{}/{short}", pool.name())
}

/// A run of sanoid with a configuration in which everything is due, or nothing may stay.
fn sanoid(lab: &Lab, program: &str, root: &str, action: &str, counts: u32) -> Result<Vec<String>> {
    let folder = format!("sanoid-{}-{counts}", root.replace('/', "-"));
    let frequently = 1 - counts;
    let counts: String = KINDS.iter().map(|kind| format!("{kind} = {counts}\n")).collect();
    lab.write(
        &format!("{folder}/sanoid.conf"),
        &format!("[{root}]\nuse_template = bench\nrecursive = yes\nprocess_children_only = yes\n\n[template_bench]\n{counts}frequently = {frequently}\nautosnap = yes\nautoprune = yes\n"),
    )?;
    let path = lab.file(&folder).display().to_string();
    lab.write(&format!("{folder}/run/.keep"), "")?;
    lab.write(&format!("{folder}/cache/.keep"), "")?;
    Ok(vec![
        program.to_string(),
        format!("--configdir={path}"),
        format!("--run-dir={path}/run"),
        format!("--cache-dir={path}/cache"),
        "--force-update".into(),
        "--quiet".into(),
        action.to_string(),
    ])
}

/// As many snapshots, by the kernel in one step for each kind; the root has them as well.
fn limit(root: &str) -> Vec<String> {
    let kinds = KINDS.map(|kind| format!("zfs snapshot -r {root}@{kind}")).join("; ");
    ["/bin/bash", "-c", &format!("set -e; {kinds}")].map(str::to_string).to_vec()
}

struct Taking<'a> {
    pool: &'a Pool,
    count: usize,
    take: Vec<Contender>,
    destroys: bool,
}

impl Taking<'_> {
    fn found(&self, who: &Contender) -> Result<usize> {
        let said =
            self.pool.run(&format!("zfs list -Ho name -t snapshot -r {}", root(self.pool, who.name())))?;
        Ok(said.lines().count())
    }

    fn clear(&self, who: &Contender) -> Result<()> {
        // Each dataset's in one step; by name they would take as long as what is measured.
        self.pool.run(&format!(
            "zfs list -Ho name -r {} | while read -r one; do zfs destroy -r \"$one@%\" 2>/dev/null || true; done",
            root(self.pool, who.name())
        ))?;
        Ok(())
    }

    fn expect(&self, who: &Contender, count: usize) -> Result<()> {
        let found = self.found(who)?;
        if found == count {
            return Ok(());
        }
        Err(BenchError::Void {
            who: who.name().into(),
            why: format!("there are {found} snapshots, not {count}"),
        })
    }
}

impl Trial for Taking<'_> {
    fn title(&self) -> String {
        format!("{} {} snapshots", if self.destroys { "destroying" } else { "taking" }, self.count)
    }

    fn before(&mut self, lab: &Lab, who: &Contender) -> Result<Job> {
        self.clear(who)?;
        self.expect(who, 0)?;
        if self.destroys {
            let Some(take) = self.take.iter().find(|one| one.name() == who.name()) else {
                return crate::error::unfit("a program that destroys what it cannot take");
            };
            lab.measurer.run(&super::listing::plain(lab, take))?;
            self.expect(who, self.count)?;
            // One that stays with both: ours keeps the newest of a dataset, whatever its count.
            self.pool.run(&format!(
                "zfs snapshot -r {}@autosnap_$(date +%F_%T)_frequently",
                root(self.pool, who.name())
            ))?;
            // What sanoid has taken has to be older than now by a second of its clock.
            std::thread::sleep(std::time::Duration::from_secs(2));
        }
        self.pool.settle()?;
        Ok(super::listing::plain(lab, who))
    }

    fn after(&mut self, _lab: &Lab, who: &Contender, _usage: &mut Usage, _said: &str) -> Result<()> {
        let taken = if who.name() == LIMIT { self.count + KINDS.len() } else { self.count };
        // What stays is the one of each dataset, the root's included.
        let datasets = self.count / KINDS.len() + 1;
        self.expect(who, if self.destroys { datasets } else { taken })?;
        self.clear(who)
    }
}
