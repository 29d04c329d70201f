//! Rounds: in each, every program does the same once, one after the other, in an order that is another one each time. What
//! changes on the machine during the run meets all of them, nobody always follows the same one, and ratios are taken within a
//! round.

use crate::contender::Contender;
use crate::counters::Counters;
use crate::error::BenchError;
use crate::error::Result;
use crate::flow;
use crate::goal::Goal;
use crate::lab::Far;
use crate::lab::Lab;
use crate::measure::Job;
use crate::measure::Ran;
use crate::measure::Usage;
use crate::memory;
use crate::random::Random;
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

    /// What else one has to know of it.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// What is looked at while a program runs, besides what the machines count anyway.
    fn looks(&self) -> Looks {
        Looks::default()
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

/// What is looked at during a run. It costs a little time, of which everyone loses the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looks {
    /// When data begins to flow.
    pub flow: bool,
    /// The greatest process of the other machine.
    pub memory: bool,
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
    for (round, order) in orders(all.len(), lab.rounds, &title).into_iter().enumerate() {
        trial.round(lab, round)?;
        for at in order {
            let (who, series) = (&all[at], &mut series[at]);
            let job = trial.before(lab, who)?;
            let (Ran { mut usage, out, err }, mut sample) = measured(lab, &job, trial.looks())?;
            trial.after(lab, who, &mut usage, &out)?;
            // A time that the program took itself.
            sample.seconds = usage.seconds;
            if let Some(why) = who.astray(&err, sample.connections) {
                return Err(BenchError::Void { who: who.name().to_string(), why });
            }
            eprintln!("  {}/{} {:<28} {:>9.3} s", round + 1, lab.rounds, who.name(), sample.seconds);
            series.samples.push(sample);
            series.command = job.argv.join(" ");
        }
    }
    let (bytes, notes) = (trial.bytes(), trial.notes());
    Ok(Case { suite: suite.to_string(), title, bytes, notes, series, goals })
}

/// Runs a command between two looks at all counters.
fn measured(lab: &Lab, job: &Job, looks: Looks) -> Result<(Ran, Sample)> {
    let other = lab.far.as_ref().filter(|far| !far.same);
    let watched = other.filter(|_| looks.memory);
    if let Some(far) = watched {
        memory::watch(&mut far.shell.borrow_mut(), memory::FILE)?;
    }
    let before = counters(lab, other)?;
    let (ran, flow) =
        if looks.flow { flow::during(|| lab.measurer.run(job)) } else { (lab.measurer.run(job), None) };
    let after = counters(lab, other);
    // Also after a failure it must not go on.
    let peak_far = watched.map(|far| memory::watched(&mut far.shell.borrow_mut(), memory::FILE));
    let (ran, after, peak_far) = (ran?, after?, peak_far.transpose()?.flatten());
    let mut sample = Sample { flow, peak_far, ..sample(ran.usage, &before, &after) };
    // The thread that looks is no news either.
    sample.tasks_here = sample.tasks_here.saturating_sub(u64::from(looks.flow));
    Ok((ran, sample))
}

/// Here and there.
fn counters(lab: &Lab, other: Option<&Far>) -> Result<(Counters, Option<Counters>)> {
    let far = other.map(|far| far.shell.borrow_mut().counters()).transpose()?;
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
        connections_far: far.map(|far| far.connections),
        wire: here.wire,
        ..Sample::default()
    }
}

/// In which order each round goes through all: any, but never that of the round before, and the same whenever something of this
/// title is measured.
fn orders(count: usize, rounds: usize, title: &str) -> Vec<Vec<usize>> {
    let mix = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut random = Random::new(title.bytes().fold(0xcbf2_9ce4_8422_2325, mix));
    let mut orders: Vec<Vec<usize>> = Vec::with_capacity(rounds);
    while orders.len() < rounds {
        let mut order: Vec<usize> = (0..count).collect();
        random.shuffle(&mut order);
        if count < 2 || orders.last() != Some(&order) {
            orders.push(order);
        }
    }
    orders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_has_a_turn_in_each_round_and_follows_now_this_one_now_that_one() {
        let rounds = orders(5, 20, "a title");
        assert_eq!(rounds.len(), 20);
        for order in &rounds {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
        }
        assert!(rounds.windows(2).all(|two| two[0] != two[1]));
        let before = |who: usize| {
            let found = rounds.iter().filter_map(|order| {
                let at = order.iter().position(|one| *one == who)?;
                Some(order[at.checked_sub(1)?])
            });
            found.collect::<std::collections::BTreeSet<_>>()
        };
        assert!((0..5).all(|who| before(who).len() > 1));
        assert!((0..5).all(|who| rounds.iter().any(|order| order[0] == who)));
        assert_eq!(rounds, orders(5, 20, "a title"));
        assert_ne!(rounds, orders(5, 20, "another"));
        assert_eq!(orders(1, 2, ""), [[0], [0]]);
        let two = orders(2, 3, "");
        assert!(two[0] != two[1] && two[0] == two[2], "{two:?}");
    }

    #[test]
    fn a_sample_is_what_the_counters_grew() {
        let usage = Usage { seconds: 2.0, cpu: 1.0, peak: 7 };
        let here = Counters { busy: 1.0, tasks: 10, connections: 1, wire: 100 };
        let later = Counters { busy: 3.5, tasks: 15, connections: 2, wire: 150 };
        let sample = sample(usage, &(here, Some(here)), &(later, Some(later)));
        assert_eq!((sample.cpu_here, sample.cpu_far), (2.5, Some(2.5)));
        assert_eq!((sample.tasks_here, sample.tasks_far), (4, Some(5)));
        assert_eq!((sample.connections, sample.connections_far, sample.wire), (1, Some(1), 50));
        assert_eq!((sample.flow, sample.peak_far), (None, None));
    }
}
