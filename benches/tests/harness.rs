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
        measurer: Measurer::new(ZFS_BENCH, scratch.path()),
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
    let (idle, said) = lab.measurer.run(&job("echo hello")).expect("run");
    assert_eq!(said, "hello\n");
    // A process of a process: about 100 MB, all of it touched.
    let (busy, _) =
        lab.measurer.run(&job("(head -c 100000000 /dev/zero | tail -n 1 | wc -c); true")).expect("run");
    assert!(busy.cpu > idle.cpu, "{busy:?} {idle:?}");
    assert!(busy.peak > 90_000_000 && idle.peak < 50_000_000, "{busy:?} {idle:?}");
}

#[test]
fn a_whole_run_ends_in_a_table_and_a_chart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (part, out) = (folder.path().join("part.json"), folder.path().join("out"));
    let run = Command::new(ZFS_BENCH)
        .args(["run", "planning", "--rounds", "5", "--out"])
        .arg(&part)
        .args(["--", "planning=20000"])
        .output()
        .expect("started");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let made =
        Command::new(ZFS_BENCH).args(["report", "--out"]).arg(&out).arg(&part).status().expect("started");
    assert!(made.success());
    let read = |name: &str| std::fs::read_to_string(out.join(name)).expect(name);
    let results: Results = serde_json::from_str(&read("results.json")).expect("results");
    let case = &results.runs[0].cases[0];
    assert_eq!(case.series.len(), 2);
    assert!(case.series.iter().all(|series| series.samples.len() == 5));
    assert!(case.goals.iter().all(|goal| goal.judge(case).is_some()), "every goal has what it is about");
    assert!(read("planning-1.svg").starts_with("<svg") || read("planning-1.svg").contains("<svg"));
    assert!(read("results.md").contains("(planning-1.svg)"));
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
