//! The picture of a pair as a screen for people: 80 columns, the answer first, then the numbers, then what to do.

use jiff::tz::TimeZone;

use super::facts::Amount;
use super::facts::Basis;
use super::picture::DatasetLine;
use super::picture::Loss;
use super::picture::LossKind;
use super::picture::NodeLine;
use super::picture::Picture;
use super::picture::age;
use crate::cli::finding;
use crate::cli::finding::Level;
use crate::cli::format;
use crate::cli::format::length;

/// How many datasets are shown, the worst first. All of them are in the JSON.
const SHOWN: usize = 12;

/// The whole screen. Times are in this zone.
pub(super) fn text(picture: &Picture, zone: &TimeZone) -> String {
    let mut text = format!(
        "Pair {}, seen from {} at {}\n\n",
        picture.pair,
        picture.node,
        format::clock(picture.now, zone, "%Y-%m-%d %H:%M")
    );
    text.push_str(&format::wrapped(&headline(picture), "", ""));
    text.push('\n');
    text.push_str("WHAT WOULD BE LOST NOW\n");
    for loss in &picture.losses {
        let start = format!("  if {} died: ", loss.node);
        text.push_str(&format::wrapped(&described(loss, picture, zone), &start, "    "));
    }
    text.push('\n');
    text.push_str(&format::table(&["NODE", "ROLE", "EPOCH", "WHY"], picture.nodes.iter().map(row_of_node)));
    if !picture.datasets.is_empty() {
        text.push('\n');
        text.push_str(&datasets(picture, zone));
    }
    text.push_str(&finding::to_do(&picture.findings));
    text
}

fn headline(picture: &Picture) -> String {
    let things = |level| finding::things(&picture.findings, level);
    match (picture.level, &picture.active) {
        (Level::Risk, _) => format!("AT RISK: {} to do below.", things(Level::Risk)),
        (Level::Look, _) => format!("SAFE, and {} to look at below.", things(Level::Look)),
        (Level::Note, Some(_)) => "SAFE: both nodes have what they should have.".to_string(),
        (Level::Note, None) => "NOTHING IS REPLICATED: nobody was promoted yet.".to_string(),
    }
}

fn described(loss: &Loss, picture: &Picture, zone: &TimeZone) -> String {
    let other = if loss.node == picture.node { &picture.peer } else { &picture.node };
    let mut text = match loss.kind {
        LossKind::NotKnown => "not known, as nobody can say which node has the newer data".to_string(),
        LossKind::Standby if picture.peer_away.is_some() && loss.node == picture.peer => {
            format!("nothing more than now; {other} has the only copy that can be reached")
        }
        LossKind::Standby => format!("nothing; {other} has everything, and would be the only copy"),
        LossKind::Active => {
            let since = loss.since.map(|since| {
                let at = format::clock(since, zone, "%m-%d %H:%M");
                format!("written since {at} ({} ago)", age(picture.now, since))
            });
            match (loss.amount, since) {
                (Amount::NOTHING, None) => format!("nothing; {other} has everything"),
                (Amount { bytes: 0, exact: false }, None) => "not known".to_string(),
                (Amount { bytes: 0, .. }, Some(since)) => format!("what was {since}"),
                (amount, Some(since)) => format!("{}, {since}", shown(amount)),
                (amount, None) => format!("{} that never arrived on {other}", shown(amount)),
            }
        }
    };
    if loss.aside > 0 {
        text.push_str(&format!("; also {} that are set aside there", format::bytes(loss.aside)));
    }
    text
}

fn shown(amount: Amount) -> String {
    match amount {
        Amount { bytes: 0, exact: true } => "nothing".to_string(),
        Amount { bytes: 0, exact: false } => "not known".to_string(),
        Amount { bytes, exact: true } => format::bytes(bytes),
        Amount { bytes, exact: false } => format!("at least {}", format::bytes(bytes)),
    }
}

fn row_of_node(node: &NodeLine) -> Vec<String> {
    vec![node.name.clone(), node.role.to_string(), node.epoch.clone(), node.why.clone()]
}

fn datasets(picture: &Picture, zone: &TimeZone) -> String {
    let only = picture.active.as_ref().map_or_else(|| "UNSENT".to_string(), |node| format!("ONLY ON {node}"));
    let header = ["DATASET", "ON BOTH UP TO", "AGE", "GOAL", only.as_str()];
    let row = |line: &DatasetLine| {
        let up_to = match (line.basis, line.common_taken, &line.common) {
            (Basis::Unknown, ..) => "not known".to_string(),
            (_, Some(taken), _) => format::clock(taken, zone, "%m-%d %H:%M"),
            (_, None, Some(common)) => format!("@{common}"),
            (_, None, None) => "never".to_string(),
        };
        let or_dash = |seconds: Option<u64>| seconds.map_or_else(|| "-".to_string(), length);
        let late = if line.late { "  LATE" } else { "" };
        let amount = format!("{}{late}", shown(line.only_on_active));
        vec![line.dataset.clone(), up_to, or_dash(line.age_seconds), or_dash(line.goal_seconds), amount]
    };
    let mut text = format::table(&header, picture.datasets.iter().take(SHOWN).map(row));
    let rest = picture.datasets.len().saturating_sub(SHOWN);
    if rest > 0 {
        let late = picture.datasets.iter().skip(SHOWN).filter(|line| line.late).count();
        let late = if late == 0 { "none of them late".to_string() } else { format!("{late} of them late") };
        text.push_str(&format!("and {rest} more, {late} (--json has all)\n"));
    }
    text
}
