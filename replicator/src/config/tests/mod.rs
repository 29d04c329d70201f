//! Whole configurations: what is refused, what they mean, and that what is imported means the same.

use std::path::Path;

use zfs_core::name::DatasetName;

use super::Config;
use super::dataset::Known;
use super::place::Source;
use super::problem::Problems;
use super::resolve::Effective;
use super::resolve::Resolved;

mod broken;
mod docs;
mod import;
mod native;
mod pairs;
mod receives;
mod sanoid;

fn ours(text: &str) -> (Config, Problems) {
    Config::parse(&[Source::new(Path::new("/etc/replicator/replicator.toml"), text)])
}

fn theirs(text: &str) -> (Config, Problems) {
    Config::parse_sanoid(&Source::new(Path::new("/etc/sanoid/sanoid.conf"), text), None)
}

fn good((config, problems): (Config, Problems)) -> Config {
    assert_eq!(problems.errors(), 0, "{}", problems.render());
    config
}

fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

fn known(names: &[&str]) -> Vec<Known> {
    names.iter().map(|text| Known::new(name(text))).collect()
}

fn of<'a>(resolved: &'a Resolved, dataset: &str) -> &'a Effective {
    resolved.datasets.get(&name(dataset)).unwrap_or_else(|| panic!("{dataset} has no policy"))
}
