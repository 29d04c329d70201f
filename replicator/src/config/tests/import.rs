//! What is imported means the same, whatever the file says; and neither reader falls over what it is given.

use std::path::Path;

use proptest::prelude::*;

use super::super::dataset::Policy;
use super::super::import::write;
use super::Source;
use super::known;
use super::ours;
use super::theirs;
use crate::policy::Style;

/// Every dataset that the generated files name, and some that they do not.
const DATASETS: [&str; 9] =
    ["tank", "tank/a", "tank/a/x", "tank/a/x/y", "tank/b", "tank/b/z", "tank c", "other", "other/d"];

/// What can be compared: whose rules hold differs.
fn comparable(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    policy.naming.style = Style::Ours;
    policy
}

/// Imports the file and compares what both say about every dataset.
fn same(text: &str) -> Result<(), TestCaseError> {
    let (config, problems) = theirs(text);
    prop_assert_eq!(problems.errors(), 0, "{}\n{}", text, problems.render());
    let written = write(&config, &problems);
    let (imported, more) = ours(&written);
    prop_assert_eq!(more.errors(), 0, "{}\n{}\n{}", text, written, more.render());
    let datasets = known(&DATASETS);
    let (before, after) = (config.policies.resolve(&datasets), imported.policies.resolve(&datasets));
    prop_assert_eq!(before.datasets.keys().collect::<Vec<_>>(), after.datasets.keys().collect::<Vec<_>>());
    for (name, one) in &before.datasets {
        let other = &after.datasets[name];
        prop_assert_eq!(
            comparable(&one.policy),
            comparable(&other.policy),
            "{}\n{}\n{}",
            name,
            text,
            written
        );
        prop_assert_eq!((&one.together, one.exists), (&other.together, other.exists), "{}", name);
    }
    Ok(())
}

fn word(words: &'static [&'static str]) -> BoxedStrategy<String> {
    prop::sample::select(words).prop_map(str::to_string).boxed()
}

/// A key that a template may have, with a value that sanoid takes.
fn setting() -> impl Strategy<Value = String> {
    let boolean = || word(&["yes", "no", "1", "0", "True", "OFF", ""]);
    let pair =
        |key: String, value: BoxedStrategy<String>| value.prop_map(move |value| format!("{key} = {value}"));
    let booleans = prop::sample::select(vec![
        "autosnap",
        "autoprune",
        "monitor",
        "monitor_dont_warn",
        "monitor_dont_crit",
        "process_children_only",
        "no_inconsistent_snapshot",
        "force_post_snapshot_script",
    ])
    .prop_flat_map(move |key| pair(key.to_string(), boolean()));
    let counts = prop::sample::select(vec!["frequently", "hourly", "daily", "weekly", "monthly", "yearly"])
        .prop_flat_map(move |key| pair(key.to_string(), (0u32..200).prop_map(|n| n.to_string()).boxed()));
    let numbers = prop::sample::select(vec![
        ("hourly_min", 0u32, 59u32),
        ("daily_hour", 0, 23),
        ("daily_min", 0, 59),
        ("weekly_wday", 0, 6),
        ("weekly_hour", 0, 23),
        ("monthly_mday", 1, 31),
        ("yearly_mon", 1, 12),
        ("yearly_mday", 1, 28),
        ("frequent_period", 1, 60),
        ("prune_defer", 0, 100),
        ("capacity_warn", 0, 100),
        ("capacity_crit", 0, 100),
        ("script_timeout", 0, 600),
    ])
    .prop_flat_map(move |(key, least, most)| {
        pair(key.to_string(), (least..=most).prop_map(|n| n.to_string()).boxed())
    });
    let ages = prop::sample::select(vec![
        "hourly_warn",
        "hourly_crit",
        "daily_warn",
        "daily_crit",
        "monthly_warn",
        "yearly_crit",
    ])
    .prop_flat_map(move |key| pair(key.to_string(), word(&["0", "90", "5400s", "36H", "2d", "1w", "1y"])));
    let scripts = prop::sample::select(vec![
        "pre_snapshot_script",
        "post_snapshot_script",
        "pre_pruning_script",
        "pruning_script",
    ])
    .prop_flat_map(move |key| pair(key.to_string(), word(&["", "/bin/true", "echo \"a\\b\" # 'c'", "x\ty"])));
    prop_oneof![booleans, counts, numbers, ages, scripts]
}

fn settings() -> impl Strategy<Value = String> {
    prop::collection::vec(setting(), 0..6).prop_map(|lines| lines.join("\n"))
}

fn file() -> impl Strategy<Value = String> {
    let recursion = word(&[
        "",
        "recursive = yes\n",
        "recursive = zfs\n",
        "recursive = no\n",
        "skip_children = yes\n",
        "recursive = yes\nskip_children = 1\n",
    ]);
    let uses = word(&["", "use_template = a\n", "use_template = a, b\n", "use_template = b,default\n"]);
    let section = (prop::sample::select(&DATASETS[..]), recursion, uses, settings());
    let sections = prop::collection::vec(section, 1..6);
    (sections, settings(), settings(), settings()).prop_map(|(sections, a, b, default)| {
        let mut text = String::new();
        for (name, recursion, uses, settings) in sections {
            text.push_str(&format!("[{name}]\n{recursion}{uses}{settings}\n"));
        }
        text + &format!("[template_a]\n{a}\n[template_b]\n{b}\n[template_default]\n{default}\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn an_imported_file_gives_every_dataset_the_same_policy(text in file()) {
        same(&text)?;
    }

    #[test]
    fn neither_reader_falls_over_what_it_is_given(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        anything(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn nor_over_what_is_almost_a_configuration(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40),
        other in any::<char>(),
    ) {
        anything(&pieces.concat().replace('~', &other.to_string()));
    }
}

const PIECES: [&str; 36] = [
    "[template.a]\n",
    "[[dataset]]\n",
    "[[replication]]\n",
    "[[replication.target]]\n",
    "[defaults]\n",
    "[replication.target.retention]\n",
    "name = ",
    "to = ",
    "source = ",
    "use = ",
    "daily = ",
    "grid = ",
    "recursive = ",
    "pattern = ",
    "property = ",
    "[tank]\n",
    "[template_a]\n",
    "use_template = ",
    "hourly_warn = ",
    "\"tank\"",
    "\"~\"",
    "\"a:b\"",
    "{ keep = 1, warn = \"~h\" }",
    "[1, ~]",
    "true",
    "-1",
    "\n",
    "~",
    "=",
    "[",
    "]",
    "#",
    "<<X\n",
    "X\n",
    "pre_snapshot = ",
    "zfs",
];

fn anything(text: &str) {
    for (config, problems) in [ours(text), theirs(text)] {
        let _ = problems.render();
        let _ = config.policies.resolve(&known(&DATASETS));
        let _ = write(&config, &problems);
    }
}

#[test]
fn what_cannot_be_carried_over_stands_in_comments() {
    let text = "\
[backup]
path = tank/b
daily = 3
daily = 4
[tank/a]
use_template = odd name
hourly_warn = 8h
hourly_crit = 6h
[template_odd name]
recursive = yes
pre_snapshot_script = /bin/x \"y\"
";
    let (config, problems) = theirs(text);
    let written = write(&config, &problems);
    assert_eq!(ours(&written).1.errors(), 0, "{written}");
    for note in [
        "sanoid.conf:4:1: `daily` was given already",
        "`recursive` has no effect in [template_odd name]",
        "`hourly_warn` is longer",
    ] {
        let joined = written.replace("\n# ", " ");
        assert!(joined.contains(note), "{note} is not in:\n{written}");
    }
    for line in [
        "name = \"tank/b\"",
        "[template.\"odd name\"]",
        "hourly = { warn = \"8h\", critical = \"6h\" }",
        "run = \"/bin/x \\\"y\\\"\"",
    ] {
        assert!(written.contains(line), "{line} is not in:\n{written}");
    }
}

#[test]
fn deep_nesting_is_refused() {
    let deep = format!("a = {}", "[".repeat(100_000));
    let (_, problems) = super::Config::parse(&[Source::new(Path::new("/x"), deep)]);
    assert!(problems.errors() > 0);
    let keys = format!("{}a = 1", "a.".repeat(100_000));
    assert!(super::Config::parse(&[Source::new(Path::new("/x"), keys)]).1.errors() > 0);
}
