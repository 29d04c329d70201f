//! Broken configurations of every kind: each is told with its line, and with what to write instead.

use super::super::problem::Severity;
use super::Config;
use super::Problems;
use super::ours;
use super::theirs;

/// A file, the line of its one error, and pieces of the message and of the fix.
type Case = (&'static str, usize, &'static str, &'static str);

fn check(cases: &[Case], file: &str, parse: fn(&str) -> (Config, Problems)) {
    let mut wrong = Vec::new();
    for (text, line, message, fix) in cases {
        let (_, problems) = parse(text);
        let said = problems.render();
        let mut errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
        let told = errors.next().is_some_and(|problem| {
            problem.place.as_ref().is_some_and(|place| place.line == *line)
                && problem.message.contains(message)
                && problem.fix.contains(fix)
        });
        if !told || errors.next().is_some() || !said.contains(&format!("error: {file}:{line}:")) {
            wrong.push(format!("{text}\nshould say {message:?} in line {line}, and {fix:?}:\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n----\n"));
}

#[test]
fn every_kind_of_broken_toml_names_line_and_fix() {
    let cases: [Case; 58] = [
        // Syntax.
        ("[template.a\ndaily = 1\n", 1, "", "[name]"),
        ("[template.a]\ndaily == 1\n", 2, "", "key = value"),
        ("[template.a]\ngrid = \"1h:24\n", 2, "", "double quotes"),
        ("[template.a]\ndaily = 1\ndaily = 2\n", 3, "duplicate key", "remove one"),
        ("[template.a]\ndaily = 1\n[template.a]\nhourly = 2\n", 3, "duplicate key", "remove one"),
        // Who is told.
        ("[notify]\ncooldown = \"1h\"\n", 1, "says nobody who is told", "`mail`"),
        ("[notify]\nmail = \"-oQ/tmp\"\n", 2, "not an address", "name@example.org"),
        ("[notify]\nmail = [\"root\", \"a b\"]\n", 2, "not an address", "name@example.org"),
        ("[notify]\nwebhook = \"https://example.org\"\n", 2, "only plain HTTP", "curl"),
        ("[notify]\ncommand = [\"tell\"]\n", 2, "not an absolute path", "from the root on"),
        // Unknown keys.
        ("[defalts]\ndaily = 1\n", 1, "unknown key `defalts`", "`defaults`"),
        ("[template.a]\nhourley = 1\n", 2, "unknown key `hourley` in [template.a]", "`hourly`"),
        ("[template.a]\ndaily = { kep = 1 }\n", 2, "unknown key `kep` in `daily`", "`keep`"),
        ("[template.a]\nhourly = { hour = 1 }\n", 2, "unknown key `hour`", "minute"),
        ("[template.a.pre_snapshot]\nrun = \"x\"\ntimeut = \"5s\"\n", 3, "unknown key `timeut`", "`timeout`"),
        (
            "[[dataset]]\nname = \"a\"\ndaily = 1\nrecursiv = true\n",
            4,
            "unknown key `recursiv`",
            "`recursive`",
        ),
        (
            "[[replication]]\nname = \"a\"\nsource = \"a\"\nrates = \"1M\"\n[[replication.target]]\nto = \"b\"\n",
            4,
            "unknown key `rates`",
            "`rate`",
        ),
        (
            "[[replication]]\nname = \"a\"\nsource = \"a\"\n[[replication.target]]\nto = \"h:b\"\n[replication.target.ssh]\nprot = 22\n",
            7,
            "unknown key `prot`",
            "`port`",
        ),
        // Wrong types.
        ("[template.a]\ndaily = \"30\"\n", 2, "`daily` must be", "{ keep = 30 }"),
        ("[template.a]\ndaily = { keep = \"30\" }\n", 2, "the text \"30\"", "without quotes"),
        ("[template.a]\nsnapshot = \"yes\"\n", 2, "the text \"yes\"", "true or false"),
        ("[template.a]\nsnapshot = 1\n", 2, "a number (1)", "true or false"),
        ("[template.a]\nhourly = { warn = 90 }\n", 2, "90 has no unit", "\"90m\""),
        ("[template.a]\nhourly = { keep = 1.5 }\n", 2, "a number with a point", "whole number"),
        ("[[template]]\nname = \"a\"\n", 1, "`template` must be a table", "[template]"),
        ("[dataset]\nname = \"a\"\n", 1, "`dataset` must be a list of tables", "[[dataset]]"),
        ("[template.a]\npre_snapshot = 5\n", 2, "a number (5)", "a command line in quotes"),
        // Values.
        ("[template.a]\nhourly = { minute = 60 }\n", 2, "60 is out of range", "0 to 59"),
        ("[template.a]\ndaily = -1\n", 2, "-1 is out of range", "0 to"),
        ("[template.a]\ndaily = 99999999999999999999999999999999999999999999\n", 2, "", "whole number"),
        ("[template.a]\ncapacity_warn = 120\n", 2, "120 is out of range", "0 to 100"),
        ("[template.a]\nfrequently = { keep = 1, every = \"90s\" }\n", 2, "whole minutes", "\"15m\""),
        (
            "[template.a]\nweekly = { keep = 1, weekday = \"moonday\" }\n",
            2,
            "no day is called so",
            "\"monday\"",
        ),
        ("[template.a]\nhourly = { warn = \"90 minutes\" }\n", 2, "\"90 minutes\"", "\"90m\""),
        ("[template.a]\ntimezone = \"Europe/Berlyn\"\n", 2, "not known on this machine", "Europe/Berlin"),
        ("[template.a]\ngrid = \"1h-24\"\n", 2, "at character", "1h:24,1d:30"),
        ("[template.a]\nprefix = \"auto snap\"\n", 2, "at character 5", "letters, digits"),
        ("[template.a]\npre_snapshot = [\"hook\"]\n", 2, "not an absolute path", "from the root"),
        (
            "[template.a]\npre_snapshot = { run = \"x\", on_failure = \"ignore\" }\n",
            2,
            "neither \"stop\"",
            "\"continue\"",
        ),
        ("state_folder = \"var/lib\"\n", 1, "not an absolute path", "from the root"),
        ("[[dataset]]\nname = \"tank/*\"\ndaily = 1\n", 2, "not the name of a dataset", "`pattern`"),
        ("[[dataset]]\nname = \"/tank\"\ndaily = 1\n", 2, "not the name of a dataset", "where it is mounted"),
        ("[[dataset]]\npattern = \"tank/[a\"\ndaily = 1\n", 2, "pattern \"tank/[a\"", "* ? **"),
        ("[[dataset]]\nproperty = \"policy\"\ndaily = 1\n", 2, "not the name of a user property", "colon"),
        // Contradictions.
        ("[[dataset]]\ndaily = 1\n", 1, "selects no datasets", "`name`"),
        ("[[dataset]]\nname = \"a\"\npattern = \"b\"\ndaily = 1\n", 1, "more than one way", "keep one"),
        ("[[dataset]]\nname = \"a\"\ndaily = 1\nexclude = \"tmp\"\n", 4, "not recursive", "recursive = true"),
        (
            "[[dataset]]\nname = \"a\"\nrecursive = true\nskip_children = true\n",
            1,
            "takes back",
            "remove one",
        ),
        ("[[dataset]]\nname = \"a\"\n", 1, "says nothing", "`use`"),
        (
            "[[dataset]]\nname = \"a\"\ndaily = 1\n[[dataset]]\nname = \"a\"\nhourly = 1\n",
            4,
            "has an entry already",
            "into one",
        ),
        ("[template.a]\ndaily = { keep = 0, take = true }\n", 2, "none of them kept", "take = false"),
        ("[template.a]\nyearly = { month = 2, day = 30 }\n", 2, "month 2 never", "1 to 29"),
        (
            "[template.prod]\ndaily = 1\n[[dataset]]\nname = \"a\"\nuse = \"prode\"\n",
            5,
            "no template `prode`",
            "`prod`",
        ),
        // Jobs.
        ("[[replication]]\nname = \"a\"\nsource = \"tank\"\n", 1, "no target", "[[replication.target]]"),
        (
            "[[replication]]\nname = \"a\"\nsource = \"tank\"\n[[replication.target]]\nto = \"tank\"\n",
            4,
            "overlap",
            "neither",
        ),
        (
            "[[replication]]\nname = \"a\"\nsource = \"ho st:tank\"\n[[replication.target]]\nto = \"b\"\n",
            3,
            "`source` cannot be",
            "USER@HOST",
        ),
        (
            "[[replication]]\nname = \"a\"\nsource = \"tank\"\n[[replication.target]]\nto = \"b\"\nprune = \"sender\"\n",
            4,
            "nothing says what is kept",
            "retention",
        ),
        (
            "[[replication]]\nname = \"a\"\nsource = \"tank\"\ndivergence = \"destroy\"\n[[replication.target]]\nto = \"b\"\n",
            4,
            "cannot be \"destroy\"",
            "preserve",
        ),
    ];
    check(&cases, "/etc/replicator/replicator.toml", ours);
}

#[test]
fn every_kind_of_broken_sanoid_conf_names_line_and_fix() {
    let cases: [Case; 18] = [
        ("", 1, "says nothing", "add a section"),
        ("hourly = 1\n[tank]\n", 1, "before the first section", "above it"),
        ("[tank]\nhourly: 36\n", 2, "neither [a section]", "key = value"),
        ("[tank\nhourly = 36\n", 1, "neither [a section]", "key = value"),
        ("[tank]\nhourley = 36\n", 2, "unknown key `hourley` in [tank]", "`hourly`"),
        (
            "[tank]\n[template_x]\nmin_percent_free = 10\n",
            3,
            "unknown key `min_percent_free`",
            "write one of",
        ),
        ("[tank]\nhourly = many\n", 2, "\"many\" is not a number", "whole number"),
        ("[tank]\nhourly =\n", 2, "\"\" is not a number", "whole number"),
        ("[tank]\nautosnap = yess\n", 2, "take it for yes", "`yes`"),
        ("[tank]\nrecursive = maybe\n", 2, "takes for no", "yes, no or zfs"),
        ("[tank]\ndaily_hour = 24\n", 2, "24 is out of range", "0 to 23"),
        ("[tank]\nhourly_warn = 1.5h\n", 2, "take it for one second", "28h"),
        ("[tank]\nprune_defer = 60%\n", 2, "\"60%\" is not a number", "0 to 100"),
        (
            "[tank]\nuse_template = prodction\n[template_production]\n",
            2,
            "no [template_prodction]",
            "`production`",
        ),
        ("[/tank]\nhourly = 1\n", 1, "not the name of a dataset", "without a slash"),
        ("[a]\npath = tank\n[tank]\ndaily = 1\n", 3, "both about tank", "one section"),
        ("[tank]\nyearly_mon = 4\nyearly_mday = 31\n", 3, "month 4 never", "1 to 30"),
        ("[tank]\npre_snapshot_script = <<END\n/bin/true\n", 2, "no line `END`", "add that line"),
    ];
    check(&cases, "/etc/sanoid/sanoid.conf", theirs);
}

#[test]
fn several_errors_come_together() {
    let text = "[template.a]\ndayly = 1\nhourly = \"x\"\n[[dataset]]\nname = \"a@b\"\nuse = \"c\"\n";
    let (_, problems) = ours(text);
    let lines: Vec<_> =
        problems.iter().filter_map(|problem| problem.place.as_ref()).map(|place| place.line).collect();
    assert_eq!(lines, [2, 3, 5], "{}", problems.render());
    // What is found last because it needs all files stands where its line is.
    let (_, problems) = ours("[[dataset]]\nname = \"a\"\nuse = \"none\"\n[template.b]\ndayly = 1\n");
    let lines = problems.iter().filter_map(|problem| problem.place.as_ref()).map(|place| place.line);
    assert_eq!(lines.collect::<Vec<_>>(), [3, 5], "{}", problems.render());
    let (_, problems) = theirs("[a]\nx = 1\nhourly = y\n[b]\nz = 2\n");
    assert_eq!(problems.errors(), 3, "{}", problems.render());
}

#[test]
fn the_column_is_that_of_the_word() {
    let (_, problems) = ours("[template.a]\ndaily = { keep = 1, kep = 2 }\n");
    let said = problems.render();
    assert!(said.contains(":2:21: unknown key"), "{said}");
    assert!(said.contains("    daily = { keep = 1, kep = 2 }\n                        ^^^\n"), "{said}");
}

#[test]
fn a_warning_that_would_never_come_is_told() {
    for (config, problems) in [
        ours("[template.a]\nhourly = { warn = \"6h\", critical = \"90m\" }\n"),
        theirs("[tank]\nhourly_warn = 6h\nhourly_crit = 90m\n"),
    ] {
        let said = problems.render();
        assert!(problems.errors() == 0 && said.contains(":2:") && said.contains("the shorter one"), "{said}");
        assert!(!config.files.is_empty());
    }
}
