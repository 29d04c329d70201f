//! Each option of syncoid 2.3 alone, in a place where it matters, through both programs: what they leave must be equal.
//! Those of ssh are in `far`.

use super::alike::compare;
use super::case::Case;
use super::case::Round;
use super::*;

/// An option where it matters.
struct Matters {
    /// The option with its dashes, as it is given; several where one means nothing without the other.
    options: &'static str,
    /// What is done on each pool before the first run.
    first: &'static str,
    /// What is done before the second run.
    second: &'static str,
    /// What must be there after the runs, and what must not, for the option to have mattered: parts of the lines of
    /// [`state`]. A part that begins with `!` must be in none.
    shows: &'static [&'static str],
}

const fn of(
    options: &'static str,
    first: &'static str,
    second: &'static str,
    shows: &'static [&'static str],
) -> Matters {
    Matters { options, first, second, shows }
}

/// Both sides have `s1`; the source has `s2`, and before the last run `s3`.
const TABLE: [Matters; 31] = [
    of("", "", "", &["/dst/t@s3 ", "/dst/t@syncoid_node1_TIME 1 ", "!/dst/t/b@"]),
    of("-r", "", "", &["/dst/t/b@s3 "]),
    of("--recursive --skip-parent", "", "", &["/dst/t/b@s3 ", "!/dst/t@s3 "]),
    of("-r --exclude-datasets=/b$", "", "", &["/dst/t/c@s3 ", "!/dst/t/b@s3 "]),
    of("-r --exclude=/b$", "", "", &["/dst/t/c@s3 ", "!/dst/t/b@s3 "]),
    of("--identifier=x.1", "", "", &["/dst/t@syncoid_x.1_node1_TIME 1 "]),
    of("--keep-sync-snap", "", "", &["/dst/t@syncoid_node1_TIME 2 "]),
    of("--no-sync-snap", "", "", &["/dst/t@s3 ", "!syncoid_"]),
    of("--no-sync-snap --create-bookmark", "", "", &["/src#s3 "]),
    of(
        "--use-hold",
        "",
        "",
        &["/dst/t@syncoid_node1_TIME 1 held by syncoid_node1", "/src@syncoid_node1_TIME 1 held by"],
    ),
    of(
        "--no-stream",
        "zfs snapshot $P/c/src@between; zfs snapshot $P/c/src@newest",
        "",
        &["!/dst/t@between "],
    ),
    of("--include-snaps=^s[13]$ --no-sync-snap", "", "", &["/dst/t@s3 ", "!/dst/t@s2 "]),
    of("--exclude-snaps=2$ --no-sync-snap", "", "", &["/dst/t@s3 ", "!/dst/t@s2 "]),
    of(
        "--no-rollback",
        "",
        "zfs set mountpoint=/mnt/$P.dst $P/c/dst/t; zfs mount $P/c/dst/t 2>/dev/null; echo x > /mnt/$P.dst/x; zfs snapshot $P/c/dst/t@mine",
        &["/dst/t@mine ", "!/dst/t@s3 "],
    ),
    of("--no-rollback", "", "", &["/dst/t@s3 "]),
    of(
        "--delete-target-snapshots",
        "zfs snapshot $P/c/src@old",
        "zfs destroy $P/c/src@old",
        &["!/dst/t@old "],
    ),
    of(
        "--force-delete",
        "zfs rename $P/c/dst/t@s1 $P/c/dst/t@x; zfs destroy $P/c/src@s1",
        "",
        &["!/dst/t@x "],
    ),
    of(
        "--preserve-recordsize",
        "zfs destroy -r $P/c/dst/t; zfs set recordsize=16K $P/c/src",
        "",
        &["/dst/t@s3 ", "/dst/t 1 recordsize=16384 local"],
    ),
    of(
        "--preserve-properties",
        "zfs destroy -r $P/c/dst/t; zfs set recordsize=16K atime=off org.example:x=y $P/c/src; zfs inherit mountpoint $P/c/src",
        "zfs set org.example:x=z $P/c/src",
        &["/dst/t 1 recordsize=16384 local", "/dst/t 1 atime=off local", "/dst/t 1 org.example:x=z local"],
    ),
    of(
        "--preserve-properties --recvoptions='u o org.example:z=1 x compression'",
        "zfs destroy -r $P/c/dst/t; zfs set recordsize=16K atime=off $P/c/src; zfs inherit mountpoint $P/c/src",
        "",
        &["/dst/t 1 recordsize=16384 local", "/dst/t 1 atime=off local", "/dst/t 1 org.example:z=1 local"],
    ),
    of(
        "--no-resume",
        "zfs send -i @s1 $P/c/src@s2 | head -c 150000 | zfs receive -s -F -u $P/c/dst/t",
        "",
        &["!partial"],
    ),
    of(
        "",
        "zfs send -i @s1 $P/c/src@s2 | head -c 150000 | zfs receive -s -F -u $P/c/dst/t",
        "",
        &["!partial"],
    ),
    of(
        "-r --no-clone-handling",
        "zfs clone $P/c/src@s1 $P/c/src/a; zfs snapshot $P/c/src/a@s9",
        "",
        &["/dst/t/a 1 filesystem = /c/dst/t/a 1 of -"],
    ),
    of(
        "-r",
        "zfs clone $P/c/src@s1 $P/c/src/a; zfs snapshot $P/c/src/a@s9",
        "",
        &["/dst/t/a 1 filesystem = /c/dst/t/a 1 of /c/dst/t@s1 1"],
    ),
    of("--sendoptions=Lce", "", "", &["/dst/t@s3 "]),
    of("--sendoptions=w", "", "", &["/dst/t@s3 "]),
    of(
        "--sendoptions=h",
        "zfs hold keep $P/c/src@s2",
        "",
        &["/dst/t@s2 1 held by keep", "!/dst/t@s1 1 held"],
    ),
    of(
        "--sendoptions=h --recvoptions=h",
        "zfs hold keep $P/c/src@s2",
        "",
        &["/dst/t@s3 ", "!/dst/t@s2 1 held"],
    ),
    of("--recvoptions=u", "zfs destroy -r $P/c/dst/t", "", &["/dst/t@s3 "]),
    of(
        "--compress=gzip --source-bwlimit=50m --target-bwlimit=40m --mbuffer-size=4M --pv-options=-t --quiet",
        "",
        "",
        &["/dst/t@s3 "],
    ),
    of(
        "--compress=none --monitor-version --no-command-checks --no-privilege-elevation --debug --dumpsnaps",
        "",
        "",
        &["/dst/t@s3 "],
    ),
];

/// Those of ssh, each with its test in `far`, and those that only print.
const ELSEWHERE: [&str; 10] = [
    "sshconfig",
    "sshkey",
    "sshport",
    "sshcipher",
    "sshoption",
    "insecure-direct-connection",
    "help",
    "version",
    // Names that stand for others.
    "exclude",
    "recursive",
];

#[test]
fn each_option_leaves_the_same_where_it_matters() {
    let cluster = pools();
    let node = cluster.node(1);
    let mut statuses = std::collections::BTreeMap::new();
    let mut wrong = Vec::new();
    for row in &TABLE {
        let case = Case {
            setup: vec![
                "zfs create $P/c; zfs create $P/c/dst; zfs create -o mountpoint=/mnt/$P $P/c/src".to_string(),
                "zfs create $P/c/src/b; zfs create $P/c/src/c; seq 20000 > /mnt/$P/f".to_string(),
                "zfs snapshot -r $P/c/src@s1".to_string(),
                "zfs send $P/c/src@s1 | zfs receive -u $P/c/dst/t".to_string(),
                "head -c 400000 /dev/urandom > /mnt/$P/g; zfs snapshot -r $P/c/src@s2".to_string(),
                row.first.to_string() + "\n:",
            ],
            rounds: rounds(row),
        };
        let mut last = Vec::new();
        let differences = compare(node, &case, &mut statuses, &mut last);
        if !differences.is_empty() {
            wrong.push(format!("{}:\n{}", row.options, differences.join("\n")));
        }
        for part in row.shows {
            let shown = |part: &str| last.iter().any(|line| line.contains(part));
            let good = part.strip_prefix('!').map_or_else(|| shown(part), |not| !shown(not));
            if !good {
                wrong.push(format!("{}: {part:?} does not hold of\n{}", row.options, last.join("\n")));
            }
        }
    }
    println!("{statuses:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n----\n"));
}

/// Two runs where the second one is another matter, else one, with `s3` before the last.
fn rounds(row: &Matters) -> Vec<Round> {
    const TWICE: [&str; 4] = ["", "--identifier=x.1", "--keep-sync-snap", "--use-hold"];
    let more = "seq 9000 > /mnt/$P/h; zfs snapshot -r $P/c/src@s3";
    let round = |before: &[&str]| Round {
        before: before.iter().map(|command| format!("{command}\n:")).collect(),
        options: row.options.to_string(),
    };
    if row.second.is_empty() && !TWICE.contains(&row.options) {
        return vec![round(&[more])];
    }
    vec![round(&[]), round(&[more, row.second])]
}

#[test]
fn every_option_has_its_place_in_a_test() {
    let cluster = pools();
    let help = cluster.node(1).sh("syncoid --help").expect("it runs").out();
    let options = help.split_whitespace().filter_map(|word| word.strip_prefix("--"));
    let options: std::collections::BTreeSet<_> = options
        .map(|word| {
            word.trim_end_matches(|c: char| !c.is_ascii_lowercase()).split('=').next().unwrap_or(word)
        })
        .collect();
    assert!(options.len() > 35, "{options:?}");
    for option in options {
        let here = TABLE.iter().any(|row| {
            row.options.split(' ').any(|word| word.trim_start_matches("--").split('=').next() == Some(option))
        });
        assert!(here || ELSEWHERE.contains(&option), "no test has --{option}");
    }
}

#[test]
fn what_is_printed_is_what_was_asked_for() {
    let cluster = pools();
    let node = cluster.node(1);
    sh(
        node,
        "for P in ours real; do zfs create -o mountpoint=/mnt/$P $P/src; date > /mnt/$P/f; zfs snapshot $P/src@a; done",
    );
    for (pool, program) in BOTH {
        let run = |options: &str| {
            let done = node
                .sh(&format!("sleep 1.1; {program} {options} {pool}/src {pool}/dst 2>&1"))
                .expect("it runs");
            assert_eq!(done.code(), 0, "{program} {options}: {}", done.out());
            done.out()
        };
        assert!(run("").contains("INFO: Sending oldest full snapshot"), "{program}");
        let quiet = run("--quiet");
        assert!(!quiet.contains("INFO"), "{program}: {quiet}");
        let debug = run("--debug");
        assert!(debug.contains("DEBUG"), "{program}: {debug}");
        let guid = sh(node, &format!("zfs get -Hp -o value guid {pool}/src@a"));
        let dump = run("--dumpsnaps");
        assert!(dump.contains(guid.trim()), "{program}: {dump}");
    }
    let refused = node.sh("syncoid --insecure-direct-connection=127.0.0.1 ours/src ours/x").expect("it runs");
    assert_eq!(refused.code(), 2);
    assert!(refused.err().contains("no address with a port"), "{}", refused.err());
    let here =
        node.sh("syncoid --insecure-direct-connection=127.0.0.1:5000 ours/src ours/x").expect("it runs");
    assert_eq!(here.code(), 0, "{}", here.err());
    assert!(here.err().contains("both sides are this machine"), "{}", here.err());
}

#[test]
fn encrypted_datasets_go_as_they_are_asked_for() {
    let cluster = pools();
    let node = cluster.node(1);
    for (number, options) in
        ["", "--sendoptions=w", "-r --no-sync-snap", "-r --sendoptions=w --no-sync-snap"].iter().enumerate()
    {
        let [ours, real] = BOTH.map(|(pool, program)| {
            sh(
                node,
                &format!(
                    "zfs create {pool}/e{number}; echo password | zfs create -o encryption=on -o keyformat=passphrase \
                         -o mountpoint=/mnt/{pool}{number} {pool}/e{number}/src
                     zfs create {pool}/e{number}/src/b; date > /mnt/{pool}{number}/f; zfs snapshot -r {pool}/e{number}/src@a"
                ),
            );
            for round in 0..2 {
                let line = format!("sleep 1.1; timeout -k 5 60 {program} {options} {pool}/e{number}/src {pool}/e{number}/dst 2>&1");
                let done = node.sh(&line).expect("it runs");
                assert_eq!(done.code(), 0, "{program} {options} {round}: {}", done.out());
                sh(node, &format!("date > /mnt/{pool}{number}/g; zfs snapshot -r {pool}/e{number}/src@b{round}"));
            }
            let encrypted = sh(node, &format!("zfs get -H -o value encryption,keystatus {pool}/e{number}/dst"));
            let keys = sh(node, &format!("zfs list -Hp -t snapshot -o name {pool}/e{number}/dst | grep -c @"));
            (encrypted, keys, super::state(node, pool, &format!("e{number}")))
        });
        assert_eq!(ours, real, "{options}");
        assert_eq!(ours.0.starts_with("off"), !options.contains("=w"), "{options}: {}", ours.0);
    }
}
