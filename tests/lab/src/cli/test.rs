//! `cargo lab test`: all tests of the workspace, each where it belongs: on this machine, in a node, or on
//! this machine driving nodes. Keeps going after a failure and ends with one line of numbers.

use super::fuzz;
use clap::Args;
use lab::{Generation, workspace};
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};

/// Every step builds with the features of the whole workspace, so that nothing is compiled once more for a part of it.
const ALL: &[&str] = &["--workspace", "--features", "zfs-replicator/test-support"];

/// Tests in some `tests/` that need nothing but this machine: the live view of the status on a terminal, and the measuring
/// of programs.
const ON_HOST: &[&str] = &["watch", "harness"];

/// Tests of the program on the ZFS in memory: a campaign of crashes, and how much memory the planner takes.
const CAMPAIGNS: &[&str] = &["campaign", "memory"];

/// Tests of the lab itself, which boot nodes.
const LAB: &[&str] = &["cli", "nodes"];

/// Tests of the declarations for libzfs_core on this machine without a node, those that run inside a node, and those that run
/// on this machine with nodes of their own.
const ABI: &str = "abi";
const IN_NODE: &str = "node";
const CLUSTER: &str = "cluster";

/// Tests in a node that take about as long as all the others together: they get a node of their own beside the others',
/// since a node has one processor.
const APART: &[&str] = &["model::", "sanoid::"];

/// The part of a test's path that puts it into the smoke set.
const SMOKE: &str = "smoke";

/// If no more of them fail, tests with nodes run once more.
const AGAIN: usize = 5;

/// Memory a cluster test is expected to use, in MB.
const CLUSTER_MEMORY: u64 = 4096;

#[derive(Args)]
pub(crate) struct Test {
    /// Only tests whose path contains this.
    filter: Option<String>,
    /// Also the campaigns with many random rounds, and everything on both generations.
    #[arg(long)]
    long: bool,
    /// Only on this generation. Otherwise everything runs on newest and a smoke set on stable.
    #[arg(long = "zfs", value_name = "newest|stable")]
    generation: Option<Generation>,
    /// Only what runs inside a node, on this machine's own /dev/zfs instead.
    #[arg(long)]
    host: bool,
}

/// What ran.
#[derive(Default, Clone, Copy)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Counts {
    fn add(&mut self, more: Counts) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.skipped += more.skipped;
    }
}

struct Run<'a> {
    options: &'a Test,
    counts: Counts,
    broken: Vec<String>,
    /// The tests that failed in the last step.
    names: Vec<String>,
    /// Those that passed when they ran again.
    unsteady: Vec<String>,
    /// What is printed when this part has ended, since another one prints at the same time.
    held: Option<Vec<u8>>,
}

impl Test {
    pub(crate) fn run(&self) -> lab::Result<ExitCode> {
        let mut run = Run::new(self);
        if self.host {
            lab::host_zfs::need()?;
            run.scenarios("on this machine's ZFS", IN_NODE, &[], |c| {
                c.env("LAB_HOST", "1");
            });
        } else {
            self.in_lab(&mut run)?;
        }
        Ok(run.report())
    }

    fn in_lab(&self, run: &mut Run<'_>) -> lab::Result<()> {
        let full: &[Generation] = match (self.generation, self.long) {
            (Some(Generation::Newest), _) => &[Generation::Newest],
            (Some(Generation::Stable), _) => &[Generation::Stable],
            (None, true) => &Generation::ALL,
            (None, false) => &[Generation::Newest],
        };
        let smoke: &[Generation] =
            if self.generation.is_none() && !self.long { &[Generation::Stable] } else { &[] };
        for generation in full.iter().chain(smoke) {
            lab::build::ensure(*generation, false)?;
        }
        workspace::build_release("zfs-replicator")?;

        run.step("units, on this machine", |c| {
            c.args(ALL).args(["--lib", "--bins"]).args(named(ON_HOST));
            if !self.long {
                c.args(named(CAMPAIGNS));
            }
        });
        run.step("the lab, on this machine", |c| {
            c.args(ALL).args(named(LAB));
        });
        if self.long {
            // Optimised: ten million steps.
            run.step_with("the campaign, optimised, on this machine", &["--nocapture".into()], |c| {
                c.args(["--package", "zfs-replicator", "--release", "--features", "test-support"]);
                c.args(named(CAMPAIGNS));
            });
        }
        run.step("bindings made anew, on this machine", |c| {
            c.args([
                "--package",
                "replicator-zfs-sys",
                "--features",
                "buildtime-bindgen",
                "--lib",
                "--test",
                "*",
            ]);
        });
        run.scenarios("declarations, on this machine", ABI, &[], |_| ());
        for generation in full {
            run.in_two_nodes(*generation);
            run.step(&format!("examples in the documentation, in a node, {generation}"), |c| {
                c.args(ALL).arg("--doc");
                in_node(c, *generation);
            });
            run.with_nodes(*generation);
        }
        run.fuzz();
        for generation in smoke {
            run.scenarios(&format!("smoke set in a node, {generation}"), IN_NODE, &[SMOKE.into()], |c| {
                c.env("LAB_SMOKE", "1");
                in_node(c, *generation);
            });
        }
        Ok(())
    }
}

/// Has the test binary run in a node.
fn in_node(command: &mut Command, generation: Generation) {
    let me = std::env::current_exe().unwrap_or_else(|_| "lab".into());
    let variable = format!("CARGO_TARGET_{}_UNKNOWN_LINUX_GNU_RUNNER", std::env::consts::ARCH.to_uppercase());
    command.env(variable, format!("{} run-in-node", me.display())).env("LAB_ZFS", generation.name());
}

/// As many cluster tests at once as there are processors and one more, since each of them waits for much of its time; fewer
/// where memory does not allow it.
fn cluster_threads() -> u64 {
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    (lab::memory_budget().unwrap_or(0) / CLUSTER_MEMORY).clamp(1, processors + 1)
}

/// Names of test binaries as cargo takes them.
fn named<'t>(tests: &'t [&'t str]) -> impl Iterator<Item = &'t str> {
    tests.iter().flat_map(|test| ["--test", test])
}

impl<'a> Run<'a> {
    fn new(options: &'a Test) -> Self {
        Run {
            options,
            counts: Counts::default(),
            broken: Vec::new(),
            names: Vec::new(),
            unsteady: Vec::new(),
            held: None,
        }
    }

    /// The tests with nodes of their own. Several run at once, and many are about time limits of seconds: a machine that does
    /// other work can be too slow for some. A few that fail run again, alone, and are named in the end.
    fn with_nodes(&mut self, generation: Generation) {
        let title = format!("with nodes, {generation}");
        let set = |c: &mut Command| {
            c.env("LAB_ZFS", generation.name());
        };
        let (failed, broken) = (self.counts.failed, self.broken.len());
        self.scenarios(&title, CLUSTER, &[format!("--test-threads={}", cluster_threads())], set);
        let names = std::mem::take(&mut self.names);
        if names.is_empty() || names.len() > AGAIN || names.len() as u64 != self.counts.failed - failed {
            return;
        }
        self.counts.failed = failed;
        self.broken.truncate(broken);
        let alone = ["--exact", "--test-threads=1"].map(String::from);
        let args: Vec<String> = names.iter().cloned().chain(alone).collect();
        self.scenarios(&format!("{title}: once more, alone"), CLUSTER, &args, set);
        let passed = self.counts.failed == failed;
        self.unsteady.extend(names.into_iter().filter(|name| passed || !self.names.contains(name)));
    }

    /// One of the test binaries.
    fn scenarios(&mut self, title: &str, target: &str, args: &[String], set: impl FnOnce(&mut Command)) {
        self.step_with(title, args, |c| {
            c.args(ALL).args(["--test", target]);
            set(c);
        });
    }

    /// The tests that run inside a node, in two nodes at once.
    fn in_two_nodes(&mut self, generation: Generation) {
        let title = format!("in a node, {generation}");
        if self.options.filter.is_some() {
            return self.scenarios(&title, IN_NODE, &[], |c| in_node(c, generation));
        }
        let skips: Vec<String> = APART.iter().flat_map(|apart| ["--skip".into(), (*apart).into()]).collect();
        let apart: Vec<String> = APART.iter().map(|apart| (*apart).into()).collect();
        let mut beside = Run { held: Some(Vec::new()), ..Run::new(self.options) };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                beside.scenarios(&format!("{title}: the campaigns"), IN_NODE, &apart, |c| {
                    in_node(c, generation);
                });
            });
            self.scenarios(&title, IN_NODE, &skips, |c| in_node(c, generation));
        });
        self.say(&beside.held.unwrap_or_default());
        self.counts.add(beside.counts);
        self.broken.append(&mut beside.broken);
    }

    /// Prints it, now or later.
    fn say(&mut self, bytes: &[u8]) {
        match &mut self.held {
            Some(held) => held.extend_from_slice(bytes),
            None => {
                let mut out = io::stdout().lock();
                let _ = out.write_all(bytes).and_then(|()| out.flush());
            }
        }
    }

    fn step(&mut self, title: &str, set: impl FnOnce(&mut Command)) {
        self.step_with(title, &[], set);
    }

    fn step_with(&mut self, title: &str, args: &[String], set: impl FnOnce(&mut Command)) {
        self.say(format!("\n==== {title}\n").as_bytes());
        let mut command = workspace::cargo();
        command.args(["test", "--quiet", "--no-fail-fast"]);
        set(&mut command);
        command.arg("--");
        // libtest takes several filters and runs what matches any of them; ours must both match.
        match (&self.options.filter, args.iter().any(|a| a == SMOKE)) {
            (Some(filter), true) if !filter.contains(SMOKE) => {
                return self.say(b"(left out: the filter is not about the smoke set)\n");
            }
            (Some(filter), _) => drop(command.arg(filter)),
            (None, _) => {}
        }
        command.args(args.iter().filter(|a| *a != SMOKE || self.options.filter.is_none()));
        if let Ok(me) = std::env::current_exe() {
            command.env("LAB_AGENT", me);
        }
        if let Some(dir) = workspace::bin_dir() {
            command.env("LAB_BIN_DIR", dir);
        }
        if self.options.long {
            command.env("LAB_LONG", "1");
        }
        match self.follow(&mut command) {
            Ok((counts, ended)) => {
                self.counts.add(counts);
                if counts.failed > 0 {
                    self.broken.push(format!("{title}: {} failed", counts.failed));
                } else if !ended {
                    // It did not compile, or a test brought its whole process down.
                    self.counts.failed += 1;
                    self.broken.push(format!("{title}: ended without a result"));
                }
            }
            Err(e) => {
                self.counts.failed += 1;
                self.broken.push(format!("{title}: {e}"));
            }
        }
    }

    /// Runs cargo with its output passed on, and adds up the summaries in it.
    fn follow(&mut self, command: &mut Command) -> io::Result<(Counts, bool)> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut counts = Counts::default();
        let mut from = BufReader::new(child.stdout.take().ok_or_else(|| io::Error::other("no output"))?);
        let mut line = Vec::new();
        self.names.clear();
        while from.read_until(b'\n', &mut line)? > 0 {
            self.say(&line);
            let text = String::from_utf8_lossy(&line);
            if let Some(found) = summary(&text) {
                counts.add(found);
            }
            if text.trim_end() == "failures:" {
                // The last such list has the names alone.
                self.names.clear();
            }
            self.names.extend(failed_name(&text));
            line.clear();
        }
        let status = child.wait()?;
        Ok((counts, status.success()))
    }

    fn fuzz(&mut self) {
        if self.options.filter.as_ref().is_some_and(|filter| !"fuzz".contains(filter.as_str())) {
            return;
        }
        let time = fuzz::duration(self.options.long);
        println!("\n==== fuzz targets, on this machine, {} s each", time.as_secs());
        match fuzz::run(time) {
            Ok((passed, broken)) => {
                self.counts.passed += passed as u64;
                self.counts.failed += broken.len() as u64;
                self.broken
                    .extend(broken.into_iter().map(|target| format!("fuzz target {target}: a finding")));
            }
            Err(e) => {
                self.counts.failed += 1;
                self.broken.push(format!("fuzz targets: {e}"));
            }
        }
    }

    fn report(self) -> ExitCode {
        println!();
        for name in &self.unsteady {
            println!("UNSTEADY  {name}: failed beside others, and passed alone");
        }
        for line in &self.broken {
            println!("FAILED  {line}");
        }
        let Counts { passed, failed, skipped } = self.counts;
        println!("{passed} passed, {failed} failed, {skipped} skipped");
        let _ = io::stdout().flush();
        ExitCode::from(u8::from(failed > 0 || passed == 0 || !self.broken.is_empty()))
    }
}

/// `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s`
fn summary(line: &str) -> Option<Counts> {
    let rest = line.trim().strip_prefix("test result: ")?;
    let number = |word: &str| {
        rest.split([';', '.']).find_map(|part| part.trim().strip_suffix(word)?.trim().parse::<u64>().ok())
    };
    Some(Counts { passed: number("passed")?, failed: number("failed")?, skipped: number("ignored")? })
}

/// A name in the list of tests that failed: `    module::test`.
fn failed_name(line: &str) -> Option<String> {
    let name = line.strip_prefix("    ")?.trim_end();
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | ':');
    (name.contains("::") && name.chars().all(fits)).then(|| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_names_of_what_failed() {
        assert_eq!(failed_name("    cuts::a_cut_2\n").as_deref(), Some("cuts::a_cut_2"));
        for other in
            ["cuts::a_cut", "    status 3", "    at ./tests/x.rs::y", "        cuts::deeper", "    word"]
        {
            assert_eq!(failed_name(other), None, "{other}");
        }
    }

    #[test]
    fn reads_summaries_and_nothing_else() {
        let found = summary("test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s\n").unwrap();
        assert_eq!((found.passed, found.failed, found.skipped), (12, 3, 1));
        assert!(summary("test a::b ... ok").is_none());
        assert!(summary("test result: unreadable").is_none());
    }
}
