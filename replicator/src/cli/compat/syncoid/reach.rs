//! From words to hosts: which machines are meant, how they are reached, and with whose rights the commands work there.

use std::num::NonZeroU64;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use zfs_core::Zfs;

use super::endpoint;
use super::log::Log;
use super::names::Owner;
use super::options::Compress;
use super::options::Options;
use super::run::End;
use super::run::Run;
use super::run::Side;
use crate::cancel::Cancel;
use crate::cli::of_no_pair::of_no_pair;
use crate::endpoint::Endpoint;
use crate::endpoint::Machine;
use crate::host::Depth;
use crate::host::Host;
use crate::host::local::Local;
use crate::host::zfs_cli::ZfsCli;
use crate::lock::LockError;
use crate::lock::RunLock;
use crate::transfer::Compression;
use crate::transfer::Limiter;
use crate::transfer::Patience;
use crate::transfer::Settings;
use crate::transport::TransportError;
use crate::transport::here::Here;
use crate::transport::quote::Elevate;
use crate::transport::system_ssh::SystemSsh;
use crate::transport::system_ssh::SystemSshOptions;

/// Runs a replication, and gives the status.
pub(super) fn run(options: &Options, cancel: &Cancel) -> Result<u8, End> {
    let log = Log::new(options.quiet, options.debug);
    options.warnings.iter().for_each(|text| log.warn(text));
    let zfs = Zfs::open();
    let is_pool = |name: &str| match zfs.as_ref().map(Zfs::pools) {
        Ok(Ok(pools)) => pools.iter().any(|pool| pool.as_str() == name),
        Ok(Err(_)) | Err(_) => {
            log.warn("Unable to enumerate pools (is zfs available?)");
            false
        }
    };
    let read = |text: &str| {
        endpoint::endpoint(text, is_pool).map_err(|why| {
            log.critical(format!("{text:?}: {why}"));
        })
    };
    let (Ok(source), Ok(target)) = (read(&options.source), read(&options.target)) else { return Ok(2) };
    let (from, to) = (&source.dataset, &target.dataset);
    if options.direct.is_some() {
        match (&source.machine, &target.machine) {
            (Some(_), Some(_)) => {
                log.critical("--insecure-direct-connection is for one other machine, and here are two");
                return Ok(2);
            }
            (None, None) => {
                log.warn("--insecure-direct-connection means nothing here: both sides are this machine");
            }
            _ => log.warn("data goes over a connection that is not encrypted (--insecure-direct-connection)"),
        }
    }
    let reach = Reach { options, log: &log, zfs: zfs.as_ref().ok(), cancel };
    let (Some(source_side), Some(target_side)) = (reach.side(&source), reach.side(&target)) else {
        return Ok(if cancel.is_cancelled() { 130 } else { 2 });
    };
    let depth = if options.recursive { Depth::All } else { Depth::One };
    let machine = target.machine.as_ref().map(|machine| machine.host.as_str());
    let _lock = match RunLock::take(machine, to, depth) {
        Ok(lock) if lock.is_visit() => {
            // What others have in hand there may be rolled back by this one.
            log.warn(format!("Cannot sync now: {to} is already target of a zfs receive process."));
            return Ok(1);
        }
        Ok(lock) => Some(lock),
        Err(error @ LockError::Busy { .. }) => {
            log.warn(format!("Cannot sync now: {to} is already target of a zfs receive process."));
            log.debug(error);
            return Ok(1);
        }
        // It keeps this program's own runs apart, and those of syncoid itself know nothing of it.
        Err(error) => {
            log.warn(error);
            None
        }
    };
    // By the kernel, also where the commands run with somebody else's rights: anybody may read it.
    let admitted = match &zfs {
        Ok(zfs) => of_no_pair(&mut Local::new(zfs.clone()), to, target.machine.is_none()),
        Err(_) => Ok(None),
    };
    let _admitted = match admitted {
        Ok(admitted) => admitted,
        Err(failure) => {
            log.critical(failure.message());
            failure.hint().into_iter().for_each(|hint| log.warn(hint));
            return Ok(2);
        }
    };
    let hostname = hostname();
    let mut run = Run {
        options,
        log: &log,
        cancel,
        settings: settings(options, &source, &target),
        owner: Owner::new(&options.identifier, &hostname),
        hostname,
        clock: &jiff::Zoned::now,
        source: source_side,
        target: target_side,
        one_machine: source.machine == target.machine,
        brought: 0,
        targets: std::collections::BTreeMap::new(),
        properties: std::collections::BTreeMap::new(),
        told_compression: false,
        status: 0,
    };
    run.all(from, to)
}

/// The name of this machine, as hostname(1) prints it.
fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// How much longer a stream without a byte is waited for than a connection, so that the reason is told.
const MORE: Duration = Duration::from_secs(30);

fn settings(options: &Options, source: &Endpoint, target: &Endpoint) -> Settings {
    let here = source.machine.is_none() && target.machine.is_none();
    let flags = options.send.flags;
    let mut patience = Patience::default();
    if let Some(direct) = &options.direct {
        // Both sides may wait so long for each other before a byte moves.
        patience.bytes = patience.bytes.map(|bytes| bytes.max(direct.limit() + MORE));
    }
    Settings {
        patience,
        limiter: limit(options, here).map_or_else(Limiter::none, Limiter::new),
        compression: match options.compress {
            Compress::None => Compression::Off,
            // What is compressed on disk and comes as it is there is looked at before.
            _ if flags.raw || flags.compressed => Compression::Auto,
            _ => Compression::On,
        },
        ..Settings::default()
    }
}

/// The rate that holds: the lower one, or on one machine that of the source where both are given.
fn limit(options: &Options, here: bool) -> Option<NonZeroU64> {
    match (options.source_limit, options.target_limit) {
        (Some(source), Some(target)) if !here => Some(source.min(target)),
        (source, target) => source.or(target),
    }
}

struct Reach<'r> {
    options: &'r Options,
    log: &'r Log,
    zfs: Option<&'r Zfs>,
    cancel: &'r Cancel,
}

impl Reach<'_> {
    /// One side, or none where it was told why.
    fn side(&self, endpoint: &Endpoint) -> Option<Side> {
        match &endpoint.machine {
            Some(machine) => self.far(machine),
            None => self.here(),
        }
    }

    /// This machine: the kernel itself for root, and its commands through sudo for others, as there.
    fn here(&self) -> Option<Side> {
        let commands = |elevate| -> Box<dyn Host> {
            Box::new(ZfsCli::new(Box::new(Here::new(self.cancel))).elevated(elevate).here())
        };
        if !rustix::process::geteuid().is_root() && !self.options.no_elevation {
            return Some(Side { host: commands(Elevate::Sudo), machine: None, commands: None });
        }
        let Some(zfs) = self.zfs else {
            self.log.critical("this machine has no usable ZFS");
            return None;
        };
        let host = Box::new(Local::new(zfs.clone()).cancelled_by(self.cancel.clone()));
        Some(Side { host, machine: None, commands: Some(commands(Elevate::No)) })
    }

    fn far(&self, machine: &Machine) -> Option<Side> {
        match self.connect(machine) {
            Ok(transport) => {
                let root = machine.user.as_deref() == Some("root") || self.options.no_elevation;
                let elevate = if root { Elevate::No } else { Elevate::Sudo };
                let host = ZfsCli::new(Box::new(transport)).elevated(elevate);
                let host: Box<dyn Host> = match &self.options.direct {
                    Some(direct) => Box::new(host.over(direct.clone())),
                    None => Box::new(host),
                };
                Some(Side { host, machine: Some(machine.to_string()), commands: None })
            }
            Err(error) => {
                if !self.cancel.is_cancelled() {
                    self.log.critical(format!(
                        "ssh connection echo test failed for {machine} with exit code 255: {error}"
                    ));
                    let of_key =
                        matches!(error, TransportError::HostKey(_) | TransportError::HostKeyRefused { .. });
                    if of_key && trusts_anybody(&self.options.ssh_options) {
                        self.log
                            .loud("-o StrictHostKeyChecking is not followed: host keys are checked, always");
                    }
                }
                None
            }
        }
    }

    fn connect(&self, machine: &Machine) -> Result<SystemSsh, TransportError> {
        let options = self.options;
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let of_home = |path: &PathBuf| of_home(path, home.as_deref());
        let mut ssh_options = options.ssh_options.clone();
        ssh_options.extend(options.ssh_cipher.iter().map(|cipher| format!("Ciphers={cipher}")));
        let mut transport = SystemSsh::new(SystemSshOptions {
            user: machine.user.clone(),
            port: options.ssh_port,
            config: options.ssh_config.as_ref().map(of_home),
            identities: options.ssh_key.iter().map(of_home).collect(),
            ssh_options,
            cancel: self.cancel.clone(),
            ..SystemSshOptions::new(&machine.host)
        })?;
        transport.connect()?;
        Ok(transport)
    }
}

/// A path that begins at the home of the user, as a shell has it.
fn of_home(path: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_path_buf(),
    }
}

/// Whether host keys were to be taken as they come, which is not done.
fn trusts_anybody(options: &[String]) -> bool {
    options.iter().any(|option| {
        let mut words = option.splitn(2, ['=', ' ']);
        let (name, value) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let value = value.trim().to_ascii_lowercase();
        name.eq_ignore_ascii_case("StrictHostKeyChecking")
            && matches!(value.as_str(), "no" | "off" | "accept-new")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_begin_at_home() {
        let of = |path: &str| of_home(Path::new(path), Some(Path::new("/root")));
        assert_eq!(of("~/.ssh/id"), Path::new("/root/.ssh/id"));
        assert_eq!(of("a/~/b"), Path::new("a/~/b"));
        assert_eq!(of("~other/b"), Path::new("~other/b"));
        assert_eq!(of_home(Path::new("~/b"), None), Path::new("~/b"));
    }

    #[test]
    fn an_option_that_trusts_any_key_is_seen() {
        let is = |option: &str| trusts_anybody(&[option.to_string()]);
        assert!(is("StrictHostKeyChecking=no") && is("stricthostkeychecking accept-new"));
        assert!(!is("StrictHostKeyChecking=yes") && !is("Compression=no"));
    }

    #[test]
    fn the_lower_rate_holds_and_on_one_machine_that_of_the_source() {
        let options = Options {
            source_limit: NonZeroU64::new(7),
            target_limit: NonZeroU64::new(5),
            ..Options::default()
        };
        assert_eq!(limit(&options, false), NonZeroU64::new(5));
        assert_eq!(limit(&options, true), NonZeroU64::new(7));
        let one = Options { source_limit: None, ..options };
        assert_eq!(limit(&one, true), NonZeroU64::new(5));
        assert_eq!(limit(&Options::default(), false), None);
    }
}
