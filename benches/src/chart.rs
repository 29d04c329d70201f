//! Charts of results: a bar for the median of each program, whiskers from its least to its greatest run. One of times for every
//! case, and one of CPU time for each GB where data is moved.

use kuva::prelude::BarPlot;
use kuva::prelude::Layout;
use kuva::prelude::Plot;
use kuva::prelude::render_to_svg;

use crate::goal::Figure;
use crate::result::Case;
use crate::result::Sample;
use crate::stats;

/// Ours, and the others. Both can be told apart in grey.
const OURS: &str = "#1f6f8b";
const THEIRS: &str = "#b8b8b8";

/// Above this ratio of the greatest to the least the scale is logarithmic.
const WIDE: f64 = 50.0;

/// The times of a case as SVG.
pub fn draw(case: &Case) -> String {
    bars(case, &case.title, "seconds", &seconds, &|sample| sample.seconds)
}

/// The CPU time of all machines that each program took for a GB, as SVG; nothing where no data is moved.
pub fn draw_cpu(case: &Case) -> Option<String> {
    let gigabytes = case.bytes? as f64 / 1e9;
    let title = format!("{}: CPU of all machines", case.title);
    let per_gigabyte = |sample: &Sample| Figure::Cpu.of(sample, case.bytes) / gigabytes;
    Some(bars(case, &title, "CPU seconds a GB", &|value| format!("{value:.2} s"), &per_gigabyte))
}

fn bars(
    case: &Case,
    title: &str,
    unit: &str,
    show: &dyn Fn(f64) -> String,
    figure: &dyn Fn(&Sample) -> f64,
) -> String {
    let bars: Vec<_> = case
        .series
        .iter()
        .filter_map(|series| Some((series, stats::spread(&series.values(figure))?)))
        // The first one at the top.
        .rev()
        .collect();
    let mut plot = BarPlot::new().with_horizontal(true).with_error_color("#333333");
    for (series, spread) in &bars {
        let label = format!("{} ({})", series.name, show(spread.median));
        plot = plot.with_colored_bar(label, spread.median, if series.ours { OURS } else { THEIRS });
    }
    plot = plot.with_asymmetric_error(
        bars.iter().map(|(_, spread)| (spread.median - spread.min, spread.max - spread.median)),
    );
    let medians = || bars.iter().map(|(_, spread)| spread.median).filter(|median| *median > 0.0);
    let wide = medians().fold(0.0, f64::max) / medians().fold(f64::INFINITY, f64::min) > WIDE;
    let plots = vec![Plot::Bar(plot)];
    let mut layout = Layout::auto_from_plots(&plots)
        .with_title(title)
        .with_title_wrap(70)
        .with_x_label(if wide { format!("{unit}, logarithmic") } else { unit.to_string() })
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

/// The file for the chart of its CPU time.
pub fn cpu_file_name(case: &Case, at: usize) -> String {
    format!("{}-{}-cpu.svg", case.suite, at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
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
            notes: Vec::new(),
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

    #[test]
    fn what_moves_data_has_a_chart_of_its_cpu_time() {
        let sample = Sample { seconds: 1.0, cpu_here: 1.0, cpu_far: Some(2.0), ..Sample::default() };
        let series =
            Series { name: "ours".into(), ours: true, command: String::new(), samples: vec![sample; 3] };
        let mut case = Case {
            suite: "ssh".into(),
            title: "a stream".into(),
            bytes: Some(2_000_000_000),
            notes: Vec::new(),
            series: vec![series],
            goals: Vec::new(),
        };
        let svg = draw_cpu(&case).expect("a chart");
        for part in ["<svg", "ours (1.50 s)", "CPU seconds a GB", "CPU of all machines"] {
            assert!(svg.contains(part), "{part} in {svg}");
        }
        assert_eq!(cpu_file_name(&case, 1), "ssh-2-cpu.svg");
        case.bytes = None;
        assert_eq!(draw_cpu(&case), None);
    }
}
