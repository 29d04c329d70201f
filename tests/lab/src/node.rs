//! One node: a kernel process that can be booted, cut off from power and booted again with the same disks.
//! The channel to its inside is `control`, its commands are `command`, its place in the network is `switch`.

use crate::bootconf::{BootConf, Mount};
use crate::cache::Artifacts;
use crate::command::Command;
use crate::control::{Control, Event, Handle};
use crate::error::{Context, LabError, Result};
use crate::output::Output;
use crate::protocol::{Exec, Frame};
use crate::switch::{self, Switch};
use crate::{spawner, sys};
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The size of a node's disks.
pub const DISK_SIZE: u64 = 4 << 30;

/// How long a boot may take; it takes about a second on an idle machine.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// How long a node may take to power off by itself.
const POWER_OFF_LIMIT: Duration = Duration::from_secs(30);

/// Lines of the console shown with an error.
const CONSOLE_TAIL: usize = 40;

/// With PATH alone, the 7.2 kernel loses its first process in most boots ("Unexpectedly lost MM child"); with
/// any second variable it never did.
const KERNEL_ENV: &[(&str, &str)] =
    &[("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/root"), ("TERM", "linux"), ("LANG", "C.UTF-8")];

/// What all nodes of a cluster share.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) artifacts: Artifacts,
    pub(crate) agent: PathBuf,
    pub(crate) memory: u64,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) links: Vec<(String, String)>,
    pub(crate) network: bool,
}

/// A node. Clones are the same node.
#[derive(Clone, Debug)]
pub struct Node(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Counted from 1.
    index: usize,
    dir: PathBuf,
    machine: Machine,
    /// The processor of this machine that it runs on.
    cpu: Option<usize>,
    switch: Switch,
    power: Mutex<Power>,
}

#[derive(Debug, Default)]
struct Power {
    on: Option<On>,
    boots: u32,
}

#[derive(Debug)]
struct On {
    child: Child,
    control: Arc<Control>,
}

impl Node {
    /// Makes a node's folder and disks. It is off.
    pub(crate) fn create(
        index: usize,
        dir: PathBuf,
        machine: Machine,
        cpu: Option<usize>,
        switch: Switch,
    ) -> Result<Self> {
        fs::create_dir(&dir).on("making", &dir)?;
        for disk in ["b", "c"] {
            let path = dir.join(format!("ubd{disk}.img"));
            File::create(&path).and_then(|f| f.set_len(DISK_SIZE)).on("making", &path)?;
        }
        let agent = dir.join("agent");
        if fs::hard_link(&machine.agent, &agent).is_err() {
            fs::copy(&machine.agent, &agent).on("copying the agent to", &agent)?;
        }
        Ok(Self(Arc::new(Inner { index, dir, machine, cpu, switch, power: Mutex::default() })))
    }

    /// `node1`, `node2`, …
    pub fn name(&self) -> String {
        format!("node{}", self.0.index)
    }

    /// Its IPv4 address in the cluster's network.
    pub fn address(&self) -> String {
        crate::rootfs::address(self.0.index)
    }

    /// Boots it, with the disks as they are. Returns how long its kernel and set-up took by its own clock.
    pub fn boot(&self) -> Result<Duration> {
        self.boot_at(None)
    }

    /// Boots it with its clock set to a time.
    pub fn boot_at(&self, time: Option<SystemTime>) -> Result<Duration> {
        let mut power = self.power();
        if power.on.is_some() {
            return Err(LabError::Unfit(format!("{} is already running", self.name())));
        }
        power.boots += 1;
        let on = self.launch(time, power.boots)?;
        let control = Arc::clone(&on.control);
        power.on = Some(on);
        drop(power);
        control.ready(BOOT_LIMIT).map_err(|why| {
            let error = self.died(&format!("booting: {why}"));
            self.power_cut();
            error
        })
    }

    fn launch(&self, time: Option<SystemTime>, boots: u32) -> Result<On> {
        let Inner { index, dir, machine, switch, .. } = &*self.0;
        let conf = BootConf {
            index: *index,
            time: time.map(|t| since_1970(t).0),
            network: machine.network,
            mounts: machine.mounts.clone(),
            links: machine.links.clone(),
        };
        fs::write(dir.join("boot.conf"), conf.to_text()).on("writing in", dir)?;
        let console_path = self.console_path();
        let console =
            File::options().create(true).append(true).open(&console_path).on("opening", &console_path)?;
        let (ours, theirs) = UnixStream::pair().context(|| "making a control channel")?;
        let theirs = OwnedFd::from(theirs);
        let card = if machine.network { Some(switch.attach(index - 1)?) } else { None };

        let d = dir.display();
        let mut command = std::process::Command::new(&machine.artifacts.kernel);
        command.env_clear().envs(KERNEL_ENV.iter().copied()).current_dir("/");
        command.arg(format!("mem={}M", machine.memory));
        let release = release(&machine.artifacts.linux_version);
        if release >= (6, 16) {
            command.arg("seccomp=on");
        }
        command.args(["root=/dev/root", "rootfstype=hostfs", "ro", "init=/init"]);
        command.arg(format!("rootflags={}", machine.artifacts.root.display()));
        command.args(["con=null", "con0=null,fd:1"]).arg(format!("con1=fd:{}", theirs.as_raw_fd()));
        command.args([format!("ubd1={d}/ubdb.img"), format!("ubd2={d}/ubdc.img")]);
        if let Some(card) = &card {
            let mac = switch::mac(index - 1).map(|b| format!("{b:02x}")).join(":");
            command.arg(format!("vec0:transport=fd,fd={},mac={mac}", card.as_raw_fd()));
        }
        // Its files go with the node's folder; a bug in the kernel ends the node instead of stopping one
        // thread of it.
        command.args([format!("uml_dir={d}/"), "umid=uml".into(), format!("LABDIR={d}")]);
        command.args([
            "oops=panic".into(),
            "spl.spl_panic_halt=1".into(),
            format!("zfs.zfs_arc_max={}", machine.memory << 20 >> 2),
        ]);
        command
            .stdin(Stdio::null())
            .stderr(console.try_clone().on("opening", &console_path)?)
            .stdout(console);
        command.process_group(0);
        let mut fds = vec![&theirs];
        fds.extend(&card);
        if let Some(cpu) = self.0.cpu {
            sys::stay_on(&mut command, cpu);
        }
        sys::inherit_and_die_with_parent(&mut command, &fds);
        let child = spawner::spawn(command).on("starting", &machine.artifacts.kernel)?;
        drop((theirs, card));
        fs::write(dir.join("pid"), child.id().to_string()).on("writing in", dir)?;
        let control = Control::start(ours, dir).context(|| format!("boot {boots} of {}", self.name()))?;
        Ok(On { child, control })
    }

    /// Whether it is on. A node that ended by itself counts as off.
    pub fn is_running(&self) -> bool {
        self.power().on.as_mut().is_some_and(|on| matches!(on.child.try_wait(), Ok(None)))
    }

    /// Cuts its power: it is gone at once, its disks hold what they hold. Does nothing to a node that is off.
    pub fn power_cut(&self) {
        let mut power = self.power();
        if let Some(mut on) = power.on.take() {
            if let Some(group) = Pid::from_raw(on.child.id() as i32) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = on.child.wait();
            on.control.end("its power was cut");
        }
        self.0.switch.detach(self.0.index - 1);
    }

    /// Powers it off in order: file systems synced, pools as they are.
    pub fn shutdown(&self) -> Result<()> {
        let control = self.control("shutting down")?;
        let _ = control.send(&Frame::PowerOff);
        let start = std::time::Instant::now();
        while self.is_running() {
            if start.elapsed() > POWER_OFF_LIMIT {
                let error = self.died("shutting down: it did not power off");
                self.power_cut();
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.power_cut();
        Ok(())
    }

    /// Sets its clock, not the host's and not the other nodes'.
    pub fn set_time(&self, time: SystemTime) -> Result<()> {
        let (seconds, nanos) = since_1970(time);
        let handle = self
            .control("setting the clock")?
            .set_time(seconds, nanos)
            .map_err(|_| self.died("setting the clock"))?;
        match handle.next(Some(Duration::from_secs(30))) {
            Ok(Some(Event::Exit(0))) => Ok(()),
            Ok(Some(Event::Refused(reason))) => {
                Err(LabError::Spawn { node: self.name(), command: "set the clock".into(), reason })
            }
            _ => Err(self.died("setting the clock")),
        }
    }

    /// A command to be started in it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        Command::new(self, program.as_ref())
    }

    /// Runs a program with arguments to its end, within the default limit.
    pub fn run<S: AsRef<OsStr>>(&self, argv: impl IntoIterator<Item = S>) -> Result<Output> {
        let mut argv = argv.into_iter();
        let Some(program) = argv.next() else { return Err(LabError::Unfit("an empty command".into())) };
        self.command(program).args(argv).run()
    }

    /// The same; an exit code other than 0 is an error.
    pub fn check<S: AsRef<OsStr>>(&self, argv: impl IntoIterator<Item = S>) -> Result<Output> {
        self.run(argv)?.ok()
    }

    /// Runs a bash script to its end.
    pub fn sh(&self, script: &str) -> Result<Output> {
        self.script(script).run()
    }

    /// A bash script as a command, for those that need a limit, input or the background.
    pub fn script(&self, script: &str) -> Command {
        self.command("/bin/bash").arg("-c").arg(script)
    }

    /// Writes a file in the node.
    pub fn write_file(&self, path: &str, data: impl Into<Vec<u8>>) -> Result<()> {
        self.command("/bin/sh").args(["-c", "cat > \"$1\"", "sh", path]).stdin(data).check().map(drop)
    }

    /// Reads a file in the node.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        Ok(self.command("cat").arg("--").arg(path).check()?.stdout)
    }

    /// Everything its kernel and agent printed, over all boots.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.console_path()).unwrap_or_default()).into_owned()
    }

    /// The disk images on the host: `/dev/ubdb` and `/dev/ubdc`.
    pub fn disks(&self) -> [PathBuf; 2] {
        [self.0.dir.join("ubdb.img"), self.0.dir.join("ubdc.img")]
    }

    pub(crate) fn start(&self, exec: Exec, text: &str) -> Result<Handle> {
        self.control(text)?.exec(exec).map_err(|_| self.died(text))
    }

    pub(crate) fn console_tail(&self) -> String {
        let tail = || -> std::io::Result<String> {
            let mut file = File::open(self.console_path())?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(16 * 1024)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            Ok(lines[lines.len().saturating_sub(CONSOLE_TAIL)..]
                .iter()
                .map(|l| format!("  | {l}\n"))
                .collect())
        };
        format!(
            "end of {}'s console:\n{}",
            self.name(),
            tail().unwrap_or_else(|e| format!("  (cannot be read: {e})\n"))
        )
    }

    pub(crate) fn died(&self, during: &str) -> LabError {
        LabError::NodeDied { node: self.name(), during: during.to_owned(), console: self.console_tail() }
    }

    fn control(&self, during: &str) -> Result<Arc<Control>> {
        self.power().on.as_ref().map(|on| Arc::clone(&on.control)).ok_or_else(|| self.died(during))
    }

    fn console_path(&self) -> PathBuf {
        self.0.dir.join("console.log")
    }

    fn power(&self) -> MutexGuard<'_, Power> {
        self.0.power.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its folder on the host.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }
}

fn release(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|p| p.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

fn since_1970(time: SystemTime) -> (i64, u32) {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (after.as_secs() as i64, after.subsec_nanos()),
        // Before 1970: whole seconds are enough.
        Err(before) => (-(before.duration().as_secs() as i64), 0),
    }
}
