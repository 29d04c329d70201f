//! Planning a large history: needs no ZFS. Each size is a process, so that its memory is its own; the time is that of
//! the planner, without the making of the two sides.

use std::hint::black_box;
use std::time::Instant;

use replicator::host::Inventory;
use replicator::plan::Options;
use replicator::plan::Sides;
use replicator::plan::plan as make_plan;

use crate::contender::Contender;
use crate::error::BenchError;
use crate::error::Result;
use crate::goal::Figure;
use crate::goal::Goal;
use crate::histories::Shape;
use crate::histories::name;
use crate::histories::same;
use crate::lab::Lab;
use crate::measure::Job;
use crate::measure::Usage;
use crate::result::Case;
use crate::runner;
use crate::runner::Trial;

/// Snapshots of each dataset, and how many of them the target lacks.
const EACH: usize = 1000;
const BEHIND: usize = 10;

/// A tenth, and all.
pub(super) fn planning(lab: &Lab, cases: &mut Vec<Case>) -> Result<()> {
    let large = lab.sizes.planning.div_ceil(EACH) * EACH;
    let small = (large / 10).div_ceil(EACH) * EACH;
    let of = |snapshots: usize| Contender::Other {
        name: title(snapshots),
        ours: true,
        argv: vec![lab.me.display().to_string(), "plan".into(), snapshots.to_string()],
    };
    let all = [of(small), of(large)];
    let mut goals = vec![
        Goal::limit(&title(large), Figure::Seconds, 10.0),
        Goal::limit(&title(large), Figure::Peak, 1e9),
    ];
    if large > small {
        // Linear, with a fifth for caches that are too small for the larger one.
        let times = large as f64 / small as f64;
        goals.push(Goal::ratio(&title(large), &title(small), Figure::Seconds, times * 1.2));
    }
    cases.push(runner::run(lab, "planning", &mut Planning, &all, goals)?);
    Ok(())
}

fn title(snapshots: usize) -> String {
    format!("{snapshots} a side")
}

/// `zfs-bench plan N`: plans once, and prints seconds and how many streams the plan has.
pub fn plan(snapshots: usize) -> String {
    let shape = Shape { datasets: snapshots.div_ceil(EACH), each: EACH };
    let source = shape.tree("tank/data", 0, same, |at| at);
    let target = Inventory::Present(shape.tree("back/data", BEHIND, same, |at| at));
    let root = name("back/data");
    let options = Options { recursive: true, ..Options::default() };
    let began = Instant::now();
    let made = make_plan(Sides::new(&source, &target, &root, 0), &options);
    let seconds = began.elapsed().as_secs_f64();
    let streams = black_box(&made).streams().count();
    format!("{seconds} {streams}")
}

struct Planning;

impl Trial for Planning {
    fn title(&self) -> String {
        format!("planning datasets with {EACH} snapshots, of which the target lacks {BEHIND}")
    }

    fn before(&mut self, lab: &Lab, who: &Contender) -> Result<Job> {
        Ok(super::listing::plain(lab, who))
    }

    fn after(&mut self, _lab: &Lab, who: &Contender, usage: &mut Usage, said: &str) -> Result<()> {
        check(who, usage, said)
    }
}

/// Takes the time that the planner took; a plan of something else has none.
fn check(who: &Contender, usage: &mut Usage, said: &str) -> Result<()> {
    let wanted = who.name().split(' ').next().and_then(|count| count.parse::<usize>().ok());
    let found = said
        .trim()
        .split_once(' ')
        .and_then(|(seconds, streams)| Some((seconds.parse::<f64>().ok()?, streams.parse::<usize>().ok()?)));
    match (found, wanted) {
        (Some((seconds, streams)), Some(snapshots)) if streams == snapshots / EACH * BEHIND => {
            usage.seconds = seconds;
            Ok(())
        }
        _ => Err(BenchError::Void { who: who.name().into(), why: format!("it planned {said:?}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_what_the_target_lacks() {
        let said = plan(2000);
        let (who, mut usage) = (
            Contender::Other { name: title(2000), ours: true, argv: Vec::new() },
            Usage { seconds: 9.0, cpu: 0.0, peak: 0 },
        );
        assert!(said.ends_with(" 20"), "{said}");
        let seconds: f64 = said.split(' ').next().unwrap().parse().unwrap();
        check(&who, &mut usage, &said).expect("planned");
        assert!((usage.seconds - seconds).abs() < 1e-12);
        assert!(check(&who, &mut usage, "0.1 0").is_err(), "a plan of nothing");
        assert!(check(&who, &mut usage, "").is_err());
    }
}
