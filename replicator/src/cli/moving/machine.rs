//! What this machine runs at times, as far as it has to do with sanoid and syncoid: crontabs, `cron.daily` and the like,
//! units of systemd, and the scripts that these call. Only files are read.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use super::Call;
use super::Line;
use super::Origin;
use super::Unclear;
use super::crontab;
use super::unit;
use super::words;
use super::words::Said;

/// Larger files are no crontabs, units or scripts.
const LARGEST: u64 = 1 << 20;

/// Scripts that call scripts are followed so far.
const DEEP: usize = 4;

/// Where a program is looked for that is named without its folder, in the order of cron and systemd.
const PATH: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Folders of units, the ones that win first.
const UNITS: [&str; 5] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// What was found.
#[derive(Debug, Default)]
pub(in crate::cli) struct Found {
    /// In the order of the files.
    pub(in crate::cli) calls: Vec<Call>,
    /// What cannot be followed.
    pub(in crate::cli) unclear: Vec<Unclear>,
    /// Files and folders that could not be read, with the reason.
    pub(in crate::cli) unread: Vec<String>,
}

/// Looks through a machine whose files are below `root`.
pub(in crate::cli) fn look(root: &Path) -> Found {
    let mut machine = Machine { root, found: Found::default(), scripts: BTreeSet::new() };
    machine.crontabs();
    machine.folders_of_cron();
    machine.units();
    machine.found
}

/// What a script is read by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// What its first line says.
    FirstLine,
    /// A shell.
    Shell,
    /// Something else.
    Foreign,
}

struct Machine<'r> {
    root: &'r Path,
    found: Found,
    /// Scripts that were read, so that two that call each other come to an end.
    scripts: BTreeSet<PathBuf>,
}

impl Machine<'_> {
    fn path(&self, below: &Path) -> PathBuf {
        self.root.join(below.strip_prefix("/").unwrap_or(below))
    }

    /// The text of a file; none where there is no such file or it is no text.
    fn read(&mut self, file: &Path) -> Option<String> {
        let path = self.path(file);
        let mut text = Vec::new();
        // Looked at before it is opened: to open a named pipe is to wait for who writes into it.
        let read =
            std::fs::metadata(&path).and_then(|about| match about.is_file() && about.len() <= LARGEST {
                true => std::fs::File::open(&path)?.take(LARGEST).read_to_end(&mut text),
                false => Ok(0),
            });
        match read {
            Ok(_) => String::from_utf8(text).ok(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                self.found.unread.push(format!("{}: {error}", file.display()));
                None
            }
        }
    }

    /// The names in a folder, in order; none where there is no such folder.
    fn names(&mut self, folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        match entries {
            Ok(entries) => {
                let mut names: Vec<_> =
                    entries.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
                names.sort();
                names
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.found.unread.push(format!("{}: {error}", folder.display()));
                Vec::new()
            }
        }
    }

    fn crontabs(&mut self) {
        let mut tabs = vec![(PathBuf::from("/etc/crontab"), true, None)];
        let more = self.names(Path::new("/etc/cron.d"));
        // cron passes over names with a dot, which packages leave behind.
        let used = more.into_iter().filter(|name| !name.contains('.'));
        tabs.extend(used.map(|name| (Path::new("/etc/cron.d").join(name), true, None)));
        for folder in ["/var/spool/cron/crontabs", "/var/spool/cron/tabs", "/var/spool/cron"] {
            for user in self.names(Path::new(folder)) {
                if user != "crontabs" && user != "tabs" {
                    tabs.push((Path::new(folder).join(&user), false, Some(user)));
                }
            }
        }
        for (file, names_user, user) in tabs {
            let Some(text) = self.read(&file) else { continue };
            for mut line in crontab::lines(&file, &text, names_user) {
                line.user = line.user.or_else(|| user.clone());
                self.line(&line, 0);
            }
        }
        let anacron = Path::new("/etc/anacrontab");
        if let Some(text) = self.read(anacron) {
            for line in crontab::anacron(anacron, &text) {
                self.line(&line, 0);
            }
        }
    }

    fn folders_of_cron(&mut self) {
        for often in ["hourly", "daily", "weekly", "monthly"] {
            let folder = PathBuf::from(format!("/etc/cron.{often}"));
            for name in self.names(&folder) {
                if !name.contains('.') {
                    self.script(
                        &folder.join(name),
                        &format!("cron.{often}"),
                        Some("root"),
                        0,
                        How::FirstLine,
                    );
                }
            }
        }
    }

    fn units(&mut self) {
        let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
        for folder in UNITS {
            let folder = Path::new("/").join(folder);
            for name in self.names(&folder) {
                if name.ends_with(".service") || name.ends_with(".timer") {
                    files.entry(name.clone()).or_insert_with(|| folder.join(name));
                }
            }
        }
        let units: BTreeMap<String, Vec<unit::Setting>> =
            files.iter().map(|(name, file)| (name.clone(), self.settings(name, file))).collect();
        for (name, settings) in units.iter().filter(|(name, _)| name.ends_with(".service")) {
            let when = times(name, &units);
            let user = unit::value(settings, "Service", "User").unwrap_or("root").to_string();
            for list in ["ExecStartPre", "ExecStart", "ExecStartPost"] {
                for setting in unit::list(settings, "Service", list) {
                    let line = |text: &str| Line {
                        origin: setting.origin.clone(),
                        when: when.clone(),
                        user: Some(user.clone()),
                        text: text.to_string(),
                    };
                    match unit::command(&setting.value) {
                        Some(command) => self.line(&line(&command), 0),
                        None if words::mentions(&setting.value) => self.found.unclear.push(Unclear {
                            line: line(&setting.value),
                            why: "systemd puts something in place (%)".to_string(),
                        }),
                        // The program may be a script all the same; what it is given is not known.
                        None => {
                            if let Some(path) = setting.value.split_whitespace().next() {
                                let path = path.trim_start_matches(['-', '@', ':', '+', '!']);
                                self.script(Path::new(path), &when, Some(&user), 0, How::FirstLine);
                            }
                        }
                    }
                }
            }
        }
    }

    /// A unit with the files that add to it.
    fn settings(&mut self, name: &str, file: &Path) -> Vec<unit::Setting> {
        let mut files = Vec::new();
        if let Some(text) = self.read(file) {
            files.push((file.to_path_buf(), text));
        }
        let mut added: BTreeMap<String, PathBuf> = BTreeMap::new();
        for folder in UNITS {
            let folder = Path::new("/").join(folder).join(format!("{name}.d"));
            for name in self.names(&folder) {
                if name.ends_with(".conf") {
                    added.entry(name.clone()).or_insert_with(|| folder.join(name));
                }
            }
        }
        for file in added.into_values() {
            if let Some(text) = self.read(&file) {
                files.push((file, text));
            }
        }
        unit::settings(&files)
    }

    /// A line that somebody runs.
    fn line(&mut self, line: &Line, depth: usize) {
        for said in words::calls(&line.text) {
            match said {
                Said::Call(program, arguments) => {
                    self.found.calls.push(Call { line: line.clone(), program, arguments });
                }
                Said::Unclear(why) => {
                    self.found.unclear.push(Unclear { line: line.clone(), why: why.to_string() });
                }
                Said::Other(path) => {
                    if let Some(file) = self.program(&path) {
                        self.script(&file, &line.when, line.user.as_deref(), depth, How::FirstLine);
                    }
                }
                Said::Script(path) => {
                    self.script(Path::new(&path), &line.when, line.user.as_deref(), depth, How::Shell);
                }
                Said::Foreign(path) => {
                    self.script(Path::new(&path), &line.when, line.user.as_deref(), depth, How::Foreign);
                }
            }
        }
    }

    /// Where a program is; none where it is nowhere, or in a working directory that is not known.
    fn program(&self, name: &str) -> Option<PathBuf> {
        if name.contains('/') {
            return name.starts_with('/').then(|| PathBuf::from(name));
        }
        PATH.iter().map(|folder| Path::new(folder).join(name)).find(|file| self.path(file).is_file())
    }

    /// Reads a script, if it has to do with the two.
    fn script(&mut self, file: &Path, when: &str, user: Option<&str>, depth: usize, how: How) {
        // This very program, and those that it stands in for.
        if !self.scripts.insert(file.to_path_buf()) {
            return;
        }
        let Some(text) = self.read(file).filter(|text| words::mentions(text)) else { return };
        let first = text.lines().next().unwrap_or_default();
        // The kernel runs nothing without a first line that says how; a shell does.
        let of_shell = !first.starts_with("#!") || first.trim_end().ends_with("sh") || first.contains("sh ");
        let of_shell = match how {
            How::FirstLine => of_shell,
            How::Shell => true,
            How::Foreign => false,
        };
        let why = match (of_shell, depth >= DEEP) {
            (false, _) => Some("a program in another language names it: look there"),
            (_, true) => Some("scripts that call scripts are not followed further"),
            _ => None,
        };
        if let Some(why) = why {
            let line = Line {
                origin: Origin { file: file.to_path_buf(), line: 1 },
                when: when.to_string(),
                user: user.map(str::to_string),
                text: first.to_string(),
            };
            self.found.unclear.push(Unclear { line, why: why.to_string() });
            return;
        }
        for (number, text) in whole_lines(&text) {
            let line = Line {
                origin: Origin { file: file.to_path_buf(), line: number },
                when: when.to_string(),
                user: user.map(str::to_string),
                text,
            };
            self.line(&line, depth + 1);
        }
    }
}

/// The lines of a script, those joined that a backslash goes on in the next.
fn whole_lines(text: &str) -> Vec<(usize, String)> {
    let mut all: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (at, line) in text.lines().enumerate() {
        let (body, more) = match line.strip_suffix('\\') {
            Some(body) if !line.trim_start().starts_with('#') => (body, true),
            _ => (line, false),
        };
        match all.last_mut().filter(|_| goes_on) {
            Some((_, whole)) => {
                whole.push(' ');
                whole.push_str(body);
            }
            None => all.push((at + 1, body.to_string())),
        }
        goes_on = more;
    }
    all.retain(|(_, line)| !line.trim().is_empty());
    for (_, line) in &mut all {
        *line = line.trim().to_string();
    }
    all
}

/// When a service is started, by its timers.
fn times(service: &str, units: &BTreeMap<String, Vec<unit::Setting>>) -> String {
    let stem = service.strip_suffix(".service").unwrap_or(service);
    let mut times = Vec::new();
    for (name, settings) in units.iter().filter(|(name, _)| name.ends_with(".timer")) {
        let starts = match unit::value(settings, "Timer", "Unit") {
            Some(unit) => unit == service,
            None => name.strip_suffix(".timer") == Some(stem),
        };
        if starts {
            times.push(format!("{name}: {}", unit::times(settings)));
        }
    }
    if times.is_empty() { format!("{service}, without a timer") } else { times.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::super::Program;
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    #[test]
    fn everything_that_calls_them_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        write(
            root,
            "etc/crontab",
            "*/10 * * * * root /usr/sbin/syncoid -r tank/a backup/a\n5 * * * * root ls\n",
        );
        write(root, "etc/cron.d/sanoid", "*/15 * * * * root TZ=UTC /usr/sbin/sanoid --cron\n");
        write(root, "etc/cron.d/old.dpkg-old", "* * * * * root syncoid not this\n");
        write(root, "var/spool/cron/crontabs/bob", "@daily /home/bob/replicate.sh\n");
        write(
            root,
            "home/bob/replicate.sh",
            "#!/bin/bash\n# syncoid in a comment\nset -e\nsyncoid --no-sync-snap \\\n  tank/b root@nas:pool/b\n\
             for i in x y; do syncoid tank/$i backup/$i; done\n/home/bob/more.sh\n",
        );
        write(root, "home/bob/more.sh", "#!/bin/sh\nsyncoid tank/c backup/c\n/home/bob/replicate.sh\n");
        write(root, "etc/cron.daily/replicate", "#!/bin/sh\nexec syncoid tank/d backup/d\n");
        write(
            root,
            "etc/systemd/system/nfs-replica.service",
            "[Service]\nType=oneshot\nExecStart=/usr/local/bin/nfs-replica.sh\n",
        );
        write(
            root,
            "etc/systemd/system/nfs-replica.timer",
            "[Timer]\nOnBootSec=5min\nOnUnitActiveSec=10min\n",
        );
        write(
            root,
            "usr/local/bin/nfs-replica.sh",
            "#!/bin/bash\nsyncoid -r zpool1/nfs root@peer:zpool1/nfs\n",
        );
        write(
            root,
            "usr/lib/systemd/system/s.service",
            "[Service]\nExecStart=/usr/sbin/syncoid old/one b\nUser=rep\n",
        );
        write(
            root,
            "etc/systemd/system/s.service.d/other.conf",
            "[Service]\nExecStart=\nExecStart=/usr/sbin/syncoid tank/e backup/e\n",
        );
        write(root, "etc/anacrontab", "SHELL=/bin/sh\n7 15 weekly.copy nice replicate-weekly\n");
        write(
            root,
            "var/spool/cron/tabs/eve",
            "5 * * * * cd /srv && ./copy; python3 /srv/x.py\n6 * * * * deep\n",
        );
        write(root, "srv/x.py", "run('syncoid')\n");
        write(root, "usr/local/bin/replicate-weekly", "syncoid tank/f backup/f\n");
        write(root, "srv/copy", "#!/bin/sh\nsyncoid tank/g backup/g\n");
        write(root, "usr/local/bin/deep", "#!/usr/bin/python3\ncall(['syncoid', 'a', 'b'])\n");
        write(root, "etc/systemd/system/u@.service", "[Service]\nExecStart=-/srv/instance %i\n");
        write(root, "srv/instance", "#!/bin/sh\nsyncoid tank/h backup/h\n");
        write(
            root,
            "etc/systemd/system/t@.service",
            "[Service]\nExecStart=/usr/sbin/syncoid tank/%i backup/%i\n",
        );
        let found = look(root);
        let shown: Vec<_> = found
            .calls
            .iter()
            .map(|call| {
                let (line, program) = (&call.line, call.program.word());
                let user = line.user.as_deref().unwrap_or("-");
                format!("{} [{}] {user}: {program} {}", line.origin, line.when, call.arguments.join(" "))
            })
            .collect();
        assert_eq!(
            shown,
            [
                "/etc/crontab:1 [*/10 * * * *] root: syncoid -r tank/a backup/a",
                "/etc/cron.d/sanoid:1 [*/15 * * * *] root: sanoid --cron",
                "/home/bob/replicate.sh:4 [@daily] bob: syncoid --no-sync-snap tank/b root@nas:pool/b",
                "/home/bob/more.sh:2 [@daily] bob: syncoid tank/c backup/c",
                "/srv/copy:2 [5 * * * *] eve: syncoid tank/g backup/g",
                "/usr/local/bin/replicate-weekly:1 [every 7 days] root: syncoid tank/f backup/f",
                "/etc/cron.daily/replicate:2 [cron.daily] root: syncoid tank/d backup/d",
                "/usr/local/bin/nfs-replica.sh:2 [nfs-replica.timer: OnBootSec=5min, OnUnitActiveSec=10min] root: \
                 syncoid -r zpool1/nfs root@peer:zpool1/nfs",
                "/etc/systemd/system/s.service.d/other.conf:3 [s.service, without a timer] rep: syncoid tank/e backup/e",
                "/srv/instance:2 [u@.service, without a timer] root: syncoid tank/h backup/h",
            ]
        );
        let unclear: Vec<_> = found.unclear.iter().map(|one| one.line.origin.to_string()).collect();
        assert_eq!(
            unclear,
            [
                "/home/bob/replicate.sh:6",
                "/srv/x.py:1",
                "/usr/local/bin/deep:1",
                "/etc/systemd/system/t@.service:2"
            ]
        );
        assert!(found.unread.is_empty(), "{:?}", found.unread);
        assert_eq!(found.calls[1].program, Program::Sanoid);
    }

    #[test]
    fn a_named_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "etc/cron.d/x", "5 * * * * root syncoid a/b c/d\n");
        let made = std::process::Command::new("mkfifo").arg(folder.path().join("etc/cron.d/pipe")).status();
        assert!(made.expect("mkfifo").success());
        assert_eq!(look(folder.path()).calls.len(), 1);
    }

    #[test]
    fn a_machine_without_any_has_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let found = look(folder.path());
        assert!(found.calls.is_empty() && found.unclear.is_empty() && found.unread.is_empty());
    }
}
