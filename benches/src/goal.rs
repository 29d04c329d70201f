//! What is wanted of a result, and whether it is so: a limit for a figure of ours, alone or as a ratio to that of
//! another program in the same round.

use serde::Deserialize;
use serde::Serialize;

use crate::result::Case;
use crate::result::Sample;
use crate::stats;

/// A limit.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Goal {
    /// The series that has to keep it.
    pub ours: String,
    /// The series whose figure it is divided by, round by round; nothing for an absolute limit.
    pub against: Option<String>,
    /// Of what.
    pub figure: Figure,
    /// On which side of the limit it has to be.
    pub bound: Bound,
    /// The limit.
    pub limit: f64,
}

/// The side of a limit.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Bound {
    /// No more than it.
    AtMost,
    /// No less than it.
    AtLeast,
}

/// What is limited.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Figure {
    /// Time by the clock.
    Seconds,
    /// The part of that time after the first MiB was over the line.
    Flow,
    /// CPU time of both whole machines. Also the kernel's part of a transfer counts.
    Cpu,
    /// CPU time of the program and what it started, on this machine.
    OwnCpu,
    /// Bytes of data for a second of CPU time of both whole machines.
    Throughput,
    /// The greatest process here.
    Peak,
    /// The greatest process on the other machine.
    PeakFar,
}

/// What became of a goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The whole interval keeps the limit.
    Met,
    /// The whole interval is beyond it.
    NotMet,
    /// The interval holds the limit, or the rounds are too few.
    Undecided,
}

/// A verdict with what it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// The median of the rounds.
    pub median: f64,
    /// What holds the true median with 90 % confidence.
    pub interval: (f64, f64),
}

impl Goal {
    /// The most that a ratio may be.
    pub fn ratio(ours: &str, against: &str, figure: Figure, at_most: f64) -> Self {
        Self { against: Some(against.into()), ..Self::limit(ours, figure, at_most) }
    }

    /// The least that a ratio may be.
    pub fn ratio_at_least(ours: &str, against: &str, figure: Figure, at_least: f64) -> Self {
        Self { bound: Bound::AtLeast, ..Self::ratio(ours, against, figure, at_least) }
    }

    /// The most that a figure may be.
    pub fn limit(ours: &str, figure: Figure, at_most: f64) -> Self {
        Self { ours: ours.into(), against: None, figure, bound: Bound::AtMost, limit: at_most }
    }

    /// Whether it is kept. Nothing where a series is missing: a program that is not there cannot be beaten.
    pub fn judge(&self, case: &Case) -> Option<Judged> {
        let figure = |sample: &Sample| self.figure.of(sample, case.bytes);
        let ours = case.series(&self.ours)?.values(figure);
        let values = match &self.against {
            None => ours,
            Some(name) => {
                let theirs = case.series(name)?.values(figure);
                ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect()
            }
        };
        let interval = stats::interval(&values)?;
        let (keeps, breaks) = match self.bound {
            Bound::AtMost => (interval.1 <= self.limit, interval.0 > self.limit),
            Bound::AtLeast => (interval.0 >= self.limit, interval.1 < self.limit),
        };
        let verdict = if !stats::enough(values.len()) || values.iter().any(|value| !value.is_finite()) {
            Verdict::Undecided
        } else if keeps {
            Verdict::Met
        } else if breaks {
            Verdict::NotMet
        } else {
            Verdict::Undecided
        };
        Some(Judged { verdict, median: stats::median(&values)?, interval })
    }
}

impl Figure {
    /// This figure of a run that moved so many bytes; no number where it was not taken.
    pub fn of(self, sample: &Sample, bytes: Option<u64>) -> f64 {
        let cpu = sample.cpu_here + sample.cpu_far.unwrap_or(0.0);
        match self {
            Self::Seconds => sample.seconds,
            Self::Flow => sample.flow.unwrap_or(f64::NAN),
            Self::Cpu => cpu,
            Self::OwnCpu => sample.cpu,
            Self::Throughput => bytes.map_or(f64::NAN, |bytes| bytes as f64) / cpu,
            Self::Peak => sample.peak as f64,
            Self::PeakFar => sample.peak_far.map_or(f64::NAN, |peak| peak as f64),
        }
    }

    /// Its name in a table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seconds => "time",
            Self::Flow => "time from the first MiB on",
            Self::Cpu => "CPU of both machines",
            Self::OwnCpu => "own CPU",
            Self::Throughput => "throughput per CPU second",
            Self::Peak => "peak memory",
            Self::PeakFar => "peak memory there",
        }
    }
}

impl Bound {
    /// As the table says it.
    pub fn sign(self) -> &'static str {
        match self {
            Self::AtMost => "≤",
            Self::AtLeast => "≥",
        }
    }
}

impl Verdict {
    /// As the table says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "not met",
            Self::Undecided => "undecided",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Series;

    fn case(ours: &[f64], theirs: &[f64]) -> Case {
        let series = |name: &str, seconds: &[f64]| Series {
            name: name.into(),
            ours: name == "ours",
            command: String::new(),
            samples: seconds.iter().map(|&seconds| Sample { seconds, ..Sample::default() }).collect(),
        };
        Case {
            suite: "local".into(),
            title: String::new(),
            bytes: None,
            notes: Vec::new(),
            series: vec![series("ours", ours), series("theirs", theirs)],
            goals: Vec::new(),
        }
    }

    fn verdict(goal: &Goal, case: &Case) -> Verdict {
        goal.judge(case).expect("a verdict").verdict
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // A machine that became slower half-way does not blur the ratio.
        let case = case(&[1.0, 1.0, 1.0, 9.0, 9.0], &[2.0, 2.0, 2.0, 18.0, 18.0]);
        let goal = Goal::ratio("ours", "theirs", Figure::Seconds, 0.5);
        assert_eq!(
            goal.judge(&case),
            Some(Judged { verdict: Verdict::Met, median: 0.5, interval: (0.5, 0.5) })
        );
        let stricter = Goal { limit: 0.49, ..goal };
        assert_eq!(verdict(&stricter, &case), Verdict::NotMet);
    }

    #[test]
    fn what_is_within_the_spread_is_undecided() {
        let case = case(&[0.9, 0.95, 1.0, 1.05, 1.1], &[1.0; 5]);
        assert_eq!(verdict(&Goal::ratio("ours", "theirs", Figure::Seconds, 1.0), &case), Verdict::Undecided);
        assert_eq!(verdict(&Goal::ratio("ours", "theirs", Figure::Seconds, 1.2), &case), Verdict::Met);
        assert_eq!(verdict(&Goal::limit("ours", Figure::Seconds, 0.5), &case), Verdict::NotMet);
    }

    #[test]
    fn a_figure_may_have_to_be_large() {
        let mut case = case(&[1.0; 5], &[1.0; 5]);
        case.bytes = Some(1000);
        for (series, cpu) in case.series.iter_mut().zip([2.0, 5.0]) {
            series.samples.iter_mut().for_each(|sample| (sample.cpu_here, sample.cpu_far) = (cpu, Some(cpu)));
        }
        let goal = Goal::ratio_at_least("ours", "theirs", Figure::Throughput, 2.0);
        let judged = goal.judge(&case).expect("a verdict");
        assert_eq!((judged.verdict, judged.median), (Verdict::Met, 2.5));
        assert_eq!(verdict(&Goal { limit: 3.0, ..goal.clone() }, &case), Verdict::NotMet);
        // Between 2.5 and 5 times as much.
        case.series[0].samples[0].cpu_here = 0.0;
        assert_eq!(verdict(&Goal { limit: 3.0, ..goal.clone() }, &case), Verdict::Undecided);
        // Of what moves no data there is no throughput.
        case.bytes = None;
        assert_eq!(verdict(&goal, &case), Verdict::Undecided);
    }

    #[test]
    fn what_was_not_looked_at_decides_nothing() {
        let case = case(&[1.0; 5], &[1.0; 5]);
        for figure in [Figure::Flow, Figure::PeakFar] {
            assert_eq!(verdict(&Goal::limit("ours", figure, 1.0), &case), Verdict::Undecided);
            assert_eq!(verdict(&Goal::ratio("ours", "theirs", figure, 2.0), &case), Verdict::Undecided);
        }
    }

    #[test]
    fn few_rounds_and_nothing_to_divide_by_decide_nothing() {
        let few = case(&[1.0; 4], &[2.0; 4]);
        assert_eq!(verdict(&Goal::ratio("ours", "theirs", Figure::Seconds, 1.0), &few), Verdict::Undecided);
        let nothing = case(&[1.0; 5], &[0.0; 5]);
        assert_eq!(
            verdict(&Goal::ratio("ours", "theirs", Figure::Seconds, 1.0), &nothing),
            Verdict::Undecided
        );
        let zero = case(&[0.0; 5], &[0.0; 5]);
        assert_eq!(verdict(&Goal::ratio("ours", "theirs", Figure::Seconds, 1.0), &zero), Verdict::Undecided);
    }

    #[test]
    fn a_program_that_was_not_there_is_not_beaten() {
        assert_eq!(
            Goal::ratio("ours", "syncoid", Figure::Seconds, 1.0).judge(&case(&[1.0; 5], &[2.0; 5])),
            None
        );
    }
}
