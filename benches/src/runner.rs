//! Rounds: in each, every program does the same once, one after the other, and each round begins with another one. What
//! changes on the machine during the run meets all of them, and ratios are taken within a round.

use crate::contender::Contender;
use crate::counters::Counters;
use crate::error::BenchError;
use crate::error::Result;
use crate::goal::Goal;
use crate::lab::Lab;
use crate::measure::Job;
use crate::measure::Usage;
use crate::result::Case;
use crate::result::Sample;
use crate::result::Series;

/// What is done and how it is checked.
pub trait Trial {
    /// What is done, for people.
    fn title(&self) -> String;

    /// Bytes that each run moves.
    fn bytes(&self) -> Option<u64> {
        None
    }

    /// Once before all rounds.
    ///
    /// # Errors
    /// Where a program cannot come to the state that the rounds begin in.
    fn start(&mut self, _lab: &Lab, _all: &[Contender]) -> Result<()> {
        Ok(())
    }

    /// Before each round: what all of them are to do.
    ///
    /// # Errors
    /// Where it cannot be prepared.
    fn round(&mut self, _lab: &Lab, _round: usize) -> Result<()> {
        Ok(())
    }

    /// Before each run: makes sure that there is something to do, and says the command.
    ///
    /// # Errors
    /// Where there is not.
    fn before(&mut self, lab: &Lab, who: &Contender) -> Result<Job>;

    /// After each run: makes sure that it was done. May put a time in that the program took itself.
    ///
    /// # Errors
    /// Where it was not.
    fn after(&mut self, lab: &Lab, who: &Contender, usage: &mut Usage, said: &str) -> Result<()>;
}

/// Runs all rounds of a trial.
///
/// # Errors
/// Where one of the runs failed or did something else: there is no result then.
pub fn run(
    lab: &Lab,
    suite: &str,
    trial: &mut dyn Trial,
    all: &[Contender],
    goals: Vec<Goal>,
) -> Result<Case> {
    let title = trial.title();
    eprintln!("zfs-bench: {suite}: {title}");
    if all.is_empty() {
        return Err(BenchError::Unfit(format!("{suite}: nobody takes part")));
    }
    trial.start(lab, all)?;
    let mut series: Vec<Series> = all
        .iter()
        .map(|who| Series {
            name: who.name().to_string(),
            ours: who.is_ours(),
            command: String::new(),
            samples: Vec::new(),
        })
        .collect();
    for round in 0..lab.rounds {
        trial.round(lab, round)?;
        for at in order(all.len(), round) {
            let (who, series) = (&all[at], &mut series[at]);
            let job = trial.before(lab, who)?;
            let before = counters(lab)?;
            let (mut usage, said) = lab.measurer.run(&job)?;
            let after = counters(lab)?;
            trial.after(lab, who, &mut usage, &said)?;
            let sample = sample(usage, &before, &after);
            eprintln!("  {}/{} {:<28} {:>9.3} s", round + 1, lab.rounds, who.name(), sample.seconds);
            series.samples.push(sample);
            series.command = job.argv.join(" ");
        }
    }
    Ok(Case { suite: suite.to_string(), title, bytes: trial.bytes(), series, goals })
}

/// Here and there.
fn counters(lab: &Lab) -> Result<(Counters, Option<Counters>)> {
    let far = match &lab.far {
        Some(far) if !far.same => Some(far.shell.borrow_mut().counters()?),
        _ => None,
    };
    Ok((lab.here.borrow_mut().counters()?, far))
}

fn sample(
    usage: Usage,
    before: &(Counters, Option<Counters>),
    after: &(Counters, Option<Counters>),
) -> Sample {
    let here = after.0.since(&before.0);
    let far = after.1.as_ref().zip(before.1.as_ref()).map(|(after, before)| after.since(before));
    Sample {
        seconds: usage.seconds,
        cpu: usage.cpu,
        cpu_here: here.busy,
        cpu_far: far.map(|far| far.busy),
        peak: usage.peak,
        // The process that waits for the program, and the program itself, which is no news.
        tasks_here: here.tasks.saturating_sub(1),
        tasks_far: far.map(|far| far.tasks),
        connections: here.connections,
        wire: here.wire,
    }
}

/// Each round begins with the next one.
fn order(count: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |at| (at + round) % count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_has_a_turn_in_each_round_and_begins_one() {
        let rounds: Vec<Vec<usize>> = (0..3).map(|round| order(3, round).collect()).collect();
        assert_eq!(rounds, [vec![0, 1, 2], vec![1, 2, 0], vec![2, 0, 1]]);
    }

    #[test]
    fn a_sample_is_what_the_counters_grew() {
        let usage = Usage { seconds: 2.0, cpu: 1.0, peak: 7 };
        let here = Counters { busy: 1.0, tasks: 10, connections: 1, wire: 100 };
        let later = Counters { busy: 3.5, tasks: 15, connections: 2, wire: 150 };
        let sample = sample(usage, &(here, Some(here)), &(later, Some(later)));
        assert_eq!((sample.cpu_here, sample.cpu_far), (2.5, Some(2.5)));
        assert_eq!((sample.tasks_here, sample.tasks_far), (4, Some(5)));
        assert_eq!((sample.connections, sample.wire), (1, 50));
    }
}
