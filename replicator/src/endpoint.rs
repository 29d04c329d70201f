//! How people name a dataset that may be on another machine: `pool/data`, `host:pool/data`, `user@host:pool/data`.
//!
//! The rule is scp's: a colon before the first slash ends the name of a machine. Dataset names may hold colons, and
//! pool names too; where a local pool has one, a leading colon says "this machine": `:odd:pool/data`. An IPv6 address
//! stands in brackets: `user@[2001:db8::1]:pool/data`.

use std::fmt;
use std::str::FromStr;

use zfs_core::name::DatasetName;
use zfs_core::name::NameError;

/// A dataset, here or on another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The machine; `None` is this one.
    pub machine: Option<Machine>,
    /// The dataset there.
    pub dataset: DatasetName,
}

/// Another machine, as it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The user to log in as; `None` leaves it to the transport.
    pub user: Option<String>,
    /// A host name or an address, without brackets.
    pub host: String,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') { write!(f, "[{}]", self.host) } else { f.write_str(&self.host) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.machine {
            Some(machine) => write!(f, "{machine}:{}", self.dataset),
            None if splits(self.dataset.as_str()).is_some() => write!(f, ":{}", self.dataset),
            None => write!(f, "{}", self.dataset),
        }
    }
}

/// Why a text names no dataset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// What stands for the dataset is not a name that ZFS accepts.
    #[error(transparent)]
    Dataset(#[from] NameError),
    /// The user or the host holds a character that neither may have.
    #[error("{what} {text:?} in {whole:?} is not valid: {why}")]
    Machine {
        /// `the host` or `the user`.
        what: &'static str,
        /// The part in question.
        text: String,
        /// All that was given.
        whole: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// A user and a host without a dataset.
    #[error("{0:?} names a machine but no dataset: write it as user@host:pool/dataset")]
    NoDataset(String),
}

/// Splits at the colon that ends the name of a machine, if there is one.
fn splits(text: &str) -> Option<(&str, &str)> {
    let slash = text.find('/').unwrap_or(text.len());
    let head = &text[..slash];
    // The colons of an address in brackets do not count.
    let from = match head.find('[') {
        Some(open) if open == 0 || head[..open].ends_with('@') => open + head[open..].find(']')?,
        _ => 0,
    };
    let colon = from + head[from..].find(':')?;
    Some((&text[..colon], &text[colon + 1..]))
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match splits(text) {
            None if text.contains('@') && !text.contains('/') => {
                Err(EndpointError::NoDataset(text.to_string()))
            }
            None => Ok(Self { machine: None, dataset: DatasetName::try_from(text)? }),
            Some(("", dataset)) => Ok(Self { machine: None, dataset: DatasetName::try_from(dataset)? }),
            Some((_, "")) => Err(EndpointError::NoDataset(text.to_string())),
            Some((machine, dataset)) => {
                let machine = machine_of(machine, text)?;
                Ok(Self { machine: Some(machine), dataset: DatasetName::try_from(dataset)? })
            }
        }
    }
}

impl FromStr for Machine {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let machine = machine_of(text, text)?;
        let address = machine.host.split('%').next().unwrap_or_default();
        if address.contains(':') && address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(EndpointError::Machine {
                what: "the host",
                text: machine.host,
                whole: text.to_string(),
                why: "only an IPv6 address has colons",
            });
        }
        Ok(machine)
    }
}

fn machine_of(text: &str, whole: &str) -> Result<Machine, EndpointError> {
    let invalid = |what, text: &str, why| EndpointError::Machine {
        what,
        text: text.to_string(),
        whole: whole.to_string(),
        why,
    };
    // User names may hold an @ (as those of directories do); host names never do.
    let (user, host) = match text.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, text),
    };
    let host = match host.strip_prefix('[') {
        Some(inner) => {
            inner.strip_suffix(']').ok_or_else(|| invalid("the host", host, "a bracket is missing"))?
        }
        None => host,
    };
    if host.is_empty() || host.starts_with('-') || host.len() > 255 {
        return Err(invalid("the host", host, "it is empty, longer than 255 bytes or begins with a dash"));
    }
    if !host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:%".contains(c)) {
        return Err(invalid("the host", host, "only letters, digits and - . _ : % may stand in it"));
    }
    if let Some(user) = user {
        if user.is_empty() || user.starts_with('-') || user.len() > 255 {
            return Err(invalid(
                "the user",
                user,
                "it is empty, longer than 255 bytes or begins with a dash",
            ));
        }
        if user.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(invalid("the user", user, "spaces and control characters may not stand in it"));
        }
        // No shell of ours reads it, but the commands in ssh_config may, and people who copy a hint.
        if user.chars().any(|c| "'`\"$;&<>|(){}".contains(c)) || user.ends_with('\\') {
            return Err(invalid(
                "the user",
                user,
                "characters that mean something to a shell may not stand in it",
            ));
        }
    }
    Ok(Machine { user: user.map(str::to_string), host: host.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Option<&str>, Option<String>, String) {
        let endpoint: Endpoint = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        let machine = endpoint.machine;
        let host = machine.as_ref().map(|m| m.host.clone());
        let user = machine.and_then(|m| m.user).map(String::leak);
        (user.map(|u| &*u), host, endpoint.dataset.to_string())
    }

    #[test]
    fn local_and_remote_names() {
        for (text, user, host, dataset) in [
            ("tank", None, None, "tank"),
            ("tank/data", None, None, "tank/data"),
            ("tank/a:b", None, None, "tank/a:b"),
            ("tank/with a space", None, None, "tank/with a space"),
            ("host:tank", None, Some("host"), "tank"),
            ("host:tank/a:b", None, Some("host"), "tank/a:b"),
            ("root@host:tank/data", Some("root"), Some("host"), "tank/data"),
            ("corp\\me@host:tank", Some("corp\\me"), Some("host"), "tank"),
            ("me@corp@host:tank", Some("me@corp"), Some("host"), "tank"),
            (":odd:pool/data", None, None, "odd:pool/data"),
            ("host:odd:pool/data", None, Some("host"), "odd:pool/data"),
            ("[2001:db8::1]:tank", None, Some("2001:db8::1"), "tank"),
            ("root@[fe80::1%eth0]:tank/x", Some("root"), Some("fe80::1%eth0"), "tank/x"),
            ("192.0.2.1:tank", None, Some("192.0.2.1"), "tank"),
        ] {
            assert_eq!(parse(text), (user, host.map(str::to_string), dataset.to_string()), "{text}");
        }
    }

    #[test]
    fn what_is_printed_is_read_as_the_same() {
        for text in ["tank/a:b", ":odd:pool/data", "root@[fe80::1]:tank", "host:tank/with a space"] {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(endpoint.to_string(), text);
        }
    }

    #[test]
    fn bad_ones_are_refused_with_the_part_in_question() {
        for text in [
            "",
            "host:",
            "user@host",
            "user@host:",
            "-oProxyCommand=x:tank",
            "user@-host:tank",
            "-user@host:tank",
            "ho st:tank",
            "ho;st:tank",
            "us er@host:tank",
            "us\ner@host:tank",
            "us;er@host:tank",
            "$(user)@host:tank",
            "user\\@host:tank",
            "@host:tank",
            "user@:tank",
            "[::1:tank",
            "host:tank@snap",
            "host:tank#mark",
            "tank@snap",
            "tank/x@snap",
            "tank/../x",
            "tank//x",
            "tank/x;reboot",
            "tank/x\ny",
            "tank/%recv",
            "host:tank/$(reboot)",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text:?} was taken");
        }
        let long = format!("tank/{}", "x".repeat(300));
        assert!(long.parse::<Endpoint>().is_err());
    }
}
