//! Charts of results: a bar for the median time of each program, whiskers from its fastest to its slowest run.

use kuva::prelude::BarPlot;
use kuva::prelude::Layout;
use kuva::prelude::Plot;
use kuva::prelude::render_to_svg;

use crate::result::Case;
use crate::stats;

/// Ours, and the others. Both can be told apart in grey.
const OURS: &str = "#1f6f8b";
const THEIRS: &str = "#b8b8b8";

/// Above this ratio of the slowest to the fastest the scale is logarithmic.
const WIDE: f64 = 50.0;

/// A case as SVG.
pub fn draw(case: &Case) -> String {
    let bars: Vec<_> = case
        .series
        .iter()
        .filter_map(|series| Some((series, stats::spread(&series.values(|sample| sample.seconds))?)))
        // The first one at the top.
        .rev()
        .collect();
    let mut plot = BarPlot::new().with_horizontal(true).with_error_color("#333333");
    for (series, spread) in &bars {
        let label = format!("{} ({})", series.name, seconds(spread.median));
        plot = plot.with_colored_bar(label, spread.median, if series.ours { OURS } else { THEIRS });
    }
    plot = plot.with_asymmetric_error(
        bars.iter().map(|(_, spread)| (spread.median - spread.min, spread.max - spread.median)),
    );
    let medians = || bars.iter().map(|(_, spread)| spread.median).filter(|median| *median > 0.0);
    let wide = medians().fold(0.0, f64::max) / medians().fold(f64::INFINITY, f64::min) > WIDE;
    let plots = vec![Plot::Bar(plot)];
    let mut layout = Layout::auto_from_plots(&plots)
        .with_title(case.title.clone())
        .with_title_wrap(70)
        .with_x_label(if wide { "seconds, logarithmic" } else { "seconds" })
        .with_width(820.0)
        .with_height(150.0 + 40.0 * bars.len() as f64);
    if wide {
        layout = layout.with_log_x();
    }
    render_to_svg(plots, layout)
}

/// A time in as many digits as mean something.
pub fn seconds(value: f64) -> String {
    match value {
        _ if value >= 100.0 => format!("{value:.0} s"),
        _ if value >= 1.0 => format!("{value:.2} s"),
        _ => format!("{:.1} ms", value * 1e3),
    }
}

/// The file that the chart of a case is kept in.
pub fn file_name(case: &Case, at: usize) -> String {
    format!("{}-{}.svg", case.suite, at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Sample;
    use crate::result::Series;

    #[test]
    fn a_chart_has_a_bar_and_a_label_for_each_program() {
        let series = |name: &str, ours: bool, times: &[f64]| Series {
            name: name.into(),
            ours,
            command: String::new(),
            samples: times.iter().map(|&seconds| Sample { seconds, ..Sample::default() }).collect(),
        };
        let mut case = Case {
            suite: "noop".into(),
            title: "41 datasets, nothing to do".into(),
            bytes: None,
            series: vec![
                series("ours", true, &[0.2, 0.3, 0.25]),
                series("syncoid", false, &[9.0, 10.0, 8.0]),
            ],
            goals: Vec::new(),
        };
        let svg = draw(&case);
        for part in ["<svg", "ours (250.0 ms)", "syncoid (9.00 s)", OURS, THEIRS, "nothing to do"] {
            assert!(svg.contains(part), "{part} in {svg}");
        }
        assert!(!svg.contains("logarithmic"));
        case.series[1] = series("syncoid", false, &[90.0; 3]);
        assert!(draw(&case).contains("logarithmic"));
        assert_eq!(file_name(&case, 0), "noop-1.svg");
    }
}
