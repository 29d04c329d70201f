//! A survey of a machine that is a table in memory.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

use zfs_core::DatasetKind;
use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::DatasetName;

use super::*;
use crate::config::place::Source;

/// Pools by name; a dataset is a name below its pool and its snapshots: name and number, which is guid, txg and date.
#[derive(Default)]
struct Table {
    pools: BTreeMap<&'static str, Vec<(&'static str, Vec<u64>)>>,
    /// Cannot be listed.
    broken: BTreeSet<&'static str>,
    /// Gone when its snapshots are asked for.
    gone: BTreeSet<&'static str>,
    /// The dataset and the snapshot it is a clone of.
    clone: Option<(&'static str, &'static str)>,
    asked: std::cell::RefCell<Vec<String>>,
}

fn error(subject: &DatasetName) -> SurveyError {
    SurveyError::Missing { subject: subject.to_string(), property: "written" }
}

impl Lister for Table {
    fn pools(&self) -> Result<Vec<DatasetName>, SurveyError> {
        Ok(self.pools.keys().map(|pool| pool.parse().expect("a pool")).collect())
    }

    fn datasets(&self, pool: &DatasetName, properties: &BTreeSet<&str>) -> Result<Vec<Listed>, SurveyError> {
        self.asked.borrow_mut().push(pool.to_string());
        if self.broken.contains(pool.as_str()) {
            return Err(error(pool));
        }
        let listed = |(name, _): &(&str, Vec<u64>)| Listed {
            known: Known {
                name: name.parse().expect("a name"),
                properties: properties.iter().map(|key| (key.to_string(), name.to_string())).collect(),
            },
            guid: Guid(name.len() as u64),
            kind: DatasetKind::Filesystem,
            written: 0,
            origin: self.clone.filter(|(clone, _)| clone == name).map(|(_, of)| of.parse().expect("a name")),
        };
        Ok(self.pools[pool.as_str()].iter().map(listed).collect())
    }

    fn snapshots(&self, dataset: &DatasetName) -> Result<Option<Vec<ListedSnapshot>>, SurveyError> {
        self.asked.borrow_mut().push(format!("{dataset}@"));
        if self.broken.contains(dataset.as_str()) {
            return Err(error(dataset));
        }
        if self.gone.contains(dataset.as_str()) {
            return Ok(None);
        }
        let (_, numbers) =
            self.pools[dataset.pool()].iter().find(|(name, _)| *name == dataset.as_str()).expect("listed");
        let one = |number: &u64| {
            let name = dataset.snapshot(&number.to_string()).expect("a name");
            let is_origin = self.clone.is_some_and(|(_, of)| of == name.as_str());
            ListedSnapshot {
                clones: u64::from(is_origin),
                holds: u64::from(*number == 3),
                snapshot: Snapshot {
                    name,
                    guid: Guid(*number),
                    createtxg: Txg(*number),
                    creation: i64::try_from(*number).expect("a date"),
                },
            }
        };
        Ok(Some(numbers.iter().map(one).collect()))
    }

    fn capacity(&self, _: &DatasetName) -> Result<Option<u8>, SurveyError> {
        Ok(Some(42))
    }
}

fn config(text: &str) -> Config {
    let (config, problems) = Config::parse(&[Source::new(Path::new("x.toml"), text.to_string())]);
    assert_eq!(problems.errors(), 0, "{}", problems.render());
    config
}

fn table() -> Table {
    let tank = vec![("tank", vec![]), ("tank/a", vec![2, 3, 1]), ("tank/a/b", vec![4]), ("tank/c", vec![])];
    let pools = BTreeMap::from([("tank", tank), ("other", vec![("other", vec![]), ("other/x", vec![9])])]);
    Table { pools, ..Table::default() }
}

fn names(survey: &Survey) -> Vec<&str> {
    survey.datasets.keys().map(DatasetName::as_str).collect()
}

#[test]
fn only_pools_and_datasets_that_policies_are_about_are_listed() {
    let table = Table { clone: Some(("tank/c", "tank/a@2")), ..table() };
    let survey =
        Survey::new(&table, &config("[[dataset]]\nname = \"tank/a\"\nrecursive = true\ndaily = 3\n"));
    let survey = survey.expect("listed");
    assert_eq!(names(&survey), ["tank/a", "tank/a/b"]);
    assert_eq!(
        *table.asked.borrow(),
        ["tank", "tank/a@", "tank/a/b@"],
        "one pass, and nothing of the other pool"
    );
    assert!(survey.troubles.is_empty());
    assert_eq!(survey.capacity, BTreeMap::from([("tank".to_string(), 42)]));
    let a = &survey.datasets["tank/a"];
    assert_eq!(a.snapshots.iter().map(|one| one.guid.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(a.held, BTreeSet::from([Guid(3)]));
    assert_eq!(a.cloned, BTreeMap::from([(Guid(2), Some("tank/c".parse().expect("a name")))]));
    assert_eq!(survey.each().count(), 2);
}

#[test]
fn a_pool_that_is_not_there_is_trouble_and_no_empty_list() {
    let config = config("[[dataset]]\nname = [\"gone/a\", \"tank/c\", \"tank/none\"]\ndaily = 3\n");
    let survey = Survey::new(&table(), &config).expect("the others go on");
    assert_eq!(names(&survey), ["tank/c"]);
    let missing: Vec<_> = survey.missing().map(|effective| effective.dataset.as_str()).collect();
    assert_eq!(missing, ["tank/none"], "what is not known to exist is not missing");
    let name = "gone/a".parse().expect("a name");
    let trouble = survey.trouble(&name).expect("the pool is not there");
    assert!(matches!(trouble.error, SurveyError::NotImported { .. }), "{}", trouble.error);
    assert!(trouble.error.hint().is_some_and(|hint| hint.contains("zpool import gone")));
    assert_eq!(survey.troubles.len(), 1);
}

#[test]
fn what_cannot_be_listed_is_left_out_and_the_others_go_on() {
    let config = config("[[dataset]]\npattern = \"**\"\ndaily = 3\n");
    let broken = Table { broken: BTreeSet::from(["other", "tank/a"]), ..table() };
    let survey = Survey::new(&broken, &config).expect("the others go on");
    assert_eq!(names(&survey), ["tank", "tank/a/b", "tank/c"]);
    let subjects: Vec<_> = survey.troubles.iter().map(|one| one.subject.as_str()).collect();
    assert_eq!(subjects, ["other", "tank/a"]);
    assert_eq!(survey.missing().count(), 0);
    assert!(survey.trouble(&"other/x".parse().expect("a name")).is_some());
    assert!(survey.trouble(&"tank/a/b".parse().expect("a name")).is_none());
}

#[test]
fn one_that_goes_away_meanwhile_is_not_there() {
    let config = config("[[dataset]]\npattern = \"tank/*\"\ndaily = 3\n");
    let survey =
        Survey::new(&Table { gone: BTreeSet::from(["tank/a"]), ..table() }, &config).expect("listed");
    assert_eq!(names(&survey), ["tank/c"]);
    assert!(survey.troubles.is_empty());
    assert_eq!(survey.each().count(), 1);
}

#[test]
fn a_pattern_of_one_pool_lists_no_other() {
    for (select, pools) in [
        ("pattern = \"tank/*\"", vec!["tank"]),
        ("pattern = [\"tank/*\", \"none/**\"]", vec!["tank"]),
        ("pattern = \"t*/a\"", vec!["other", "tank"]),
        ("pattern = \"{other,tank}/a\"", vec!["other", "tank"]),
        ("property = \"a:b\"", vec!["other", "tank"]),
    ] {
        let table = table();
        let survey =
            Survey::new(&table, &config(&format!("[[dataset]]\n{select}\ndaily = 3\n"))).expect("listed");
        let asked = table.asked.borrow();
        let listed: Vec<_> = asked.iter().filter(|one| !one.ends_with('@')).map(String::as_str).collect();
        assert_eq!(listed, pools, "{select}");
        assert!(survey.troubles.is_empty(), "a pattern names no pool: {select}");
    }
}

#[test]
fn what_was_set_aside_is_not_even_listed_unless_it_is_named() {
    let aside = "tank/a_diverged_20261122T181500Z";
    let mut table = table();
    table.pools.get_mut("tank").expect("a pool").push((aside, vec![7]));
    let all = config("[[dataset]]\nname = \"tank\"\nrecursive = true\ndaily = 3\n");
    let survey = Survey::new(&table, &all).expect("listed");
    assert_eq!(names(&survey), ["tank", "tank/a", "tank/a/b", "tank/c"]);
    let asides: Vec<_> = survey.resolved.asides.iter().map(DatasetName::as_str).collect();
    assert_eq!(asides, [aside]);
    assert!(!table.asked.borrow().iter().any(|one| one.contains("diverged")));
    let named = config(&format!("[[dataset]]\nname = \"{aside}\"\ndaily = 3\n"));
    assert_eq!(names(&Survey::new(&table, &named).expect("listed")), [aside]);
}
