//! A plan for people: what will be done, in which order and why.

use super::format;
use super::progress::title;
use crate::endpoint::Endpoint;
use crate::plan::DatasetPlan;
use crate::plan::Step;
use crate::plan::TreePlan;

/// The whole plan; nothing was changed yet.
pub(super) fn describe(plan: &TreePlan, source: &Endpoint, target: &Endpoint) -> String {
    let mut text = format!("{source} -> {target}\n");
    let mut number = 0;
    let mut list = |text: &mut String, steps: &[Step], indent: &str| {
        for step in steps {
            number += 1;
            let size = match step.stream() {
                Some(spec) => {
                    let raw = if spec.raw { ", raw" } else { "" };
                    format!(" ({}{raw})", format::maybe_bytes(step.estimated_bytes))
                }
                None => String::new(),
            };
            text.push_str(&format!("{indent}{number}. {}{size}: {}\n", title(step), step.reason));
        }
    };
    list(&mut text, &plan.before, "  ");
    let single = plan.datasets.len() == 1;
    for dataset in &plan.datasets {
        let indent = if single { "  " } else { "    " };
        if !single {
            text.push_str(&format!("  {} -> {}{}\n", dataset.source, dataset.target, state(dataset)));
        }
        if let Some(common) = &dataset.common {
            text.push_str(&format!(
                "{indent}newest common snapshot: {} (GUID {})\n",
                common.name(),
                common.guid()
            ));
        }
        match &dataset.steps {
            Ok(steps) => list(&mut text, steps, indent),
            Err(conflict) => {
                text.push_str(&format!(
                    "{indent}stops: {}\n",
                    conflict.to_string().replace('\n', &format!("\n{indent}"))
                ));
                text.push_str(&format!("{indent}hint: {}\n", conflict.hint()));
            }
        }
    }
    list(&mut text, &plan.after, "  ");
    for kept in &plan.kept {
        text.push_str(&format!("  stays: {} ({})\n", kept.dataset, kept.reason));
    }
    for note in &plan.notes {
        text.push_str(&format!("  note: {note}\n"));
    }
    if plan.streams().next().is_none() && plan.conflicts().next().is_none() {
        text.push_str(&format!("  {target} is up to date: nothing to send\n"));
    } else {
        text.push_str(&format!(
            "  in all {}; nothing was changed\n",
            format::maybe_bytes(plan.estimated_bytes())
        ));
    }
    text
}

fn state(dataset: &DatasetPlan) -> &'static str {
    match &dataset.steps {
        Ok(steps) if steps.is_empty() => ": up to date",
        _ => "",
    }
}
