//! What the program prints where: into pipes that nobody reads and onto full disks, in colours or without, and with a code
//! at the end of each error. Nothing here needs ZFS.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

const PROGRAM: &str = env!("CARGO_BIN_EXE_replicator");

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A configuration about a pool that no machine has, with a command that tells a file of what has changed.
fn configuration(folder: &Path) -> PathBuf {
    let file = folder.join("replicator.toml");
    let shown = folder.display();
    let text = format!(
        "state_folder = '{shown}/state'\n[notify]\ncommand = \"echo $REPLICATOR_CHECK >> {shown}/told\"\n\
         [[dataset]]\nname = 'no-such-pool-of-a-test/data'\nhourly = 2\n"
    );
    std::fs::write(&file, text).expect("a configuration");
    file
}

/// Runs it with an output that nobody reads, from the first byte on.
fn unread(arguments: &[&str]) -> Output {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let child = Command::new(PROGRAM)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    child.wait_with_output().expect("it ends")
}

#[test]
fn nobody_has_to_read_what_is_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = configuration(folder.path());
    let config = file.to_str().expect("text");
    for arguments in [
        &["explain"][..],
        &["man"],
        &["completion", "bash"],
        &["version"],
        &["--help"],
        &["config", "check", "--config", config],
        &["monitor", "health", "--config", config],
        &["monitor", "snapshots", "--config", config, "--json"],
        &["monitor", "verified", "--config", config],
        &["monitor", "notify", "--config", config, "--dry-run"],
    ] {
        let read = run(arguments);
        assert!(!read.stdout.is_empty(), "{arguments:?} prints nothing: {}", text(&read.stderr));
        let unread = unread(arguments);
        assert_eq!(unread.status.code(), read.status.code(), "{arguments:?}: {}", text(&unread.stderr));
        assert!(!text(&unread.stderr).contains("R101"), "{arguments:?}: {}", text(&unread.stderr));
    }
}

#[test]
fn who_is_to_be_told_is_told_whoever_reads_the_output() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = configuration(folder.path());
    let done = unread(&["monitor", "notify", "--config", file.to_str().expect("text")]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let told = std::fs::read_to_string(folder.path().join("told")).expect("somebody was told");
    assert!(told.lines().any(|line| line == "health"), "{told}");
    assert!(folder.path().join("state/notified.json").exists(), "it is not remembered");
}

#[test]
fn a_full_disk_is_a_failure() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("there is one");
    let output = Command::new(PROGRAM).arg("explain").stdout(full).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("[R101]\n"), "{}", text(&output.stderr));
}

/// What comes on a terminal, which `script` of util-linux makes.
fn on_a_terminal(arguments: &str, no_color: Option<&str>) -> String {
    let mut script = Command::new("script");
    script.args(["-qec", &format!("{PROGRAM} {arguments}"), "/dev/null"]);
    script.stdin(Stdio::null()).env("TERM", "xterm").env_remove("NO_COLOR");
    if let Some(value) = no_color {
        script.env("NO_COLOR", value);
    }
    text(&script.output().expect("script(1) of util-linux").stdout)
}

#[test]
fn errors_are_coloured_on_a_terminal_unless_no_color_says_otherwise() {
    for (arguments, code) in [("explain R000", "[R200]"), ("no-such-command", "[R200]")] {
        for (no_color, coloured) in [(None, true), (Some(""), true), (Some("1"), false)] {
            let said = on_a_terminal(arguments, no_color);
            assert!(said.contains("error:") && said.contains(code), "{arguments}: {said:?}");
            assert_eq!(said.contains('\u{1b}'), coloured, "{arguments} {no_color:?}: {said:?}");
        }
        // A pipe gets none.
        let piped = run(&arguments.split(' ').collect::<Vec<_>>());
        assert!(!text(&piped.stderr).contains('\u{1b}'), "{arguments}");
    }
}

/// The first line of an error ends in its code, and the status is its first digit.
fn fails_with(arguments: &[&str], code: &str) -> String {
    let output = run(arguments);
    let said = text(&output.stderr);
    let first = said.lines().next().unwrap_or_default();
    assert!(first.starts_with("error: ") && first.ends_with(&format!(" [{code}]")), "{arguments:?}: {said}");
    let status = code[1..2].parse().expect("a digit");
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
    said
}

#[test]
fn mistakes_on_the_command_line_have_their_codes() {
    fails_with(&["lst"], "R200");
    fails_with(&["list", "--nonsense"], "R200");
    fails_with(&["replicate", "tank/a"], "R200");
    fails_with(&["list", "bad name!"], "R201");
    fails_with(&["config", "show", "tank@x"], "R201");
    fails_with(&["snapshot", "--config", "/dev/null", "tank//x"], "R201");
    fails_with(&["replicate", "tank/a", "user@:x"], "R201");
    fails_with(&["replicate", "tank/a", "tank/a"], "R202");
    fails_with(&["agent", "--root", "tank/../x"], "R201");
    let said = fails_with(&["replicate", "a/b", "c/d", "--rate", "x"], "R200");
    assert!(said.contains("such as 50M") && !said.contains("ByteSize"), "{said}");
    let key = ["setup", "receiver", "--root", "tank/x", "--user", "keeper", "--key"];
    let said = fails_with(&[&key[..], &["/no/such/file.pub"]].concat(), "R204");
    assert!(said.contains("/no/such/file.pub") && !said.contains("ends in .pub"), "{said}");
    let said = fails_with(&[&key[..], &["/dev/null"]].concat(), "R203");
    assert!(said.contains("ends in .pub"), "{said}");
}

#[test]
fn a_configuration_that_is_missing_or_broken_is_told_in_the_line_that_a_monitor_shows() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("replicator.toml");
    let config = file.to_str().expect("text");
    let line = |expected: &str| {
        let output = run(&["monitor", "health", "--config", config]);
        let said = text(&output.stdout);
        assert_eq!((output.status.code(), said.lines().count()), (Some(3), 1), "{said}");
        assert!(said.starts_with(&format!("UNKNOWN: {expected}")), "{said}");
    };
    let said = fails_with(&["status", "--config", config], "R801");
    assert!(
        said.contains("does not exist") && said.contains("\nhint: ") && said.lines().count() == 2,
        "{said}"
    );
    line(&format!("there is no configuration: {config} does not exist"));
    std::fs::write(&file, "[[dataset]]\nname = \"a\"\nuse = \"none\"\n[template.b]\ndayly = 1\n")
        .expect("written");
    line(&format!("the configuration is broken: {config}:3:7: there is no template `none`, and 1 more"));
    // In the order of the lines, whatever was found first.
    let output = run(&["config", "check", "--config", config]);
    let said = text(&output.stderr);
    let at = |line: &str| said.find(&format!("{config}:{line}:")).expect(line);
    assert!(output.status.code() == Some(8) && at("3") < at("5") && said.contains("[R800]"), "{said}");
    let sanoid = folder.path().to_str().expect("text");
    let output = run(&["sanoid", "--configdir", sanoid, "--cron"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(255), "{said}");
    assert!(said.contains("[R801]") && said.contains("--configdir") && !said.contains("--config "), "{said}");
}

#[test]
fn without_zfs_what_asks_for_pools_says_what_every_command_says() {
    if Path::new("/proc/spl/kstat/zfs").exists() {
        // Here it is asked, and answers.
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = configuration(folder.path());
    let config = file.to_str().expect("text");
    let listed = text(&run(&["list", "tank"]).stderr);
    assert!(listed.contains("[R50") && listed.contains("\nhint: "), "{listed}");
    for command in [&["status"][..], &["report"], &["monitor", "metrics"]] {
        let output = run(&[command, &["--config", config]].concat());
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(5), listed.clone()), "{command:?}");
    }
    let checked = text(&run(&["monitor", "capacity", "--config", config]).stdout);
    assert!(checked.starts_with("UNKNOWN: this machine has no usable ZFS: "), "{checked}");
}
