//! Charts as SVG that stands in a page: no script, no font, no picture from anywhere. Each says in words what it shows, and
//! its lines differ in their dashes as well as in their colours.

use jiff::tz::TimeZone;

use super::page::escaped;
use crate::cli::format;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 200.0;

/// Room for the numbers on the left, and for the times below, also where they are larger: on a phone the whole is half as
/// wide.
const LEFT: f64 = 112.0;
const BELOW: f64 = 28.0;

/// The most lines of one chart.
pub(super) const LINES: usize = 6;

/// One line: moments in seconds since 1970, each with its value.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(i64, u64)>,
}

/// What is drawn over time.
pub(super) struct Chart<'c> {
    pub(super) title: &'c str,
    pub(super) series: &'c [Series],
    /// How a value is written.
    pub(super) unit: fn(u64) -> String,
    /// Columns instead of lines.
    pub(super) bars: bool,
}

/// A whole number as a place on paper.
fn real(number: u64) -> f64 {
    // Beyond 2^53 the last digits go, of bytes and seconds that nobody sees on paper.
    #[allow(clippy::cast_precision_loss)]
    let real = number as f64;
    real
}

/// Where moments stand from left to right.
struct Scale {
    from: i64,
    span: f64,
}

impl Scale {
    fn new(moments: impl Iterator<Item = i64> + Clone) -> Option<Self> {
        let (from, to) = (moments.clone().min()?, moments.max()?);
        let span = real(u64::try_from(to.saturating_sub(from)).unwrap_or(0)).max(1.0);
        Some(Self { from, span })
    }

    fn x(&self, moment: i64, left: f64, width: f64) -> f64 {
        let passed = real(u64::try_from(moment.saturating_sub(self.from)).unwrap_or(0));
        left + passed / self.span * width
    }
}

impl Chart<'_> {
    /// The figure with its title and legend; a sentence where there is nothing to draw.
    pub(super) fn html(&self, zone: &TimeZone) -> String {
        let moments = self.series.iter().flat_map(|one| one.points.iter().map(|(at, _)| *at));
        let Some(scale) = Scale::new(moments.clone()) else {
            return format!(
                "<h3>{}</h3>\n<p>No run has left a number of this yet.</p>\n",
                escaped(self.title)
            );
        };
        let top =
            self.series.iter().flat_map(|one| one.points.iter().map(|(_, value)| *value)).max().unwrap_or(0);
        let clock = |at: i64| format::clock(at, zone, "%Y-%m-%d %H:%M");
        let (first, last) = (moments.clone().min().unwrap_or(0), moments.max().unwrap_or(0));
        let said: Vec<_> = self.series.iter().take(LINES).map(|one| self.said(one)).collect();
        let label = format!("{}, {} to {}: {}", self.title, clock(first), clock(last), said.join("; "));
        let mut svg = format!(
            "<figure>\n<figcaption><h3>{}</h3></figcaption>\n<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{}\">\n",
            escaped(self.title),
            HEIGHT + BELOW,
            escaped(&label)
        );
        for quarter in 0..=4u64 {
            let y = HEIGHT - 10.0 - real(quarter) / 4.0 * (HEIGHT - 30.0);
            let value = u64::try_from(u128::from(top) * u128::from(quarter) / 4).unwrap_or(u64::MAX);
            svg.push_str(&format!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                LEFT - 6.0,
                y + 4.0,
                escaped(&(self.unit)(value))
            ));
        }
        for (number, one) in self.series.iter().take(LINES).enumerate() {
            svg.push_str(&self.drawn(number, one, &scale, top));
        }
        svg.push_str(&format!(
            "<text x=\"{LEFT}\" y=\"{0:.1}\">{1}</text><text x=\"{WIDTH}\" y=\"{0:.1}\" text-anchor=\"end\">{2}</text>\n</svg>\n",
            HEIGHT + BELOW - 6.0,
            escaped(&clock(first)),
            escaped(&clock(last))
        ));
        svg.push_str("<ul class=\"legend\">\n");
        for (number, said) in said.iter().enumerate() {
            svg.push_str(&format!(
                "<li><svg viewBox=\"0 0 30 8\" aria-hidden=\"true\"><line class=\"l{number}\" x1=\"0\" x2=\"30\" y1=\"4\" y2=\"4\"/></svg> {}</li>\n",
                escaped(said)
            ));
        }
        let more = self.series.len().saturating_sub(LINES);
        if more > 0 {
            svg.push_str(&format!("<li>{more} more are not drawn</li>\n"));
        }
        svg.push_str("</ul>\n</figure>\n");
        svg
    }

    fn said(&self, one: &Series) -> String {
        let newest = one.points.iter().max_by_key(|(at, _)| *at).map_or(0, |(_, value)| *value);
        let most = one.points.iter().map(|(_, value)| *value).max().unwrap_or(0);
        format!("{} {}, at most {}", one.name, (self.unit)(newest), (self.unit)(most))
    }

    fn drawn(&self, number: usize, one: &Series, scale: &Scale, top: u64) -> String {
        let y = |value: u64| HEIGHT - 10.0 - real(value) / real(top).max(1.0) * (HEIGHT - 30.0);
        let x = |at: i64| scale.x(at, LEFT, WIDTH - LEFT - 4.0);
        if self.bars {
            let bar = |(at, value): &(i64, u64)| {
                let height = (HEIGHT - 10.0 - y(*value)).max(0.0);
                format!(
                    "<rect class=\"b{number}\" x=\"{:.1}\" y=\"{:.1}\" width=\"3\" height=\"{height:.1}\"/>",
                    x(*at),
                    y(*value)
                )
            };
            return one.points.iter().filter(|(_, value)| *value > 0).map(bar).collect::<String>() + "\n";
        }
        let mut points = one.points.clone();
        points.sort_unstable();
        let places: Vec<_> =
            points.iter().map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value))).collect();
        let mut drawn = format!("<polyline class=\"l{number}\" points=\"{}\"/>", places.join(" "));
        // One point alone makes no line.
        if let ([(at, value)], true) = (points.as_slice(), points.len() == 1) {
            drawn.push_str(&format!(
                "<circle class=\"l{number}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"/>",
                x(*at),
                y(*value)
            ));
        }
        drawn + "\n"
    }
}

/// The snapshots of a dataset on a strip: those that stay, and, shorter, those that go.
pub(super) fn strip(label: &str, moments: &[(i64, bool)]) -> String {
    let Some(scale) = Scale::new(moments.iter().map(|(at, _)| *at)) else { return String::new() };
    let mut svg = format!(
        "<svg class=\"strip\" viewBox=\"0 0 {WIDTH} 26\" role=\"img\" aria-label=\"{}\">\n",
        escaped(label)
    );
    svg.push_str(&format!("<line class=\"grid\" x1=\"0\" x2=\"{WIDTH}\" y1=\"25\" y2=\"25\"/>"));
    for (at, keep) in moments {
        let x = scale.x(*at, 2.0, WIDTH - 4.0);
        let (class, top) = if *keep { ("keep", 2) } else { ("go", 14) };
        svg.push_str(&format!(
            "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"25\"/>"
        ));
    }
    svg + "\n</svg>\n"
}
