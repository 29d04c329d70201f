//! The argument vector of `ssh`: what always holds comes first, because ssh takes the first value of each option, then
//! what the user adds, then our defaults. Pure; who runs it is in `control` and `process`.

use std::ffi::OsString;
use std::path::Path;

use super::SystemSshOptions;
use crate::transport::Timeouts;
use crate::transport::TransportError;

/// What no option of the user and no ssh_config may change: nobody is asked anything, no host key is taken on trust or
/// written down, and the connection carries nothing but our command.
const ALWAYS: &[&str] = &[
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    // Its errors are read; remarks for debugging would fill the file they go to.
    "LogLevel=INFO",
    "RemoteCommand=none",
    "PermitLocalCommand=no",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    // Only the run of ssh that says `-M` makes the shared connection. It goes into the background once that stands,
    // and outlives its last command by this many seconds when nobody ends it.
    "ControlMaster=no",
    "ControlPersist=60",
];

/// Characters of a user name that a ProxyCommand or a `Match exec` of ssh_config would hand to a shell.
const SHELL: &str = "'`\";&<>|(){}$";

/// All that is the same for each run of `ssh` to this machine, up to but without the `--` before the host.
pub(super) fn common(options: &SystemSshOptions) -> Result<Vec<OsString>, TransportError> {
    check(options)?;
    let mut arguments = Arguments::default();
    arguments.plain(&["-T", "-e", "none"]);
    ALWAYS.iter().for_each(|option| arguments.option(option));
    options.ssh_options.iter().for_each(|option| arguments.option(option));
    let Timeouts { connect, idle, keepalive, .. } = options.timeouts;
    arguments.option(&format!("ConnectTimeout={}", connect.as_secs().max(1)));
    let interval = keepalive.as_secs().max(1);
    arguments.option(&format!("ServerAliveInterval={interval}"));
    // ssh gives up one interval after the last of these.
    arguments
        .option(&format!("ServerAliveCountMax={}", (idle.as_secs() / interval).saturating_sub(1).max(1)));
    if let Some(config) = &options.config {
        // Not the value of an option: ssh takes it as it is.
        arguments.list.extend([OsString::from("-F"), config.as_os_str().to_os_string()]);
    }
    if let Some(port) = options.port {
        arguments.plain(&["-p", &port.to_string()]);
    }
    if let Some(user) = &options.user {
        arguments.plain(&["-l", user]);
    }
    if !options.identities.is_empty() {
        arguments.option("IdentitiesOnly=yes");
    }
    for identity in &options.identities {
        arguments.option(&format!("IdentityFile={}", quoted(identity)?));
    }
    if !options.known_hosts.is_empty() {
        let files = options.known_hosts.iter().map(|file| quoted(file)).collect::<Result<Vec<_>, _>>()?;
        arguments.option(&format!("UserKnownHostsFile={}", files.join(" ")));
        // The named files are all there is.
        arguments.option("GlobalKnownHostsFile=/dev/null");
    }
    Ok(arguments.list)
}

#[derive(Default)]
struct Arguments {
    list: Vec<OsString>,
}

impl Arguments {
    fn plain(&mut self, arguments: &[&str]) {
        self.list.extend(arguments.iter().map(OsString::from));
    }

    fn option(&mut self, option: &str) {
        self.plain(&["-o", option]);
    }
}

fn check(options: &SystemSshOptions) -> Result<(), TransportError> {
    let refuse = |what: &str, text: &str, why: &str| {
        Err(TransportError::Local { what: format!("cannot use {text:?} as {what}"), cause: why.to_string() })
    };
    let host = &options.host;
    // Besides a shell in ssh_config, ssh itself would read `a@b` and `ssh://b` as more than a host.
    if host.is_empty() || !host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:%".contains(c)) {
        return refuse("the host", host, "only letters, digits and - . _ : % may stand in it");
    }
    if let Some(user) = &options.user
        && (user.is_empty()
            || user.starts_with('-')
            || user.chars().any(|c| c.is_control() || c.is_whitespace() || SHELL.contains(c)))
    {
        return refuse("the user", user, "it holds a character that a shell would read");
    }
    for option in &options.ssh_options {
        if option.is_empty() || option.chars().any(char::is_control) {
            return refuse("an option of ssh", option, "it is empty or holds a control character");
        }
    }
    Ok(())
}

/// A path as ssh reads it in the value of an option. It would expand `%x`, `~` and `${x}`; not all versions know how
/// to quote a quote.
fn quoted(path: &Path) -> Result<String, TransportError> {
    match expandable(path) {
        Some(text) if !text.contains(['"', '\\']) => Ok(format!("\"{text}\"")),
        _ => Err(TransportError::Local {
            what: format!("cannot name {} to ssh", path.display()),
            cause: "only UTF-8 without quotes, backslashes, control characters and ${ may stand in its path"
                .to_string(),
        }),
    }
}

/// A path so that it is itself once ssh has expanded it; `None` where there is no such text.
pub(super) fn expandable(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    if text.is_empty() || text.contains("${") || text.chars().any(char::is_control) {
        return None;
    }
    let here = if text.starts_with('~') { "./" } else { "" };
    Some(format!("{here}{}", text.replace('%', "%%")))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    fn vector(options: &SystemSshOptions) -> Vec<String> {
        common(options).expect("fine").into_iter().map(|a| a.into_string().expect("UTF-8")).collect()
    }

    fn position(vector: &[String], option: &str) -> usize {
        let at = vector.iter().position(|a| a == option).unwrap_or_else(|| panic!("{option}: {vector:?}"));
        assert!(at > 0 && vector[at - 1] == "-o", "{vector:?}");
        at
    }

    #[test]
    fn only_what_was_given_is_said() {
        let plain = vector(&SystemSshOptions::new("nas"));
        for absent in ["-p", "-l", "IdentitiesOnly=yes", "GlobalKnownHostsFile=/dev/null"] {
            assert!(!plain.iter().any(|a| a == absent), "{plain:?}");
        }
        let full = vector(&SystemSshOptions {
            user: Some("keeper".to_string()),
            port: Some(2222),
            identities: vec![PathBuf::from("/a key/%h"), PathBuf::from("~x")],
            known_hosts: vec![PathBuf::from("/known 1"), PathBuf::from("/known2")],
            timeouts: Timeouts {
                connect: Duration::from_secs(7),
                idle: Duration::from_secs(60),
                keepalive: Duration::from_secs(10),
                ..Timeouts::default()
            },
            ..SystemSshOptions::new("nas")
        });
        for pair in [["-p", "2222"], ["-l", "keeper"], ["-e", "none"]] {
            assert!(full.windows(2).any(|w| w == pair), "{full:?}");
        }
        for option in [
            "IdentitiesOnly=yes",
            "IdentityFile=\"/a key/%%h\"",
            "IdentityFile=\"./~x\"",
            "UserKnownHostsFile=\"/known 1\" \"/known2\"",
            "GlobalKnownHostsFile=/dev/null",
            "ConnectTimeout=7",
            "ServerAliveInterval=10",
            "ServerAliveCountMax=5",
        ] {
            position(&full, option);
        }
    }

    #[test]
    fn options_of_the_user_win_over_defaults_but_not_over_what_always_holds() {
        let options = SystemSshOptions {
            ssh_options: vec!["StrictHostKeyChecking=no".to_string(), "ConnectTimeout=1".to_string()],
            ..SystemSshOptions::new("nas")
        };
        let vector = vector(&options);
        let theirs = position(&vector, "StrictHostKeyChecking=no");
        for always in ALWAYS {
            assert!(position(&vector, always) < theirs, "{always}");
        }
        assert!(position(&vector, "ConnectTimeout=1") < position(&vector, "ConnectTimeout=15"));
    }

    #[test]
    fn the_shortest_limits_are_still_limits() {
        let timeouts = Timeouts {
            connect: Duration::from_millis(10),
            idle: Duration::from_secs(2),
            keepalive: Duration::from_millis(600),
            ..Timeouts::default()
        };
        let vector = vector(&SystemSshOptions { timeouts, ..SystemSshOptions::new("nas") });
        for option in ["ConnectTimeout=1", "ServerAliveInterval=1", "ServerAliveCountMax=1"] {
            position(&vector, option);
        }
    }

    #[test]
    fn what_ssh_or_a_shell_behind_it_would_read_otherwise_is_refused() {
        let host = |host: &str| SystemSshOptions::new(host);
        let user = |user: &str| SystemSshOptions { user: Some(user.to_string()), ..host("nas") };
        let option = |o: &str| SystemSshOptions { ssh_options: vec![o.to_string()], ..host("nas") };
        let key = |path: &str| SystemSshOptions { identities: vec![PathBuf::from(path)], ..host("nas") };
        for options in [
            host(""),
            host("a@b"),
            host("ssh://b"),
            host("a b"),
            host("$(reboot)"),
            host("a\nb"),
            user(""),
            user("-oProxyCommand=x"),
            user("a;reboot"),
            user("`reboot`"),
            user("a b"),
            option(""),
            option("a\nb"),
            key("/a\"b"),
            key("/a\\b"),
            key("/${HOME}"),
            key("/a\nb"),
        ] {
            assert!(matches!(common(&options), Err(TransportError::Local { .. })), "{options:?}");
        }
        for options in [host("fe80::1%eth0"), host("-oProxyCommand"), user("corp\\me"), user("me@corp")] {
            assert!(common(&options).is_ok(), "{options:?}");
        }
    }
}
