//! A command line of syncoid as a job of ours: the lines of the configuration, and beside each other what syncoid does
//! and what the job does. Pure, so that nothing is asked of a machine.

use std::fmt::Write;

use super::endpoint;
use super::options;
use super::options::Asked;
use super::options::Compress;
use super::options::Options;
use crate::cli::moving::globs;
use crate::cli::moving::report::Row;
use crate::config::value::quoted;
use crate::endpoint::Endpoint;

/// What a command line comes to.
#[derive(Clone, Debug)]
pub(in crate::cli) struct CarriedOver {
    /// What is replicated.
    pub(in crate::cli) source: Endpoint,
    /// Where it goes.
    pub(in crate::cli) target: Endpoint,
    /// The options, for who plans with them.
    pub(in crate::cli) options: Box<Options>,
    /// Keys of `[[replication]]`, without `name`.
    keys: String,
    /// Keys of `[[replication.target]]`, without `to`.
    target_keys: String,
    /// Beside each other.
    pub(in crate::cli) rows: Vec<Row>,
}

impl CarriedOver {
    /// The job under a name.
    pub(in crate::cli) fn toml(&self, name: &str) -> String {
        format!(
            "[[replication]]\nname = {}\nsource = {}\n{}\n[[replication.target]]\nto = {}\n{}",
            quoted(name),
            quoted(&self.source.to_string()),
            self.keys,
            quoted(&self.target.to_string()),
            self.target_keys
        )
    }
}

/// Reads the arguments of a call.
///
/// # Errors
/// Why there is no job.
pub(in crate::cli) fn carry_over(
    arguments: &[String],
    is_pool: impl Fn(&str) -> bool,
) -> Result<CarriedOver, String> {
    let words: Vec<_> = arguments.iter().map(std::ffi::OsString::from).collect();
    let options = match options::read(&words) {
        Ok(Asked::Run(options)) => options,
        Ok(Asked::Help | Asked::Version) => return Err("it only prints something".to_string()),
        Err(refused) => return Err(refused.lines.join("; ")),
    };
    let read = |text: &str| endpoint::endpoint(text, &is_pool).map_err(|why| format!("{text:?}: {why}"));
    let (source, target) = (read(&options.source)?, read(&options.target)?);
    let mut writer = Writer { rows: Vec::new(), keys: String::new(), target_keys: String::new() };
    writer.selection(&options, &source);
    writer.snapshots(&options);
    writer.target(&options);
    writer.streams(&options);
    writer.way(&options, &source, &target);
    let Writer { rows, keys, target_keys } = writer;
    Ok(CarriedOver { source, target, options, keys, target_keys, rows })
}

struct Writer {
    rows: Vec<Row>,
    keys: String,
    target_keys: String,
}

impl Writer {
    fn key(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.keys, "{name} = {value}");
    }

    fn list(&mut self, name: &str, values: &[String]) {
        if !values.is_empty() {
            let values: Vec<_> = values.iter().map(|value| quoted(value)).collect();
            self.key(name, format_args!("[{}]", values.join(", ")));
        }
    }

    fn selection(&mut self, options: &Options, source: &Endpoint) {
        if options.recursive {
            self.key("recursive", true);
            self.rows.push(Row::same("datasets", "--recursive", "recursive = true"));
        }
        let mut excluded = Vec::new();
        if options.recursive && options.skip_parent {
            excluded.push(".".to_string());
            self.rows.push(Row::same("", "--skip-parent", "exclude = [\".\"]"));
        }
        for pattern in options.datasets.excluded() {
            let given = format!("--exclude-datasets={pattern}");
            match globs::excluded(pattern, source.dataset.as_str()) {
                Some(_) if !options.recursive => {}
                Some(globs) => {
                    let text = globs.iter().map(|glob| quoted(glob)).collect::<Vec<_>>().join(", ");
                    self.rows.push(Row::same("", given, format!("exclude = [{text}]")));
                    excluded.extend(globs);
                }
                None => self.rows.push(Row::lost(
                    "",
                    given,
                    "no shell pattern says the same: write `exclude` by hand, or these datasets are sent as well",
                )),
            }
        }
        self.list("exclude", &excluded);
        self.rows.push(Row::other(
            "",
            "datasets with syncoid:sync=false, or without this host in it, are passed over",
            "the property is not read: list them in `exclude`",
        ));
    }

    fn snapshots(&mut self, options: &Options) {
        if options.no_sync_snap {
            self.rows.push(Row::same("snapshots", "--no-sync-snap: sends those that there are", "the same"));
        } else {
            self.rows.push(Row::other(
                "snapshots",
                "takes syncoid_… at each run and sends it; removes its older ones",
                "sends those that policies take: the source needs a [[dataset]] with a policy; what syncoid took stays until \
                 you destroy it",
            ));
        }
        for (name, key, patterns) in [
            ("--include-snaps", "include_snapshots", options.snapshots.included().collect::<Vec<_>>()),
            ("--exclude-snaps", "exclude_snapshots", options.snapshots.excluded().collect()),
        ] {
            let mut all = Vec::new();
            for pattern in patterns {
                let given = format!("{name}={pattern}");
                match globs::snapshots(pattern) {
                    Some(globs) => {
                        let text = globs.iter().map(|glob| quoted(glob)).collect::<Vec<_>>().join(", ");
                        self.rows.push(Row::same("", given, format!("{key} = [{text}]")));
                        all.extend(globs);
                    }
                    None => self.rows.push(Row::lost(
                        "",
                        given,
                        format!("no shell pattern says the same: write `{key}` by hand"),
                    )),
                }
            }
            self.list(key, &all);
        }
        if options.no_stream {
            self.key("newest_only", true);
            self.key("initial", quoted("newest"));
            let ours = "newest_only = true, initial = \"newest\"";
            self.rows.push(Row::same("", "--no-stream: the newest only", ours));
        }
        if options.keep_sync_snap && !options.no_sync_snap {
            let ours = "policies say how long each snapshot stays";
            self.rows.push(Row::other("", "--keep-sync-snap: those that it took stay", ours));
        }
        if !options.identifier.is_empty() {
            let ours = "each target has bookmarks of its own, and needs no name";
            self.rows.push(Row::same(
                "",
                format!("--identifier={}", options.identifier.trim_end_matches('_')),
                ours,
            ));
        }
        if options.use_hold {
            let ours = "bookmarks keep the base instead, and holds only last as long as a run";
            self.rows.push(Row::other("", "--use-hold", ours));
        }
        if options.create_bookmark {
            self.rows.push(Row::other("", "--create-bookmark", "bookmarks of our own, one for each target"));
        }
    }

    fn target(&mut self, options: &Options) {
        let theirs = if options.no_rollback {
            "--no-rollback: newer snapshots or changes of the target are an error"
        } else {
            "newer snapshots and changes of the target are destroyed"
        };
        let ours =
            "stops and shows them; divergence = \"preserve\" keeps them under another name and goes on";
        self.rows.push(Row::new(options.no_rollback, "a target that has changed", theirs, ours));
        if options.force_delete {
            self.rows.push(Row::other(
                "nothing in common",
                "--force-delete: the target is destroyed and filled anew",
                "stops and shows both; divergence = \"preserve\" keeps the old one under another name",
            ));
        }
        if options.delete_target_snapshots {
            self.rows.push(Row::lost(
                "pruning there",
                "--delete-target-snapshots: what the source has not is destroyed there",
                "give the target a `retention` of its own; nothing else is destroyed there",
            ));
        }
    }

    fn streams(&mut self, options: &Options) {
        if options.send.flags.raw {
            self.rows.push(Row::same(
                "streams",
                "--sendoptions=w",
                "encrypted datasets go raw by themselves",
            ));
        } else {
            self.rows.push(Row::other(
                "streams",
                "encrypted datasets go decrypted",
                "they go raw; decrypt = true for a first replication as before",
            ));
        }
        let flags = options.send.flags;
        if !flags.raw && (flags.large_blocks || flags.compressed || flags.embedded) {
            let given = [(flags.large_blocks, 'L'), (flags.compressed, 'c'), (flags.embedded, 'e')];
            let letters: String = given.into_iter().filter_map(|(is, letter)| is.then_some(letter)).collect();
            self.rows.push(Row::same(
                "",
                format!("--sendoptions={letters}"),
                "blocks go as they are on disk, always",
            ));
        }
        if options.send.holds {
            self.rows.push(Row::lost(
                "holds",
                "--sendoptions=h: go with the snapshots",
                "stay on the source",
            ));
        }
        let mut set = options.receive.set.clone();
        // Every copy of ours is read-only.
        set.retain(|pair| *pair != ("readonly".to_string(), "on".to_string()));
        if !set.is_empty() {
            let pairs: Vec<_> =
                set.iter().map(|(name, value)| format!("{} = {}", quoted(name), quoted(value))).collect();
            let value = format!("{{ {} }}", pairs.join(", "));
            self.rows.push(Row::same("properties", "--recvoptions=o …", format!("set = {value}")));
            self.key("set", value);
        }
        if !options.receive.kept_out.is_empty() {
            let names = options.receive.kept_out.join(", ");
            self.rows.push(match options.preserve_properties {
                true => Row::lost(
                    "properties",
                    format!("--recvoptions=x: not {names}"),
                    "what is in the allow-list follows the source, without exceptions",
                ),
                false => Row::same(
                    "properties",
                    format!("--recvoptions=x: not {names}"),
                    "the allow-list alone decides",
                ),
            });
        }
        if options.preserve_recordsize {
            self.rows.push(Row::same("properties", "--preserve-recordsize", "recordsize follows the source"));
        }
        if options.preserve_properties {
            self.rows.push(Row::other(
                "properties",
                "--preserve-properties: all that is set on the source, mountpoint included",
                "those of an allow-list follow the source: nothing that mounts, shares or runs, and no quota",
            ));
        }
        if !options.receive.unmounted {
            let ours = "it is not mounted, and read-only: what is mounted is changed by chance";
            self.rows.push(Row::other("a new dataset there", "is mounted", ours));
        }
        if options.no_resume {
            self.rows.push(Row::other("what breaks off", "--no-resume: begins anew", "is resumed"));
        }
        if options.no_clones {
            self.rows.push(Row::other("clones", "--no-clone-handling: sent in full", "sent as clones"));
        }
    }

    fn way(&mut self, options: &Options, source: &Endpoint, target: &Endpoint) {
        if options.compress == Compress::None {
            self.key("compress", quoted("off"));
            self.rows.push(Row::same("the way", "--compress=none", "compress = \"off\""));
        } else if source.machine.is_some() || target.machine.is_some() {
            let ours = "zstd where the other machine has it and it is worth it";
            self.rows.push(Row::other("the way", "compressed, by lzo if nothing else is said", ours));
        }
        if let Some(rate) = [options.source_limit, options.target_limit].into_iter().flatten().min() {
            self.key("rate", quoted(&format!("{rate}B")));
            self.rows.push(Row::same(
                "",
                "--source-bwlimit, --target-bwlimit",
                format!("rate = \"{rate}B\""),
            ));
        }
        if options.direct.is_some() {
            self.rows.push(Row::other("", "--insecure-direct-connection: not encrypted", "over ssh"));
        }
        let mut ssh = vec![format!("transport = {}", quoted("ssh"))];
        if let Some(port) = options.ssh_port {
            ssh.push(format!("port = {port}"));
        }
        if let Some(key) = &options.ssh_key {
            ssh.push(format!("identity = [{}]", quoted(&key.to_string_lossy())));
        }
        let cipher = options.ssh_cipher.iter().map(|cipher| format!("Ciphers={cipher}"));
        let more: Vec<_> =
            options.ssh_options.iter().cloned().chain(cipher).map(|text| quoted(&text)).collect();
        if !more.is_empty() {
            ssh.push(format!("ssh_options = [{}]", more.join(", ")));
        }
        for (end, of_target) in [(source, false), (target, true)] {
            let Some(machine) = &end.machine else { continue };
            let mut ssh = ssh.clone();
            if machine.user.as_deref() != Some("root") && !options.no_elevation {
                ssh.push(format!("elevate = {}", quoted("sudo")));
            }
            let text = format!("ssh = {{ {} }}", ssh.join(", "));
            let keys = if of_target { &mut self.target_keys } else { &mut self.keys };
            let _ = writeln!(keys, "{text}");
            self.rows.push(Row::same("", format!("ssh to {machine}"), text));
            if let Some(file) = &options.ssh_config {
                self.rows.push(Row::lost(
                    "",
                    format!("--sshconfig={}", file.display()),
                    "only ~/.ssh/config and /etc/ssh/ssh_config of who runs it are read: put it there",
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::moving::report::Kind;
    use crate::config::Config;
    use crate::config::job::Carrier;
    use crate::config::job::Job;
    use crate::config::place::Source;
    use crate::plan::Initial;
    use crate::transfer::Compression;
    use crate::transport::quote::Elevate;

    fn carried(line: &str) -> CarriedOver {
        let arguments: Vec<_> = line.split(' ').map(str::to_string).collect();
        carry_over(&arguments, |_| false).unwrap_or_else(|why| panic!("{line}: {why}"))
    }

    /// The job as our own reader sees it, which is all that counts.
    fn job(line: &str) -> Job {
        let text = carried(line).toml("the job");
        let (config, problems) = Config::parse(&[Source::new(Path::new("replicator.toml"), text.as_str())]);
        assert_eq!(problems.errors(), 0, "{line}\n{text}\n{}", problems.render());
        config.jobs.into_iter().next().expect("a job")
    }

    #[test]
    fn the_lines_of_the_predecessor_become_jobs() {
        let job = job("--no-sync-snap --recursive root@master:zpool1/data-nfs-share zpool1/data-nfs-share");
        assert_eq!(job.source.to_string(), "root@master:zpool1/data-nfs-share");
        assert_eq!(job.targets[0].endpoint.to_string(), "zpool1/data-nfs-share");
        assert!(job.options.recursive && job.options.intermediates);
        // A host alias is known to the ssh program only.
        assert_eq!((job.link.carrier, job.link.elevate), (Carrier::Ssh, Elevate::No));
    }

    #[test]
    fn every_option_that_a_job_can_have_is_in_it() {
        let far = job(
            "-r --skip-parent --exclude-datasets=tmp --no-stream --include-snaps=^autosnap_ --exclude-snaps=hourly \
             --compress=none --source-bwlimit=10m --target-bwlimit=5m --sshport=2222 --sshkey=/k -o A=b -c aes128-ctr \
             tank/a backup@nas:pool/b",
        );
        let target = &far.targets[0];
        assert!(!far.options.intermediates && far.options.initial == Initial::Newest);
        assert!(
            far.options.snapshots.select("autosnap_daily")
                && !far.options.snapshots.select("autosnap_hourly")
        );
        let root = &far.source.dataset;
        let below = |name: &str| root.child(name).expect("a name");
        assert!(!far.options.datasets.select_dataset(root, root));
        assert!(far.options.datasets.select_dataset(&below("x"), root));
        assert!(!far.options.datasets.select_dataset(&below("x/tmp"), root));
        assert_eq!(target.limits.compression, Compression::Off);
        assert_eq!(target.limits.rate.map(std::num::NonZeroU64::get), Some(5 << 20));
        assert_eq!((target.link.port, target.link.elevate), (Some(2222), Elevate::Sudo));
        assert_eq!(target.link.ssh_options, ["A=b", "Ciphers=aes128-ctr"]);
        assert_eq!(target.link.identities, [Path::new("/k")]);
    }

    #[test]
    fn properties_for_the_target_are_set() {
        let arguments = ["--recvoptions=o compression=zstd u", "a/b", "c/d"].map(str::to_string);
        let carried = carry_over(&arguments, |_| false).expect("read");
        assert!(carried.toml("x").contains("set = { \"compression\" = \"zstd\" }"), "{}", carried.toml("x"));
        let arguments = ["--recvoptions=x atime", "--preserve-properties", "a/b", "c/d"].map(str::to_string);
        let carried = carry_over(&arguments, |_| false).expect("read");
        assert!(carried.rows.iter().any(|row| row.kind == Kind::Lost && row.theirs.contains("atime")));
    }

    #[test]
    fn what_is_lost_or_other_is_told() {
        let told = |line: &str, kind: Kind, about: &str| {
            let rows = carried(line).rows;
            assert!(
                rows.iter()
                    .any(|row| row.kind == kind && (row.theirs.contains(about) || row.ours.contains(about))),
                "{line}: {about}: {rows:?}"
            );
        };
        told("a/b c/d", Kind::Other, "syncoid_");
        told("a/b c/d", Kind::Other, "are destroyed");
        told("--no-rollback a/b c/d", Kind::Same, "--no-rollback");
        told("--force-delete a/b c/d", Kind::Other, "--force-delete");
        told("--delete-target-snapshots a/b c/d", Kind::Lost, "retention");
        told("-r --exclude-datasets=[0-9]+x a/b c/d", Kind::Lost, "[0-9]+x");
        told("--include-snaps=\\d+ a/b c/d", Kind::Lost, "include_snapshots");
        told("--sshconfig=/f a/b root@h:c/d", Kind::Lost, "/f");
        told("--preserve-properties a/b c/d", Kind::Other, "mountpoint");
        told("--preserve-recordsize a/b c/d", Kind::Same, "--preserve-recordsize");
        told("--identifier=off a/b c/d", Kind::Same, "--identifier=off");
        told("--keep-sync-snap a/b c/d", Kind::Other, "--keep-sync-snap");
        told("--sendoptions=Lc a/b c/d", Kind::Same, "--sendoptions=Lc");
        for (line, why) in
            [("a/b", "not found"), ("--help", "prints"), ("a/b c;d", "c;d"), ("--nonsense a b", "nonsense")]
        {
            let arguments: Vec<_> = line.split(' ').map(str::to_string).collect();
            let refused =
                carry_over(&arguments, |_| false).err().unwrap_or_else(|| panic!("{line} was read"));
            assert!(refused.contains(why), "{line}: {refused}");
        }
    }
}
