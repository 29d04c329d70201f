//! The examples of the documentation are configurations that can be used.

use super::good;
use super::known;
use super::name;
use super::of;
use super::ours;
use super::theirs;

const MANUAL: &str = include_str!("../../../../docs/configuration.md");
const EXAMPLE: &str = include_str!("../../../../docs/replicator.toml");
const QUICK_START: &str = include_str!("../../../../docs/quick-start.md");
const PAIR: &str = include_str!("../../../../docs/pair.md");
const PAIR_FILE: &str = include_str!("../../../../docs/pair.toml");
const PACKAGED: &str = include_str!("../../../../packaging/etc/replicator.toml");

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

#[test]
fn the_configurations_of_the_other_pages_are_good() {
    for page in [QUICK_START, PAIR] {
        let mut tried = 0;
        for text in page.split("\n```").filter_map(|part| part.strip_prefix("toml\n")) {
            let (config, problems) = ours(text);
            assert!(problems.is_empty(), "{text}\n{}", problems.render());
            let says =
                [!config.policies.entries.is_empty(), !config.jobs.is_empty(), config.notify.is_some()];
            assert!(says.contains(&true), "{text}");
            tried += 1;
        }
        assert!(tried >= 1);
    }
}

#[test]
fn the_example_of_a_pair_is_what_its_page_shows_and_its_timers_are_often_enough() {
    let shown = PAIR.split("\n```").find_map(|part| part.strip_prefix("toml\n")).expect("an example");
    let lines: Vec<_> = PAIR_FILE.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.join("\n").trim(), shown.trim());
    let config = good(ours(PAIR_FILE));
    let [pair] = config.pairs.as_slice() else { panic!("{} pairs", config.pairs.len()) };
    let roots = ["zpool1/data-nfs-share", "zpool1/pbs-backups", "zpool2/photos", "zpool2/storage"];
    assert_eq!(pair.roots, roots.map(name));
    assert!(matches!(pair.decider, crate::config::pair::Decider::Proxmox { guest: 103, .. }));
    // Both timers of the page: one that takes, and one that sends.
    assert_eq!(PAIR.matches("/10\nEOF").count(), 2);
    let resolved = config.policies.resolve(&known(&roots));
    for root in roots {
        let every = of(&resolved, root).policy.schedule.frequently.expect("every few minutes");
        assert_eq!(crate::policy::Period::Frequently.seconds(every), 600, "{root}");
    }
}

#[test]
fn the_packaged_file_does_nothing_and_what_it_shows_is_good() {
    let (config, problems) = ours(PACKAGED);
    assert!(problems.is_empty(), "{}", problems.render());
    assert!(config.policies.entries.is_empty() && config.jobs.is_empty() && config.pairs.is_empty());
    let shown: Vec<_> = PACKAGED
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.starts_with('[') || line.contains(" = "))
        .collect();
    let (config, problems) = ours(&shown.join("\n"));
    assert!(problems.is_empty(), "{}", problems.render());
    assert_eq!((config.policies.entries.len(), config.jobs.len()), (1, 1));
}
