//! The judgements, and a whole check on the ZFS in memory.

use std::collections::BTreeSet;

use zfs_core::DatasetKind;
use zfs_core::Guid;

use super::*;
use crate::config::Config;
use crate::config::place::Source;
use crate::host::About;
use crate::host::Rights;
use crate::host::Version;
use crate::model::World;

fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

fn about(version: Option<(u32, u32, u32)>) -> About {
    let version = version.map(|(major, minor, patch)| Version { major, minor, patch });
    About { pool: "tank".to_string(), guid: Guid(1), version, features: Default::default() }
}

#[test]
fn versions_below_the_floor_fail_and_unknown_ones_are_told() {
    assert_eq!(judge::version("far", &about(Some((2, 4, 4)))).grade, Grade::Ok);
    assert_eq!(judge::version("far", &about(Some((2, 1, 0)))).grade, Grade::Ok);
    let old = judge::version("far", &about(Some((2, 0, 7))));
    assert!(old.grade == Grade::Fail && old.fix.is_some_and(|fix| fix.contains("2.1.0")));
    assert_eq!(judge::version("far", &about(None)).grade, Grade::Warn);
}

#[test]
fn missing_rights_name_the_command_that_gives_them() {
    let judge = |permissions: &[&str]| {
        let permissions: BTreeSet<String> = permissions.iter().map(ToString::to_string).collect();
        let rights = Rights::These { user: "backup".to_string(), permissions };
        judge::rights("nas", &name("tank/a"), &rights, &["send", "bookmark"], &["hold"])
    };
    assert_eq!(judge(&["send", "bookmark", "hold"]).grade, Grade::Ok);
    assert_eq!(judge(&["send:raw", "bookmark", "hold"]).grade, Grade::Ok);
    let may = judge(&["send", "bookmark"]);
    assert_eq!(
        (may.grade, may.fix.as_deref()),
        (Grade::Warn, Some("as root on nas: zfs allow -u backup hold tank/a"))
    );
    let must = judge(&[]);
    assert_eq!(must.grade, Grade::Fail);
    assert_eq!(must.fix.as_deref(), Some("as root on nas: zfs allow -u backup send,bookmark tank/a"));
    assert_eq!(judge::rights("nas", &name("a"), &Rights::All, &["send"], &[]).grade, Grade::Ok);
}

#[test]
fn clocks_may_differ_by_the_time_the_question_took_and_a_little() {
    let here = Clocks { before: 1000, after: 1100 };
    let grade = |there| judge::clock("far", there, here).grade;
    for (there, expected) in [
        (Some(1050), Grade::Ok),
        (Some(1160), Grade::Ok),
        (Some(940), Grade::Ok),
        (Some(1161), Grade::Warn),
        (Some(939), Grade::Warn),
        (None, Grade::Ok),
    ] {
        assert_eq!(grade(there), expected, "{there:?}");
    }
    assert!(judge::clock("far", Some(5000), here).text.contains("3900 s ahead"));
    assert!(judge::clock("far", Some(0), here).text.contains("1000 s behind"));
}

fn config() -> Config {
    let text =
        "[[replication]]\nname = \"job\"\nsource = \"tank/a\"\n[[replication.target]]\nto = \"backup/a\"\n";
    let (config, problems) = Config::parse(&[Source::new(std::path::Path::new("/c.toml"), text)]);
    assert_eq!(problems.errors(), 0, "{}", problems.render());
    config
}

fn world() -> World {
    let world = World::new(5, &["here", "there"]);
    world.on("here", |here| {
        here.create_pool("tank");
        here.create(&name("tank/a"), DatasetKind::Filesystem, &[]).expect("create");
        here.write(&name("tank/a"), 1, 1);
        here.snapshot(&["tank/a@1".parse().expect("a name")]).expect("snapshot");
    });
    world.on("there", |there| there.create_pool("backup"));
    world
}

fn check(world: &World) -> Vec<Section> {
    let config = config();
    let job = &config.jobs[0];
    let (mut here, mut there) = (world.host("here"), world.host("there"));
    let mut clock = || 1000;
    let mut first = Section::new("the source");
    first.findings = source(&mut here, job, &mut clock);
    let mut second = Section::new("the target");
    second.findings = target(&mut here, &mut there, job, &job.targets[0], &mut clock);
    vec![first, second]
}

fn find<'a>(sections: &'a [Section], aspect: &str) -> Vec<&'a Finding> {
    sections.iter().flat_map(|one| &one.findings).filter(|one| one.aspect == aspect).collect()
}

#[test]
fn a_job_that_works_has_nothing_that_fails_and_nothing_is_changed() {
    let world = world();
    let before = format!("{:?}", world.machines());
    let found = check(&world);
    assert_eq!(before, format!("{:?}", world.machines()));
    assert!(found.iter().all(|one| one.grade() < Grade::Fail), "{}", text(&found));
    let plan = find(&found, "plan");
    assert!(plan.iter().any(|one| one.text.contains("would send 1 stream")), "{}", text(&found));
    let json = to_json(&found);
    assert_eq!(json["sections"][0]["subject"], "the source");
}

#[test]
fn what_a_run_would_stop_at_is_found_before() {
    let world = world();
    world.on("there", |there| {
        there.create(&name("backup/a"), DatasetKind::Filesystem, &[]).expect("create");
        there.snapshot(&["backup/a@own".parse().expect("a name")]).expect("snapshot");
    });
    let found = check(&world);
    let failed: Vec<_> = find(&found, "plan").into_iter().filter(|one| one.grade == Grade::Fail).collect();
    assert!(!failed.is_empty() && failed[0].fix.is_some(), "{}", text(&found));
    assert!(text(&found).contains("will fail"), "{}", text(&found));

    let small = self::world();
    small.on("there", |there| there.set_available(1));
    let found = check(&small);
    assert!(find(&found, "space").iter().any(|one| one.grade == Grade::Fail), "{}", text(&found));

    let old = self::world();
    old.on("there", |there| there.set_feature("extensible_dataset", "disabled"));
    let found = check(&old);
    assert!(find(&found, "features").iter().any(|one| one.grade == Grade::Fail), "{}", text(&found));

    let gone = self::world();
    gone.on("here", |here| {
        here.destroy_snapshot(&"tank/a@1".parse().expect("a name")).expect("destroy");
        here.destroy(&name("tank/a")).expect("destroy");
    });
    let found = check(&gone);
    assert!(find(&found, "dataset").iter().any(|one| one.grade == Grade::Fail), "{}", text(&found));
}
