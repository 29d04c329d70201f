//! `[[receive]]` of a TOML file: what others send into.

use zfs_core::name::DatasetName;

use super::super::pair::Pair;
use super::super::problem::Problems;
use super::super::problem::Severity;
use super::super::receive::PARTIAL_FOR;
use super::super::receive::Receive;
use super::policies::of_name;
use super::reader::Fields;

/// The shortest time for which a receive that broke off lies: a sender needs some time to come again.
const LEAST: u64 = 3600;

pub(super) fn receive(fields: Fields<'_, '_>) -> Option<Receive> {
    let roots = roots(&fields);
    let partial_for = partial_for(&fields);
    let place = fields.reader.place(&fields.span);
    fields.finish();
    Some(Receive { place, roots: roots?, partial_for })
}

fn roots(fields: &Fields<'_, '_>) -> Option<Vec<DatasetName>> {
    if fields.get("root").is_none() {
        fields.error("nothing is named that others send into", "add `root = \"POOL/DATASET\"`");
        return None;
    }
    let texts = fields.texts("root");
    let roots: Vec<DatasetName> =
        texts.iter().filter_map(|(text, span)| of_name(fields, text, span)).collect();
    (!roots.is_empty() && roots.len() == texts.len()).then_some(roots)
}

/// In seconds; without a word about it a week, and `None` for "0".
fn partial_for(fields: &Fields<'_, '_>) -> Option<u64> {
    let seconds = fields.age("partial_for").unwrap_or(PARTIAL_FOR);
    if seconds > 0 && seconds < LEAST {
        let span = fields.get("partial_for").map_or(fields.span.clone(), |field| field.value.span());
        fields.reader.error(
            &span,
            "`partial_for` is shorter than an hour",
            "write \"1h\" or more, such as \"7d\"; \"0\" is for ever",
        );
    }
    (seconds > 0).then_some(seconds)
}

/// What only shows when all of them and the pairs are seen together.
pub(super) fn across(receives: &[Receive], pairs: &[Pair], problems: &mut Problems) {
    let mut before: Vec<(&DatasetName, &Receive)> = Vec::new();
    for receive in receives {
        for root in &receive.roots {
            let mut error = |message: String, fix: &str| {
                problems.at_place(Severity::Error, &receive.place, message, fix.to_string());
            };
            if let Some((other, first)) = before.iter().find(|(other, _)| meets(root, other)) {
                let message =
                    format!("the root {root} meets the root {other} of [[receive]] at {}", first.place);
                error(message, "keep each dataset in one [[receive]]");
            }
            if let Some(pair) = pairs.iter().find(|pair| pair.roots.iter().any(|other| meets(root, other))) {
                let message = format!("the root {root} meets a root of the pair `{}`", pair.name);
                error(message, "leave it out: a pair sees to what is received into its roots by itself");
            }
            before.push((root, receive));
        }
    }
}

fn meets(one: &DatasetName, other: &DatasetName) -> bool {
    one.is_within(other) || other.is_within(one)
}
