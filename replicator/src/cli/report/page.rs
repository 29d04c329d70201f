//! The page of `replicator report`: one file of HTML with everything in it. Pure: what was found out goes in, text comes
//! out. It is well-formed XML as well, so that a test can read it, and every name in it is escaped.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::chart::Chart;
use super::chart::Series;
use super::chart::strip;
use crate::cli::finding;
use crate::cli::finding::Finding;
use crate::cli::finding::Level;
use crate::cli::format;
use crate::cli::status::screen::Row;
use crate::cli::status::screen::RunRow;
use crate::cli::status::screen::Screen;
use crate::monitor::history::History;
use crate::monitor::history::Past;

/// How many runs are listed.
const RUNS: usize = 50;

/// How many snapshots are listed in all, and how many that were destroyed.
const SNAPSHOTS: usize = 5000;
const DESTROYED: usize = 200;

/// How many datasets have a row, and a timeline.
const DATASETS: usize = 500;

/// Everything that the page is made of.
pub(super) struct Facts {
    pub(super) screen: Screen,
    pub(super) history: History,
    pub(super) timelines: Vec<Timeline>,
    pub(super) zone: TimeZone,
    pub(super) version: &'static str,
}

/// The snapshots of a dataset that a policy took, the oldest first.
pub(super) struct Timeline {
    pub(super) dataset: String,
    pub(super) snapshots: Vec<Shot>,
}

/// A snapshot.
pub(super) struct Shot {
    /// Behind the `@`.
    pub(super) name: String,
    /// In seconds since 1970.
    pub(super) taken: i64,
    pub(super) keep: bool,
    pub(super) why: String,
}

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --soft: #57606a; --line: #d0d7de; --bad: #b42318; --warn: #8a5a00; --good: #116329;
  --c0: #0b5cad; --c1: #b3541e; --c2: #1a7f37; --c3: #8250df; --c4: #9a6700; --c5: #bf3989; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --soft: #9da7b1; --line: #30363d; --bad: #ff8a80; --warn: #f0b849; --good: #56d364;
  --c0: #6cb6ff; --c1: #ffa657; --c2: #56d364; --c3: #d2a8ff; --c4: #e3b341; --c5: #ff9bce; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; font: 1rem/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); } h3 { font-size: 1rem; margin: .5rem 0; }
.meta { color: var(--soft); }
.verdict { font-weight: 700; padding: .6rem .8rem; border-left: .4rem solid; } .risk { color: var(--bad); } .look { color: var(--warn); } .note { color: var(--good); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); }
td { white-space: nowrap; } td.name { min-width: 9rem; white-space: normal; overflow-wrap: anywhere; } td.why { min-width: 7rem; white-space: normal; } tr.target td.name { padding-left: 1rem; } td.bad { color: var(--bad); font-weight: 700; }
pre, code { font-family: ui-monospace, monospace; font-size: .9rem; } pre { overflow-x: auto; margin: .3rem 0; padding: .5rem; border: 1px solid var(--line); }
figure { margin: 0 0 1rem; } svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: var(--soft); } .grid { stroke: var(--line); }
.legend { list-style: none; padding: 0; margin: 0; } .legend svg { width: 30px; height: 8px; }
polyline, .legend line, circle { fill: none; stroke-width: 2; }
.l0 { stroke: var(--c0); } .l1 { stroke: var(--c1); stroke-dasharray: 8 3; } .l2 { stroke: var(--c2); stroke-dasharray: 2 3; }
.l3 { stroke: var(--c3); stroke-dasharray: 10 3 2 3; } .l4 { stroke: var(--c4); stroke-dasharray: 5 5; } .l5 { stroke: var(--c5); stroke-dasharray: 1 5; }
.b0 { fill: var(--c0); } .b1 { fill: var(--c1); } .b2 { fill: var(--c2); } .b3 { fill: var(--c3); } .b4 { fill: var(--c4); } .b5 { fill: var(--c5); }
@media (max-width: 40rem) { svg text { font-size: 21px; } th, td { padding-right: .4rem; } td.name { min-width: 7rem; } }
.strip { height: auto; } .keep { stroke: var(--c0); stroke-width: 2; } .go { stroke: var(--c1); stroke-width: 2; }
details { border-bottom: 1px solid var(--line); padding: .3rem 0; } summary { cursor: pointer; overflow-wrap: anywhere; }
";

/// The whole page.
pub(super) fn page(facts: &Facts) -> String {
    let screen = &facts.screen;
    let now = facts.clock(screen.now);
    let title = format!("replicator on {}", screen.host);
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>{0}, {1}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{0}</h1>\n<p class=\"meta\">{1}, by replicator {2}</p>\n</header>\n<main>\n",
        escaped(&title),
        escaped(&now),
        escaped(facts.version)
    );
    html.push_str(&verdict(screen));
    html.push_str(&datasets(facts));
    html.push_str(&parts(facts));
    html.push_str(&charts(facts));
    html.push_str(&timelines(facts));
    html.push_str(&destroyed(facts));
    html.push_str(&runs(facts));
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

impl Facts {
    fn clock(&self, seconds: i64) -> String {
        format::clock(seconds, &self.zone, "%Y-%m-%d %H:%M")
    }
}

fn verdict(screen: &Screen) -> String {
    let (class, words) = match screen.level {
        Level::Risk => ("risk", format!("At risk: {} to do", finding::things(&screen.findings, Level::Risk))),
        Level::Look => {
            ("look", format!("Well, and {} to look at", finding::things(&screen.findings, Level::Look)))
        }
        Level::Note => ("note", "Well: nothing to do".to_string()),
    };
    let mut html = format!("<section>\n<p class=\"verdict {class}\">{words}</p>\n");
    let (notes, todo): (Vec<&Finding>, Vec<&Finding>) =
        screen.findings.iter().partition(|one| one.level == Level::Note);
    for (list, end, findings) in [("<ol>", "</ol>", todo), ("<ul>", "</ul>", notes)] {
        if findings.is_empty() {
            continue;
        }
        html.push_str(list);
        for one in findings {
            let risk = if one.level == Level::Risk { "<strong>Risk:</strong> " } else { "" };
            html.push_str(&format!("<li>{risk}{}", escaped(&one.text)));
            for command in &one.commands {
                html.push_str(&format!("<pre tabindex=\"0\">{}</pre>", escaped(&command.run)));
            }
            html.push_str("</li>\n");
        }
        html.push_str(end);
        html.push('\n');
    }
    html + "</section>\n"
}

/// A table that can be moved sideways where it is too wide for a phone.
fn table(label: &str, head: &[&str], rows: &str) -> String {
    let head: String = head.iter().map(|name| format!("<th scope=\"col\">{}</th>", escaped(name))).collect();
    format!(
        "<div class=\"wide\" role=\"region\" aria-label=\"{}\" tabindex=\"0\">\n<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n",
        escaped(label)
    )
}

fn datasets(facts: &Facts) -> String {
    let dash = |seconds: Option<u64>| seconds.map_or_else(|| "-".to_string(), format::length);
    let row = |row: &Row| {
        let (class, name) = match &row.target {
            None => ("", row.dataset.as_str()),
            Some(target) => (" class=\"target\"", target.as_str()),
        };
        let state = row.state.word();
        format!(
            "<tr{class}><td class=\"name\">{}</td><td class=\"bad\">{state}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            escaped(name),
            dash(row.age_seconds),
            dash(row.goal_seconds),
            row.newest.map_or_else(|| "never".to_string(), |newest| facts.clock(newest)),
            row.snapshots.map_or_else(String::new, |count| count.to_string())
        )
    };
    let rows: String = facts.screen.datasets.iter().take(DATASETS).map(row).collect();
    // What matters most comes first: a phone shows the first few columns.
    let head = ["Dataset", "State", "Age", "At most", "Newest", "Snapshots"];
    let more = more(facts.screen.datasets.len(), DATASETS, "rows");
    format!(
        "<section>\n<h2>Datasets and their targets</h2>\n{}{more}</section>\n",
        table("Datasets", &head, &rows)
    )
}

/// When each part of a run was done last, what it came to, and when it is done next.
fn parts(facts: &Facts) -> String {
    let clock = |at: Option<i64>| at.map_or_else(|| "-".to_string(), |at| facts.clock(at));
    let row = |row: &RunRow| {
        let (class, word) = if row.failed { (" class=\"bad\"", "failed") } else { ("", "") };
        format!(
            "<tr><td>{}</td><td{class}>{word}</td><td class=\"name\">{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            escaped(row.part),
            escaped(&row.summary),
            clock(row.ended),
            row.seconds.map_or_else(|| "-".to_string(), format::length),
            clock(row.next)
        )
    };
    let rows: String = facts.screen.runs.iter().map(row).collect();
    let head = ["Part", "State", "Result", "Ended", "Took", "Next"];
    format!("<section>\n<h2>What runs do</h2>\n{}</section>\n", table("What runs do", &head, &rows))
}

/// That there is more than what is shown.
fn more(all: usize, shown: usize, what: &str) -> String {
    match all.saturating_sub(shown) {
        0 => String::new(),
        more => format!("<p>And {more} more {what}, which would make this page too long.</p>\n"),
    }
}

/// Points by name, out of each run.
fn series<'h>(history: &'h History, of: impl Fn(&'h Past) -> Vec<(String, u64)>) -> Vec<Series> {
    let mut all: BTreeMap<String, Vec<(i64, u64)>> = BTreeMap::new();
    for run in &history.runs {
        for (name, value) in of(run) {
            all.entry(name).or_default().push((run.ended, value));
        }
    }
    all.into_iter().map(|(name, points)| Series { name, points }).collect()
}

fn charts(facts: &Facts) -> String {
    let history = &facts.history;
    let lag = series(history, |run| {
        let lags = run.parts.iter().flat_map(|part| &part.lags);
        lags.map(|lag| (format!("{} to {}", lag.job, lag.target), lag.seconds)).collect()
    });
    let sizes = series(history, |run| {
        let pools = run.parts.iter().flat_map(|part| &part.pools);
        pools.map(|pool| (pool.pool.clone(), pool.size.saturating_sub(pool.free))).collect()
    });
    let sent = series(history, |run| {
        let sent = run.parts.iter().flat_map(|part| &part.sent);
        sent.map(|one| (one.title.clone(), one.bytes)).collect()
    });
    let draw = |title, series: &[Series], unit, bars| Chart { title, series, unit, bars }.html(&facts.zone);
    format!(
        "<section>\n<h2>Over time</h2>\n<p>Of what was days ago, one run an hour is kept of each part.</p>\n{}{}{}</section>\n",
        draw("How far targets were behind", &lag, format::length, false),
        draw("What was sent in each run", &sent, format::bytes, true),
        draw("What was in use of the pools", &sizes, format::bytes, false)
    )
}

fn timelines(facts: &Facts) -> String {
    let mut html = String::from("<section>\n<h2>Snapshots, and why they stay or go</h2>\n");
    if facts.timelines.is_empty() {
        html.push_str("<p>No policy prunes anything here, or its snapshots could not be looked at.</p>\n");
    }
    let mut left = SNAPSHOTS;
    for one in facts.timelines.iter().take(DATASETS) {
        let keep = one.snapshots.iter().filter(|shot| shot.keep).count();
        let go = one.snapshots.len() - keep;
        let span = match (one.snapshots.first(), one.snapshots.last()) {
            (Some(first), Some(last)) => {
                format!(", {} to {}", facts.clock(first.taken), facts.clock(last.taken))
            }
            _ => String::new(),
        };
        let words = format!("{}: {keep} stay, {go} go at the next pruning{span}", one.dataset);
        let moments: Vec<_> = one.snapshots.iter().map(|shot| (shot.taken, shot.keep)).collect();
        let shown = one.snapshots.len().min(left);
        left -= shown;
        // The newest are the ones that people ask about.
        let rows: String =
            one.snapshots.iter().rev().take(shown).map(|shot| row_of_shot(facts, shot)).collect();
        html.push_str(&format!(
            "<details>\n<summary>{}</summary>\n{}{}{}</details>\n",
            escaped(&words),
            strip(&words, &moments),
            table(
                &format!("Snapshots of {}", one.dataset),
                &["Snapshot", "Next pruning", "Why", "Taken"],
                &rows
            ),
            more(one.snapshots.len(), shown, "snapshots")
        ));
    }
    html.push_str(&more(facts.timelines.len(), DATASETS, "datasets"));
    html + "</section>\n"
}

fn row_of_shot(facts: &Facts, shot: &Shot) -> String {
    let verdict = if shot.keep { "<td>stays</td>" } else { "<td class=\"bad\">goes</td>" };
    format!(
        "<tr><td class=\"name\">@{}</td>{verdict}<td class=\"why\">{}</td><td>{}</td></tr>\n",
        escaped(&shot.name),
        escaped(&shot.why),
        facts.clock(shot.taken)
    )
}

fn destroyed(facts: &Facts) -> String {
    let pruned = |run: &'_ Past| -> Vec<(i64, String)> {
        let parts = run.parts.iter().filter(|part| part.name == "prune");
        parts.flat_map(|part| part.snapshots.iter().map(|name| (run.ended, name.clone()))).collect()
    };
    let all: Vec<_> = facts.history.runs.iter().flat_map(pruned).collect();
    if all.is_empty() {
        return String::new();
    }
    let row = |(ended, name): &(i64, String)| {
        format!("<tr><td>{}</td><td class=\"name\">{}</td></tr>\n", facts.clock(*ended), escaped(name))
    };
    let rows: String = all.iter().take(DESTROYED).map(row).collect();
    format!(
        "<section>\n<h2>Snapshots that were destroyed</h2>\n<p>By the last runs, because no rule kept them and nobody needed them.</p>\n{}{}</section>\n",
        table("Snapshots that were destroyed", &["When", "Snapshot"], &rows),
        more(all.len(), DESTROYED, "snapshots")
    )
}

fn runs(facts: &Facts) -> String {
    let mut rows = String::new();
    for run in facts.history.runs.iter().take(RUNS) {
        let took = u64::try_from(run.ended.saturating_sub(run.started)).unwrap_or(0);
        let mut did = String::new();
        for part in &run.parts {
            let failed = if part.failures > 0 { "<strong>failed:</strong> " } else { "" };
            did.push_str(&format!("<div>{}: {failed}{}</div>", escaped(&part.name), escaped(&part.summary)));
            for one in &part.errors {
                let about = if one.about.is_empty() { String::new() } else { format!("{}: ", one.about) };
                let hint = one.hint.as_ref().map_or_else(String::new, |hint| format!(" ({hint})"));
                did.push_str(&format!(
                    "<div class=\"risk\">{}</div>",
                    escaped(&format!("{about}{}{hint}", one.message))
                ));
            }
        }
        let class = if run.status == 0 { "" } else { " class=\"bad\"" };
        rows.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td{class}>{}</td><td class=\"name\">{did}</td></tr>\n",
            facts.clock(run.started),
            format::length(took),
            run.status
        ));
    }
    let head = ["Began", "Took", "Status", "Did"];
    format!("<section>\n<h2>The last runs</h2>\n{}</section>\n", table("The last runs", &head, &rows))
}

/// Text as it stands in HTML, also between quotes. Characters that no page may hold become a sign that says so.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
