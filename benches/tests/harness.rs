//! The harness itself, without ZFS: a run that failed, or did nothing, is an error and not a fast result; and a whole run
//! with its report.

use std::path::Path;
use std::process::Command;

use benches::contender::Contender;
use benches::contender::programs;
use benches::error::BenchError;
use benches::error::Result;
use benches::lab::Lab;
use benches::measure::Job;
use benches::measure::Measurer;
use benches::measure::Usage;
use benches::pool::Device;
use benches::result::Results;
use benches::runner;
use benches::runner::Trial;
use benches::shell::Shell;
use benches::sizes::Sizes;

const ZFS_BENCH: &str = env!("CARGO_BIN_EXE_zfs-bench");
const STARTER: &str = env!("CARGO_BIN_EXE_zfs-bench-starter");

fn lab(rounds: usize) -> Lab {
    let scratch = tempfile::tempdir().expect("a folder");
    let device = Device { path: String::new(), megabytes: None };
    Lab {
        here: std::rc::Rc::new(std::cell::RefCell::new(Shell::here().expect("a shell"))),
        far: None,
        node: false,
        sizes: Sizes::default(),
        rounds,
        programs: programs(Path::new("/none"), None, None, scratch.path()).0,
        measurer: Measurer::new(STARTER, scratch.path()),
        me: ZFS_BENCH.into(),
        left_out: Vec::new().into(),
        devices: [device.clone(), device.clone(), device],
        scratch,
    }
}

fn job(script: &str) -> Job {
    Job { who: "it".into(), argv: ["/bin/bash", "-c", script].map(str::to_string).to_vec(), env: Vec::new() }
}

/// Programs that have to make a file.
struct Making;

impl Trial for Making {
    fn title(&self) -> String {
        "making a file".into()
    }

    fn before(&mut self, lab: &Lab, who: &Contender) -> Result<Job> {
        let _ = std::fs::remove_file(lab.file("made"));
        let Contender::Other { argv, .. } = who else { unreachable!("all are commands") };
        let env = vec![("MADE".into(), lab.file("made").display().to_string())];
        Ok(Job { who: who.name().into(), env, ..job(&argv[0]) })
    }

    fn after(&mut self, lab: &Lab, who: &Contender, _usage: &mut Usage, _said: &str) -> Result<()> {
        if lab.file("made").is_file() {
            return Ok(());
        }
        Err(BenchError::Void { who: who.name().into(), why: "there is no file".into() })
    }
}

fn command(name: &str, script: &str) -> Contender {
    Contender::Other { name: name.into(), ours: name == "ours", argv: vec![script.into()] }
}

#[test]
fn everyone_is_measured_in_every_round() {
    let all = [command("ours", "echo > \"$MADE\""), command("slow", "sleep 0.05; echo > \"$MADE\"")];
    let case = runner::run(&lab(3), "making", &mut Making, &all, Vec::new()).expect("a result");
    assert_eq!(case.series.iter().map(|series| series.samples.len()).collect::<Vec<_>>(), [3, 3]);
    assert!(case.series[1].samples.iter().all(|sample| sample.seconds >= 0.05));
    assert!(case.series[0].ours && !case.series[1].ours);
}

#[test]
fn a_program_that_failed_or_did_nothing_has_no_result() {
    let good = command("ours", "echo > \"$MADE\"");
    let failed = [good.clone(), command("failed", "echo > \"$MADE\"; echo the reason >&2; exit 3")];
    let error = runner::run(&lab(2), "making", &mut Making, &failed, Vec::new()).expect_err("it failed");
    assert!(
        matches!(&error, BenchError::Failed { what, said, .. } if what == "failed" && said.contains("the reason"))
    );
    let lazy = [good, command("lazy", "true")];
    let error = runner::run(&lab(2), "making", &mut Making, &lazy, Vec::new()).expect_err("it did nothing");
    assert!(matches!(&error, BenchError::Void { who, .. } if who == "lazy"), "{error}");
    assert!(runner::run(&lab(2), "making", &mut Making, &[], Vec::new()).is_err(), "nobody takes part");
}

#[test]
fn a_failure_within_a_pipe_counts() {
    let measurer = lab(1).measurer;
    assert!(measurer.run(&job("set -o pipefail; false | cat")).is_err());
    assert!(measurer.run(&Job { argv: vec!["/no/such/program".into()], ..job("") }).is_err());
}

#[test]
fn what_a_command_takes_is_that_of_all_it_starts() {
    let lab = lab(1);
    let ran = lab.measurer.run(&job("echo hello; echo why >&2")).expect("run");
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("hello\n", "why\n"));
    let idle = ran.usage;
    // A process of a process: about 100 MB, all of it touched.
    let many = job("(head -c 100000000 /dev/zero | tail -n 1 | wc -c); true");
    let busy = lab.measurer.run(&many).expect("run").usage;
    assert!(busy.cpu > idle.cpu, "{busy:?} {idle:?}");
    assert!(busy.peak > 90_000_000 && idle.peak < 50_000_000, "{busy:?} {idle:?}");
}

#[test]
fn the_memory_of_a_small_program_is_not_hidden_by_that_of_the_harness() {
    let argv = vec!["/bin/true".to_string()];
    let ran = lab(1).measurer.run(&Job { argv, ..job("") }).expect("run");
    let peak = ran.usage.peak;
    assert!(peak > 100_000 && peak < 5_000_000, "{peak}");
}

/// A `zfs-bench run` that writes its results there.
fn run(out: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(ZFS_BENCH);
    command.args(["run", "--out"]).arg(out).args(arguments);
    command
}

fn results(path: &Path) -> Results {
    serde_json::from_str(&std::fs::read_to_string(path).expect("results")).expect("results")
}

#[test]
fn a_whole_run_ends_in_a_table_and_a_chart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (part, out) = (folder.path().join("part.json"), folder.path().join("out"));
    let ran = run(&part, &["planning", "--rounds", "5", "--", "planning=20000"]).output().expect("started");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let made =
        Command::new(ZFS_BENCH).args(["report", "--out"]).arg(&out).arg(&part).status().expect("started");
    assert!(made.success());
    let read = |name: &str| std::fs::read_to_string(out.join(name)).expect(name);
    let results = results(&out.join("results.json"));
    let case = &results.runs[0].cases[0];
    assert_eq!(case.series.len(), 2);
    assert!(case.series.iter().all(|series| series.samples.len() == 5));
    assert!(case.goals.iter().all(|goal| goal.judge(case).is_some()), "every goal has what it is about");
    assert!(results.runs[0].failed.is_empty());
    assert!(read("planning-1.svg").starts_with("<svg") || read("planning-1.svg").contains("<svg"));
    assert!(read("results.md").contains("(planning-1.svg)"));

    // It differs from itself in nothing, and with another size it is something else.
    let compare = |old: &Path, new: &Path| {
        Command::new(ZFS_BENCH).arg("compare").arg(old).arg(new).output().expect("started")
    };
    let same = compare(&part, &out.join("results.json"));
    let said = String::from_utf8_lossy(&same.stdout).into_owned();
    assert!(same.status.success(), "{said}");
    assert_eq!(said, "3 goals in both; 0 of them were met and are not any more\n");
    let other = folder.path().join("other.json");
    let ran = run(&other, &["planning", "--rounds", "1", "--", "planning=30000"]).status().expect("started");
    assert!(ran.success());
    assert!(!compare(&part, &other).status.success());
}

#[test]
fn a_suite_that_fails_keeps_no_other_from_going_on_and_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    // A server that ends at once.
    let sshd = folder.path().join("sshd");
    std::fs::write(&sshd, "#!/bin/sh\necho no such server >&2\nexit 1\n").expect("written");
    std::fs::set_permissions(&sshd, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a program");
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap_or_default());
    let (part, out) = (folder.path().join("part.json"), folder.path().join("out"));
    let arguments = ["transport", "planning", "--rounds", "1", "--", "planning=2000", "transport=1"];
    let ran = run(&part, &arguments).env("PATH", path).output().expect("started");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(!ran.status.success() && said.contains("failed: transport"), "{said}");
    let found = results(&part);
    assert_eq!(found.runs[0].failed.len(), 1);
    assert_eq!(found.runs[0].failed[0].suite, "transport");
    let suites: Vec<&str> = found.runs[0].cases.iter().map(|case| case.suite.as_str()).collect();
    assert_eq!(suites, ["planning"], "what came after it was measured");
    let made =
        Command::new(ZFS_BENCH).args(["report", "--out"]).arg(&out).arg(&part).status().expect("started");
    assert!(made.success(), "what there is has a report");
    let text = std::fs::read_to_string(out.join("results.md")).expect("a report");
    assert!(text.contains("**The suite transport failed**") && text.contains("(planning-1.svg)"), "{text}");
}

#[test]
fn sizes_and_suites_that_are_none_are_refused() {
    for arguments in [
        vec!["run", "nothing", "--out", "/dev/null"],
        vec!["run", "planning", "--out", "/dev/null", "--", "x=1"],
    ] {
        let status = Command::new(ZFS_BENCH).args(&arguments).output().expect("started").status;
        assert!(!status.success(), "{arguments:?}");
    }
}
