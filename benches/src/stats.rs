//! Medians, spreads, and what may be said of a median after a few rounds.

/// The confidence with which an interval holds the median, at least.
const CONFIDENCE: f64 = 0.9;

/// Least, middle and greatest of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The median.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

/// The spread of values; `None` where there are none.
pub fn spread(values: &[f64]) -> Option<Spread> {
    let sorted = sorted(values);
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    let half = sorted.len() / 2;
    let median =
        if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) };
    Some(Spread { min, median, max })
}

/// The median of values; `None` where there are none.
pub fn median(values: &[f64]) -> Option<f64> {
    spread(values).map(|found| found.median)
}

/// An interval that holds the true median with a confidence of at least 90 %, whatever the distribution: between two
/// of the sorted values, each equally far from its end. With fewer than five values there is no such interval; it
/// is all of them then, and [`enough`] says so.
pub fn interval(values: &[f64]) -> Option<(f64, f64)> {
    let sorted = sorted(values);
    let count = sorted.len();
    let mut cut = 0;
    while 2 * (cut + 1) < count && confidence(count, cut + 1) >= CONFIDENCE {
        cut += 1;
    }
    Some((*sorted.get(cut)?, *sorted.get(count - 1 - cut)?))
}

/// Whether so many rounds are enough for a verdict.
pub fn enough(rounds: usize) -> bool {
    confidence(rounds, 0) >= CONFIDENCE
}

/// How likely the median of a distribution lies between its samples without the `cut` outermost ones at either end:
/// each sample is below the median as likely as above it.
fn confidence(count: usize, cut: usize) -> f64 {
    let mut ways = 1.0;
    let mut tail = 0.0;
    for at in 0..=cut {
        tail += ways;
        ways *= (count - at) as f64 / (at + 1) as f64;
    }
    1.0 - 2.0 * tail / 2_f64.powi(count as i32)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_no_values() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
        assert_eq!(spread(&[3.0, 1.0, 9.0]), Some(Spread { min: 1.0, median: 3.0, max: 9.0 }));
    }

    #[test]
    fn five_rounds_are_the_least_that_say_something() {
        assert!(!enough(4));
        assert!(enough(5));
        assert!((confidence(5, 0) - 0.9375).abs() < 1e-9);
        // 1 - 2 (1 + 8) / 256
        assert!((confidence(8, 1) - 0.929_687_5).abs() < 1e-9);
    }

    #[test]
    fn outliers_are_left_out_once_there_are_enough_rounds_for_that() {
        assert_eq!(interval(&[5.0, 1.0, 2.0, 3.0, 4.0]), Some((1.0, 5.0)));
        assert_eq!(interval(&[9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]), Some((2.0, 7.0)));
        assert_eq!(interval(&[7.0]), Some((7.0, 7.0)));
        assert_eq!(interval(&[]), None);
    }
}
