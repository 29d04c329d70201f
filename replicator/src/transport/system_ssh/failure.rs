//! What a failing `ssh` says, as an error of ours. Pure: text in, error out. The texts are those of OpenSSH in the
//! C locale; one that is not known is passed on as it is.

use super::SystemSshOptions;
use crate::transport::TransportError;
use crate::transport::printable;

const PORT: u16 = 22;

/// Makes an error of what ssh wrote to its log before it ended with 255. `phase` is what we were doing; `None` is
/// making the connection.
pub(super) fn classify(
    log: &str,
    options: &SystemSshOptions,
    peer: &str,
    phase: Option<&'static str>,
) -> TransportError {
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let about = About { lines: &lines, options, peer };
    about
        .lookup()
        .or_else(|| about.host_key())
        .or_else(|| about.authentication())
        .or_else(|| about.options())
        .or_else(|| about.silence(phase))
        .or_else(|| about.connect())
        .unwrap_or_else(|| about.other(phase))
}

struct About<'a> {
    lines: &'a [&'a str],
    options: &'a SystemSshOptions,
    peer: &'a str,
}

impl About<'_> {
    fn find(&self, words: &str) -> Option<&str> {
        self.lines.iter().copied().find(|line| line.contains(words))
    }

    fn lookup(&self) -> Option<TransportError> {
        let line = self.find("Could not resolve hostname ")?;
        let (host, cause) = line.split_once("hostname ")?.1.split_once(": ")?;
        Some(TransportError::Lookup { host: safe(host), cause: safe(cause) })
    }

    fn connect(&self) -> Option<TransportError> {
        // One line for each address: `ssh: connect to host NAME port N: why`.
        let mut place = None;
        let mut causes = Vec::new();
        for line in self.lines {
            let Some((_, rest)) = line.split_once("connect to host ") else { continue };
            let Some((host, rest)) = rest.split_once(" port ") else { continue };
            let Some((port, cause)) = rest.split_once(": ") else { continue };
            place = place.or_else(|| Some((safe(host), port.parse().ok()?)));
            causes.push(safe(cause));
        }
        let (host, port) = place?;
        causes.dedup();
        Some(TransportError::Connect { host, port, cause: causes.join(", ") })
    }

    fn host_key(&self) -> Option<TransportError> {
        self.find("Host key verification failed")?;
        let host = self.options.host.clone();
        if self.find("REVOKED HOST KEY").is_some() {
            let cause = self.find("is marked as revoked").map_or_else(|| self.all(), safe);
            let hint = "do not use this host until its key was replaced".to_string();
            return Some(TransportError::HostKeyRefused { host, cause, hint });
        }
        if self.find("HOST IDENTIFICATION HAS CHANGED").is_some() {
            let presented = self.lines.iter().find(|line| line.starts_with("SHA256:"));
            let place = self.find("Offending ").and_then(|line| line.split_once(" in ")).map(|(_, at)| at);
            let cause = format!(
                "it HAS CHANGED: it presented {}, but {} has another; somebody may be pretending to be this host",
                presented.map_or_else(|| "another key".to_string(), |key| safe(key.trim_end_matches('.'))),
                place.map_or_else(|| "a known_hosts file".to_string(), safe)
            );
            let remove = match self.find("ssh-keygen -f ") {
                Some(command) => format!("`{}`", safe(command)),
                None => "`ssh-keygen -R`".to_string(),
            };
            let hint = format!(
                "if the host was really set up anew, remove the old key with {remove}, and {}",
                self.accept()
            );
            return Some(TransportError::HostKeyRefused { host, cause, hint });
        }
        let cause = self.find("host key is known for").map_or_else(|| self.all(), safe);
        Some(TransportError::HostKeyRefused { host, cause, hint: self.accept() })
    }

    /// How a person makes a host key known. Not by ssh-keyscan, which knows no jump hosts.
    fn accept(&self) -> String {
        let port = self.options.port.map(|port| format!("-p {port} ")).unwrap_or_default();
        let file = self.options.known_hosts.first();
        let file = file.map(|file| format!("-o UserKnownHostsFile={} ", file.display())).unwrap_or_default();
        format!(
            "run `ssh {port}{file}{}` once by hand and accept the key there, when its fingerprint is the one that `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints on the host itself",
            self.peer
        )
    }

    fn authentication(&self) -> Option<TransportError> {
        let methods = if let Some(line) = self.find("Permission denied (") {
            let (_, methods) = line.split_once("denied (")?;
            safe(methods.trim_end_matches(['.', ')']))
        } else {
            self.find("Too many authentication failures")?;
            "a limited number of tries; name one key with --identity".to_string()
        };
        let mut tried: Vec<String> =
            ["no such identity: ", "Load key ", "Permissions 0", "sign_and_send_pubkey"]
                .iter()
                .flat_map(|words| self.lines.iter().filter(move |line| line.starts_with(words)))
                .map(|line| match line.strip_suffix("are too open.") {
                    Some(line) => format!("{}are too open: chmod 600 it", safe(line)),
                    None => safe(line),
                })
                .collect();
        for identity in &self.options.identities {
            let identity = identity.display().to_string();
            if !tried.iter().any(|line| line.contains(&identity)) {
                tried.push(format!("{identity}: refused, or it has a passphrase and is not in the agent"));
            }
        }
        if tried.is_empty() {
            tried.push("the keys of the agent and the key files that ssh_config names".to_string());
        }
        Some(TransportError::Authentication { peer: self.peer.to_string(), tried, methods })
    }

    fn options(&self) -> Option<TransportError> {
        let words = ["Bad configuration option", "command-line line ", "Bad owner or permissions on "];
        let line =
            words.iter().find_map(|words| self.find(words)).or_else(|| self.find("command-line: line"))?;
        Some(TransportError::Local {
            what: "ssh does not accept its configuration".to_string(),
            cause: safe(line),
        })
    }

    fn silence(&self, phase: Option<&'static str>) -> Option<TransportError> {
        let peer = self.peer.to_string();
        if self.find("timed out during banner exchange").is_some() {
            let (phase, limit) = ("agreeing on a protocol", self.options.timeouts.connect);
            return Some(TransportError::Timeout { peer, phase, limit });
        }
        let line = self.find("Timeout, server ")?;
        line.contains("not responding").then(|| TransportError::Timeout {
            peer,
            phase: phase.unwrap_or("authenticating"),
            limit: self.options.timeouts.idle,
        })
    }

    fn other(&self, phase: Option<&'static str>) -> TransportError {
        match phase {
            Some(phase) => TransportError::Lost { peer: self.peer.to_string(), phase, cause: self.all() },
            None => TransportError::Handshake {
                host: self.options.host.clone(),
                port: self.options.port.unwrap_or(PORT),
                cause: self.all(),
            },
        }
    }

    fn all(&self) -> String {
        if self.lines.is_empty() {
            return "ssh ended with status 255 and did not say why".to_string();
        }
        // What ssh said last is what it died of.
        let last = &self.lines[self.lines.len().saturating_sub(4)..];
        safe(&last.join("\n"))
    }
}

fn safe(text: &str) -> String {
    printable(text.as_bytes(), 1024)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::codes::Code;
    use crate::codes::Coded;

    fn of(log: &str) -> TransportError {
        let options = SystemSshOptions {
            identities: vec![PathBuf::from("/k/one")],
            port: Some(2222),
            ..SystemSshOptions::new("nas")
        };
        classify(log, &options, "root@nas", None)
    }

    #[test]
    fn each_kind_of_failure_is_recognised() {
        let error = of("ssh: Could not resolve hostname nas: Name or service not known\r\n");
        assert!(
            matches!(&error, TransportError::Lookup { host, cause } if host == "nas" && cause == "Name or service not known"),
            "{error:?}"
        );
        assert_eq!(error.code(), Code::Lookup);
        let error = of(
            "ssh: connect to host nas port 2222: Network is unreachable\r\nssh: connect to host nas port 2222: Connection refused\r\n",
        );
        assert_eq!(
            error.to_string(),
            "cannot connect to nas port 2222: Network is unreachable, Connection refused"
        );
        assert_eq!(error.code(), Code::Connect);
        let error =
            of("Connection timed out during banner exchange\r\nConnection to 10.0.0.2 port 22 timed out\r\n");
        assert!(
            matches!(error, TransportError::Timeout { phase: "agreeing on a protocol", .. }),
            "{error:?}"
        );
        let error = of("Timeout, server nas not responding.\r\n");
        assert!(matches!(error, TransportError::Timeout { phase: "authenticating", .. }), "{error:?}");
        assert_eq!(error.code(), Code::Timeout);
        let error = of(
            "kex_exchange_identification: read: Connection reset by peer\r\nConnection reset by 10.0.0.2 port 22\r\n",
        );
        assert!(
            matches!(&error, TransportError::Handshake { port: 2222, cause, .. } if cause.contains("reset by peer")),
            "{error:?}"
        );
        assert_eq!(error.code(), Code::Handshake);
        let error = of("command-line: line 0: Bad configuration option: foo\r\n");
        assert!(matches!(&error, TransportError::Local { cause, .. } if cause.contains("foo")), "{error:?}");
        assert_eq!(error.code(), Code::Local);
        let error = of("");
        assert!(
            matches!(&error, TransportError::Handshake { cause, .. } if cause.contains("255")),
            "{error:?}"
        );
    }

    #[test]
    fn a_refused_user_is_told_which_keys_were_tried() {
        let error = of("root@nas: Permission denied (publickey,password).\r\n");
        let text = error.to_string();
        assert!(text.contains("/k/one: refused") && text.contains("publickey,password)"), "{text}");
        assert_eq!(error.code(), Code::Authentication);
        let text = of(
            "no such identity: /k/one: No such file or directory\r\nroot@nas: Permission denied (publickey).",
        )
        .to_string();
        assert!(text.contains("/k/one: No such file") && !text.contains("refused,"), "{text}");
        let text =
            of("Permissions 0644 for '/k/one' are too open.\r\nroot@nas: Permission denied (publickey).")
                .to_string();
        assert!(text.contains("chmod 600"), "{text}");
        let text =
            of("Received disconnect from 10.0.0.2 port 22:2: Too many authentication failures").to_string();
        assert!(text.contains("--identity"), "{text}");
    }

    #[test]
    fn host_keys_are_refused_with_the_way_out() {
        let unknown = of(
            "No ED25519 host key is known for [nas]:2222 and you have requested strict checking.\r\nHost key verification failed.\r\n",
        );
        assert!(matches!(unknown, TransportError::HostKeyRefused { .. }), "{unknown:?}");
        assert_eq!(unknown.code(), Code::HostKeyUnusable);
        assert!(unknown.to_string().contains("[nas]:2222"), "{unknown}");
        assert!(unknown.hint().expect("a hint").contains("`ssh -p 2222 root@nas`"), "{unknown:?}");
        let changed = of(
            "@@@@@@@@@@@@\r\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n@@@@@@@@@@@@\r\nThe fingerprint for the ED25519 key sent by the remote host is\nSHA256:abcDEF.\r\nOffending ECDSA key in /known:2\r\n  remove with:\r\n  ssh-keygen -f \"/known\" -R \"nas\"\r\nHost key verification failed.\r\n",
        );
        let text = changed.to_string();
        assert!(
            text.contains("HAS CHANGED") && text.contains("SHA256:abcDEF,") && text.contains("/known:2"),
            "{text}"
        );
        assert!(changed.hint().expect("a hint").contains("ssh-keygen -f \"/known\" -R \"nas\""));
        let revoked = of(
            "@       WARNING: REVOKED HOST KEY DETECTED!               @\r\nThe ED25519 host key for nas is marked as revoked.\r\nHost key verification failed.\r\n",
        );
        assert!(revoked.to_string().contains("marked as revoked"), "{revoked}");
        assert!(!revoked.hint().expect("a hint").contains("accept"), "{revoked:?}");
    }

    #[test]
    fn while_a_command_runs_the_connection_is_lost() {
        let options = SystemSshOptions::new("nas");
        let error =
            classify("client_loop: send disconnect: Broken pipe\r\n", &options, "nas", Some("sending"));
        assert!(
            matches!(&error, TransportError::Lost { phase: "sending", cause, .. } if cause.contains("Broken pipe")),
            "{error:?}"
        );
        assert_eq!(error.code(), Code::Lost);
        let error = classify("Timeout, server nas not responding.\r\n", &options, "nas", Some("sending"));
        assert!(matches!(error, TransportError::Timeout { phase: "sending", .. }), "{error:?}");
    }

    #[test]
    fn what_the_server_says_cannot_break_the_message() {
        let error = of("Received disconnect from 10.0.0.2 port 22:2: \x1b[31mred\x07");
        assert!(!error.to_string().contains('\x1b'), "{error}");
    }
}
