//! The ways in which people are told: a command, mail through the sendmail of this machine, JSON to an address by HTTP.

use std::io::Write;
use std::time::Duration;

use serde_json::json;

use super::News;
use crate::cancel::Cancel;
use crate::config::dataset::Hook;
use crate::config::notify::Notify;
use crate::config::value::Command;
use crate::config::value::OnFailure;
use crate::hook;
use crate::hook::Environment;
use crate::transport::quote;

/// How long each way may take, in seconds.
const TIMEOUT: u64 = 30;

/// Where a sendmail is on every system that has one.
const SENDMAIL: &str = "/usr/sbin/sendmail";

/// A machine that tells.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Its name.
    pub host: String,
    /// The clock, in seconds since 1970.
    pub now: i64,
    /// The program for mail.
    pub sendmail: String,
}

impl Sender {
    /// This machine.
    #[must_use]
    pub fn here(now: i64) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        // It stands in the head of a mail.
        let host = host.chars().filter(char::is_ascii_graphic).collect();
        Self { host, now, sendmail: SENDMAIL.to_string() }
    }

    /// Tells it in every way that the configuration names; what went wrong with each that failed.
    #[must_use]
    pub fn send(&self, news: &News, to: &Notify, cancel: &Cancel) -> Vec<String> {
        let mut failed = Vec::new();
        let mut note = |way: &str, result: Result<(), String>| {
            if let Err(why) = result {
                failed.push(format!("{way}: {why}"));
            }
        };
        if let Some(command) = &to.command {
            note("the command", self.command(command, news, cancel));
        }
        if !to.mail.is_empty() {
            note("mail", self.mail(&to.mail, news, cancel));
        }
        if let Some(address) = &to.webhook {
            note("the webhook", self.webhook(address, news));
        }
        failed
    }

    fn command(&self, command: &Command, news: &News, cancel: &Cancel) -> Result<(), String> {
        let environment = Environment::of(vec![
            ("HOST", self.host.clone()),
            ("CHECK", news.check.clone()),
            ("LEVEL", news.level.word().to_string()),
            ("WAS", news.was.word().to_string()),
            ("TEXT", news.text.clone()),
        ]);
        run(command.clone(), &environment, cancel)
    }

    fn mail(&self, to: &[String], news: &News, cancel: &Cancel) -> Result<(), String> {
        let failed = |error: std::io::Error| error.to_string();
        let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
        file.write_all(self.message(to, news).as_bytes()).and_then(|()| file.flush()).map_err(failed)?;
        let path = file.path().to_str().ok_or("the temporary folder has a name that is no text")?;
        let mut line = format!("exec {} -i --", quote::sh(&self.sendmail));
        for address in to {
            line.push_str(&format!(" {}", quote::sh(address)));
        }
        line.push_str(&format!(" < {}", quote::sh(path)));
        run(Command::Shell(line), &Environment::default(), cancel)
    }

    fn message(&self, to: &[String], news: &News) -> String {
        let News { check, was, level, text, .. } = news;
        let Self { host, .. } = self;
        format!(
            "To: {}\nSubject: replicator on {host}: {check} {} (was {})\n\
             MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\
             Auto-Submitted: auto-generated\n\n{text}\n\n`replicator monitor {check}` on {host} shows what it is now.\n",
            to.join(", "),
            level.word(),
            was.word()
        )
    }

    fn webhook(&self, address: &str, news: &News) -> Result<(), String> {
        // No proxy of the environment, and no redirect: who is told is who was named.
        let config = ureq::Agent::config_builder()
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(TIMEOUT)));
        let agent: ureq::Agent = config.build().into();
        let body = json!({
            "host": self.host,
            "time": self.now,
            "check": news.check,
            "level": news.level,
            "was": news.was,
            "text": news.text,
            "changes": news.changes,
        });
        let sent = agent.post(address).header("content-type", "application/json").send(body.to_string());
        let status = sent.map_err(|error| error.to_string())?.status();
        if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
    }
}

fn run(command: Command, environment: &Environment, cancel: &Cancel) -> Result<(), String> {
    let hook = Hook { command, timeout: Some(TIMEOUT), on_failure: OnFailure::Continue };
    let ran = hook::run(&hook, environment, cancel);
    ran.result.map_err(|error| match ran.output.is_empty() {
        true => error.to_string(),
        false => format!("{error}: {}", ran.output),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::monitor::Level;
    use crate::notify::Change;

    fn news() -> News {
        News {
            check: "health".to_string(),
            was: Level::Ok,
            level: Level::Critical,
            text: "CRITICAL ZPOOL tank : it's \"bad\"".to_string(),
            changes: vec![Change {
                subject: "tank".to_string(),
                was: Level::Ok,
                level: Level::Critical,
                text: "it's \"bad\"".to_string(),
            }],
        }
    }

    fn sender() -> Sender {
        Sender { host: "here".to_string(), now: 7, sendmail: SENDMAIL.to_string() }
    }

    fn nobody() -> Notify {
        Notify { command: None, mail: Vec::new(), webhook: None, cooldown: 0 }
    }

    #[test]
    fn a_command_gets_it_in_its_environment_and_its_failure_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("told");
        let line = format!(
            "printf '%s|' \"$REPLICATOR_HOST\" \"$REPLICATOR_CHECK\" \"$REPLICATOR_LEVEL\" \"$REPLICATOR_WAS\" \"$REPLICATOR_TEXT\" > {}",
            file.display()
        );
        let to = Notify { command: Some(Command::Shell(line)), ..nobody() };
        assert_eq!(sender().send(&news(), &to, &Cancel::new()), Vec::<String>::new());
        let told = std::fs::read_to_string(&file).expect("it ran");
        assert_eq!(told, "here|health|CRITICAL|OK|CRITICAL ZPOOL tank : it's \"bad\"|");
        let to = Notify { command: Some(Command::Shell("echo no; exit 3".to_string())), ..nobody() };
        let failed = sender().send(&news(), &to, &Cancel::new());
        assert!(
            failed.len() == 1 && failed[0].contains("status 3") && failed[0].contains("no"),
            "{failed:?}"
        );
    }

    #[test]
    fn mail_goes_through_sendmail() {
        let folder = tempfile::tempdir().expect("a folder");
        let (program, file) = (folder.path().join("send mail"), folder.path().join("sent"));
        let script = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > {0}\ncat >> {0}\n", file.display());
        std::fs::write(&program, script).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).expect("set");
        let sendmail = program.to_str().expect("text").to_string();
        let to = Notify { mail: vec!["root".to_string(), "ann@example.org".to_string()], ..nobody() };
        let failed = Sender { sendmail, ..sender() }.send(&news(), &to, &Cancel::new());
        assert_eq!(failed, Vec::<String>::new());
        let sent = std::fs::read_to_string(&file).expect("it ran");
        assert!(sent.starts_with("-i\n--\nroot\nann@example.org\nTo: root, ann@example.org\n"), "{sent}");
        assert!(sent.contains("\nSubject: replicator on here: health CRITICAL (was OK)\n"), "{sent}");
        assert!(sent.contains("\n\nCRITICAL ZPOOL tank : it's \"bad\"\n"), "{sent}");
    }

    #[test]
    fn a_webhook_gets_json_and_anything_but_success_is_a_failure() {
        for (answer, well) in [("200 OK", true), ("500 No", false), ("302 Found\r\nlocation: /x", false)] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
            let address = format!("http://{}/hook", listener.local_addr().expect("known"));
            let to = Notify { webhook: Some(address), ..nobody() };
            let (failed, asked) = std::thread::scope(|scope| {
                let serving = scope.spawn(|| {
                    let (mut stream, _) = listener.accept().expect("asked");
                    let (mut asked, mut buffer) = (Vec::new(), [0; 4096]);
                    while !asked.ends_with(b"}") {
                        let count = stream.read(&mut buffer).expect("read");
                        assert!(count > 0, "{}", String::from_utf8_lossy(&asked));
                        asked.extend_from_slice(&buffer[..count]);
                    }
                    let answer =
                        format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    stream.write_all(answer.as_bytes()).expect("answered");
                    String::from_utf8(asked).expect("text")
                });
                (sender().send(&news(), &to, &Cancel::new()), serving.join().expect("no panic"))
            });
            assert_eq!(failed.is_empty(), well, "{answer}: {failed:?}");
            assert!(asked.starts_with("POST /hook ") && asked.contains("\"level\":\"critical\""), "{asked}");
            assert!(asked.contains("\"changes\":[{") && asked.contains("\"subject\":\"tank\""), "{asked}");
        }
    }
}
