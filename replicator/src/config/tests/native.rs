//! What our own files mean.

use std::path::Path;

use super::super::dataset::Freshness;
use super::super::job::Carrier;
use super::super::job::Pruner;
use super::super::key::Key;
use super::super::settings::Part;
use super::super::value::Command;
use super::super::value::OnFailure;
use super::Config;
use super::Source;
use super::good;
use super::known;
use super::name;
use super::of;
use super::ours;
use crate::policy::Keep;
use crate::policy::Period;

#[test]
fn who_is_told_is_read_as_written() {
    assert_eq!(good(ours("")).notify, None);
    let notify = |text: &str| good(ours(&format!("[notify]\n{text}"))).notify.expect("somebody");
    let all = notify(
        "mail = \"root\"\nwebhook = \"http://127.0.0.1:1/x\"\ncommand = \"tell\"\ncooldown = \"5m\"\n",
    );
    assert_eq!(all.command, Some(Command::Shell("tell".to_string())));
    assert_eq!((all.mail, all.cooldown), (vec!["root".to_string()], 300));
    assert_eq!(all.webhook.as_deref(), Some("http://127.0.0.1:1/x"));
    let one = notify("mail = [\"ann@example.org\", \"root\"]\n");
    assert_eq!((one.mail.len(), one.command, one.webhook, one.cooldown), (2, None, None, 3600));
}

#[test]
fn nothing_is_taken_or_destroyed_that_nobody_asked_for() {
    let config = good(ours("[[dataset]]\nname = \"tank\"\ndaily = 7\n"));
    let resolved = config.policies.resolve(&known(&["tank", "tank/a", "other"]));
    assert_eq!(resolved.datasets.len(), 1);
    let tank = of(&resolved, "tank");
    for period in Period::ALL {
        assert_eq!(tank.policy.schedule.takes(period), period == Period::Daily);
        let keep = tank.policy.retention.periods[period];
        assert_eq!(keep.map(|keep| keep.count), (period == Period::Daily).then_some(7));
    }
    assert!(tank.policy.snapshot && tank.policy.prune && tank.policy.monitor.on && tank.exists);
    assert_eq!(tank.policy.schedule.daily.map(|time| time.to_string()), Some("23:59".to_string()));
    assert_eq!(tank.policy.naming.zone.to_string(), "UTC");
}

#[test]
fn later_says_over_earlier_and_each_value_knows_where_it_is_from() {
    let text = "\
[defaults]
daily = 1
hourly = 1
weekly = 1
[template.a]
daily = 2
monthly = 2
[template.b]
monthly = 3
[[dataset]]
name = 'tank'
use = ['a', 'b']
recursive = true
yearly = 4
[[dataset]]
name = 'tank/x'
hourly = 5
";
    let config = good(ours(text));
    let resolved = config.policies.resolve(&known(&["tank", "tank/x"]));
    let x = of(&resolved, "tank/x");
    let counts = |period| x.policy.retention.periods[period].map(|keep| keep.count);
    let found: Vec<_> = Period::ALL.into_iter().map(counts).collect();
    // Yearly, monthly, weekly, daily, hourly, frequently.
    assert_eq!(found, [Some(4), Some(3), Some(1), Some(2), Some(5), None]);
    let shown = |key| x.settings.get(key).expect("set").origin.to_string();
    let file = "/etc/replicator/replicator.toml";
    assert_eq!(shown(Key::Keep(Period::Weekly)), format!("defaults, {file}:4, inherited from tank"));
    assert_eq!(shown(Key::Keep(Period::Monthly)), format!("template b, {file}:9, inherited from tank"));
    assert_eq!(shown(Key::Keep(Period::Yearly)), format!("own, {file}:14, inherited from tank"));
    assert_eq!(shown(Key::Keep(Period::Hourly)), format!("own, {file}:17"));
    assert_eq!(shown(Key::Snapshot), "default");
    let lines: Vec<_> = x.said_by.iter().map(|place| place.line).collect();
    assert_eq!(lines, [10, 15]);
    let json = x.to_json();
    assert_eq!(json["settings"]["monthly.keep"]["origin"]["template"], "b");
    assert_eq!(json["settings"]["monthly.keep"]["value"], 3);
}

#[test]
fn patterns_and_properties_select_what_exists() {
    let text = "\
[[dataset]]
pattern = ['tank/vm-*', 'back/**']
daily = 1
[[dataset]]
property = 'replicator:policy'
value = 'gold'
hourly = 2
[[dataset]]
property = 'replicator:any'
weekly = 3
";
    let config = good(ours(text));
    assert_eq!(
        config.policies.properties().into_iter().collect::<Vec<_>>(),
        ["replicator:any", "replicator:policy"]
    );
    let mut datasets = known(&["tank", "tank/vm-1", "tank/vm-1/swap", "back/a/b", "x", "y", "z"]);
    for (dataset, property, value) in [
        ("x", "replicator:policy", "gold"),
        ("y", "replicator:policy", "tin"),
        ("z", "replicator:any", "off"),
        ("tank", "replicator:any", "1"),
    ] {
        let found = datasets.iter_mut().find(|known| known.name == name(dataset)).expect("listed");
        found.properties.insert(property.to_string(), value.to_string());
    }
    let resolved = config.policies.resolve(&datasets);
    let names: Vec<_> = resolved.datasets.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["back/a/b", "tank", "tank/vm-1", "x"]);
    assert!(of(&resolved, "x").policy.schedule.takes(Period::Hourly));
}

#[test]
fn atomic_recursion_takes_all_together_but_what_is_excluded() {
    let text = "\
[[dataset]]
name = 'tank'
recursive = 'atomic'
exclude = ['tmp', 'vm/*/swap']
daily = 1
[[dataset]]
name = 'tank/vm'
snapshot = true
daily = 9
";
    let config = good(ours(text));
    let names = ["tank", "tank/vm", "tank/vm/1", "tank/vm/1/swap", "tank/tmp", "tank/tmp/x", "tank two"];
    let resolved = config.policies.resolve(&known(&names));
    let together: Vec<_> = of(&resolved, "tank").together.iter().map(ToString::to_string).collect();
    assert_eq!(together, ["tank/vm", "tank/vm/1"]);
    let vm = of(&resolved, "tank/vm");
    assert!(!vm.policy.snapshot && vm.policy.prune && vm.together.is_empty());
    assert_eq!(vm.policy.retention.periods[Period::Daily].map(|keep| keep.count), Some(9));
    assert!(!resolved.datasets.contains_key(&name("tank/tmp/x")));
    let said = resolved.problems.render();
    assert!(said.contains("tank/vm is to be snapshotted on its own"), "{said}");
}

#[test]
fn children_only_is_not_handed_down_and_skipped_children_have_no_policy() {
    let text = "\
[[dataset]]
name = 'tank'
recursive = true
children_only = true
daily = 1
[[dataset]]
name = 'tank/a'
skip_children = true
";
    let resolved = good(ours(text)).policies.resolve(&known(&["tank", "tank/a", "tank/a/b", "tank/c"]));
    let tank = of(&resolved, "tank");
    assert!(!tank.policy.snapshot && !tank.policy.prune && !tank.policy.monitor.on);
    assert!(of(&resolved, "tank/a").policy.snapshot && of(&resolved, "tank/c").policy.snapshot);
    assert!(!resolved.datasets.contains_key(&name("tank/a/b")));
}

#[test]
fn an_entry_that_cannot_count_is_told() {
    let text =
        "[[dataset]]\nname = 'tank/a'\ndaily = 1\n[[dataset]]\nname = 'tank'\nrecursive = true\ndaily = 2\n";
    let (config, problems) = ours(text);
    assert_eq!(problems.errors(), 0);
    let said = problems.render();
    assert!(said.contains("replicator.toml:1:1: what is said here about tank/a is overridden"), "{said}");
    let resolved = config.policies.resolve(&known(&["tank", "tank/a"]));
    let keep = of(&resolved, "tank/a").policy.retention.periods[Period::Daily];
    assert_eq!(keep.map(|keep| keep.count), Some(2));
}

#[test]
fn counts_and_ages_make_retention() {
    let text = "\
[template.t]
grid = '1h:24,1d:30'
keep_newest = 3
prune_above = 60
frequently = { keep = 4, every = '5m' }
hourly = { keep_for = '2d' }
daily = { keep = 7, keep_for = '30d' }
weekly = 2
monthly = { take = true }
yearly = 0
[[dataset]]
name = 'tank'
use = 't'
";
    let resolved = good(ours(text)).policies.resolve(&[]);
    let tank = of(&resolved, "tank");
    assert!(!tank.exists);
    let retention = &tank.policy.retention;
    const DAY: u64 = 86_400;
    assert_eq!(retention.periods[Period::Frequently], Some(Keep { count: 4, age: 4 * 300 }));
    assert_eq!(retention.periods[Period::Hourly], Some(Keep { count: 0, age: 2 * DAY }));
    assert_eq!(retention.periods[Period::Daily], Some(Keep { count: 7, age: 30 * DAY }));
    assert_eq!(retention.periods[Period::Weekly], Some(Keep { count: 2, age: 14 * DAY }));
    assert_eq!(retention.periods[Period::Monthly], None);
    assert_eq!(retention.periods[Period::Yearly], Some(Keep::NONE));
    assert_eq!((retention.newest, retention.defer.percent()), (3, 60));
    assert_eq!(retention.grid.as_ref().map(ToString::to_string).as_deref(), Some("1h:24,1d:30"));
    let taken: Vec<_> =
        Period::ALL.into_iter().filter(|period| tank.policy.schedule.takes(*period)).collect();
    assert_eq!(taken, [Period::Monthly, Period::Weekly, Period::Daily, Period::Hourly, Period::Frequently]);
    let watched = |period| tank.policy.monitor.periods[period];
    assert_eq!(watched(Period::Hourly), Some(Freshness { warn: Some(5400), critical: Some(21_600) }));
    assert_eq!(watched(Period::Weekly), Some(Freshness { warn: None, critical: None }));
    assert_eq!(watched(Period::Yearly), None);
}

#[test]
fn hooks_have_a_command_a_limit_and_a_meaning() {
    let text = "\
[template.t]
daily = 1
pre_snapshot = { run = ['/bin/freeze', 'a b'], timeout = '30s', on_failure = 'stop' }
post_snapshot = { run = 'thaw && log', timeout = '0', always = true }
pre_prune = ''
[[dataset]]
name = 'tank'
use = 't'
post_prune = 'echo gone'
";
    let resolved = good(ours(text)).policies.resolve(&[]);
    let hooks = &of(&resolved, "tank").policy.hooks;
    let pre = hooks.pre_snapshot.as_ref().expect("set");
    assert_eq!(pre.command, Command::Program(vec!["/bin/freeze".to_string(), "a b".to_string()]));
    assert_eq!((pre.timeout, pre.on_failure), (Some(30), OnFailure::Stop));
    let post = hooks.post_snapshot.as_ref().expect("set");
    assert_eq!(post.command, Command::Shell("thaw && log".to_string()));
    assert_eq!((post.timeout, post.on_failure), (None, OnFailure::Continue));
    assert!(hooks.post_snapshot_always && hooks.pre_prune.is_none());
    assert_eq!(hooks.post_prune.as_ref().and_then(|hook| hook.timeout), Some(5));
}

#[test]
fn a_job_hands_its_way_and_limits_to_its_targets() {
    let text = "\
[template.backup]
daily = 90
monthly = 12
[[replication]]
name = 'offsite'
source = 'tank/data'
recursive = true
exclude = ['tmp']
include_snapshots = ['autosnap_*']
rate = '50MB'
jobs = 4
set = { compression = 'zstd' }
[replication.ssh]
port = 2222
identity = '/root/.ssh/backup'
[[replication.target]]
name = 'nas'
to = 'root@nas:backup/data'
lag_warn = '2h'
lag_critical = '6h'
[replication.target.retention]
use = 'backup'
yearly = 3
[[replication.target]]
to = 'usb/data'
optional = true
base_limit = '7d'
rate = '1GB'
[replication.target.ssh]
transport = 'ssh'
ssh_options = 'Compression=no'
";
    let config = good(ours(text));
    let job = &config.jobs[0];
    assert_eq!((job.name.as_str(), job.source.to_string().as_str()), ("offsite", "tank/data"));
    assert!(
        job.options.recursive
            && !job.options.datasets.select_dataset(&name("tank/data/tmp"), &name("tank/data"))
    );
    assert!(job.options.snapshots.select("autosnap_x") && !job.options.snapshots.select("other"));
    assert_eq!(job.options.set, [("compression".to_string(), "zstd".to_string())]);
    let [nas, usb] = job.targets.as_slice() else { panic!("two targets") };
    assert_eq!((nas.name.as_str(), nas.link.port, nas.pruner), ("nas", Some(2222), Pruner::Sender));
    assert_eq!((nas.limits.datasets, nas.limits.rate.map(std::num::NonZero::get)), (4, Some(50_000_000)));
    assert_eq!(nas.lag, Freshness { warn: Some(7200), critical: Some(21_600) });
    assert!(nas.base_limit.is_none() && nas.base_warn.is_none());
    let retention = nas.retention.as_ref().expect("given");
    let counts: Vec<_> =
        Period::ALL.into_iter().map(|period| retention.periods[period].map(|keep| keep.count)).collect();
    assert_eq!(counts, [Some(3), Some(12), None, Some(90), None, None]);
    assert_eq!((usb.name.as_str(), usb.optional, usb.pruner), ("usb/data", true, Pruner::Nobody));
    assert_eq!(usb.lag, Freshness { warn: None, critical: None });
    assert_eq!((usb.base_limit, usb.base_warn), (Some(7 * 86_400), Some(6 * 86_400)));
    assert_eq!((usb.link.carrier, usb.link.port), (Carrier::Ssh, Some(2222)));
    assert_eq!(usb.limits.rate.map(std::num::NonZero::get), Some(1_000_000_000));
}

#[test]
fn what_is_verified_is_said_by_the_target_and_else_by_the_job() {
    let verified = |job: &str, target: &str| {
        let text = format!(
            "[[replication]]\nname = 'a'\nsource = 'tank/a'\n{job}[[replication.target]]\nto = 'back/a'\n{target}"
        );
        good(ours(&text)).jobs[0].targets[0].verify
    };
    assert!(verified("", "") && verified("verify = true\n", "") && verified("", "optional = true\n"));
    assert!(!verified("verify = false\n", "") && !verified("verify = true\n", "verify = false\n"));
    assert!(verified("verify = false\n", "verify = true\n"));
}

#[test]
fn templates_and_entries_of_several_files_meet() {
    let file = |name: &str, text: &str| Source::new(Path::new(name), text);
    let (config, problems) = Config::parse(&[
        file("/a", "[[dataset]]\nname = 'tank'\nuse = 't'\n"),
        file("/b", "[template.t]\ndaily = 1\n"),
    ]);
    assert_eq!((problems.errors(), config.policies.entries.len()), (0, 1));
    let twice = "[defaults]\ndaily = 1\n[template.t]\ndaily = 2\n";
    let (_, problems) = Config::parse(&[file("/a", twice), file("/b", twice)]);
    let said = problems.render();
    assert!(said.contains("/b:1:2: [defaults] is in another file already, at /a:1:2"), "{said}");
    assert!(said.contains("/b:3:11: there is a template `t` already, at /a:3:11"), "{said}");
}

#[test]
fn the_origin_of_a_default_is_no_place() {
    let resolved = good(ours("[[dataset]]\nname = 'tank'\ndaily = 1\n")).policies.resolve(&[]);
    let tank = of(&resolved, "tank");
    let given = tank.settings.get(Key::CapacityWarn).expect("has a default");
    assert!(given.origin.part == Part::Builtin && given.origin.place.is_none());
}
