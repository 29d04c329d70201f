//! What a sanoid.conf means.

use std::path::Path;

use super::super::key::Key;
use super::super::value::Value;
use super::Config;
use super::Source;
use super::good;
use super::known;
use super::name;
use super::of;
use super::theirs;
use crate::policy::Period;
use crate::policy::Style;

/// The defaults of sanoid 2.3, written down a second time.
#[test]
fn the_defaults_are_those_of_sanoid() {
    let resolved = good(theirs("[tank]\n")).policies.resolve(&[]);
    let settings = &of(&resolved, "tank").settings;
    let text = |key: &str| {
        let key = Key::all().find(|known| known.to_string() == key).unwrap_or_else(|| panic!("no {key}"));
        settings.get(key).map(|given| given.value.to_string())
    };
    for (key, value) in [
        ("snapshot", "true"),
        ("prune", "true"),
        ("monitor", "true"),
        ("monitor_warn", "true"),
        ("monitor_critical", "true"),
        ("children_only", "false"),
        ("frequently.keep", "0"),
        ("hourly.keep", "48"),
        ("daily.keep", "90"),
        ("weekly.keep", "0"),
        ("monthly.keep", "6"),
        ("yearly.keep", "0"),
        ("frequently.every", "\"15m\""),
        ("hourly.minute", "0"),
        ("daily.hour", "23"),
        ("daily.minute", "59"),
        ("weekly.weekday", "\"monday\""),
        ("weekly.hour", "23"),
        ("weekly.minute", "30"),
        ("monthly.day", "1"),
        ("monthly.hour", "0"),
        ("monthly.minute", "0"),
        ("yearly.month", "1"),
        ("yearly.day", "1"),
        ("yearly.hour", "0"),
        ("yearly.minute", "0"),
        ("frequently.warn", "\"0s\""),
        ("frequently.critical", "\"0s\""),
        ("hourly.warn", "\"90m\""),
        ("hourly.critical", "\"6h\""),
        ("daily.warn", "\"28h\""),
        ("daily.critical", "\"32h\""),
        ("weekly.warn", "\"0s\""),
        ("weekly.critical", "\"0s\""),
        ("monthly.warn", "\"32d\""),
        ("monthly.critical", "\"40d\""),
        ("yearly.warn", "\"0s\""),
        ("yearly.critical", "\"0s\""),
        ("prune_above", "0"),
        ("capacity_warn", "80"),
        ("capacity_critical", "95"),
        ("pre_snapshot.timeout", "\"5s\""),
        ("pre_snapshot.on_failure", "\"continue\""),
        ("pre_prune.on_failure", "\"stop\""),
        ("post_snapshot.always", "false"),
    ] {
        assert_eq!(text(key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(text("pre_snapshot.run"), None);
}

fn count(config: &Config, datasets: &[&str], dataset: &str, period: Period) -> Option<u32> {
    let resolved = config.policies.resolve(&known(datasets));
    let effective = of(&resolved, dataset);
    effective.policy.retention.periods[period].map(|keep| keep.count)
}

#[test]
fn defaults_templates_and_the_section_lie_over_each_other() {
    let text = "\
[template_default]
hourly = 1
daily = 1
weekly = 1
monthly = 1
recursive = yes
[tank]
use_template = a , b
hourly = 4
[template_a]
daily = 2
weekly = 2
use_template = b
[template_b]
weekly = 3
";
    let (config, problems) = theirs(text);
    assert_eq!(problems.errors(), 0, "{}", problems.render());
    let ignored: Vec<_> = problems.iter().map(|problem| problem.message.clone()).collect();
    assert_eq!(ignored.len(), 2, "{ignored:?}");
    assert_eq!(config.style, Style::Sanoid);
    for (period, expected) in [
        (Period::Hourly, 4),
        (Period::Daily, 2),
        (Period::Weekly, 3),
        (Period::Monthly, 1),
        (Period::Yearly, 0),
    ] {
        assert_eq!(count(&config, &["tank"], "tank", period), Some(expected), "{period}");
    }
    // The recursion of a template counts for nothing.
    assert_eq!(config.policies.resolve(&known(&["tank", "tank/a"])).datasets.len(), 1);
}

#[test]
fn a_child_is_changed_by_its_section_and_does_not_begin_anew() {
    let text = "\
[tank]
use_template = p
recursive = yes
process_children_only = yes
[tank/a]
daily = 3
[template_p]
hourly = 7
daily = 7
";
    let config = good(theirs(text));
    let datasets = ["tank", "tank/a", "tank/a/b", "tank/c"];
    assert_eq!(count(&config, &datasets, "tank/a", Period::Daily), Some(3));
    assert_eq!(count(&config, &datasets, "tank/a", Period::Hourly), Some(7));
    assert_eq!(count(&config, &datasets, "tank/a/b", Period::Daily), Some(7));
    let resolved = config.policies.resolve(&known(&datasets));
    let snapped: Vec<_> = resolved
        .datasets
        .values()
        .filter(|one| one.policy.snapshot)
        .map(|one| one.dataset.to_string())
        .collect();
    assert_eq!(snapped, ["tank/a", "tank/a/b", "tank/c"]);
}

#[test]
fn a_parent_after_its_child_wins() {
    let text = "[tank/a]\nhourly = 3\nprocess_children_only = yes\n[tank]\nrecursive = yes\n";
    let (config, problems) = theirs(text);
    assert!(problems.render().contains("overridden"), "{}", problems.render());
    assert_eq!(count(&config, &["tank", "tank/a"], "tank/a", Period::Hourly), Some(48));
    // That is not copied, and stays.
    assert!(!of(&config.policies.resolve(&known(&["tank", "tank/a"])), "tank/a").policy.snapshot);
}

#[test]
fn recursion_by_zfs_takes_everything_below_in_one() {
    let text = "\
[tank]
recursive = ZFS
hourly = 2
[tank/a]
autosnap = yes
hourly = 1
[tank/b]
skip_children = yes
";
    let config = good(theirs(text));
    let resolved = config.policies.resolve(&known(&["tank", "tank/a", "tank/a/x", "tank/b", "tank/b/y"]));
    let tank = of(&resolved, "tank");
    let together: Vec<_> = tank.together.iter().map(ToString::to_string).collect();
    // One call takes them all, also those without a policy.
    assert_eq!(together, ["tank/a", "tank/a/x", "tank/b", "tank/b/y"]);
    let a = of(&resolved, "tank/a");
    assert!(!a.policy.snapshot && a.policy.prune);
    assert_eq!(a.policy.retention.periods[Period::Hourly].map(|keep| keep.count), Some(1));
    assert!(!resolved.datasets.contains_key(&name("tank/b/y")));
    assert_eq!(resolved.problems.iter().count(), 1);
}

#[test]
fn keys_of_scripts_and_monitoring_reach_the_policy() {
    let text = "\
[a]
path = tank/data
pre_snapshot_script = /bin/freeze now
pruning_script = /bin/log
script_timeout = 0
no_inconsistent_snapshot = yes
force_post_snapshot_script = On
frequently = 4
frequent_period = 5
weekly_wday = 0
monitor_dont_crit = yes
capacity_warn = 0
daily_warn = 2d
prune_defer = 60
";
    let resolved = good(theirs(text)).policies.resolve(&[]);
    let policy = &of(&resolved, "tank/data").policy;
    let pre = policy.hooks.pre_snapshot.as_ref().expect("set");
    assert_eq!((pre.timeout, pre.on_failure), (None, super::super::value::OnFailure::Stop));
    assert!(policy.hooks.post_prune.is_some() && policy.hooks.post_snapshot_always);
    assert_eq!(policy.schedule.frequently.map(crate::policy::Every::minutes), Some(5));
    assert!(policy.schedule.weekly.is_none());
    assert!(policy.monitor.warn && !policy.monitor.critical);
    assert_eq!(policy.monitor.capacity_warn, 0);
    assert_eq!(policy.monitor.periods[Period::Daily].and_then(|fresh| fresh.warn), Some(2 * 86_400));
    assert_eq!(policy.retention.defer.percent(), 60);
    assert_eq!(policy.naming.style, Style::Sanoid);
}

#[test]
fn a_file_of_defaults_changes_what_is_known() {
    let main = |text: &str| Source::new(Path::new("/etc/sanoid/sanoid.conf"), text);
    let defaults = |text: &str| Source::new(Path::new("/etc/sanoid/sanoid.defaults.conf"), text);
    let text = "[version]\nversion = 2\n[template_default]\nhourly = 5\nautosnap = no\nuse_template =\nmin_percent_free = 10\n";
    let (config, problems) = Config::parse_sanoid(&main("[tank]\n"), Some(&defaults(text)));
    assert_eq!((problems.errors(), problems.iter().count()), (0, 1), "{}", problems.render());
    let resolved = config.policies.resolve(&[]);
    let tank = of(&resolved, "tank");
    assert_eq!(
        tank.settings.get(Key::Keep(Period::Hourly)).map(|given| given.value.clone()),
        Some(Value::Number(5))
    );
    assert!(!tank.policy.snapshot);
    // A key that its defaults do not have is one that sanoid does not know.
    let (_, problems) = Config::parse_sanoid(&main("[tank]\ndaily = 1\n"), Some(&defaults(text)));
    assert!(problems.render().contains("sanoid.conf:2:1: unknown key `daily`"), "{}", problems.render());
    let (_, problems) =
        Config::parse_sanoid(&main("[tank]\n"), Some(&defaults("[template_default]\nhourly = 5\n")));
    assert!(problems.errors() == 1 && problems.render().contains("version"), "{}", problems.render());
}
