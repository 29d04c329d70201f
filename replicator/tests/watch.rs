//! `replicator status --watch` on a terminal, which `script` of util-linux makes: how it is left and ended, that the
//! terminal is then as it was, and another size. What is on the screen is tested where it is drawn.

use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::process::Child;
use std::process::ChildStdin;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc::Receiver;
use std::time::Duration;
use std::time::Instant;

const PROGRAM: &str = env!("CARGO_BIN_EXE_replicator");

/// A pool that no machine has.
const CONFIGURATION: &str = "[[dataset]]\nname = \"no-such-pool-of-a-test/data\"\nhourly = 2\n";

/// For what takes no time where all is well.
const LONG: Duration = Duration::from_secs(120);

fn configuration(folder: &Path) -> String {
    let file = folder.join("replicator.toml");
    std::fs::write(&file, CONFIGURATION).expect("a configuration");
    file.to_string_lossy().into_owned()
}

/// The program on a terminal of 80 columns, and what came from there.
struct Session {
    script: Child,
    keys: Option<ChildStdin>,
    news: Receiver<Vec<u8>>,
    seen: String,
    /// Where the next thing is looked for.
    from: usize,
    _folder: tempfile::TempDir,
}

impl Session {
    fn start(before: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = configuration(folder.path());
        let inside = format!(
            "stty rows 24 cols 80; tty; stty -g; {before} sh -c 'echo process $$; \
             exec {PROGRAM} status --watch --config {file}'; echo ended $?; stty -g"
        );
        let mut script = Command::new("script");
        script.args(["-qec", &inside, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
        let script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut script = script.expect("script(1) of util-linux");
        let (keys, mut out) = (script.stdin.take(), script.stdout.take().expect("its output"));
        let (news, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut piece) {
                let _ = news.send(piece[..count].to_vec());
            }
        });
        Self { script, keys, news: heard, seen: String::new(), from: 0, _folder: folder }
    }

    /// Waits for a part of what comes, and gives what is between it and the last one.
    fn wait_for(&mut self, part: &str) -> String {
        self.wait_for_one(&[part])
    }

    /// Waits for one of several.
    fn wait_for_one(&mut self, parts: &[&str]) -> String {
        let until = Instant::now() + LONG;
        loop {
            let found = parts.iter().find_map(|part| Some((part, self.seen[self.from..].find(part)?)));
            if let Some((part, at)) = found {
                let between = self.seen[self.from..self.from + at].to_string();
                self.from += at + part.len();
                return between;
            }
            let left = until.saturating_duration_since(Instant::now());
            let Ok(news) = self.news.recv_timeout(left) else {
                panic!("{parts:?} did not come behind {:?}", &self.seen[self.from..]);
            };
            // A character that is cut in two is none that is waited for.
            self.seen.push_str(&String::from_utf8_lossy(&news));
        }
    }

    /// The name of the terminal, its settings, and the process, once it has drawn all.
    fn drawn(&mut self) -> (String, String, String) {
        self.wait_for("/dev/");
        let tty = format!("/dev/{}", self.wait_for("\r\n"));
        let settings = self.wait_for("\r\n");
        self.wait_for("process ");
        let process = self.wait_for("\r\n");
        self.wait_for("\u{1b}[?1049h");
        self.wait_for("q: quit");
        (tty, settings, process)
    }

    fn press(&mut self, keys: &str) {
        let pipe = self.keys.as_mut().expect("keys");
        pipe.write_all(keys.as_bytes()).and_then(|()| pipe.flush()).expect("they go there");
    }

    /// It has ended with this status, and left a terminal with these settings.
    fn ended(mut self, status: &str, settings: &str) -> String {
        self.wait_for("\u{1b}[?1049l");
        let between = self.wait_for("ended ");
        assert!(between.contains("\u{1b}[?25h"), "the cursor is not there: {between:?}");
        assert_eq!((self.wait_for("\r\n").as_str(), self.wait_for("\r\n").as_str()), (status, settings));
        drop(self.keys.take());
        assert!(self.script.wait().expect("it ends").success());
        self.seen
    }
}

fn run(command: &str, arguments: &[&str]) {
    let status = Command::new(command).args(arguments).status();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{command}: {status:?}");
}

#[test]
fn its_keys_leave_it_and_the_terminal_is_as_it_was() {
    for key in ["q", "\u{1b}", "\u{3}"] {
        let mut session = Session::start("");
        let (_, settings, _) = session.drawn();
        session.press(key);
        session.ended("0", &settings);
    }
}

#[test]
fn signals_end_it_and_the_terminal_is_as_it_was() {
    for signal in ["-TERM", "-INT", "-HUP"] {
        let mut session = Session::start("");
        let (_, settings, process) = session.drawn();
        run("kill", &[signal, &process]);
        session.ended("6", &settings);
    }
}

#[test]
fn another_size_is_drawn_anew() {
    let mut session = Session::start("");
    let (tty, settings, _) = session.drawn();
    run("stty", &["-F", &tty, "rows", "20", "cols", "40"]);
    // The last line of the new size.
    session.wait_for("\u{1b}[20;1H");
    session.wait_for("q: quit");
    session.press("q");
    session.ended("0", &settings);
}

#[test]
fn no_color_is_heeded() {
    // As crossterm writes red for what is drawn.
    let coloured = |text: &str| text.contains("\u{1b}[38;5;1;");
    for (before, expected) in [("", true), ("NO_COLOR=1", false)] {
        let mut session = Session::start(before);
        let (_, settings, _) = session.drawn();
        // There is no such pool, or no ZFS at all: both are told in red.
        session.wait_for_one(&["AT RISK", "Could not ask"]);
        session.press("q");
        let seen = session.ended("0", &settings);
        assert_eq!(coloured(&seen), expected, "{seen:?}");
    }
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let output = Command::new(PROGRAM).args(["status", "--watch"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--watch needs a terminal") && said.contains("--json"), "{said}");
    assert_eq!(output.stdout, b"");
    for wrong in [&["--watch", "--json"][..], &["--every", "5"], &["--watch", "--every", "0"]] {
        let output = Command::new(PROGRAM).arg("status").args(wrong).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
}
