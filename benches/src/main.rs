//! `zfs-bench`: runs suites on the machine it is started on, makes tables and charts of results, and compares two of them.
//! `cargo lab bench` calls it, in a node or here.

use std::cell::RefCell;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

use benches::carry::Carry;
use benches::chart;
use benches::compare::compare;
use benches::compare::text;
use benches::contender;
use benches::data;
use benches::data::Kind;
use benches::error::BenchError;
use benches::error::Context;
use benches::error::Result;
use benches::error::unfit;
use benches::lab::Far;
use benches::lab::Lab;
use benches::machine::Machine;
use benches::machine::first_lines;
use benches::measure::Measurer;
use benches::measure::STARTER;
use benches::pool::Device;
use benches::result::Failed;
use benches::result::Results;
use benches::result::Run;
use benches::shell::Shell;
use benches::sink::sink;
use benches::sizes::Sizes;
use benches::suites;
use benches::suites::Suite;
use benches::table;
use clap::Parser;
use replicator::agent::Listen;

/// Measures this program beside others.
#[derive(Parser)]
#[command(name = "zfs-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Sub,
}

#[derive(clap::Subcommand)]
enum Sub {
    /// Run suites here. Makes pools of its own and destroys them again. A suite that fails keeps none of the others from going
    /// on; the exit status is 1 then.
    Run(RunArguments),
    /// Make results.json, results.md and charts of files with results.
    Report {
        /// The folder for them.
        #[arg(long)]
        out: PathBuf,
        /// What `run` wrote.
        #[arg(required = true)]
        results: Vec<PathBuf>,
    },
    /// List the goals whose verdict is another one in a second run. The exit status is 1 where one was met and is not any more.
    Compare {
        /// What `run` or `report` wrote before.
        old: PathBuf,
        /// What it wrote now.
        new: PathBuf,
    },
    /// Plan a history once.
    #[command(hide = true)]
    Plan { snapshots: usize },
    /// Write made-up data.
    #[command(hide = true)]
    Data {
        kind: Kind,
        bytes: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Carry a stream to another machine.
    #[command(hide = true)]
    Carry(Carry),
    /// Be an agent without ZFS.
    #[command(hide = true)]
    Sink {
        #[arg(long)]
        listen: Option<Listen>,
    },
}

#[derive(clap::Args)]
struct RunArguments {
    /// The suites.
    #[arg(required = true)]
    suites: Vec<Suite>,
    /// How often everyone does everything. Fewer than 5 give no verdict.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// The file for the results.
    #[arg(long)]
    out: PathBuf,
    /// The other machine as ssh calls it, root@HOST; root gets in there with a key. It may be this one.
    #[arg(long, value_name = "HOST")]
    far: Option<String>,
    /// This is a node of the lab: disks instead of files, and the network may be shaped.
    #[arg(long)]
    node: bool,
    /// Disks for the pools of source, near target and far target, instead of files in the folder for temporary files.
    #[arg(long, value_delimiter = ',', value_name = "PATH,PATH,PATH")]
    disks: Vec<String>,
    /// The size of each file, in MB.
    #[arg(long, default_value_t = 8192)]
    file_megabytes: u64,
    /// The real syncoid, where it is in no usual place.
    #[arg(long)]
    syncoid: Option<String>,
    /// A folder with the Python packages of bzfs and zfs-autobackup.
    #[arg(long)]
    python: Option<String>,
    /// Sizes: datasets=41, snapshots=10, kilobytes=1024, megabytes=800, slow-megabytes=1024, listing=100000,
    /// taking=10000, planning=1000000, transport=2048.
    #[arg(last = true)]
    sizes: Vec<String>,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Sub::Run(arguments) => arguments.run().map(|()| ExitCode::SUCCESS),
        Sub::Report { out, results } => report(&out, &results).map(|()| ExitCode::SUCCESS),
        Sub::Compare { old, new } => compared(&old, &new),
        Sub::Plan { snapshots } => say(&suites::plan(snapshots)),
        Sub::Data { kind, bytes, seed } => {
            let mut out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
            let written = data::write(kind, bytes, seed, &mut out).and_then(|()| out.flush());
            match written {
                // Whoever reads has enough.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
                other => other.map(|()| ExitCode::SUCCESS).context(|| "writing data".to_string()),
            }
        }
        Sub::Carry(carry) => carry.run().and_then(|said| say(&said)),
        Sub::Sink { listen } => sink(listen).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("zfs-bench: {error}");
        ExitCode::FAILURE
    })
}

fn say(text: &str) -> Result<ExitCode> {
    println!("{}", text.trim_end());
    Ok(ExitCode::SUCCESS)
}

impl RunArguments {
    fn run(self) -> Result<()> {
        let sizes = Sizes::parse(&self.sizes).map_err(BenchError::Unfit)?;
        let needs_zfs = self.suites.iter().any(|suite| suite.needs_zfs());
        if needs_zfs && !Path::new("/dev/zfs").exists() {
            return unfit("there is no ZFS here; the suites planning and transport need none");
        }
        let lab = self.lab(sizes)?;
        let machine = Machine::here(self.node, self.versions(&lab, needs_zfs))?;
        let mut run = Run { machine, cases: Vec::new(), left_out: Vec::new(), failed: Vec::new() };
        for suite in &self.suites {
            if let Err(error) = suite.run(&lab, &mut run.cases) {
                eprintln!("zfs-bench: the suite {} failed: {error}", suite.name());
                run.failed.push(Failed { suite: suite.name(), why: error.to_string() });
            }
            // What is done is kept, should this end before the last suite does.
            run.left_out = lab.left_out.borrow().clone();
            write(&self.out, &Results { runs: vec![run.clone()] })?;
        }
        if run.failed.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = run.failed.iter().map(|failed| failed.suite.as_str()).collect();
        unfit(format!("failed: {}. What was measured is in {}", names.join(", "), self.out.display()))
    }

    fn lab(&self, sizes: Sizes) -> Result<Lab> {
        let scratch = tempfile::Builder::new()
            .prefix("zfs-bench-")
            .tempdir()
            .context(|| "making a folder".to_string())?;
        let me = std::env::current_exe().context(|| "asking for this program's path".to_string())?;
        let beside = me.parent().unwrap_or(Path::new("/"));
        let starter = beside.join(STARTER);
        if !starter.is_file() {
            return unfit(format!("{} is not there: it belongs beside this program", starter.display()));
        }
        let (programs, left_out) =
            contender::programs(beside, self.syncoid.as_deref(), self.python.as_deref(), scratch.path());
        let here = Rc::new(RefCell::new(Shell::here()?));
        let far = self.far.as_ref().map(|host| Far::connect(host, &here)).transpose()?;
        let lab = Lab {
            here,
            far,
            node: self.node,
            sizes,
            rounds: self.rounds as usize,
            measurer: Measurer::new(&starter, scratch.path()),
            me,
            programs,
            left_out: RefCell::default(),
            devices: self.devices(scratch.path())?,
            scratch,
        };
        if self.suites.iter().any(|suite| suite.needs_zfs()) {
            left_out.into_iter().for_each(|why| lab.leave_out(why));
        }
        if !Path::new(&lab.programs.replicator).is_file() && self.suites.iter().any(|suite| suite.needs_zfs())
        {
            return unfit(format!(
                "{} is not there: it belongs beside this program",
                lab.programs.replicator
            ));
        }
        Ok(lab)
    }

    fn devices(&self, scratch: &Path) -> Result<[Device; 3]> {
        let file = |name: &str| Device {
            path: scratch.join(name).to_string_lossy().into_owned(),
            megabytes: Some(self.file_megabytes),
        };
        match self.disks.as_slice() {
            [] => Ok([file("source"), file("near"), file("far")]),
            [source, near, far] => {
                Ok([source, near, far].map(|path| Device { path: path.clone(), megabytes: None }))
            }
            _ => unfit(
                "--disks wants three: for the source, the target here and the target on the other machine",
            ),
        }
    }

    fn versions(&self, lab: &Lab, needed: bool) -> Vec<(String, String)> {
        let programs = &lab.programs;
        let mut found = Vec::new();
        let mut add = |name: &str, version: Option<String>| {
            if let Some(version) = version {
                found.push((name.to_string(), version));
            }
        };
        if !needed {
            return found;
        }
        add("replicator", first_lines(&programs.replicator, &["--version"]));
        add("syncoid", programs.syncoid.as_ref().and_then(|path| first_lines(path, &["--version"])));
        for (name, folder, module) in [
            ("bzfs", &programs.bzfs, "bzfs_main.bzfs"),
            ("zfs-autobackup", &programs.autobackup, "zfs_autobackup.ZfsAutobackup"),
        ] {
            let script = folder
                .as_ref()
                .map(|folder| format!("PYTHONPATH={folder} python3 -m {module} --version || true"));
            add(name, script.and_then(|script| first_lines("/bin/bash", &["-c", &script])));
        }
        found
    }
}

fn write(path: &Path, results: &Results) -> Result<()> {
    let text = serde_json::to_string_pretty(results).context(|| "writing results".to_string())?;
    std::fs::write(path, text + "\n").on("writing", path)
}

fn read(path: &Path) -> Result<Results> {
    let text = std::fs::read_to_string(path).on("reading", path)?;
    serde_json::from_str(&text).context(|| format!("reading {}", path.display()))
}

fn compared(old: &Path, new: &Path) -> Result<ExitCode> {
    let found = compare(&read(old)?, &read(new)?);
    if found.both == 0 {
        return unfit("the two have no goal in common: they are of other suites, sizes or machines");
    }
    print!("{}", text(&found));
    Ok(if found.worse > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn report(out: &Path, files: &[PathBuf]) -> Result<()> {
    let mut all = Results::default();
    for path in files {
        all.runs.extend(read(path)?.runs);
    }
    std::fs::create_dir_all(out).on("making", out)?;
    write(&out.join("results.json"), &all)?;
    let markdown = out.join("results.md");
    std::fs::write(&markdown, table::markdown(&all)).on("writing", &markdown)?;
    for run in &all.runs {
        for (at, case) in run.cases.iter().enumerate() {
            let number = table::at_in_suite(&run.cases, at);
            let path = out.join(chart::file_name(case, number));
            std::fs::write(&path, chart::draw(case)).on("writing", &path)?;
            if let Some(cpu) = chart::draw_cpu(case) {
                let path = out.join(chart::cpu_file_name(case, number));
                std::fs::write(&path, cpu).on("writing", &path)?;
            }
        }
    }
    Ok(())
}
