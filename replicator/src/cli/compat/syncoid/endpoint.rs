//! Where syncoid's words lead: `pool/data`, `host:pool/data`, `user@host:pool/data`, `@host:pool/data`. Its rule is not
//! the one of the other commands: a name with a colon is local where a pool has that name, and an `@` is always a
//! machine.

use zfs_core::name::DatasetName;

use crate::endpoint::Endpoint;
use crate::endpoint::Machine;

/// What a word says, before anybody looked which pools there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word<'w> {
    /// A dataset of this machine.
    Local(&'w str),
    /// A dataset of another one.
    Far {
        /// `user@host` or `host`.
        machine: &'w str,
        /// The dataset there.
        dataset: &'w str,
    },
    /// A dataset of this machine if there is a pool of that name, else one of another machine.
    Either {
        /// The pool, and the whole name begins with it.
        pool: &'w str,
        /// The host.
        machine: &'w str,
        /// The dataset there.
        dataset: &'w str,
    },
}

/// Takes a word apart.
pub(super) fn word(text: &str) -> Word<'_> {
    if let Some((user, rest)) = text.split_once('@')
        && !user.contains(':')
        && let Some((host, dataset)) = rest.split_once(':')
        && !host.contains('@')
    {
        // No user has to be named.
        let machine = if user.is_empty() { host } else { &text[..user.len() + 1 + host.len()] };
        return Word::Far { machine, dataset };
    }
    let head = text.split('/').next().unwrap_or(text);
    match head.split_once(':') {
        Some((machine, _)) => Word::Either { pool: head, machine, dataset: &text[machine.len() + 1..] },
        None => Word::Local(text),
    }
}

/// The endpoint, where `is_pool` says whether this machine has a pool of a name.
///
/// # Errors
/// What is wrong with it.
pub(super) fn endpoint(text: &str, is_pool: impl Fn(&str) -> bool) -> Result<Endpoint, String> {
    let (machine, dataset) = match word(text) {
        Word::Local(dataset) => (None, dataset),
        Word::Either { pool, .. } if is_pool(pool) => (None, text),
        Word::Far { machine, dataset } | Word::Either { machine, dataset, .. } => (Some(machine), dataset),
    };
    let machine = machine.map(machine_of).transpose()?;
    let dataset = DatasetName::try_from(dataset).map_err(|error| error.to_string())?;
    Ok(Endpoint { machine, dataset })
}

/// The same checks as everywhere: nothing that a shell, or ssh, would read as something else.
fn machine_of(text: &str) -> Result<Machine, String> {
    let whole = format!("{text}:pool");
    let endpoint: Endpoint =
        whole.parse().map_err(|error: crate::endpoint::EndpointError| error.to_string())?;
    endpoint.machine.ok_or_else(|| format!("{text:?} names no machine"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, pools: &[&str]) -> String {
        match endpoint(text, |pool| pools.contains(&pool)) {
            Ok(Endpoint { machine: None, dataset }) => format!("here {dataset}"),
            Ok(Endpoint { machine: Some(machine), dataset }) => format!("{machine} {dataset}"),
            Err(_) => "refused".to_string(),
        }
    }

    #[test]
    fn words_lead_where_they_do_there() {
        for (text, pools, leads) in [
            ("tank/a", &[][..], "here tank/a"),
            ("tank/a b", &[], "here tank/a b"),
            ("root@nas:tank/a", &[], "root@nas tank/a"),
            ("@nas:tank/a", &[], "nas tank/a"),
            ("nas:tank/a", &[], "nas tank/a"),
            ("nas:tank/a", &["nas"], "nas tank/a"),
            ("nas:tank/a", &["nas:tank"], "here nas:tank/a"),
            ("nas:tank", &["nas:tank"], "here nas:tank"),
            ("root@nas:odd:pool/a", &["nas"], "root@nas odd:pool/a"),
            ("tank/a:b", &[], "here tank/a:b"),
        ] {
            assert_eq!(parse(text, pools), leads, "{text}");
        }
    }

    #[test]
    fn what_a_shell_or_ssh_would_read_otherwise_is_refused() {
        for text in [
            "",
            "-oProxyCommand=x:tank",
            "root@-oProxyCommand=x:tank",
            "$(reboot)@nas:tank",
            "root@nas;reboot:tank",
            "root@nas:tank/$(reboot)",
            "root@nas:tank;reboot",
            "tank/a@b",
            "root@nas",
            "nas:",
            "tank/a'b",
        ] {
            assert_eq!(parse(text, &[]), "refused", "{text}");
        }
    }
}
