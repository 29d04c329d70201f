//! Commands that run round snapshots and prunes. Each is a process group of its own, which is ended as a whole when its
//! time is over. It reads nothing, what it prints is read to the end and kept in part, and whatever it does to its output
//! or leaves running in the background keeps nobody waiting.
//!
//! The environment is sanoid's, and the same under names of ours: see [`Environment`].

use std::io::PipeReader;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use rustix::fs::OFlags;
use rustix::fs::fcntl_setfl;
use rustix::process::Pid;
use rustix::process::PidfdFlags;
use rustix::process::Signal;
use rustix::process::WaitId;
use rustix::process::WaitIdOptions;
use rustix::process::kill_process_group;
use rustix::process::pidfd_open;
use rustix::process::waitid;

use crate::cancel::Cancel;
use crate::cancel::TICK;
use crate::config::dataset::Hook;
use crate::config::value::Command;
use crate::policy::Period;
use zfs_core::name::DatasetName;

/// How much of what a hook prints is kept.
const KEPT: usize = 4096;

/// How long a hook has between being asked to end and being ended.
const GRACE: Duration = Duration::from_secs(1);

/// How many bytes of variables a hook gets at most; the kernel refuses a variable of 128 KiB.
const LONGEST: usize = 96 << 10;

/// What a hook is told: each as `SANOID_…` and as `REPLICATOR_…`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    variables: Vec<(&'static str, String)>,
}

impl Environment {
    /// `SCRIPT`: `pre`, `post` or `prune`. `TARGET`: the dataset. `TARGETS`: it and those whose snapshots are taken in one
    /// with its own. `SNAPNAME`, `SNAPNAMES`, `TYPES`: the short names of the snapshots and the periods they are for, the
    /// longest first. Lists are separated by commas.
    #[must_use]
    pub fn new(script: &'static str, targets: &[&DatasetName], snapshots: &[(String, Period)]) -> Self {
        let text = |value: Option<&DatasetName>| value.map(ToString::to_string).unwrap_or_default();
        let mut all = Self::default();
        all.set("SCRIPT", script.to_string());
        all.set("TARGET", text(targets.first().copied()));
        all.set("TARGETS", join(targets.iter().map(|one| one.as_str())));
        all.set("SNAPNAME", snapshots.first().map(|(name, _)| name.clone()).unwrap_or_default());
        all.set("SNAPNAMES", join(snapshots.iter().map(|(name, _)| name.as_str())));
        all.set("TYPES", join(snapshots.iter().map(|(_, period)| period.word())));
        all
    }

    /// Any variables; a value that is too long is cut.
    #[must_use]
    pub fn of(variables: Vec<(&'static str, String)>) -> Self {
        let short = |(name, value): (&'static str, String)| {
            let end = (0..=value.len().min(LONGEST)).rev().find(|at| value.is_char_boundary(*at));
            (name, value[..end.unwrap_or(0)].to_string())
        };
        Self { variables: variables.into_iter().map(short).collect() }
    }

    /// With `PRE_FAILURE`: whether the hook before has failed, 1 or 0.
    #[must_use]
    pub fn pre_failed(mut self, failed: bool) -> Self {
        self.set("PRE_FAILURE", u8::from(failed).to_string());
        self
    }

    fn set(&mut self, name: &'static str, value: String) {
        self.variables.push((name, value));
    }
}

/// With commas, as far as it fits: a list that is cut ends in `…`.
fn join<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut all = String::new();
    for word in words {
        if all.len() + word.len() > LONGEST {
            all.push_str(",…");
            break;
        }
        if !all.is_empty() {
            all.push(',');
        }
        all.push_str(word);
    }
    all
}

/// What a hook did.
#[derive(Debug)]
pub struct Ran {
    /// The head of what it printed, made printable.
    pub output: String,
    /// How much it printed beyond that, in bytes.
    pub dropped: u64,
    /// How long it took.
    pub took: Duration,
    /// Whether it succeeded.
    pub result: Result<(), HookError>,
}

/// Why a hook did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// It could not be started.
    #[error("cannot be started: {0}")]
    Start(String),
    /// It ended with a status other than 0, or by a signal.
    #[error("{}", told(*.0))]
    Failed(ExitStatus),
    /// Its time was over.
    #[error("was ended after {0} s, with all that it had started")]
    Timeout(u64),
    /// The run was asked to stop.
    #[error("was interrupted")]
    Cancelled,
}

fn told(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended in an unknown way".to_string(),
    }
}

/// Runs a hook to its end, or ends it: when its time is over, or when the run is to stop.
#[must_use]
pub fn run(hook: &Hook, environment: &Environment, cancel: &Cancel) -> Ran {
    let started = Instant::now();
    let mut output = Output { head: Vec::new(), dropped: 0 };
    let result = started_and_ended(hook, environment, cancel, &mut output);
    Ran {
        output: crate::transport::printable(&output.head, KEPT),
        dropped: output.dropped,
        took: started.elapsed(),
        result,
    }
}

struct Output {
    head: Vec<u8>,
    dropped: u64,
}

impl Output {
    /// Takes what is there now, at most a few pieces of it; whether there may be more.
    fn take(&mut self, pipe: &mut PipeReader) -> bool {
        let mut buffer = [0; 64 << 10];
        for _ in 0..16 {
            match pipe.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => {
                    let kept = count.min(KEPT - self.head.len());
                    self.head.extend_from_slice(&buffer[..kept]);
                    self.dropped += (count - kept) as u64;
                }
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
        true
    }
}

fn started_and_ended(
    hook: &Hook,
    environment: &Environment,
    cancel: &Cancel,
    output: &mut Output,
) -> Result<(), HookError> {
    let (mut child, mut pipe) =
        start(hook, environment).map_err(|error| HookError::Start(error.to_string()))?;
    let Some(pid) = Pid::from_raw(child.id().cast_signed()) else {
        return Err(HookError::Start("it has no process id".to_string()));
    };
    // An old kernel has no such thing; then its end is looked for now and then.
    let ending = pidfd_open(pid, PidfdFlags::empty()).ok();
    let deadline = hook.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut open = true;
    let stopped = loop {
        if has_ended(pid) {
            break None;
        }
        if cancel.is_cancelled() {
            break Some(HookError::Cancelled);
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            break Some(HookError::Timeout(hook.timeout.unwrap_or(0)));
        }
        let tick = if ending.is_some() { TICK } else { TICK / 10 };
        let mut fds = Vec::new();
        if open {
            fds.push(PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN));
        }
        if let Some(ending) = &ending {
            fds.push(PollFd::from_borrowed_fd(ending.as_fd(), PollFlags::IN));
        }
        wait(&mut fds, left.map_or(tick, |left| left.min(tick)));
        if open {
            open = output.take(&mut pipe);
        }
    };
    if stopped.is_some() {
        end(pid);
    }
    // It has ended: this does not wait.
    let status = child.wait().map_err(|error| HookError::Start(error.to_string()))?;
    if open {
        // What it had printed by then. What is still running of it may print on to nobody.
        output.take(&mut pipe);
    }
    match stopped {
        Some(error) => Err(error),
        None if status.success() => Ok(()),
        None => Err(HookError::Failed(status)),
    }
}

fn start(hook: &Hook, environment: &Environment) -> std::io::Result<(Child, PipeReader)> {
    let mut command = match &hook.command {
        Command::Nothing => return Err(std::io::Error::other("there is no command")),
        Command::Shell(line) => {
            let mut shell = std::process::Command::new("/bin/sh");
            shell.arg("-c").arg(line);
            shell
        }
        Command::Program(words) => {
            let (program, arguments) =
                words.split_first().ok_or_else(|| std::io::Error::other("there is no command"))?;
            let mut command = std::process::Command::new(program);
            command.args(arguments);
            command
        }
    };
    let (reader, writer) = std::io::pipe()?;
    fcntl_setfl(&reader, OFlags::NONBLOCK)?;
    for (name, value) in &environment.variables {
        command.env(format!("SANOID_{name}"), value).env(format!("REPLICATOR_{name}"), value);
    }
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0).current_dir("/");
    // The value holds our ends for writing: it has to go, or the pipe never ends.
    let child = command.spawn();
    drop(command);
    Ok((child?, reader))
}

/// Whether the process has ended. It stays a zombie, so that its group cannot become that of somebody else.
fn has_ended(pid: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    // Without an answer it is not waited for any longer.
    waitid(WaitId::Pid(pid), options).map_or(true, |status| status.is_some())
}

/// Ends a process group: first it is asked, which lets it clean up.
fn end(group: Pid) {
    let _ = kill_process_group(group, Signal::TERM);
    let deadline = Instant::now() + GRACE;
    while !has_ended(group) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    // Also what outlived its leader.
    let _ = kill_process_group(group, Signal::KILL);
}

fn wait(fds: &mut [PollFd<'_>], time: Duration) {
    let time = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
    // Whatever comes of it, the loop looks at everything.
    if poll(fds, Some(&time)).is_err() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::OnFailure;

    fn hook(line: &str, timeout: u64) -> Hook {
        let command = Command::Shell(line.to_string());
        Hook { command, timeout: (timeout > 0).then_some(timeout), on_failure: OnFailure::Stop }
    }

    fn environment() -> Environment {
        let names: [DatasetName; 2] = ["tank/a", "tank/a/b c"].map(|name| name.parse().expect("a name"));
        let snapshots = [("s_daily".to_string(), Period::Daily), ("s_hourly".to_string(), Period::Hourly)];
        Environment::new("post", &[&names[0], &names[1]], &snapshots).pre_failed(true)
    }

    fn ran(line: &str, timeout: u64) -> Ran {
        run(&hook(line, timeout), &environment(), &Cancel::new())
    }

    /// Whether a process is there and no zombie.
    fn lives(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z') && !rest.starts_with('X'))
    }

    #[test]
    fn it_is_told_what_sanoid_tells_under_both_names() {
        for prefix in ["SANOID", "REPLICATOR"] {
            let line = ["SCRIPT", "TARGET", "TARGETS", "SNAPNAME", "SNAPNAMES", "TYPES", "PRE_FAILURE"]
                .map(|name| format!("\"${prefix}_{name}\""))
                .join(" ");
            let ran = ran(&format!("printf '%s|' {line}; pwd"), 10);
            assert!(ran.result.is_ok(), "{:?}", ran.result);
            let expected = "post|tank/a|tank/a,tank/a/b c|s_daily|s_daily,s_hourly|daily,hourly|1|/";
            assert_eq!(ran.output, expected);
        }
    }

    #[test]
    fn its_status_is_its_result() {
        assert!(ran("exit 0", 10).result.is_ok());
        let failed = ran("echo no >&2; exit 3", 10);
        assert_eq!(failed.result.expect_err("it failed").to_string(), "ended with status 3");
        assert_eq!(failed.output, "no");
        assert_eq!(ran("kill -9 $$", 10).result.expect_err("it failed").to_string(), "was ended by signal 9");
        let program = Command::Program(vec!["/nowhere/to be found".to_string()]);
        let nowhere = Hook { command: program, ..hook("", 10) };
        let started = run(&nowhere, &environment(), &Cancel::new());
        assert!(matches!(started.result, Err(HookError::Start(_))), "{:?}", started.result);
    }

    #[test]
    fn one_that_hangs_is_ended_with_all_that_it_started() {
        // The grandchildren ignore the polite signal and keep the output open; the leader hangs, or has ended at once.
        let folder = tempfile::tempdir().expect("a folder");
        let pids = folder.path().join("pids");
        let line = format!(
            "for i in 1 2 3; do sh -c \"trap '' TERM HUP; echo \\$\\$ >> {}; while :; do sleep 1; done\" & done; sleep 1000",
            pids.display()
        );
        let ran = ran(&line, 2);
        assert!(matches!(ran.result, Err(HookError::Timeout(2))), "{:?}", ran.result);
        let pids = std::fs::read_to_string(&pids).expect("they were started");
        assert_eq!(pids.lines().count(), 3);
        for _ in 0..500 {
            if !pids.lines().any(lives) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("some of {pids:?} are still there");
    }

    #[test]
    fn what_goes_on_in_the_background_keeps_nobody_waiting() {
        let ran = ran("sleep 1000 & echo $!", 0);
        assert!(ran.result.is_ok());
        // It was started by the hook for its own purposes, and is the test's to end.
        assert!(lives(&ran.output), "{:?}", ran.output);
        let pid = Pid::from_raw(ran.output.parse().expect("a number")).expect("a process");
        rustix::process::kill_process(pid, Signal::KILL).expect("ended");
    }

    #[test]
    fn what_it_prints_is_read_to_the_end_and_kept_in_part() {
        let ran = ran("head -c 40000000 /dev/zero | tr '\\0' x; echo done >&2", 0);
        assert!(ran.result.is_ok(), "{:?}", ran.result);
        assert!(ran.output.len() <= KEPT + 4 && ran.output.starts_with("xxx"));
        assert_eq!(ran.dropped, 40_000_005 - KEPT as u64);
    }

    #[test]
    fn one_that_closes_its_output_is_still_waited_for() {
        let ran = ran("exec >&- 2>&-; sleep 0.3; exit 4", 10);
        assert_eq!(ran.result.expect_err("it failed").to_string(), "ended with status 4");
    }

    #[test]
    fn it_ends_when_the_run_is_to_stop() {
        let cancel = Cancel::new();
        let ran = std::thread::scope(|scope| {
            let running = scope.spawn(|| run(&hook("sleep 1000", 0), &environment(), &cancel));
            cancel.cancel();
            running.join().expect("no panic")
        });
        assert!(matches!(ran.result, Err(HookError::Cancelled)));
    }

    #[test]
    fn a_list_that_is_too_long_is_cut() {
        let name: DatasetName = format!("tank/{}", "x".repeat(200)).parse().expect("a name");
        let many = vec![&name; 10_000];
        let environment = Environment::new("pre", &many, &[]);
        let ran = run(&hook("echo ${#SANOID_TARGETS}", 10), &environment, &Cancel::new());
        assert!(ran.result.is_ok(), "{:?}", ran.result);
        let length: usize = ran.output.parse().expect("a number");
        assert!((LONGEST / 2..=LONGEST + 4).contains(&length), "{length}");
    }
}
