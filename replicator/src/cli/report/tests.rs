//! Pages, read back as XML: whole, with everything in them, and with nothing of a name left that a browser would take for
//! its own.

use jiff::tz::TimeZone;
use roxmltree::Document;
use roxmltree::Node;

use super::page::Facts;
use super::page::Shot;
use super::page::Timeline;
use super::page::escaped;
use super::page::page;
use crate::cli::status::screen::screen;
use crate::cli::status::tests::NOW;
use crate::cli::status::tests::documented;
use crate::monitor::Level as Nagios;
use crate::monitor::history::History;
use crate::monitor::history::Lag;
use crate::monitor::history::Part;
use crate::monitor::history::Past;
use crate::monitor::history::PoolSize;
use crate::monitor::history::Sent;
use crate::monitor::history::Trouble;
use crate::monitor::verified::Found;

fn run(at: i64, lag: u64) -> Past {
    let part = Part {
        name: "check".to_string(),
        summary: "nothing is left undone".to_string(),
        lags: vec![Lag {
            job: "data".to_string(),
            target: "nas".to_string(),
            dataset: "tank/data".to_string(),
            seconds: lag,
        }],
        pools: vec![PoolSize { pool: "tank".to_string(), size: 4 << 40, free: 1 << 40 }],
        sent: vec![Sent { title: "data to nas".to_string(), bytes: 5 << 20 }],
        ..Part::default()
    };
    let prune =
        Part { name: "prune".to_string(), snapshots: vec!["tank/data@old".to_string()], ..Part::default() };
    Past { started: NOW + at - 3, ended: NOW + at, status: 0, parts: vec![prune, part], pairs: Vec::new() }
}

fn facts() -> Facts {
    let shot = |n: i64, keep: bool, why: &str| Shot {
        name: format!("s{n}"),
        taken: NOW - 3600 * n,
        keep,
        why: why.to_string(),
    };
    Facts {
        screen: screen(&documented()),
        history: History { runs: vec![run(0, 60), run(-900, 960), run(-1800, 1860)], unread: 0 },
        timelines: vec![Timeline {
            dataset: "tank/data".to_string(),
            snapshots: vec![
                shot(3, false, "number 3 of 2 hourly"),
                shot(2, true, "number 2 of 2 hourly"),
                shot(1, true, "the newest always stays"),
            ],
        }],
        zone: TimeZone::UTC,
        version: "1.2.3",
    }
}

/// The page as a tree.
fn read(html: &str) -> Document<'_> {
    let body = html.strip_prefix("<!DOCTYPE html>\n").expect("a page begins so");
    Document::parse(body).unwrap_or_else(|error| panic!("{error}\n{html}"))
}

fn all<'d>(page: &'d Document<'_>, name: &str) -> Vec<Node<'d, 'd>> {
    page.descendants().filter(|node| node.has_tag_name(name)).collect()
}

fn words(node: Node<'_, '_>) -> String {
    node.descendants().filter_map(|node| node.text().filter(|_| node.is_text())).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_page_is_whole_and_needs_nothing_else() {
    let html = page(&facts());
    let tree = read(&html);
    assert_eq!(tree.root_element().attribute("lang"), Some("en"));
    assert_eq!(words(all(&tree, "title")[0]), "replicator on store, 2026-11-28 14:07");
    let meta: Vec<_> = all(&tree, "meta").iter().filter_map(|one| one.attribute("name")).collect();
    assert_eq!(meta, ["viewport"]);
    for outside in ["http:", "https:", "src=", "@import", "url(", "<script", "<link", "href="] {
        assert!(!html.contains(outside), "{outside}");
    }
    // Who cannot see it has it read aloud.
    for svg in all(&tree, "svg") {
        let said = svg.attribute("role") == Some("img")
            && svg.attribute("aria-label").is_some_and(|label| label.len() > 10);
        assert!(said || svg.attribute("aria-hidden") == Some("true"));
    }
    assert!(all(&tree, "th").iter().all(|th| th.attribute("scope") == Some("col")));
    assert_eq!(all(&tree, "h1").len(), 1);
    assert!(all(&tree, "main").len() == 1 && all(&tree, "h2").len() >= 4);
    // Classes that are used are defined.
    for node in tree.descendants() {
        for class in node.attribute("class").unwrap_or_default().split_whitespace() {
            assert!(html.contains(&format!(".{class} ")), "no style for {class}");
        }
    }
}

#[test]
fn everything_is_in_it() {
    let html = page(&facts());
    let tree = read(&html);
    let text = words(tree.root_element());
    for said in [
        "CONFLICT",
        "number 3 of 2 hourly",
        "goes",
        "the newest always stays",
        "tank/data@old",
        "data to nas 1m, at most 31m",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    // A line with a point for each run, later ones further to the right.
    let lag = all(&tree, "polyline")[0].attribute("points").expect("points").to_string();
    let x: Vec<f64> = lag.split(' ').filter_map(|point| point.split(',').next()?.parse().ok()).collect();
    assert!(x.len() == 3 && x.is_sorted(), "{lag}");
    let y: Vec<f64> = lag.split(' ').filter_map(|point| point.split(',').nth(1)?.parse().ok()).collect();
    assert!(y[0] < y[1] && y[1] < y[2], "less is lower: {lag}");
    let bars: Vec<_> = all(&tree, "rect").iter().filter_map(|bar| bar.attribute("height")).collect();
    assert_eq!(bars, ["170.0"; 3]);
    let ticks = all(&tree, "line").iter().filter(|line| line.attribute("class") == Some("go")).count();
    assert_eq!(ticks, 1);
}

#[test]
fn what_was_verified_is_in_it_and_what_differs_is_at_risk() {
    let mut seen = documented();
    seen.copies.found.push(Found {
        level: Nagios::Critical,
        title: "data to nas".to_string(),
        dataset: Some("tank/home".to_string()),
        sources: Vec::new(),
        subject: "data to nas: tank/home".to_string(),
        text: "2 files or segments differ".to_string(),
        way_out: None,
        differ: None,
    });
    let mut facts = Facts { screen: screen(&seen), ..facts() };
    let verify = Part {
        name: "verify".to_string(),
        summary: "0 of 1 datasets good".to_string(),
        failures: 1,
        errors: vec![Trouble {
            about: "data to nas: tank/home".to_string(),
            message: "x/y: content".to_string(),
            hint: None,
        }],
        ..Part::default()
    };
    facts.history.runs[0].parts = vec![verify];
    let html = page(&facts);
    let tree = read(&html);
    let row = |first: &str| {
        let rows = all(&tree, "tr");
        let found = rows.iter().find(|row| words(**row).split_whitespace().next() == Some(first));
        found.map(|row| words(*row)).unwrap_or_default()
    };
    let verify = row("verify");
    assert!(verify.contains("2 of 2 datasets good, 1204 files compared"), "{verify}");
    assert!(verify.contains("2026-11-28 04:07") && verify.contains("2026-11-29 04:07"), "{verify}");
    assert!(row("replicate").contains("failed"), "{}", row("replicate"));
    let text = words(tree.root_element());
    for said in ["the copy of tank/home is not what its source is", "DIFFERS", "0 of 1 datasets good"] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[test]
fn without_anything_the_page_says_so() {
    let mut facts = facts();
    facts.history = History::default();
    facts.timelines.clear();
    facts.screen.datasets.clear();
    let html = page(&facts);
    let text = words(read(&html).root_element());
    assert!(
        text.contains("No run has left a number of this yet.")
            && text.contains("No policy prunes anything here"),
        "{text}"
    );
}

#[test]
fn names_are_words_and_never_a_part_of_the_page() {
    let hostile = "</td><script>alert('1')</script>&\"\u{1b}[31m\n\u{0}";
    let mut facts = facts();
    facts.screen.host = hostile.to_string();
    facts.screen.datasets[0].dataset = hostile.to_string();
    facts.screen.findings[0].text = hostile.to_string();
    facts.timelines[0].dataset = hostile.to_string();
    facts.timelines[0].snapshots[0].why = hostile.to_string();
    let run = &mut facts.history.runs[0];
    run.parts[1].lags[0].job = hostile.to_string();
    run.parts[0].snapshots[0] = hostile.to_string();
    run.parts[0].errors = vec![Trouble {
        about: hostile.to_string(),
        message: hostile.to_string(),
        hint: Some(hostile.to_string()),
    }];
    let html = page(&facts);
    let tree = read(&html);
    assert_eq!(all(&tree, "script").len(), 0);
    assert!(!html.contains('\u{1b}') && !html.contains('\u{0}'));
    let alerts = words(tree.root_element()).matches("<script>alert('1')</script>&").count();
    assert!(alerts >= 8, "{alerts}");
    assert_eq!(escaped("a<b>\"'&\n"), "a&lt;b&gt;&quot;&#39;&amp; ");
}

#[test]
fn a_page_has_a_bound() {
    let mut facts = facts();
    let shot = |n: i64| Shot { name: format!("s{n}"), taken: n, keep: true, why: "x".repeat(50) };
    facts.timelines = (0..20)
        .map(|n| Timeline { dataset: format!("tank/{n}"), snapshots: (0..1000).map(shot).collect() })
        .collect();
    facts.history.runs = (0..500).map(|n| run(-n * 900, 60)).collect();
    let html = page(&facts);
    let tree = read(&html);
    let listed = all(&tree, "td").iter().filter(|td| td.text() == Some("stays")).count();
    assert_eq!(listed, 5000);
    assert!(words(tree.root_element()).contains("And 1000 more snapshots"));
    assert!(html.len() < 8 << 20, "{}", html.len());
}
