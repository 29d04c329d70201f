//! The examples of the documentation are configurations that can be used.

use super::good;
use super::known;
use super::ours;
use super::theirs;

const MANUAL: &str = include_str!("../../../../docs/configuration.md");
const EXAMPLE: &str = include_str!("../../../../docs/replicator.toml");

#[test]
fn every_example_of_the_manual_is_good() {
    let (mut toml, mut ini) = (0, 0);
    for part in MANUAL.split("\n```").skip(1) {
        if let Some(text) = part.strip_prefix("toml\n") {
            let (_, problems) = ours(text);
            assert!(problems.is_empty(), "{text}\n{}", problems.render());
            toml += 1;
        } else if let Some(text) = part.strip_prefix("ini\n") {
            good(theirs(text));
            ini += 1;
        }
    }
    assert!(toml >= 6 && ini >= 1, "{toml} {ini}");
}

#[test]
fn every_setting_is_in_the_manual() {
    for key in super::super::key::Key::all() {
        assert!(MANUAL.contains(&format!("`{}`", key.word())), "{key} is not in the manual");
    }
}

#[test]
fn the_example_file_is_good() {
    let (config, problems) = ours(EXAMPLE);
    assert!(problems.is_empty(), "{}", problems.render());
    assert!(!config.jobs.is_empty());
    let resolved = config.policies.resolve(&known(&["tank", "tank/data", "tank/data/a", "tank/scratch"]));
    assert!(resolved.datasets.len() >= 2 && resolved.problems.is_empty(), "{}", resolved.problems.render());
}
