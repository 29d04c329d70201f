//! Which policy each dataset has: the entries of a configuration applied in order to the datasets that there are. Pure;
//! the list of datasets comes in.
//!
//! An entry lays its templates and then its own settings over what the datasets that it selects have; one that is
//! selected for the first time begins with the defaults. A recursive entry then hands the whole policy of such a
//! dataset down to everything below it, and entries further down change that again. These are sanoid's rules.
//!
//! One thing is ours: what this program has set aside, so that nothing of it is lost, is selected by nothing but its own
//! name. A policy would prune it by its age, as if somebody still wrote to it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::json;
use zfs_core::name::DatasetName;

use super::dataset::Known;
use super::dataset::Policy;
use super::entry::Below;
use super::entry::Entry;
use super::entry::Policies;
use super::entry::Select;
use super::key::Key;
use super::place::Place;
use super::problem::Problems;
use super::problem::Severity;
use super::settings::Settings;
use super::value::Value;
use crate::pair::aside;
use crate::policy::Style;

/// The policy of one dataset.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The dataset.
    pub dataset: DatasetName,
    /// Whether it exists. One that is named and does not exist has a policy as well: there should be snapshots of it.
    pub exists: bool,
    /// What is done with it.
    pub policy: Policy,
    /// Each setting with where it came from.
    pub settings: Settings,
    /// The datasets below it whose snapshots are taken in one with its own, in the same call and under the same name.
    pub together: Vec<DatasetName>,
    /// The entries that said something about it, in order.
    pub said_by: Vec<Place>,
}

/// The policies of all datasets that have one, by name, and what is odd about them.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// By name.
    pub datasets: BTreeMap<DatasetName, Effective>,
    /// Datasets that entries would select, and that have no policy because they were set aside: the topmost of each.
    pub asides: BTreeSet<DatasetName>,
    /// What may not be meant so.
    pub problems: Problems,
}

/// A policy in the making.
#[derive(Clone, Debug)]
struct Draft {
    settings: Settings,
    /// It or a dataset above takes snapshots of a whole tree in one.
    atomic: bool,
    /// What such an entry leaves out.
    exclude: crate::plan::Patterns,
    said_by: Vec<Place>,
}

impl Policies {
    /// Finds the policy of each of these datasets, which should be all of a pool, or all of the machine.
    #[must_use]
    pub fn resolve(&self, known: &[Known]) -> Resolved {
        let mut resolver = Resolver {
            policies: self,
            names: known.iter().map(|dataset| &dataset.name).collect(),
            drafts: BTreeMap::new(),
            asides: BTreeSet::new(),
            problems: Problems::default(),
        };
        for entry in &self.entries {
            for name in resolver.selected(entry, known) {
                resolver.apply(entry, &name);
            }
        }
        resolver.finish()
    }
}

struct Resolver<'a> {
    policies: &'a Policies,
    names: BTreeSet<&'a DatasetName>,
    drafts: BTreeMap<DatasetName, Draft>,
    asides: BTreeSet<DatasetName>,
    problems: Problems,
}

impl<'a> Resolver<'a> {
    /// In the order of names, so that a parent comes before what is below it.
    fn selected(&mut self, entry: &Entry, known: &[Known]) -> BTreeSet<DatasetName> {
        match &entry.select {
            Select::Names(names) => names.iter().cloned().collect(),
            select => {
                let fit = known.iter().filter(|dataset| select.fits(dataset)).map(|dataset| &dataset.name);
                fit.filter(|name| self.is_in_place(name, None)).cloned().collect()
            }
        }
    }

    /// The datasets below one that an entry does not leave out.
    fn below(&mut self, name: &DatasetName, exclude: &crate::plan::Patterns) -> Vec<DatasetName> {
        let below: Vec<&DatasetName> = children(&self.names, name).collect();
        let wanted = below.into_iter().filter(|child| exclude.select_dataset(child, name));
        wanted.filter(|child| self.is_in_place(child, Some(name))).cloned().collect()
    }

    /// Whether a dataset was not set aside, and lies in none that was; remembers the one that was.
    fn is_in_place(&mut self, name: &DatasetName, above: Option<&DatasetName>) -> bool {
        match aside::topmost(name, above, &self.policies.roots) {
            None => true,
            Some(aside) => {
                self.asides.insert(aside);
                false
            }
        }
    }

    fn apply(&mut self, entry: &Entry, name: &DatasetName) {
        let begin = || Draft {
            settings: self.policies.defaults.clone(),
            atomic: false,
            exclude: crate::plan::Patterns::default(),
            said_by: Vec::new(),
        };
        let mut draft = self.drafts.remove(name).unwrap_or_else(begin);
        for template in &entry.templates {
            // That each exists was checked when the files were read.
            if let Some(template) = self.policies.templates.get(template) {
                draft.settings.overlay(template);
            }
        }
        draft.settings.overlay(&entry.settings);
        draft.said_by.push(entry.place.clone());
        if draft.atomic && draft.settings.bool(Key::Snapshot) {
            draft.settings.force(Key::Snapshot, Value::Bool(false));
            self.problems.at_place(
                Severity::Warning,
                &entry.place,
                format!("{name} is to be snapshotted on its own, but its snapshots are taken together with those of a dataset above"),
                "remove `snapshot` (or `autosnap`) here, or make the recursion of the dataset above not atomic".to_string(),
            );
        }
        match entry.below {
            Below::Nothing => {}
            Below::Remove => {
                for child in self.below(name, &entry.exclude) {
                    self.drafts.remove(&child);
                }
            }
            Below::Each | Below::Atomic => self.hand_down(entry, name, &mut draft),
        }
        self.drafts.insert(name.clone(), draft);
    }

    fn hand_down(&mut self, entry: &Entry, name: &DatasetName, draft: &mut Draft) {
        let atomic = entry.below == Below::Atomic;
        if atomic {
            draft.atomic = true;
            draft.exclude = entry.exclude.clone();
        }
        for child in self.below(name, &entry.exclude) {
            let new = || Draft {
                settings: Settings::builtin(self.policies.style),
                atomic: false,
                exclude: crate::plan::Patterns::default(),
                said_by: Vec::new(),
            };
            let below = self.drafts.entry(child).or_insert_with(new);
            below.settings.inherit(&draft.settings, name, |key| !(atomic && key == Key::Snapshot));
            if atomic {
                below.settings.force(Key::Snapshot, Value::Bool(false));
            }
            below.atomic |= draft.atomic;
            below.said_by.push(entry.place.clone());
        }
    }

    fn finish(mut self) -> Resolved {
        let mut datasets = BTreeMap::new();
        let drafts = std::mem::take(&mut self.drafts);
        for (name, draft) in &drafts {
            let policy = Policy::new(&draft.settings, self.policies.style);
            let together =
                if draft.atomic && policy.snapshot { self.below(name, &draft.exclude) } else { Vec::new() };
            let effective = Effective {
                dataset: name.clone(),
                exists: self.names.contains(name),
                policy,
                settings: draft.settings.clone(),
                together,
                said_by: draft.said_by.clone(),
            };
            datasets.insert(name.clone(), effective);
        }
        // Another entry may name it.
        self.asides.retain(|aside| !drafts.contains_key(aside));
        Resolved { datasets, asides: self.asides, problems: self.problems }
    }
}

/// What lies below a dataset. Names in order need not stand together: `a b` comes between `a` and `a/b`.
fn children<'a>(
    names: &BTreeSet<&'a DatasetName>,
    parent: &DatasetName,
) -> impl Iterator<Item = &'a DatasetName> {
    let within = |name: &&&DatasetName| **name != parent && name.is_within(parent);
    names.iter().filter(within).copied().collect::<Vec<_>>().into_iter()
}

impl Effective {
    /// For JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let settings: serde_json::Map<String, serde_json::Value> = Key::all()
            .filter_map(|key| {
                let given = self.settings.get(key)?;
                let value = json!({ "value": given.value.to_json(), "origin": given.origin.to_json() });
                Some((key.to_string(), value))
            })
            .collect();
        json!({
            "dataset": self.dataset.as_str(),
            "exists": self.exists,
            "snapshot": self.policy.snapshot,
            "prune": self.policy.prune,
            "monitor": self.policy.monitor.on,
            "together_with": self.together.iter().map(DatasetName::as_str).collect::<Vec<_>>(),
            "said_by": self.said_by.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "settings": settings,
        })
    }
}

/// The style whose rules a policy has, as text.
#[must_use]
pub fn style_word(style: Style) -> &'static str {
    match style {
        Style::Ours => "replicator",
        Style::Sanoid => "sanoid",
    }
}
